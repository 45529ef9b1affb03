"""The events of a store: what happened beside commits, and both in one order.

H1  Positions only grow: what is recorded later stands later, before or after a restart.
H2  What a reader was shown is in the database: a crash forgets a tail that nobody has seen, never a hole.
H3  The newest `KEPT` are kept. `forgotten` says up to where there may have been others.
H4  What is recorded within a transaction is kept if that is committed, and else not at all.
"""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from heapq import merge
from itertools import islice
from typing import Any

from makfs.store import history
from makfs.store.happened import COMMIT, MOST_NAMED, HappenedPage, Happening, Position
from makfs.store.keys import words, words_key
from makfs.store.model import Commit
from makfs.store.reading import cut_of

KEPT = 100_000
MOST_ROWS = 500
PAGE_BYTES = 1 << 20
FORGOTTEN_KEY = "@events_forgotten"
_WORTH_WRITING = 32  # fewer wait for the next one: a commit should not pay for a page of them
_MOST_PENDING = 5_000
_PRUNE_EVERY = 1_000

_PUT = "INSERT INTO event (seq, place, time_ns, kind, agent, fields) VALUES (?, ?, ?, ?, ?, ?)"
EVENTS_SQL = (
    "SELECT seq, place, time_ns, kind, agent, fields FROM event"
    " WHERE (seq, place) > (?, ?) AND (seq, place) <= (?, ?) ORDER BY seq, place LIMIT ?"
)
COMMITS_SQL = f"{history.LOG_SQL} WHERE j.seq > ? AND j.seq <= ? ORDER BY j.seq LIMIT ?"
_PRUNED_SQL = f"SELECT seq, place FROM event ORDER BY seq DESC, place DESC LIMIT 1 OFFSET {KEPT}"

Pending = tuple[int, int, int, str, str, Mapping[str, Any]]


class EventLog:
    """The lazy ones among them; written by the store's transactions."""

    def __init__(
        self, connection: sqlite3.Connection, head: Callable[[], int], write: Callable[[], None]
    ) -> None:
        self._head = head
        self._write_all = write
        self._seq = head()
        row = connection.execute("SELECT max(place) FROM event WHERE seq = ?", (self._seq,)).fetchone()
        self._place = int(row[0] or 0)
        self._pending: list[Pending] = []
        self._begun = self._writing = 0  # how many were pending when the transaction began; are written by it
        self._open = False  # a transaction is
        self._until_pruned = 0
        self.news: Callable[[], None] | None = None  # called after whatever a reader could show

    def record(self, kind: str, agent: str, time_ns: int, fields: Mapping[str, Any]) -> None:
        """Keep what has happened (H1, H4). Cost outside a transaction: a list's append.

        `fields` are JSON; the names `at`, `time`, `kind` and `agent` are taken.
        """
        if (seq := self._head()) != self._seq:
            self._seq, self._place = seq, 0
        self._place += 1
        self._pending.append((seq, self._place, time_ns, kind, agent, fields))
        if self._open:
            return
        if len(self._pending) >= _MOST_PENDING:
            self._write_all()
        elif self.news is not None:
            self.news()

    @property
    def newest(self) -> Position:
        """Return the position of the newest event or commit."""
        seq = self._head()
        return Position(seq, self._place if seq == self._seq else 0)

    @property
    def is_lazy(self) -> bool:
        """Tell whether something is not written yet."""
        return bool(self._pending)

    def begin(self) -> None:
        """Note that a transaction begins."""
        self._open, self._begun = True, len(self._pending)

    def write(self, connection: sqlite3.Connection, *, everything: bool) -> None:
        """Write what waits, in the transaction that is open, if it is worth it or of this transaction."""
        count = len(self._pending)
        self._writing = 0
        if not count or not (everything or count > self._begun or count >= _WORTH_WRITING):
            return
        self._writing = count
        connection.executemany(
            _PUT,
            [
                (seq, place, time_ns, kind, words_key(agent), json.dumps(fields))
                for seq, place, time_ns, kind, agent, fields in self._pending
            ],
        )
        self._until_pruned -= count
        if self._until_pruned <= 0:
            self._until_pruned = _PRUNE_EVERY
            self._prune(connection)

    @staticmethod
    def _prune(connection: sqlite3.Connection) -> None:
        """Forget the oldest of too many (H3)."""
        row = connection.execute(_PRUNED_SQL).fetchone()
        if row is not None:
            connection.execute("DELETE FROM event WHERE (seq, place) <= (?, ?)", row)
            sql = "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)"
            connection.execute(sql, (FORGOTTEN_KEY, str(Position(*row))))

    def written(self) -> None:
        """Forget what a committed transaction has written; tell whoever waits for news."""
        self._open = False
        del self._pending[: self._writing]
        if self.news is not None:
            self.news()

    def failed(self) -> None:
        """Forget what was recorded within a transaction that failed (H4)."""
        self._open = False
        del self._pending[self._begun :]


def page(
    connection: sqlite3.Connection, since: Position, upto: Position, limit: int = MOST_ROWS
) -> HappenedPage:
    """Return what happened after `since`, up to and with `upto`: `limit` rows at most, and some megabytes."""
    cut = Position(cut_of(connection))
    forgotten = _forgotten(connection)
    start = max(since, cut)
    rows = merge(
        _commits(connection, start, upto, limit),
        _events(connection, start, upto, limit),
        key=lambda happening: happening.at,
    )
    found: list[Happening] = []
    room = PAGE_BYTES
    for happening in islice(rows, limit):
        found.append(happening)
        room -= 300 + sum(map(len, happening.paths))
        if room < 0:
            break
    else:
        if len(found) < limit:
            return HappenedPage(tuple(found), max(start, upto), cut, forgotten)
    return HappenedPage(tuple(found), found[-1].at, cut, forgotten)


def position_of_time(connection: sqlite3.Connection, time_ns: int) -> Position:
    """Return the position after which everything since a time stands. Cost: reads all events kept."""
    sql = "SELECT min(seq) FROM journal INDEXED BY journal_by_time WHERE time_ns >= ?"
    (seq,) = connection.execute(sql, (time_ns,)).fetchone()
    sql = "SELECT seq, place FROM event WHERE time_ns >= ? ORDER BY seq, place LIMIT 1"
    row = connection.execute(sql, (time_ns,)).fetchone()
    (head,) = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
    (place,) = connection.execute("SELECT max(place) FROM event WHERE seq = ?", (head,)).fetchone()
    first = [Position(head, (place or 0) + 1)]
    first += [Position(seq)] if seq is not None else []
    first += [Position(*row)] if row is not None else []
    return _before(min(first))


def _before(position: Position) -> Position:
    if position.place:
        return Position(position.seq, position.place - 1)
    return Position(position.seq - 1, (1 << 62) - 1)


def _forgotten(connection: sqlite3.Connection) -> Position:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (FORGOTTEN_KEY,)).fetchone()
    return (Position.parse(str(row[0])) if row is not None else None) or Position(0)


def _events(
    connection: sqlite3.Connection, start: Position, upto: Position, limit: int
) -> Iterator[Happening]:
    values = (start.seq, start.place, upto.seq, upto.place, limit)
    for seq, place, time_ns, kind, agent, text in connection.execute(EVENTS_SQL, values):
        fields = json.loads(text)
        yield Happening(Position(seq, place), time_ns, kind, words(agent), fields, paths_of(fields))


def _commits(
    connection: sqlite3.Connection, start: Position, upto: Position, limit: int
) -> Iterator[Happening]:
    for row in connection.execute(COMMITS_SQL, (start.seq, upto.seq, limit)):
        yield of_commit(history.commit_in(connection, row))


def of_commit(commit: Commit) -> Happening:
    """Return a commit as it is told among what happened."""
    fields: dict[str, Any] = {
        "seq": commit.seq, "program": commit.program, "pid": commit.pid, "note": commit.note,
        "task": commit.task,
        "paths": commit.paths[:MOST_NAMED], "paths_total": len(commit.paths),
        "nodes": commit.addresses, "nodes_total": commit.nodes_changed,
    }  # fmt: skip
    return Happening(Position(commit.seq), commit.time_ns, COMMIT, commit.agent, fields, tuple(commit.paths))


def paths_of(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the paths that an event's fields name, those of addresses too."""
    found = [*fields.get("paths", ()), fields.get("path")]
    found += [each["address"].partition("::")[0] for each in fields.get("claims", ())]
    return tuple(path for path in found if path is not None)
