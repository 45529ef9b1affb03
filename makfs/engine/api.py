"""What the control socket may ask of a running kernel. Values in, values out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.model import Commit, CommitDetail, LogQuery, Refusal


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One agent and its view."""

    agent: AgentId
    view: str  # absolute path of the view's directory
    policy: str
    open_files: int
    staged: tuple[str, ...]  # paths with bytes that are not committed yet
    commits: int  # since the mount
    refusals: int  # since the mount
    last_activity_ns: int  # wall clock, 0: never


@dataclass(frozen=True, slots=True)
class KernelStatus:
    """The kernel as a whole."""

    repo: str
    mountpoint: str
    pid: int
    version: str
    since_ns: int  # wall clock
    head: Seq
    agents: tuple[AgentStatus, ...]
    owed: tuple[str, ...]  # commits not yet written through, a sentence each
    warnings: tuple[str, ...]
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node of a file, for `makfs nodes`."""

    kind: str
    address: str
    first_line: int
    last_line: int
    uid: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of fsck."""

    check: str
    where: str
    sentence: str


Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""


class KernelApi(Protocol):
    """The verbs. Errors are MakfsError; their `str()` is shown to the user as it is."""

    def status(self) -> KernelStatus: ...

    def add_agent(self, name: str, policy: str | None = None) -> AgentStatus: ...

    async def remove_agent(self, name: str, force: bool = False) -> None: ...

    def nodes(self, path: str) -> Sequence[NodeRow]: ...

    def log(self, query: LogQuery) -> Sequence[Commit]: ...

    def show(self, seq: Seq) -> CommitDetail: ...

    def refusals(self, agent: AgentId | None, limit: int) -> Sequence[Refusal]: ...

    def refusal(self, number: int) -> Refusal: ...

    async def check(self, progress: Progress) -> Sequence[Finding]: ...

    async def drain(self, timeout_s: float) -> Sequence[RepoPath]:
        """Wait until no write is open; return the paths still open when the time was over."""
        ...
