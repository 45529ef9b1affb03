"""Look-ups walk indexes, not tables. Asserted on the plans SQLite makes for a store of 100,000 revisions."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import Self

import pytest

from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.locks.rows import grant_row, waiter_rows
from makfs.store import history
from makfs.store.model import LogQuery, Stretch
from makfs.store.reader import SqliteReader
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import LARGE_BYTES, change, draft, file_state, held, waiting

FOLDERS, FILES, COMMITS = 100, 20, 50
REVISIONS = FOLDERS * FILES * COMMITS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqliteStore]:
    """Make a store of 2,000 files with 50 revisions each, the bulk of it behind the store's back."""
    directory = tmp_path_factory.mktemp("large")
    store = SqliteStore.open(directory, large_bytes=LARGE_BYTES)
    paths = [f"d{folder}/sub/f{file}" for folder in range(FOLDERS) for file in range(FILES)]
    store.commit(draft(*(change(path, file_state([b"x\n"])) for path in paths)))
    store.close()
    connection = sqlite3.connect(store.file)
    connection.executescript(f"""
        CREATE TEMP TABLE n AS
            WITH RECURSIVE c(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM c LIMIT {REVISIONS})
            SELECT i FROM c WHERE i > {FOLDERS * FILES};
        INSERT INTO journal SELECT i, 'agent' || (i % 8), i, 'vim', 1, '', 1, i, {FOLDERS * FILES},
                CASE i % 8 WHEN 1 THEN 'mend' ELSE '' END FROM n;
        INSERT INTO revision SELECT 1 + i % {FOLDERS * FILES}, i, 0, 1, 1, 420, randomblob(16), 2, x'',
            x'0102010201', NULL, 0 FROM n;
        INSERT INTO edit SELECT i, 0, 1 + i % {FOLDERS * FILES}, 1 + i % 5000, 'edit', 'func', 'a::b', '',
            1, 1 FROM n;
        INSERT INTO effect SELECT i, i, 1 + i % {FOLDERS * FILES}, x'' FROM n WHERE i > {REVISIONS - 10};
    """)
    connection.close()
    store = SqliteStore.open(directory, large_bytes=LARGE_BYTES)
    yield store
    store.close()


class Recorder:
    """Notes every statement a store runs, with its values filled in, and asks for its plan."""

    def __init__(self, store: SqliteStore | SqliteReader) -> None:
        self._connection = store._connection
        self.statements: list[str] = []

    def __enter__(self) -> Self:
        self._connection.set_trace_callback(self.statements.append)
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.set_trace_callback(None)

    def scans(self) -> list[str]:
        """Return the steps that read a whole table."""
        steps = self.steps("SELECT", "INSERT", "UPDATE", "DELETE")
        return [step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]

    def steps(self, *words: str) -> list[str]:
        """Return every step of the plans of statements that start with these words."""
        asked = [statement for statement in self.statements if statement.startswith(words)]
        assert asked, "the call under test asked the database something"
        return [
            detail
            for statement in asked
            for *_, detail in self._connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]


def finish_effects_and_write(store: SqliteStore) -> None:
    store.effects_done([REVISIONS - 1])
    grant, waiter = grant_row(held("a.py::f")), waiter_rows(waiting("a.py::f"))
    store.keep_locks(fence=1, ticket=1, grants=[grant], waiters=waiter)
    store.write_lazies()
    store.keep_locks(fence=1, ticket=1, gone=[("alice", "a.py::f")], left=[1])
    store.set_meta("k", "v")


PATH = RepoPath("d7/sub/f3")
LOOKUPS: dict[str, Callable[[SqliteStore], object]] = {
    "revision at a seq": lambda store: store.revision(PATH, Seq(50_000)),
    "revision, newest": lambda store: store.revision(RepoPath("d9/sub/f1")),
    "revision, unknown": lambda store: store.revision(RepoPath("nowhere")),
    "nodes": lambda store: store.nodes(PATH, Seq(50_000)),
    "text by hash": lambda store: store.text_by_hash(b"0123456789abcdef"),
    "children": lambda store: store.children(RepoPath("d7/sub"), Seq(50_000)),
    "below": lambda store: store.below(RepoPath("d7")),
    "below, not utf-8": lambda store: store.below(RepoPath("d\udcff")),
    "older texts": lambda store: store.older_texts(NodeUid(77), Seq(10)),
    "log of an agent": lambda store: store.log(LogQuery(agent=AgentId("agent3"), limit=5)),
    "log before": lambda store: store.log(LogQuery(before=Seq(500), limit=5)),
    "log of a program": lambda store: store.log(LogQuery(program="vim", before=Seq(500), limit=5)),
    "log of a task": lambda store: store.log(LogQuery(task="mend", before=Seq(500), limit=5)),
    "log of a time": lambda store: store.log(LogQuery(since_ns=500, until_ns=700, limit=5)),
    "log of a time, of an agent": lambda store: store.log(
        LogQuery(since_ns=500, until_ns=700, agent=AgentId("agent3"), limit=5)
    ),
    "log of a file": lambda store: store.log(LogQuery(path=PATH, limit=5)),
    "log of a small folder": lambda store: store.log(LogQuery(path=RepoPath("d7"), limit=5)),
    "mark": lambda store: store.mark("v1"),
    "time": lambda store: store.time_ns(Seq(60_000)),
    "detail": lambda store: store.detail(Seq(60_000)),
    "refusals": lambda store: store.refusals(AgentId("agent3")),
    "refusal": lambda store: store.refusal(3),
    "view number": lambda store: store.view_number(AgentId("agent3")),
    "commit": lambda store: store.commit(
        draft(change(PATH, file_state([b"y\n"])), change("new", file_state([])))
    ),
    "lazies": finish_effects_and_write,
}


READS: dict[str, Callable[[SqliteReader], object]] = {
    "log of an agent": lambda reader: reader.log(LogQuery(agent=AgentId("agent3"), limit=5)),
    "commit": lambda reader: reader.commit(Seq(60_000)),
    "revision": lambda reader: reader.revision(PATH, Seq(50_000)),
    "nodes": lambda reader: reader.nodes(PATH, Seq(50_000)),
    "changed": lambda reader: reader.changed(Seq(60_000), Seq(60_010)),
    "stretches": lambda reader: reader.stretches(PATH, Seq(60_000)),
    "node lists": lambda reader: [*reader.node_lists(Stretch(PATH, Seq(0), Seq(60_000)))],
    "seqs": lambda reader: [*reader.seqs(Stretch(PATH, Seq(0), Seq(60_000)))],
    "texts": lambda reader: reader.texts([1, 7]),
    "last edit": lambda reader: reader.last_edit(NodeUid(77), Seq(60_000)),
    "edits of a node": lambda reader: [*reader.edits_of(NodeUid(77), Seq(60_000))],
    "edits in a file": lambda reader: [*reader.edits_in(Stretch(PATH, Seq(0), Seq(60_000)))],
}


@pytest.mark.parametrize("read", READS)
def test_no_reading_of_history_reads_a_whole_table(store: SqliteStore, read: str) -> None:
    with store.reader() as reader:
        with Recorder(reader) as recorder:
            READS[read](reader)
        assert recorder.scans() == [], "R2"


@pytest.mark.parametrize(
    "query",
    [
        LogQuery(limit=5),
        LogQuery(limit=5, agent=AgentId("agent3")),
        LogQuery(limit=5, program="vim"),
        LogQuery(limit=5, task="mend"),
        LogQuery(limit=5, since_ns=7),
        LogQuery(limit=5, since_ns=7, agent=AgentId("agent3")),
    ],
)
def test_the_log_is_read_in_its_order_and_not_sorted(store: SqliteStore, query: LogQuery) -> None:
    with Recorder(store) as recorder:
        assert len(store.log(query)) == 5
    assert not [step for step in recorder.steps("SELECT j.seq") if "TEMP B-TREE" in step]


def test_the_log_of_a_task_reads_that_tasks_commits(store: SqliteStore) -> None:
    with Recorder(store) as recorder:
        assert {commit.task for commit in store.log(LogQuery(limit=5, task="mend"))} == {"mend"}
    assert any("journal_by_task" in step for step in recorder.steps("SELECT j.seq"))


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_no_lookup_reads_a_whole_table(store: SqliteStore, lookup: str) -> None:
    with Recorder(store) as recorder:
        LOOKUPS[lookup](store)
    assert recorder.scans() == []


def test_the_log_of_a_folder_reads_only_that_folders_revisions(store: SqliteStore) -> None:
    with Recorder(store) as recorder:
        commits = store.log(LogQuery(path=RepoPath("d7"), limit=3))
    assert [commit.paths[0].partition("/")[0] for commit in commits] == ["d7"] * 3
    assert recorder.scans() == []


def test_the_whole_log_walks_the_journal_from_its_end(store: SqliteStore) -> None:
    with Recorder(store) as recorder:
        store.log(LogQuery(limit=5))
    assert not any("TEMP B-TREE" in step for step in recorder.scans()), "nothing is sorted"


def test_the_log_of_a_large_folder_looks_through_the_newest_commits_first(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [commit.seq for commit in store.log(LogQuery(path=RepoPath("d7"), limit=200))]
    assert len(expected) == 200
    monkeypatch.setattr(history, "_FEW_PATHS", 3)
    with Recorder(store) as recorder:
        assert [commit.seq for commit in store.log(LogQuery(path=RepoPath("d7"), limit=200))] == expected
    assert recorder.scans() == []
    older = LogQuery(path=RepoPath("d7"), limit=5, before=Seq(expected[3]))
    assert [commit.seq for commit in store.log(older)] == expected[4:9]


def test_a_scan_would_be_noticed(store: SqliteStore) -> None:
    with Recorder(store) as recorder:
        store._connection.execute("SELECT count(*) FROM revision WHERE size_bytes = 17")
    assert recorder.scans() != []


def statements_of_a_one_node_edit(store: SqliteStore, nodes: int) -> list[str]:
    """Return what a commit asks of the database when one node of many has a new text."""
    path, texts = RepoPath(f"edited/{nodes}"), [b"x = %d\n" % number for number in range(nodes)]
    store.commit(draft(change(path, file_state(texts))))
    texts[nodes // 2] = b"x = 'new %d'\n" % nodes
    with Recorder(store) as recorder:
        store.commit(draft(change(path, file_state(texts))))
    return [statement.partition("(")[0].partition(" WHERE")[0] for statement in recorder.statements]


def test_a_one_node_edit_asks_the_same_of_a_small_file_as_of_a_large_one(store: SqliteStore) -> None:
    small, large = (statements_of_a_one_node_edit(store, nodes) for nodes in (2, 800))
    assert small == large
    assert len(large) < 10


def test_an_effect_that_is_done_is_deleted_once(store: SqliteStore) -> None:
    _, effects = store.commit(draft(change("owed", file_state([b"1"]))))
    store.effects_done(effect.effect for effect in effects)
    with Recorder(store) as recorder:
        store.set_meta("k", "1")
        store.set_meta("k", "2")
    assert sum(statement.startswith("DELETE FROM effect") for statement in recorder.statements) == 1
