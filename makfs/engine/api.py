"""What the control socket may ask of a running kernel. Values in, values out."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from makfs.engine.belonging import Belonging
from makfs.engine.historyapi import HistoryApi
from makfs.engine.mailapi import MailApi
from makfs.engine.newsapi import NewsApi
from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.model import Collected, Commit, CommitDetail, LogQuery, Refusal


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
    isolation: str = "live"  # or "snapshot"; the rest is of snapshot views
    at: Seq = Seq(0)  # the commit it stands at
    behind: int = 0  # commits since then
    changed: tuple[str, ...] = ()  # paths that it changed and has not published
    conflicts: tuple[str, ...] = ()  # addresses that head changed too, so that publishing would be refused
    task: str = ""  # what it works at, if it has said


@dataclass(frozen=True, slots=True)
class Waits:
    """How many operations of an agent waited for what others held, and for how long. Since the mount."""

    count: int = 0
    total_ns: int = 0


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
class ClaimRow:
    """One address in one mode."""

    address: str
    mode: str  # `makfs.locks.Mode.word`: "write", "read", "intent to write" ...


@dataclass(frozen=True, slots=True)
class LockRow:
    """One grant, as `makfs locks` lists it. Times are of the wall clock."""

    agent: AgentId
    address: str
    mode: str
    fence: int  # grows with every grant
    since_ns: int
    expires_ns: int
    lease_ns: int
    explicit: bool  # claimed, and renewed by whatever its agent does; else a lease that a write took


@dataclass(frozen=True, slots=True)
class WaitRow:
    """One request in the queue. Times are of the wall clock."""

    ticket: int
    agent: AgentId
    claims: tuple[ClaimRow, ...]
    since_ns: int
    until_ns: int
    behind: tuple[str, ...]  # agents that hold, or asked earlier for, what it waits for


@dataclass(frozen=True, slots=True)
class LockState:
    """Who holds what and who waits, at one moment."""

    now_ns: int
    grants: tuple[LockRow, ...]  # oldest first
    waiters: tuple[WaitRow, ...]  # next first


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a refused write that was tried again."""

    path: RepoPath
    seq: Seq | None  # None: the file says so already
    merged: bool  # others had changed the file meanwhile


@dataclass(frozen=True, slots=True)
class Undoing:
    """Which commits to take back: those named, or all that an agent made, or that were made for a task."""

    seqs: tuple[int, ...] = ()
    agent: str | None = None
    task: str | None = None
    since_ns: int = 0  # wall clock; of those that are not named


@dataclass(frozen=True, slots=True)
class Reverted:
    """What an undo or a restore did."""

    seq: Seq | None  # None: everything is so already
    paths: tuple[RepoPath, ...]


@dataclass(frozen=True, slots=True)
class Published:
    """What became of a snapshot view's edits."""

    seq: Seq | None  # the commit that has them; None: there was nothing to commit
    paths: tuple[RepoPath, ...]  # published, kept on top of the newer commit, or dropped
    at: Seq  # the commit it stands at now


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of fsck."""

    check: str
    where: str
    sentence: str


Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""


class TasksApi(Protocol):
    """What agents work at. Every commit carries the task that its agent has then."""

    def task(self, agent: str) -> str:
        """Return an agent's task, "" if it has none. Raises NotFound."""
        ...

    def set(self, agent: str, task: str, *, lasting: bool = True) -> str:
        """Give an agent another task, "" for none; return the one it had. Raises NotFound, BadName.

        If it is not `lasting`, a remount brings back the lasting one.
        """
        ...

    def put_back(self, agent: str, task: str, before: str) -> None:
        """End a task that was not lasting, unless the agent has another by now. Raises NotFound, BadName."""
        ...


class KernelApi(Protocol):
    """The verbs. Errors are MakfsError; their `str()` is shown to the user as it is."""

    @property
    def history(self) -> HistoryApi:
        """Return the verbs that read history."""
        ...

    @property
    def mail(self) -> MailApi:
        """Return messages, and what is shared by name."""
        ...

    @property
    def news(self) -> NewsApi:
        """Return what happened: to be recorded, and to be read."""
        ...

    @property
    def tasks(self) -> TasksApi:
        """Return what agents work at."""
        ...

    @property
    def belonging(self) -> Belonging:
        """Return whose each process is: who starts runs says so there."""
        ...

    def status(self) -> KernelStatus: ...

    def tell(self, agent: AgentId, sentence: str) -> None:
        """Put a sentence into an agent's `.makfs/why`."""
        ...

    def add_agent(
        self, name: str, policy: str | None = None, isolation: str | None = None
    ) -> AgentStatus: ...

    async def remove_agent(self, name: str, force: bool = False) -> None: ...

    def nodes(self, path: str) -> Sequence[NodeRow]: ...

    def log(self, query: LogQuery) -> Sequence[Commit]: ...

    def show(self, seq: Seq) -> CommitDetail: ...

    def refusals(self, agent: AgentId | None, limit: int) -> Sequence[Refusal]: ...

    def refusal(self, number: int) -> Refusal: ...

    def waits(self, agent: AgentId) -> Waits:
        """Return an agent's waits, none of who has no view. Cost: a look."""
        ...

    async def claim(
        self,
        agent: str,
        mode: str,
        addresses: Sequence[str],
        wait_s: float | None = None,
        lease_s: float | None = None,
    ) -> Sequence[LockRow]:
        """Claim for an agent, "read" or "write", all or none; wait up to `wait_s` (None: as configured).

        Raises NotFound, BadClaim, BadAddress, Busy (who holds it, until when; or the deadlock). When
        cancelled, the request leaves the queue.
        """
        ...

    def hold(
        self, agent: str, mode: str, addresses: Sequence[str], wait_s: float | None = None
    ) -> AbstractAsyncContextManager[Sequence[LockRow]]:
        """Claim as `claim` does, and hold until the context ends: renewed meanwhile, released at the end.

        Two holds of one agent on one process resource take turns like those of two agents.
        """
        ...

    def release(
        self, agent: str, addresses: Sequence[str] | None, *, keep_read: bool = False
    ) -> Sequence[LockRow]:
        """End an agent's grants on these addresses, or all (None); return them.

        With `keep_read` those that may write are weakened to read instead, in one step; what is held then is
        returned. Raises NotFound, NotHeld, BadClaim.
        """
        ...

    def renew(
        self, agent: str, addresses: Sequence[str] | None, lease_s: float | None = None
    ) -> Sequence[LockRow]:
        """Let leases start again; return them. Raises NotFound, NotHeld, BadClaim."""
        ...

    def locks(self, address: str | None = None) -> LockState:
        """Return who holds and waits, at an address and below it, or everywhere. Raises BadAddress."""
        ...

    def why(self, agent: str) -> str:
        """Return what `.makfs/why` of its view says. Raises NotFound."""
        ...

    async def apply_refusal(self, number: int) -> Applied:
        """Try a refused write again on the newest version, as its agent. Raises NotFound, Refused."""
        ...

    async def undo(self, what: Undoing, by: str | None = None) -> Reverted:
        """Take back commits in one commit of `by` or a person.

        Raises NotFound, NotKept, and Busy naming the later work that stands on them; then nothing is changed.
        """
        ...

    async def restore(self, path: str, at: str, by: str | None = None) -> Reverted:
        """Make a path, and all below it, what it was after a commit. Raises NotFound, NotKept, Busy."""
        ...

    async def gc(
        self, keep: int | None, since_ns: int | None, dry_run: bool, progress: Progress
    ) -> Collected:
        """Cut the history but `keep` commits, or those since a time, in steps beside commits. Raises Busy."""
        ...

    async def publish(self, agent: str) -> Published:
        """Merge a snapshot view's edits onto head, all or none, in one commit, and let it stand there.

        Raises NotFound, and Busy naming the clashes, the holder, or what the gate command said.
        """
        ...

    async def refresh(self, agent: str) -> Published:
        """Let a snapshot view stand at head, its edits merged, all or none. Raises NotFound, Busy."""
        ...

    async def discard(self, agent: str) -> Published:
        """Drop a snapshot view's edits, and let it stand at head. Raises NotFound, Busy."""
        ...

    async def check(self, progress: Progress) -> Sequence[Finding]: ...

    async def drain(self, timeout_s: float) -> Sequence[RepoPath]:
        """Wait until no write is open; return the paths still open when the time was over."""
        ...
