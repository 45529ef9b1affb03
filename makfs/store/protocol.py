"""What the rooms above ask of a store. Nothing above `store/` may know which one it is."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.locks.rows import Row, Rows
from makfs.store.model import (
    Commit,
    CommitDetail,
    CommitDraft,
    Effect,
    LogQuery,
    NodeText,
    Problem,
    Refusal,
    Revision,
)


class Store(Protocol):
    """The journal and all texts. One writer: the daemon. Every method is synchronous and short."""

    @property
    def head(self) -> Seq:
        """Return the newest commit's number, 0 for an empty journal."""
        ...

    def commit(self, draft: CommitDraft) -> tuple[Commit, tuple[Effect, ...]]:
        """Append one commit in one transaction; it survives kill -9 on return, not power loss.

        Raises StoreFull when the disk is full (nothing was written), StoreError otherwise.
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

    def write_lazies(self) -> None:
        """Write now what is lazy; it survives kill -9 on return. Raises StoreFull, and it stays lazy."""
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
