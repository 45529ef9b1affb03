"""Open files. A handle reads what its view shows now and writes into the inode's staging."""

import errno
import os
from typing import Protocol

from makfs.engine.core import Core
from makfs.engine.files import Belief, File
from makfs.engine.inodes import Inode, Stand
from makfs.engine.procs import Writer
from makfs.engine.staging import Staging
from makfs.errors import Refused
from makfs.ids import RepoPath


class TrackedHandle:
    """An open tracked file."""

    __slots__ = (
        "_nowhere", "anew", "append", "belief", "cached", "core", "fd", "flags", "frozen", "in_place",
        "inode", "into", "patcher", "patches", "refused", "stand", "text", "tid", "unread", "version",
        "writable",
    )  # fmt: skip

    def __init__(self, core: Core, inode: Inode, flags: int, tid: int) -> None:
        self.core = core
        self.inode = inode
        self.flags = flags
        self._nowhere: File | None = None  # an orphan's
        self.fd = -1
        self.version = -(1 << 60)  # of the bytes behind `fd`
        self.tid = tid  # FUSE tells the caller at open only
        self.writable = flags & os.O_ACCMODE != os.O_RDONLY
        self.append = bool(flags & os.O_APPEND)
        self.frozen = False  # reads one version, whatever is committed meanwhile, past the kernel's cache
        self.text: bytes | None = None  # that version, if no descriptor has it
        self.belief: Belief = None  # and what it is
        self.cached = flags & os.O_ACCMODE == os.O_RDWR  # its writes go through the kernel's page cache
        self.in_place = flags & (os.O_ACCMODE | os.O_TRUNC | os.O_APPEND) == os.O_RDWR
        over = flags & (os.O_TRUNC | os.O_APPEND)
        self.patches = self.writable and not over  # it may write over parts of the file
        self.patcher = 0  # which process does
        self.unread = False  # its process still believes in an older version, until it reads
        self.into: Staging | None = None  # what it staged last
        self.stand: Stand | None = None  # its inode stands still for it
        self.anew = False  # opened after a refusal: it goes on with the committed text, not the refused one
        self.refused: Refused | None = None  # a write was; what follows it makes no sense without it

    @property
    def file(self) -> File:
        """Return the head file at the path that the inode has now; an orphan's is known to nobody else."""
        if (path := self.inode.path) is not None:
            return self.core.file(path)
        if self._nowhere is None:
            self._nowhere = File(RepoPath(""))
        return self._nowhere

    def check_accepted(self) -> None:
        """Raise Refused again if a write to this handle was refused, and the file not emptied since."""
        if self.refused is not None:
            raise type(self.refused)(self.refused.number, str(self.refused))

    @property
    def takes_part(self) -> bool:
        """Tell whether some of what is staged may have come through this handle.

        Stores to a mapping may come through any handle; who mapped the file opened it to read and write.
        """
        return self.into is self.inode.staging or self.flags & os.O_ACCMODE == os.O_RDWR

    def writer(self) -> Writer:
        """Return the process that opened the file."""
        return self.core.procs.writer(self.tid)

    def open_fd(self) -> None:
        """Open the committed bytes. Raises OSError."""
        assert self.inode.path is not None
        path = self.core.backing.at(self.inode.path)
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        self.close_fd()
        self.fd = fd
        self.version = self.file.version

    def read(self, offset: int, size: int) -> bytes:
        """Return the view's bytes: staged ones if there are any, else the newest committed ones."""
        inode, file = self.inode, self.file
        if self.frozen:
            return self._read_frozen(offset, size)
        if inode.staging is not None:
            return inode.staging.read(offset, size)
        if self.unread:
            self.unread = False
            file.believe(inode.view.number, self.core.procs.group(self.tid), file.version)
        if inode.shown is not None:
            inode.shown.served += 1
            file.believe(inode.view.number, self.core.procs.group(self.tid), inode.shown.belief)
            return inode.shown.data[offset : offset + size]
        if inode.orphan_fd >= 0:
            return os.pread(inode.orphan_fd, size, offset)
        if file.owed is not None and inode.path is not None:
            return file.owed[offset : offset + size]
        if self.version != file.version and inode.path is not None:
            self.open_fd()
            file.believe(inode.view.number, self.core.procs.group(self.tid), file.version)
        if self.fd < 0:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return os.pread(self.fd, size, offset)

    def _read_frozen(self, offset: int, size: int) -> bytes:
        if self.unread:
            self.unread = False
            self.file.believe(self.inode.view.number, self.core.procs.group(self.tid), self.belief)
        if self.text is not None:
            return self.text[offset : offset + size]
        return os.pread(self.fd, size, offset)

    def close_fd(self) -> None:
        """Close the descriptor of the committed bytes, if there is one."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class RealHandle:
    """An open file that is a real file: scratch, shadow, `.git`, special."""

    __slots__ = ("fd", "flags", "inode", "tid", "writable")

    def __init__(self, inode: Inode, fd: int, flags: int, tid: int) -> None:
        self.inode = inode
        self.fd = fd
        self.flags = flags
        self.tid = tid
        self.writable = flags & os.O_ACCMODE != os.O_RDONLY

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes of the real file."""
        return os.pread(self.fd, size, offset)


class CommandHandle(Protocol):
    """An open control file that takes commands or new text. Its errors are those of write(2) or close(2)."""

    inode: Inode

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes."""
        ...

    async def write(self, offset: int, data: bytes) -> int:
        """Take bytes; carry out what is complete in them. Raises OSError, MakfsError."""
        ...

    def truncate(self, size: int) -> None:
        """Carry out ftruncate(2)."""
        ...

    async def flush(self, tid: int = 0) -> None:
        """Carry out what is left, before close(2) of a thread returns. Raises OSError, MakfsError."""
        ...

    def close(self) -> None:
        """Let it go: nobody has it open any more."""
        ...


class BytesHandle:
    """An open file whose bytes were fixed at open: control files, files of past trees."""

    __slots__ = ("data", "inode")

    def __init__(self, inode: Inode, data: bytes) -> None:
        self.inode = inode
        self.data = data

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes as they were at open."""
        return self.data[offset : offset + size]


OpenFile = TrackedHandle | RealHandle | BytesHandle | CommandHandle
"""What an open file can be."""
