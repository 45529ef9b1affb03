"""Lines written to `.makfs/claim` and `.makfs/release`, as their parsers read them."""

import pytest

from makfs.engine.commands import ClaimLine, ReleaseLine, parse_claim, parse_release
from makfs.locks import BadClaim


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("write a.py", ClaimLine("write", ("a.py",))),
        ("read a.py::#header b/ resource:x:1", ClaimLine("read", ("a.py::#header", "b/", "resource:x:1"))),
        ("  write\ta.py  wait=2.5 lease=60\r", ClaimLine("write", ("a.py",), 2.5, 60.0)),
        ("write wait=0 a.py", ClaimLine("write", ("a.py",), 0.0)),
        ("write 'a b.py::f' c\\ d", ClaimLine("write", ("a b.py::f", "c d"))),
        ("write -- wait=1 lease=x", ClaimLine("write", ("wait=1", "lease=x"))),
        ("write name=x.py", ClaimLine("write", ("name=x.py",))),
        ("write ''", ClaimLine("write", ("",))),
        ("grab a.py", ClaimLine("grab", ("a.py",))),  # the mode is judged with the claim
    ],
)  # fmt: skip
def test_claim_is_read_as_a_shell_would_read_it(line: str, asked: ClaimLine) -> None:
    assert parse_claim(line) == asked


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("write", "names no address"),
        ("write wait=3", "names no address"),
        ("write --", "names no address"),
        ("write 'a.py", "quotation"),
        ("write a.py\\", "escaped"),
        ("write a.py wait=soon", "'wait=soon' is no number of seconds"),
        ("write a.py lease=nan", "'lease=nan' is no number of seconds"),
        ("write a.py wait=inf", "'wait=inf' is no number of seconds"),
        ("write a.py wait=", "'wait=' is no number of seconds"),
        ("write a.py wait=1 wait=2", "wait= stands twice"),
    ],
)
def test_bad_claim_says_what_is_wrong_and_what_is_accepted(line: str, sentence: str) -> None:
    with pytest.raises(BadClaim) as caught:
        parse_claim(line)
    assert sentence in str(caught.value).lower() or sentence in str(caught.value)
    assert "accepted: MODE ADDRESS" in str(caught.value)


def test_release_is_addresses_or_everything() -> None:
    assert parse_release("a.py 'b c.py::f'") == ReleaseLine(("a.py", "b c.py::f"))
    assert parse_release(" * ") == parse_release("all") == ReleaseLine(None)
    assert parse_release("all a.py") == ReleaseLine(("all", "a.py"))
    assert parse_release("keep=read a.py") == ReleaseLine(("a.py",), keep_read=True)
    assert parse_release("all keep=read") == ReleaseLine(None, keep_read=True)
    with pytest.raises(BadClaim, match="stands alone"):
        parse_release("* a.py")
    with pytest.raises(BadClaim, match="quote as for a shell"):
        parse_release('"a.py')


@pytest.mark.parametrize("line", ["a.py keep=write", "keep=", "a.py keep=read keep=read", "keep=read"])
def test_bad_release_says_what_is_accepted(line: str) -> None:
    with pytest.raises(BadClaim, match=r"accepted.*keep=read|keep=read is, once"):
        parse_release(line)
