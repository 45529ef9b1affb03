"""Whose a process is: which run it belongs to, and who started it (proc_pid_stat(5)).

G1  A process belongs to the run whose keeper is nearest above it. The keeper takes in what its run leaves
    behind (prctl(2), PR_SET_CHILD_SUBREAPER), so this holds for orphans, too.
G2  Before its keeper is known it belongs to the run whose mark is in its environment. Whoever takes that out
    does so on purpose; against purpose there is the confinement.
G3  Nothing is looked at while no run is unconfined; then each process once. A number given again is another
    process.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from makfs.ids import AgentId
from makfs.wire.runs import MARK

_MOST = 4096
_DEEPEST = 256
_EXITING = 0x4  # PF_EXITING


@dataclass(frozen=True, slots=True)
class Proc:
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    start: int  # clock ticks since boot


@dataclass(slots=True, eq=False)
class Run:
    """A run that goes on."""

    number: int
    agent: AgentId
    folder: str  # its mark in the environment
    confined: bool
    resources: tuple[str, ...] = ()  # addresses held as long as it goes on
    keeper: Proc | None = None


class Belonging:
    """The runs of one mount, and whose each process is."""

    def __init__(self) -> None:
        self._runs: dict[int, Run] = {}
        self._known: dict[Proc, Run | None] = {}
        self.is_asked = False  # some run is not confined

    def begin(self, run: Run) -> None:
        """Take a run in."""
        self._runs[run.number] = run
        self._changed()

    def keep(self, number: int, keeper: int) -> None:
        """Note which process keeps a run."""
        run = self._runs.get(number)
        if run is not None:
            run.keeper = proc(keeper)
            self._changed()

    def end(self, number: int) -> None:
        """Forget a run."""
        if self._runs.pop(number, None) is not None:
            self._changed()

    def _changed(self) -> None:
        self._known.clear()
        self.is_asked = any(not run.confined for run in self._runs.values())

    def run_of(self, pid: int) -> Run | None:
        """Return the run a process belongs to, None if to none. Cost: a file of /proc a step up, once."""
        me = proc(pid)
        if me is None:
            return None
        if me not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[me] = self._find(pid)
        return self._known[me]

    def _find(self, pid: int) -> Run | None:
        keepers = {run.keeper: run for run in self._runs.values() if run.keeper is not None}
        for each in ancestry(pid):
            if each in keepers:
                return keepers[each]
        mark = _mark_of(pid)
        return next((run for run in self._runs.values() if run.folder == mark), None)


def proc(pid: int) -> Proc | None:
    """Return a process that is there, dying or not."""
    fields = _fields(pid)
    return None if fields is None else Proc(pid, int(fields[19]))


def ancestry(pid: int) -> Iterator[Proc]:
    """Yield a process, who started it, and so on upwards."""
    for _ in range(_DEEPEST):
        fields = _fields(pid)
        if fields is None:
            return
        yield Proc(pid, int(fields[19]))
        pid = int(fields[1])


def is_exiting(tid: int) -> bool:
    """Tell whether a thread has begun to exit, or is gone: what it closes now, it closes for that."""
    fields = _fields(tid)
    return fields is None or bool(int(fields[6]) & _EXITING)


def _fields(pid: int) -> list[bytes] | None:
    """Return the fields of `stat` after the name: state, parent, ..."""
    if pid <= 0:
        return None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    return text[text.rindex(b")") + 2 :].split()


def _mark_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            text = b"\0" + file.read()
    except OSError:
        return ""
    at = text.find(f"\0{MARK}=".encode())
    return "" if at < 0 else os.fsdecode(text[at + len(MARK) + 2 :].partition(b"\0")[0])
