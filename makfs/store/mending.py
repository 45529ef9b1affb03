"""Mend a store that nobody uses: what `check` finds and can be put right from what is still there.

N1  Nothing sound is changed: a second run finds nothing to do.
N2  Content is never invented: it is read again from the repository if its hash proves it. Else only the hash
    is kept from then on; where that is the newest, the next mount takes the file as an edit from outside.
"""

import sqlite3
from pathlib import Path

from makfs.locks.rows import BadRows
from makfs.locks.table import LockTable
from makfs.store.connection import connect, store_error
from makfs.store.keys import join_path
from makfs.store.locks import read_rows
from makfs.store.model import hash_of
from makfs.store.packing import pack_nodes, pack_text, unpack_nodes, unpack_text


def mend(file: Path, repo: Path) -> list[str]:
    """Mend what can be mended, in one transaction; return a sentence each. Raises StoreError."""
    database = connect(file)
    try:
        connection = database.conn
        connection.execute("BEGIN IMMEDIATE")
        done = [
            *_effects(connection),
            *_locks(connection),
            *_lock_events(connection),
            *_contents(connection, repo),
            *_counters(connection),
            *_marks(connection),
            *_unreferenced(connection),
        ]
        connection.execute("COMMIT")
        return done
    except (sqlite3.Error, ValueError) as error:
        raise store_error(file, error) from error
    finally:
        database.close()


def _effects(connection: sqlite3.Connection) -> list[str]:
    """Forget what is owed for a commit that did not change that path, or is not there."""
    sql = (
        "DELETE FROM effect WHERE path NOT IN (SELECT id FROM path) OR NOT EXISTS"
        " (SELECT 1 FROM revision r WHERE r.path = effect.path AND r.seq = effect.seq)"
    )
    found = connection.execute(sql).rowcount
    done = [f"{found} write-throughs that no commit owes were forgotten."] if found else []
    sql = (
        "UPDATE effect SET before_hash = was.hash FROM (SELECT e.id AS id, (SELECT r.content_hash FROM"
        " revision r WHERE r.path = e.path AND r.seq < e.seq ORDER BY r.seq DESC LIMIT 1) AS hash"
        " FROM effect e) AS was WHERE was.id = effect.id AND was.hash IS NOT NULL AND was.hash <> before_hash"
    )
    changed = connection.execute(sql).rowcount
    return done + ([f"{changed} write-throughs expect the content the journal has."] if changed else [])


def _locks(connection: sqlite3.Connection) -> list[str]:
    """Drop a lock table that cannot be; numbers never go back."""
    try:
        rows = read_rows(connection)
        LockTable.from_rows(rows, now_ns=0)
        highest = max((int(row["fence"]) for row in rows.grants), default=0)
        latest = max((int(row["ticket"]) for row in rows.waiters), default=0)
        if highest <= rows.fence and latest <= rows.ticket:
            return []
        newest = max(highest, rows.fence), max(latest, rows.ticket)
        numbers = list(zip(("@lock_fence", "@lock_ticket"), map(str, newest), strict=True))
        connection.executemany("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", numbers)
        return ["The newest numbers of locks are those given out."]
    except (BadRows, ValueError):
        fences = connection.execute("SELECT coalesce(max(fence), 0) FROM lock_grant").fetchone()[0]
        tickets = connection.execute("SELECT coalesce(max(ticket), 0) FROM lock_waiter").fetchone()[0]
        connection.execute("DELETE FROM lock_grant")
        connection.execute("DELETE FROM lock_waiter")
        for key, number in (("@lock_fence", fences), ("@lock_ticket", tickets)):
            row = connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            known = int(row[0]) if row is not None and str(row[0]).isdigit() else 0
            connection.execute(
                "INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, str(max(known, number)))
            )
        return ["The lock table was damaged and was dropped: nobody holds anything."]


def _lock_events(connection: sqlite3.Connection) -> list[str]:
    found = connection.execute("DELETE FROM lock_event WHERE NOT json_valid(arguments)").rowcount
    return [f"{found} recorded calls of the lock table were damaged and were dropped."] if found else []


def _contents(connection: sqlite3.Connection, repo: Path) -> list[str]:
    """Keep only the hash of a revision whose texts are not what it says, unless the file proves it (N2)."""
    bad = _damaged_texts(connection)
    done: list[str] = []
    rows = connection.execute(
        "SELECT r.path, r.seq, p.folder, p.name, r.content_hash, r.size_bytes, r.nodes,"
        " r.seq = (SELECT max(seq) FROM revision n WHERE n.path = r.path)"
        " FROM revision r JOIN path p ON p.id = r.path WHERE r.nodes IS NOT NULL"
    ).fetchall()
    for path, seq, folder, name, key, size_bytes, nodes, is_newest in rows:
        content = _content(connection, nodes, bad)
        if content is not None and len(content) == size_bytes and hash_of(content) == key:
            continue
        where = f"{join_path(folder, name)} at commit {seq}"
        backing = _read(repo / join_path(folder, name))
        if backing is not None and hash_of(backing) == key:
            again = pack_nodes([0], [_text_id(connection, backing)]) if backing else b""
            connection.execute("UPDATE revision SET nodes = ? WHERE path = ? AND seq = ?", (again, path, seq))
            done.append(f"{where} is not made of its texts: it was read again from the repository.")
            continue
        connection.execute("UPDATE revision SET nodes = NULL WHERE path = ? AND seq = ?", (path, seq))
        end = "the file in the repository is what counts." if is_newest else "its content is gone."
        done.append(f"{where} is not made of its texts: only its hash is kept, and {end}")
    for number in bad & _damaged_texts(connection):  # some were put right
        connection.execute("UPDATE edit SET before = NULL WHERE before = ?", (number,))
        connection.execute("UPDATE edit SET after = NULL WHERE after = ?", (number,))
        connection.execute("DELETE FROM text WHERE id = ?", (number,))
    return done + ([f"{len(bad)} damaged texts were removed."] if bad else [])


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes() if file.is_file() and not file.is_symlink() else None
    except OSError:
        return None


def _text_id(connection: sqlite3.Connection, text: bytes) -> int:
    """Return a text's number, keeping it if it is new; one under its hash that is damaged is put right."""
    codec, kept = pack_text(text)
    connection.execute(
        "INSERT INTO text (hash, size_bytes, codec, bytes) VALUES (?, ?, ?, ?) ON CONFLICT (hash)"
        " DO UPDATE SET size_bytes = excluded.size_bytes, codec = excluded.codec, bytes = excluded.bytes",
        (hash_of(text), len(text), codec, kept),
    )
    return int(connection.execute("SELECT id FROM text WHERE hash = ?", (hash_of(text),)).fetchone()[0])


def _damaged_texts(connection: sqlite3.Connection) -> set[int]:
    bad: set[int] = set()
    for number, key, size_bytes, codec, kept in connection.execute(
        "SELECT id, hash, size_bytes, codec, bytes FROM text"
    ):
        try:
            text = unpack_text(codec, kept)
        except ValueError:
            bad.add(number)
            continue
        if len(text) != size_bytes or hash_of(text) != key:
            bad.add(number)
    return bad


def _content(connection: sqlite3.Connection, nodes: bytes, bad: set[int]) -> bytes | None:
    try:
        numbers = list(unpack_nodes(nodes).each_text())
    except ValueError:
        return None
    texts: list[bytes] = []
    for number in numbers:
        row = connection.execute("SELECT codec, bytes FROM text WHERE id = ?", (number,)).fetchone()
        if row is None or number in bad:
            return None
        texts.append(unpack_text(*row))
    return b"".join(texts)


def _counters(connection: sqlite3.Connection) -> list[str]:
    """Let the journal know of every uid taken, and of as many nodes as it has edits."""
    highest_node = connection.execute("SELECT coalesce(max(uid), 0) FROM edit").fetchone()[0]
    for (nodes,) in connection.execute("SELECT nodes FROM revision WHERE nodes IS NOT NULL"):
        highest_node = max(highest_node, max((span.last for span in unpack_nodes(nodes).uids), default=0))
    highest_file = connection.execute("SELECT coalesce(max(file), 0) FROM revision").fetchone()[0]
    sql = (
        "UPDATE journal SET last_node = max(last_node, ?), last_file = max(last_file, ?)"
        " WHERE seq = (SELECT max(seq) FROM journal) AND (last_node < ? OR last_file < ?)"
    )
    both = (highest_node, highest_file)
    raised = connection.execute(sql, (*both, *both)).rowcount
    done = ["The newest numbers of nodes and files are those taken."] if raised else []
    sql = (
        "UPDATE journal SET nodes_changed = (SELECT count(*) FROM edit WHERE edit.seq = journal.seq)"
        " WHERE seq > coalesce((SELECT value FROM meta WHERE key = '@cut'), 0) + 0"
        " AND nodes_changed <> (SELECT count(*) FROM edit WHERE edit.seq = journal.seq)"
    )
    found = connection.execute(sql).rowcount
    return done + ([f"{found} commits count the nodes they changed anew."] if found else [])


def _marks(connection: sqlite3.Connection) -> list[str]:
    sql = "DELETE FROM mark WHERE seq <> 0 AND seq NOT IN (SELECT seq FROM journal)"
    found = connection.execute(sql).rowcount
    return [f"{found} marks of commits that are not there were removed."] if found else []


def _unreferenced(connection: sqlite3.Connection) -> list[str]:
    """Remove texts that nothing is made of."""
    alive: set[int] = set()
    for (nodes,) in connection.execute("SELECT nodes FROM revision WHERE nodes IS NOT NULL"):
        alive.update(unpack_nodes(nodes).each_text())
    for pair in connection.execute("SELECT before, after FROM edit"):
        alive.update(number for number in pair if number is not None)
    dead = [(number,) for (number,) in connection.execute("SELECT id FROM text") if number not in alive]
    connection.executemany("DELETE FROM text WHERE id = ?", dead)
    return [f"{len(dead)} texts that nothing is made of were removed."] if dead else []
