"""Whether others can run while requests are taken (W1); how often we look without sleeping (W2)."""

import os
import threading
import time
from itertools import pairwise

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from makfs.vfs.native import waiting
from makfs.vfs.native.waiting import Ready

PATIENCE_S = 60


def test_others_are_seen_when_one_can_run_or_is_due_and_not_else() -> None:
    async def main() -> None:
        reading, writing = os.pipe()
        ready = Ready(reading)
        await wait_all_tasks_blocked()
        assert not ready.others()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 0.01)
            assert ready.others(), "W1: a task has just been started"
            await wait_all_tasks_blocked()
            ready.began()
            assert not ready.others(), "it sleeps"
            nursery.start_soon(trio.sleep, 0)
            assert ready.others(), "W1: who starts after we looked is seen, too"
            await wait_all_tasks_blocked()
            ready.began()
            limit = time.monotonic() + PATIENCE_S
            while not ready.others():
                assert time.monotonic() < limit, "W1: it has slept long enough"
            nursery.start_soon(trio.sleep_forever)
            await wait_all_tasks_blocked()
            assert not ready.others()
            nursery.cancel_scope.cancel()
            assert ready.others(), "W1: who is cancelled can run"
        os.close(reading)
        os.close(writing)

    trio.run(main)


def test_what_a_thread_tells_trio_ends_the_wait_for_the_device() -> None:
    async def main() -> None:
        reading, writing = os.pipe()
        ready, told = Ready(reading), trio.Event()
        await wait_all_tasks_blocked()
        thread = threading.Thread(target=trio.lowlevel.current_trio_token().run_sync_soon, args=(told.set,))
        thread.start()
        thread.join()
        assert ready.others(), "W1"
        assert not ready.soon(), "W1: it is not the device that has something"
        with trio.fail_after(PATIENCE_S):
            await told.wait()
        await wait_all_tasks_blocked()
        os.write(writing, b"x")
        assert ready.soon()
        os.close(reading)
        os.close(writing)

    trio.run(main)


class Looks:
    """Counts how often it was looked without sleeping, at least once, before each sleep."""

    def __init__(self, ready: Ready) -> None:
        self._poll = ready._both.poll
        self._looked = False
        self.phases: list[bool] = []
        ready._both = self  # type: ignore[assignment]

    def poll(self, timeout_ms: float) -> list[tuple[int, int]]:
        found = self._poll(0)
        if timeout_ms or found:
            self.phases.append(self._looked)
        self._looked = not timeout_ms and not found
        return found


def test_who_is_looked_for_in_vain_is_looked_for_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_NS", 0)

    async def main() -> None:
        reading, writing = os.pipe()
        ready = Ready(reading)
        await wait_all_tasks_blocked()
        looks = Looks(ready)
        for _ in range(360):
            assert not ready.soon()
        in_vain = [number for number, looked in enumerate(looks.phases) if looked]
        apart = [second - first - 1 for first, second in pairwise(in_vain)]
        assert apart == [1, 2, 4, 8, 16, 32, 64, 64, 64, 64], "W2"
        assert not ready.at_once(10**12), "nor is the device looked at for long meanwhile"
        os.write(writing, b"x")
        while ready._blind:
            assert ready.soon()
        assert ready.soon(), "this one was looked for, and found"
        os.read(reading, 1)
        looks.phases.clear()
        for _ in range(8):
            assert not ready.soon()
        assert looks.phases == [True, False, True, False, False, True, False, False], "W2: it begins anew"
        os.close(reading)
        os.close(writing)

    trio.run(main)
