"""SqliteStore against plain dicts: J1-J5, S1, S2 over any history, with failures, reopening and moves."""

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import (
    Commit,
    CommitDraft,
    Effect,
    FileChange,
    FileKind,
    FileState,
    FileUid,
    LogQuery,
    NodeEdit,
    NodeText,
    hash_of,
)
from makfs.store.sqlite import SqliteStore

LARGE_BYTES = 60
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # hundreds of stores, none worth an fsync
ABSENT = FileState(FileKind.ABSENT)
FOLDERS = ["", "pkg", "pkg/sub", "pkg0", "caf\udce9", "caf\udce9/%"]
PATHS = [
    RepoPath(f"{folder}/{name}".lstrip("/")) for folder in FOLDERS for name in ("a.py", "b\n", "\udcff_")
]
AGENTS = [AgentId("alice"), AgentId("bob")]

texts = st.one_of(
    st.sampled_from([b"x = 1\n", b"y = 2\n", b"\n", b"\xff"]), st.binary(min_size=1, max_size=20)
)


@st.composite
def file_states(draw: st.DrawFn) -> FileState:
    pieces = draw(st.lists(texts, max_size=5))
    uids = draw(st.lists(st.integers(1, 40), min_size=len(pieces), max_size=len(pieces), unique=True))
    nodes = tuple(NodeText(NodeUid(uid), text) for uid, text in zip(uids, pieces, strict=True))
    content = b"".join(pieces)
    mode = draw(st.sampled_from([0o644, 0o755]))
    return FileState(FileKind.FILE, mode, nodes, b"", hash_of(content), len(content))


states = st.one_of(
    file_states(),
    file_states(),
    st.just(ABSENT),
    st.just(FileState(FileKind.DIR, 0o755)),
    st.binary(min_size=1, max_size=5).map(lambda target: FileState(FileKind.SYMLINK, 0o777, (), target)),
)


@dataclass
class Model:
    """What the store must remember, in the plainest form."""

    history: dict[RepoPath, dict[int, FileState]] = field(default_factory=dict)
    files: dict[RepoPath, dict[int, int]] = field(default_factory=dict)
    commits: list[Commit] = field(default_factory=list)
    edits: list[tuple[int, NodeEdit]] = field(default_factory=list)
    owed: list[Effect] = field(default_factory=list)
    highest_node: int = 0
    highest_file: int = 0

    def state(self, path: RepoPath, at: int) -> FileState | None:
        seqs = [seq for seq in self.history.get(path, {}) if seq <= at]
        return self.history[path][max(seqs)] if seqs else None

    def file(self, path: RepoPath, at: int) -> int:
        seqs = [seq for seq in self.files.get(path, {}) if seq <= at]
        return self.files[path][max(seqs)] if seqs else 0

    def older(self, uid: int, since: int) -> list[bytes]:
        mine = [(seq, edit) for seq, edit in self.edits if edit.uid == uid and seq >= since]
        line = [text for seq, edit in mine for text in (edit.before if seq > since else None, edit.after)]
        had = [text for text in line if text is not None]
        return [text for text in dict.fromkeys(had) if text != line[-1]]


class StoreMachine(RuleBasedStateMachine):
    """Does to the store what it does to the model, and compares what both answer."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(dir=MEMORY))
        self.store = SqliteStore.open(self.directory, large_bytes=LARGE_BYTES)
        self.model = Model()
        self.exceptions: dict[RepoPath, int] = {}

    def teardown(self) -> None:
        assert self.store.check() == []
        self.store.close()
        shutil.rmtree(self.directory)

    @property
    def head(self) -> int:
        return len(self.model.commits)

    # -- doing

    def commit(self, changes: list[FileChange], agent: AgentId = AGENTS[0]) -> None:
        model, seq, before = self.model, self.head + 1, self.head
        for change in changes:
            if change.path not in model.history:
                origin = change.origin or ABSENT
                model.history[change.path] = {0: origin}
                model.files[change.path] = {0: self._new_file() if origin.kind is not FileKind.ABSENT else 0}
        files = {change.path: self._expected_file(change, before) for change in changes}
        answered, effects = self.store.commit(CommitDraft(agent, seq, "vim", 1, tuple(changes), "note"))
        edits = [edit for change in changes for edit in change.edits]
        expected = [
            (change.path, was.content_hash)
            for change in changes
            if (was := model.state(change.path, before)) is not None and change.write_through
        ]
        assert [(effect.path, effect.before_hash) for effect in effects] == expected, "J5"
        for change in changes:
            model.history[change.path][seq] = change.after
            model.files[change.path][seq] = files[change.path]
            uids = [node.uid for node in (*change.after.nodes, *(change.origin or ABSENT).nodes)]
            if change.origin is not None and model.history[change.path][0] is not change.origin:
                uids = [node.uid for node in change.after.nodes]
            model.highest_node = max(model.highest_node, *uids, *(edit.uid for edit in edits), 0)
        model.edits += [(seq, edit) for edit in edits]
        model.commits.append(answered)
        model.owed += effects
        assert answered.seq == seq, "J1"
        assert answered.paths == tuple(change.path for change in changes)
        assert answered.nodes_changed == len(edits)

    def _new_file(self) -> int:
        self.model.highest_file += 1
        return self.model.highest_file

    def _expected_file(self, change: FileChange, before: int) -> int:
        model = self.model
        was = model.state(change.path, before)
        assert was is not None
        if change.moved_from is not None and model.file(change.moved_from, before):
            return model.file(change.moved_from, before)
        if was.kind is not FileKind.ABSENT or change.after.kind is FileKind.ABSENT:
            return model.file(change.path, before)
        return self._new_file()

    @initialize(path=st.sampled_from(PATHS), state=file_states(), origin=file_states())
    def start(self, path: RepoPath, state: FileState, origin: FileState) -> None:
        self.commit([FileChange(path, state, origin=origin)])

    @rule(
        after=st.dictionaries(st.sampled_from(PATHS), states, min_size=1, max_size=3),
        origin=st.one_of(st.none(), states),
        agent=st.sampled_from(AGENTS),
        write_through=st.booleans(),
        edited=st.lists(st.tuples(st.integers(1, 45), st.none() | texts, st.none() | texts), max_size=3),
    )
    def commit_some_paths(
        self,
        after: dict[RepoPath, FileState],
        origin: FileState | None,
        agent: AgentId,
        write_through: bool,
        edited: list[tuple[int, bytes | None, bytes | None]],
    ) -> None:
        edits = tuple(
            NodeEdit(path, "edit", "func", f"{path}::f", NodeUid(uid), before, now)
            for path in list(after)[:1]
            for uid, before, now in edited
        )
        self.commit(
            [
                FileChange(
                    path, state, origin=origin, edits=edits if not place else (), write_through=write_through
                )
                for place, (path, state) in enumerate(after.items())
            ],
            agent,
        )

    @rule(source=st.sampled_from(PATHS), goal=st.sampled_from(PATHS), backwards=st.booleans())
    def rename(self, source: RepoPath, goal: RepoPath, backwards: bool) -> None:
        state = self.model.state(source, self.head)
        if source == goal or state is None or state.kind is FileKind.ABSENT:
            return
        changes = [FileChange(source, ABSENT), FileChange(goal, state, moved_from=source)]
        self.commit(changes[::-1] if backwards else changes)

    @rule(path=st.sampled_from(PATHS), new=st.sampled_from(PATHS), state=file_states())
    def fail_to_commit(self, path: RepoPath, new: RepoPath, state: FileState) -> None:
        lying = FileState(FileKind.FILE, 0, state.nodes, b"", hash_of(b"something else"), state.size_bytes)
        changes = dict.fromkeys([new, path], state) | {path: lying}
        draft = CommitDraft(
            AGENTS[0], 1, "", 0, tuple(FileChange(one, after) for one, after in changes.items())
        )
        if state.size_bytes > LARGE_BYTES:
            return  # not kept, so nobody can tell
        with pytest.raises(AssertionError, match="J4"):
            self.store.commit(draft)

    @precondition(lambda self: self.model.owed)
    @rule(data=st.data())
    def finish_effects(self, data: st.DataObject) -> None:
        done = data.draw(st.sets(st.sampled_from([effect.effect for effect in self.model.owed])))
        self.store.effects_done(done)
        self.model.owed = [effect for effect in self.model.owed if effect.effect not in done]

    @rule(path=st.sampled_from(PATHS), file_id=st.none() | st.integers(0, 2**32 - 1))
    def set_inode_exception(self, path: RepoPath, file_id: int | None) -> None:
        self.store.set_inode_exception(path, file_id)
        self.exceptions.pop(path, None)
        if file_id is not None:
            self.exceptions[path] = file_id

    @rule()
    def reopen(self) -> None:
        self.store.close()
        assert os.listdir(self.directory) == ["store.db"]
        self.store = SqliteStore.open(self.directory, large_bytes=LARGE_BYTES)

    @rule()
    def maintain(self) -> None:
        self.store._log.maintain(worth_bytes=1)

    # -- comparing

    @invariant()
    def the_numbers_agree(self) -> None:
        assert self.store.head == self.head
        assert self.store.next_node_uid() == self.model.highest_node + 1
        assert self.store.pending_effects() == self.model.owed
        assert self.store.inode_exceptions() == self.exceptions

    @rule(path=st.sampled_from(PATHS), data=st.data())
    def read_a_path(self, path: RepoPath, data: st.DataObject) -> None:
        at = data.draw(st.none() | st.integers(0, self.head + 1))
        self.compare(path, at)

    @rule()
    def read_every_path(self) -> None:
        for path in PATHS:
            self.compare(path, None)

    def compare(self, path: RepoPath, at: int | None) -> None:
        seq = None if at is None else Seq(at)
        expected = self.model.state(path, self.head if at is None else at)
        found = self.store.revision(path, seq)
        assert (found is None) == (expected is None), "J2"
        if found is None or expected is None:
            return
        kept = expected.kind is not FileKind.FILE or expected.size_bytes <= LARGE_BYTES
        assert (found.path, found.kind, found.mode) == (path, expected.kind, expected.mode)
        assert (found.content_hash, found.size_bytes) == (expected.content_hash, expected.size_bytes)
        assert (found.target, found.kept) == (expected.target, kept)
        assert found.file == FileUid(self.model.file(path, self.head if at is None else at))
        if kept:
            assert self.store.nodes(path, seq) == expected.nodes, "J4"
            if expected.kind is FileKind.FILE:
                content = b"".join(node.text for node in expected.nodes)
                assert self.store.text_by_hash(expected.content_hash) == content

    @rule(folder=st.sampled_from(FOLDERS), data=st.data())
    def list_a_folder(self, folder: str, data: st.DataObject) -> None:
        at = data.draw(st.none() | st.integers(0, self.head))
        prefix = f"{folder}/" if folder else ""
        seq = None if at is None else Seq(at)
        expected = {
            path.removeprefix(prefix): self.store.revision(path, seq)
            for path in self.model.history
            if path.startswith(prefix) and "/" not in path.removeprefix(prefix)
        }
        assert self.store.children(RepoPath(folder), seq) == expected
        below = [self.store.revision(path) for path in sorted(self.model.history) if path.startswith(prefix)]
        assert list(self.store.below(RepoPath(folder))) == below

    @rule(uid=st.integers(1, 45), data=st.data())
    def ask_for_older_texts(self, uid: int, data: st.DataObject) -> None:
        since = data.draw(st.integers(0, self.head))
        assert list(self.store.older_texts(NodeUid(uid), Seq(since))) == self.model.older(uid, since)

    @rule(
        agent=st.none() | st.sampled_from(AGENTS),
        path=st.none() | st.sampled_from([*PATHS, *map(RepoPath, FOLDERS)]),
        before=st.none() | st.integers(0, 20),
        limit=st.integers(0, 8),
    )
    def read_the_log(
        self, agent: AgentId | None, path: RepoPath | None, before: int | None, limit: int
    ) -> None:
        expected = [
            commit
            for commit in reversed(self.model.commits)
            if (agent is None or commit.agent == agent)
            and (not path or any(one == path or one.startswith(f"{path}/") for one in commit.paths))
            and (before is None or commit.seq < before)
        ][:limit]
        query = LogQuery(limit, None if before is None else Seq(before), agent, path)
        assert list(self.store.log(query)) == expected

    @rule(data=st.data())
    def show_a_commit(self, data: st.DataObject) -> None:
        seq = data.draw(st.integers(1, self.head))
        whole = self.store.detail(Seq(seq))
        assert whole is not None
        assert whole.commit == self.model.commits[seq - 1]
        assert [revision.path for revision in whole.files] == list(whole.commit.paths)
        kept = [edit for of, edit in self.model.edits if of == seq]
        assert list(whole.edits) == kept


StoreMachine.TestCase.settings = settings(stateful_step_count=30)
TestAnyHistory = StoreMachine.TestCase
