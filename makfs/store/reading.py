"""Questions about files and their history, as SQL. Every function reads one connection and keeps nothing."""

import sqlite3
from collections.abc import Iterator
from typing import Any, cast

from makfs.errors import NotKept
from makfs.ids import NodeUid, RepoPath, Seq
from makfs.store.keys import BELOW_SQL, below, join_path, name_key, split_path, words
from makfs.store.model import FileKind, FileUid, NodeText, Revision
from makfs.store.packing import RAW, NodeList, unpack_nodes, unpack_text

KINDS = (FileKind.ABSENT, FileKind.FILE, FileKind.SYMLINK, FileKind.DIR)
KIND_CODES = {kind: code for code, kind in enumerate(KINDS)}

_MANY_SPANS = 8
CUT_KEY = "@cut"

ANY_SEQ = Seq((1 << 63) - 1)

Row = tuple[Any, ...]

COLUMNS = (
    "r.seq, r.file, r.kind, r.mode, r.content_hash, r.size_bytes, r.target,"
    " r.kind <> 1 OR r.nodes IS NOT NULL"
)

REVISION_SQL = (
    f"SELECT {COLUMNS} FROM revision r WHERE r.path = (SELECT id FROM path WHERE folder = ? AND name = ?)"
    " AND r.seq <= ? ORDER BY r.seq DESC LIMIT 1"
)
NEWEST_SQL = f"SELECT {COLUMNS} FROM revision r WHERE r.path = ? ORDER BY r.seq DESC LIMIT 1"
NODES_SQL = (
    "SELECT r.kind, r.nodes, r.seq FROM revision r"
    " WHERE r.path = (SELECT id FROM path WHERE folder = ? AND name = ?)"
    " AND r.seq <= ? ORDER BY r.seq DESC LIMIT 1"
)
TEXTS_SQL = "SELECT codec, bytes FROM text WHERE id BETWEEN ? AND ? ORDER BY id"
MANY_TEXTS_SQL = (
    "SELECT t.id, t.codec, t.bytes FROM json_each(?) wanted CROSS JOIN text t ON t.id = wanted.value"
)
BY_HASH_SQL = "SELECT nodes FROM revision WHERE content_hash = ? AND nodes IS NOT NULL LIMIT 1"
OF_PATHS_SQL = (
    f"SELECT p.folder, p.name, {COLUMNS} FROM path p CROSS JOIN revision r ON r.path = p.id"
    " AND r.seq = (SELECT max(seq) FROM revision WHERE path = p.id AND seq <= ?) WHERE "
)
CHILDREN_SQL = OF_PATHS_SQL + "p.folder = ? AND p.name <> ''"
BELOW_FOLDER_SQL = OF_PATHS_SQL + BELOW_SQL
EVERYTHING_SQL = OF_PATHS_SQL + "p.name <> ''"
OLDER_SQL = (
    "SELECT e.seq, b.codec, b.bytes, a.codec, a.bytes FROM edit e"
    " LEFT JOIN text b ON b.id = e.before LEFT JOIN text a ON a.id = e.after"
    " WHERE e.uid = ? AND e.seq >= ? ORDER BY e.seq, e.place"
)


def revision_of(path: RepoPath, row: Row) -> Revision:
    """Return the revision in a row of `COLUMNS`."""
    seq, file, kind, mode, content_hash, size_bytes, target, kept = row
    return Revision(
        path, Seq(seq), FileUid(file), KINDS[kind], mode, content_hash, size_bytes, target, bool(kept)
    )


def newest_revision(connection: sqlite3.Connection, path: RepoPath, path_id: int) -> Revision | None:
    """Return the newest revision of a path whose row is known."""
    row = connection.execute(NEWEST_SQL, (path_id,)).fetchone()
    return None if row is None else revision_of(path, row)


def revision(connection: sqlite3.Connection, path: RepoPath, at: Seq | None) -> Revision | None:
    """Return a path's state at `at` (J2)."""
    row = connection.execute(REVISION_SQL, (*split_path(path), ANY_SEQ if at is None else at)).fetchone()
    if at is not None and (row is None or row[0] != at):
        _check_kept(connection, path, at, is_there=row is not None)
    return None if row is None else revision_of(path, row)


def cut_of(connection: sqlite3.Connection) -> Seq:
    """Return the commit up to which history was cut, 0 if it never was."""
    row = connection.execute("SELECT value FROM meta WHERE key = ?", (CUT_KEY,)).fetchone()
    return Seq(0 if row is None else int(row[0]))


def is_kept(connection: sqlite3.Connection, at: Seq) -> bool:
    """Tell whether the whole tree as of a commit is known (G1)."""
    if at >= cut_of(connection):
        return True
    return connection.execute("SELECT 1 FROM mark WHERE seq = ? LIMIT 1", (at,)).fetchone() is not None


def _check_kept(connection: sqlite3.Connection, path: RepoPath, at: Seq, *, is_there: bool) -> None:
    """Raise NotKept where a revision that was cut could be the answer (G3)."""
    if is_kept(connection, at):
        return
    if not is_there:
        row = connection.execute(REVISION_SQL, (*split_path(path), ANY_SEQ)).fetchone()
        if row is None:
            return
    raise NotKept(cut_sentence(connection, at, path))


def cut_sentence(connection: sqlite3.Connection, at: Seq, path: str = "") -> str:
    """Say that a moment was cut, and what can be asked for."""
    cut = cut_of(connection)
    what = f"{path} as of commit {at}" if path else f"What commit {at} changed"
    return f"{what} is not kept: makfs gc cut the history before commit {cut}; ask for {cut} or later."


def nodes(connection: sqlite3.Connection, path: RepoPath, at: Seq | None) -> tuple[NodeText, ...]:
    """Return the nodes of a path's state at `at`, () unless it is a file. Raise NotKept."""
    row = connection.execute(NODES_SQL, (*split_path(path), ANY_SEQ if at is None else at)).fetchone()
    if at is not None and (row is None or row[2] != at):
        _check_kept(connection, path, at, is_there=row is not None)
    if row is None or KINDS[row[0]] is not FileKind.FILE:
        return ()
    if row[1] is None:
        raise NotKept(f"{path}: the content at that time was too large to keep; only its hash is known")
    return node_texts(connection, row[1])


def node_texts(connection: sqlite3.Connection, packed: bytes) -> tuple[NodeText, ...]:
    """Return the nodes of a node list. Raise ValueError if a text is missing."""
    nodes_of = unpack_nodes(packed)
    texts = _texts_one_by_one if len(nodes_of.texts) > _MANY_SPANS else _texts_by_span
    return tuple(map(NodeText, cast(Iterator[NodeUid], nodes_of.each_uid()), texts(connection, nodes_of)))


def _texts_by_span(connection: sqlite3.Connection, nodes_of: NodeList) -> list[bytes]:
    """Return the texts of a file that is much as it was imported. Cost: a range scan per span."""
    texts: list[bytes] = []
    for span in nodes_of.texts:
        rows = connection.execute(TEXTS_SQL, (span.start, span.last)).fetchall()
        if len(rows) != span.count:
            raise ValueError(f"of the texts {span.start} to {span.last} only {len(rows)} are there")
        texts += [kept if codec == RAW else unpack_text(codec, kept) for codec, kept in rows]
    return texts


def _texts_one_by_one(connection: sqlite3.Connection, nodes_of: NodeList) -> list[bytes]:
    """Return the texts of a file edited all over. Cost: one statement, a look-up per text."""
    wanted = list(nodes_of.each_text())
    rows = connection.execute(MANY_TEXTS_SQL, (f"[{','.join(map(str, wanted))}]",))
    found = {number: kept if codec == RAW else unpack_text(codec, kept) for number, codec, kept in rows}
    try:
        return [found[number] for number in wanted]
    except KeyError as missing:
        raise ValueError(f"text {missing} is not there") from None


def text_by_hash(connection: sqlite3.Connection, content_hash: bytes) -> bytes | None:
    """Return a whole content that some revision had, or None."""
    row = connection.execute(BY_HASH_SQL, (content_hash,)).fetchone()
    if row is None:
        return None
    return b"".join(node.text for node in node_texts(connection, row[0]))


def children(connection: sqlite3.Connection, folder: RepoPath, at: Seq | None) -> dict[str, Revision]:
    """Return the recorded entries directly below a folder, by name."""
    if at is not None and not is_kept(connection, at):
        raise NotKept(cut_sentence(connection, at, folder or "The tree"))
    found: dict[str, Revision] = {}
    key = name_key(folder)
    prefix = f"{folder}/" if folder else ""
    for _, name, *row in connection.execute(CHILDREN_SQL, (ANY_SEQ if at is None else at, key)):
        entry = words(name)
        found[entry] = revision_of(RepoPath(prefix + entry), tuple(row))
    return found


def everything_below(connection: sqlite3.Connection, folder: RepoPath) -> list[Revision]:
    """Return the newest revision of every recorded path below a folder, in the order of paths."""
    if folder:
        rows = connection.execute(BELOW_FOLDER_SQL, (ANY_SEQ, *below(folder).row))
    else:
        rows = connection.execute(EVERYTHING_SQL, (ANY_SEQ,))
    found = [revision_of(join_path(at_folder, name), tuple(row)) for at_folder, name, *row in rows]
    return sorted(found, key=lambda revision: revision.path)


def older_texts(connection: sqlite3.Connection, uid: NodeUid, since: Seq) -> tuple[bytes, ...]:
    """Return each text the node had at or after `since`, oldest first, without the one it has now.

    The text it had at `since` is the `before` of its first edit after it. A deleted node has no text
    now, so its last one counts as older.
    """
    found: dict[bytes, None] = {}  # an ordered set
    now: bytes | None = None
    for seq, codec, before, after_codec, after in connection.execute(OLDER_SQL, (uid, since)):
        if before is not None and seq > since:
            found.setdefault(unpack_text(codec, before))
        now = None if after is None else unpack_text(after_codec, after)
        if now is not None:
            found.setdefault(now)
    if now is not None:
        del found[now]
    return tuple(found)
