"""What a run has done and takes, from the journal, its files and the kernel's counters."""

import dataclasses
import os
import signal
import time
from typing import Any

from makfs.engine.api import KernelApi, Waits
from makfs.ids import AgentId
from makfs.store.model import LogQuery
from makfs.wire.runrecord import RunRecord, RunUse
from makfs.wire.runs import ENDED, PAUSED, RESTARTING, RUNNING, RunEnding
from makfsd import groups, pausing, processes
from makfsd.runfiles import RunFiles

PAGE = 1000


class Counting:
    """Fills in records."""

    def __init__(self, kernel: KernelApi, files: RunFiles) -> None:
        self._kernel = kernel
        self._files = files
        self._since = processes.process(os.getpid())
        self._before: dict[int, Waits] = {}  # run -> what its agent's count was when its own was none

    def fresh(self, record: RunRecord) -> RunRecord:
        """Return a record that is not over with what its keeper knows now."""
        live = self._files.live(record.number)
        leader = live.leader if live.keeper is not None else record.leader
        is_gone = (
            record.confined
            and leader is not None
            and self._since is not None
            and leader.start < self._since.start
        )
        status = PAUSED if record.paused_ns else RESTARTING if live.next_ns else RUNNING
        return dataclasses.replace(
            record, status=status, keeper=live.keeper or record.keeper, leader=leader,
            restarts=live.restarts, next_ns=live.next_ns, tokens=live.tokens, usage=live.usage,
            view_gone=is_gone,
        )  # fmt: skip

    def count(self, record: RunRecord) -> RunRecord:
        """Return a record with what the journal says of its time, up to its end or now."""
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
            **self.waits(record),
            last_activity_ns=self.last_activity_ns(record),
        )

    def begin(self, record: RunRecord) -> None:
        """Count waits from here, on top of what an earlier daemon has counted."""
        now = self._kernel.waits(AgentId(record.agent))
        self._before[record.number] = Waits(
            now.count - record.waits, now.total_ns - int(record.waited_s * 1e9)
        )

    def end(self, record: RunRecord) -> None:
        """Count the waits of a run no more."""
        self._before.pop(record.number, None)

    def waits(self, record: RunRecord) -> dict[str, Any]:
        """Return how often the run's agent waited and how long, by the record's names."""
        before, now = self._before[record.number], self._kernel.waits(AgentId(record.agent))
        count = now.count - before.count
        if count < record.waits:  # its view was made anew
            return {"waits": record.waits, "waited_s": record.waited_s}
        return {"waits": count, "waited_s": round((now.total_ns - before.total_ns) / 1e9, 3)}

    def last_activity_ns(self, record: RunRecord) -> int:
        """Return when the run did something last: wrote output, or used its view."""
        views = [each for each in self._kernel.status().agents if each.agent == record.agent]
        seen = max([0, *(each.last_activity_ns for each in views)])
        seen = seen if seen >= record.begin_ns else 0
        return max(record.last_activity_ns, self._files.last_output_ns(record.number), seen)

    def use(self, record: RunRecord) -> RunUse:
        """Measure a run."""
        rows = pausing.members(record)
        memory, cpu_ns = groups.memory_bytes(record.groups), groups.cpu_ns(record.groups)
        summed = int(sum(each.cpu_s for each in rows) * 1e9)
        return RunUse(
            record.number, record.agent, time.monotonic_ns(),
            summed if cpu_ns is None else max(cpu_ns, summed),
            sum(each.memory_bytes for each in rows) if memory is None else memory,
            record.limits.memory_bytes if "memory" in record.enforced else 0,
            len(rows), record.limits.pids if "pids" in record.enforced else 0,
            record.commits, record.refusals, memory is not None,
        )  # fmt: skip


def ended(record: RunRecord, ending: RunEnding) -> RunRecord:
    """Return a record with what its keeper wrote down at the end."""
    return dataclasses.replace(
        record,
        status=ENDED,
        end_ns=ending.end_ns,
        exit_code=ending.exit_code,
        signal=_signal_of(ending.exit_code),
        stdout_bytes=ending.stdout_bytes,
        stderr_bytes=ending.stderr_bytes,
        dropped_bytes=ending.dropped_bytes,
        log_problem=ending.log_problem,
        restarts=ending.restarts,
        tokens=ending.tokens,
        usage=ending.usage,
    )


def _signal_of(exit_code: int) -> str:
    """Return the name of the signal that an exit code tells of, "" if of none."""
    try:
        return signal.Signals(exit_code - 128).name if exit_code > 128 else ""
    except ValueError:
        return ""
