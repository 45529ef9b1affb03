"""History read on a connection of its own, so that a worker thread may take its time beside commits.

R1  All answers of one reader are of one moment: what is committed later is not in them.
R2  What is asked of one file costs that file's history and no other's.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from makfs.errors import StoreError
from makfs.ids import NodeUid, RepoPath, Seq
from makfs.store import events, history, reading
from makfs.store.connection import connect, store_error, translated
from makfs.store.happened import HappenedPage, Position
from makfs.store.keys import join_path, split_path, words
from makfs.store.model import Commit, CommitDetail, LogQuery, NodeEdit, NodeIds, NodeText, Revision, Stretch
from makfs.store.packing import unpack_nodes, unpack_text

CHANGED_SQL = (
    "SELECT DISTINCT p.folder, p.name FROM revision r CROSS JOIN path p ON p.id = r.path"
    " WHERE r.seq > ? AND r.seq <= ? AND r.seq > 0"
)
MOVES_SQL = (
    "SELECT r.seq, m.folder, m.name FROM revision r LEFT JOIN path m ON m.id = r.moved_from"
    " WHERE r.path = (SELECT id FROM path WHERE folder = ? AND name = ?) AND r.seq <= ?"
    " AND r.moved_from IS NOT NULL ORDER BY r.seq DESC LIMIT 1"
)
LISTS_SQL = (
    "SELECT r.seq, r.kind, r.nodes FROM revision r"
    " WHERE r.path = (SELECT id FROM path WHERE folder = ? AND name = ?)"
    " AND r.seq BETWEEN ? AND ? ORDER BY r.seq"
)
SEQS_SQL = (
    "SELECT r.seq FROM revision r WHERE r.path = (SELECT id FROM path WHERE folder = ? AND name = ?)"
    " AND r.seq BETWEEN max(1, ?) AND ? ORDER BY r.seq DESC"
)
WENT_SQL = (
    "SELECT p.folder, p.name FROM revision r CROSS JOIN path p ON p.id = r.path WHERE r.seq = ? AND r.seq > 0"
    " AND r.moved_from = (SELECT id FROM path WHERE folder = ? AND name = ?)"
)
CREATED_SQL = (
    "SELECT min(r.seq) FROM revision r WHERE r.path = (SELECT id FROM path WHERE folder = ?1 AND name = ?2)"
    " AND r.seq <= ?4 AND r.seq > coalesce((SELECT max(a.seq) FROM revision a"
    " WHERE a.path = (SELECT id FROM path WHERE folder = ?1 AND name = ?2)"
    " AND a.seq BETWEEN ?3 AND ?4 AND a.kind = 0), ?4)"
)
LAST_EDIT_SQL = "SELECT max(seq) FROM edit WHERE uid = ? AND seq <= ?"
EDIT_COLUMNS = (
    "p.folder, p.name, e.op, e.kind, e.address, e.uid, b.codec, b.bytes, a.codec, a.bytes, e.old_address"
)
EDIT_JOINS = (
    " CROSS JOIN path p ON p.id = e.path LEFT JOIN text b ON b.id = e.before"
    " LEFT JOIN text a ON a.id = e.after"
)
OF_NODE_SQL = (
    f"SELECT e.seq, {EDIT_COLUMNS} FROM edit e{EDIT_JOINS} WHERE e.uid = ? AND e.seq < ? ORDER BY e.seq DESC"
)
OF_FILE_SQL = (
    "SELECT e.seq, e.uid, e.address, e.old_address FROM revision r"
    " CROSS JOIN edit e ON e.seq = r.seq AND e.path = r.path"
    " WHERE r.path = (SELECT id FROM path WHERE folder = ? AND name = ?)"
    " AND r.seq BETWEEN max(1, ?) AND ? ORDER BY r.seq DESC, e.place"
)


class SqliteReader:
    """Implements `makfs.store.protocol.Reader`. Use it with `with`, from one thread."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            self._database = connect(file, readonly=True)
        except sqlite3.Error as error:
            raise store_error(file, error) from error
        self._connection: sqlite3.Connection = self._database.conn

    def __enter__(self) -> Self:
        self._begin()
        return self

    @translated
    def _begin(self) -> None:
        self._connection.execute("BEGIN")
        self._head = Seq(self._connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()[0])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @property
    def head(self) -> Seq:
        """Return the newest commit's number at the reader's moment (R1)."""
        return self._head

    @property
    @translated
    def cut(self) -> Seq:
        """Return the commit up to which history was cut, 0 if it never was."""
        return reading.cut_of(self._connection)

    @translated
    def log(self, query: LogQuery) -> Sequence[Commit]:
        """Return commits, newest first."""
        return history.log(self._connection, query)

    @translated
    def happened(self, since: Position, upto: Position) -> HappenedPage:
        """Return what happened after `since`, up to and with `upto`, at most some hundred."""
        return events.page(self._connection, since, upto)

    @translated
    def position_of_time(self, time_ns: int) -> Position:
        """Return the position after which everything since a wall-clock time stands."""
        return events.position_of_time(self._connection, time_ns)

    @translated
    def commit(self, seq: Seq) -> Commit:
        """Return one commit. Raises StoreError if the journal lacks it."""
        found = history.commit_of(self._connection, seq)
        if found is None:
            raise StoreError(f"the journal does not know commit {seq}")
        return found

    @translated
    def revision(self, path: RepoPath, at: Seq) -> Revision | None:
        """Return a path's state at `at`, None if never recorded (J2)."""
        return reading.revision(self._connection, path, at)

    @translated
    def nodes(self, path: RepoPath, at: Seq) -> tuple[NodeText, ...]:
        """Return the nodes of a path's state at `at`. Raises NotKept."""
        return reading.nodes(self._connection, path, at)

    @translated
    def changed(self, after: Seq, upto: Seq) -> Sequence[RepoPath]:
        """Return the paths that commits after `after`, up to and with `upto`, touched, in order."""
        return sorted(join_path(*row) for row in self._connection.execute(CHANGED_SQL, (after, upto)))

    @translated
    def stretches(self, path: RepoPath, at: Seq) -> Sequence[Stretch]:
        """Return where the file that is at `path` at `at` has been, newest first (R2)."""
        found: list[Stretch] = []
        while True:
            row = self._connection.execute(MOVES_SQL, (*split_path(path), at)).fetchone()
            if row is None:
                return [*found, Stretch(path, Seq(0), at)]
            seq, folder, name = row
            found.append(Stretch(path, Seq(seq), at, join_path(folder, name)))
            path, at = join_path(folder, name), Seq(seq - 1)

    @translated
    def went_to(self, path: RepoPath, seq: Seq) -> RepoPath | None:
        """Return where a commit moved the file that was at a path, None if it did not."""
        row = self._connection.execute(WENT_SQL, (seq, *split_path(path))).fetchone()
        return None if row is None else join_path(*row)

    @translated
    def created(self, stretch: Stretch) -> Seq | None:
        """Return the commit that last made a file where there was none; None: it is there from the origin."""
        values = (*split_path(stretch.path), stretch.first, stretch.last)
        (seq,) = self._connection.execute(CREATED_SQL, values).fetchone()
        return None if seq is None else Seq(seq)

    @translated
    def detail(self, seq: Seq) -> CommitDetail:
        """Return one commit whole. Raises StoreError if the journal lacks it."""
        found = history.detail(self._connection, seq)
        if found is None:
            raise StoreError(f"the journal does not know commit {seq}")
        return found

    def node_lists(self, stretch: Stretch) -> Iterator[NodeIds]:
        """Yield the revisions of a stretch, oldest first."""
        rows = self._rows(LISTS_SQL, (*split_path(stretch.path), stretch.first, stretch.last))
        for seq, kind, packed in rows:
            nodes = unpack_nodes(packed or b"")
            uids = tuple(NodeUid(uid) for uid in nodes.each_uid())
            kept = packed is not None
            yield NodeIds(Seq(seq), uids, tuple(nodes.each_text()), kept, reading.KINDS[kind])

    def seqs(self, stretch: Stretch) -> Iterator[Seq]:
        """Yield the commits of a stretch, newest first."""
        rows = self._rows(SEQS_SQL, (*split_path(stretch.path), stretch.first, stretch.last))
        return (Seq(seq) for (seq,) in rows)

    @translated
    def texts(self, numbers: Iterable[int]) -> Mapping[int, bytes]:
        """Return node texts by their numbers."""
        wanted = f"[{','.join(map(str, numbers))}]"
        rows = self._connection.execute(reading.MANY_TEXTS_SQL, (wanted,))
        return {number: unpack_text(codec, kept) for number, codec, kept in rows}

    @translated
    def last_edit(self, uid: NodeUid, at: Seq) -> Seq | None:
        """Return the newest commit up to `at` that changed a node, None if none did."""
        (seq,) = self._connection.execute(LAST_EDIT_SQL, (uid, at)).fetchone()
        return None if seq is None else Seq(seq)

    def edits_of(self, uid: NodeUid, before: Seq) -> Iterator[tuple[Seq, NodeEdit]]:
        """Yield the edits of one node, newest first."""
        for seq, *columns in self._rows(OF_NODE_SQL, (uid, before)):
            yield Seq(seq), history.edit_of(tuple(columns))

    def edits_in(self, stretch: Stretch) -> Iterator[tuple[Seq, NodeUid, str, str]]:
        """Yield (commit, node, address, old address) of every edit of a stretch, newest first."""
        rows = self._rows(OF_FILE_SQL, (*split_path(stretch.path), stretch.first, stretch.last))
        for seq, uid, address, old in rows:
            yield Seq(seq), NodeUid(uid), words(address), words(old)

    def _rows(self, sql: str, values: tuple[object, ...]) -> Iterator[reading.Row]:
        """Yield rows as they come. Raises StoreError."""
        try:
            yield from self._connection.execute(sql, values)
        except sqlite3.Error as error:
            raise store_error(self.file, error) from error
