"""`check` finds every kind of damage. Each test plants one kind, behind the store's back."""

import sqlite3
import zlib
from pathlib import Path

import pytest

from makfs.ids import RepoPath
from makfs.store.checking import check_file
from makfs.store.connection import FILE_NAME
from makfs.store.model import hash_of
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import ABSENT, BOB, LARGE_BYTES, change, draft, edit, file_state, refusal

A, B = RepoPath("pkg/a.py"), RepoPath("pkg/b.py")
ONE, TWO = file_state([b"x = 1\n", b"y = 1\n"]), file_state([b"x = 1\n", b"y = 2\n"])
LONG = file_state([b"def f(a, b):\n    return a + b\n" * 60], [3])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Make a healthy store of four commits."""
    store = SqliteStore.open(tmp_path, large_bytes=LARGE_BYTES)
    change_of_y = edit(A, 2, b"y = 1\n", b"y = 2\n", name="y")
    store.commit(draft(change(A, TWO, origin=ONE, edits=(change_of_y,))))
    store.commit(draft(change("pkg/long.py", LONG), change("pkg/caf\udce9", ONE), agent=BOB))
    store.commit(draft(change(A, ABSENT), change(B, TWO, moved_from=A)))
    store.commit(draft(change(B, ONE)))
    store.refuse(refusal(A))
    store.close()
    assert check_file(tmp_path / FILE_NAME) == []
    return tmp_path / FILE_NAME


def plant(file: Path, *statements: str, arguments: tuple[object, ...] = ()) -> None:
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA foreign_keys = OFF")
    for statement in statements:
        assert connection.execute(statement, arguments).rowcount != 0, f"{statement} changed nothing"
    connection.commit()
    connection.close()


def found(file: Path) -> list[str]:
    problems = check_file(file)
    for problem in problems:
        assert problem.sentence.endswith("."), "a sentence each"
        assert problem.where
    return [f"{problem.invariant} {problem.where}: {problem.sentence}" for problem in problems]


PATH_A = "(SELECT id FROM path WHERE name = 'a.py')"
PATH_B = "(SELECT id FROM path WHERE name = 'b.py')"

DAMAGE = {
    "J1 commit 3: Commits 2 to 2 are missing": ["DELETE FROM journal WHERE seq = 2"],
    "J1 commit 2: Some revision belongs to it": ["DELETE FROM journal WHERE seq = 2"],
    "J1 commit 1: Some edit belongs to it": ["DELETE FROM journal WHERE seq = 1"],
    "J1 commit 4: The commit is not whole": ["DELETE FROM revision WHERE seq = 4"],
    "J1 commit 2: The commit is not whole": ["DELETE FROM revision WHERE seq = 2 AND place = 0"],
    "J1 commit 1: The commit changed 1 nodes, but 0 are on record": ["DELETE FROM edit"],
    "J1 commit 4: The commit knows of fewer uids": ["UPDATE journal SET last_node = 1 WHERE seq = 4"],
    "J1 file 99: The journal does not know": ["UPDATE revision SET file = 99 WHERE seq = 4"],
    "J1 node 99: The journal does not know": ["UPDATE edit SET uid = 99"],
    "J1 pkg/a.py before the first commit: It has a node uid higher than any taken": [
        "UPDATE journal SET last_node = 1",
        "UPDATE edit SET uid = 1",
    ],
    "J2 path 1: The name b'a.py' is stored in a way": [
        "UPDATE path SET name = x'612e7079' WHERE name = 'a.py'"
    ],
    "J2 path 1: 'pkg/x/y' is not the path of an entry": ["UPDATE path SET name = 'x/y' WHERE name = 'a.py'"],
    "J2 path 1: 'pkg/' is not the path of an entry": ["UPDATE path SET name = '' WHERE name = 'a.py'"],
    "J3 pkg/b.py: What was there before": [f"DELETE FROM revision WHERE seq = 0 AND path = {PATH_B}"],
    "J3 pkg/a.py: An origin is on record": [f"DELETE FROM revision WHERE seq > 0 AND path = {PATH_A}"],
    "J4 text 2: The text is not the one": ["UPDATE text SET bytes = x'79203d20390a' WHERE id = 2"],
    "J4 pkg/b.py at 4: The file cannot be put together: text 2 is damaged": [
        "UPDATE text SET bytes = x'79203d20390a' WHERE id = 2"
    ],
    "J4 text 1: The text is not the one": ["UPDATE text SET size_bytes = 7 WHERE id = 1"],
    "J4 text 3: The text is not the one": ["UPDATE text SET hash = zeroblob(16) WHERE id = 3"],
    "J4 text 4: The text is damaged": ["UPDATE text SET bytes = zeroblob(9) WHERE id = 4"],
    "J4 pkg/a.py before the first commit: The file cannot be put together: text 2 is missing": [
        "DELETE FROM text WHERE id = 2"
    ],
    "J4 pkg/b.py at 4: The file cannot be put together: a node list": [
        "UPDATE revision SET nodes = x'80' WHERE seq = 4"
    ],
    "J4 pkg/b.py at 4: The file's nodes do not add up": [
        "UPDATE revision SET content_hash = zeroblob(16) WHERE seq = 4"
    ],
    "J4 pkg/b.py at 3: The file's nodes do not add up": [
        f"UPDATE revision SET size_bytes = 11 WHERE seq = 3 AND path = {PATH_B}"
    ],
    "J4 pkg/b.py at 4: The file's content has no hash": [
        "UPDATE revision SET content_hash = x'' WHERE seq = 4"
    ],
    "J4 pkg/a.py at 3: Something that is not a file has content": [
        f"UPDATE revision SET nodes = x'' WHERE seq = 3 AND path = {PATH_A}"
    ],
    "J5 effect 1: It is owed for commit 4, which did not change that path": [
        "UPDATE effect SET seq = 4 WHERE id = 1"
    ],
    "J5 effect 1: It is owed for commit 77": ["UPDATE effect SET seq = 77 WHERE id = 1"],
    "J5 effect 2: It is owed for commit 2": ["UPDATE effect SET path = 4711 WHERE id = 2"],
    "J5 effect 1: It expects another earlier content of pkg/a.py": [
        "UPDATE effect SET before_hash = x'' WHERE id = 1"
    ],
    "SQLITE refusal 1: The refused bytes are damaged": ["UPDATE refusal SET base = x'00'"],
    "SQLITE edit: It refers to a text": ["UPDATE edit SET after = 4711"],
    "SQLITE revision: It refers to a path": ["DELETE FROM path WHERE name = 'long.py'"],
    "J4 an unknown path at 2: The file's nodes do not add up": [
        "DELETE FROM path WHERE name = 'long.py'",
        "UPDATE revision SET size_bytes = 1 WHERE seq = 2",
    ],
}


@pytest.mark.parametrize("expected", DAMAGE)
def test_check_finds_planted_damage_and_says_where(file: Path, expected: str) -> None:
    plant(file, *DAMAGE[expected])
    sentences = found(file)
    assert any(sentence.startswith(expected) for sentence in sentences), sentences


def test_check_finds_two_nodes_with_one_uid(file: Path) -> None:
    store = SqliteStore.open(file.parent, large_bytes=LARGE_BYTES)
    store.commit(draft(change(B, file_state([b"x = 1\n", b"y = 1\n"], [2, 2]))))
    store.close()
    assert found(file) == ["J4 pkg/b.py at 5: Two nodes of the file have the same uid."]


def test_check_finds_an_index_that_lost_an_entry(file: Path) -> None:
    plant(
        file,
        "PRAGMA writable_schema = ON",
        "UPDATE sqlite_master SET sql = sql || ' AND 0' WHERE name = 'revision_by_hash'",
    )
    assert any(sentence.startswith("SQLITE database: SQLite finds: ") for sentence in found(file))


def test_check_reports_a_page_of_noise_and_still_checks_the_rest(file: Path) -> None:
    connection = sqlite3.connect(file)
    (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'edit'").fetchone()
    connection.execute("UPDATE effect SET seq = 77 WHERE id = 1")
    connection.commit()
    connection.close()
    raw = bytearray(file.read_bytes())
    raw[4096 * (page - 1) : 4096 * page] = b"\xa5" * 4096
    file.write_bytes(raw)
    sentences = found(file)
    assert any("could not read on" in sentence for sentence in sentences)
    assert any(sentence.startswith("J5 effect 1") for sentence in sentences)


def test_check_of_what_is_no_database_is_a_problem_not_an_error(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    assert [problem.invariant for problem in check_file(file)] == ["SQLITE"]
    assert not file.exists(), "checking makes nothing"
    file.write_bytes(b"not a database at all " * 100)
    assert [problem.invariant for problem in check_file(file)] == ["SQLITE"]


def test_check_runs_beside_commits_and_tells_how_far_it_is(file: Path) -> None:
    store = SqliteStore.open(file.parent, large_bytes=LARGE_BYTES)
    steps: list[tuple[str, int, int]] = []

    def busy(what: str, done: int, total: int) -> None:
        steps.append((what, done, total))
        store.commit(draft(change(A, TWO if len(steps) % 2 else ONE)))

    assert store.check(busy) == []
    assert {"checking the journal", "checking texts", "checking revisions"} < {what for what, _, _ in steps}
    assert store.head == 4 + len(steps)
    assert store.check() == []
    store.close()


def test_the_refused_bytes_are_really_what_the_check_reads(file: Path) -> None:
    plant(file, "UPDATE refusal SET mine = ?", arguments=(zlib.compress(b"fine"),))
    assert found(file) == []


def test_the_hash_is_blake2b_of_16_bytes() -> None:
    assert hash_of(b"").hex() == "cae66941d9efbd404e4d88758ea67670"
