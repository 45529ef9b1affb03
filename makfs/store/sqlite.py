"""`makfs.store.protocol.Store` on SQLite: one file `store.db`, one writing connection, WAL.

S1  A transaction happens whole in the database and in memory, or in neither.
S2  What is lazy (`effects_done`, `set_inode_exception`, `keep_locks`, `record_lock`) is seen at once here and
    reaches the disk with a later transaction or `write_lazies`; a crash before that forgets it, which only
    repeats work.

The caller sees to it that two threads never use one store at the same time. `sync`, `maintain`, `check` and
`reader` are exempt: they use connections of their own, so workers may run them beside a commit.
"""

import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.locks.recorded import Call
from makfs.locks.rows import Row, Rows
from makfs.store import history, reading, retention
from makfs.store.beside import Beside
from makfs.store.checking import Progress, check_file
from makfs.store.connection import FILE_NAME, open_database, store_error, suppress_full, translated
from makfs.store.events import EventLog
from makfs.store.keys import name_key, words, words_key
from makfs.store.lockevents import LockEvents
from makfs.store.locks import KeptLocks
from makfs.store.model import (
    Collected,
    Commit,
    CommitDetail,
    CommitDraft,
    Effect,
    FileState,
    LogQuery,
    NodeText,
    Problem,
    Revision,
)
from makfs.store.post import Post
from makfs.store.reader import SqliteReader
from makfs.store.wal import Log
from makfs.store.writing import Batch, Memory, read_marks


class SqliteStore(Beside):
    """The journal and all texts of one repository. Implements `Store`; every method may raise StoreError."""

    def __init__(self, directory: Path, *, large_bytes: int) -> None:
        self.file = directory / FILE_NAME
        self._large_bytes = large_bytes
        self._log = Log(self.file)
        self._closed = False
        self._unsynced = True  # what an earlier process committed may not be on the disk yet
        self._done: set[int] = set()
        self._changed_exceptions: dict[RepoPath, int | None] = {}
        self._database = open_database(directory)
        self._connection: sqlite3.Connection = self._database.conn
        try:
            self._memory, self._locks, self._lock_events, self.events = self._remember()
        except BaseException:
            self._database.close()
            raise
        self.post = Post(self.file, self._connection, self._transaction, self.events)

    @classmethod
    def open(cls, directory: Path, *, large_bytes: int) -> "SqliteStore":
        """Open the store in `directory`, making it if there is none.

        A file larger than `large_bytes` is recorded by its hash alone, even if a commit brings its nodes.
        Raises StoreError if the store is damaged, of another program, or newer than this one.
        """
        return cls(directory, large_bytes=large_bytes)

    @translated
    def _remember(self) -> tuple[Memory, KeptLocks, LockEvents, EventLog]:
        connection, memory = self._connection, Memory(read_marks(self._connection))
        events = EventLog(connection, lambda: memory.marks.head, self.write_lazies)
        return memory, KeptLocks(connection), LockEvents(connection), events

    @contextmanager
    def _transaction(self, *, everything: bool = False) -> Generator[Batch]:
        """Run one write transaction, whole or not at all, here and on the disk (S1)."""
        batch = Batch.begin(self._connection, self._memory, self._large_bytes)
        self._connection.execute("BEGIN IMMEDIATE")
        self.events.begin()
        try:
            yield batch
            self._write_lazies()
            self._lock_events.write(self._connection, everything=everything)
            self.events.write(self._connection, everything=everything)
            self._connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # some errors have rolled back already
                self._connection.execute("ROLLBACK")
            self.events.failed()
            raise
        self._unsynced = True
        self._memory.adopt(batch)
        self._locks.written()
        self._lock_events.written()
        self.events.written()
        self._done.clear()
        self._changed_exceptions.clear()

    def _write_lazies(self) -> None:
        self._locks.write(self._connection)
        if self._done:
            rows = [(number,) for number in self._done]
            self._connection.executemany("DELETE FROM effect WHERE id = ?", rows)
        for path, file_id in self._changed_exceptions.items():
            key = name_key(path)
            if file_id is None:
                self._connection.execute("DELETE FROM inode_exception WHERE path = ?", (key,))
            else:
                self._connection.execute(
                    "INSERT OR REPLACE INTO inode_exception (path, file_id) VALUES (?, ?)", (key, file_id)
                )

    def _run_lazies(self) -> None:
        lazy = (self._locks, self._lock_events, self.events)
        if self._done or self._changed_exceptions or any(each.is_lazy for each in lazy):
            with self._transaction(everything=True):
                pass

    # -- commits

    @property
    def head(self) -> Seq:
        """Return the newest commit's number, 0 for an empty journal."""
        return self._memory.marks.head

    @translated
    def commit(self, draft: CommitDraft) -> tuple[Commit, tuple[Effect, ...]]:
        """Append one commit in one transaction; see `Store.commit`."""
        with self._transaction() as batch:
            return batch.commit(draft)

    @translated
    def prepare(self, states: Sequence[FileState]) -> Sequence[FileState]:
        """Write texts beforehand; see `Store.prepare`."""
        with self._transaction() as batch:
            return [batch.prepare(state) for state in states]

    @translated
    def sync(self) -> None:
        """Make everything committed so far survive a power loss."""
        if self._unsynced:
            self._unsynced = False  # first: a commit during the fsync makes it true again
            try:
                self._log.sync()
            except BaseException:
                self._unsynced = True
                raise

    @translated
    def maintain(self) -> bool:
        """Checkpoint the log if it has grown; tell whether it did. For a worker thread, when idle."""
        return self._log.maintain()

    def next_node_uid(self) -> NodeUid:
        """Return the first uid never used."""
        return NodeUid(self._memory.marks.node + 1)

    # -- files

    @translated
    def revision(self, path: RepoPath, at: Seq | None = None) -> Revision | None:
        """Return the path's state at `at` (newest if None), or None if never recorded (J2)."""
        if at is None:
            known = self._memory.paths.get(path)
            if known is not None:
                return known.newest
        return reading.revision(self._connection, path, at)

    @translated
    def nodes(self, path: RepoPath, at: Seq | None = None) -> tuple[NodeText, ...]:
        """Return the node texts of a FILE revision. Raises NotKept if only its hash is known."""
        return reading.nodes(self._connection, path, at)

    @translated
    def text_by_hash(self, content_hash: bytes) -> bytes | None:
        """Return a whole content that some revision had, or None."""
        return reading.text_by_hash(self._connection, content_hash)

    @translated
    def children(self, folder: RepoPath, at: Seq | None = None) -> Mapping[str, Revision]:
        """Return recorded entries directly below a folder, by name, ABSENT ones included."""
        return reading.children(self._connection, folder, at)

    @translated
    def below(self, folder: RepoPath) -> Sequence[Revision]:
        """Return the newest revision of every recorded path below a folder, at any depth."""
        return reading.everything_below(self._connection, folder)

    @translated
    def older_texts(self, uid: NodeUid, since: Seq) -> tuple[bytes, ...]:
        """Return texts the node had at or after `since`, oldest first, the newest excluded."""
        return reading.older_texts(self._connection, uid, since)

    # -- what is owed

    def effects_done(self, effects: Iterable[int]) -> None:
        """Forget write-throughs that reached the disk (S2)."""
        self._done.update(effects)

    @translated
    def pending_effects(self) -> Sequence[Effect]:
        """Return write-throughs owed, in order."""
        return [effect for effect in history.effects(self._connection) if effect.effect not in self._done]

    @translated
    def write_lazies(self) -> None:
        """Write now what is lazy (S2)."""
        self._run_lazies()

    # -- locks

    @translated
    def lock_rows(self) -> Rows:
        """Return all locks kept, those still lazy included."""
        return self._locks.rows(self._connection)

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
        """Put and remove grants and waiters (S2); see `Store.keep_locks`."""
        self._locks.keep(fence, ticket, grants, gone, waiters, left)

    @translated
    def record_lock(self, call: Call) -> None:
        """Keep what the lock table was asked (S2)."""
        if self._lock_events.record(call):
            self._run_lazies()

    # -- history

    @translated
    def log(self, query: LogQuery) -> Sequence[Commit]:
        """Return commits, newest first."""
        return history.log(self._connection, query)

    @translated
    def detail(self, seq: Seq) -> CommitDetail | None:
        """Return one commit whole, or None."""
        return history.detail(self._connection, seq)

    @translated
    def time_ns(self, seq: Seq) -> int:
        """Return when a commit was made, 0 if there is no such commit."""
        row = self._connection.execute("SELECT time_ns FROM journal WHERE seq = ?", (seq,)).fetchone()
        return 0 if row is None else int(row[0])

    def reader(self) -> SqliteReader:
        """Return what reads history in a worker thread; use it with `with`."""
        return SqliteReader(self.file)

    # -- small things

    @translated
    def view_number(self, agent: AgentId) -> int:
        """Return the agent's number (from 1; the same for ever), giving it one the first time."""
        row = self._connection.execute("SELECT number FROM view WHERE agent = ?", (agent,)).fetchone()
        if row is not None:
            return int(row[0])
        with self._transaction():
            number = self._connection.execute("INSERT INTO view (agent) VALUES (?)", (agent,)).lastrowid
        assert number
        return number

    @translated
    def get_meta(self, key: str) -> str | None:
        """Return a small setting kept with the store."""
        row = self._connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else words(row[0])

    @translated
    def set_meta(self, key: str, value: str) -> None:
        """Keep a small setting. Keys that start with `@` are the store's own."""
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, words_key(value))
            )

    @translated
    def inode_exceptions(self) -> Mapping[RepoPath, int]:
        """Return the file ids (32 bits) that differ from the path's own hash."""
        rows = self._connection.execute("SELECT path, file_id FROM inode_exception")
        found = {RepoPath(words(key)): int(file_id) for key, file_id in rows}
        for path, file_id in self._changed_exceptions.items():
            if file_id is None:
                found.pop(path, None)
            else:
                found[path] = file_id
        return found

    def set_inode_exception(self, path: RepoPath, file_id: int | None) -> None:
        """Remember (or forget, None) that a path has another file id (S2)."""
        name_key(path)  # raises BadName here rather than in somebody's commit
        self._changed_exceptions[path] = file_id

    @translated
    def counts(self) -> Mapping[str, int]:
        """Return how many commits, revisions, texts, refusals there are, and `size_bytes` on disk."""
        tables = {"commits": "journal", "revisions": "revision", "texts": "text", "refusals": "refusal"}
        found = {what: self._database.table(table).count for what, table in tables.items()}
        parts = [self.file.with_name(self.file.name + suffix) for suffix in ("", "-wal", "-shm")]
        return {**found, "size_bytes": sum(part.stat().st_size for part in parts if part.exists())}

    def check(self, progress: Progress | None = None) -> Sequence[Problem]:
        """Check every invariant of the model and the database itself. Cost: reads everything."""
        return check_file(self.file, progress)

    # -- retention

    @translated
    def cut(self) -> Seq:
        """Return the commit up to which history was cut, 0 if it never was."""
        return reading.cut_of(self._connection)

    @translated
    def is_kept(self, at: Seq) -> bool:
        """Tell whether the whole tree as of a commit is known."""
        return reading.is_kept(self._connection, at)

    @translated
    def boundary(self, keep: int | None, since_ns: int | None) -> Seq:
        """Return the newest commit that may be cut."""
        self._run_lazies()  # what is owed no more
        return retention.boundary(self._connection, keep, since_ns)

    def collect(self, cut: Seq, *, dry_run: bool = False) -> Generator[str, None, Collected]:
        """Cut history in steps, between which commits may go on; see `Store.collect`."""
        collection = retention.Collection(self.file, cut, dry_run)
        try:
            for step in collection.steps():
                if collection.removed_texts:
                    self._memory.texts.clear()  # a text removed has no number any more
                    self._memory.cuts += 1
                yield step
        except (sqlite3.Error, OSError, ValueError) as error:
            raise store_error(self.file, error) from error
        return collection.done

    @translated
    def close(self) -> None:
        """Write what is lazy, checkpoint, close. Closing twice does nothing."""
        if self._closed:
            return
        self._closed = True
        self._log.close()
        try:
            with suppress_full(self.file):  # then the log stays, with everything in it, for the next opening
                self._run_lazies()
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            self._database.close()
