"""The journal replayed beside real daemons and without one: V1-V3, and the locks' decisions, D1."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from makfs.cli.exits import EXIT_FAILURE
from tests.mount.mounted import PACKAGES, Mounted

pytestmark = pytest.mark.mount


def makfs(mounted: Mounted, *arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", "-C", mounted.repo, *arguments],
        env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def everything(top: Path) -> dict[str, tuple[int, bytes | str]]:
    """Return every file, link and folder with its mode, but git's and ours."""
    found: dict[str, tuple[int, bytes | str]] = {}
    for folder, folders, files in os.walk(top):
        folders[:] = [each for each in folders if each not in (".git", ".makfs")]
        for name in [*folders, *files]:
            at = Path(folder, name)
            data: bytes | str = b""
            if at.is_symlink():
                data = os.readlink(at)
            elif at.is_file():
                data = at.read_bytes()
            found[str(at.relative_to(top))] = (at.lstat().st_mode, data)
    return found


def work(mounted: Mounted) -> None:
    """Do of everything something: edits, names, modes, links, folders, binary, large files, an undo."""
    alice, bob = mounted.alice, mounted.bob
    greet = (alice / "app" / "greet.py").read_text()
    (alice / "app" / "greet.py").write_text(greet.replace("hello {name}", "good day {name}"))
    mounted.makfs("agent", "task", "bob", "mend the tests")
    (bob / "app" / "new.py").write_text("def f():\n    return 1\n")
    (bob / "app" / "new.py").chmod(0o755)
    (alice / "docs").mkdir(mode=0o750)
    (alice / "docs" / "caf\udce9.txt").write_bytes(b"\xff\x00\xfe" * 100)
    os.symlink("../app/new.py", alice / "docs" / "link")
    (bob / "large").write_bytes(os.urandom(9 << 20))
    os.rename(alice / "docs", alice / "papers")
    (bob / "README.md").unlink()
    (mounted.repo / "app" / "new.py").write_text("def f():\n    return 2\n")
    assert "return 2" in (alice / "app" / "new.py").read_text()
    mounted.makfs("undo", "1")


def test_a_replay_is_the_repository_served_and_unserved(mounted: Mounted, tmp_path: Path) -> None:
    work(mounted)
    code, out, _ = makfs(mounted, "replay", "--verify", "--with-unrecorded", tmp_path / "served")
    assert code == 0, out
    assert everything(tmp_path / "served") == everything(mounted.repo)
    head = mounted.makfs("status")
    mounted.stop(signal.SIGKILL)
    subprocess.run(["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=False)
    code, out, _ = makfs(mounted, "replay", "--verify", "--with-unrecorded", tmp_path / "unserved")
    assert code == 0, out
    assert everything(tmp_path / "unserved") == everything(mounted.repo), head


def test_a_replay_of_the_past_is_the_past_tree(mounted: Mounted, tmp_path: Path) -> None:
    work(mounted)
    for seq in (0, 1, 3, 5):
        code, out, _ = makfs(mounted, "replay", "--to", str(seq), "--with-unrecorded", tmp_path / str(seq))
        assert code == 0, out
        past = {path: data for path, (_, data) in everything(mounted.mountpoint / f"@{seq}").items()}
        assert {path: data for path, (_, data) in everything(tmp_path / str(seq)).items()} == past


def test_a_replay_tells_what_the_journal_does_not_hold(mounted: Mounted, tmp_path: Path) -> None:
    work(mounted)
    code, out, _ = makfs(mounted, "replay", tmp_path / "bare")
    assert code == 0
    assert "large is too large for the journal" in out
    assert "2 files left out: no commit touched them" in out
    assert not (tmp_path / "bare" / ".gitignore").exists()


def test_a_replay_says_no_in_one_sentence(mounted: Mounted, tmp_path: Path) -> None:
    work(mounted)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    for arguments, sentence in (
        ([tmp_path / "full"], "is not empty"),
        ([mounted.repo / "inside"], "lies in the repository"),
        (["--to", "999", tmp_path / "far"], "There is no commit 999"),
        ([], "Name an empty directory"),
    ):
        code, _, err = makfs(mounted, "replay", *arguments)
        assert code != 0
        assert sentence in err
        assert err.count("\n") == 1
    assert not (mounted.repo / "inside").exists()


def test_a_changed_text_is_found_at_its_first_commit(mounted: Mounted) -> None:
    work(mounted)
    mounted.stop()
    with sqlite3.connect(mounted.repo / ".makfs" / "store.db") as store:
        store.execute("UPDATE text SET bytes = x'00' WHERE id = (SELECT after FROM edit WHERE seq = 1)")
    store.close()
    code, _, err = makfs(mounted, "replay", "--verify")
    assert code == EXIT_FAILURE
    assert err.startswith("app/greet.py at commit 1 ")


def test_what_the_locks_decided_is_decided_again(mounted: Mounted) -> None:
    for n in range(20):
        mounted.makfs("claim", "alice" if n % 2 else "bob", "--wait", "0", f"app/f{n}.py")
    makfs(mounted, "claim", "alice", "--wait", "0", "app/f0.py")  # bob's: refused
    mounted.makfs("release", "bob", "--all")
    code, out, err = makfs(mounted, "replay", "--locks")
    assert (code, err) == (0, "")
    assert "answered as before, in 1 mount" in out
    mounted.remount()
    mounted.makfs("release", "alice", "--all")
    mounted.stop()
    code, out, err = makfs(mounted, "replay", "--locks")
    assert (code, err) == (0, "")
    assert "in 2 mounts" in out
    with sqlite3.connect(mounted.repo / ".makfs" / "store.db") as store:
        store.execute("UPDATE lock_event SET outcome = 'alice granted 00' WHERE number = 2")
    store.close()
    code, _, err = makfs(mounted, "replay", "--locks", "--verify")
    assert code == EXIT_FAILURE
    assert err.startswith("Call 2, request of ")
