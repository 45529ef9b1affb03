"""Bytes written but not committed: private to a view, in memory, on disk once they are large.

S1  A staging's bytes are what its writer believes the file to be; nobody else sees them before the commit.
S2  `base` names the version that the writer had read; the commit merges (base -> bytes) onto the head.
S3  What was only appended (O_APPEND) goes to the end of the head, whatever that is when it is committed.
"""

import os
import re
import tempfile
import time
from pathlib import Path

import trio

from makfs.engine.files import Belief
from makfs.engine.procs import Writer


def drops_pages(release: str) -> bool:
    """Tell whether a kernel of this release drops the pages that a direct write makes wrong.

    It does since 6.6, before it sends the write: a page that is read until that arrives is the old one.
    """
    found = re.match(r"(\d+)\.(\d+)", release)
    return found is None or (int(found[1]), int(found[2])) >= (6, 6)


class Staging:
    """The staged bytes of one inode."""

    __slots__ = (
        "_data",
        "_fd",
        "_folder",
        "_large_bytes",
        "_size",
        "appended",
        "atime_ns",
        "base",
        "done",
        "gid",
        "held_up",
        "mode",
        "mtime_ns",
        "new",
        "patched",
        "reached",
        "refusal",
        "times_set",
        "told",
        "touched",
        "uid",
        "unfinished",
        "until",
        "writer",
        "wrote",
        "xattrs",
    )

    def __init__(self, data: bytes, base: Belief, writer: Writer, *, folder: Path, large_bytes: int) -> None:
        self._data: bytearray | None = bytearray(data)
        self._fd = -1
        self._size = len(data)
        self._folder = folder
        self._large_bytes = large_bytes
        self.base = base
        self.reached = 0  # where the last write ended
        self.appended: int | None = None  # from here on it was appended, and nothing else was done (S3)
        self.writer = writer
        self.new = False  # the path does not exist at head: a file being made
        self.mode = 0o644  # of a new file
        self.uid = 0
        self.gid = 0
        self.wrote = False  # data was written since the last commit: FLUSH commits
        self.touched = False  # truncated only: RELEASE commits
        self.patched = False  # written past the kernel's cache onto a text it may have cached
        self.told = False  # the kernel may have cached the staged attributes
        self.mtime_ns = time.time_ns()
        self.times_set = False  # utimensat(2) gave the time: the commit keeps it exactly
        self.atime_ns = 0
        self.xattrs: dict[str, bytes] = {}  # of a new file
        self.done: trio.Event | None = None  # somebody waits for the commit
        self.refusal: int | None = None  # refused at FLUSH; RELEASE decides
        self.held_up = False  # its writer waits for what others hold
        self.unfinished = False  # and does so inside write(2): more may come
        self.until = 0.0  # monotonic; so long a commit at RELEASE waits for locks

    def wait_until(self, wait_s: float) -> float:
        """Return when a commit without a caller gives up waiting: so long after its first try (monotonic)."""
        if not self.until:
            self.until = time.monotonic() + wait_s
        return self.until

    @property
    def size(self) -> int:
        """Return the length in bytes."""
        return self._size

    @property
    def dirty(self) -> bool:
        """Tell whether there is something to commit."""
        return self.wrote or self.touched or self.new

    @property
    def large(self) -> bool:
        """Tell whether the bytes are on disk."""
        return self._data is None

    def read(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`."""
        if self._data is not None:
            return bytes(memoryview(self._data)[offset : offset + size])
        return os.pread(self._fd, min(size, max(0, self._size - offset)), offset)

    def write(self, offset: int, data: bytes) -> None:
        """Put `data` at `offset`; a gap before it reads as zeros."""
        end = offset + len(data)
        if self._data is not None and max(end, self._size) > self._large_bytes:
            self._spill()
        if self._data is None:
            os.pwrite(self._fd, data, offset)
            self._size = max(self._size, end)
        else:
            if offset > self._size:
                self._data.extend(bytes(offset - self._size))
            self._data[offset:end] = data
            self._size = len(self._data)
        self.reached = end
        self.wrote = True
        self.held_up = self.unfinished = False
        self.appended = None
        self._moved()

    def append(self, data: bytes) -> None:
        """Put `data` at the end (S3)."""
        at = self.appended if self.dirty else self._size
        self.write(self._size, data)
        self.appended = at

    def truncate(self, size: int) -> None:
        """Cut to `size` bytes, or extend with zeros."""
        if self._data is not None and size > self._large_bytes:
            self._spill()
        if self._data is None:
            os.ftruncate(self._fd, size)
        elif size <= self._size:
            del self._data[size:]
        else:
            self._data.extend(bytes(size - self._size))
        self._size = size
        self.appended = None
        self.touched = True
        self._moved()

    def content(self) -> bytes:
        """Return everything. Cost: a copy; a large staging is read from disk."""
        return self.read(0, self._size)

    def _moved(self) -> None:
        self.mtime_ns = time.time_ns()
        self.times_set = self.told = False

    async def wait_done(self, most_s: float) -> bool:
        """Wait for the commit, at most so long after the last change; tell whether it has come to a stop."""
        left = most_s - (time.time_ns() - self.mtime_ns) / 1e9
        if left <= 0 or self.held_up:
            return False
        if self.done is None:
            self.done = trio.Event()
        with trio.move_on_after(left):
            await self.done.wait()
            return True
        return False

    def stop(self) -> None:
        """Let those go on who wait for the commit: it has come, or will not come soon."""
        if self.done is not None:
            self.done.set()
            self.done = None

    def hold_up(self, *, unfinished: bool) -> None:
        """Note that its writer waits for what others hold, in the middle of writing or at its end."""
        self.held_up, self.unfinished = True, unfinished
        self.stop()

    def file(self) -> str:
        """Return a path by which the large staging's bytes can be read."""
        return f"/proc/self/fd/{self._fd}"

    def close(self) -> None:
        """Let the bytes go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._data = bytearray()
        self._size = 0

    def _spill(self) -> None:
        """Move the bytes to an unnamed file beside the store. Raises OSError when the disk is full."""
        fd, name = tempfile.mkstemp(dir=self._folder, prefix="staged-")
        os.unlink(name)
        view = memoryview(self._data or b"")
        done = 0
        try:
            while done < len(view):
                done += os.pwrite(fd, view[done:], done)
        except OSError:
            os.close(fd)
            raise
        self._fd, self._data = fd, None
