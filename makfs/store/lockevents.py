"""What the lock table was asked, kept for a time so that its decisions can be asked again (D1).

Y3  Numbers grow by one; the newest `KEPT` are kept. What a crash forgets is a tail, never a hole.
"""

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from makfs.locks.recorded import Call, Recorded, arguments_json, outcome_text
from makfs.store.connection import connect, store_error
from makfs.store.keys import words, words_key

KEPT = 100_000
_WORTH_WRITING = 32  # fewer wait for the next one: a commit should not pay for a page of them
_MOST_PENDING = 5_000
_PRUNE_EVERY = 1_000

_PUT = "INSERT INTO lock_event (number, now_ns, call, agent, arguments, outcome) VALUES (?, ?, ?, ?, ?, ?)"


class LockEvents:
    """The lazy ones among them; written by the store's transactions."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        (newest,) = connection.execute("SELECT coalesce(max(number), 0) FROM lock_event").fetchone()
        self._newest = int(newest)
        self._pending: list[Call] = []
        self._writing = 0

    def record(self, call: Call) -> bool:
        """Keep a call; tell whether so many wait that they should be written. Cost: a list's append."""
        self._pending.append(call)
        return len(self._pending) >= _MOST_PENDING

    @property
    def is_lazy(self) -> bool:
        """Tell whether something is not written yet."""
        return bool(self._pending)

    def write(self, connection: sqlite3.Connection, *, everything: bool) -> None:
        """Write what waits, in the transaction that is open, if it is worth it."""
        self._writing = 0
        if not self._pending or (not everything and len(self._pending) < _WORTH_WRITING):
            return
        self._writing = len(self._pending)
        rows = [
            (
                number,
                call.now_ns,
                call.call,
                words_key(call.agent or ""),
                arguments_json(call),
                words_key(outcome_text(call.outcome)),
            )
            for number, call in enumerate(self._pending, self._newest + 1)
        ]
        connection.executemany(_PUT, rows)
        newest = self._newest + len(rows)
        if newest // _PRUNE_EVERY != self._newest // _PRUNE_EVERY:
            connection.execute("DELETE FROM lock_event WHERE number <= ?", (newest - KEPT,))

    def written(self) -> None:
        """Forget what a committed transaction has written."""
        self._newest += self._writing
        del self._pending[: self._writing]
        self._writing = 0


def read_events(file: Path) -> Iterator[Recorded]:
    """Yield what is kept, oldest first, read-only. Raises StoreError."""
    try:
        database = connect(file, readonly=True)
        try:
            rows = database.conn.execute(
                "SELECT number, now_ns, call, agent, arguments, outcome FROM lock_event ORDER BY number"
            )
            for number, now_ns, call, agent, arguments, outcome in rows:
                yield Recorded(number, now_ns, call, words(agent), json.loads(arguments), words(outcome))
        finally:
            database.close()
    except (sqlite3.Error, ValueError) as error:
        raise store_error(file, error) from error
