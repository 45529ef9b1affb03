"""From the engine's values to the bytes of replies. Pure, and the hot path of every look-up."""

from collections.abc import Callable
from functools import lru_cache

from makfs.engine.filesystem import Found, Opened
from makfs.engine.inodes import StatLike
from makfs.vfs.native.abi import (
    ATTR_OUT,
    DIRENT,
    DIRENTPLUS,
    ENTRY_OUT,
    OPEN_OUT,
    Fopen,
)

_NS = 1_000_000_000
_WORD = 0xFFFF_FFFF
_MOST_S = 1e12  # more seconds than this the kernel takes for an error in the file system
_entry: Callable[..., bytes] = ENTRY_OUT.pack
_attributes: Callable[..., bytes] = ATTR_OUT.pack
_plus: Callable[..., bytes] = DIRENTPLUS.pack
_opened: Callable[..., bytes] = OPEN_OUT.pack
_DIRECT_IO, _KEEP_CACHE, _NO_FLUSH = int(Fopen.DIRECT_IO), int(Fopen.KEEP_CACHE), int(Fopen.NOFLUSH)
_PLAIN = _KEEP_CACHE | _NO_FLUSH


@lru_cache(maxsize=64)
def timeout(seconds: float) -> tuple[int, int]:
    """Return whole seconds and nanoseconds."""
    whole = int(min(max(seconds, 0.0), _MOST_S))
    return whole, int((min(max(seconds, 0.0), _MOST_S) - whole) * _NS)


@lru_cache(maxsize=64)
def _timeouts(entry_s: float, attr_s: float) -> tuple[int, int, int, int]:
    return *timeout(entry_s), *timeout(attr_s)


def entry(found: Found) -> bytes:
    """Return the reply that tells a name's inode (struct fuse_entry_out)."""
    st, ino = found.st, found.inode.ino
    name_s, name_ns, attr_s, attr_ns = _timeouts(found.entry_s, found.attr_s)
    atime, mtime, ctime = st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns
    return _entry(
        ino, 0, name_s, attr_s, name_ns, attr_ns,
        ino, st.st_size, st.st_blocks, atime // _NS, mtime // _NS, ctime // _NS,
        atime % _NS, mtime % _NS, ctime % _NS,
        st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_rdev & _WORD, 4096, 0,
    )  # fmt: skip


@lru_cache(maxsize=64)
def absent(seconds: float) -> bytes:
    """Return the reply that tells that nothing has a name, and for how long that may be believed."""
    name_s, name_ns = timeout(seconds)
    return _entry(0, 0, name_s, 0, name_ns, 0, *(0,) * 16)


def attributes(ino: int, st: StatLike, attr_s: float) -> bytes:
    """Return the reply that tells an inode's attributes (struct fuse_attr_out)."""
    seconds, ns = timeout(attr_s)
    atime, mtime, ctime = st.st_atime_ns, st.st_mtime_ns, st.st_ctime_ns
    return _attributes(
        seconds, ns, 0,
        ino, st.st_size, st.st_blocks, atime // _NS, mtime // _NS, ctime // _NS,
        atime % _NS, mtime % _NS, ctime % _NS,
        st.st_mode, st.st_nlink, st.st_uid, st.st_gid, st.st_rdev & _WORD, 4096, 0,
    )  # fmt: skip


def opened(file: Opened, *, read_only: bool) -> bytes:
    """Return the reply to an open (struct fuse_open_out).

    Closing a handle that cannot write asks nothing of the file system, so its FLUSH is not wanted.
    """
    flags = (_DIRECT_IO if file.direct_io else 0) | (_KEEP_CACHE if file.keep_cache else 0)
    if read_only:
        flags |= _NO_FLUSH
    return _opened(file.handle, flags, 0)


def opened_plain(handle: int) -> bytes:
    """Return the reply to an open to read of a file that is at rest."""
    return _opened(handle, _PLAIN, 0)


def _padded(fixed: bytes, name: bytes) -> bytes:
    return fixed + name + b"\0" * (-(len(fixed) + len(name)) % 8)


def dirent(ino: int, kind: int, name: bytes, offset: int) -> bytes:
    """Return one name of a READDIR reply. `kind` is S_IFMT of a mode, `offset` where the next one starts."""
    return _padded(DIRENT.pack(ino, offset, len(name), kind >> 12), name)


def bare_plus(ino: int, kind: int, name: bytes, offset: int) -> bytes:
    """Return one name of a READDIRPLUS reply that is not a look-up: the kernel keeps what it knows."""
    return _padded(_plus(*(0,) * 22, ino, offset, len(name), kind >> 12), name)


def direntplus(found: Found, name: bytes, offset: int) -> bytes:
    """Return one name of a READDIRPLUS reply. Once sent, it is a look-up that the kernel gives back."""
    ino = found.inode.ino
    dirent_part = DIRENT.pack(ino, offset, len(name), found.st.st_mode >> 12 & 0o17)
    return _padded(entry(found) + dirent_part, name)
