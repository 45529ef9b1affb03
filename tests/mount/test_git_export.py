"""`makfs git` on a served repository: what git sees is what the mount shows."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.hands import Hand
from tests.mount.mounted import PACKAGES, Mounted, listing
from tests.unit.gitlog_makers import IDENTITY

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)


def git(repo: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", "-C", repo, *arguments], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def seen_by_git(repo: Path, commit: str) -> dict[str, tuple[bool, object]]:
    """Return a commit's files: path -> executable, and bytes; of a link its target."""
    found: dict[str, tuple[bool, object]] = {}
    for line in git(repo, "ls-tree", "-r", "-z", commit).split(b"\0"):
        if line:
            told, _, path = line.partition(b"\t")
            mode, _, sha = told.decode().split(" ")
            content = git(repo, "cat-file", "blob", sha)
            found[os.fsdecode(path)] = (mode == "100755", content)
    return found


def shown_at(served: Mounted, seq: int, ignored: Callable[[str], bool]) -> dict[str, tuple[bool, object]]:
    """Return what `@SEQ` shows of files that git would track."""
    return {
        path: (isinstance(what, bytes) and mode & 0o170100 == 0o100100, what)
        for path, (mode, what) in listing(served.mountpoint / f"@{seq}").items()
        if what is not None and not ignored(path) and path.split("/")[0] not in (".git", ".makfs")
    }


def is_ignored(path: str) -> bool:
    return path.endswith(".log") or path.startswith("build/")


def test_every_exported_tree_is_what_the_mount_shows(mounted: Mounted, hand: Hands) -> None:
    """Both agents, a person in the repository, and renames, links, modes, odd names, ignored files."""
    top, repo = mounted.alice, mounted.repo
    alice, bob = hand(), hand()
    alice.write(top / ".gitignore", b"*.log\n/build/\n")
    alice.write(top / "new.py", b"X = 1\n\n\ndef f():\n    return X\n")
    bob.write(mounted.bob / "new.py", b"X = 1\n\n\ndef f():\n    return X + 1\n")
    alice.do("mkdir", top / "lib")
    alice.write(top / "lib/a.py", b"A = 1\n")
    alice.write(top / "lib/odd\udcff name", b"\x00\xff")
    alice.write(top / "empty", b"")
    alice.do("symlink", "lib/a.py", top / "link")
    alice.do("chmod", top / "new.py", 0o755)
    alice.write(top / "noise.log", b"private\n")
    assert json.loads(mounted.makfs("git", "export", "--json"))["commits"] > 0
    (repo / "lib/a.py").write_bytes(b"A = 2\n")
    alice.do("rename", top / "lib", top / "core")
    bob.write(mounted.bob / "core/a.py", b"A = 3\n")
    alice.do("rename", top / "core/odd\udcff name", top / "even")
    alice.do("unlink", top / "link")
    alice.write(top / "link", b"a file\n")
    bob.do("unlink", mounted.bob / "empty")
    mounted.makfs("git", "export", "--to", "7")
    done = json.loads(mounted.makfs("git", "export", "--json"))
    git(repo, "fsck", "--strict", "--full")
    commits = git(repo, "rev-list", "--reverse", "refs/makfs/log").decode().split()
    head = json.loads(mounted.makfs("log", "--json", "-n", "1"))[0]["seq"]
    assert (done["upto"], done["tip"], len(commits)) == (head, commits[-1], head + 1)
    for seq, commit in enumerate(commits):
        assert seen_by_git(repo, commit) == shown_at(mounted, seq, is_ignored), seq
    blamed = git(repo, "blame", "--porcelain", "refs/makfs/log", "--", "new.py").decode()
    assert {line for line in blamed.splitlines() if line.startswith("author ")} == {
        "author alice",
        "author bob",
    }


def test_exports_while_agents_write_change_nothing_of_what_is_exported(mounted: Mounted, hand: Hands) -> None:
    """Each file is met for the first time while an export reads the disk."""
    mounted.stop()
    for number in range(40):
        (mounted.repo / f"f{number}").write_bytes(b"before\n")
    mounted.start()
    alice, bob = hand(), hand()
    alice.write(mounted.alice / "start", b"1\n")
    for number in range(40):
        command: list[str | Path] = [
            sys.executable,
            "-P",
            "-m",
            "makfs.cli",
            "-C",
            mounted.repo,
            "git",
            "export",
        ]
        exporter = None
        if number % 5 == 0:
            exporter = subprocess.Popen(
                command, env={**os.environ, "PYTHONPATH": PACKAGES}, stdout=subprocess.DEVNULL
            )
        while True:
            alice.write(mounted.alice / f"f{number}", b"alice\n")
            bob.do("rename", mounted.bob / f"f{number}", mounted.bob / f"g{number}")
            if exporter is None or exporter.poll() is not None:
                break
            bob.do("rename", mounted.bob / f"g{number}", mounted.bob / f"f{number}")
        assert exporter is None or exporter.returncode == 0
    mounted.makfs("git", "export")
    commits = git(mounted.repo, "rev-list", "--reverse", "refs/makfs/log").decode().split()
    assert len(commits) == json.loads(mounted.makfs("log", "--json", "-n", "1"))[0]["seq"] + 1
    for seq in {0, 1, *range(2, len(commits), 17), len(commits) - 1}:
        assert seen_by_git(mounted.repo, commits[seq]) == shown_at(mounted, seq, is_ignored), seq
    git(mounted.repo, "fsck", "--strict", "--full")


def test_commits_for_each_agent_are_seen_in_every_view(mounted: Mounted, hand: Hands) -> None:
    repo = mounted.repo
    git(repo, "add", ".")
    git(repo, "commit", "-qm", "first", "--allow-empty")
    hand().write(mounted.alice / "one.py", b"A = 1\n")
    hand().write(mounted.bob / "two.py", b"B = 1\n")
    assert "alice" in mounted.makfs("git", "commit", "-m", "Work", "--agent", "alice") + _last(repo, "%b")
    assert _last(repo, "%an") == "Pat"
    hand().write(mounted.alice / "two.py", b"B = 1\nC = 2\n")
    mounted.makfs("git", "commit", "-m", "Turns", "--per-agent")
    assert git(repo, "log", "-2", "--format=%an").decode().split() == ["alice", "bob"]
    assert git(mounted.bob, "status", "--porcelain") == b""


def _last(repo: Path, what: str) -> str:
    return git(repo, "log", "-1", f"--format={what}").decode().strip()


def test_export_goes_on_without_a_daemon(mounted: Mounted, hand: Hands) -> None:
    hand().write(mounted.alice / "a", b"1\n")
    mounted.makfs("git", "export")
    hand().write(mounted.alice / "a", b"2\n")
    mounted.stop()
    assert "1 commit exported" in mounted.makfs("git", "export")
    mounted.start()
    assert "Nothing new" in mounted.makfs("git", "export")
    assert git(mounted.repo, "show", "refs/makfs/log:a") == b"2\n"
