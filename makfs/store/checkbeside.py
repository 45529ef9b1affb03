"""Check what stands beside the journal: events, messages, what is shared. Changes nothing.

Each check yields what is not as `events` (H1, H3) and `post` (K1-K3) promise, and reads on after it.
"""

import json
import sqlite3
from collections.abc import Iterator

from makfs.store.events import FORGOTTEN_KEY
from makfs.store.happened import Position
from makfs.store.model import Problem, hash_of
from makfs.store.post import MESSAGE_KEY, VERSIONS

_TAKEN = frozenset({"at", "time", "kind", "agent"})


def events(connection: sqlite3.Connection) -> Iterator[Problem]:
    """H1: no event stands after what is still to come; H3: none is left of what was forgotten."""
    (head,) = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
    forgotten = _forgotten(connection)
    if forgotten is None:
        yield Problem("H3", "events", "Up to where events were forgotten cannot be read.")
    for seq, place, kind, text in connection.execute("SELECT seq, place, kind, fields FROM event"):
        where = f"event {Position(seq, place)}"
        if not 0 <= seq <= head or place < 1:
            yield Problem("H1", where, f"It does not stand after a commit: the newest is {head}.")
        if forgotten is not None and Position(seq, place) <= forgotten:
            yield Problem("H3", where, f"It is kept, though all up to {forgotten} was forgotten.")
        fields = _json(text)
        if not kind or not isinstance(fields, dict) or _TAKEN & fields.keys():
            yield Problem("SQLITE", where, "It cannot be shown: its kind or its fields are damaged.")


def _forgotten(connection: sqlite3.Connection) -> Position | None:
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (FORGOTTEN_KEY,)).fetchone()
    return Position(-1) if row is None else Position.parse(str(row[0]))


def messages(connection: sqlite3.Connection) -> Iterator[Problem]:
    """K1: each message is whole, and waits for whom it was sent to; K2: ids and times grow."""
    newest, newest_ns, last_ns = *_newest(connection), 0
    sql = "SELECT id, time_ns, recipients, re, body FROM message ORDER BY id"
    for number, time_ns, recipients, re, body in connection.execute(sql).fetchall():
        where = f"message {number}"
        if number > newest:
            yield Problem("K2", where, f"The newest id on record is {newest}: it could be given out again.")
        if time_ns < last_ns or time_ns > newest_ns > 0:
            yield Problem("K2", where, "Its time is before that of an older message, or after the newest.")
        if re >= number:
            yield Problem("K2", where, f"It answers message {re}, which came later.")
        last_ns = max(last_ns, time_ns)
        if not _is_text(body):
            yield Problem("SQLITE", where, "Its text is damaged and cannot be shown.")
        to = _json(recipients)
        rows = connection.execute("SELECT agent FROM delivery WHERE message = ?", (number,))
        went = sorted(str(agent) for (agent,) in rows)
        if not isinstance(to, list) or sorted(map(str, to)) != went:
            yield Problem("K1", where, "Those it was sent to are not those it went to.")


def _newest(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the newest id and time given out, 0 if none is on record; -1: it cannot be read."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (MESSAGE_KEY,)).fetchone()
    number, _, time_ns = ("0" if row is None else str(row[0])).partition(" ")
    try:
        return int(number), int(time_ns or 0)
    except ValueError:
        return -1, -1


def artifacts(connection: sqlite3.Connection) -> Iterator[Problem]:
    """K3: what is shared is what its hash says; no more versions than are kept."""
    for name, version, key, size_bytes, data in connection.execute(
        "SELECT name, version, hash, size_bytes, bytes FROM artifact ORDER BY name, version"
    ):
        if version < 1 or len(data) != size_bytes or hash_of(data) != key:
            sentence = "Its bytes are not those its hash and size belong to."
            yield Problem("K3", f"shared {name}@{version}", sentence)
    sql = "SELECT name, count(*) FROM artifact GROUP BY name HAVING count(*) > ?"
    for name, count in connection.execute(sql, (VERSIONS,)):
        yield Problem("K3", f"shared {name}", f"{count} versions are kept, more than {VERSIONS}.")


def _json(text: object) -> object:
    try:
        return json.loads(str(text))
    except ValueError:
        return None


def _is_text(body: object) -> bool:
    if not isinstance(body, bytes):
        return False
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True
