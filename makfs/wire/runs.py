"""What daemon and command line tell each other of runs: programs that makfs started in an agent's view. Pure.

A run's folder is `.makfs/runs/N`: `record.json` (a RunRecord, written by makfsd), `end.json` (a RunEnding,
written by the keeper, the process that started the program), `stdout` and `stderr`.
"""

from dataclasses import dataclass

RUNS_DIR = "runs"
HOMES_DIR = "agents"
RECORD_NAME = "record.json"
END_NAME = "end.json"


@dataclass(frozen=True, slots=True)
class Process:
    """A process that cannot be mistaken for a later one of the same number."""

    pid: int
    start: int  # clock ticks since boot: proc_pid_stat(5), starttime


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


@dataclass(frozen=True, slots=True)
class RunEnding:
    """How a run's program ended."""

    end_ns: int  # wall clock
    exit_code: int  # 128 + N when signal N ended it
    stdout_bytes: int  # written by the program
    stderr_bytes: int
    dropped_bytes: int  # of both, not kept


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that is known of a run. Counts are the agent's own in the time of the run."""

    number: int
    agent: str
    command: tuple[str, ...]  # with secrets masked
    status: str  # "running", "ended", or "lost": nobody saw its end
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
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    dropped_bytes: int = 0
