"""Marks, the log's filters, and history read beside commits: J7, R1, R2."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.errors import NotKept, StoreError
from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import CommitDraft, LogQuery, Mark, Stretch
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import ABSENT, ALICE, BOB, LARGE_BYTES, change, draft, edit, file_state

HOSTILE = RepoPath("d\udcff/a\x1b[31m\nb::c.py")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    yield opened
    opened.close()


def put(store: SqliteStore, path: str, *texts: bytes, agent: AgentId = ALICE, **more: object) -> Seq:
    made, _ = store.commit(draft(change(path, file_state(texts), **more), agent=agent))  # type: ignore[arg-type]
    return made.seq


def move(store: SqliteStore, old: str, new: str, *texts: bytes) -> Seq:
    moved = change(new, file_state(texts), moved_from=old)
    return store.commit(draft(change(old, ABSENT), moved))[0].seq


def at(time_ns: int, path: str, number: int, program: str = "vim") -> CommitDraft:
    return CommitDraft(ALICE, time_ns, program, 1, (change(path, file_state([b"%d\n" % number])),))


def seqs(store: SqliteStore, query: LogQuery) -> list[int]:
    return [commit.seq for commit in store.log(query)]


def test_marks_are_there_after_the_store_was_opened_again(store: SqliteStore, tmp_path: Path) -> None:
    put(store, "a", b"1\n")
    store.set_mark(Mark("v1", Seq(1), 7))
    store.set_mark(Mark("begin", Seq(0), 8))
    store.set_mark(Mark("gone", Seq(1), 9))
    store.delete_mark("gone")
    store.delete_mark("never there")
    store.close()
    again = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    assert [*again.marks()] == [Mark("begin", Seq(0), 8), Mark("v1", Seq(1), 7)]
    assert again.mark("v1") == Mark("v1", Seq(1), 7)
    assert [again.mark(name) for name in ("gone", "caf\xe9", "\udcff", "a\0b", "")] == [None] * 5
    assert again.check() == []
    again.close()


def test_a_mark_of_a_commit_that_is_not_there_is_found(store: SqliteStore) -> None:
    with pytest.raises(AssertionError, match="J7"):
        store.set_mark(Mark("v1", Seq(1), 7))
    store.close()
    with sqlite3.connect(store.file) as connection:
        connection.execute("INSERT INTO mark VALUES ('v1', 9, 7)")
    connection.close()
    again = SqliteStore.open(store.file.parent, large_bytes=LARGE_BYTES)
    assert [(each.invariant, each.where) for each in again.check()] == [("J7", "mark v1")]
    again.close()


def test_log_finds_commits_by_time_though_the_clock_was_set_back(store: SqliteStore) -> None:
    for number, time_ns in enumerate((100, 200, 150, 300, 150), 1):
        store.commit(at(time_ns, "a", number))
    assert seqs(store, LogQuery(since_ns=150, until_ns=200)) == [2, 5, 3]
    assert seqs(store, LogQuery(since_ns=150, limit=2)) == [4, 2]
    assert seqs(store, LogQuery(since_ns=150, before=Seq(2))) == [5, 3], "older in the order of time"
    assert seqs(store, LogQuery(since_ns=150, before=Seq(5))) == [3]
    assert seqs(store, LogQuery(until_ns=100)) == [1]
    assert seqs(store, LogQuery(since_ns=301)) == []
    assert seqs(store, LogQuery(before=Seq(99), until_ns=150)) == [5, 3, 1]


def test_log_filters_hold_together(store: SqliteStore) -> None:
    for number in range(1, 13):
        agent = ALICE if number % 2 else BOB
        program = "sed\udcff" if number % 3 == 0 else "vim"
        path = HOSTILE if number % 4 == 0 else f"d/f{number % 4}"
        changed = change(path, file_state([b"%d\n" % number]))
        store.commit(CommitDraft(agent, number, program, 1, (changed,)))
    assert seqs(store, LogQuery(program="sed\udcff")) == [12, 9, 6, 3]
    assert seqs(store, LogQuery(program="sed\udcff", agent=BOB)) == [12, 6]
    assert seqs(store, LogQuery(program="sed\udcff", since_ns=4, until_ns=9)) == [9, 6]
    assert seqs(store, LogQuery(path=HOSTILE)) == [12, 8, 4]
    assert seqs(store, LogQuery(path=RepoPath("d\udcff"), agent=BOB, before=Seq(12))) == [8, 4]
    assert seqs(store, LogQuery(path=RepoPath("d"), program="sed\udcff")) == [9, 6, 3]
    assert seqs(store, LogQuery(path=RepoPath("d"), since_ns=6, limit=2)) == [11, 10]
    assert seqs(store, LogQuery(program="nothing")) == seqs(store, LogQuery(path=RepoPath("x"))) == []


def test_reader_sees_one_moment_and_commits_go_on_beside_it(store: SqliteStore) -> None:
    put(store, "a", b"1\n")
    with store.reader() as reader:
        put(store, "a", b"2\n")
        put(store, "b", b"3\n")
        assert reader.head == 1, "R1"
        assert [commit.seq for commit in reader.log(LogQuery())] == [1]
        assert reader.revision(RepoPath("b"), Seq(9)) is None
        assert b"".join(node.text for node in reader.nodes(RepoPath("a"), Seq(9))) == b"1\n"
    with store.reader() as reader:
        assert reader.head == 3
        assert reader.changed(Seq(1), Seq(3)) == ["a", "b"]
        assert reader.changed(Seq(0), Seq(1)) == ["a"]


def test_reader_cannot_write_and_knows_what_is_missing(store: SqliteStore) -> None:
    put(store, "a", b"1\n")
    with store.reader() as reader:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader._connection.execute("DELETE FROM journal")
        for ask in (reader.commit, reader.detail):
            with pytest.raises(StoreError, match="does not know commit 7"):
                ask(Seq(7))


def test_stretches_follow_a_file_backwards_through_its_renames(store: SqliteStore) -> None:
    put(store, "a", b"1\n")
    move(store, "a", "b", b"1\n")
    put(store, "a", b"another\n")
    put(store, "b", b"2\n")
    move(store, "b", "c", b"2\n")
    put(store, "b", b"third\n")
    with store.reader() as reader:
        assert [*reader.stretches(RepoPath("c"), Seq(6))] == [
            Stretch(RepoPath("c"), Seq(5), Seq(6), RepoPath("b")),
            Stretch(RepoPath("b"), Seq(2), Seq(4), RepoPath("a")),
            Stretch(RepoPath("a"), Seq(0), Seq(1)),
        ]
        assert reader.went_to(RepoPath("b"), Seq(5)) == "c"
        assert reader.went_to(RepoPath("b"), Seq(6)) is None
        (own,) = reader.stretches(RepoPath("a"), Seq(6))
        assert reader.created(own) == 3
        assert [*reader.seqs(Stretch(RepoPath("b"), Seq(2), Seq(4)))] == [4, 2]


def test_created_is_the_commit_that_made_the_file_last(store: SqliteStore) -> None:
    put(store, "new", b"1\n")
    put(store, "old", b"2\n", origin=file_state([b"1\n"]))
    store.commit(draft(change("new", ABSENT)))
    put(store, "new", b"again\n")
    put(store, "new", b"again 2\n")
    with store.reader() as reader:
        assert reader.created(Stretch(RepoPath("new"), Seq(0), Seq(5))) == 4
        assert reader.created(Stretch(RepoPath("new"), Seq(0), Seq(2))) == 1
        assert reader.created(Stretch(RepoPath("old"), Seq(0), Seq(5))) is None


def test_edits_of_a_node_are_told_newest_first_with_their_texts(store: SqliteStore) -> None:
    for number in range(1, 4):
        made = edit("a", 7, b"%d\n" % (number - 1), b"%d\n" % number)
        store.commit(draft(change("a", file_state([b"%d\n" % number], [7]), edits=(made,))))
    put(store, "b", b"other\n")
    with store.reader() as reader:
        told = [(seq, each.before, each.after) for seq, each in reader.edits_of(NodeUid(7), Seq(9))]
        assert told == [(3, b"2\n", b"3\n"), (2, b"1\n", b"2\n"), (1, b"0\n", b"1\n")]
        assert [seq for seq, _ in reader.edits_of(NodeUid(7), Seq(3))] == [2, 1]
        assert reader.last_edit(NodeUid(7), Seq(2)) == 2
        assert reader.last_edit(NodeUid(8), Seq(9)) is None
        assert [each[:2] for each in reader.edits_in(Stretch(RepoPath("a"), Seq(0), Seq(2)))] == [
            (2, 7),
            (1, 7),
        ]


def test_what_was_too_large_to_keep_says_so(store: SqliteStore) -> None:
    big = file_state([b"x" * (LARGE_BYTES + 1)])
    store.commit(draft(change("big", big)))
    with store.reader() as reader:
        with pytest.raises(NotKept, match="too large to keep"):
            reader.nodes(RepoPath("big"), Seq(1))
        lists = [*reader.node_lists(Stretch(RepoPath("big"), Seq(0), Seq(1)))]
        assert [(each.seq, each.kept) for each in lists] == [(0, False), (1, False)]
