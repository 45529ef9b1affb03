"""Wait for the next request: for a moment without sleeping, then in poll(2), then as trio does.

A client on another CPU is back within microseconds, and going to sleep through trio costs more than its
request. So does sleeping at all where an idle CPU is taken from a virtual machine: waking it is dear for the
client, and what it runs next is slow (docs/adr/0015).

W1  Other tasks run after at most 32 requests, and at once when nothing is to be read and one of them can run.
W2  To look without sleeping is given up for 1, 2, 4 ... 64 requests each time it was in vain: a client who
    thinks between his requests, or has only our CPU to run on, costs next to nothing.
"""

import select
from time import perf_counter_ns
from typing import Any

import trio

TURN = 32  # requests taken in a row before other tasks run: some 0.3 ms
_MANY = 100  # tasks: to look at each of them costs more than to let them run
_SHORT_S = 0.001  # poll(2) knows no shorter time
LOOK_NS = 80_000  # for so long we look without sleeping
_MOST_BLIND = 64  # requests waited for asleep before we look again


class Ready:
    """Tells when the device can be read. Made inside trio's run."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._alone = False  # nobody was left to run in this round of trio's, when we looked
        self._runner = _runner_of_trio()
        self._blind = 0  # requests that we shall wait for asleep (W2)
        self._vain = 1  # how many it will be when we have looked in vain again
        self._device, self._both, self._trio = select.poll(), select.poll(), select.poll()
        for poll in (self._device, self._both):
            poll.register(fd, select.POLLIN | select.POLLERR | select.POLLHUP)
        if self._runner is not None:
            own = self._runner.io_manager._epoll.fileno()
            self._both.register(own, select.POLLIN)
            self._trio.register(own, select.POLLIN)

    def began(self) -> None:
        """Note that others may have run: whoever has just been resumed calls this before it asks."""
        self._alone = False

    def at_once(self, ns: int) -> bool:
        """Look at the device for so long, if looking is worth while now; tell if it can be read."""
        return bool(_look(self._device, 0 if self._blind else ns))

    def soon(self) -> bool:
        """Wait a moment for the device, or for anything that trio waits for; tell if it is the device."""
        if self._runner is None or self._due(_SHORT_S):  # W1
            return False
        found = self._awake() or self._both.poll(_SHORT_S * 1000.0)
        return bool(found) and (found[0][0] == self._fd or found[-1][0] == self._fd)

    def _awake(self) -> list[tuple[int, int]]:
        """Return what can be read, of the device and of trio's, without sleeping (W2)."""
        if self._blind:
            self._blind -= 1
            return []
        found = _look(self._both, LOOK_NS)
        if found:
            self._vain = 1
        else:
            self._blind, self._vain = self._vain, min(2 * self._vain, _MOST_BLIND)
        return found

    def others(self) -> bool:
        """Tell whether another task can run, or could if trio looked; if none can, none has cancelled us."""
        return self._runner is None or self._due(0.0) or bool(self._trio.poll(0))

    def _due(self, within_s: float) -> bool:
        """Tell whether another task can run now, or will before so long.

        `trio.lowlevel.current_statistics` costs ten times as much, and does not count those that run after us
        in the same round of trio's.
        """
        runner = self._runner
        if runner.runq:
            return True
        if not self._alone:
            tasks = runner.tasks
            if len(tasks) > _MANY or any(task._next_send_fn is not None for task in tasks):
                return True
            self._alone = True  # who becomes able to run from now on is in the queue
        return bool(runner.deadlines.next_deadline() - runner.clock.current_time() <= within_s)

    async def wait(self) -> None:
        """Wait as trio does."""
        await trio.lowlevel.wait_readable(self._fd)
        self._alone = False

    async def let_others(self) -> None:
        """Let other tasks run."""
        await trio.lowlevel.checkpoint()
        self._alone = False


def _look(at: select.poll, ns: int) -> list[tuple[int, int]]:
    """Return what can be read as soon as there is something, or nothing after so long. Never sleeps."""
    look, end = at.poll, perf_counter_ns() + ns
    while not (found := look(0)) and perf_counter_ns() <= end:
        pass
    return found


def _runner_of_trio() -> Any:
    """Return trio's own loop, whose epoll descriptor is readable when it has something to do; None: unknown.

    Its parts do not belong to trio's interface; where they are others only the short wait is gone.
    """
    try:
        from trio._core import _run

        context: Any = _run.GLOBAL_RUN_CONTEXT
        runner = context.runner
        needed = [task._next_send_fn for task in runner.tasks]
        needed += [
            runner.runq,
            runner.deadlines.next_deadline(),
            runner.clock.current_time(),
            runner.io_manager._epoll,
        ]
    except (ImportError, AttributeError):
        return None
    return runner
