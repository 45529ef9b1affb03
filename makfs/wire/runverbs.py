"""The verbs of runs that were started; see `makfs.wire.verbs`, and `makfs.wire.runbegin`."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Runs:
    """List runs with their processes, newest first; `ended` too: list of RunRecord."""

    verb: ClassVar[str] = "runs"
    ended: bool = False


@dataclass(frozen=True, slots=True)
class ShowRun:
    """Return one run: RunRecord."""

    verb: ClassVar[str] = "run"
    number: int


@dataclass(frozen=True, slots=True)
class SignalRun:
    """Send a run's program a signal; SIGKILL ends all that it has started too: null."""

    verb: ClassVar[str] = "run-signal"
    number: int
    signal: int


@dataclass(frozen=True, slots=True)
class StopRun:
    """Send a run's program SIGTERM; its end is the run's or, with `again`, a new start follows: null.

    A program that is paused goes on for it.
    """

    verb: ClassVar[str] = "run-stop"
    number: int
    again: bool = False


@dataclass(frozen=True, slots=True)
class PauseRun:
    """Freeze every process of a run, or let them go on: null."""

    verb: ClassVar[str] = "run-pause"
    number: int
    on: bool = True


@dataclass(frozen=True, slots=True)
class MeasureRuns:
    """Tell what runs take, () all that are not over: list of RunUse."""

    verb: ClassVar[str] = "run-stats"
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class RemoveRun:
    """Remove the record of a run that is over: null."""

    verb: ClassVar[str] = "run-rm"
    number: int


@dataclass(frozen=True, slots=True)
class WaitRun:
    """Wait up to `wait_s` for the end of a run, None: as long as it takes: RunRecord."""

    verb: ClassVar[str] = "run-wait"
    number: int
    wait_s: float | None = None
