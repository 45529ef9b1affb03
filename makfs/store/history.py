"""Questions about commits and what is owed, as SQL. Reads one connection and keeps nothing."""

import heapq
import sqlite3
from itertools import groupby, islice

from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.keys import BELOW_SQL, below, join_path, split_path, words, words_key
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

LOG_COLUMNS = "j.seq, j.agent, j.time_ns, j.program, j.pid, j.note, j.nodes_changed, j.task"
LOG_SQL = f"SELECT {LOG_COLUMNS} FROM journal j"
PATH_IDS_SQL = f"SELECT id FROM path WHERE (folder = ? AND name = ?) OR {BELOW_SQL} LIMIT ?"
SEQS_OF_PATH_SQL = "SELECT seq FROM revision WHERE path = ? AND seq > 0 AND seq < ? ORDER BY seq DESC"
SEQS_BELOW_SQL = (
    "j.seq IN (SELECT r.seq FROM path p CROSS JOIN revision r ON r.path = p.id WHERE"
    f" (p.folder = ? AND p.name = ?) OR {BELOW_SQL})"
)
TOUCHES_SQL = (
    "EXISTS (SELECT 1 FROM revision r CROSS JOIN path p ON p.id = r.path WHERE r.seq = j.seq AND r.seq > 0"
    f" AND ((p.folder = ? AND p.name = ?) OR {BELOW_SQL}))"
)
_FEW_PATHS = 200  # whose revisions are read side by side, each from its newest
_WALKED = 4_000  # newest commits looked through for a larger folder's before its revisions are collected
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
    """Return commits, newest first. Cost: the commits returned, and those that a second filter drops."""
    if query.path:
        rows = _of_path(connection, query, query.path)
    elif query.since_ns is not None or query.until_ns is not None:
        rows = _of_times(connection, query)
    else:
        where, values = _where(query)
        sql = f"{LOG_SQL} WHERE {where} ORDER BY j.seq DESC LIMIT ?"
        rows = connection.execute(sql, (*values, query.limit)).fetchall()
    return [commit_in(connection, row) for row in rows]


def _where(query: LogQuery, *, before: bool = True) -> tuple[str, list[object]]:
    """Return the conditions on a row of the journal, and their values."""
    conditions: list[str] = []
    values: list[object] = []
    for condition, value in (
        ("j.seq < ?", (ANY_SEQ if query.before is None else query.before) if before else None),
        ("j.agent = ?", query.agent),
        ("j.program = ?", None if query.program is None else words_key(query.program)),
        ("j.task = ? AND j.task <> ''", None if query.task is None else words_key(query.task)),
        ("j.time_ns >= ?", query.since_ns),
        ("j.time_ns <= ?", query.until_ns),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    return " AND ".join(conditions), values


def _of_times(connection: sqlite3.Connection, query: LogQuery) -> list[Row]:
    """Return a time's commits in the order of time: where a clock was set back, not that of numbers."""
    where, values = _where(query, before=False)
    if query.before is not None:
        row = connection.execute("SELECT time_ns FROM journal WHERE seq = ?", (query.before,)).fetchone()
        if row is not None:
            where += " AND j.time_ns <= ? AND (j.time_ns < ? OR j.seq < ?)"
            values += [row[0], row[0], query.before]
    sql = f"{LOG_SQL} INDEXED BY journal_by_time WHERE {where} ORDER BY j.time_ns DESC, j.seq DESC LIMIT ?"
    return connection.execute(sql, (*values, query.limit)).fetchall()


def _of_path(connection: sqlite3.Connection, query: LogQuery, path: RepoPath) -> list[Row]:
    """Return the commits of a file or a folder. Cost: those of its paths; of a large folder, see below."""
    one, inside = split_path(path), below(path).row
    ids = [row[0] for row in connection.execute(PATH_IDS_SQL, (*one, *inside, _FEW_PATHS + 1))]
    if len(ids) > _FEW_PATHS:
        return _of_large_folder(connection, query, path)
    where, values = _where(query, before=False)
    sql = f"{LOG_SQL} WHERE j.seq = ?{' AND ' + where if where else ''}"
    before = ANY_SEQ if query.before is None else query.before
    seqs = heapq.merge(
        *(connection.execute(SEQS_OF_PATH_SQL, (number, before)) for number in ids), reverse=True
    )
    rows = (connection.execute(sql, (seq, *values)).fetchone() for (seq,), _ in groupby(seqs))
    return list(islice((row for row in rows if row is not None), query.limit))


def _of_large_folder(connection: sqlite3.Connection, query: LogQuery, path: RepoPath) -> list[Row]:
    """Return a folder's commits: first looked for among the newest of all, where most of them are its own."""
    where, values = _where(query)
    one, inside = split_path(path), below(path).row
    (newest,) = connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
    low = min(newest, (query.before or newest + 1) - 1) - _WALKED
    sql = f"{LOG_SQL} WHERE {where} AND j.seq > ? AND {TOUCHES_SQL} ORDER BY j.seq DESC LIMIT ?"
    rows = connection.execute(sql, (*values, low, *one, *inside, query.limit)).fetchall()
    if len(rows) < query.limit and low > 0:
        sql = f"{LOG_SQL} WHERE {where} AND j.seq <= ? AND {SEQS_BELOW_SQL} ORDER BY j.seq DESC LIMIT ?"
        left = query.limit - len(rows)
        rows += connection.execute(sql, (*values, low, *one, *inside, left)).fetchall()
    return rows


def commit_of(connection: sqlite3.Connection, seq: Seq) -> Commit | None:
    """Return one commit, or None."""
    row = connection.execute(f"{LOG_SQL} WHERE j.seq = ?", (seq,)).fetchone()
    return None if row is None else commit_in(connection, row)


def commit_in(connection: sqlite3.Connection, row: Row) -> Commit:
    """Return the commit in a row of `LOG_SQL`."""
    seq, agent, time_ns, program, pid, note, nodes_changed, task = row
    paths = tuple(join_path(*pair) for pair in connection.execute(PATHS_SQL, (seq,)))
    addresses = tuple(words(key) for (key,) in connection.execute(ADDRESSES_SQL, (seq,)))
    who = (Seq(seq), AgentId(agent), time_ns, words(program), pid, words(note))
    return Commit(*who, paths, addresses, nodes_changed, words(task))


def detail(connection: sqlite3.Connection, seq: Seq) -> CommitDetail | None:
    """Return one commit whole, or None."""
    row = connection.execute(f"{LOG_SQL} WHERE j.seq = ?", (seq,)).fetchone()
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
    edits = tuple(edit_of(row) for row in connection.execute(EDITS_SQL, (seq,)))
    return CommitDetail(commit_in(connection, row), tuple(files), edits, moved, frozenset(merged))


def edit_of(row: Row) -> NodeEdit:
    """Return the edit in a row of `EDITS_SQL`."""
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
