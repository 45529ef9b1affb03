"""What daemon and command line tell each other of runs: programs that makfs started in an agent's view. Pure.

A run's folder is `.makfs/runs/N`. makfsd writes `record.json` (a RunRecord), `wish.json` (a RunWish) and
`events.jsonl` (RunEvents); the keeper, the process that started the program, writes `live.json` (a RunLive),
`end.json` (a RunEnding), `told.jsonl` (RunEvents, which makfsd takes over), `stdout`, `stderr`, `diff.txt`,
`answer.txt`, `terminal.cast` where there is a terminal, and listens at `attach.sock`. Files in place of
messages: whichever is killed, the other and the next makfsd still know.
"""

from dataclasses import dataclass, field

from makfs.adapters.tokens import Usage
from makfs.runs.limits import Limits
from makfs.runs.restarts import Told

RUNS_DIR = "runs"
HOMES_DIR = "agents"
RECORD_NAME = "record.json"
END_NAME = "end.json"
END_BYTES = 1024  # kept free for it from the run's begin, beside it as `end.json.new`
LIVE_NAME = "live.json"
WISH_NAME = "wish.json"
EVENTS_NAME = "events.jsonl"
TOLD_NAME = "told.jsonl"
ATTACH_NAME = "attach.sock"
TERMINAL_NAME = "terminal.cast"
DIFF_NAME = "diff.txt"
ANSWER_NAME = "answer.txt"
TIMES_SUFFIX = ".times"  # beside `stdout` and `stderr`: lines of wall clock and bytes before, one a second

RUNNING, PAUSED, RESTARTING, ENDED, LOST = "running", "paused", "restarting", "ended", "lost"
MARK = "MAKFS_RUN"  # the variable by which a run's processes are known; its value is the run's folder


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    start: int  # clock ticks since boot: proc_pid_stat(5), starttime


@dataclass(frozen=True, slots=True)
class Care:
    """How a run is looked after. 0: no limit, but what makfs.conf says."""

    restart: str = "no"  # see makfs.runs.restarts
    timeout_s: float = 0.0
    idle_timeout_s: float = 0.0
    limits: Limits = field(default_factory=Limits)
    budget: tuple[str, ...] = ()  # NAME=NUMBER


@dataclass(frozen=True, slots=True)
class Turn:
    """A process resource and the commands that wait their turn for it."""

    resource: str
    commands: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a keeper needs to start a run's program. Paths are absolute."""

    number: int
    folder: str
    repo: str
    mountpoint: str
    view: str
    home: str
    env: tuple[str, ...]
    paths: tuple[str, ...]
    log_bytes: int
    limits: Limits = field(default_factory=Limits)  # in force: those asked for, else makfs.conf's
    groups: tuple[str, ...] = ()  # directories of the run's control groups
    enforced: tuple[str, ...] = ()  # controllers whose limits they hold
    unenforced: tuple[str, ...] = ()  # sentences
    turns: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class RunLive:
    """What a keeper knows of its program."""

    keeper: Process | None = None
    leader: Process | None = None  # None: not there, or not there yet
    restarts: int = 0
    next_ns: int = 0  # wall clock: when it is started again; 0: it is there
    tokens: int = 0  # that the program said it used
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class RunEvent:
    """What happened to a run, for people."""

    time_ns: int  # wall clock
    event: str  # "began", "restarted", "warned", "paused", "resumed", "stopped", "ended" ...
    says: str = ""  # a sentence


@dataclass(frozen=True, slots=True)
class RunWish:
    """What is to follow the end of a run's program."""

    told: Told


@dataclass(frozen=True, slots=True)
class RunEnding:
    """How a run's program ended."""

    end_ns: int  # wall clock
    exit_code: int  # 128 + N when signal N ended it
    stdout_bytes: int  # written by the program
    stderr_bytes: int
    dropped_bytes: int  # of both, not kept
    log_problem: str = ""  # why something could not be kept
    restarts: int = 0
    tokens: int = 0
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class RunKept:
    """Of a RunRecord, what its keeper needs when the run is over."""

    agent: str
    first_seq: int
    last_seq: int
    commits: int
    log_problem: str
