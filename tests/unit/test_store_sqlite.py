"""What SqliteStore answers, method by method."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.errors import BadName, NotKept, StoreError
from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import FileChange, FileKind, FileState, FileUid, LogQuery, NodeEdit, hash_of
from makfs.store.protocol import Store
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import (
    ABSENT,
    ALICE,
    BOB,
    FOLDER,
    LARGE_BYTES,
    change,
    draft,
    edit,
    file_state,
    refusal,
    symlink,
)

A, B = RepoPath("pkg/a.py"), RepoPath("pkg/b.py")
ONE, TWO, THREE = (file_state([b"x = 1\n", text]) for text in (b"y = 1\n", b"y = 2\n", b"y = 3\n"))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    yield opened
    assert opened.check() == [], "every test leaves a store that passes its own check"
    opened.close()


def reopen(store: SqliteStore) -> SqliteStore:
    store.close()
    return SqliteStore.open(store.file.parent, large_bytes=LARGE_BYTES)


def content(store: SqliteStore, path: RepoPath, at: int | None = None) -> bytes:
    return b"".join(node.text for node in store.nodes(path, None if at is None else Seq(at)))


def kind_at(store: SqliteStore, path: RepoPath, at: int) -> FileKind:
    revision = store.revision(path, Seq(at))
    assert revision is not None
    return revision.kind


def file_of(store: SqliteStore, path: RepoPath) -> FileUid:
    revision = store.revision(path)
    assert revision is not None
    return revision.file


def test_the_store_is_what_the_rooms_above_ask_for(store: SqliteStore) -> None:
    promised: Store = store
    assert promised.head == 0


def test_commits_are_numbered_from_one_without_gaps(store: SqliteStore) -> None:
    seqs = [store.commit(draft(change(A, state)))[0].seq for state in (ONE, TWO, THREE)]
    assert seqs == [1, 2, 3]
    assert store.head == 3


def test_a_path_nobody_committed_is_unknown(store: SqliteStore) -> None:
    assert store.revision(A) is None
    assert store.nodes(A) == ()
    assert store.children(RepoPath("pkg")) == {}


def test_the_first_commit_of_a_path_records_what_was_there_before(store: SqliteStore) -> None:
    store.commit(draft(change(A, TWO, origin=ONE)))
    assert content(store, A, 0) == b"x = 1\ny = 1\n"
    assert content(store, A, 1) == b"x = 1\ny = 2\n"


def test_a_path_first_committed_without_an_origin_was_absent_before(store: SqliteStore) -> None:
    store.commit(draft(change(A, ONE)))
    assert kind_at(store, A, 0) is FileKind.ABSENT


def test_an_origin_given_for_a_recorded_path_is_ignored(store: SqliteStore) -> None:
    store.commit(draft(change(A, ONE)))
    store.commit(draft(change(A, TWO, origin=THREE)))
    assert kind_at(store, A, 0) is FileKind.ABSENT


def test_a_file_can_be_read_as_of_every_commit(store: SqliteStore) -> None:
    for state in (ONE, TWO, THREE):
        store.commit(draft(change(A, state, origin=FOLDER)))
        store.commit(draft(change(B, state)))
    assert [content(store, A, at)[-2:] for at in (1, 2, 3, 4, 5, 6)] == [b"1\n"] * 2 + [b"2\n"] * 2 + [
        b"3\n"
    ] * 2
    assert content(store, A) == content(store, A, 99)


@pytest.mark.parametrize("state", [ONE, symlink(b"../\xff"), FOLDER, ABSENT, file_state([])])
def test_whatever_stands_at_a_path_comes_back_as_it_was(store: SqliteStore, state: FileState) -> None:
    store.commit(draft(change(A, state)))
    for opened in (store, again := SqliteStore.open(store.file.parent, large_bytes=LARGE_BYTES)):
        found = opened.revision(A)
        assert found is not None
        assert (found.path, found.seq, found.kept) == (A, 1, True)
        assert (found.kind, found.mode, found.target) == (state.kind, state.mode, state.target)
        assert (found.content_hash, found.size_bytes) == (state.content_hash, state.size_bytes)
        assert opened.nodes(A) == state.nodes
    again.close()


def test_a_content_is_found_by_its_hash_as_long_as_some_revision_had_it(store: SqliteStore) -> None:
    store.commit(draft(change(A, TWO, origin=ONE)))
    assert store.text_by_hash(ONE.content_hash) == b"x = 1\ny = 1\n"
    assert store.text_by_hash(TWO.content_hash) == b"x = 1\ny = 2\n"
    assert store.text_by_hash(hash_of(b"never")) is None
    assert store.text_by_hash(b"") is None


def test_a_file_over_the_limit_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, large_bytes=10)
    large = file_state([b"0123456789", b"abc"])
    store.commit(draft(change(A, large, edits=(edit(A, 1, b"0123456789", b"0123456789A"),))))
    found = store.revision(A)
    assert found is not None
    assert (found.kept, found.content_hash, found.size_bytes) == (False, large.content_hash, 13)
    with pytest.raises(NotKept):
        store.nodes(A)
    assert store.text_by_hash(large.content_hash) is None
    whole = store.detail(Seq(1))
    assert whole is not None
    assert [(e.before, e.after) for e in whole.edits] == [(b"0123456789", None)]
    assert store.check() == []
    store.close()


def test_a_file_whose_nodes_the_engine_did_not_bring_is_known_by_its_hash_alone(store: SqliteStore) -> None:
    store.commit(draft(change(A, FileState(FileKind.FILE, 0o644, (), b"", hash_of(b"x"), 1, kept=False))))
    with pytest.raises(NotKept):
        store.nodes(A)


def test_children_are_the_entries_of_one_folder_absent_ones_included(store: SqliteStore) -> None:
    store.commit(draft(change("pkg", FOLDER), change(A, ONE), change(B, TWO), change("pkg/sub/c.py", ONE)))
    store.commit(draft(change(A, ABSENT)))
    assert {name: revision.kind for name, revision in store.children(RepoPath("pkg")).items()} == {
        "a.py": FileKind.ABSENT,
        "b.py": FileKind.FILE,
    }
    assert store.children(RepoPath("pkg"), Seq(1))["a.py"].kind is FileKind.FILE
    assert store.children(RepoPath("pkg"), Seq(0))["a.py"].kind is FileKind.ABSENT
    assert [*store.children(RepoPath(""))] == ["pkg"]
    assert store.children(RepoPath(""))["pkg"].path == "pkg"


def test_below_finds_every_depth_and_nothing_beside(store: SqliteStore) -> None:
    inside = ["d/a", "d/e/a", "d/e/f/\udcff/a", "d/e\udcff/b", "d/%"]
    beside = ["d", "d0", "d-x/a", "dd/a", "e/d/a", "D/a"]
    store.commit(draft(*(change(path, ONE) for path in inside + beside)))
    assert [revision.path for revision in store.below(RepoPath("d"))] == sorted(inside)
    assert [revision.path for revision in store.below(RepoPath(""))] == sorted(inside + beside)
    assert [revision.path for revision in store.below(RepoPath("d/e\udcff"))] == ["d/e\udcff/b"]


def test_the_root_itself_is_a_path_but_nobodys_child(store: SqliteStore) -> None:
    store.commit(draft(change("", FOLDER)))
    assert store.revision(RepoPath("")) is not None
    assert store.children(RepoPath("")) == {}
    assert store.below(RepoPath("")) == []


HOSTILE = [
    "new\nline", "per%cent", "under_score", "quo'te\"", "back\\slash", " ", "-", "..x", "caf\udce9",
    "\udcff\udcfe", "é", "e\u0301", "\u2028", "A", "a", "x" * 255, "\U0001f600", "#", "?mode=ro", "İ", "ß",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_found_by_itself_alone(store: SqliteStore, name: str) -> None:
    others = [other for other in HOSTILE if other != name]
    store.commit(draft(*(change(f"{other}/{other}", ONE) for other in others)))
    path = RepoPath(f"{name}/{name}")
    assert store.revision(path) is None
    store.commit(draft(change(path, TWO, edits=(edit(path, 1, None, b"x", name=name),)), program=name))
    store = reopen(store)
    assert content(store, path) == b"x = 1\ny = 2\n"
    assert [*store.children(RepoPath(name))] == [name]
    assert [revision.path for revision in store.below(RepoPath(name))] == [path]
    (commit,) = store.log(LogQuery(path=RepoPath(name)))
    assert (commit.paths, commit.addresses, commit.program) == ((path,), (f"{path}::{name}",), name)
    assert [effect.path for effect in store.pending_effects()][-1] == path
    store.close()


def test_a_very_long_path_is_as_good_as_any(store: SqliteStore) -> None:
    path = RepoPath("/".join(["d" * 255] * 15) + "/f")
    store.commit(draft(change(path, ONE)))
    assert store.below(RepoPath("d" * 255))[0].path == path


def test_a_path_no_file_can_have_is_refused_and_the_store_goes_on(store: SqliteStore) -> None:
    with pytest.raises(BadName):
        store.commit(draft(change(A, ONE), change("a\0b", ONE)))
    with pytest.raises(BadName):
        store.set_inode_exception(RepoPath("a\0b"), 1)
    assert store.revision(A) is None
    assert store.commit(draft(change(A, ONE)))[0].seq == 1


# -- identity


def test_a_file_keeps_its_uid_through_edits_and_gets_a_new_one_after_deletion(store: SqliteStore) -> None:
    store.commit(draft(change(A, ONE)))
    first = file_of(store, A)
    store.commit(draft(change(A, TWO)))
    assert file_of(store, A) == first
    store.commit(draft(change(A, ABSENT)))
    assert file_of(store, A) == first, "a deletion says which file it deleted"
    store.commit(draft(change(A, ONE)))
    assert file_of(store, A) > first


def test_a_renamed_file_takes_its_uid_along_whatever_the_order_of_the_changes(store: SqliteStore) -> None:
    leaving, coming = change(A, ABSENT, origin=ONE), change(B, ONE, moved_from=A)
    store.commit(draft(coming, leaving))
    first = file_of(store, B)
    assert first == file_of(store, A) > 0
    assert kind_at(store, A, 1) is FileKind.ABSENT
    store.commit(draft(change(B, ABSENT), change(A, ONE, moved_from=B)))
    assert file_of(store, A) == first


def test_a_file_renamed_over_another_never_recorded_leaves_both_their_uids_apart(store: SqliteStore) -> None:
    store.commit(draft(change(A, ABSENT, origin=ONE), change(B, ONE, origin=TWO, moved_from=A)))
    before, after = store.revision(B, Seq(0)), store.revision(B)
    assert before is not None
    assert after is not None
    assert 0 < before.file != after.file == file_of(store, A)


def test_two_files_that_change_places_take_their_uids_along(store: SqliteStore) -> None:
    store.commit(draft(change(A, ONE), change(B, TWO)))
    first, second = file_of(store, A), file_of(store, B)
    store.commit(draft(change(A, TWO, moved_from=B), change(B, ONE, moved_from=A)))
    assert (file_of(store, A), file_of(store, B)) == (second, first)


def test_a_uid_given_by_the_caller_is_kept_and_never_given_to_another_file(store: SqliteStore) -> None:
    store.commit(draft(FileChange(A, ONE, file=FileUid(40))))
    store.commit(draft(change(B, ONE)))
    assert (file_of(store, A), file_of(store, B)) == (40, 41)


def test_a_uid_given_for_a_moved_file_is_not_that_of_the_file_it_replaced(store: SqliteStore) -> None:
    moved = FileChange(B, ONE, file=FileUid(40), origin=TWO, moved_from=A)
    store.commit(draft(change(A, ABSENT, origin=ONE), moved))
    replaced = store.revision(B, Seq(0))
    assert replaced is not None
    assert replaced.file not in (0, 40)
    assert file_of(store, B) == 40


def test_uids_are_never_used_twice_also_after_reopening(store: SqliteStore) -> None:
    store.commit(draft(change(A, file_state([b"x"], [7]), edits=(edit(A, 9, b"gone", None, op="delete"),))))
    assert store.next_node_uid() == 10
    first = file_of(store, A)
    store = reopen(store)
    assert store.next_node_uid() == 10
    store.commit(draft(change(B, ONE)))
    assert file_of(store, B) == first + 1
    store.close()


# -- effects


def test_each_change_owes_the_backing_directory_one_effect_that_knows_what_was_there(
    store: SqliteStore,
) -> None:
    _, effects = store.commit(draft(change(A, TWO, origin=ONE), change(B, ONE)))
    assert [(e.path, e.seq, e.before_hash) for e in effects] == [(A, 1, ONE.content_hash), (B, 1, b"")]
    _, (later,) = store.commit(draft(change(A, THREE)))
    assert later.before_hash == TWO.content_hash
    assert store.pending_effects() == [*effects, later]


def test_an_edit_that_came_from_the_backing_directory_owes_it_nothing(store: SqliteStore) -> None:
    _, effects = store.commit(draft(change(A, ONE, write_through=False), agent=BOB))
    assert effects == ()
    assert store.pending_effects() == []


def test_an_effect_done_is_never_pending_again(store: SqliteStore) -> None:
    _, (first,) = store.commit(draft(change(A, ONE)))
    store.effects_done([first.effect])
    assert store.pending_effects() == []
    _, (second,) = store.commit(draft(change(A, TWO)))
    assert second.effect != first.effect
    assert store.pending_effects() == [second]
    store.effects_done([second.effect, second.effect, 12345])
    store = reopen(store)
    assert store.pending_effects() == [], "close() writes what is lazy"
    store.close()


# -- history


def test_a_commit_is_logged_as_it_was_answered(store: SqliteStore) -> None:
    store.commit(draft(change(A, TWO)))
    edits = tuple(edit(A, uid, b"old", b"%d" % uid, name=f"f{uid}") for uid in range(1, 61))
    answered, _ = store.commit(
        draft(change(B, TWO), change(A, ONE, edits=edits), note="n", program="p\udcff")
    )
    assert answered.paths == (B, A)
    assert (answered.nodes_changed, len(answered.addresses)) == (60, 50)
    assert store.log(LogQuery(limit=1)) == [answered]
    whole = store.detail(answered.seq)
    assert whole is not None
    assert tuple(revision.path for revision in whole.files) == (B, A)


def test_the_log_is_newest_first_and_filters_by_agent_path_and_place(store: SqliteStore) -> None:
    plan = [(A, ALICE), (B, BOB), (RepoPath("other"), ALICE), (A, BOB), (RepoPath("pkg2/x"), BOB)]
    for path, agent in plan:
        store.commit(draft(change(path, ONE), agent=agent))

    def seqs(query: LogQuery) -> list[int]:
        return [commit.seq for commit in store.log(query)]

    assert seqs(LogQuery()) == [5, 4, 3, 2, 1]
    assert seqs(LogQuery(limit=2)) == [5, 4]
    assert seqs(LogQuery(before=Seq(3))) == [2, 1]
    assert seqs(LogQuery(agent=ALICE)) == [3, 1]
    assert seqs(LogQuery(path=A)) == [4, 1]
    assert seqs(LogQuery(path=RepoPath("pkg"))) == [4, 2, 1]
    assert seqs(LogQuery(path=RepoPath(""))) == [5, 4, 3, 2, 1]
    assert seqs(LogQuery(path=RepoPath("pkg"), agent=BOB, before=Seq(4), limit=1)) == [2]
    assert seqs(LogQuery(path=RepoPath("nowhere"))) == []


def test_show_has_the_files_the_edits_the_moves_and_the_merges(store: SqliteStore) -> None:
    store.commit(draft(change(A, ONE)))
    move = NodeEdit(B, "move", "func", "pkg/b.py::f", NodeUid(2), b"y = 1\n", b"y = 1\n", "pkg/a.py::f")
    added = edit(B, 3, None, b"z\n", op="add", name="z")
    gone = edit(B, 1, b"x = 1\n", None, op="delete", name="x")
    edits = (move, added, gone)
    after = file_state([b"y = 1\n", b"z\n"], [2, 3])
    store.commit(draft(change(A, ABSENT), change(B, after, moved_from=A, edits=edits, merged=True)))
    whole = store.detail(Seq(2))
    assert whole is not None
    assert whole.commit == store.log(LogQuery(limit=1))[0]
    assert whole.files == (store.revision(A), store.revision(B))
    assert whole.edits == edits
    assert whole.moved == {B: A}
    assert whole.merged == {B}
    assert store.detail(Seq(3)) is None
    assert store.detail(Seq(0)) is None


def test_older_texts_are_those_a_node_had_since_then_but_has_no_more(store: SqliteStore) -> None:
    def go(before: bytes | None, after: bytes | None) -> None:
        store.commit(draft(change(A, file_state([after or b"-"], [5]), edits=(edit(A, 5, before, after),))))

    go(b"v0", b"v1")
    store.commit(draft(change(B, ONE)))
    go(b"v1", b"v2")
    go(b"v2", b"v1")
    go(b"v1", b"v4")
    uid = NodeUid(5)
    assert store.older_texts(uid, Seq(0)) == (b"v0", b"v1", b"v2")
    assert store.older_texts(uid, Seq(1)) == (b"v1", b"v2")
    assert store.older_texts(uid, Seq(2)) == (b"v1", b"v2")
    assert store.older_texts(uid, Seq(3)) == (b"v2", b"v1")
    assert store.older_texts(uid, Seq(4)) == (b"v1",)
    assert store.older_texts(uid, Seq(5)) == ()
    assert store.older_texts(NodeUid(6), Seq(0)) == ()
    go(b"v4", None)
    assert store.older_texts(uid, Seq(4)) == (b"v1", b"v4"), "a deleted node has only older texts"


# -- refusals and small things


def test_a_refused_write_is_kept_whole_and_listed_without_its_bytes(store: SqliteStore) -> None:
    mine = os.urandom(3000) * 2
    assert store.refuse(refusal(A, mine=mine, base=None)) == 1
    assert store.refuse(refusal("caf\udce9", agent=BOB, base=b"b")) == 2
    store = reopen(store)
    listed = store.refusals()
    assert [(r.number, r.agent, r.mine, r.base) for r in listed] == [
        (2, BOB, b"", None),
        (1, ALICE, b"", None),
    ]
    assert [r.number for r in store.refusals(ALICE)] == [1]
    assert [r.number for r in store.refusals(limit=1)] == [2]
    whole = store.refusal(1)
    assert whole is not None
    assert (whole.mine, whole.base, whole.addresses) == (mine, None, ("pkg/a.py::f",))
    other = store.refusal(2)
    assert other is not None
    assert (other.path, other.base, other.reason) == ("caf\udce9", b"b", "Bob holds it.")
    assert other.addresses == ("caf\udce9::f",)
    assert store.refusal(3) is None
    store.close()


def test_an_agents_view_keeps_its_number_for_ever(store: SqliteStore) -> None:
    assert [store.view_number(agent) for agent in (BOB, ALICE, BOB)] == [1, 2, 1]
    store = reopen(store)
    assert [store.view_number(agent) for agent in (AgentId("carol"), BOB, ALICE)] == [3, 1, 2]
    store.close()


def test_a_setting_is_kept_and_replaced(store: SqliteStore) -> None:
    assert store.get_meta("k") is None
    store.set_meta("k", "1")
    store.set_meta("k", "two \udcff")
    store = reopen(store)
    assert store.get_meta("k") == "two \udcff"
    store.close()


def test_inode_exceptions_are_seen_at_once_and_outlive_the_store(store: SqliteStore) -> None:
    other = RepoPath("caf\udce9")
    store.set_inode_exception(A, 0xFFFFFFFF)
    store.set_inode_exception(other, 2)
    assert store.inode_exceptions() == {A: 0xFFFFFFFF, other: 2}
    store.commit(draft(change(A, ONE)))
    store.set_inode_exception(A, None)
    assert store.inode_exceptions() == {other: 2}
    store = reopen(store)
    assert store.inode_exceptions() == {other: 2}
    store.close()


def test_counts_say_how_much_there_is(store: SqliteStore) -> None:
    store.commit(draft(change(A, TWO, origin=ONE)))
    store.refuse(refusal(A))
    counts = dict(store.counts())
    assert counts.pop("size_bytes") > 4096
    assert counts == {"commits": 1, "revisions": 2, "texts": 3, "refusals": 1}


def test_equal_texts_are_kept_once(store: SqliteStore) -> None:
    store.commit(
        draft(change(A, file_state([b"same\n", b"same\n", b"other\n"])), change(B, file_state([b"same\n"])))
    )
    assert store.counts()["texts"] == 2
    assert content(store, A) == b"same\nsame\nother\n"


# -- failing and ending


def test_a_commit_that_fails_leaves_no_trace(store: SqliteStore) -> None:
    store.commit(draft(change(A, ONE)))
    store.set_inode_exception(A, 5)
    before = (
        store.head,
        store.next_node_uid(),
        dict(store.counts()),
        store.revision(A),
        store.pending_effects(),
    )
    lying = FileState(FileKind.FILE, 0o644, file_state([b"x"], [99]).nodes, b"", hash_of(b"y"), 1)
    with pytest.raises(AssertionError, match="J4"):
        store.commit(draft(change("new.py", TWO, origin=THREE), change(A, lying)))
    after = (
        store.head,
        store.next_node_uid(),
        dict(store.counts()),
        store.revision(A),
        store.pending_effects(),
    )
    assert after == before
    assert store.inode_exceptions() == {A: 5}
    assert store.commit(draft(change("new.py", TWO, origin=THREE)))[0].seq == 2
    assert content(store, RepoPath("new.py"), 0) == b"x = 1\ny = 3\n"


def test_a_commit_may_not_name_a_path_twice(store: SqliteStore) -> None:
    with pytest.raises(AssertionError, match="J2"):
        store.commit(draft(change(A, ONE), change(A, TWO)))
    assert store.commit(draft(change(A, ONE)))[0].seq == 1


def test_the_store_may_be_used_from_another_thread(store: SqliteStore) -> None:
    worker = threading.Thread(target=lambda: store.commit(draft(change(A, ONE))))
    worker.start()
    worker.join()
    assert content(store, A) == b"x = 1\ny = 1\n"


def test_closing_empties_the_log_into_the_database(tmp_path: Path) -> None:
    store = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    store.commit(draft(change(A, ONE)))
    store.close()
    store.close()
    assert [entry.name for entry in tmp_path.iterdir()] == ["store.db"]
    with pytest.raises(StoreError, match="cannot be used"):
        store.revision(B)
