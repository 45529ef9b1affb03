"""Old history made small, in bounded steps beside commits: what was cut is never answered wrongly.

G1  What stood after commit `cut`, after every later one, and after every marked one, is kept to the byte.
G2  Each step is a transaction that leaves a sound store: a crash between two costs the rest of the work.
G3  A question about another moment before the cut raises NotKept; commits keep number, author and time.
G4  No text is removed that a kept revision or edit, or one committed meanwhile, is made of.
"""

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from makfs.ids import Seq
from makfs.store.connection import connect
from makfs.store.model import Collected
from makfs.store.packing import unpack_nodes
from makfs.store.reading import CUT_KEY, cut_of

_ROWS = 100  # written by one step
_TEXTS = 2_000  # looked at by one step
_READ_ROWS = 100
_PAGES = 200  # given back by one step

_FREE_SQL = "SELECT (SELECT freelist_count FROM pragma_freelist_count) * page_size FROM pragma_page_size"


def boundary(connection: sqlite3.Connection, keep: int | None, since_ns: int | None) -> Seq:
    """Return the newest commit that may be cut: `keep` newer ones stay, and all since a time.

    What is owed to the repository's directory, and what an earlier cut took, move it.
    """
    (head,) = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
    upto = head if keep is None else head - keep
    if since_ns is not None:  # clocks are set back: from the first young commit on all stay
        sql = "SELECT coalesce(min(seq), ?) FROM journal WHERE time_ns >= ?"
        (first,) = connection.execute(sql, (head + 1, since_ns)).fetchone()
        upto = min(upto, first - 1)
    for (stand,) in connection.execute("SELECT value FROM meta WHERE key LIKE 'view:%' AND value LIKE '{%'"):
        upto = min(upto, json.loads(stand).get("at", upto))  # a snapshot view stands there
    (owed,) = connection.execute("SELECT min(seq) FROM effect").fetchone()
    if owed is not None:
        upto = min(upto, owed - 1)
    return Seq(max(upto, cut_of(connection)))


@dataclass(slots=True)
class Collection:
    """One collection. `steps` yields after each transaction; the caller may commit between two."""

    file: Path
    cut: Seq
    dry_run: bool = False
    done: Collected = field(init=False)
    removed_texts: bool = field(init=False, default=False)  # by the last step: forget what you remember

    def __post_init__(self) -> None:
        self.done = Collected(self.cut)

    def steps(self) -> Iterator[str]:
        """Do the work (G2); yield what the step was about."""
        database = connect(
            self.file
        )  # foreign keys are off: to check one would read all edits for every text
        try:
            connection = database.conn
            free = self._free_bytes(connection)
            if not self.dry_run:
                self._declare(connection)
                yield "cutting"
            yield from self._revisions(connection)
            yield from self._edits(connection)
            yield from self._events(connection)
            if not self.dry_run:
                yield from self._texts(connection)
                self.done.freed_bytes = self._free_bytes(connection) - free
                yield from self._give_back(connection)
            self.done.file_bytes = self.file.stat().st_size
        finally:
            database.close()

    @staticmethod
    def _free_bytes(connection: sqlite3.Connection) -> int:
        return int(connection.execute(_FREE_SQL).fetchone()[0])

    def _declare(self, connection: sqlite3.Connection) -> None:
        """Say first what will be gone: a crash later leaves more than was promised, never less (G3)."""
        connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (CUT_KEY, str(self.cut)))

    def _write(self, connection: sqlite3.Connection, sql: str, rows: list[tuple[int, ...]]) -> None:
        if rows and not self.dry_run:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(sql, rows)
            connection.execute("COMMIT")

    # ---- revisions and edits

    def _revisions(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Remove revisions that stood at no kept moment (G1)."""
        marked = connection.execute("SELECT DISTINCT seq FROM mark WHERE seq < ?", (self.cut,))
        points = sorted({seq for (seq,) in marked} | {self.cut})
        last = 0
        gone: list[tuple[int, ...]] = []
        sql = "DELETE FROM revision WHERE path = ? AND seq = ?"
        while paths := connection.execute(
            "SELECT id FROM path WHERE id > ? ORDER BY id LIMIT ?", (last, _READ_ROWS)
        ).fetchall():
            for (path,) in paths:
                rows = connection.execute(
                    "SELECT seq FROM revision WHERE path = ? AND seq <= ? ORDER BY seq", (path, self.cut)
                )
                seqs = [seq for (seq,) in rows]
                kept = {seqs[at - 1] for point in points if (at := bisect_right(seqs, point))}
                gone += [(path, seq) for seq in seqs if seq not in kept]
                while len(gone) >= _ROWS:
                    yield from self._flush(connection, sql, gone)
            last = paths[-1][0]
            yield "revisions"
        while gone:
            yield from self._flush(connection, sql, gone)

    def _flush(self, connection: sqlite3.Connection, sql: str, gone: list[tuple[int, ...]]) -> Iterator[str]:
        step = gone[:_ROWS]
        self._write(connection, sql, step)
        self.done.revisions += len(step)
        del gone[: len(step)]
        yield "revisions"

    def _edits(self, connection: sqlite3.Connection) -> Iterator[str]:
        if self.dry_run:
            sql = "SELECT count(*) FROM edit WHERE seq <= ?"
            (self.done.edits,) = connection.execute(sql, (self.cut,)).fetchone()
            return
        sql = "SELECT seq, place FROM edit WHERE seq <= ? LIMIT ?"
        while rows := connection.execute(sql, (self.cut, _ROWS)).fetchall():
            self._write(connection, "DELETE FROM edit WHERE seq = ? AND place = ?", rows)
            self.done.edits += len(rows)
            yield "edits"

    def _events(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Remove what happened before the commit of the cut."""
        sql = "SELECT seq, place FROM event WHERE seq < ? LIMIT ?"
        while not self.dry_run and (rows := connection.execute(sql, (self.cut, _TEXTS)).fetchall()):
            self._write(connection, "DELETE FROM event WHERE seq = ? AND place = ?", rows)
            yield "events"

    # ---- texts

    def _texts(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Remove texts that nothing is made of: those alive are marked first (G4)."""
        (newest,) = connection.execute("SELECT coalesce(max(id), 0) FROM text").fetchone()
        (seen,) = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
        live = bytearray(newest + 1)
        path = seq = -1
        # Up to `seen` only: whoever commits between two steps would never let this end.
        sql = (
            "SELECT path, seq, nodes FROM revision WHERE (path, seq) > (?, ?) AND seq <= ?"
            " ORDER BY path, seq LIMIT ?"
        )
        while rows := connection.execute(sql, (path, seq, seen, _READ_ROWS)).fetchall():
            _mark_lists(live, (nodes for _, _, nodes in rows))
            path, seq, _ = rows[-1]
            yield "marking texts"
        seq = place = -1
        sql = (
            "SELECT seq, place, before, after FROM edit WHERE (seq, place) > (?, ?) AND seq <= ?"
            " ORDER BY seq, place LIMIT ?"
        )
        while found := connection.execute(sql, (seq, place, seen, _TEXTS)).fetchall():
            _mark_edits(live, ((before, after) for _, _, before, after in found))
            seq, place, _, _ = found[-1]
            yield "marking texts"
        for first in range(1, newest + 1, _TEXTS):
            seen = self._sweep(connection, live, range(first, min(first + _TEXTS, newest + 1)), seen)
            yield "removing texts"
            self.removed_texts = False

    def _sweep(self, connection: sqlite3.Connection, live: bytearray, ids: range, seen: int) -> int:
        """Remove the dead of a range; what was committed since the last look lives (G4)."""
        connection.execute("BEGIN IMMEDIATE")
        try:
            (head,) = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
            if head > seen:
                sql = (
                    "SELECT nodes FROM revision WHERE seq > ?"
                    " UNION ALL SELECT nodes FROM revision WHERE seq = 0"
                    " AND path IN (SELECT path FROM revision WHERE seq > ?)"
                )
                _mark_lists(live, (nodes for (nodes,) in connection.execute(sql, (seen, seen))))
                _mark_edits(live, connection.execute("SELECT before, after FROM edit WHERE seq > ?", (seen,)))
            dead = [(number,) for number in ids if not live[number]]
            deleted = connection.executemany("DELETE FROM text WHERE id = ?", dead).rowcount if dead else 0
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        self.done.texts += max(0, deleted)
        self.removed_texts = deleted > 0
        return int(head)

    # ---- room

    def _give_back(self, connection: sqlite3.Connection) -> Iterator[str]:
        """Make the file shorter, if it was made so that this can be done in steps."""
        (mode,) = connection.execute("PRAGMA auto_vacuum").fetchone()
        while mode == 2 and connection.execute("PRAGMA freelist_count").fetchone()[0]:
            connection.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
            yield "giving room back"


def shorten(file: Path) -> None:
    """Rewrite the file without its free pages, so that later ones can be given back in steps.

    Nobody else may use the store. Cost: reads and writes all of it.
    """
    database = connect(file)
    try:
        database.conn.execute("PRAGMA auto_vacuum = INCREMENTAL").fetchall()
        database.conn.execute("VACUUM")
        database.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        database.close()


def _mark_lists(live: bytearray, lists: Iterable[bytes | None]) -> None:
    for nodes in lists:
        for span in unpack_nodes(nodes or b"").texts:
            end = min(span.start + span.count, len(live))
            if span.start < end:
                live[span.start : end] = b"\1" * (end - span.start)


def _mark_edits(live: bytearray, pairs: Iterable[tuple[int | None, int | None]]) -> None:
    for pair in pairs:
        for number in pair:
            if number is not None and number < len(live):
                live[number] = 1
