"""Whether others can run while requests are taken (W1)."""

import os
import threading
import time

import trio
from trio.testing import wait_all_tasks_blocked

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
