"""Wait for the next request: for a moment as cheaply as can be, then as trio does.

A client on another CPU is back within microseconds, and going to sleep through trio costs more than its
request.

W1  Other tasks run after at most 32 requests, and at once when nothing is to be read and one of them can run.
"""

import select
from typing import Any

import trio

TURN = 32  # requests taken in a row before other tasks run: some 0.3 ms
_SHORT_S = 0.001  # poll(2) knows no shorter time


class Ready:
    """Tells when the device can be read. Made inside trio's run."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll: select.poll | None = None
        if (own := _epoll_of_trio()) >= 0:
            self._poll = select.poll()
            self._poll.register(fd, select.POLLIN | select.POLLERR | select.POLLHUP)
            self._poll.register(own, select.POLLIN)

    def soon(self) -> bool:
        """Wait a moment for the device, or for anything that trio waits for; tell if it is the device."""
        if self._poll is None:
            return False
        state = trio.lowlevel.current_statistics()
        if state.tasks_runnable or state.seconds_to_next_deadline <= _SHORT_S:  # W1
            return False
        return any(fd == self._fd for fd, _ in self._poll.poll(_SHORT_S * 1000.0))

    async def wait(self) -> None:
        """Wait as trio does."""
        await trio.lowlevel.wait_readable(self._fd)


def _epoll_of_trio() -> int:
    """Return the descriptor that is readable when trio has something to do, -1 if this trio has none.

    It is not a part of trio's interface; without it only the short wait is gone.
    """
    try:
        from trio._core import _run

        context: Any = _run.GLOBAL_RUN_CONTEXT
        return int(context.runner.io_manager._epoll.fileno())
    except (ImportError, AttributeError):
        return -1
