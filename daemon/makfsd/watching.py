"""Looks at the runs that have a time or a budget, and does what `judging` says.

R5  What makfsd does to a run by itself (warn, pause, stop) stands in the run's events, with the reason.
"""

import logging
import signal
import time
from typing import Protocol

import trio

from makfs.engine.api import KernelApi
from makfs.errors import MakfsError
from makfs.ids import AgentId
from makfs.runs.budgets import Budget, Step, with_given
from makfs.wire.runrecord import RunRecord
from makfsd.judging import Verdict, judge, needs_judging
from makfsd.runfiles import RunFiles

TICK_S = 0.25
GRACE_S = 10.0  # between SIGTERM and SIGKILL
DONE = {Step.WARN: "warned", Step.PAUSE: "paused", Step.STOP: "stopped"}

log = logging.getLogger("makfsd.runner")


class Judged(Protocol):
    """What is asked of the runner."""

    def running(self) -> list[RunRecord]: ...

    def now(self, number: int) -> RunRecord | None: ...

    def note(self, number: int, **new: object) -> None: ...

    def poke(self, record: RunRecord) -> bool: ...

    def stop(self, number: int) -> None: ...

    def send(self, number: int, signal_number: int) -> None: ...

    async def pause(self, number: int, *, on: bool) -> None: ...

    async def wait(self, number: int, wait_s: float | None) -> RunRecord: ...


class Judge:
    """One task, and one for each run that is being ended."""

    def __init__(self, runs: Judged, budget: Budget, files: RunFiles, kernel: KernelApi) -> None:
        self._runs = runs
        self._budget = budget
        self._files = files
        self._kernel = kernel

    async def run(self) -> None:
        """Look until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                await trio.sleep(TICK_S)
                for record in self._runs.running():
                    await self._look(record, nursery)

    async def _look(self, record: RunRecord, nursery: trio.Nursery) -> None:
        budget = with_given(self._budget, record.care.budget)
        if record.why_ended or not needs_judging(record, budget):
            return
        now = self._runs.now(record.number)
        if now is None:
            return
        for verdict in judge(now, budget, time.time_ns()):
            self._tell(now, verdict)
            if verdict.step is Step.STOP:
                self._runs.note(record.number, why_ended=verdict.says)
                nursery.start_soon(self._end, record.number)
                return
            if verdict.step is Step.PAUSE and not now.paused_ns:
                await self._pause(record.number)

    def _tell(self, record: RunRecord, verdict: Verdict) -> None:
        """Write down what is done; tell the run's caller and its agent."""
        number, done = record.number, DONE[verdict.step]
        if verdict.name:
            known = self._runs.now(number) or record
            taken = {**dict(known.taken), verdict.name: verdict.step.value}
            self._runs.note(number, taken=tuple(taken.items()))
        sentence = f"Run {number} is {done}: {verdict.says}."
        log.info("%s (%s)", sentence, record.agent)
        self._files.tell(number, done, sentence)
        self._kernel.tell(AgentId(record.agent), sentence)
        self._runs.poke(record)

    async def _pause(self, number: int) -> None:
        try:
            await self._runs.pause(number, on=True)
        except MakfsError as error:
            log.warning("run %d could not be paused: %s", number, error)

    async def _end(self, number: int) -> None:
        """End one run: SIGTERM, and after GRACE_S SIGKILL."""
        for act in (self._runs.stop, lambda one: self._runs.send(one, signal.SIGKILL)):
            try:
                act(number)
                await self._runs.wait(number, GRACE_S)
            except MakfsError as error:
                log.debug("run %d: %s", number, error)
