"""Open files: open, create, read, write, flush, release.

What needs no waiting is answered by a plain function: reading, closing a file that was only read. An open to
read is answered as soon as it can fail no more: the client goes on while the rest is noted.
"""

import os

from makfs.engine.effects import Effects
from makfs.engine.filesystem import Caller, FileSystem
from makfs.engine.plain import close_plain, first_text
from makfs.vfs.native import abi, encode
from makfs.vfs.native.abi import Opcode
from makfs.vfs.native.common import Answer, Handler, Head, caller, text
from makfs.vfs.native.device import Device
from makfs.vfs.native.interrupts import Interrupts
from makfs.vfs.native.looks import drop_privileges

_read_in = abi.READ_IN.unpack_from
_write_in = abi.WRITE_IN.unpack_from


class Files:
    """Handlers of open files."""

    def __init__(self, fs: FileSystem, interrupts: Interrupts, device: Device) -> None:
        self._fs = fs
        self._device = device
        self._interrupts = interrupts

    def table(self) -> dict[int, Handler]:
        """Return the handlers by opcode."""
        return {
            Opcode.OPEN: self.open,
            Opcode.CREATE: self.create,
            Opcode.READ: self.read,
            Opcode.WRITE: self.write,
            Opcode.FLUSH: self.flush,
            Opcode.FSYNC: self.fsync,
            Opcode.RELEASE: self.release,
        }

    def open(self, node: int, body: memoryview, head: Head) -> Answer:
        flags, more = abi.OPEN_IN.unpack_from(body)
        tid = head[6]
        begun = self._fs.begin_plain(node, flags, tid)
        if begun is not None:
            given = first_text(begun)
            if given is not None:
                self._device.store(node, given)
            number = self._fs.next_handle()
            self._device.answer(head[2], encode.opened_plain(number))
            self._fs.end_plain(begun, number, flags, tid)
            return None
        work = self._open(node, flags, more, caller(head))
        return self._interrupts.while_alive(head[2], tid, work) if self._fs.is_turn(node) else work

    async def _open(self, node: int, flags: int, more: int, who: Caller) -> bytes:
        if flags & os.O_TRUNC and more & abi.FUSE_OPEN_KILL_SUIDGID:
            await drop_privileges(self._fs, node, who)
        opened = await self._fs.open(node, flags, who)
        return encode.opened(opened, read_only=not flags & (os.O_ACCMODE | os.O_TRUNC))

    def create(self, node: int, body: memoryview, head: Head) -> Answer:
        flags, mode, _, _ = abi.CREATE_IN.unpack_from(body)
        work = self._create(node, text(body[abi.CREATE_IN.size :]), mode, flags, caller(head))
        if flags & os.O_EXCL:  # it may wait for another's lock file; after that it waits for nothing (T1)
            return self._interrupts.allow(head[2], work)
        return work

    async def _create(self, node: int, name: str, mode: int, flags: int, who: Caller) -> bytes:
        found, opened = await self._fs.create(node, name, mode, flags, who)
        return encode.entry(found) + encode.opened(opened, read_only=not flags & (os.O_ACCMODE | os.O_TRUNC))

    def read(self, node: int, body: memoryview, head: Head) -> Answer:
        handle, offset, size, *_ = _read_in(body)
        return self._fs.read(handle, offset, size)

    def write(self, node: int, body: memoryview, head: Head) -> Answer:
        handle, offset, size, flags, *_ = _write_in(body)
        start = abi.WRITE_IN.size
        kill = flags & abi.FUSE_WRITE_KILL_SUIDGID
        work = self._write(
            node, handle, offset, bytes(body[start : start + size]), caller(head) if kill else None
        )
        return self._interrupts.while_alive(head[2], head[6], work) if self._fs.may_wait else work

    async def _write(self, node: int, handle: int, offset: int, data: bytes, killer: Caller | None) -> bytes:
        done = await self._fs.write(handle, offset, data)
        if killer is not None:
            await drop_privileges(self._fs, node, killer)
        return abi.WRITE_OUT.pack(done, 0)

    def flush(self, node: int, body: memoryview, head: Head) -> Answer:
        handle = abi.FLUSH_IN.unpack_from(body)[0]
        if not self._fs.staged_by(handle):
            return b""
        work = self._flush(handle, head[6])
        return self._interrupts.while_alive(head[2], head[6], work) if self._fs.may_wait else work

    async def _flush(self, handle: int, tid: int) -> bytes:
        await self._fs.flush(handle, tid)
        return b""

    def fsync(self, node: int, body: memoryview, head: Head) -> Answer:
        work = self._fsync(abi.FSYNC_IN.unpack_from(body)[0])
        return self._interrupts.while_alive(head[2], head[6], work)

    async def _fsync(self, handle: int) -> bytes:
        await self._fs.fsync(handle)
        return b""

    def release(self, node: int, body: memoryview, head: Head) -> Answer:
        number = abi.RELEASE_IN.unpack_from(body)[0]
        if close_plain(self._fs.handles, number):
            return b""
        effects = self._fs.release_now(number)
        return self._settle(effects) if effects else b""

    async def _settle(self, effects: Effects) -> bytes:
        await self._fs.outbox.settle(effects)
        return b""
