"""Bad input: a clear sentence and nothing lost. Places and stores end to end through `makfs mount`."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mount.hands import Hand, eventually
from tests.mount.mounted import PACKAGES, Mounted, listing

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]
MANY = 20_000


def makfs(*arguments: str | Path) -> tuple[int, str]:
    """Run the command line; return its exit code and what it told people."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", *arguments],
        env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True, text=True, errors="surrogateescape",
    )  # fmt: skip
    return done.returncode, done.stderr


def is_refused(told: str, repo: Path | str, place: Path | str, *more: str) -> None:
    code, said = makfs("mount", repo, place, *more)
    assert code != 0
    assert told in said, said
    assert said.count("\n") <= 2, said
    assert "Traceback" not in said
    assert not os.path.ismount(place)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "place"
    where.mkdir()
    yield where
    if os.path.ismount(where):
        makfs("umount", "--force", where)


# ---- places


def test_mountpoint_that_cannot_serve_is_refused(tmp_repo: Path, tmp_path: Path, place: Path) -> None:
    is_refused("is not there, and neither is", tmp_repo, tmp_path / "absent" / "too")
    (tmp_path / "file").write_bytes(b"")
    is_refused("not a directory", tmp_repo, tmp_path / "file")
    (place / "something").write_bytes(b"")
    is_refused("not empty: it has something", tmp_repo, place)
    is_refused("both the repository and the mountpoint", tmp_repo, tmp_repo)
    (tmp_repo / "in").mkdir()
    is_refused("inside the repository", tmp_repo, tmp_repo / "in")
    assert not (tmp_repo / ".makfs").exists(), "a check that fails has changed nothing"


def test_repository_that_cannot_be_served_is_refused(tmp_repo: Path, tmp_path: Path, place: Path) -> None:
    is_refused("is not there", tmp_path / "absent", place)
    (tmp_path / "file").write_bytes(b"")
    is_refused("not a directory", tmp_path / "file", place)
    inside = place / "repo"
    inside.mkdir()
    is_refused("is inside the mountpoint", inside, place)


def test_second_mount_is_refused_naming_who_serves(tmp_repo: Path, tmp_path: Path, place: Path) -> None:
    assert makfs("mount", tmp_repo, place, "--agent", "alice") == (0, "")
    second = tmp_path / "second"
    second.mkdir()
    is_refused("is already served by makfsd, pid ", tmp_repo, second)
    other = tmp_path / "other"
    other.mkdir()
    code, said = makfs("mount", other, place)
    assert code != 0
    assert "already a mount" in said
    code, said = makfs("mount", place / "alice", second)
    assert code != 0
    assert "inside the makfs mount" in said
    assert (place / "alice/README.md").read_bytes() == b"# app\n"


def test_stale_mount_of_a_killed_daemon_is_recovered_saying_so(mounted: Mounted) -> None:
    import signal

    (mounted.alice / "README.md").write_bytes(b"# new\n")
    mounted.stop(signal.SIGKILL)
    with pytest.raises(OSError, match=r"."):
        os.listdir(mounted.mountpoint)
    code, said = makfs("mount", mounted.repo, mounted.mountpoint, "--agent", "alice")
    assert code == 0, said
    assert "dead mount of a killed makfsd" in said
    assert "did not end in order" in said
    assert (mounted.alice / "README.md").read_bytes() == b"# new\n"
    assert makfs("umount", mounted.mountpoint)[0] == 0


@pytest.mark.parametrize("name", ["a/b", "../x", ".hid", "@x", "", "a b", "x" * 65, "external", "-"])
def test_bad_agent_name_is_refused_and_nothing_mounted(tmp_repo: Path, place: Path, name: str) -> None:
    if name == "-":
        assert makfs("mount", tmp_repo, place, "--agent=-")[0] == 0
        assert (place / "-").is_dir()
    else:
        is_refused("cannot name an agent", tmp_repo, place, f"--agent={name}")


# ---- stores


def test_damaged_or_newer_store_is_refused_and_the_tree_untouched(mounted: Mounted, place: Path) -> None:
    (mounted.alice / "README.md").write_bytes(b"# new\n")
    mounted.stop()
    store = mounted.repo / ".makfs" / "store.db"
    good = store.read_bytes()
    before = listing(mounted.repo / "app")
    for damage in (
        b"not a database\n" * 400,
        good[:100] + b"\xff" * 4000 + good[4100:],
        b"SQLite format 3\0",
    ):
        for rest in store.parent.glob("store.db-*"):
            rest.unlink()
        store.write_bytes(damage)
        is_refused("store.db", mounted.repo, place)
        assert "fsck" in makfs("mount", mounted.repo, place)[1]
        assert store.read_bytes() == damage
        assert listing(mounted.repo / "app") == before
        assert (mounted.repo / "README.md").read_bytes() == b"# new\n"
    store.write_bytes(good)
    with sqlite3.connect(store) as database:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        database.execute(f"PRAGMA user_version = {version + 1000}")
    database.close()
    is_refused("store.db", mounted.repo, place)
    assert "newer" in makfs("mount", mounted.repo, place)[1]
    with sqlite3.connect(store) as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    assert makfs("mount", mounted.repo, place, "--agent", "alice")[0] == 0
    assert (place / "alice/README.md").read_bytes() == b"# new\n"
    (mounted.repo / ".makfs/makfsd.log").unlink()  # it told of every damage, which was the point


# ---- names and trees


NAMES = [
    b"caf\xe9.py", b"\xff\xfe", b"new\nline.py", b"tab\t", b"quote'\"", b"-dash", b" ", b"a" * 255,
    b"\xf0\x9f\x90\x8d.py", b"back\\slash", b"%s", b"*",
]  # fmt: skip


def test_strange_names_are_served_edited_moved_and_journaled(mounted: Mounted) -> None:
    repo, alice, bob = (os.fsencode(top) for top in (mounted.repo, mounted.alice, mounted.bob))
    for number, name in enumerate(NAMES):
        with open(os.path.join(alice, name), "wb") as file:
            file.write(b"X = 1\n")
        with open(os.path.join(bob, name), "ab") as file:
            file.write(b"Y = %d\n" % number)
    for number, name in enumerate(NAMES):
        with open(os.path.join(repo, name), "rb") as file:
            assert file.read() == b"X = 1\nY = %d\n" % number
    assert set(NAMES) <= set(os.listdir(bob))
    os.mkdir(os.path.join(alice, b"d\xe9"))
    for name in NAMES:
        os.rename(os.path.join(alice, name), os.path.join(alice, b"d\xe9", name))
    os.symlink(b"\xe9", os.path.join(alice, b"l\xff"))
    mounted.remount()
    assert set(os.listdir(os.path.join(bob, b"d\xe9"))) == set(NAMES)
    assert os.readlink(os.path.join(bob, b"l\xff")) == b"\xe9"
    mounted.makfs("log")
    mounted.makfs("status")
    mounted.stop()
    assert mounted.findings() == []


def test_name_that_is_too_long_is_refused(mounted: Mounted) -> None:
    with pytest.raises(OSError, match="too long"):
        (mounted.alice / ("a" * 256)).write_bytes(b"")
    assert not (mounted.alice / ("b" * 255)).exists()


def test_deep_tree_is_served_edited_and_moved(mounted: Mounted, hand: Hands) -> None:
    """Nearly as deep as a path may be long."""
    depth, name = 60, "d" * 60
    worker = hand()
    worker.do("chdir", mounted.alice)
    for _ in range(depth):
        worker.do("mkdir", name)
        worker.do("chdir", name)
    worker.write(Path("x.py"), b"X = 1\n")
    assert worker.read(Path("x.py")) == b"X = 1\n"
    reader = hand()
    reader.do("chdir", mounted.bob)
    for _ in range(depth):
        reader.do("chdir", name)
    assert reader.read(Path("x.py")) == b"X = 1\n"
    worker.do("chdir", mounted.alice)
    worker.do("rename", name, "moved")
    for each in (worker, reader):
        each.do("chdir", "/")


def test_twenty_thousand_files_in_one_folder(mounted: Mounted) -> None:
    folder = mounted.repo / "many"
    folder.mkdir()
    for number in range(MANY):
        (folder / f"f{number:05}.py").touch()
    seen = mounted.alice / "many"
    eventually(lambda: len(os.listdir(seen)) == MANY)
    assert sum(entry.stat().st_size for entry in os.scandir(seen)) == 0
    (seen / "f00007.py").write_bytes(b"X = 1\n")
    assert (mounted.bob / "many/f00007.py").read_bytes() == b"X = 1\n"
    (mounted.bob / "many/new.py").write_bytes(b"Y = 1\n")
    assert len(os.listdir(seen)) == MANY + 1
    os.rename(seen, mounted.alice / "moved")
    assert len(os.listdir(mounted.bob / "moved")) == MANY + 1
    assert not (mounted.bob / "many").exists()


# ---- files that change under our feet


def test_file_that_vanishes_or_changes_its_type_while_it_is_open(mounted: Mounted, hand: Hands) -> None:
    worker = hand()
    for name in ("a.py", "b.py", "c.py"):
        worker.write(mounted.alice / name, b"X = 1\n")
    opened = {
        name: worker.open(mounted.alice / name, os.O_WRONLY | os.O_TRUNC) for name in ("a.py", "b.py", "c.py")
    }
    for fd in opened.values():
        worker.do("write", fd, b"X = 2\n")
    (mounted.repo / "a.py").unlink()
    (mounted.repo / "b.py").unlink()
    (mounted.repo / "b.py").mkdir()
    (mounted.repo / "c.py").unlink()
    os.symlink("README.md", mounted.repo / "c.py")
    for name, fd in opened.items():
        with pytest.raises(OSError, match="busy"):
            worker.do("close", fd)
        assert name in mounted.makfs("refusals", "--json")
    assert not (mounted.repo / "a.py").exists()
    assert (mounted.repo / "b.py").is_dir()
    assert os.readlink(mounted.repo / "c.py") == "README.md"
    eventually((mounted.bob / "b.py").is_dir)
    eventually((mounted.bob / "c.py").is_symlink)
    eventually(lambda: not (mounted.bob / "a.py").exists())
    (mounted.bob / "a.py").write_bytes(b"X = 3\n")
    assert (mounted.repo / "a.py").read_bytes() == b"X = 3\n"
