"""Locks as the store keeps them: what has changed since the last transaction, and the rows on the disk.

Y1  What is put and removed again between two transactions is never written.
Y2  The newest numbers never go back.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import Any

from makfs.locks.rows import Row, Rows
from makfs.store.keys import Key, name_key, words

_GRANT = ("agent", "address", "mode", "fence", "since_ns", "lease_ns", "expires_ns", "while_active")
_WAITER = (
    "ticket", "address", "agent", "mode", "arrived_ns", "until_ns", "lease_ns", "priority", "while_active",
)  # fmt: skip
_FENCE, _TICKET = "@lock_fence", "@lock_ticket"

_PUT_GRANT = (
    f"INSERT OR REPLACE INTO lock_grant ({', '.join(_GRANT)}) VALUES ({', '.join('?' for _ in _GRANT)})"
)
_PUT_WAITER = (
    f"INSERT OR REPLACE INTO lock_waiter ({', '.join(_WAITER)}, place)"
    f" VALUES ({', '.join('?' for _ in _WAITER)}, ?)"
)

_of_grant = itemgetter(*_GRANT)
_of_waiter = itemgetter(*_WAITER)
_Values = tuple[Any, ...]
_GrantKey = tuple[str, Key]


class KeptLocks:
    """The lazies of locks. Only `written` may be called after a transaction, and only if it was committed."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._grants: dict[_GrantKey, _Values | None] = {}  # None: to be removed
        self._waiters: dict[int, dict[Key, _Values]] = {}
        self._left: set[int] = set()
        self._numbers = self._numbers_there = _numbers(connection)
        self._grants_there = set(connection.execute("SELECT agent, address FROM lock_grant"))
        self._tickets_there = {
            row[0] for row in connection.execute("SELECT DISTINCT ticket FROM lock_waiter")
        }

    def keep(
        self,
        fence: int,
        ticket: int,
        grants: Iterable[Row],
        gone: Iterable[tuple[str, str]],
        waiters: Iterable[Row],
        left: Iterable[int],
    ) -> None:
        """Note changes, see `Store.keep_locks`. Raise BadName, then nothing was noted."""
        put = [_keyed(_of_grant(row)) for row in grants]
        queued = [_keyed(_of_waiter(row)) for row in waiters]
        ended = [(agent, name_key(address)) for agent, address in gone]
        for values in put:
            self._grants[values[0], values[1]] = values
        for key in ended:
            if key in self._grants_there:
                self._grants[key] = None
            else:
                self._grants.pop(key, None)
        for place, values in enumerate(queued):
            self._waiters.setdefault(values[0], {})[values[1]] = (*values, place)
        for number in left:
            self._waiters.pop(number, None)
            if number in self._tickets_there:
                self._left.add(number)
        self._numbers = max(fence, self._numbers[0]), max(ticket, self._numbers[1])

    @property
    def is_lazy(self) -> bool:
        """Tell whether the next transaction has something to write."""
        return bool(self._grants or self._waiters or self._left or self._numbers != self._numbers_there)

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what has changed, in the transaction that is open."""
        if self._numbers != self._numbers_there:
            numbers = zip((_FENCE, _TICKET), map(str, self._numbers), strict=True)
            connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", numbers)
        if self._grants:
            gone = [key for key, values in self._grants.items() if values is None]
            put = [values for values in self._grants.values() if values is not None]
            connection.executemany("DELETE FROM lock_grant WHERE agent = ? AND address = ?", gone)
            connection.executemany(_PUT_GRANT, put)
        if self._left:
            left = [(ticket,) for ticket in self._left]
            connection.executemany("DELETE FROM lock_waiter WHERE ticket = ?", left)
        if self._waiters:
            claims = [values for waiter in self._waiters.values() for values in waiter.values()]
            connection.executemany(_PUT_WAITER, claims)

    def written(self) -> None:
        """Forget what a committed transaction has written."""
        for key, values in self._grants.items():
            (self._grants_there.discard if values is None else self._grants_there.add)(key)
        self._tickets_there -= self._left
        self._tickets_there |= self._waiters.keys()
        self._numbers_there = self._numbers
        self._grants.clear()
        self._waiters.clear()
        self._left.clear()

    def rows(self, connection: sqlite3.Connection) -> Rows:
        """Return all locks, those not written yet included."""
        grants = {(values[0], values[1]): values for values in _grants(connection)}
        for key, changed in self._grants.items():
            if changed is None:
                del grants[key]
            else:
                grants[key] = changed
        waiters = {
            (values[0], values[1]): values for values in _waiters(connection) if values[0] not in self._left
        }
        waiters |= {
            (values[0], values[1]): values for each in self._waiters.values() for values in each.values()
        }
        return _rows(self._numbers, grants.values(), waiters.values())


def read_rows(connection: sqlite3.Connection) -> Rows:
    """Return the locks on the disk. Raise ValueError if the newest numbers are none."""
    return _rows(_numbers(connection), _grants(connection), _waiters(connection))


def _keyed(values: _Values) -> _Values:
    """Return a row's values with the address as it is stored. Raise BadName."""
    return (values[0], name_key(values[1]), *values[2:])


def _numbers(connection: sqlite3.Connection) -> tuple[int, int]:
    found = dict(connection.execute("SELECT key, value FROM meta WHERE key IN (?, ?)", (_FENCE, _TICKET)))
    return int(found.get(_FENCE, 0)), int(found.get(_TICKET, 0))


def _grants(connection: sqlite3.Connection) -> Sequence[_Values]:
    return connection.execute(f"SELECT {', '.join(_GRANT)} FROM lock_grant").fetchall()


def _waiters(connection: sqlite3.Connection) -> Sequence[_Values]:
    return connection.execute(f"SELECT {', '.join(_WAITER)}, place FROM lock_waiter").fetchall()


def _rows(numbers: tuple[int, int], grants: Iterable[_Values], waiters: Iterable[_Values]) -> Rows:
    """Return rows in the order in which they came: grants by fence, claims of a waiter by place."""
    by_fence = sorted(grants, key=lambda values: (values[3], values[0], words(values[1])))
    by_place = sorted(waiters, key=lambda values: (values[0], values[-1]))
    return Rows(
        *numbers,
        tuple(_row(_GRANT, values) for values in by_fence),
        tuple(_row(_WAITER, values) for values in by_place),
    )


def _row(columns: Sequence[str], values: _Values) -> Row:
    row = dict(zip(columns, values, strict=False))  # `place` is the store's own
    row["address"] = words(row["address"])
    return row
