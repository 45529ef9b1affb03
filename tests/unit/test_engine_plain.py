"""Opening and closing at once what is only read: the same as the long way, and nothing else (P1)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from makfs.config import Config
from makfs.engine.filesystem import FileSystem
from makfs.engine.handles import OpenFile, TrackedHandle
from makfs.engine.kernel import Kernel
from makfs.engine.plain import close_plain
from makfs.engine.procs import Caller
from tests.property.engine_kernel import Silent

ME = Caller(os.getuid(), os.getgid(), os.getpid())


@pytest.fixture
def fs(tmp_repo: Path) -> Iterator[FileSystem]:
    kernel = Kernel.open(tmp_repo, tmp_repo.parent / "mnt", Config(), ["a", "b"], lambda *_: None)
    yield kernel.attach(Silent())
    kernel.close()


def find(fs: FileSystem, path: str) -> int:
    """Look a path up, name by name; return its inode number."""
    ino = 1
    for name in path.split("/"):
        found = fs.lookup(ino, name)
        assert found is not None
        ino = found.inode.ino
    return ino


def open_slowly(fs: FileSystem, ino: int) -> int:
    return trio.run(fs.open, ino, os.O_RDONLY, ME).handle


def open_at_once(fs: FileSystem, ino: int) -> int | None:
    opened = fs.open_plain(ino, os.O_RDONLY, ME.tid)
    if opened is None:
        return None
    assert not opened.direct_io
    assert opened.keep_cache
    return opened.handle


def known_of(handle: OpenFile) -> tuple[object, ...]:
    """Return what an open left behind, as far as it is not this file's own."""
    assert isinstance(handle, TrackedHandle)
    inode, file = handle.inode, handle.file
    believers = sorted((who[1], belief) for who, belief in file.beliefs.items())
    assert file.signature is not None
    return inode.opens, bool(inode.still_until), file.version, believers, handle.version, handle.read(0, 4)


def test_first_open_at_once_leaves_what_the_long_way_leaves(fs: FileSystem, tmp_repo: Path) -> None:
    (tmp_repo / "one.txt").write_bytes(b"same")
    (tmp_repo / "two.txt").write_bytes(b"same")
    for _ in ("never seen", "seen"):
        slow = open_slowly(fs, find(fs, "a/one.txt"))
        fast = open_at_once(fs, find(fs, "a/two.txt"))
        assert fast is not None
        handles = fs.handles[slow], fs.handles[fast]
        assert known_of(handles[0]) == known_of(handles[1]), "P1"
        assert not fs.release_now(slow)
        assert close_plain(fs.handles, fast)
        assert fs.handles == {}
        for handle in handles:
            assert isinstance(handle, TrackedHandle)
            assert (handle.fd, handle.inode.opens, handle.inode.still_until) == (-1, 0, 0.0), "P1"


def test_what_changed_behind_is_left_to_the_long_way(fs: FileSystem, tmp_repo: Path) -> None:
    ino = find(fs, "a/README.md")
    seen = open_at_once(fs, ino)
    assert seen is not None
    assert close_plain(fs.handles, seen)
    (tmp_repo / "README.md").write_bytes(b"# changed behind us\n")
    assert open_at_once(fs, ino) is None


def test_what_is_no_file_is_not_opened(fs: FileSystem, tmp_repo: Path) -> None:
    os.mkfifo(tmp_repo / "pipe")
    ino = find(fs, "a/pipe")
    (tmp_repo / "other").symlink_to("pipe")
    assert open_at_once(fs, ino) is None
    assert open_at_once(fs, find(fs, "a/other")) is None
    assert open_at_once(fs, find(fs, "a/app")) is None


def test_what_was_committed_before_the_mount_is_compared_first(tmp_repo: Path) -> None:
    async def write(fs: FileSystem) -> None:
        opened = await fs.open(find(fs, "a/README.md"), os.O_WRONLY | os.O_TRUNC, ME)
        await fs.write(opened.handle, 0, b"# committed\n")
        await fs.flush(opened.handle)
        await fs.release(opened.handle)

    first = Kernel.open(tmp_repo, tmp_repo.parent / "mnt", Config(), ["a"], lambda *_: None)
    trio.run(write, first.attach(Silent()))
    first.close()
    (tmp_repo / "README.md").write_bytes(b"# written while nobody served it\n")
    again = Kernel.open(tmp_repo, tmp_repo.parent / "mnt", Config(), ["a"], lambda *_: None)
    fs = again.attach(Silent())
    assert open_at_once(fs, find(fs, "a/README.md")) is None
    again.close()


def test_what_is_being_written_is_left_to_the_long_way(fs: FileSystem) -> None:
    async def begin(ino: int) -> int:
        opened = await fs.open(ino, os.O_WRONLY, ME)
        await fs.write(opened.handle, 0, b"#")
        return opened.handle

    ino = find(fs, "a/README.md")
    reading = open_at_once(fs, ino)
    assert reading is not None
    writing = trio.run(begin, ino)
    assert open_at_once(fs, ino) is None
    assert not close_plain(fs.handles, reading)
    assert not close_plain(fs.handles, writing)
    assert not close_plain(fs.handles, 12345)
    assert set(fs.handles) == {reading, writing}
    for number in (reading, writing):
        trio.run(fs.release, number)
