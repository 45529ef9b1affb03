"""Processes by number and start time, so that a number given again is not taken for an old process."""

import os
import signal
from pathlib import Path

from makfs.wire.runrecord import RunProcess
from makfs.wire.runs import Process

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def process(pid: int) -> Process | None:
    """Return a process that lives, None for one that has ended, is a zombie or never was."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else Process(pid, int(fields[19]))


def lives(one: Process | None) -> bool:
    """Tell whether this very process still runs."""
    return one is not None and process(one.pid) == one


def open_process(one: Process) -> int | None:
    """Return a pidfd of this very process, which the caller closes; None if it has ended."""
    try:
        fd = os.pidfd_open(one.pid)
    except (OSError, OverflowError):
        return None
    if lives(one):
        return fd
    os.close(fd)
    return None


def first_child(one: Process) -> Process | None:
    """Return the child it started first, of those that live: in a namespace, the program itself."""
    try:
        pids = Path(f"/proc/{one.pid}/task/{one.pid}/children").read_bytes().split()
    except OSError:
        return None
    return process(int(pids[0])) if pids else None


def send(one: Process, number: int) -> bool:
    """Send a signal to this very process; tell whether it was there."""
    fd = open_process(one)
    if fd is None:
        return False
    try:
        signal.pidfd_send_signal(fd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(fd)
    return True


def send_session(leader: Process, number: int) -> bool:
    """Send a signal to the process group that `leader` leads; tell whether anybody was there."""
    try:
        os.killpg(leader.pid, number)
    except ProcessLookupError:
        return False
    return True


def below(pid: int, *, itself: bool) -> list[RunProcess]:
    """Return the processes that a process has started, theirs too, parents first.

    In a namespace of its own the first process gets all orphans, so nothing of it is left out.
    """
    found: list[RunProcess] = []
    todo = [pid]
    seen = {pid}
    while todo:
        each = todo.pop(0)
        if itself or each != pid:
            row = _row(each)
            if row is not None:
                found.append(row)
        for child in _children(each):
            if child not in seen:
                seen.add(child)
                todo.append(child)
    return found


def _children(pid: int) -> list[int]:
    pids: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            pids += map(int, Path(f"/proc/{pid}/task/{task}/children").read_bytes().split())
    except OSError:
        pass  # it ended meanwhile
    return pids


def _row(pid: int) -> RunProcess | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    name = stat[stat.index(b"(") + 1 : stat.rindex(b")")].decode("utf-8", "replace")
    fields = stat[stat.rindex(b")") + 2 :].split()
    ticks = sum(map(int, fields[11:15]))  # its own, and of its children that it waited for
    return RunProcess(
        pid, int(fields[1]), name, fields[0].decode("ascii"), ticks / _TICKS, int(fields[21]) * _PAGE
    )
