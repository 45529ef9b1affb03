"""The verbs of a run's keeper; see `makfs.wire.verbs`. By themselves: to start a run, no other is made."""

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
