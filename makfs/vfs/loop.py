"""Make pyfuse3's request loop try the device before it waits.

pyfuse3 takes a lock of trio's and waits for readability before each request: five system calls and two task
switches. Looking first (poll(2), no waiting) and going back to trio every 32nd request costs a third of that.
pyfuse3 looks its event library up by name, so that it can be replaced (`pyfuse3.asyncio.enable` does so).
This is such a replacement; everything but two names is trio itself.
"""

import select
from collections.abc import Awaitable
from types import SimpleNamespace, TracebackType
from typing import Any, cast

import pyfuse3
import trio

_TURN = 32  # requests taken in a row before other tasks run: some 0.3 ms


class _Done(tuple[()]):
    """An awaitable that is over at once; a coroutine for it would cost more than what it stands for."""

    __slots__ = ()
    __await__ = tuple.__iter__


_DONE: Awaitable[None] = cast(Any, _Done())


class _TurnLock:
    """A lock that costs nothing while one task wants it. Not fair: whoever runs takes it."""

    def __init__(self) -> None:
        self._held = False
        self._waiting = trio.lowlevel.ParkingLot()

    def __aenter__(self) -> Awaitable[None]:
        if self._held:
            return self._wait()
        self._held = True
        return _DONE

    async def _wait(self) -> None:
        while self._held:
            await self._waiting.park()
        self._held = True

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Awaitable[None]:
        self._held = False
        if self._waiting:
            self._waiting.unpark()
        return _DONE


class _Readable:
    """`wait_readable` that looks before it waits."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._fd = -1
        self._count = 0

    def __call__(self, fd: int) -> Awaitable[None]:
        if fd != self._fd:
            self._poll = select.poll()
            self._poll.register(fd, select.POLLIN | select.POLLERR | select.POLLHUP)
            self._fd = fd
        self._count += 1
        if self._count % _TURN and self._poll.poll(0):
            return _DONE
        return self._wait(fd)

    async def _wait(self, fd: int) -> None:
        """Let other tasks run, then look again, and wait."""
        if self._count % _TURN == 0:
            await trio.lowlevel.checkpoint()
            if self._poll.poll(0):
                return
        await trio.lowlevel.wait_readable(fd)


def install() -> None:
    """Give pyfuse3 the quicker waiting. Call before `pyfuse3.main`."""
    lowlevel = SimpleNamespace(**vars(trio.lowlevel))
    lowlevel.wait_readable = _Readable()
    shim: Any = SimpleNamespace(**vars(trio))
    shim.lowlevel = lowlevel
    shim.Lock = _TurnLock
    pyfuse3.trio = shim  # type: ignore[attr-defined]
