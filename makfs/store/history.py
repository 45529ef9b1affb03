"""Questions about commits and what is owed, as SQL. Reads one connection and keeps nothing."""

import sqlite3

from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.keys import BELOW_SQL, below, join_path, split_path, words
from makfs.store.model import (
    ADDRESSES_IN_COMMIT,
    Commit,
    CommitDetail,
    Effect,
    LogQuery,
    NodeEdit,
    Revision,
)
from makfs.store.packing import unpack_text
from makfs.store.reading import ANY_SEQ, COLUMNS, Row, revision_of

LOG_SQL = "SELECT seq, agent, time_ns, program, pid, note, nodes_changed FROM journal"
OF_PATH_SQL = (
    "seq IN (SELECT r.seq FROM path p CROSS JOIN revision r ON r.path = p.id WHERE"
    f" (p.folder = ? AND p.name = ?) OR {BELOW_SQL})"
)
PATHS_SQL = (
    "SELECT p.folder, p.name FROM revision r JOIN path p ON p.id = r.path"
    " WHERE r.seq = ? AND r.seq > 0 ORDER BY r.place"
)
ADDRESSES_SQL = f"SELECT address FROM edit WHERE seq = ? ORDER BY place LIMIT {ADDRESSES_IN_COMMIT}"
FILES_SQL = (
    f"SELECT p.folder, p.name, m.folder, m.name, r.merged, {COLUMNS} FROM revision r"
    " JOIN path p ON p.id = r.path LEFT JOIN path m ON m.id = r.moved_from"
    " WHERE r.seq = ? AND r.seq > 0 ORDER BY r.place"
)
EDITS_SQL = (
    "SELECT p.folder, p.name, e.op, e.kind, e.address, e.uid, b.codec, b.bytes, a.codec, a.bytes,"
    " e.old_address FROM edit e JOIN path p ON p.id = e.path LEFT JOIN text b ON b.id = e.before"
    " LEFT JOIN text a ON a.id = e.after WHERE e.seq = ? ORDER BY e.place"
)
EFFECTS_SQL = (
    "SELECT e.id, e.seq, p.folder, p.name, e.before_hash FROM effect e"
    " JOIN path p ON p.id = e.path ORDER BY e.id"
)


def log(connection: sqlite3.Connection, query: LogQuery) -> list[Commit]:
    """Return commits, newest first. Cost: by path, every revision of the paths asked for."""
    wheres, values = ["seq < ?"], [ANY_SEQ if query.before is None else query.before]
    arguments: list[object] = list(values)
    if query.agent is not None:
        wheres.append("agent = ?")
        arguments.append(query.agent)
    if query.path:
        wheres.append(OF_PATH_SQL)
        arguments += [*split_path(query.path), *below(query.path).row]
    arguments.append(query.limit)
    rows = connection.execute(
        f"{LOG_SQL} WHERE {' AND '.join(wheres)} ORDER BY seq DESC LIMIT ?", arguments
    ).fetchall()
    return [_commit(connection, row) for row in rows]


def _commit(connection: sqlite3.Connection, row: Row) -> Commit:
    seq, agent, time_ns, program, pid, note, nodes_changed = row
    paths = tuple(join_path(*pair) for pair in connection.execute(PATHS_SQL, (seq,)))
    addresses = tuple(words(key) for (key,) in connection.execute(ADDRESSES_SQL, (seq,)))
    return Commit(
        Seq(seq), AgentId(agent), time_ns, words(program), pid, words(note), paths, addresses, nodes_changed
    )


def detail(connection: sqlite3.Connection, seq: Seq) -> CommitDetail | None:
    """Return one commit whole, or None."""
    row = connection.execute(f"{LOG_SQL} WHERE seq = ?", (seq,)).fetchone()
    if row is None:
        return None
    files: list[Revision] = []
    moved: dict[RepoPath, RepoPath] = {}
    merged: set[RepoPath] = set()
    for folder, name, from_folder, from_name, was_merged, *columns in connection.execute(FILES_SQL, (seq,)):
        path = join_path(folder, name)
        files.append(revision_of(path, tuple(columns)))
        if from_name is not None:
            moved[path] = join_path(from_folder, from_name)
        if was_merged:
            merged.add(path)
    edits = tuple(_edit(row) for row in connection.execute(EDITS_SQL, (seq,)))
    return CommitDetail(_commit(connection, row), tuple(files), edits, moved, frozenset(merged))


def _edit(row: Row) -> NodeEdit:
    folder, name, op, kind, address, uid, codec, before, after_codec, after, old_address = row
    return NodeEdit(
        join_path(folder, name),
        op,
        kind,
        words(address),
        NodeUid(uid),
        None if before is None else unpack_text(codec, before),
        None if after is None else unpack_text(after_codec, after),
        words(old_address),
    )


def effects(connection: sqlite3.Connection) -> list[Effect]:
    """Return all effects on record, in order."""
    return [
        Effect(effect, Seq(seq), join_path(folder, name), before_hash)
        for effect, seq, folder, name, before_hash in connection.execute(EFFECTS_SQL)
    ]
