"""Programs that run in agents' views: who may start one, what is known of it, how it is ended.

R1  Two runs share a view only if the later one asked to.
R2  A run is over when its keeper's connection ends, however it ends; nothing of a confined one is left then.
R3  When the last run of an agent is over, the agent holds nothing.
R4  A record that is not over is of a keeper that lives, or was alive when this daemon was last asked.
"""

import contextlib
import dataclasses
import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio

from makfs.config import BudgetConfig, RunConfig
from makfs.engine.api import KernelApi
from makfs.engine.belonging import Run
from makfs.errors import BadName, Busy, MakfsError, NotFound
from makfs.ids import AgentId
from makfs.runs.restarts import Told
from makfs.wire import verbs
from makfs.wire.place import STATE_DIR
from makfs.wire.runrecord import RunRecord, RunUse
from makfs.wire.runs import LOST, RESTARTING, RUNNING, RUNS_DIR, RunEvent, RunPlan, Turn
from makfsd import groups, pausing, processes
from makfsd.counting import Counting, ended
from makfsd.groups import Groups
from makfsd.runfiles import RunFiles
from makfsd.starting import Starting, budget_of
from makfsd.watching import Judge

STOP_S = 5.0  # for runs to end by themselves when the mount ends
REMOVE_S = 0.25  # between attempts at removing a control group
REMOVE_TRIES = 40
KEEP_S = 1.0  # between looks at what only this process knows of runs

log = logging.getLogger("makfsd.runner")


class Runner:
    """The runs of one kernel. `run` is its one task."""

    def __init__(
        self,
        kernel: KernelApi,
        repo: Path,
        mountpoint: Path,
        config: RunConfig,
        budget: BudgetConfig | None = None,
        turns: tuple[Turn, ...] = (),
    ) -> None:
        self._kernel = kernel
        self._files = RunFiles(repo / STATE_DIR / RUNS_DIR)
        self._files.told = self._told
        self._counting = Counting(kernel, self._files)
        self._groups = Groups()
        self._live: dict[int, RunRecord] = {}
        self._over: dict[int, trio.Event] = {}
        self._had: dict[int, str] = {}  # run -> the task its agent had before it
        self._again: set[int] = set()  # runs whose program is being ended to be started again
        self._tasks: trio.Nursery | None = None
        self._starting = Starting(
            kernel, repo, mountpoint, config, budget_of(budget), self._files, self._groups, turns
        )
        self._judge = Judge(self, budget_of(budget), self._files, kernel)
        self._last = 0
        self._is_ending = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up the runs of an earlier daemon and watch all runs until cancelled (R4)."""
        async with trio.open_nursery() as self._tasks:
            for record in self._records():
                self._last = max(self._last, record.number)
                if record.is_over:
                    continue
                self._take(record)
                keeper = self._counting.fresh(record).keeper
                watched = None if keeper is None else processes.open_process(keeper)
                if watched is None:
                    self._finish(record.number)
                else:
                    log.info("run %d of %s is taken over", record.number, record.agent)
                    self._change(record, heard_bytes=self._hear(record))
                    self._files.tell(record.number, "taken over", "Another makfsd looks after it now.")
                    self._tasks.start_soon(self._watch, record.number, watched)
            task_status.started()
            self._tasks.start_soon(self._keep_up)
            await self._judge.run()

    async def _keep_up(self) -> None:
        """Take over what keepers have told; put what is known here alone into the records."""
        while True:
            await trio.sleep(KEEP_S)
            for record in self.running():
                new = self._counting.waits(record) | {"heard_bytes": self._hear(record)}
                if any(getattr(record, name) != value for name, value in new.items()):
                    self._change(record, **new)

    def _hear(self, record: RunRecord) -> int:
        return self._files.hear(record.number, record.heard_bytes)

    async def _watch(self, number: int, keeper: int) -> None:
        try:
            await trio.lowlevel.wait_readable(keeper)
            self._finish(number)
        finally:
            os.close(keeper)

    def running(self) -> list[RunRecord]:
        """Return the runs that are not over."""
        return list(self._live.values())

    async def end_all(self) -> None:
        """End every run: SIGTERM, and after STOP_S SIGKILL."""
        self._is_ending = True
        for number in (signal.SIGTERM, signal.SIGKILL):
            for record in self.running():
                log.info("run %d of %s gets %s", record.number, record.agent, number.name)
                self._files.wish(record.number, Told.STOP)
                self._thaw(record)
                self._send(record, number)
                self.poke(record)
            with trio.move_on_after(STOP_S):
                for over in list(self._over.values()):
                    await over.wait()

    @contextmanager
    def begin(self, wish: verbs.RunBegin) -> Iterator[RunPlan]:
        """See RunsApi."""
        if self._is_ending:
            raise Busy("makfsd is ending; nothing is started any more.")
        self._starting.admit(wish, self.running())
        plan = self._starting.plan(self._last + 1, wish)
        self._last = plan.number
        record = RunRecord(
            plan.number, wish.agent, wish.command, RUNNING, wish.confined, wish.network, wish.variables,
            time.time_ns(), care=wish.care, limits=plan.limits, groups=plan.groups, enforced=plan.enforced,
            unenforced=plan.unenforced, cli=wish.cli, task=wish.task,
        )  # fmt: skip
        self._take(record, wish.resources)
        self._files.write(record)
        self._files.tell(plan.number, "began", *plan.unenforced[:1])
        try:
            yield plan
        finally:
            self._finish(plan.number)

    def _told(self, number: int, event: RunEvent) -> None:
        """Record a run's event among what happened (docs/events.md)."""
        record = self._live.get(number) or self._files.record(number)
        if record is not None:
            over = {"exit_code": record.exit_code, "signal": record.signal or None} if record.is_over else {}
            kind = f"run-{event.event.replace(' ', '-')}"
            fields = {"run": number, "says": event.says or None, **over}
            self._kernel.news.tell(kind, record.agent, time_ns=event.time_ns, **fields)

    def started(self, number: int, keeper: int, leader: int) -> None:
        """See RunsApi."""
        record = self._of_live(number)
        self._again.discard(number)
        kept, led = processes.process(keeper), processes.process(leader)
        self._change(record, keeper=kept, leader=led, heard_bytes=self._hear(record))
        self._kernel.belonging.keep(number, keeper)

    def now(self, number: int) -> RunRecord | None:
        """Return what is known now of a run that goes on."""
        record = self._live.get(number)
        return None if record is None else self._now(record)

    def note(self, number: int, **new: object) -> None:
        """Keep other values in the record of a run that goes on."""
        if number in self._live:
            self._change(self._live[number], **new)

    def _change(self, record: RunRecord, **new: object) -> RunRecord:
        changed: RunRecord = dataclasses.replace(record, **new)  # type: ignore[arg-type]
        self._live[record.number] = changed
        self._files.write(changed)
        return changed

    def end(self, number: int) -> RunRecord:
        """See RunsApi."""
        self._of_live(number)
        self._finish(number)
        return self.record(number)

    async def rows(self, *, ended: bool) -> list[RunRecord]:
        """See RunsApi."""
        rows = self._records() if ended else self.running()
        known = sorted((self._now(row) for row in rows), key=lambda row: -row.number)
        return await trio.to_thread.run_sync(lambda: [_with_processes(each) for each in known])

    def record(self, number: int) -> RunRecord:
        """See RunsApi."""
        if number in self._live:
            return _with_processes(self._now(self._live[number]))
        record = self._files.record(number)
        if record is None:
            raise NotFound(f"There is no run {number}; 'makfs ps -a' lists them.")
        return record

    async def measure(self, numbers: Sequence[int]) -> list[RunUse]:
        """See RunsApi."""
        rows = [self._now(self._going(number)) for number in numbers] if numbers else self.running()
        known = [self._now(row) for row in rows]
        return await trio.to_thread.run_sync(lambda: [self._counting.use(each) for each in known])

    def send(self, number: int, signal_number: int) -> None:
        """See RunsApi."""
        if not 0 < signal_number < 65:
            raise BadName(f"There is no signal {signal_number}.")
        record = self._going(number)
        if signal_number == signal.SIGKILL:
            if number not in self._again:
                self._files.wish(number, Told.STOP)
            self._thaw(record)
        there = self._send(record, signal_number)
        if self._counting.fresh(record).status == RESTARTING and signal_number == signal.SIGKILL:
            self.poke(record)
        elif not there:
            raise Busy(f"Run {number} has no process yet, or none any more; try again.")

    def stop(self, number: int, *, again: bool = False) -> None:
        """See RunsApi."""
        record = self._going(number)
        if again:
            self._again.add(number)
        self._files.wish(number, Told.AGAIN if again else Told.STOP)
        self._thaw(record)
        there = self._send(record, signal.SIGTERM)
        if not self.poke(record) and not there:
            raise Busy(f"Run {number} has no process yet, or none any more; try again.")

    async def pause(self, number: int, *, on: bool) -> None:
        """See RunsApi."""
        record = self._going(number)
        if on == bool(record.paused_ns):
            raise Busy(f"Run {number} is {'paused already' if on else 'not paused'}.")
        if not on:
            self._thaw(record)
            return
        known = self._counting.fresh(record)
        if known.status == RESTARTING or known.leader is None:
            raise Busy(f"Run {number} has no process now; stop it with 'makfs stop {number}', or try again.")
        frozen = await trio.to_thread.run_sync(pausing.freeze, known, self._groups)
        if number in self._live:
            self._change(self._live[number], paused_ns=time.time_ns(), groups=frozen)
            self._files.tell(number, "frozen")

    def _thaw(self, record: RunRecord) -> None:
        if record.paused_ns:
            pausing.thaw(self._counting.fresh(record))
            self._change(record, paused_ns=0, last_activity_ns=time.time_ns())
            self._files.tell(record.number, "resumed")

    def _send(self, record: RunRecord, number: int) -> bool:
        leader = self._counting.fresh(record).leader
        if leader is None:
            return False
        if not record.confined:
            return processes.send_session(leader, number)
        if number == signal.SIGKILL:
            return processes.send(leader, number)  # the end of the whole pid namespace
        program = processes.first_child(leader)
        return program is not None and processes.send(program, number)

    def poke(self, record: RunRecord) -> bool:
        """Let the keeper look at its wish and its events; tell whether it is there."""
        keeper = self._counting.fresh(record).keeper
        return keeper is not None and processes.send(keeper, signal.SIGUSR1)

    def remove(self, number: int) -> None:
        """See RunsApi."""
        if number in self._live:
            raise Busy(f"Run {number} is not over; end it with 'makfs stop {number}'.")
        self.record(number)
        self._files.remove(number)

    async def wait(self, number: int, wait_s: float | None) -> RunRecord:
        """See RunsApi."""
        over = self._over.get(number)
        if over is None:
            return self.record(number)
        with trio.move_on_after(float("inf") if wait_s is None else max(0.0, wait_s)):
            await over.wait()
        return self.record(number)

    def _of_live(self, number: int) -> RunRecord:
        if number not in self._live:
            raise NotFound(f"No run {number} goes on.")
        return self._live[number]

    def _going(self, number: int) -> RunRecord:
        """Return a run that is not over. Raises NotFound, Busy."""
        if number not in self._live:
            raise Busy(f"Run {self.record(number).number} is over.")
        return self._live[number]

    def _take(self, record: RunRecord, resources: tuple[str, ...] = ()) -> None:
        number = record.number
        self._live[number] = record
        self._counting.begin(record)
        self._over[number] = trio.Event()
        folder = str(self._files.of(number))
        run = Run(number, AgentId(record.agent), folder, record.confined, resources)
        self._kernel.belonging.begin(run)
        if record.keeper is not None:
            self._kernel.belonging.keep(number, record.keeper.pid)
        if record.task:
            with contextlib.suppress(MakfsError):  # it has no view any more
                self._had[number] = self._kernel.tasks.set(record.agent, record.task, lasting=False)

    def _finish(self, number: int) -> None:
        """Record the end of a run, once; let its agent hold nothing (R2, R3)."""
        record = self._live.pop(number, None)
        if record is None:
            return
        self._kernel.belonging.end(number)
        with contextlib.suppress(KeyError, MakfsError):
            self._kernel.tasks.put_back(record.agent, record.task, self._had.pop(number))
        record = dataclasses.replace(self._counting.fresh(record), status=RUNNING)
        record = dataclasses.replace(record, heard_bytes=self._hear(record))
        self._again.discard(number)
        ending = self._files.ending(number)
        if ending is None:
            groups.thaw(record.groups)
            if processes.lives(record.leader):
                self._send(record, signal.SIGKILL)
            record = dataclasses.replace(record, status=LOST, end_ns=time.time_ns())
        else:
            record = ended(record, ending)
        record = dataclasses.replace(
            self._counting.count(record), oom_kills=groups.oom_kills(record.groups), paused_ns=0, next_ns=0
        )
        self._counting.end(record)
        if not any(each.agent == record.agent for each in self.running()):
            try:
                self._kernel.release(record.agent, None)
            except MakfsError:
                log.debug("%s held nothing", record.agent)
        self._files.write(record)
        self._files.tell(number, record.status, record.why_ended)
        self._over.pop(number).set()
        if record.groups and not groups.remove(record.groups) and self._tasks is not None:
            self._tasks.start_soon(_remove_groups, record.groups)

    def _now(self, record: RunRecord) -> RunRecord:
        """Return the record with what is known now; a finished one as it is."""
        if record.number not in self._live:
            return record
        return self._counting.count(self._counting.fresh(record))

    def _records(self) -> list[RunRecord]:
        """Return all records that can be read; of live runs, what is known now."""
        numbers = self._files.numbers()
        read = (self._live.get(number) or self._files.record(number) for number in numbers)
        return [record for record in read if record is not None]


async def _remove_groups(folders: Sequence[str]) -> None:
    """Remove control groups when the last of their processes is gone."""
    for _ in range(REMOVE_TRIES):
        await trio.sleep(REMOVE_S)
        if groups.remove(folders):
            return
    log.warning("control groups %s are still in use", ", ".join(folders))


def _with_processes(record: RunRecord) -> RunRecord:
    if record.is_over:
        return record
    return dataclasses.replace(record, processes=tuple(pausing.members(record)))
