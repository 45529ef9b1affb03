"""Processes by number and start time, so that a number given again is not taken for an old process."""

import os
import signal
from pathlib import Path

from makfs.wire.runs import Process


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
