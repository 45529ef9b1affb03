"""Read everything back and compare it with what the store promises (J1-J7). Changes nothing.

Works on a read-only connection of its own, inside one snapshot, so it can run beside commits.
What stands beside the journal is checked by `checkbeside`.
"""

import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from makfs.locks.rows import BadRows
from makfs.locks.table import LockTable
from makfs.store import checkbeside
from makfs.store.connection import connect
from makfs.store.keys import Key, join_path, words
from makfs.store.locks import read_rows
from makfs.store.model import HASH_BYTES, Problem, hash_of
from makfs.store.packing import unpack_nodes, unpack_text
from makfs.store.reading import cut_of

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""

_FILE = 1  # code of FileKind.FILE in schema.sql
_TEXTS_REMEMBERED_BYTES = 32 << 20
_PROGRESS_EVERY = 1_000


def check_file(file: Path, progress: Progress | None = None) -> Sequence[Problem]:
    """Return every problem of a database, also of one too damaged for a store to open."""
    try:
        database = connect(file, readonly=True)
    except sqlite3.Error as error:
        return [Problem("SQLITE", str(file), f"The file cannot be opened: {error}.")]
    try:
        database.conn.execute("BEGIN")
        database.conn.execute("SELECT count(*) FROM journal")
        return list(_problems(database.conn, str(file), progress or _silent))
    except sqlite3.Error as error:
        return [Problem("SQLITE", str(file), f"The file cannot be read: {error}.")]
    finally:
        database.close()


def _silent(_what: str, _done: int, _total: int) -> None:
    """Report to nobody."""


def _problems(connection: sqlite3.Connection, file: str, progress: Progress) -> Iterator[Problem]:
    contents = Contents(connection, progress)
    checks = {
        "the database": _integrity(connection),
        "references": _references(connection),
        "the journal": _journal(connection),
        "paths": _paths(connection),
        "origins": _origins(connection),
        "effects": _effects(connection),
        "refusals": _refusals(connection),
        "locks": _locks(connection),
        "marks": _named(connection),
        "events": checkbeside.events(connection),
        "messages": checkbeside.messages(connection),
        "what is shared": checkbeside.artifacts(connection),
        "texts": contents.texts(),
        "revisions": contents.revisions(),
    }
    for done, (what, problems) in enumerate(checks.items()):
        progress(f"checking {what}", done, len(checks))
        try:
            yield from problems
        except sqlite3.Error as error:  # the database gave way under the check: that is one more
            sentence = f"The check of {what} could not read on: {error}. Restore the file from a copy."
            yield Problem("SQLITE", file, sentence)


def _integrity(connection: sqlite3.Connection) -> Iterator[Problem]:
    for (sentence,) in connection.execute("PRAGMA integrity_check"):
        if sentence != "ok":
            yield Problem("SQLITE", "database", f"SQLite finds: {sentence}.")


def _references(connection: sqlite3.Connection) -> Iterator[Problem]:
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield Problem("SQLITE", f"{table} {row or ''}".strip(), f"It refers to a {parent} that is not there.")


def _journal(connection: sqlite3.Connection) -> Iterator[Problem]:
    """J1: numbers without gaps, each commit whole."""
    expected, node, file, cut = 1, 0, 0, cut_of(connection)
    sql = (
        "SELECT seq, nodes_changed, last_node, last_file, (SELECT count(*) FROM edit WHERE edit.seq = j.seq),"
        " (SELECT count(*) FROM revision r WHERE r.seq = j.seq AND r.seq > 0),"
        " (SELECT coalesce(max(place), -1) FROM revision r WHERE r.seq = j.seq AND r.seq > 0)"
        " FROM journal j ORDER BY seq"
    )
    for seq, changed, last_node, last_file, edits, paths, last_place in connection.execute(sql):
        where = f"commit {seq}"
        if seq != expected:
            yield Problem("J1", where, f"Commits {expected} to {seq - 1} are missing from the journal.")
        if seq > cut and (not paths or last_place != paths - 1):
            yield Problem("J1", where, "The commit is not whole: some or all of its paths are missing.")
        if seq > cut and changed != edits:
            yield Problem("J1", where, f"The commit changed {changed} nodes, but {edits} are on record.")
        if last_node < node or last_file < file:
            yield Problem("J1", where, "The commit knows of fewer uids than the one before it.")
        expected, node, file = seq + 1, max(node, last_node), max(file, last_file)
    for table in ("revision", "edit"):
        rows = connection.execute(
            f"SELECT DISTINCT seq FROM {table} WHERE seq > 0 AND seq NOT IN (SELECT seq FROM journal)"
        )
        for (seq,) in rows:
            sentence = f"Some {table} belongs to it, but the journal does not know it."
            yield Problem("J1", f"commit {seq}", sentence)
    yield from _marks(connection, node, file)


def _marks(connection: sqlite3.Connection, node: int, file: int) -> Iterator[Problem]:
    (highest_file,) = connection.execute("SELECT coalesce(max(file), 0) FROM revision").fetchone()
    (highest_edit,) = connection.execute("SELECT coalesce(max(uid), 0) FROM edit").fetchone()
    if highest_file > file:
        yield Problem("J1", f"file {highest_file}", "The journal does not know that this file uid is taken.")
    if highest_edit > node:
        yield Problem("J1", f"node {highest_edit}", "The journal does not know that this node uid is taken.")


def _paths(connection: sqlite3.Connection) -> Iterator[Problem]:
    """J2 rests on this: one path, one row."""
    for number, folder, name in connection.execute("SELECT id, folder, name FROM path"):
        where = f"path {number}"
        if any(_misspelt(key) for key in (folder, name)):
            yield Problem("J2", where, f"The name {name!r} is stored in a way that nothing finds.")
        elif (folder and not name) or "/" in words(name):
            yield Problem("J2", where, f"{join_path(folder, name)!r} is not the path of an entry.")


def _misspelt(key: object) -> bool:
    """Tell whether a key is not the one `keys.py` makes for its bytes."""
    if isinstance(key, str):
        return False
    if not isinstance(key, bytes):
        return True
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def _origins(connection: sqlite3.Connection) -> Iterator[Problem]:
    """J3: every path that was ever committed has its origin."""
    for there, missing, sentence in (
        ("seq > 0", "seq <= ?", "What was there before the first commit is not on record."),
        ("seq = 0", "seq > 0", "An origin is on record for a path that no commit ever touched."),
    ):
        rows = connection.execute(
            "SELECT folder, name FROM path"
            f" WHERE EXISTS (SELECT 1 FROM revision WHERE path = id AND {there})"
            f" AND NOT EXISTS (SELECT 1 FROM revision WHERE path = id AND {missing})",
            (cut_of(connection),) if "?" in missing else (),
        )
        for folder, name in rows:
            yield Problem("J3", join_path(folder, name), sentence)


def _effects(connection: sqlite3.Connection) -> Iterator[Problem]:
    """J5: what is owed was committed, and says what the backing file was."""
    sql = (
        "SELECT e.id, e.seq, p.folder, p.name, e.before_hash,"
        " (SELECT count(*) FROM revision r WHERE r.path = e.path AND r.seq = e.seq),"
        " (SELECT r.content_hash FROM revision r WHERE r.path = e.path AND r.seq < e.seq"
        "  ORDER BY r.seq DESC LIMIT 1)"
        " FROM effect e LEFT JOIN path p ON p.id = e.path ORDER BY e.id"
    )
    for number, seq, folder, name, before_hash, found, was in connection.execute(sql):
        where = f"effect {number}"
        if name is None or not found:
            yield Problem("J5", where, f"It is owed for commit {seq}, which did not change that path.")
        elif before_hash != was:
            path = join_path(folder, name)
            yield Problem("J5", where, f"It expects another earlier content of {path} than the journal has.")


def _named(connection: sqlite3.Connection) -> Iterator[Problem]:
    """J7: a mark names a commit."""
    sql = "SELECT name, seq FROM mark WHERE seq <> 0 AND seq NOT IN (SELECT seq FROM journal)"
    for name, seq in connection.execute(sql):
        yield Problem("J7", f"mark {name}", f"It names commit {seq}, which the journal does not know.")


def _refusals(connection: sqlite3.Connection) -> Iterator[Problem]:
    for number, *kept in connection.execute("SELECT number, mine, base FROM refusal"):
        try:
            for packed in kept:
                if packed is not None:
                    zlib.decompress(packed)
        except zlib.error:
            yield Problem("SQLITE", f"refusal {number}", "The refused bytes are damaged and cannot be shown.")


def _locks(connection: sqlite3.Connection) -> Iterator[Problem]:
    """J6: what is kept is a lock table, with no number above the newest."""
    for table in ("lock_grant", "lock_waiter"):
        addresses = [address for (address,) in connection.execute(f"SELECT address FROM {table}")]
        if any(map(_misspelt, addresses)):
            yield Problem("J6", table, "An address in it is stored in a way that nothing finds.")
            return
    try:
        rows = read_rows(connection)
        for what, kept, newest in (("fence", rows.grants, rows.fence), ("ticket", rows.waiters, rows.ticket)):
            for number in {row[what] for row in kept if int(row[what]) > newest}:
                sentence = f"The newest {what} on record is {newest}, so it could be given out again."
                yield Problem("J6", f"{what} {number}", sentence)
        LockTable.from_rows(rows, now_ns=0)
    except (BadRows, ValueError) as bad:
        yield Problem("J6", "locks", f"The locks cannot be put together: {str(bad).removesuffix('.')}.")


@dataclass(slots=True)
class Contents:
    """J4: each text is what its hash says, each revision is what its hash says."""

    connection: sqlite3.Connection
    progress: Progress
    damaged: set[int] = field(default_factory=set)  # text ids already reported
    remembered: dict[int, bytes] = field(default_factory=dict)
    remembered_bytes: int = 0
    highest_uid: int = 0  # of all nodes so far

    def texts(self) -> Iterator[Problem]:
        """Check every text by itself."""
        (total,) = self.connection.execute("SELECT count(*) FROM text").fetchone()
        rows = self.connection.execute("SELECT id, hash, size_bytes, codec, bytes FROM text")
        for done, (number, key, size_bytes, codec, kept) in enumerate(rows):
            if done % _PROGRESS_EVERY == 0:
                self.progress("checking texts", done, total)
            try:
                text = unpack_text(codec, kept)
            except ValueError as error:
                sentence = f"The text is damaged: {error}."
            else:
                if len(text) == size_bytes and hash_of(text) == key:
                    continue
                sentence = "The text is not the one its hash and size belong to."
            self.damaged.add(number)
            yield Problem("J4", f"text {number}", sentence)

    def revisions(self) -> Iterator[Problem]:
        """Check every revision against its texts. Neighbours share most texts, hence the memory."""
        (total,) = self.connection.execute("SELECT count(*) FROM revision").fetchone()
        (last_node,) = self.connection.execute("SELECT coalesce(max(last_node), 0) FROM journal").fetchone()
        rows = self.connection.execute(
            "SELECT p.folder, p.name, r.seq, r.kind, r.content_hash, r.size_bytes, r.nodes"
            " FROM revision r LEFT JOIN path p ON p.id = r.path ORDER BY r.path, r.seq"
        )
        for done, (folder, name, seq, kind, key, size_bytes, nodes) in enumerate(rows):
            if done % _PROGRESS_EVERY == 0:
                self.progress("checking revisions", done, total)
            sentence = self._sentence(kind, key, size_bytes, nodes)
            if sentence:
                yield Problem("J4", _where(folder, name, seq), sentence)
            if self.highest_uid > last_node:
                yield Problem("J1", _where(folder, name, seq), "It has a node uid higher than any taken.")
                last_node = self.highest_uid

    def _sentence(self, kind: int, key: bytes, size_bytes: int, nodes: bytes | None) -> str:
        """Return what is wrong with one revision's content, "" if nothing is."""
        if kind != _FILE:
            return "" if nodes is None and not key else "Something that is not a file has content."
        if len(key) != HASH_BYTES:
            return "The file's content has no hash."
        if nodes is None:
            return ""
        try:
            content, uids = self._content(nodes)
        except ValueError as error:
            return f"The file cannot be put together: {error}."
        self.highest_uid = max(self.highest_uid, max(uids, default=0))
        if len({uid for uid in uids if uid}) != sum(1 for uid in uids if uid):
            return "Two nodes of the file have the same uid."
        if len(content) != size_bytes or hash_of(content) != key:
            return "The file's nodes do not add up to the content its hash and size belong to."
        return ""

    def _content(self, nodes: bytes) -> tuple[bytes, list[int]]:
        found = unpack_nodes(nodes)
        return b"".join(map(self._text, found.each_text())), list(found.each_uid())

    def _text(self, number: int) -> bytes:
        text = self.remembered.get(number)
        if text is not None:
            return text
        row = self.connection.execute("SELECT codec, bytes FROM text WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise ValueError(f"text {number} is missing")
        if number in self.damaged:
            raise ValueError(f"text {number} is damaged")
        text = unpack_text(*row)
        if self.remembered_bytes > _TEXTS_REMEMBERED_BYTES:
            self.remembered, self.remembered_bytes = {}, 0
        self.remembered[number] = text
        self.remembered_bytes += len(text)
        return text


def _where(folder: Key | None, name: Key | None, seq: int) -> str:
    path = "an unknown path" if folder is None or name is None else join_path(folder, name)
    return f"{path} at {seq}" if seq else f"{path} before the first commit"
