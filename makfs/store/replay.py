"""The journal from its beginning, in the order of numbers, on a read-only connection of its own.

Y1  It may be read beside a daemon that commits: nothing is locked, and no log is kept from being emptied
    for longer than one question takes.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from makfs.errors import NotFound, NotKept, StoreError
from makfs.ids import AgentId, RepoPath, Seq
from makfs.store import reading
from makfs.store.connection import FILE_NAME, connect, store_error, translated
from makfs.store.history import ADDRESSES_SQL, FILES_SQL
from makfs.store.keys import join_path, split_path, words
from makfs.store.migrations import newest_version, version_of
from makfs.store.model import Commit, FileKind, Revision

JOURNAL_SQL = (
    "SELECT seq, agent, time_ns, program, pid, note, nodes_changed, task FROM journal"
    " WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
)
OF_PATH_SQL = (
    f"SELECT {reading.COLUMNS} FROM revision r"
    " WHERE r.path = (SELECT id FROM path WHERE folder = ? AND name = ?) AND r.seq < ? ORDER BY r.seq DESC"
)
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Step:
    """A commit and the states it made, in the commit's order."""

    commit: Commit
    files: tuple[Revision, ...]
    moved: Mapping[RepoPath, RepoPath]  # new path -> where the file stood before


class Replay:
    """A store, read only. Use it with `with`, from one thread at a time."""

    def __init__(self, directory: Path) -> None:
        """Open the store in `directory`. Raises NotFound if there is none, StoreError if it is not for us."""
        self.file = directory / FILE_NAME
        if not self.file.exists():
            raise NotFound(f"{directory.parent} has no makfs store; nothing was ever mounted from it.")
        self._open()

    @translated
    def _open(self) -> None:
        database = connect(self.file, readonly=True)
        try:
            version = version_of(database)
            if not 0 < version <= newest_version():
                raise StoreError(f"it has version {version}, and this makfs reads 1 to {newest_version()}")
        except (sqlite3.Error, StoreError) as error:
            database.close()
            raise store_error(self.file, error) from error
        self._database = database
        self._connection: sqlite3.Connection = database.conn

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    @property
    @translated
    def head(self) -> Seq:
        """Return the newest commit's number, 0 for an empty journal."""
        (head,) = self._connection.execute("SELECT coalesce(max(seq), 0) FROM journal").fetchone()
        return Seq(head)

    @property
    @translated
    def cut(self) -> Seq:
        """Return the commit up to which history was cut, 0 if it never was."""
        return reading.cut_of(self._connection)

    def steps(self, after: Seq, upto: Seq) -> Iterator[Step]:
        """Yield the commits after `after` up to and with `upto`, oldest first."""
        while after < upto:
            page = self._page(after, upto)
            if not page:
                return
            yield from page
            after = page[-1].commit.seq

    @translated
    def _page(self, after: Seq, upto: Seq) -> list[Step]:
        rows = self._connection.execute(JOURNAL_SQL, (after, upto, _PAGE)).fetchall()
        return [self._step(row) for row in rows]

    def _step(self, row: reading.Row) -> Step:
        seq, agent, time_ns, program, pid, note, nodes_changed, task = row
        files: list[Revision] = []
        moved: dict[RepoPath, RepoPath] = {}
        for folder, name, from_folder, from_name, _, *columns in self._connection.execute(FILES_SQL, (seq,)):
            path = join_path(folder, name)
            files.append(reading.revision_of(path, tuple(columns)))
            if from_name is not None:
                moved[path] = join_path(from_folder, from_name)
        addresses = tuple(words(key) for (key,) in self._connection.execute(ADDRESSES_SQL, (seq,)))
        paths = tuple(revision.path for revision in files)
        who = (Seq(seq), AgentId(agent), time_ns, words(program), pid, words(note))
        commit = Commit(*who, paths, addresses, nodes_changed, words(task))
        return Step(commit, tuple(files), moved)

    @translated
    def everything(self, at: Seq) -> Sequence[Revision]:
        """Return the state at `at` of every path recorded by now, in the order of paths (J2, J3)."""
        found = [
            reading.revision_of(join_path(folder, name), tuple(row))
            for folder, name, *row in self._connection.execute(reading.EVERYTHING_SQL, (at,))
        ]
        return sorted(found, key=lambda revision: revision.path)

    @translated
    def states(self, path: RepoPath, before: Seq = reading.ANY_SEQ) -> Sequence[Revision]:
        """Return what stood at a path before a commit, newest first, the origin last; () if unknown."""
        rows = self._connection.execute(OF_PATH_SQL, (*split_path(path), before)).fetchall()
        return [reading.revision_of(path, tuple(row)) for row in rows]

    @translated
    def text(self, revision: Revision) -> bytes | None:
        """Return a FILE revision's bytes, None if only their hash is known."""
        assert revision.kind is FileKind.FILE, revision.path
        try:
            nodes = reading.nodes(self._connection, revision.path, revision.seq)
        except NotKept:
            return None
        return b"".join(node.text for node in nodes)
