"""What the rooms above ask of a store. Nothing above `store/` may know which one it is."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.locks.recorded import Call
from makfs.locks.rows import Row, Rows
from makfs.messages import Artifact, Limits, Message
from makfs.store.happened import HappenedPage, Position
from makfs.store.model import (
    Collected,
    Commit,
    CommitDetail,
    CommitDraft,
    Effect,
    FileState,
    LogQuery,
    Mark,
    NodeEdit,
    NodeIds,
    NodeText,
    Problem,
    Refusal,
    Revision,
    Stretch,
)


class Post(Protocol):
    """Messages and shared artifacts (`makfs.store.post`)."""

    def send(self, draft: Message, limits: Limits) -> Message: ...

    def acknowledge(self, agent: AgentId, number: int, time_ns: int) -> bool: ...

    def unread(self, agent: AgentId) -> Sequence[Message]: ...

    def count_unread(self, agent: AgentId) -> int: ...

    def unread_one(self, agent: AgentId, number: int) -> Message | None: ...

    def message(self, number: int) -> Message | None: ...

    def messages(self, limit: int, before: int | None, agent: AgentId | None) -> Sequence[Message]: ...

    def unread_by(self, number: int) -> Sequence[AgentId]: ...

    def answer_to(self, number: int, asker: AgentId) -> Message | None: ...

    def share(self, name: str, agent: AgentId, data: bytes, time_ns: int, limits: Limits) -> Artifact: ...

    def unshare(self, name: str, agent: AgentId, time_ns: int) -> bool: ...

    def artifacts(self) -> Sequence[Artifact]: ...

    def artifact(self, name: str, version: int | None = None) -> Artifact | None: ...

    def artifact_bytes(self, name: str, version: int) -> bytes | None: ...


class Events(Protocol):
    """What happened beside commits, in one order with them (`makfs.store.events`)."""

    news: Callable[[], None] | None  # called when there may be more to read, by the daemon's own thread

    @property
    def newest(self) -> Position:
        """Return the position of the newest event or commit."""
        ...

    @property
    def is_lazy(self) -> bool:
        """Tell whether something is not written yet."""
        ...

    def record(self, kind: str, agent: str, time_ns: int, fields: Mapping[str, Any]) -> None:
        """Keep what has happened, with the next transaction. Cost: a list's append."""
        ...


class Store(Protocol):
    """The journal and all texts. One writer: the daemon. Every method is synchronous and short."""

    @property
    def head(self) -> Seq:
        """Return the newest commit's number, 0 for an empty journal."""
        ...

    @property
    def events(self) -> Events:
        """Return what happened beside commits."""
        ...

    @property
    def post(self) -> Post:
        """Return the messages and shared artifacts."""
        ...

    def commit(self, draft: CommitDraft) -> tuple[Commit, tuple[Effect, ...]]:
        """Append one commit in one transaction; it survives kill -9 on return, not power loss.

        The commit of many files is quicker if their states were prepared.

        Raises StoreFull when the disk is full (nothing was written), StoreError otherwise.
        """
        ...

    def prepare(self, states: Sequence[FileState]) -> Sequence[FileState]:
        """Write the texts of states that a commit is going to bring; return them as it shall bring them.

        Texts that no commit brings after all are removed by the next collection. Raises as `commit` does.
        """
        ...

    def sync(self) -> None:
        """Make everything committed so far survive a power loss (fsync of the log)."""
        ...

    def maintain(self) -> bool:
        """Do housekeeping that has become worth its while; tell whether there was any.

        For a worker thread, every second or so and best when nobody writes; commits may go on meanwhile.
        Not beside `close`.
        """
        ...

    def next_node_uid(self) -> NodeUid:
        """Return the first uid never used; `commit` learns of used ones from its draft."""
        ...

    def revision(self, path: RepoPath, at: Seq | None = None) -> Revision | None:
        """Return the path's state at `at` (newest if None), or None if never recorded (J2)."""
        ...

    def nodes(self, path: RepoPath, at: Seq | None = None) -> tuple[NodeText, ...]:
        """Return the node texts of a FILE revision. Raises NotKept if only its hash is known."""
        ...

    def text_by_hash(self, content_hash: bytes) -> bytes | None:
        """Return a whole content that some revision had, or None."""
        ...

    def children(self, folder: RepoPath, at: Seq | None = None) -> Mapping[str, Revision]:
        """Return recorded entries directly below a folder, by name, ABSENT ones included."""
        ...

    def below(self, folder: RepoPath) -> Sequence[Revision]:
        """Return the newest revision of every recorded path below a folder, at any depth."""
        ...

    def older_texts(self, uid: NodeUid, since: Seq) -> tuple[bytes, ...]:
        """Return texts the node had at or after `since`, oldest first, the newest excluded."""
        ...

    def effects_done(self, effects: Iterable[int]) -> None:
        """Forget write-throughs that reached the disk; lazily, with the next transaction (J5)."""
        ...

    def pending_effects(self) -> Sequence[Effect]:
        """Return write-throughs owed since before a crash, in order."""
        ...

    def log(self, query: LogQuery) -> Sequence[Commit]:
        """Return commits, newest first."""
        ...

    def detail(self, seq: Seq) -> CommitDetail | None:
        """Return one commit whole, or None."""
        ...

    def time_ns(self, seq: Seq) -> int:
        """Return when a commit was made (wall clock), 0 if there is no such commit."""
        ...

    def reader(self) -> "AbstractContextManager[Reader]":
        """Return what reads history in a worker thread, beside commits."""
        ...

    def marks(self) -> Sequence[Mark]:
        """Return all marks, in the order of their names."""
        ...

    def mark(self, name: str) -> Mark | None:
        """Return one mark, or None."""
        ...

    def set_mark(self, mark: Mark) -> None:
        """Keep a mark in the place of one of that name (J7). Durable like a commit."""
        ...

    def delete_mark(self, name: str) -> None:
        """Forget a mark, if there is one. Durable like a commit."""
        ...

    def refuse(self, refusal: Refusal) -> int:
        """Keep a refused write; return its number. Durable like a commit."""
        ...

    def refusals(self, agent: AgentId | None = None, limit: int = 100) -> Sequence[Refusal]:
        """Return refusals, newest first, without their bytes (`mine` is b"")."""
        ...

    def refusal(self, number: int) -> Refusal | None:
        """Return one refusal whole, or None."""
        ...

    def view_number(self, agent: AgentId) -> int:
        """Return the agent's number (from 1; the same for ever), giving it one the first time."""
        ...

    def get_meta(self, key: str) -> str | None:
        """Return a small setting kept with the store."""
        ...

    def set_meta(self, key: str, value: str) -> None:
        """Keep a small setting."""
        ...

    def inode_exceptions(self) -> Mapping[RepoPath, int]:
        """Return the file ids (32 bits) that differ from the path's own hash."""
        ...

    def set_inode_exception(self, path: RepoPath, file_id: int | None) -> None:
        """Remember (or forget, None) that a path has another file id; lazily, with the next transaction."""
        ...

    def lock_rows(self) -> Rows:
        """Return all locks kept, those still lazy included."""
        ...

    def keep_locks(
        self,
        *,
        fence: int,
        ticket: int,
        grants: Iterable[Row] = (),
        gone: Iterable[tuple[str, str]] = (),
        waiters: Iterable[Row] = (),
        left: Iterable[int] = (),
    ) -> None:
        """Put grants, remove those `gone` (agent, address), put waiters, remove tickets that `left`; lazily.

        In that order. A waiter's rows come in one call, in the order of its claims. `fence` and `ticket` are
        the newest numbers given out. Raises BadName for an address that no file can have; then nothing of
        the call is kept. Cost: some microseconds, nothing on the disk before the next transaction.
        """
        ...

    def record_lock(self, call: Call) -> None:
        """Keep what the lock table was asked and answered; lazily, the newest 100,000 calls."""
        ...

    def write_lazies(self) -> None:
        """Write now what is lazy; it survives kill -9 on return. Raises StoreFull, and it stays lazy."""
        ...

    def cut(self) -> Seq:
        """Return the commit up to which history was cut, 0 if it never was."""
        ...

    def is_kept(self, at: Seq) -> bool:
        """Tell whether the whole tree as of a commit is known: from the cut on, and where a mark is."""
        ...

    def boundary(self, keep: int | None, since_ns: int | None) -> Seq:
        """Return the newest commit that may be cut if `keep` newer ones, or all since a time, stay."""
        ...

    def collect(self, cut: Seq, *, dry_run: bool = False) -> Generator[str, None, Collected]:
        """Cut the history up to a commit, in steps of milliseconds; commits may go on between two (G1-G4)."""
        ...

    def counts(self) -> Mapping[str, int]:
        """Return how many commits, revisions, texts, refusals there are, and `size_bytes` on disk."""
        ...

    def check(self) -> Sequence[Problem]:
        """Check every invariant of the model and the database itself. Cost: reads everything."""
        ...

    def close(self) -> None:
        """Write what is lazy, checkpoint, close."""
        ...


class Reader(Protocol):
    """History as of one moment; for one thread, which may take its time. Iterators may raise StoreError."""

    @property
    def head(self) -> Seq:
        """Return the newest commit's number at that moment."""
        ...

    @property
    def cut(self) -> Seq:
        """Return the commit up to which history was cut, 0 if it never was."""
        ...

    def log(self, query: LogQuery) -> Sequence[Commit]:
        """Return commits, newest first."""
        ...

    def happened(self, since: Position, upto: Position) -> HappenedPage:
        """Return what happened after `since`, up to and with `upto`, at most some hundred."""
        ...

    def position_of_time(self, time_ns: int) -> Position:
        """Return the position after which everything since a wall-clock time stands."""
        ...

    def commit(self, seq: Seq) -> Commit:
        """Return one commit. Raises StoreError if the journal lacks it."""
        ...

    def revision(self, path: RepoPath, at: Seq) -> Revision | None:
        """Return a path's state at `at`, None if never recorded (J2)."""
        ...

    def nodes(self, path: RepoPath, at: Seq) -> tuple[NodeText, ...]:
        """Return the nodes of a path's state at `at`. Raises NotKept."""
        ...

    def changed(self, after: Seq, upto: Seq) -> Sequence[RepoPath]:
        """Return the paths that commits after `after`, up to and with `upto`, touched, in order."""
        ...

    def stretches(self, path: RepoPath, at: Seq) -> Sequence[Stretch]:
        """Return where the file that is at `path` at `at` has been, newest first."""
        ...

    def went_to(self, path: RepoPath, seq: Seq) -> RepoPath | None:
        """Return where a commit moved the file that was at a path, None if it did not."""
        ...

    def created(self, stretch: Stretch) -> Seq | None:
        """Return the commit that last made a file where there was none; None: it is there from the origin."""
        ...

    def detail(self, seq: Seq) -> CommitDetail:
        """Return one commit whole. Raises StoreError if the journal lacks it."""
        ...

    def node_lists(self, stretch: Stretch) -> Iterator[NodeIds]:
        """Yield the revisions of a stretch, oldest first."""
        ...

    def seqs(self, stretch: Stretch) -> Iterator[Seq]:
        """Yield the commits of a stretch, newest first."""
        ...

    def texts(self, numbers: Iterable[int]) -> Mapping[int, bytes]:
        """Return node texts by their numbers."""
        ...

    def last_edit(self, uid: NodeUid, at: Seq) -> Seq | None:
        """Return the newest commit up to `at` that changed a node, None if none did."""
        ...

    def edits_of(self, uid: NodeUid, before: Seq) -> Iterator[tuple[Seq, NodeEdit]]:
        """Yield the edits of one node, newest first."""
        ...

    def edits_in(self, stretch: Stretch) -> Iterator[tuple[Seq, NodeUid, str, str]]:
        """Yield (commit, node, address, old address) of every edit of a stretch, newest first."""
        ...
