"""Writes that clash: refused with EBUSY, rolled back, told, kept, and accepted when they are done again."""

import contextlib
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.hands import Hand, claude_name
from tests.mount.mounted import TRANSPORTS, Mounted

pytestmark = [pytest.mark.mount, pytest.mark.parametrize("transport", TRANSPORTS, scope="module")]
Hands = Callable[[], Hand]
OLD = b'"hello {name}"'


def change(text: bytes, what: bytes) -> bytes:
    assert OLD in text
    return text.replace(OLD, what)


def clash(served: Mounted, greet: str, alice: Hand, bob: Hand) -> tuple[bytes, bytes]:
    """Let alice commit a change of a line that bob has read; return the head and bob's clashing text."""
    text = alice.read(served.alice / greet)
    assert bob.read(served.bob / greet) == text
    head = change(text, b'"alice {name}"')
    alice.write(served.alice / greet, head)
    return head, change(text, b'"bob {name}"')


def newest(served: Mounted) -> dict[str, object]:
    found: list[dict[str, object]] = json.loads(served.makfs("refusals", "--json"))
    return max(found, key=lambda refusal: int(str(refusal["number"])))


def rolled_back(served: Mounted, greet: str, head: bytes) -> None:
    for place in (served.alice, served.bob, served.repo):
        assert (place / greet).read_bytes() == head, place
        assert (place / greet).stat().st_size == len(head), place


def test_clash_is_refused_at_the_latest_at_close_and_the_view_shows_the_head(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice, bob = hand(), hand()
    head, theirs = clash(served, greet, alice, bob)
    with pytest.raises(OSError, match="busy") as caught:
        bob.write(served.bob / greet, theirs)
    assert caught.value.errno == errno.EBUSY
    rolled_back(served, greet, head)


def test_refused_bytes_are_kept_and_the_reason_is_told_in_the_view_and_by_the_command(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice, bob = hand(), hand()
    _, theirs = clash(served, greet, alice, bob)
    with pytest.raises(OSError, match="busy"):
        bob.write(served.bob / greet, theirs)
    why = (served.bob / ".makfs/why").read_text()
    assert f"{greet}::hello" in why
    assert "alice" in why
    assert "again" in why
    refusal = newest(served)
    assert (refusal["agent"], refusal["path"], refusal["pid"]) == ("bob", greet, bob.pid)
    kept = served.bob / f".makfs/refused/{refusal['number']}/file"
    assert kept.read_bytes().startswith(theirs[: theirs.index(b"bob")])
    assert b"bob {name}" in kept.read_bytes()
    assert "bob {name}" in served.makfs("refusals", "show", str(refusal["number"]))
    assert not (served.alice / f".makfs/refused/{refusal['number']}").exists()


def test_clash_is_told_once(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    _, theirs = clash(served, greet, alice, bob)
    before = len(json.loads(served.makfs("refusals", "--json", "-n", "1000")))
    with pytest.raises(OSError, match="busy"):
        bob.write(served.bob / greet, theirs)
    assert len(json.loads(served.makfs("refusals", "--json", "-n", "1000"))) == before + 1


def test_edit_done_again_on_what_the_file_says_now_is_accepted(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice, bob = hand(), hand()
    head, theirs = clash(served, greet, alice, bob)
    with pytest.raises(OSError, match="busy"):
        bob.write(served.bob / greet, theirs)
    again = bob.read(served.bob / greet).replace(b'"alice {name}"', b'"alice and bob {name}"')
    assert again != head
    bob.write(served.bob / greet, again)
    rolled_back(served, greet, again)


def test_clashing_rename_over_is_refused_and_leaves_the_temporary_file(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice, bob = hand(), hand()
    head, theirs = clash(served, greet, alice, bob)
    path = served.bob / greet
    temporary = claude_name(path, bob)
    with pytest.raises(OSError, match="busy") as caught:
        bob.save(path, theirs, temporary)
    assert caught.value.errno == errno.EBUSY
    assert temporary.read_bytes() == theirs
    assert not (served.alice / greet).with_name(temporary.name).exists()
    rolled_back(served, greet, head)
    bob.do("unlink", temporary)
    assert [each.name for each in path.parent.iterdir()] == ["greet.py"]


def test_in_place_write_after_a_refused_rename_is_refused_too(
    served: Mounted, greet: str, hand: Hands
) -> None:
    """Some clients fall back to it and report success, whatever close(2) says."""
    alice, bob = hand(), hand()
    head, theirs = clash(served, greet, alice, bob)
    path = served.bob / greet
    temporary = claude_name(path, bob)
    with pytest.raises(OSError, match="busy"):
        bob.save(path, theirs, temporary)
    bob.do("unlink", temporary)
    with pytest.raises(OSError, match="busy"):
        bob.write(path, theirs)
    rolled_back(served, greet, head)
    bob.read(path)
    bob.write(path, head.replace(b"alice", b"alice and bob"))
    assert b"alice and bob" in (served.repo / greet).read_bytes()


def test_plain_temporary_file_that_clashes_is_refused_and_stays(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice, bob = hand(), hand()
    head, theirs = clash(served, greet, alice, bob)
    temporary = (served.bob / greet).with_name("other.py")
    with pytest.raises(OSError, match="busy"):
        bob.save(served.bob / greet, theirs, temporary)
    rolled_back(served, greet, head)
    assert temporary.read_bytes() == theirs


def test_clash_with_a_removed_file_is_refused_and_kept(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    text = bob.read(served.bob / greet)
    fd = bob.open(served.bob / greet, os.O_WRONLY)
    bob.do("pwrite", fd, text.replace(b"open = True", b"open = None"), 0)
    alice.do("unlink", served.alice / greet)
    with pytest.raises(OSError, match="busy"):
        bob.do("close", fd)
    assert not (served.repo / greet).exists()
    assert not (served.bob / greet).exists()
    assert newest(served)["path"] == greet


def test_two_new_files_of_one_name_that_differ_clash(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    new = greet.replace("greet", "fresh")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    one, other = alice.open(served.alice / new, flags), bob.open(served.bob / new, flags)
    alice.do("write", one, b"def f():\n    return 1\n")
    bob.do("write", other, b"def f():\n    return 2\n")
    alice.do("close", one)
    with pytest.raises(OSError, match="busy"):
        bob.do("close", other)
    rolled_back(served, new, b"def f():\n    return 1\n")
    assert (newest(served)["path"], newest(served)["agent"]) == (new, "bob")


def test_program_that_ignores_the_refusal_and_goes_on_is_refused_again(
    served: Mounted, greet: str, hand: Hands
) -> None:
    """Bash flushes at every dup2: what is written after a refused flush still counts."""
    alice, bob = hand(), hand()
    head, theirs = clash(served, greet, alice, bob)
    fd = bob.open(served.bob / greet, os.O_WRONLY | os.O_TRUNC)
    with pytest.raises(OSError, match="busy"):
        write_and_flush(bob, fd, theirs)
    rolled_back(served, greet, head)
    with pytest.raises(OSError, match="busy"):
        write_and_flush(bob, fd, b"# more\n")
    rolled_back(served, greet, head)
    with contextlib.suppress(OSError):
        bob.do("close", fd)
    rolled_back(served, greet, head)


def write_and_flush(hand: Hand, fd: int, text: bytes) -> None:
    """Write, and close a duplicate, as shells do."""
    hand.do("write", fd, text)
    hand.do("close", hand.do("dup", fd))


def test_deletion_of_what_another_changed_clashes(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    head, _ = clash(served, greet, alice, bob)
    text = head.replace(b'"alice {name}"', OLD)
    start, end = text.index(b"def hello"), text.index(b"def bye")
    with pytest.raises(OSError, match="busy"):
        bob.write(served.bob / greet, text[:start] + text[end:])
    rolled_back(served, greet, head)


def test_git_checkout_refusal_leaves_the_file(served: Mounted, greet: str, hand: Hands) -> None:
    """A process that removes a file and makes it again from an old text loses nothing of the others'."""
    alice, bob = hand(), hand()
    head, theirs = clash(served, greet, alice, bob)
    bob.do("unlink", served.bob / greet)
    with pytest.raises(OSError, match="busy"):
        bob.write(served.bob / greet, theirs)
    rolled_back(served, greet, head)


def why(path: Path) -> str:
    return path.read_text()


def test_view_without_refusals_says_so(served: Mounted) -> None:
    os.mkdir(served.mountpoint / "dave")
    try:
        assert "No write" in why(served.mountpoint / "dave/.makfs/why")
        assert os.listdir(served.mountpoint / "dave/.makfs/refused") == []
    finally:
        os.rmdir(served.mountpoint / "dave")
