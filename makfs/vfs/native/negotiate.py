"""The first request, INIT: what the kernel offers and what of it this file system takes. Pure.

G1  Locks of files are never taken over: POSIX and flock(2) locks stay in the kernel, for each inode.
G2  No writeback cache: it hides errors of writes and lets an invalidation wait for itself.
G3  AUTO_INVAL_DATA, not EXPLICIT_INVAL_DATA: the engine tells what it changes, but `.git` and scratch files
    also change behind the mount. With explicit invalidation alone a file that grew there keeps its last page,
    and the kernel shows zeros where the new bytes are.
G4  Links' targets are not cached: a link that is replaced behind the mount keeps its inode.
"""

from dataclasses import dataclass

from makfs.errors import MountError
from makfs.vfs.native.abi import (
    FUSE_KERNEL_MINOR_VERSION,
    FUSE_KERNEL_VERSION,
    FUSE_OLDEST_MINOR,
    INIT_IN,
    INIT_IN_FLAGS2,
    INIT_OUT,
    Init,
)

PAGE_SIZE = 4096  # what the kernel may count max_pages in is at least this
MAX_WRITE = 1 << 20
MAX_BACKGROUND = 64  # read-ahead and the closing of files
WANTED = (
    Init.ASYNC_READ
    | Init.ATOMIC_O_TRUNC
    | Init.BIG_WRITES
    | Init.AUTO_INVAL_DATA
    | Init.DO_READDIRPLUS
    | Init.PARALLEL_DIROPS
    | Init.MAX_PAGES
    | Init.HANDLE_KILLPRIV_V2
    | Init.INIT_EXT
    | Init.DIRECT_IO_ALLOW_MMAP
)


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides do from now on."""

    minor: int
    flags: Init
    max_readahead: int

    def reply(self) -> bytes:
        """Return struct fuse_init_out."""
        return INIT_OUT.pack(
            FUSE_KERNEL_VERSION, FUSE_KERNEL_MINOR_VERSION, self.max_readahead, self.flags & 0xFFFF_FFFF,
            MAX_BACKGROUND, MAX_BACKGROUND * 3 // 4, MAX_WRITE, 1, MAX_WRITE // PAGE_SIZE, 0,
            self.flags >> 32,
        )  # fmt: skip


def another_major() -> bytes:
    """Return the reply to a kernel that speaks a newer major version: it then asks again with ours."""
    return INIT_OUT.pack(FUSE_KERNEL_VERSION, FUSE_KERNEL_MINOR_VERSION, *(0,) * 9)


def agree(body: memoryview) -> Agreed | None:
    """Return what is agreed on; None if the kernel must ask again. Raises MountError, struct.error."""
    major, minor, max_readahead, offered = INIT_IN.unpack_from(body)
    if major > FUSE_KERNEL_VERSION:
        return None
    if major < FUSE_KERNEL_VERSION or minor < FUSE_OLDEST_MINOR:
        raise MountError(
            f"The kernel speaks FUSE {major}.{minor}; {FUSE_KERNEL_VERSION}.{FUSE_OLDEST_MINOR} (Linux 5.4) "
            'or later is needed. makfs.conf can say transport = "pyfuse3".'
        )
    if offered & Init.INIT_EXT and len(body) >= INIT_IN.size + INIT_IN_FLAGS2.size:
        offered |= INIT_IN_FLAGS2.unpack_from(body, INIT_IN.size)[0] << 32
    return Agreed(minor, WANTED & Init(offered), max_readahead)
