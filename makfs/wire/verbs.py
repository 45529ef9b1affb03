"""The verbs of the control protocol and their arguments, one class each.

The values that come back are those of `makfs.engine.api` and `makfs.store.model`, as JSON.
"""

from dataclasses import dataclass
from typing import ClassVar

from makfs.wire.frames import Request
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


@dataclass(frozen=True, slots=True)
class RemoveAgent:
    """Remove a view; `force` although files are open in it: null."""

    verb: ClassVar[str] = "agent-rm"
    name: str
    force: bool = False


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


@dataclass(frozen=True, slots=True)
class Show:
    """Return one commit whole: CommitDetail."""

    verb: ClassVar[str] = "show"
    seq: int


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
class Check:
    """Check the store and the tree, with progress: list of Finding."""

    verb: ClassVar[str] = "check"


@dataclass(frozen=True, slots=True)
class Unmount:
    """Wait up to `wait_s` for open writes, unmount and end; `force` whatever is open: null."""

    verb: ClassVar[str] = "unmount"
    force: bool = False
    wait_s: float = 10.0


Verb = Status | AddAgent | RemoveAgent | Nodes | Log | Show | Refusals | ShowRefusal | Check | Unmount

VERBS: dict[str, type[Verb]] = {
    each.verb: each
    for each in (Status, AddAgent, RemoveAgent, Nodes, Log, Show, Refusals, ShowRefusal, Check, Unmount)
}


def request(number: int, verb: Verb) -> Request:
    """Return the request that asks for a verb."""
    return Request(number, verb.verb, to_json(verb))
