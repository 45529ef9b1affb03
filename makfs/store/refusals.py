"""Writes that were not committed: kept whole, listed without their bytes. Keeps nothing in memory."""

import json
import sqlite3
import zlib
from collections.abc import Sequence

from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.keys import name_key, words, words_key
from makfs.store.model import Refusal
from makfs.store.reading import Row

REFUSAL_SQL = (
    "SELECT number, time_ns, agent, path, program, pid, reason, base_seq, head_seq, addresses, is_whole, {}"
    " FROM refusal"
)


def keep_refusal(connection: sqlite3.Connection, refusal: Refusal) -> int:
    """Write a refusal in the transaction that is open; return its number."""
    cursor = connection.execute(
        "INSERT INTO refusal (time_ns, agent, path, program, pid, reason, base_seq, head_seq, addresses,"
        " is_whole, mine, base) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            refusal.time_ns,
            refusal.agent,
            name_key(refusal.path),
            words_key(refusal.program),
            refusal.pid,
            words_key(refusal.reason),
            refusal.base_seq,
            refusal.head_seq,
            json.dumps(refusal.addresses),
            int(refusal.is_whole),
            zlib.compress(refusal.mine),
            None if refusal.base is None else zlib.compress(refusal.base),
        ),
    )
    assert cursor.lastrowid
    return cursor.lastrowid


def refusals(connection: sqlite3.Connection, agent: AgentId | None, limit: int) -> Sequence[Refusal]:
    """Return refusals, newest first, without their bytes."""
    where = "" if agent is None else " WHERE agent = ?"
    arguments: tuple[object, ...] = (limit,) if agent is None else (agent, limit)
    sql = REFUSAL_SQL.format("NULL, NULL") + where + " ORDER BY number DESC LIMIT ?"
    return [_refusal(row) for row in connection.execute(sql, arguments)]


def refusal(connection: sqlite3.Connection, number: int) -> Refusal | None:
    """Return one refusal whole, or None."""
    sql = REFUSAL_SQL.format("mine, base") + " WHERE number = ?"
    row = connection.execute(sql, (number,)).fetchone()
    return None if row is None else _refusal(row)


def _refusal(row: Row) -> Refusal:
    number, time_ns, agent, path, program, pid, reason, base_seq, head_seq, addresses, whole, mine, base = row
    return Refusal(
        number,
        time_ns,
        AgentId(agent),
        RepoPath(words(path)),
        words(program),
        pid,
        words(reason),
        Seq(base_seq),
        Seq(head_seq),
        tuple(json.loads(addresses)),
        b"" if mine is None else _inflate(mine),
        None if base is None else _inflate(base),
        bool(whole),
    )


def _inflate(kept: bytes) -> bytes:
    try:
        return zlib.decompress(kept)
    except zlib.error as error:
        raise ValueError(f"a refused text does not decompress ({error})") from None
