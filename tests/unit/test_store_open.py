"""Opening: what is made new, what climbs, what is refused and left alone. M1, M2 of migrations.py, C1, C2."""

import re
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlite_utils import Database

from makfs.errors import StoreError
from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.connection import FILE_NAME, open_database
from makfs.store.migrations import APPLICATION_ID, MIGRATIONS, Migration, newest_version, version_of
from makfs.store.model import FileKind, LogQuery
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import ALICE, LARGE_BYTES

OLD_STORES = sorted((Path(__file__).parent.parent / "data").glob("store-v*.sql"))


def old_store(dump: Path, directory: Path) -> Path:
    """Make the database a dump describes."""
    file = directory / FILE_NAME
    with sqlite3.connect(file) as connection:
        connection.executescript(dump.read_text("utf-8"))
    connection.close()
    return file


_PLAIN = re.compile(r" ?([,()]) ?")  # ALTER TABLE has a layout of its own


def schema(file: Path) -> dict[str, str]:
    """Return every table's and index's definition, without comments and layout."""
    with sqlite3.connect(file) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    connection.close()
    return {name: _PLAIN.sub(r"\1", " ".join(_without_comments(sql))) for name, sql in rows}


def _without_comments(sql: str) -> Sequence[str]:
    return " ".join(line.partition("--")[0] for line in sql.splitlines()).split()


def open_store(directory: Path) -> SqliteStore:
    return SqliteStore.open(directory, large_bytes=LARGE_BYTES)


def add_colour(database: Database) -> None:
    database.table("meta").add_column("colour", str)


def paint(database: Database) -> None:
    database.execute("UPDATE meta SET colour = 'blue'")


def fail(database: Database) -> None:
    add_colour(database)
    raise StoreError("the step gave up")


def test_a_new_store_says_what_it_is(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    raw = (tmp_path / FILE_NAME).read_bytes()
    assert raw.startswith(b"SQLite format 3\0")
    assert int.from_bytes(raw[68:72], "big") == APPLICATION_ID
    assert int.from_bytes(raw[60:64], "big") == newest_version()


def test_opening_touches_nothing_but_its_own_files(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("kept")
    store = open_store(tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} - {"log"} <= {
        "store.db",
        "store.db-wal",
        "store.db-shm",
    }
    store.close()
    assert (tmp_path / "log").read_text() == "kept"


def test_the_numbers_of_the_migrations_are_2_3_4_and_so_on() -> None:
    assert [step.number for step in MIGRATIONS] == [*range(2, 2 + len(MIGRATIONS))]


def test_there_is_an_old_store_for_every_version() -> None:
    expected = [f"store-v{number}.sql" for number in range(1, newest_version() + 1)]
    assert [dump.name for dump in OLD_STORES] == expected


@pytest.mark.parametrize("dump", OLD_STORES, ids=lambda dump: dump.stem)
def test_a_store_of_every_version_opens_and_has_todays_schema_and_all_it_had(
    tmp_path: Path, dump: Path
) -> None:
    (tmp_path / "new").mkdir()
    open_store(tmp_path / "new").close()
    file = old_store(dump, tmp_path)
    store = open_store(tmp_path)
    assert schema(file) == schema(tmp_path / "new" / FILE_NAME), "M1"
    assert store.check() == []
    assert [commit.note for commit in store.log(LogQuery())] == ["rename", "second", "first"]
    assert b"".join(node.text for node in store.nodes(RepoPath("pkg/a.py"), Seq(0))) == b"x = 1\ny = 1\n"
    assert [*store.children(RepoPath("pkg"))] == ["a.py", "b.py", "caf\udce9"]
    assert store.revision(RepoPath("pkg/a.py"), Seq(3)) != store.revision(RepoPath("pkg/a.py"), Seq(2))
    assert store.older_texts(NodeUid(2), Seq(0)) == (b"y = 1\n",)
    assert [effect.path for effect in store.pending_effects()] == ["pkg/a.py", "pkg/b.py"]
    whole = store.refusal(1)
    assert whole is not None
    assert whole.mine == b"x = 3\n"
    assert store.view_number(AgentId("bob")) == 2
    assert store.inode_exceptions() == {"pkg/a.py": 7}
    locks = store.lock_rows()
    held = ["pkg/a.py::f", "pkg/caf\udce9"]
    assert [row["address"] for row in locks.grants] == ([] if dump is OLD_STORES[0] else held)
    assert (locks.fence, locks.ticket) == ((0, 0) if dump is OLD_STORES[0] else (2, 3))
    assert [mark.name for mark in store.marks()] == (["release-1"] if dump in OLD_STORES[2:] else [])
    has_task = dump in OLD_STORES[6:]
    assert [commit.task for commit in store.log(LogQuery())] == ["", "mend the tests" if has_task else "", ""]
    assert len(store.log(LogQuery(task="mend the tests"))) == has_task
    assert store.get_meta("task:bob") == ("mend the tests" if has_task else None)
    store.close()


def test_an_older_store_climbs_step_by_step_and_a_new_one_starts_at_the_top(tmp_path: Path) -> None:
    colour = (Migration(2, "meta has a colour", add_colour), Migration(3, "it is blue", paint))
    newest = newest_version() + 1
    steps = (*colour, *(Migration(number, "it stays blue", paint) for number in range(4, newest + 1)))
    old_store(OLD_STORES[0], tmp_path)
    database = open_database(tmp_path, steps)
    assert version_of(database) == newest
    assert {row["colour"] for row in database.table("meta").rows} == {"blue"}
    database.close()
    with pytest.raises(
        StoreError, match=f"version {newest}, and this makfs knows only versions up to {newest - 1}"
    ):
        open_store(tmp_path)
    (tmp_path / "new").mkdir()
    database = open_database(tmp_path / "new", steps)
    assert version_of(database) == newest
    database.close()


def test_a_step_that_fails_leaves_the_store_at_the_version_before_it(tmp_path: Path) -> None:
    steps = (Migration(2, "gives up", fail),)
    file = old_store(OLD_STORES[0], tmp_path)
    before = schema(file)
    with pytest.raises(StoreError, match=r"store\.db: the step gave up"):
        open_database(tmp_path, steps)
    assert schema(file) == before, "M2"
    store = open_store(tmp_path)
    assert store.head == 3
    store.close()


def garbage(file: Path) -> None:
    file.write_bytes(b"These are not the bytes of a database. " * 200)


def newer(file: Path) -> None:
    open_store(file.parent).close()
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA user_version = {newest_version() + 1}")
    connection.close()


def foreign(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()


def cut(file: Path) -> None:
    open_store(file.parent).close()
    file.write_bytes(file.read_bytes()[:6000])


def scribbled(file: Path) -> None:
    open_store(file.parent).close()
    raw = bytearray(file.read_bytes())
    raw[100:4096] = b"\xa5" * 3996  # the first page: the schema itself
    file.write_bytes(raw)


def directory(file: Path) -> None:
    file.mkdir()


@pytest.mark.parametrize("spoil", [garbage, newer, foreign, cut, scribbled, directory])
def test_what_cannot_be_opened_is_named_with_a_way_out_and_left_as_it_is(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    file = tmp_path / FILE_NAME
    spoil(file)
    before = file.read_bytes() if file.is_file() else b""
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path)
    assert str(caught.value).startswith(f"{file}: ")
    assert "makfs fsck" in str(caught.value)
    assert (file.read_bytes() if file.is_file() else b"") == before
    assert [entry.name for entry in tmp_path.iterdir()] == [FILE_NAME], "nothing is left beside it"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no directory"):
        open_store(tmp_path / "missing")
    assert [*tmp_path.iterdir()] == []


def test_an_empty_file_left_by_a_crash_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).touch()
    store = open_store(tmp_path)
    assert store.head == 0
    store.close()


def test_damage_met_while_reading_is_named_too(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    file = tmp_path / FILE_NAME
    with sqlite3.connect(file) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'view'").fetchone()
    connection.close()
    raw = bytearray(file.read_bytes())
    raw[4096 * (page - 1) : 4096 * page] = b"\xa5" * 4096
    file.write_bytes(raw)
    store = open_store(tmp_path)
    with pytest.raises(StoreError, match=r"store\.db: the store is damaged .* `makfs fsck`"):
        store.view_number(ALICE)
    assert any(problem.invariant == "SQLITE" for problem in store.check())
    store.close()


def test_an_old_store_says_where_a_renamed_file_stood(tmp_path: Path) -> None:
    old_store(OLD_STORES[0], tmp_path)
    store = open_store(tmp_path)
    whole = store.detail(Seq(3))
    assert whole is not None
    assert whole.moved == {"pkg/b.py": "pkg/a.py"}
    assert [revision.kind for revision in whole.files] == [FileKind.ABSENT, FileKind.FILE]
    store.close()
