"""FUSE requests to engine operations and back: five lines each. No policy here.

V1  No exception but FUSEError leaves a handler: a crash of one is EIO for its caller, logged, and no more.

`_edge` keeps V1 for most handlers. Those that `find`, `git status` and readers call by the thousand do the
same in place, by `_failure`: a coroutine less a request.
"""

import errno
import functools
import logging
import os
import stat
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import pyfuse3
from pyfuse3 import EntryAttributes, FileInfo, FUSEError

from makfs.engine.filesystem import Caller, Change, FileSystem, Found, Opened
from makfs.engine.inodes import StatLike
from makfs.engine.looking import DOTS
from makfs.errors import MakfsError
from makfs.vfs.bare import BareEntry

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")
_NEGATIVE_S = 1e9  # explicit invalidation ends it


def _edge(
    handler: Callable[Concatenate["Operations", P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate["Operations", P], Coroutine[Any, Any, R]]:
    """Turn the engine's errors into errnos (V1)."""

    @functools.wraps(handler)
    async def guarded(self: "Operations", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await handler(self, *args, **kwargs)
        except Exception as error:  # noqa: BLE001 - V1: anything else would end the daemon for all agents
            raise _failure(error, handler.__name__) from None

    return guarded


def _failure(error: Exception, what: str) -> FUSEError:
    """Return what the caller of a handler gets for an error in it (V1)."""
    if isinstance(error, FUSEError):
        return error
    if isinstance(error, OSError | MakfsError):
        return FUSEError(error.errno or errno.EIO)
    log.error("%s failed; its caller got EIO", what, exc_info=error)
    return FUSEError(errno.EIO)


def _attributes(ino: int, st: StatLike, entry_s: float, attr_s: float) -> EntryAttributes:
    """Return the reply that carries an inode's attributes."""
    entry = EntryAttributes()
    entry.st_ino = cast(Any, ino)
    entry.st_mode = cast(Any, st.st_mode)
    entry.st_nlink = st.st_nlink
    entry.st_uid = st.st_uid
    entry.st_gid = st.st_gid
    entry.st_rdev = st.st_rdev
    entry.st_size = st.st_size
    entry.st_blocks = st.st_blocks
    entry.st_atime_ns = st.st_atime_ns
    entry.st_mtime_ns = st.st_mtime_ns
    entry.st_ctime_ns = st.st_ctime_ns
    entry.entry_timeout = entry_s
    entry.attr_timeout = attr_s
    return entry


def _dot(ino: int) -> EntryAttributes:
    """Return what a listing says of `.` or `..`; the kernel takes no more of it."""
    entry = EntryAttributes()
    entry.st_ino, entry.st_mode = cast(Any, ino), cast(Any, stat.S_IFDIR)
    return entry


def _entry(found: Found) -> EntryAttributes:
    return _attributes(found.inode.ino, found.st, found.entry_s, found.attr_s)


def _info(opened: Opened) -> FileInfo:
    return FileInfo(fh=cast(Any, opened.handle), direct_io=opened.direct_io, keep_cache=opened.keep_cache)


def _caller(ctx: pyfuse3.RequestContext) -> Caller:
    return Caller(ctx.uid, ctx.gid, ctx.pid)


@dataclass(slots=True)
class _Listing:
    """An open folder: the names as they were when it was opened or rewound."""

    ino: int
    names: list[str] | None = None


class Operations(pyfuse3.Operations):
    """The handlers that pyfuse3 calls."""

    supports_dot_lookup = False
    enable_writeback_cache = False
    enable_acl = False

    def __init__(self, fs: FileSystem) -> None:
        super().__init__()
        self._fs = fs
        self._listings: dict[int, _Listing] = {}
        self._next_listing = 1
        self._bare = BareEntry()

    # ---- look-up and attributes

    async def lookup(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> EntryAttributes:
        try:
            found = self._fs.lookup(parent_inode, os.fsdecode(name))
            if found is not None:
                return _attributes(found.inode.ino, found.st, found.entry_s, found.attr_s)
            absent = EntryAttributes()
            absent.st_ino = cast(Any, 0)
            absent.entry_timeout = self._fs.absence_s(parent_inode)
            return absent
        except Exception as error:  # noqa: BLE001 - V1
            raise _failure(error, "lookup") from None

    def forget_now(self, inode_list: Sequence[tuple[int, int]]) -> None:
        for ino, count in inode_list:
            self._fs.forget(ino, count)

    async def forget(self, inode_list: Sequence[tuple[int, int]]) -> None:
        try:
            self.forget_now(inode_list)
        except Exception:  # V1: nobody waits for an answer
            log.exception("forget failed")

    async def getattr(self, inode: int, ctx: pyfuse3.RequestContext) -> EntryAttributes:
        try:
            st, attr_s = self._fs.getattr(inode)
            return _attributes(inode, st, 0.0, attr_s)
        except Exception as error:  # noqa: BLE001 - V1
            raise _failure(error, "getattr") from None

    @_edge
    async def setattr(
        self,
        inode: int,
        attr: EntryAttributes,
        fields: pyfuse3.SetattrFields,
        fh: int | None,
        ctx: pyfuse3.RequestContext,
    ) -> EntryAttributes:
        change = Change(
            mode=attr.st_mode if fields.update_mode else None,
            uid=attr.st_uid if fields.update_uid else -1,
            gid=attr.st_gid if fields.update_gid else -1,
            size=attr.st_size if fields.update_size else None,
            atime_ns=attr.st_atime_ns if fields.update_atime else None,
            mtime_ns=attr.st_mtime_ns if fields.update_mtime else None,
        )
        st, attr_s = await self._fs.setattr(inode, change, fh, _caller(ctx))
        return _attributes(inode, st, 0.0, attr_s)

    @_edge
    async def readlink(self, inode: int, ctx: pyfuse3.RequestContext) -> bytes:
        return self._fs.readlink(inode)

    # ---- folders

    async def opendir(self, inode: int, ctx: pyfuse3.RequestContext) -> int:
        try:
            self._fs.inode(inode)  # raises ESTALE
        except Exception as error:  # noqa: BLE001 - V1
            raise _failure(error, "opendir") from None
        number = self._next_listing
        self._next_listing += 1
        self._listings[number] = _Listing(inode)
        return number

    async def readdir(self, fh: int, start_id: int, token: pyfuse3.ReaddirToken) -> None:
        try:
            listing = self._listings[fh]
            if start_id == 0 or listing.names is None:  # opened, or rewound: as it is now
                listing.names = [*DOTS, *self._fs.listing(listing.ino)]
            names = listing.names
            if start_id < len(names):
                self._fill(listing.ino, names, start_id, token)
        except Exception as error:  # noqa: BLE001 - V1
            raise _failure(error, "readdir") from None

    def _fill(self, ino: int, names: list[str], start: int, token: pyfuse3.ReaddirToken) -> None:
        """Put names into a reply until it is full. Each that fits is a look-up that the kernel gives back."""
        fs, reply, bare = self._fs, pyfuse3.readdir_reply, self._bare
        folder = fs.inode(ino)
        for number in range(start, len(names)):
            name = names[number]
            if number < len(DOTS):  # no look-up
                if not reply(token, os.fsencode(name), _dot(fs.dots(folder)[number]), number + 1):
                    return
                continue
            known = fs.known(folder, name) if bare else None
            if known is not None:
                if not reply(token, os.fsencode(name), bare.fill(known.ino, known.kind), number + 1):
                    return
                continue
            found = fs.find(folder, name)
            if found is None:
                continue
            entry = _attributes(found.inode.ino, found.st, found.entry_s, found.attr_s)
            if not reply(token, os.fsencode(name), entry, number + 1):
                found.inode.view.settle(found.inode)
                return
            found.inode.lookups += 1

    async def releasedir(self, fh: int) -> None:
        self._listings.pop(fh, None)

    @_edge
    async def fsyncdir(self, fh: int, datasync: bool) -> None:
        self._fs.core.store.sync()

    # ---- names

    @_edge
    async def mkdir(
        self, parent_inode: int, name: bytes, mode: int, ctx: pyfuse3.RequestContext
    ) -> EntryAttributes:
        return _entry(await self._fs.mkdir(parent_inode, os.fsdecode(name), mode, _caller(ctx)))

    @_edge
    async def symlink(
        self, parent_inode: int, name: bytes, target: bytes, ctx: pyfuse3.RequestContext
    ) -> EntryAttributes:
        return _entry(await self._fs.symlink(parent_inode, os.fsdecode(name), target, _caller(ctx)))

    @_edge
    async def mknod(
        self, parent_inode: int, name: bytes, mode: int, rdev: int, ctx: pyfuse3.RequestContext
    ) -> EntryAttributes:
        return _entry(await self._fs.mknod(parent_inode, os.fsdecode(name), mode, rdev, _caller(ctx)))

    @_edge
    async def link(
        self, inode: int, new_parent_inode: int, new_name: bytes, ctx: pyfuse3.RequestContext
    ) -> EntryAttributes:
        return _entry(await self._fs.link(inode, new_parent_inode, os.fsdecode(new_name), _caller(ctx)))

    @_edge
    async def unlink(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        await self._fs.unlink(parent_inode, os.fsdecode(name), _caller(ctx))

    @_edge
    async def rmdir(self, parent_inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        await self._fs.rmdir(parent_inode, os.fsdecode(name), _caller(ctx))

    @_edge
    async def rename(
        self,
        parent_inode_old: int,
        name_old: bytes,
        parent_inode_new: int,
        name_new: bytes,
        flags: int,
        ctx: pyfuse3.RequestContext,
    ) -> None:
        old, new = os.fsdecode(name_old), os.fsdecode(name_new)
        await self._fs.rename(parent_inode_old, old, parent_inode_new, new, flags, _caller(ctx))

    # ---- open files

    async def open(self, inode: int, flags: int, ctx: pyfuse3.RequestContext) -> FileInfo:
        try:
            opened = self._fs.open_plain(inode, flags, ctx.pid)
            return _info(opened or await self._fs.open(inode, flags, _caller(ctx)))
        except Exception as error:  # noqa: BLE001 - V1
            raise _failure(error, "open") from None

    @_edge
    async def create(
        self, parent_inode: int, name: bytes, mode: int, flags: int, ctx: pyfuse3.RequestContext
    ) -> tuple[FileInfo, EntryAttributes]:
        found, opened = await self._fs.create(parent_inode, os.fsdecode(name), mode, flags, _caller(ctx))
        return _info(opened), _entry(found)

    async def read(self, fh: int, off: int, size: int) -> bytes:
        try:
            return self._fs.read(fh, off, size)
        except Exception as error:  # noqa: BLE001 - V1
            raise _failure(error, "read") from None

    @_edge
    async def write(self, fh: int, off: int, buf: bytes) -> int:
        return await self._fs.write(fh, off, buf)

    async def flush(self, fh: int) -> None:
        try:
            if self._fs.staged_by(fh):
                await self._fs.flush(fh)
        except Exception as error:  # noqa: BLE001 - V1
            raise _failure(error, "flush") from None

    @_edge
    async def fsync(self, fh: int, datasync: bool) -> None:
        await self._fs.fsync(fh)

    async def release(self, fh: int) -> None:
        try:
            effects = self._fs.release_now(fh)
            if effects:
                await self._fs.outbox.settle(effects)
        except Exception as error:  # noqa: BLE001 - V1
            raise _failure(error, "release") from None

    # ---- extended attributes and the file system

    @_edge
    async def getxattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> bytes:
        return self._fs.xattrs.get(self._fs.inode(inode), os.fsdecode(name))

    @_edge
    async def setxattr(self, inode: int, name: bytes, value: bytes, ctx: pyfuse3.RequestContext) -> None:
        await self._fs.setxattr(inode, os.fsdecode(name), value)

    @_edge
    async def removexattr(self, inode: int, name: bytes, ctx: pyfuse3.RequestContext) -> None:
        await self._fs.removexattr(inode, os.fsdecode(name))

    @_edge
    async def listxattr(self, inode: int, ctx: pyfuse3.RequestContext) -> Sequence[bytes]:
        return [os.fsencode(name) for name in self._fs.xattrs.names(self._fs.inode(inode))]

    @_edge
    async def statfs(self, ctx: pyfuse3.RequestContext) -> pyfuse3.StatvfsData:
        found = os.statvfs(self._fs.core.backing.root)
        data = pyfuse3.StatvfsData()
        for field in (
            "f_bsize", "f_frsize", "f_blocks", "f_bfree", "f_bavail",
            "f_files", "f_ffree", "f_favail", "f_namemax",
        ):  # fmt: skip
            setattr(data, field, getattr(found, field))
        return data
