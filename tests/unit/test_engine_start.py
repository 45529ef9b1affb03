"""Edits in the repository that views meet before they are looked at: X4 at the start, X5 later."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.ids import RepoPath
from makfs.store.model import FileKind, LogQuery
from tests.property.engine_kernel import Caches, Process
from tests.ticks import a_tick_later

OLD, NEW = b"def f():\n    return 1\n", b"def f():\n    return 2\n"


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    repo = tmp_path / "repo"
    (repo / "d/e").mkdir(parents=True)
    for name in ("read.py", "written.py", "gone.py", "d/read.py", "d/e/quiet.py"):
        (repo / name).write_bytes(OLD)
    return repo


def test_what_a_view_had_seen_before_it_was_watched_is_new_to_it(repo: Path) -> None:
    caches = Caches(repo, ("alice", "bob"))
    alice, bob = Process(caches, "alice", 0), Process(caches, "bob", 1)
    bob.write("written.py", b"def f():\n    return 3\n")
    for name in ("read.py", "written.py", "gone.py", "d/read.py", "d/e/quiet.py"):
        alice.read(name)
    for absent in ("d/made.py", "n", "top.txt"):
        with pytest.raises(FileNotFoundError):
            alice.stat(absent)

    a_tick_later(caches.core.started_ns)
    for name in ("read.py", "written.py", "d/read.py"):
        (repo / name).write_bytes(NEW)
    (repo / "gone.py").unlink()
    (repo / "d/made.py").write_bytes(NEW)
    (repo / "n").mkdir()
    (repo / "n/in.py").write_bytes(NEW)
    (repo / "top.txt").write_bytes(b"top\n")
    caches.watch()

    for name in ("read.py", "written.py", "d/read.py", "d/made.py", "n/in.py"):
        assert alice.read(name) == NEW, name
    assert alice.read("top.txt") == b"top\n"
    assert alice.read("d/e/quiet.py") == OLD
    with pytest.raises(FileNotFoundError):
        alice.stat("gone.py")
    log = caches.core.store.log(LogQuery(limit=50))
    by_external = {str(path) for commit in log if commit.agent == "external" for path in commit.paths}
    recorded = {"read.py", "written.py", "d/read.py", "d/made.py", "n/in.py", "top.txt"}
    assert by_external - {"n"} == recorded  # gone.py was in no commit: there is nothing to remove
    assert caches.findings() == []
    caches.close()


def test_what_views_do_before_anything_is_watched_is_nobody_elses(repo: Path) -> None:
    caches = Caches(repo, ("alice", "bob"))
    alice, bob = Process(caches, "alice", 0), Process(caches, "bob", 1)
    alice.write("d/read.py", NEW)
    alice.write("d/own.py", NEW)
    alice.mkdir("m")
    alice.unlink("gone.py")
    alice.write("d/e/draft.py~", b"draft\n")
    unfinished = bob.open("read.py", 1)
    unfinished.write(0, NEW)
    head = caches.core.store.head
    caches.watch()
    assert [commit for commit in caches.core.store.log(LogQuery(limit=9)) if commit.seq > head] == []
    assert alice.read("d/e/draft.py~") == b"draft\n"
    unfinished.close()
    assert alice.read("read.py") == NEW
    assert caches.core.store.revision(RepoPath("d/own.py")).kind is FileKind.FILE  # type: ignore[union-attr]
    assert caches.findings() == []
    caches.close()


@pytest.fixture
def watched(repo: Path) -> Iterator[Caches]:
    """Serve the repository, all folders watched; in the end store and tree must agree."""
    caches = Caches(repo, ("alice", "bob"))
    caches.watch()
    yield caches
    assert caches.findings() == []
    caches.close()


def commits_of(caches: Caches, path: str) -> list[str]:
    """Return who committed a path, newest first."""
    log = caches.core.store.log(LogQuery(limit=50))
    return [str(commit.agent) for commit in log if path in map(str, commit.paths)]


@pytest.mark.parametrize("way", ["made", "moved", "written over"])
def test_what_a_view_opens_before_its_event_is_taken_is_externals_all_the_same(
    repo: Path, watched: Caches, way: str
) -> None:
    alice, bob = Process(watched, "alice", 0), Process(watched, "bob", 1)
    name = "read.py" if way == "written over" else "new.py"
    if way == "moved":
        (repo.parent / "there.py").write_bytes(NEW)
        (repo.parent / "there.py").rename(repo / name)
    else:
        (repo / name).write_bytes(NEW)
    assert alice.read(name) == NEW
    held = bob.open(name)
    assert held.read() == NEW
    watched.watch()
    assert commits_of(watched, name) == ["external"], "X5"
    watched.watch()
    assert held.read() == NEW
    held.close()
    alice.write(name, NEW + b"\n\ndef g():\n    return 1\n", os.O_WRONLY | os.O_TRUNC)
    bob.write(name, b"import os\n\n\n" + NEW, os.O_WRONLY | os.O_TRUNC)
    both = b"import os\n\n\n" + NEW + b"\n\ndef g():\n    return 1\n"
    assert (repo / name).read_bytes() == both, "each edited the version that he had read"
    assert commits_of(watched, name) == ["bob", "alice", "external"]


def test_what_a_view_is_writing_when_the_event_is_taken_is_the_views(repo: Path, watched: Caches) -> None:
    alice = Process(watched, "alice", 0)
    (repo / "new.py").write_bytes(OLD)
    file = alice.open("new.py", os.O_RDWR)
    assert file.read() == OLD
    file.write(0, NEW)
    watched.watch()
    file.close()
    assert (repo / "new.py").read_bytes() == NEW
    assert commits_of(watched, "new.py") == ["alice"]


def test_what_was_only_touched_before_a_view_opened_it_is_nobodys_commit(repo: Path, watched: Caches) -> None:
    alice = Process(watched, "alice", 0)
    os.utime(repo / "d/e/quiet.py")
    alice.read("d/e/quiet.py")
    watched.watch()
    assert commits_of(watched, "d/e/quiet.py") == []


def test_what_comes_into_folders_that_nobody_has_looked_at_before_they_are_watched_is_imported(
    repo: Path,
) -> None:
    caches = Caches(repo, ("alice",))
    a_tick_later(caches.core.started_ns)
    (repo / "d/e/new.py").write_bytes(NEW)
    (repo / "m/n").mkdir(parents=True)
    (repo / "m/n/new.py").write_bytes(NEW)
    caches.watch()
    for name in ("d/e/new.py", "m/n/new.py"):
        assert commits_of(caches, name) == ["external"], f"X4: {name}"
    assert commits_of(caches, "d/e/quiet.py") == []
    assert caches.findings() == []
    caches.close()
