"""What may be written into an outbox, case by case."""

import pytest

from makfs.messages import BadMessage, Outgoing, Priority, is_draft, parse


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("please leave f alone\n", Outgoing(("bob",), "please leave f alone\n")),
        ("To: carol\n\nhello\n", Outgoing(("carol",), "hello\n")),
        ("to:carol , dave\r\n\r\nhello", Outgoing(("carol", "dave"), "hello")),
        (
            "To: carol\nhello, no empty line\nmore: text",
            Outgoing(("carol",), "hello, no empty line\nmore: text"),
        ),
        (
            r"To: carol\nPriority: high\n\nfrom a plain echo",
            Outgoing(("carol",), "from a plain echo", Priority.HIGH),
        ),
        (r"a regular expression has \n in it", Outgoing(("bob",), r"a regular expression has \n in it")),
        ("Re: #12\n\nyes", Outgoing((), "yes", re=12)),
        ("Note: this is a body\n", Outgoing(("bob",), "Note: this is a body\n")),
        ("\n\nTo: carol\n", Outgoing(("bob",), "\nTo: carol\n")),
        ('{"body": "yes", "re": 3}', Outgoing((), "yes", re=3)),
        ('{"to": "carol", "body": "yes", "priority": "low"}', Outgoing(("carol",), "yes", Priority.LOW)),
    ],
)
def test_a_message_is_read(text: str, wanted: Outgoing) -> None:
    assert parse(text.encode(), "bob") == wanted


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "no text"),
        (b"To: bob\n\n  \n", "no text"),
        (b"To: bob", "no text"),
        (b"To:\n\nhello", "names nobody"),
        (b"To: bob,,carol\n\nhello", "names nobody"),
        (b"To: bob\nTo: carol\n\nhello", "twice"),
        (b"To: bob\nSubject: x\n\nhello", "no header 'Subject'"),
        (b"From: carol\nTo: bob\n\nhello", "not the sender's"),
        (b"To: bob\nPriority: urgent\n\nhello", "accepted: low, normal, high"),
        (b"Re: last\n\nhello", "not the number"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{", "begins as JSON"),
        (b'{"body": "x", "from": "carol", "to": "bob"}', "no 'from'"),
        (b'{"body": "x"}', "names nobody"),
        (b'{"to": ["bob", 3], "body": "x"}', "list of names"),
        (b'{"to": "bob", "body": "\\ud800"}', "'body'"),
        (b'{"to": "bob", "body": "x", "re": true}', "'re' a number"),
    ],
)
def test_a_bad_message_is_refused_and_it_is_said_why(text: bytes, says: str) -> None:
    with pytest.raises(BadMessage, match=says):
        parse(text, "bob")


@pytest.mark.parametrize("part", [b"", b"T", b"To: bo", b"To: bob\n", b"hel", b'{"to": "b', b"To: caf\xc3"])
def test_of_a_part_nothing_is_said_before_its_headers_are_complete(part: bytes) -> None:
    assert parse(part, "x", is_whole=False) is None


def test_names_of_drafts() -> None:
    assert [name for name in ("bob", ".bob", "bob.tmp", "bob~", "tmp", "a.b") if is_draft(name)] == [
        ".bob", "bob.tmp", "bob~",
    ]  # fmt: skip
