"""The request loop of one mount.

S1  No exception leaves a handler: a crash of one is EIO for its caller, logged, and no more (V1).
S2  One task has the lead: it alone reads the device and answers at once what needs no waiting. When an
    operation waits for the first time, its task goes on with that, and another takes the lead: so reading the
    device never waits for an operation.
S3  Nobody waits for the closing of a file that was only read, and it is done while the client is busy: after
    his next open has been answered, or when nothing more comes at once. Whatever is not a look, or an open to
    read another file, finds it done.
S4  With `MOST_WAITING` operations waiting, opening one more is refused with EBUSY: what they wait for is
    served.
"""

import contextlib
import errno
import logging
import types
from collections.abc import Awaitable, Coroutine, Generator, Mapping
from typing import Any

import trio

from makfs.engine.plain import NOT_PLAIN
from makfs.vfs.failure import errno_of
from makfs.vfs.native import negotiate
from makfs.vfs.native.abi import IN_HEADER, INTERRUPT_IN, OPEN_IN, RELEASE_IN, WRITE_IN, Opcode
from makfs.vfs.native.common import Handler, Head
from makfs.vfs.native.device import Device, read_into
from makfs.vfs.native.interrupts import Interrupts
from makfs.vfs.native.waiting import TURN, Ready

log = logging.getLogger(__name__)
MOST_WAITING = 1024
BUFFER_SIZE = negotiate.MAX_WRITE + IN_HEADER.size + WRITE_IN.size + 4096
_MOST_SHY = 16  # requests waited for before the next is read at once again
_SPARE = 8  # tasks that stand by to take the lead
_CLOSE_NS = 20_000  # a client who has closed a file may take so long to ask for something
_BODY = IN_HEADER.size
_head_of = IN_HEADER.unpack_from
_open_in, _release_in = OPEN_IN.unpack_from, RELEASE_IN.unpack_from
_OPEN, _RELEASE = int(Opcode.OPEN), int(Opcode.RELEASE)
_LOOKS = frozenset({int(Opcode.LOOKUP), int(Opcode.GETATTR)})
_OPENING = frozenset({Opcode.OPEN, Opcode.CREATE})
_SILENT = frozenset({Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY})


class Session:
    """Takes requests from a device and answers them until the mount is gone."""

    def __init__(self, device: Device, handlers: Mapping[int, Handler], interrupts: Interrupts) -> None:
        self._device = device
        self._handlers = {int(opcode): handler for opcode, handler in handlers.items()}
        self._closing: tuple[bytes, Head] | None = None  # what has been put off (S3): body and header
        self._interrupts = interrupts
        self._handlers |= {
            Opcode.INIT: self._init,
            Opcode.INTERRUPT: self._interrupt,
            Opcode.DESTROY: _destroy,
        }
        self._buffer = bytearray(BUFFER_SIZE)
        self._view = memoryview(self._buffer)
        self._standby = trio.lowlevel.ParkingLot()
        self._waiting = 0
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Serve until the mount is gone or this is cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._work, Ready(self._device.fd))

    async def _work(self, ready: Ready) -> None:
        """Have the lead; when it is lost and the work done, stand by to have it again (S2)."""
        while await self._lead(ready):
            if len(self._standby) >= _SPARE:
                return
            await self._standby.park()
        assert self._nursery is not None
        self._nursery.cancel_scope.cancel()  # what still waits has nobody left to tell

    async def _lead(self, ready: Ready) -> bool:
        """Take requests until one waits; return True when that has been answered, False at the end."""
        fd, buffers, turn = self._device.fd, (self._buffer,), 0
        # A client on our CPU has sent its next request when its last is answered, one on another has not: to
        # read in vain costs more than to poll first. So after each vain read some requests are waited for.
        shy, ask = 1, 0
        ready.began()
        while True:
            if ask:
                ask -= 1
                if self._closing is not None and not ready.at_once(_CLOSE_NS):
                    self._close()
                if not ready.soon():
                    self._close()
                    await ready.wait()
                    turn = 0
                size = read_into(fd, buffers)
            elif (size := read_into(fd, buffers)) > 0:
                shy = 1
            if size > 0:
                waits = self._take(size)
                if waits is not None:
                    await self._finish(ready, *waits)
                    return True
            elif size < 0:
                return False
            else:
                ask = shy = min(2 * shy, _MOST_SHY)
            turn += 1
            if turn >= TURN:
                turn = 0
                if ready.others():
                    self._close()
                    await ready.let_others()

    def _take(self, size: int) -> tuple[int, int, Coroutine[Any, Any, bytes], Any] | None:
        """Answer the request in the buffer, or return what is left of it: it waits for something."""
        head = _head_of(self._buffer)
        length, opcode, unique = head[0], head[1], head[2]
        if length != size or size < _BODY:
            log.error("a request of %d bytes says it has %d", size, length)
            return None
        if opcode == _RELEASE and not _release_in(self._buffer, _BODY)[1] & NOT_PLAIN:
            self._close()
            self._closing = bytes(self._view[_BODY:size]), head
            return None
        if self._closing is not None and opcode not in _LOOKS and not self._opens_another(head):
            self._close()
        try:
            handler = self._handlers.get(opcode)
            if handler is None:
                if opcode not in _SILENT:
                    self._device.refuse(unique, errno.ENOSYS)  # the kernel stops asking
                return None
            if self._waiting >= MOST_WAITING and opcode in _OPENING:
                self._device.refuse(unique, errno.EBUSY)  # S4
                return None
            answer = handler(head[3], self._view[_BODY:size], head)
            if isinstance(answer, bytes):
                self._device.answer(unique, answer)
            elif answer is not None:
                return opcode, unique, answer, answer.send(None)
            elif opcode == _OPEN:  # the client has his answer, and is busy
                self._close()
        except StopIteration as stop:
            self._device.answer(unique, stop.value)
        except Exception as error:  # noqa: BLE001 - S1
            self._failed(opcode, unique, error)
        return None

    def _opens_another(self, head: Head) -> bool:
        """Tell whether the request in the buffer is an open to read another file than is being closed."""
        if head[1] != _OPEN or _open_in(self._buffer, _BODY)[0] & NOT_PLAIN:
            return False
        return self._closing is not None and self._closing[1][3] != head[3]

    def _close(self) -> None:
        """Carry out a closing that was put off (S3)."""
        if self._closing is None:
            return
        (body, head), self._closing = self._closing, None
        try:
            answer = self._handlers[_RELEASE](head[3], memoryview(body), head)
        except Exception as error:  # noqa: BLE001 - S1
            self._failed(_RELEASE, head[2], error)
            return
        if isinstance(answer, bytes):
            self._device.answer(head[2], answer)
        elif answer is not None:
            assert self._nursery is not None
            self._nursery.start_soon(self._end, _RELEASE, head[2], answer)

    async def _end(self, opcode: int, unique: int, work: Awaitable[bytes]) -> None:
        """Carry out to its end what may wait, and answer it."""
        self._waiting += 1
        try:
            answer = await work
        except Exception as error:  # noqa: BLE001 - S1
            self._failed(opcode, unique, error)
        else:
            self._device.answer(unique, answer)
        finally:
            self._waiting -= 1

    async def _finish(
        self, ready: Ready, opcode: int, unique: int, work: Coroutine[Any, Any, bytes], trap: Any
    ) -> None:
        """Give the lead away, go on with an operation that waits, and answer it."""
        self._close()
        if self._standby:
            self._standby.unpark()
        else:
            assert self._nursery is not None
            self._nursery.start_soon(self._work, ready)
        await self._end(opcode, unique, _rest(work, trap))

    def _failed(self, opcode: int, unique: int, error: Exception) -> None:
        """Answer with an errno, unless nobody waits."""
        number = errno_of(error, _name(opcode))
        if opcode not in _SILENT:
            self._device.refuse(unique, number)

    # ---- the protocol's own requests

    def _init(self, node: int, body: memoryview, head: object) -> bytes:
        agreed = negotiate.agree(body)
        if agreed is None:
            return negotiate.another_major()
        log.info("FUSE 7.%d, %r", agreed.minor, agreed.flags)
        return agreed.reply()

    def _interrupt(self, node: int, body: memoryview, head: object) -> None:
        self._interrupts.interrupt(INTERRUPT_IN.unpack_from(body)[0])


def _destroy(node: int, body: memoryview, head: object) -> bytes:
    return b""


def _name(opcode: int) -> str:
    with contextlib.suppress(ValueError):
        return Opcode(opcode).name.lower()
    return f"request {opcode}"


@types.coroutine
def _rest(work: Coroutine[Any, Any, bytes], trap: Any) -> Generator[Any, Any, bytes]:
    """Go on with a coroutine that was begun by hand, in the task that began it."""
    while True:
        try:
            received = yield trap
        except BaseException as error:  # noqa: BLE001 - it is the coroutine's
            thrown: BaseException | None = error
            received = None
        else:
            thrown = None
        try:
            trap = work.send(received) if thrown is None else work.throw(thrown)
        except StopIteration as stop:
            value: bytes = stop.value
            return value
