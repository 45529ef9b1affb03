"""Names: make, link, remove, rename."""

import os
from collections.abc import Coroutine
from typing import Any

from makfs.engine.filesystem import FileSystem, Found
from makfs.vfs.native import abi, encode
from makfs.vfs.native.abi import Opcode
from makfs.vfs.native.common import Answer, Handler, Head, caller, names, text


class Changes:
    """Handlers that change what is in a folder."""

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs

    def table(self) -> dict[int, Handler]:
        """Return the handlers by opcode."""
        return {
            Opcode.MKDIR: self.mkdir,
            Opcode.MKNOD: self.mknod,
            Opcode.SYMLINK: self.symlink,
            Opcode.LINK: self.link,
            Opcode.UNLINK: self.unlink,
            Opcode.RMDIR: self.rmdir,
            Opcode.RENAME: self.rename,
            Opcode.RENAME2: self.rename2,
        }

    def mkdir(self, node: int, body: memoryview, head: Head) -> Answer:
        mode, _ = abi.MKDIR_IN.unpack_from(body)
        return _made(self._fs.mkdir(node, text(body[abi.MKDIR_IN.size :]), mode, caller(head)))

    def mknod(self, node: int, body: memoryview, head: Head) -> Answer:
        mode, rdev, _, _ = abi.MKNOD_IN.unpack_from(body)
        return _made(self._fs.mknod(node, text(body[abi.MKNOD_IN.size :]), mode, rdev, caller(head)))

    def symlink(self, node: int, body: memoryview, head: Head) -> Answer:
        name, target = names(body)
        return _made(self._fs.symlink(node, name, os.fsencode(target), caller(head)))

    def link(self, node: int, body: memoryview, head: Head) -> Answer:
        (old,) = abi.LINK_IN.unpack_from(body)
        return _made(self._fs.link(old, node, text(body[abi.LINK_IN.size :]), caller(head)))

    def unlink(self, node: int, body: memoryview, head: Head) -> Answer:
        return _done(self._fs.unlink(node, text(body), caller(head)))

    def rmdir(self, node: int, body: memoryview, head: Head) -> Answer:
        return _done(self._fs.rmdir(node, text(body), caller(head)))

    def rename(self, node: int, body: memoryview, head: Head) -> Answer:
        (target,) = abi.RENAME_IN.unpack_from(body)
        old, new = names(body[abi.RENAME_IN.size :])
        return _done(self._fs.rename(node, old, target, new, 0, caller(head)))

    def rename2(self, node: int, body: memoryview, head: Head) -> Answer:
        target, flags, _ = abi.RENAME2_IN.unpack_from(body)
        old, new = names(body[abi.RENAME2_IN.size :])
        return _done(self._fs.rename(node, old, target, new, flags, caller(head)))


async def _made(making: Coroutine[Any, Any, Found]) -> bytes:
    return encode.entry(await making)


async def _done(doing: Coroutine[Any, Any, None]) -> bytes:
    await doing
    return b""
