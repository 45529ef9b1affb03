"""What is known of runs. Pure. Not in `makfs.wire.runs`, for to start a run none of it is made."""

from dataclasses import dataclass, field

from makfs.adapters.tokens import Usage
from makfs.runs.limits import Limits
from makfs.wire.runs import ENDED, LOST, Care, Process


@dataclass(frozen=True, slots=True)
class RunProcess:
    """A process of a run, when it was asked."""

    pid: int
    parent: int
    name: str  # as the kernel has it; arguments may hold secrets
    state: str  # a letter of proc_pid_stat(5)
    cpu_s: float
    memory_bytes: int  # resident


@dataclass(frozen=True, slots=True)
class RunUse:
    """What a run takes, when it was asked."""

    number: int
    agent: str
    time_ns: int  # monotonic clock
    cpu_ns: int  # since its begin, of all processes that are known of
    memory_bytes: int
    memory_limit_bytes: int
    pids: int
    pids_limit: int
    commits: int
    refusals: int
    by_group: bool  # measured by a control group, else by looking at each process


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that is known of a run. Counts are the agent's own in the time of the run."""

    number: int
    agent: str
    command: tuple[str, ...]  # with secrets masked
    status: str  # RUNNING, PAUSED, RESTARTING, ENDED, or LOST: nobody saw its end
    confined: bool
    network: bool
    variables: tuple[str, ...]  # names let through beside the usual ones
    begin_ns: int  # wall clock
    end_ns: int = 0
    duration_s: float = 0.0
    exit_code: int | None = None
    signal: str = ""  # the signal that an exit code above 128 tells of
    keeper: Process | None = None
    leader: Process | None = None  # the first process of the namespace; of the session, if not confined
    first_seq: int = 0
    last_seq: int = 0
    commits: int = 0
    nodes: int = 0
    refusals: int = 0
    waits: int = 0  # operations of its agent that waited for what others held; counted when the wait is over
    waited_s: float = 0.0  # by all of them together
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    dropped_bytes: int = 0
    care: Care = field(default_factory=Care)
    limits: Limits = field(default_factory=Limits)
    groups: tuple[str, ...] = ()
    enforced: tuple[str, ...] = ()
    unenforced: tuple[str, ...] = ()
    restarts: int = 0
    next_ns: int = 0  # when it is started again, 0: it is there
    paused_ns: int = 0  # since when, 0: it is not
    why_ended: str = ""  # a sentence, where it did not end by itself
    last_activity_ns: int = 0  # of its view or its output
    tokens: int = 0  # that the program says it used, as far as its adapter can read that
    usage: Usage = field(default_factory=Usage)  # what they are made of
    oom_kills: int = 0  # processes killed for --memory, as far as a control group counts them
    heard_bytes: int = 0  # of what its keeper wrote down for makfsd, so much is among the run's events
    view_gone: bool = False  # the mount under it ended: nothing in its view can be reached any more
    log_problem: str = ""
    taken: tuple[tuple[str, str], ...] = ()  # budgets, and the step that was taken for each
    cli: str = ""  # the adapter it was started by
    task: str = ""  # what its agent works at meanwhile
    processes: tuple[RunProcess, ...] = ()  # when it was asked; not kept

    @property
    def is_over(self) -> bool:
        """Tell whether it goes on no more."""
        return self.status in (ENDED, LOST)
