"""The verbs of the control protocol and their arguments, one class each.

The values that come back are those of `makfs.engine.api` and `makfs.store.model`, as JSON.
"""

# ruff: noqa: PLC0414 - the verbs of runs are found here, too

from dataclasses import dataclass
from typing import ClassVar, get_args

from makfs.wire.frames import Request
from makfs.wire.mailverbs import OfMail
from makfs.wire.runbegin import (  # for all who know verbs by one name
    RunBegin as RunBegin,
)
from makfs.wire.runbegin import (
    RunEnd as RunEnd,
)
from makfs.wire.runbegin import (
    RunStarted as RunStarted,
)
from makfs.wire.runverbs import (
    MeasureRuns as MeasureRuns,
)
from makfs.wire.runverbs import (
    PauseRun as PauseRun,
)
from makfs.wire.runverbs import (
    RemoveRun as RemoveRun,
)
from makfs.wire.runverbs import (
    Runs as Runs,
)
from makfs.wire.runverbs import (
    ShowRun as ShowRun,
)
from makfs.wire.runverbs import (
    SignalRun as SignalRun,
)
from makfs.wire.runverbs import (
    StopRun as StopRun,
)
from makfs.wire.runverbs import (
    WaitRun as WaitRun,
)
from makfs.wire.values import to_json

MAX_LIST = 1000
"""Most entries one list verb returns; ask again with `before`."""


@dataclass(frozen=True, slots=True)
class Status:
    """Ask how the kernel is: KernelStatus."""

    verb: ClassVar[str] = "status"


@dataclass(frozen=True, slots=True)
class AddAgent:
    """Make a view: AgentStatus."""

    verb: ClassVar[str] = "agent-add"
    name: str
    policy: str | None = None
    isolation: str | None = None


@dataclass(frozen=True, slots=True)
class RemoveAgent:
    """Remove a view; `force` although files are open in it: null."""

    verb: ClassVar[str] = "agent-rm"
    name: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """Ask what an agent works at: a string, "" if it has not said."""

    verb: ClassVar[str] = "task"
    agent: str


@dataclass(frozen=True, slots=True)
class SetTask:
    """Let an agent's commits carry a task from now on, "" for none: the task it had."""

    verb: ClassVar[str] = "task-set"
    agent: str
    task: str


@dataclass(frozen=True, slots=True)
class Nodes:
    """List the nodes of one file of the repository: list of NodeRow."""

    verb: ClassVar[str] = "nodes"
    path: str


@dataclass(frozen=True, slots=True)
class Log:
    """List commits, newest first: list of Commit."""

    verb: ClassVar[str] = "log"
    limit: int = 100
    before: int | None = None
    agent: str | None = None
    path: str | None = None
    program: str | None = None
    since_ns: int | None = None  # wall clock
    until_ns: int | None = None
    address: str | None = None  # instead of a path: a node, a class with all inside, a file by its renames
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Show:
    """Return one commit whole: CommitDetail."""

    verb: ClassVar[str] = "show"
    seq: int


@dataclass(frozen=True, slots=True)
class SeqOf:
    """Ask which commit a number, a mark or `head` means: a number."""

    verb: ClassVar[str] = "seq-of"
    at: str


@dataclass(frozen=True, slots=True)
class Marks:
    """List marks: list of Mark."""

    verb: ClassVar[str] = "marks"


@dataclass(frozen=True, slots=True)
class SetMark:
    """Give a commit a name: Mark."""

    verb: ClassVar[str] = "mark-set"
    name: str
    at: str = "head"


@dataclass(frozen=True, slots=True)
class DeleteMark:
    """Forget a mark: Mark."""

    verb: ClassVar[str] = "mark-delete"
    name: str


@dataclass(frozen=True, slots=True)
class Diff:
    """Compare two trees: DiffPage; ask again with its `after` for the rest."""

    verb: ClassVar[str] = "diff"
    old: str
    new: str
    paths: tuple[str, ...] = ()
    by_node: bool = False
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Blame:
    """Ask who wrote each line of a file: Blame; `by_node`, who changed each node last: NodeBlame."""

    verb: ClassVar[str] = "blame"
    path: str
    at: str = "head"
    by_node: bool = False


@dataclass(frozen=True, slots=True)
class NodeLog:
    """List a node's commits, newest first: list of NodeStep."""

    verb: ClassVar[str] = "node-log"
    address: str
    limit: int = 100
    before: int | None = None


@dataclass(frozen=True, slots=True)
class Cat:
    """Read a file as of a commit, from an offset on: Chunk."""

    verb: ClassVar[str] = "cat"
    path: str
    at: str = "head"
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Refusals:
    """List refusals, newest first, without their bytes: list of Refusal."""

    verb: ClassVar[str] = "refusals"
    limit: int = 100
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class ShowRefusal:
    """Return one refusal whole: Refusal."""

    verb: ClassVar[str] = "refusal"
    number: int


@dataclass(frozen=True, slots=True)
class ApplyRefusal:
    """Try a refused write again, as its agent: Applied. May wait."""

    verb: ClassVar[str] = "refusal-apply"
    number: int


@dataclass(frozen=True, slots=True)
class Undo:
    """Take commits back in one commit: Reverted. May wait.

    These, or since a wall-clock time all that an agent made, or that were made for a task, or both.
    """

    verb: ClassVar[str] = "undo"
    seqs: tuple[int, ...] = ()
    agent: str | None = None
    since_ns: int = 0
    by: str | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True)
class Restore:
    """Make a path what it was after a commit: Reverted. May wait."""

    verb: ClassVar[str] = "restore"
    path: str
    at: str  # a commit's number, a mark, or head
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Claim addresses for an agent, `mode` "read" or "write", all or none: list of LockRow. May wait.

    `tied`: held until this connection ends, without a lease of its own.
    """

    verb: ClassVar[str] = "claim"
    agent: str
    mode: str
    addresses: tuple[str, ...]
    wait_s: float | None = None
    lease_s: float | None = None
    tied: bool = False


@dataclass(frozen=True, slots=True)
class Release:
    """End an agent's grants on these addresses, or all: list of LockRow, those that ended.

    With `keep_read` they are kept to read, and the list is of those.
    """

    verb: ClassVar[str] = "release"
    agent: str
    addresses: tuple[str, ...] | None = None
    keep_read: bool = False


@dataclass(frozen=True, slots=True)
class Renew:
    """Let leases of an agent start again, on these addresses or all: list of LockRow."""

    verb: ClassVar[str] = "renew"
    agent: str
    addresses: tuple[str, ...] | None = None
    lease_s: float | None = None


@dataclass(frozen=True, slots=True)
class Locks:
    """Ask who holds and waits, at an address and below it, or everywhere: LockState."""

    verb: ClassVar[str] = "locks"
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Why:
    """Ask what `.makfs/why` of an agent's view says: a string."""

    verb: ClassVar[str] = "why"
    agent: str


@dataclass(frozen=True, slots=True)
class Publish:
    """Merge a snapshot view's edits onto head, all or none: Published. May wait."""

    verb: ClassVar[str] = "publish"
    agent: str


@dataclass(frozen=True, slots=True)
class Refresh:
    """Let a snapshot view stand at head, its edits kept: Published. May wait."""

    verb: ClassVar[str] = "refresh"
    agent: str


@dataclass(frozen=True, slots=True)
class Discard:
    """Drop a snapshot view's edits: Published. May wait."""

    verb: ClassVar[str] = "discard"
    agent: str


@dataclass(frozen=True, slots=True)
class Check:
    """Check the store and the tree, with progress: list of Finding."""

    verb: ClassVar[str] = "check"


@dataclass(frozen=True, slots=True)
class Gc:
    """Cut the history but so many commits, or those since a wall-clock time, with progress: Collected."""

    verb: ClassVar[str] = "gc"
    keep: int | None = None
    since_ns: int | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Unmount:
    """Wait up to `wait_s` for open writes, unmount and end; `force` whatever is open: null."""

    verb: ClassVar[str] = "unmount"
    force: bool = False
    wait_s: float = 10.0


History = Log | Diff | Blame | NodeLog | Cat | DeleteMark

Quick = (
    Status | AddAgent | Nodes | Show | SeqOf | Marks | SetMark | Task | SetTask | Refusals | ShowRefusal
    | Release | Renew | Locks | Why
)  # fmt: skip
"""Answered at once."""

OfRuns = RunStarted | RunEnd | ShowRun | SignalRun | StopRun | RemoveRun
"""Answered at once, by the runner."""

LongOfRuns = Runs | MeasureRuns | PauseRun | WaitRun

Long = (
    History | RemoveAgent | Undo | Restore | Publish | Refresh | Discard | ApplyRefusal | Claim | Check
    | Gc | Unmount | RunBegin | LongOfRuns
)  # fmt: skip
"""These may wait; cancelled when the client goes away."""

Verb = Quick | OfRuns | OfMail | Long

VERBS: dict[str, type[Verb]] = {
    each.verb: each for each in (*get_args(Quick), *get_args(OfRuns), *get_args(OfMail), *get_args(Long))
}


def request(number: int, verb: Verb) -> Request:
    """Return the request that asks for a verb."""
    return Request(number, verb.verb, to_json(verb))
