"""The verbs of runs; see `makfs.wire.verbs`. By themselves: to start a run, no other is made."""

from dataclasses import dataclass, field
from typing import ClassVar

from makfs.wire.runs import Care


@dataclass(frozen=True, slots=True)
class RunBegin:
    """Begin a run, which lasts as long as this connection: RunPlan. The command comes with secrets masked.

    `share`: though another run of the agent is not over. `resources`: addresses that are held as long as it
    lasts; it begins when they are, waiting up to `wait_s`.
    """

    verb: ClassVar[str] = "run-begin"
    agent: str
    command: tuple[str, ...]
    confined: bool
    network: bool
    variables: tuple[str, ...] = ()
    share: bool = False
    care: Care = field(default_factory=Care)
    cli: str = ""  # the adapter, for the record
    resources: tuple[str, ...] = ()
    wait_s: float | None = None
    task: str = ""  # what the agent works at meanwhile


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Tell the processes of a run: its keeper, and the first of its namespace or session: null."""

    verb: ClassVar[str] = "run-started"
    number: int
    keeper: int
    leader: int


@dataclass(frozen=True, slots=True)
class RunEnd:
    """Tell that a run has ended and that its folder says how: RunRecord."""

    verb: ClassVar[str] = "run-end"
    number: int


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
