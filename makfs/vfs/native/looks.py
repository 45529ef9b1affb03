"""Look-ups, attributes, extended attributes, the file system's own figures."""

import errno
import os
import stat
import time
from collections.abc import Coroutine
from typing import Any

from makfs.engine.effects import Effects
from makfs.engine.filesystem import Caller, Change, FileSystem
from makfs.engine.names import oserror
from makfs.vfs.native import abi, encode
from makfs.vfs.native.abi import Fattr, Opcode
from makfs.vfs.native.common import Answer, Handler, Head, caller, text

_NS = 1_000_000_000


class Looks:
    """Handlers that change no names and no contents."""

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs

    def table(self) -> dict[int, Handler]:
        """Return the handlers by opcode."""
        return {
            Opcode.LOOKUP: self.lookup,
            Opcode.FORGET: self.forget,
            Opcode.BATCH_FORGET: self.batch_forget,
            Opcode.GETATTR: self.getattr,
            Opcode.SETATTR: self.setattr,
            Opcode.READLINK: self.readlink,
            Opcode.STATFS: self.statfs,
            Opcode.GETXATTR: self.getxattr,
            Opcode.SETXATTR: self.setxattr,
            Opcode.LISTXATTR: self.listxattr,
            Opcode.REMOVEXATTR: self.removexattr,
        }

    def lookup(self, node: int, body: memoryview, head: Head) -> Answer:
        found = self._fs.lookup(node, text(body))
        return encode.entry(found) if found is not None else encode.absent(self._fs.absence_s(node))

    def forget(self, node: int, body: memoryview, head: Head) -> Answer:
        self._fs.forget(node, abi.FORGET_IN.unpack_from(body)[0])
        return None

    def batch_forget(self, node: int, body: memoryview, head: Head) -> Answer:
        count, _ = abi.BATCH_FORGET_IN.unpack_from(body)
        start = abi.BATCH_FORGET_IN.size
        for ino, lookups in abi.FORGET_ONE.iter_unpack(body[start : start + count * abi.FORGET_ONE.size]):
            self._fs.forget(ino, lookups)
        return None

    def getattr(self, node: int, body: memoryview, head: Head) -> Answer:
        st, attr_s = self._fs.getattr(node)
        return encode.attributes(node, st, attr_s)

    def setattr(self, node: int, body: memoryview, head: Head) -> Answer:
        given = abi.SETATTR_IN.unpack_from(body)
        valid, handle = Fattr(given[0]), given[2]
        atime, mtime = given[5] * _NS + given[8], given[6] * _NS + given[9]
        if valid & (Fattr.ATIME_NOW | Fattr.MTIME_NOW):
            now = time.time_ns()
            atime = now if valid & Fattr.ATIME_NOW else atime
            mtime = now if valid & Fattr.MTIME_NOW else mtime
        change = Change(
            mode=given[11] if valid & Fattr.MODE else None,
            uid=given[13] if valid & Fattr.UID else -1,
            gid=given[14] if valid & Fattr.GID else -1,
            size=given[3] if valid & Fattr.SIZE else None,
            atime_ns=atime if valid & Fattr.ATIME else None,
            mtime_ns=mtime if valid & Fattr.MTIME else None,
        )
        return self._setattr(node, change, handle if valid & Fattr.FH else None, valid, caller(head))

    async def _setattr(
        self, node: int, change: Change, handle: int | None, valid: Fattr, who: Caller
    ) -> bytes:
        st, attr_s = await self._fs.setattr(node, change, handle, who)
        if valid & Fattr.KILL_SUIDGID and change.mode is None:
            await drop_privileges(self._fs, node, who)
            st, attr_s = self._fs.getattr(node)
        return encode.attributes(node, st, attr_s)

    def readlink(self, node: int, body: memoryview, head: Head) -> Answer:
        return self._fs.readlink(node)

    def statfs(self, node: int, body: memoryview, head: Head) -> Answer:
        st = os.statvfs(self._fs.core.backing.root)
        return abi.STATFS_OUT.pack(
            st.f_blocks,
            st.f_bfree,
            st.f_bavail,
            st.f_files,
            st.f_ffree,
            st.f_bsize,
            st.f_namemax,
            st.f_frsize,
            0,
        )

    # ---- extended attributes

    def getxattr(self, node: int, body: memoryview, head: Head) -> Answer:
        size, _ = abi.GETXATTR_IN.unpack_from(body)
        value = self._fs.xattrs.get(self._fs.inode(node), text(body[abi.GETXATTR_IN.size :]))
        return _sized(value, size)

    def listxattr(self, node: int, body: memoryview, head: Head) -> Answer:
        size, _ = abi.GETXATTR_IN.unpack_from(body)
        found = self._fs.xattrs.names(self._fs.inode(node))
        return _sized(b"".join(os.fsencode(name) + b"\0" for name in found), size)

    def setxattr(self, node: int, body: memoryview, head: Head) -> Answer:
        size, flags = abi.SETXATTR_IN.unpack_from(body)
        if flags & ~(os.XATTR_CREATE | os.XATTR_REPLACE):
            raise oserror(errno.EINVAL)
        name, _, rest = bytes(body[abi.SETXATTR_IN.size :]).partition(b"\0")
        key, inode = os.fsdecode(name), self._fs.inode(node)
        if flags and flags & os.XATTR_CREATE and self._has(node, key):
            raise oserror(errno.EEXIST, key)
        if flags & os.XATTR_REPLACE:
            self._fs.xattrs.get(inode, key)  # raises ENODATA
        return _done(self._fs.setxattr(node, key, rest[:size]))

    def _has(self, node: int, key: str) -> bool:
        try:
            self._fs.xattrs.get(self._fs.inode(node), key)
        except OSError as error:
            if error.errno == errno.ENODATA:
                return False
            raise
        return True

    def removexattr(self, node: int, body: memoryview, head: Head) -> Answer:
        return _done(self._fs.removexattr(node, text(body)))


async def _done(doing: Coroutine[Any, Any, None]) -> bytes:
    await doing
    return b""


def _sized(value: bytes, size: int) -> bytes:
    """Answer one who offers `size` bytes; 0 asks how many it would take (getxattr(2))."""
    if size == 0:
        return abi.GETXATTR_OUT.pack(len(value), 0)
    if len(value) > size:
        raise oserror(errno.ERANGE)
    return value


def privileged(mode: int) -> int:
    """Return the bits of a mode that end when somebody without CAP_FSETID changes the content (chmod(2))."""
    bits = mode & stat.S_ISUID
    if mode & stat.S_IXGRP:
        bits |= mode & stat.S_ISGID
    return bits if stat.S_ISREG(mode) else 0


async def drop_privileges(fs: FileSystem, node: int, who: Caller) -> None:
    """Do what HANDLE_KILLPRIV_V2 took over from the kernel, which then still believes the old mode."""
    mode = fs.getattr(node)[0].st_mode
    bits = privileged(mode)
    if bits:
        await fs.setattr(node, Change(mode=mode & ~bits), None, who)
        await fs.outbox.settle(Effects(attributes=[node]))
