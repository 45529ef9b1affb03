"""Several processes of one view at one file: what one is writing is not published by another's close (D4)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.engine.filesystem import Change
from tests.property.engine_kernel import Caches, OpenFile, Process, one_file

TEXT = b"def f():\n    return 1\n\n\ndef g():\n    return 1\n"
HALF, REST = b"def f():\n    return 2\n\n\n", b"def g():\n    return 2\n"
OVER = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    """Serve one file to alice and bob, without a mount."""
    with one_file(tmp_path, TEXT) as served:
        yield served
        assert served.findings() == []


@pytest.fixture
def begun(caches: Caches) -> OpenFile:
    """Write half of a text in alice's view."""
    file = Process(caches, "alice", 1).open("a.py", OVER)
    file.write(0, HALF)
    return file


def seen(caches: Caches) -> bytes:
    return Process(caches, "bob", 9).read("a.py")


def test_half_a_text_is_not_published_by_a_process_that_touches_the_file(
    caches: Caches, begun: OpenFile
) -> None:
    other = Process(caches, "alice", 2)
    file = other.open("a.py", os.O_WRONLY | os.O_CREAT)
    other.set(file.ino, Change(mtime_ns=10**18), file._opened.handle)
    file.close()
    assert seen(caches) == TEXT
    begun.write(len(HALF), REST)
    begun.close()
    assert seen(caches) == HALF + REST


def test_half_a_text_is_not_published_by_an_fsync_of_a_process_that_wrote_nothing(
    caches: Caches, begun: OpenFile
) -> None:
    file = Process(caches, "alice", 2).open("a.py", os.O_WRONLY)
    file.fsync()
    assert seen(caches) == TEXT
    file.close()
    assert seen(caches) == TEXT
    begun.close()
    assert seen(caches) == HALF


def test_fsync_commits_what_its_process_wrote_through_another_descriptor(
    caches: Caches, begun: OpenFile
) -> None:
    begun.process.open("a.py", os.O_WRONLY).fsync()
    assert seen(caches) == HALF


def test_second_close_of_a_descriptor_publishes_nothing_that_another_has_begun_since(caches: Caches) -> None:
    first = Process(caches, "alice", 1).open("a.py", OVER)
    first.write(0, HALF)
    first.flush()
    second = Process(caches, "alice", 2).open("a.py", os.O_WRONLY | os.O_TRUNC)
    second.write(0, REST)
    first.close()
    assert seen(caches) == HALF
    second.close()
    assert seen(caches) == REST


def test_what_several_wrote_is_one_text_and_committed_by_the_first_who_closes(
    caches: Caches, begun: OpenFile
) -> None:
    """As on a local disk: their bytes cannot be told apart, and who has closed finds its own published."""
    file = Process(caches, "alice", 2).open("a.py", os.O_WRONLY)
    file.write(len(HALF), REST)
    file.close()
    assert seen(caches) == HALF + REST
    begun.close()
    assert seen(caches) == HALF + REST


def test_mapped_stores_that_come_through_another_handle_are_committed_by_who_mapped_the_file(
    caches: Caches,
) -> None:
    """The kernel writes them back through any handle that may write."""
    idle = Process(caches, "alice", 1).open("a.py", os.O_WRONLY)
    mapped = Process(caches, "alice", 2).open("a.py", os.O_RDWR)
    idle.write(0, HALF + REST)
    mapped.close()
    assert seen(caches) == HALF + REST
    idle.close()


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR])
def test_file_that_becomes_tracked_while_it_is_open_is_one_of_those_that_are_patched_until_it_is_closed(
    caches: Caches, flags: int
) -> None:
    writer, reader = Process(caches, "alice", 1), Process(caches, "alice", 2)
    file = writer.open("a.py~", flags | os.O_CREAT | os.O_EXCL)
    file.write(0, HALF + REST)
    writer.rename("a.py~", "a.py")
    inode = caches.core.table.by_ino[file.ino]
    assert inode.patchers == [caches.core.procs.group(writer.caller.tid)]
    file.close()
    assert inode.patchers == []
    assert inode.opens == 0
    assert reader.read("a.py") == seen(caches) == HALF + REST


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_RDWR, os.O_RDONLY])
def test_file_that_becomes_private_while_it_is_open_is_patched_and_read_by_nobody_any_more(
    caches: Caches, flags: int
) -> None:
    process = Process(caches, "alice", 1)
    file = process.open("a.py", flags)
    process.rename("a.py", "a.py~")
    inode = caches.core.table.by_ino[file.ino]
    assert (inode.patchers, inode.stands) == ([], [])
    file.close()
    assert inode.opens == 0
