"""Everything one write transaction does. Called between BEGIN and COMMIT; changes nothing but the database
and its own `Batch`, so that a transaction that fails leaves no trace in memory either.

J1-J5 are asserted here where that costs little; checking.py checks them whole.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from makfs.ids import NodeUid, RepoPath, Seq
from makfs.store.keys import split_path, words_key
from makfs.store.model import (
    ADDRESSES_IN_COMMIT,
    HASH_BYTES,
    Commit,
    CommitDraft,
    Effect,
    FileChange,
    FileKind,
    FileState,
    FileUid,
    NodeEdit,
    Packed,
    Revision,
    hash_of,
)
from makfs.store.packing import pack_nodes, pack_text
from makfs.store.reading import KIND_CODES, newest_revision
from makfs.store.recent import Recent

_HASH_ASSERTED_BYTES = 16 << 10  # hashing more again would show in a commit's time
_TEXT_MEMORY_BYTES = 8 << 20
_PATH_MEMORY = 4_096
_TEXT_OVERHEAD_BYTES = 100  # of an entry in the memory, beside the text

_ABSENT = FileState(FileKind.ABSENT)
_INSERT_REVISION = (
    "INSERT INTO revision (path, seq, place, file, kind, mode, content_hash, size_bytes, target,"
    " nodes, moved_from, merged) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_EFFECT = "INSERT INTO effect (id, seq, path, before_hash) VALUES (?, ?, ?, ?)"


@dataclass(frozen=True, slots=True)
class Marks:
    """The highest numbers given out so far."""

    head: Seq = Seq(0)
    text: int = 0
    effect: int = 0
    node: int = 0
    file: int = 0


@dataclass(frozen=True, slots=True)
class Known:
    """A path's row and its newest revision; None if never recorded."""

    path_id: int
    newest: Revision | None


class Memory:
    """What is remembered between transactions. Only ever holds what was committed."""

    def __init__(self, marks: Marks) -> None:
        self.marks = marks
        self.texts: Recent[bytes, int] = Recent(_TEXT_MEMORY_BYTES)  # text -> id
        self.paths: Recent[RepoPath, Known] = Recent(_PATH_MEMORY)
        self.cuts = 0  # how often texts were removed

    def adopt(self, batch: "Batch") -> None:
        """Take over what a committed transaction found out."""
        self.marks = batch.marks()
        for text, number in batch.new_texts.items():
            if len(text) <= _TEXT_MEMORY_BYTES // 8:
                self.texts.put(text, number, len(text) + _TEXT_OVERHEAD_BYTES)
        for path, known in batch.new_paths.items():
            self.paths.put(path, known)


def read_marks(connection: sqlite3.Connection) -> Marks:
    """Return the marks of a store just opened."""
    row = connection.execute(
        "SELECT seq, last_node, last_file FROM journal ORDER BY seq DESC LIMIT 1"
    ).fetchone() or (0, 0, 0)
    (text,) = connection.execute("SELECT coalesce(max(id), 0) FROM text").fetchone()
    (effect,) = connection.execute("SELECT coalesce(max(id), 0) FROM effect").fetchone()
    return Marks(Seq(row[0]), text, effect, row[1], row[2])


@dataclass(slots=True)
class Batch:
    """One transaction at work. Thrown away if it fails, adopted by `Memory` if it is committed."""

    connection: sqlite3.Connection
    memory: Memory
    large_bytes: int
    head: Seq
    text: int
    effect: int
    node: int
    file: int
    new_texts: dict[bytes, int] = field(default_factory=dict)
    new_paths: dict[RepoPath, Known] = field(default_factory=dict)
    _revisions: list[tuple[object, ...]] = field(default_factory=list)  # rows to be written
    _effects: list[tuple[object, ...]] = field(default_factory=list)

    @classmethod
    def begin(cls, connection: sqlite3.Connection, memory: Memory, large_bytes: int) -> "Batch":
        """Return a batch that starts where the memory stands."""
        m = memory.marks
        return cls(connection, memory, large_bytes, m.head, m.text, m.effect, m.node, m.file)

    def marks(self) -> Marks:
        """Return the numbers given out up to now."""
        return Marks(self.head, self.text, self.effect, self.node, self.file)

    # -- paths

    def known(self, path: RepoPath) -> Known:
        """Return a path's row, made if need be, with its newest revision."""
        known = self.new_paths.get(path) or self.memory.paths.get(path)
        if known is None:
            folder, name = split_path(path)
            row = self.connection.execute(
                "SELECT id FROM path WHERE folder = ? AND name = ?", (folder, name)
            ).fetchone()
            if row is None:
                cursor = self.connection.execute(
                    "INSERT INTO path (folder, name) VALUES (?, ?)", (folder, name)
                )
                assert cursor.lastrowid
                known = Known(cursor.lastrowid, None)
            else:
                known = Known(row[0], newest_revision(self.connection, path, row[0]))
        self.new_paths[path] = known
        return known

    # -- texts

    def text_ids(self, texts: Sequence[bytes]) -> list[int]:
        """Return the ids of texts, storing those that are new. Cost: hashes only what is not remembered."""
        young = self.memory.texts.young
        ids = [young.get(text, 0) for text in texts]
        if 0 in ids:
            for place, number in enumerate(ids):
                if not number:
                    ids[place] = self.text_id(texts[place])
        return ids

    def text_id(self, text: bytes) -> int:
        """Return one text's id, storing it if it is new."""
        number = self.new_texts.get(text) or self.memory.texts.get(text)
        if number is None:
            key = hash_of(text)
            row = self.connection.execute("SELECT id FROM text WHERE hash = ?", (key,)).fetchone()
            if row is not None:
                number = int(row[0])
            else:
                codec, kept = pack_text(text)
                self.text = number = self.text + 1
                self.connection.execute(
                    "INSERT INTO text (id, hash, size_bytes, codec, bytes) VALUES (?, ?, ?, ?, ?)",
                    (number, key, len(text), codec, kept),
                )
        self.new_texts[text] = number
        return number

    # -- commits

    def commit(self, draft: CommitDraft) -> tuple[Commit, tuple[Effect, ...]]:
        """Write a commit and everything it is made of."""
        paths = tuple(change.path for change in draft.changes)
        assert paths, "J1: a commit changes something"
        assert len(set(paths)) == len(paths), "J2: a commit changes a path once"
        seq = self.head = Seq(self.head + 1)  # J1
        before = {change.path: self._before(change) for change in draft.changes}
        for place, change in enumerate(draft.changes):
            file = self._file_of(change, before)
            self._revision(change.path, seq, place, file, change.after, change)
        self.connection.executemany(_INSERT_REVISION, self._revisions)
        edits = [edit for change in draft.changes for edit in change.edits]
        self.node = max(self.node, max((edit.uid for edit in edits), default=0))
        self._journal_row(draft, seq, len(edits))
        self._edits(seq, edits)
        effects = tuple(
            self._effect(seq, before[change.path]) for change in draft.changes if change.write_through
        )
        self.connection.executemany(_INSERT_EFFECT, self._effects)
        addresses = tuple(edit.address for edit in edits[:ADDRESSES_IN_COMMIT])
        who = (draft.agent, draft.time_ns, draft.program, draft.pid, draft.note)
        return Commit(seq, *who, paths, addresses, len(edits), draft.task), effects

    def _journal_row(self, draft: CommitDraft, seq: Seq, edits: int) -> None:
        """Write the commit's own row; before the rows that refer to it, after all numbers are given out."""
        self.connection.execute(
            "INSERT INTO journal (seq, agent, time_ns, program, pid, note, nodes_changed, last_node,"
            " last_file, task) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                seq,
                draft.agent,
                draft.time_ns,
                words_key(draft.program),
                draft.pid,
                words_key(draft.note),
                edits,
                self.node,
                self.file,
                words_key(draft.task),
            ),
        )

    def _before(self, change: FileChange) -> Revision:
        """Return the path's revision before this commit, recording its origin if it is new (J3)."""
        known = self.known(change.path)
        if known.newest is not None:
            return known.newest
        origin = change.origin or _ABSENT
        file = change.origin_file
        self.file = max(self.file, file)
        if not file and origin.kind is not FileKind.ABSENT:
            file = FileUid(0) if change.moved_from is not None else change.file
            file = file or self._new_file()
        return self._revision(change.path, Seq(0), 0, file, origin)

    def _effect(self, seq: Seq, was: Revision) -> Effect:
        """Write down that the backing directory is owed the path's new state (J5)."""
        self.effect += 1
        self._effects.append((self.effect, seq, self.new_paths[was.path].path_id, was.content_hash))
        return Effect(self.effect, seq, was.path, was.content_hash)

    def _file_of(self, change: FileChange, before: dict[RepoPath, Revision]) -> FileUid:
        """Return which file stands at the path after the commit; a move carries it along."""
        was = before[change.path]
        if change.file:
            self.file = max(self.file, change.file)
            return change.file
        if change.moved_from is not None:
            source = before.get(change.moved_from) or self.known(change.moved_from).newest
            if source is not None and source.file:
                return source.file
        if was.kind is not FileKind.ABSENT or change.after.kind is FileKind.ABSENT:
            return was.file
        return self._new_file()

    def _new_file(self) -> FileUid:
        self.file += 1
        return FileUid(self.file)

    def _revision(
        self,
        path: RepoPath,
        seq: Seq,
        place: int,
        file: FileUid,
        state: FileState,
        change: FileChange | None = None,
    ) -> Revision:
        nodes = self._node_list(state)
        path_id = self.new_paths[path].path_id
        kept = state.kind is not FileKind.FILE or nodes is not None
        revision = Revision(
            path, seq, file, state.kind, state.mode, state.content_hash, state.size_bytes, state.target, kept
        )
        moved_from = change.moved_from if change else None
        self._revisions.append(
            (
                path_id,
                seq,
                place,
                file,
                KIND_CODES[state.kind],
                state.mode,
                state.content_hash,
                state.size_bytes,
                state.target,
                nodes,
                None if moved_from is None else self.known(moved_from).path_id,
                change is not None and change.merged,
            )
        )
        self.new_paths[path] = Known(path_id, revision)
        return revision

    def prepare(self, state: FileState) -> FileState:
        """Return a state with its packed node list, the texts of which are stored now."""
        nodes = self._node_list(state)
        return state if nodes is None else replace(state, packed=Packed(nodes, self.memory.cuts))

    def _node_list(self, state: FileState) -> bytes | None:
        """Return a file's packed node list, None where there is none or it is too large to keep."""
        if state.packed is not None and state.packed.cuts == self.memory.cuts:
            return state.packed.nodes
        if state.kind is not FileKind.FILE:
            assert not state.nodes, "J4: only a file has nodes"
            assert not state.content_hash, "J4: only a file has content"
            return None
        assert len(state.content_hash) == HASH_BYTES, "J4: a file's content has a hash"
        uids = [node.uid for node in state.nodes]
        self.node = max(self.node, max(uids, default=0))
        if not state.kept or state.size_bytes > self.large_bytes:
            return None
        texts = [node.text for node in state.nodes]
        assert sum(map(len, texts)) == state.size_bytes, "J4: the nodes are the file"
        if state.size_bytes <= _HASH_ASSERTED_BYTES:
            assert hash_of(b"".join(texts)) == state.content_hash, "J4: the hash is the content's"
        return pack_nodes(uids, self.text_ids(texts))

    def _edits(self, seq: Seq, edits: Sequence[NodeEdit]) -> None:
        for place, edit in enumerate(edits):
            self.connection.execute(
                "INSERT INTO edit (seq, place, path, uid, op, kind, address, old_address, before, after)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    seq,
                    place,
                    self.known(edit.path).path_id,
                    edit.uid,
                    edit.op,
                    edit.kind,
                    words_key(edit.address),
                    words_key(edit.old_address),
                    self._edit_text(edit.before),
                    self._edit_text(edit.after),
                ),
            )

    def _edit_text(self, text: bytes | None) -> int | None:
        return None if text is None or len(text) > self.large_bytes else self.text_id(text)


def next_node(memory: Memory) -> NodeUid:
    """Return the first node uid never used."""
    return NodeUid(memory.marks.node + 1)
