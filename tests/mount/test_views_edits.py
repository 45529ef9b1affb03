"""Two views of one repository: every way in which clients write, merged node by node, seen at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.hands import Hand, claude_name
from tests.mount.mounted import TRANSPORTS, Mounted

pytestmark = [pytest.mark.mount, pytest.mark.parametrize("transport", TRANSPORTS, scope="module")]
Hands = Callable[[], Hand]
Write = Callable[[Hand, Path, bytes], None]


def by_truncating(hand: Hand, path: Path, text: bytes) -> None:
    hand.write(path, text)


def by_shrinking(hand: Hand, path: Path, text: bytes) -> None:
    fd = hand.open(path, os.O_WRONLY | os.O_CREAT)
    hand.do("write", fd, text)
    hand.do("ftruncate", fd, len(text))
    hand.do("close", fd)


def by_emptying_first(hand: Hand, path: Path, text: bytes) -> None:
    fd = hand.open(path, os.O_WRONLY)
    hand.do("ftruncate", fd, 0)
    hand.do("write", fd, text)
    hand.do("close", fd)


def by_claude_name(hand: Hand, path: Path, text: bytes) -> None:
    hand.save(path, text, claude_name(path, hand))


def by_plain_name(hand: Hand, path: Path, text: bytes) -> None:
    hand.save(path, text, path.with_name(f"new-{hand.pid}"))


def by_removing_first(hand: Hand, path: Path, text: bytes) -> None:
    hand.do("unlink", path)
    hand.write(path, text)


def in_place(hand: Hand, path: Path, text: bytes) -> None:
    fd = hand.open(path, os.O_RDWR)
    hand.do("pwrite", fd, text, 0)
    hand.do("ftruncate", fd, len(text))
    hand.do("close", fd)


def in_pieces(hand: Hand, path: Path, text: bytes) -> None:
    fd = hand.open(path, os.O_WRONLY | os.O_TRUNC)
    for at in range(0, len(text), 50):
        hand.do("pwrite", fd, text[at : at + 50], at)
    hand.do("fsync", fd)
    hand.do("close", fd)


WAYS = [
    by_truncating, by_shrinking, by_emptying_first, by_claude_name, by_plain_name, by_removing_first,
    in_place, in_pieces,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_stale_writers_of_different_functions_keep_each_others_edits(
    served: Mounted, greet: str, hand: Hands, way: Write
) -> None:
    """Both read the same text, then each writes all of it with one function changed."""
    alice, bob = hand(), hand()
    mine, theirs = served.alice / greet, served.bob / greet
    text = alice.read(mine)
    assert bob.read(theirs) == text
    way(alice, mine, text.replace(b'"hello {name}"', b'"good day {name}"'))
    assert b"good day" in hand().read(theirs)
    way(bob, theirs, text.replace(b"open = True", b"open = False"))
    for place in (mine, theirs, served.repo / greet):
        seen = place.read_bytes()
        assert b"good day" in seen, place
        assert b"open = False" in seen, place


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_process_writes_from_what_it_read_not_from_what_its_view_read_since(
    served: Mounted, greet: str, hand: Hands, way: Write
) -> None:
    writer, searcher, other = hand(), hand(), hand()
    path = served.alice / greet
    text = writer.read(path)
    other.write(served.bob / greet, text.replace(b'"hello {name}"', b'"good day {name}"'))
    assert b"good day" in searcher.read(path)  # rg runs in the same view
    way(writer, path, text.replace(b"open = True", b"open = False"))
    seen = path.read_bytes()
    assert b"good day" in seen
    assert b"open = False" in seen


def test_processes_of_one_view_do_not_undo_each_other(served: Mounted, greet: str, hand: Hands) -> None:
    one, other = hand(), hand()
    path = served.alice / greet
    text = one.read(path)
    assert other.read(path) == text
    one.write(path, text.replace(b'"hello {name}"', b'"good day {name}"'))
    other.write(path, text.replace(b"open = True", b"open = False"))
    assert b"good day" in path.read_bytes()
    assert b"open = False" in path.read_bytes()


def test_open_file_keeps_its_bytes_to_its_view_until_it_is_closed(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice, bob, third = hand(), hand(), hand()
    path = served.alice / greet
    text = alice.read(path)
    fd = alice.open(path, os.O_WRONLY | os.O_TRUNC)
    alice.do("write", fd, text + b"\n\nX = 1\n")
    assert bob.read(served.bob / greet) == text
    assert (served.repo / greet).read_bytes() == text
    assert third.read(path) == text + b"\n\nX = 1\n"
    alice.do("close", fd)
    assert bob.read(served.bob / greet) == text + b"\n\nX = 1\n"


def test_both_append_at_the_end_and_both_are_kept(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    mine = alice.open(served.alice / greet, os.O_WRONLY | os.O_APPEND)
    theirs = bob.open(served.bob / greet, os.O_WRONLY | os.O_APPEND)
    alice.do("write", mine, b"\n\ndef from_alice():\n    pass\n")
    bob.do("write", theirs, b"\n\ndef from_bob():\n    pass\n")
    alice.do("close", mine)
    bob.do("close", theirs)
    seen = (served.repo / greet).read_bytes()
    assert seen.count(b"def from_alice") == seen.count(b"def from_bob") == 1
    assert (served.alice / greet).read_bytes() == (served.bob / greet).read_bytes() == seen


def test_appends_of_lines_that_meet_are_both_kept_and_seen(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob, third, log = hand(), hand(), hand(), greet.replace("greet.py", "log.txt")
    alice.write(served.alice / log, b"first\n")
    fds = [each.open(top / log, os.O_WRONLY | os.O_APPEND) for each, top in
           ((alice, served.alice), (bob, served.bob))]  # fmt: skip
    for number in (b"1", b"2"):  # the second time with handles that have committed before
        for each, fd, name in ((alice, fds[0], b"alice "), (bob, fds[1], b"bob ")):
            each.do("write", fd, name)
            each.do("write", fd, number + b"\n")
        bob.do("fsync", fds[1])
        assert third.read(served.alice / log).endswith(b"alice " + number + b"\n")  # the kernel keeps it
        alice.do("fsync", fds[0])
    alice.do("close", fds[0])
    bob.do("close", fds[1])
    wanted = b"first\nbob 1\nalice 1\nbob 2\nalice 2\n"
    assert [(top / log).read_bytes() for top in (served.repo, served.alice, served.bob)] == [wanted] * 3


def test_append_after_another_write_of_its_own_is_merged_with_what_it_read(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice, bob, log = hand(), hand(), greet.replace("greet.py", "log.txt")
    alice.write(served.alice / log, b"one\ntwo\nthree\nfour\n")
    fd = alice.open(served.alice / log, os.O_RDWR)
    end = alice.open(served.alice / log, os.O_WRONLY | os.O_APPEND)
    alice.do("pwrite", fd, b"ONE", 0)
    alice.do("write", end, b"five\n")
    bob.write(served.bob / log, bob.read(served.bob / log).replace(b"three", b"THREE"))
    alice.do("close", end)
    alice.do("close", fd)
    assert (served.repo / log).read_bytes() == b"ONE\ntwo\nTHREE\nfour\nfive\n"


def test_both_add_an_import_and_both_are_kept(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    text = alice.read(served.alice / greet)
    bob.read(served.bob / greet)
    alice.write(served.alice / greet, text.replace(b"import os\n", b"import os\nimport re\n"))
    bob.write(served.bob / greet, text.replace(b"import os\n", b"import os\nimport sys\n"))
    seen = (served.repo / greet).read_bytes()
    assert b"import re\n" in seen
    assert b"import sys\n" in seen


def test_text_that_is_not_source_is_merged_by_lines(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    notes = greet.replace("greet.py", "notes.txt")
    lines = [b"line %d\n" % number for number in range(20)]
    alice.write(served.alice / notes, b"".join(lines))
    text = alice.read(served.alice / notes)
    bob.read(served.bob / notes)
    alice.write(served.alice / notes, text.replace(b"line 2\n", b"line two\n"))
    bob.write(served.bob / notes, text.replace(b"line 17\n", b"line seventeen\n"))
    seen = (served.bob / notes).read_bytes()
    assert b"line two\n" in seen
    assert b"line seventeen\n" in seen


def test_broken_code_is_saved_and_others_go_on_beside_it(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    text = alice.read(served.alice / greet)
    bob.read(served.bob / greet)
    alice.write(served.alice / greet, text.replace(b"def hello(name):", b"def hello(name:"))
    bob.write(served.bob / greet, text.replace(b"open = True", b"open = False"))
    seen = served.repo / greet
    assert b"def hello(name:" in seen.read_bytes()
    assert b"open = False" in seen.read_bytes()
    now = alice.read(served.alice / greet)
    alice.write(served.alice / greet, now.replace(b"def hello(name:", b"def hello(name):"))
    assert seen.read_bytes() == text.replace(b"open = True", b"open = False")


def test_rename_by_one_agent_carries_the_edit_another_began_before(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice, bob = hand(), hand()
    moved = greet.replace("greet.py", "moved.py")
    text = bob.read(served.bob / greet)
    fd = bob.open(served.bob / greet, os.O_WRONLY | os.O_TRUNC)
    bob.do("write", fd, text.replace(b"open = True", b"open = False"))
    alice.do("rename", served.alice / greet, served.alice / moved)
    bob.do("close", fd)
    assert b"open = False" in (served.repo / moved).read_bytes()
    assert not (served.repo / greet).exists()


def test_commits_name_agent_program_process_and_nodes(served: Mounted, greet: str, hand: Hands) -> None:
    import json

    bob = hand()
    text = bob.read(served.bob / greet)
    bob.write(served.bob / greet, text.replace(b"open = True", b"open = False"))
    commit = json.loads(served.makfs("log", "--json", "--path", greet))[0]
    assert (commit["agent"], commit["pid"], commit["paths"]) == ("bob", bob.pid, [greet])
    assert commit["program"].startswith("python")
    assert commit["addresses"] == [f"{greet}::Desk.open"]
