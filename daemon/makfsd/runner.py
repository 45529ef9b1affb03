"""Programs that run in agents' views: who may start one, what is known of it, how it is ended.

R1  Two runs share a view only if the later one asked to.
R2  A run is over when its keeper's connection ends, however it ends; nothing of a confined one is left then.
R3  When the last run of an agent is over, the agent holds nothing.
R4  A record that says "running" is of a process that lives, or was alive when this daemon was last asked.
"""

import dataclasses
import json
import logging
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

from makfs.config import RunConfig
from makfs.engine.api import KernelApi
from makfs.errors import BadName, Busy, MakfsError, MountError, NotFound
from makfs.ids import AgentId
from makfs.store.model import LogQuery
from makfs.wire import verbs
from makfs.wire.errors import WireError
from makfs.wire.place import STATE_DIR, mount_of, parse_mounts
from makfs.wire.runs import END_NAME, HOMES_DIR, RECORD_NAME, RUNS_DIR, RunEnding, RunPlan, RunRecord
from makfs.wire.values import from_json, to_json
from makfsd import processes

PAGE = 1000
STOP_S = 5.0  # for runs to end by themselves when the mount ends
RUNNING, ENDED, LOST = "running", "ended", "lost"

log = logging.getLogger("makfsd.runner")


class Runner:
    """The runs of one kernel. `run` is its one task."""

    def __init__(self, kernel: KernelApi, repo: Path, mountpoint: Path, config: RunConfig) -> None:
        self._kernel = kernel
        self._repo = repo
        self._mountpoint = mountpoint
        self._config = config
        self._folder = repo / STATE_DIR / RUNS_DIR
        self._live: dict[int, RunRecord] = {}
        self._over: dict[int, trio.Event] = {}
        self._last = 0
        self._is_ending = False

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take up the runs of an earlier daemon and watch them until cancelled (R4)."""
        async with trio.open_nursery() as nursery:
            for record in self._records():
                self._last = max(self._last, record.number)
                if record.status != RUNNING:
                    continue
                self._take(record)
                watched = None if record.keeper is None else processes.open_process(record.keeper)
                if watched is None:
                    self._finish(record.number)
                else:
                    log.info("run %d of %s is taken over", record.number, record.agent)
                    nursery.start_soon(self._watch, record.number, watched)
            task_status.started()
            await trio.sleep_forever()

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
                self._send(record, number)
            with trio.move_on_after(STOP_S):
                for over in list(self._over.values()):
                    await over.wait()

    @contextmanager
    def begin(self, wish: verbs.RunBegin) -> Iterator[RunPlan]:
        """See RunsApi."""
        self._admit(wish)
        plan = self._plan(wish.agent)
        record = RunRecord(
            plan.number, wish.agent, wish.command, RUNNING, wish.confined, wish.network, wish.variables,
            time.time_ns(),
        )  # fmt: skip
        self._take(record)
        self._write(record)
        try:
            yield plan
        finally:
            self._finish(plan.number)

    def _admit(self, wish: verbs.RunBegin) -> None:
        """Raise what speaks against a run."""
        agents = [each.agent for each in self._kernel.status().agents]
        if wish.agent not in agents:
            raise NotFound(f"There is no agent {wish.agent}; make it with 'makfs agent add {wish.agent}'.")
        if self._is_ending:
            raise Busy("makfsd is ending; nothing is started any more.")
        other = next((each for each in self.running() if each.agent == wish.agent), None)
        if other is not None and not wish.share:
            raise Busy(
                f"{wish.agent} runs {other.number} already ({' '.join(other.command)[:60]}); "
                f"end it with 'makfs stop {other.number}', or use --share."
            )
        mount = mount_of(str(self._mountpoint), parse_mounts(Path("/proc/self/mountinfo").read_bytes()))
        if mount is None or mount.repo != str(self._repo):
            raise MountError(f"Nothing of {self._repo} is mounted at {self._mountpoint}; mount it again.")

    def _plan(self, agent: str) -> RunPlan:
        """Give a run its number and its folders."""
        home = self._repo / STATE_DIR / HOMES_DIR / agent / "home"
        try:
            for each in (home.parent.parent, home.parent, home):
                each.mkdir(mode=0o700, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            number = self._last + 1
            folder = self._folder / str(number)
            folder.mkdir(mode=0o700)
        except OSError as error:
            raise MakfsError(f"A run cannot be recorded in {self._folder}: {error.strerror}.") from error
        self._last = number
        return RunPlan(
            number, str(folder), str(self._repo), str(self._mountpoint), str(self._mountpoint / agent),
            str(home), self._config.env, self._config.paths, self._config.log_bytes,
        )  # fmt: skip

    def started(self, number: int, keeper: int, leader: int) -> None:
        """See RunsApi."""
        record = self._of_live(number)
        found = dataclasses.replace(
            record, keeper=processes.process(keeper), leader=processes.process(leader)
        )
        self._live[number] = found
        self._write(found)

    def end(self, number: int) -> None:
        """See RunsApi."""
        self._of_live(number)
        self._finish(number)

    def rows(self, *, ended: bool) -> list[RunRecord]:
        """See RunsApi."""
        rows = self._records() if ended else self.running()
        return sorted((self._now(row) for row in rows), key=lambda row: -row.number)

    def record(self, number: int) -> RunRecord:
        """See RunsApi."""
        if number in self._live:
            return self._now(self._live[number])
        record = self._read(self._folder / str(number))
        if record is None:
            raise NotFound(f"There is no run {number}; 'makfs ps -a' lists them.")
        return record

    def send(self, number: int, signal: int) -> None:
        """See RunsApi."""
        if not 0 < signal < 65:
            raise BadName(f"There is no signal {signal}.")
        if number not in self._live:
            raise Busy(f"Run {self.record(number).number} is over.")
        if not self._send(self._live[number], signal):
            raise Busy(f"Run {number} has no process yet, or none any more; try again.")

    def _send(self, record: RunRecord, number: int) -> bool:
        leader = record.leader
        if leader is None:
            return False
        if not record.confined:
            return processes.send_session(leader, number)
        if number == signal.SIGKILL:
            return processes.send(leader, number)  # the end of the whole pid namespace
        program = processes.first_child(leader)
        return program is not None and processes.send(program, number)

    def remove(self, number: int) -> None:
        """See RunsApi."""
        if number in self._live:
            raise Busy(f"Run {number} is not over; end it with 'makfs stop {number}'.")
        self.record(number)
        shutil.rmtree(self._folder / str(number))

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

    def _take(self, record: RunRecord) -> None:
        self._live[record.number] = record
        self._over[record.number] = trio.Event()

    def _finish(self, number: int) -> None:
        """Record the end of a run, once; let its agent hold nothing (R2, R3)."""
        record = self._live.pop(number, None)
        if record is None:
            return
        ending = self._ending(number)
        if ending is None:
            self._kill_rest(record)
            record = dataclasses.replace(record, status=LOST, end_ns=time.time_ns())
        else:
            record = dataclasses.replace(
                record,
                status=ENDED,
                end_ns=ending.end_ns,
                exit_code=ending.exit_code,
                signal=_signal_of(ending.exit_code),
                stdout_bytes=ending.stdout_bytes,
                stderr_bytes=ending.stderr_bytes,
                dropped_bytes=ending.dropped_bytes,
            )
        record = self._now(record)
        if not any(each.agent == record.agent for each in self.running()):
            try:
                self._kernel.release(record.agent, None)
            except MakfsError:
                log.debug("%s held nothing", record.agent)
        self._write(record)
        self._over.pop(number).set()

    def _kill_rest(self, record: RunRecord) -> None:
        if record.leader is not None and processes.lives(record.leader):
            self._send(record, signal.SIGKILL)

    def _ending(self, number: int) -> RunEnding | None:
        try:
            return from_json(RunEnding, json.loads((self._folder / str(number) / END_NAME).read_bytes()))
        except (OSError, ValueError, WireError):
            return None

    def _now(self, record: RunRecord) -> RunRecord:
        """Return the record with what the journal says of its time; a finished one as it is."""
        if record.number not in self._live and record.duration_s:
            return record
        end_ns = record.end_ns or time.time_ns()
        agent = AgentId(record.agent)
        query = LogQuery(PAGE, None, agent, None, None, record.begin_ns, end_ns)
        found = list(self._kernel.log(query))
        page = found
        while len(page) == PAGE:
            page = list(self._kernel.log(dataclasses.replace(query, before=page[-1].seq)))
            found += page
        refused = [
            each
            for each in self._kernel.refusals(agent, PAGE)
            if record.begin_ns <= each.time_ns <= end_ns
        ]  # fmt: skip
        return dataclasses.replace(
            record,
            duration_s=max(1, end_ns - record.begin_ns) / 1e9,
            first_seq=min((each.seq for each in found), default=0),
            last_seq=max((each.seq for each in found), default=0),
            commits=len(found),
            nodes=sum(each.nodes_changed for each in found),
            refusals=len(refused),
        )

    def _records(self) -> list[RunRecord]:
        """Return all records that can be read; of live runs, what is known now."""
        try:
            folders = [each for each in self._folder.iterdir() if each.name.isdecimal()]
        except FileNotFoundError:
            return []
        read = (self._live.get(int(each.name)) or self._read(each) for each in folders)
        return [record for record in read if record is not None]

    def _read(self, folder: Path) -> RunRecord | None:
        try:
            return from_json(RunRecord, json.loads((folder / RECORD_NAME).read_bytes()))
        except (OSError, ValueError, WireError):
            return None

    def _write(self, record: RunRecord) -> None:
        """Replace the record's file. A full disk does not end the mount."""
        path = self._folder / str(record.number) / RECORD_NAME
        new = path.with_suffix(".new")
        try:
            new.write_text(json.dumps(to_json(record), indent=2) + "\n")
            new.chmod(0o600)
            new.replace(path)
        except OSError as error:
            log.warning("%s cannot be written: %s", path, error.strerror)


def _signal_of(exit_code: int) -> str:
    """Return the name of the signal that an exit code tells of, "" if of none."""
    try:
        return signal.Signals(exit_code - 128).name if exit_code > 128 else ""
    except ValueError:
        return ""
