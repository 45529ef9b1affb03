"""Marks as SQL: names that people gave to commits (J7). Runs inside the caller's transaction."""

import sqlite3

from makfs.ids import Seq
from makfs.store.model import Mark


def marks(connection: sqlite3.Connection) -> list[Mark]:
    """Return all marks, in the order of their names."""
    rows = connection.execute("SELECT name, seq, time_ns FROM mark ORDER BY name")
    return [Mark(name, Seq(seq), time_ns) for name, seq, time_ns in rows]


def mark(connection: sqlite3.Connection, name: str) -> Mark | None:
    """Return one mark, or None. Nobody could have set one whose name is not ASCII."""
    if not name.isascii() or "\0" in name:
        return None
    row = connection.execute("SELECT name, seq, time_ns FROM mark WHERE name = ?", (name,)).fetchone()
    return None if row is None else Mark(row[0], Seq(row[1]), row[2])


def set_mark(connection: sqlite3.Connection, made: Mark) -> None:
    """Keep a mark in the place of one of that name."""
    connection.execute(
        "INSERT OR REPLACE INTO mark (name, seq, time_ns) VALUES (?, ?, ?)",
        (made.name, made.seq, made.time_ns),
    )


def delete_mark(connection: sqlite3.Connection, name: str) -> None:
    """Forget a mark."""
    connection.execute("DELETE FROM mark WHERE name = ?", (name,))
