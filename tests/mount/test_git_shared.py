"""git in the views and in ./repo: one `.git`, lock files that are waited for, a status that is true."""

import os
import subprocess
import threading
from pathlib import Path

import pytest

from tests.mount.mounted import Mounted

pytestmark = pytest.mark.mount
ENVIRONMENT = {
    **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org",
    "GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.org",
}  # fmt: skip


def git(place: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments],
        cwd=place,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_commit_made_in_one_view_is_the_others_and_the_repositorys(mounted: Mounted) -> None:
    assert git(mounted.alice, "status", "--porcelain") == ""
    (mounted.alice / "new.py").write_bytes(b"X = 1\n")
    assert git(mounted.bob, "status", "--porcelain") == "?? new.py\n"
    git(mounted.alice, "add", "new.py")
    git(mounted.alice, "commit", "-q", "-m", "new")
    for place in (mounted.alice, mounted.bob, mounted.repo):
        assert git(place, "log", "--format=%s").splitlines() == ["new", "start"]
        assert git(place, "status", "--porcelain") == ""


def test_state_directory_is_invisible_to_git(mounted: Mounted) -> None:
    assert git(mounted.repo, "status", "--porcelain") == ""
    assert ".makfs" not in os.listdir(mounted.alice)


def test_index_lock_of_another_view_is_waited_for(mounted: Mounted) -> None:
    (mounted.bob / "new.py").write_bytes(b"X = 1\n")
    lock = mounted.alice / ".git" / "index.lock"
    os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    added = threading.Thread(target=git, args=(mounted.bob, "add", "new.py"))
    added.start()
    added.join(0.3)
    assert added.is_alive(), "git gave up or did not see the lock"
    lock.unlink()
    added.join(30)
    assert "A  new.py" in git(mounted.alice, "status", "--porcelain")


def test_index_lock_of_the_same_view_fails_as_always(mounted: Mounted) -> None:
    (mounted.alice / "new.py").write_bytes(b"X = 1\n")
    lock = mounted.alice / ".git" / "index.lock"
    os.close(os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", "add", "new.py"],
        cwd=mounted.alice,
        env=ENVIRONMENT,
        capture_output=True,
    )
    assert done.returncode != 0
    assert b"index.lock" in done.stderr
    lock.unlink()


def test_both_views_commit_at_once_and_no_commit_is_lost(mounted: Mounted) -> None:
    def work(place: Path, name: str) -> None:
        for number in range(4):
            (place / f"{name}{number}.py").write_bytes(b"X = 1\n")
            git(place, "add", f"{name}{number}.py")

    both = [
        threading.Thread(target=work, args=(place, name))
        for place, name in ((mounted.alice, "a"), (mounted.bob, "b"))
    ]
    for each in both:
        each.start()
    for each in both:
        each.join(60)
    git(mounted.alice, "commit", "-q", "-m", "all")
    listed = git(mounted.repo, "ls-files").split()
    assert {f"{name}{number}.py" for name in "ab" for number in range(4)} <= set(listed)


def test_checkout_and_stash_in_a_view_are_seen_in_the_other(mounted: Mounted) -> None:
    git(mounted.alice, "checkout", "-q", "-b", "side")
    old = (mounted.alice / "app/greet.py").read_bytes()
    (mounted.alice / "app/greet.py").write_bytes(old.replace(b"open = True", b"open = False"))
    git(mounted.alice, "commit", "-q", "-a", "-m", "side")
    (mounted.bob / "app/greet.py").read_bytes()
    git(mounted.alice, "checkout", "-q", "main")
    for place in (mounted.alice, mounted.bob, mounted.repo):
        assert (place / "app/greet.py").read_bytes() == old
        assert git(place, "status", "--porcelain") == ""
    (mounted.alice / "README.md").write_bytes(b"# other\n")
    git(mounted.alice, "stash", "-q")
    assert (mounted.bob / "README.md").read_bytes() == b"# app\n"
    git(mounted.alice, "stash", "pop", "-q")
    assert (mounted.bob / "README.md").read_bytes() == b"# other\n"


def test_status_from_two_views_in_turn_does_not_refresh_the_index(mounted: Mounted) -> None:
    """Git keeps the low 32 bits of inode numbers: if they differed, each status would read every file."""
    for place in (mounted.alice, mounted.bob, mounted.alice):
        git(place, "status", "--porcelain")
    index = mounted.repo / ".git" / "index"
    before = index.read_bytes()
    for place in (mounted.alice, mounted.bob, mounted.alice, mounted.bob):
        git(place, "status", "--porcelain")
    assert index.read_bytes() == before
    stats = [(place / "app/greet.py").stat() for place in (mounted.alice, mounted.bob)]
    assert len({(st.st_ino & 0xFFFF_FFFF, st.st_mtime_ns, st.st_ctime_ns, st.st_size) for st in stats}) == 1
