"""Freezes all processes of a run, and lets them go on.

Z1  After `freeze` no process of the run takes another step, also none that was being started; by a control
    group where one can be made, else by SIGSTOP.
Z2  What is frozen can still be killed: SIGKILL ends it.
"""

import signal
import time

from makfs.errors import Busy
from makfs.wire.runrecord import RunProcess, RunRecord
from makfs.wire.runs import Process
from makfsd import groups, processes
from makfsd.groups import Groups

PATIENCE_S = 5.0
_RESTS = "TtZX"  # states of proc_pid_stat(5) in which a process takes no step


def freeze(record: RunRecord, made: Groups) -> tuple[str, ...]:
    """Freeze a run; return its control groups, a new one too. Blocks. Raises Busy if it cannot be done."""
    folder = groups.can_freeze(record.groups) or made.freezer(record.number)
    if folder is None:
        _stop_all(record)
        return record.groups
    if not groups.freeze(folder):
        _stop_all(record)
    else:
        _gather(record, folder)
    return record.groups if folder in record.groups else (*record.groups, folder)


def _gather(record: RunRecord, folder: str) -> None:
    """Move every process of a run into a frozen group: what is in it starts none any more."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        inside = groups.members(folder)
        outside = [each.pid for each in members(record) if each.pid not in inside and each.state not in "ZX"]
        if not outside:
            return
        moved = [pid for pid in outside if groups.enter(folder, pid)]
        if not moved and _still(record, folder):
            break  # they may not be moved
    groups.thaw([folder])
    _stop_all(record)


def _still(record: RunRecord, folder: str) -> bool:
    """Tell whether processes of the run are outside of the group."""
    inside = groups.members(folder)
    return any(each.pid not in inside and each.state not in "ZX" for each in members(record))


def _stop_all(record: RunRecord) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        going = [each for each in members(record) if each.state not in _RESTS]
        if not going:
            return
        for each in going:
            _signal(each, signal.SIGSTOP)
        time.sleep(0.005)
    raise Busy(f"Run {record.number} could not be frozen: a process of it waits in the kernel; try again.")


def thaw(record: RunRecord) -> None:
    """Let a frozen run go on."""
    groups.thaw(record.groups)
    for each in members(record):
        if each.state in "Tt":
            _signal(each, signal.SIGCONT)


def members(record: RunRecord) -> list[RunProcess]:
    """Return the processes of a run, parents first."""
    if record.confined:
        return [] if not processes.lives(record.leader) else _below(record.leader, itself=True)
    return [] if not processes.lives(record.keeper) else _below(record.keeper, itself=False)


def _below(top: Process | None, *, itself: bool) -> list[RunProcess]:
    assert top is not None
    return processes.below(top.pid, itself=itself)


def _signal(row: RunProcess, number: int) -> None:
    found = processes.process(row.pid)
    if found is not None:
        processes.send(found, number)
