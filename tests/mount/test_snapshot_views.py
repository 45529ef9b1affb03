"""Snapshot views: what others do is not seen before a refresh, what is done inside not before a publish."""

import errno
import json
import mmap
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mount.conftest import GREET
from tests.mount.hands import Hand
from tests.mount.mounted import Mounted, listing, snapshot_and_live

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]
WHO = ("-c", "user.name=a", "-c", "user.email=a@b")
CASES = "def test_greets():\n    import greet\n\n    assert greet.hello('x').endswith('x')\n"


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *WHO, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def refuses(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        call()
    assert caught.value.errno == number, caught.value


def is_refused(mounted: Mounted, *arguments: str) -> str:
    """Return what the command line says of an order that is refused."""
    with pytest.raises(AssertionError) as caught:
        mounted.makfs(*arguments)
    return str(caught.value)


def status_of(mounted: Mounted, agent: str = "alice") -> dict[str, object]:
    status = json.loads(mounted.makfs("status", "--json"))
    found: dict[str, object] = next(each for each in status["agents"] if each["agent"] == agent)
    return found


def tree(top: Path) -> dict[str, tuple[int, object]]:
    """Return a whole tree but `.git`."""
    return {path: what for path, what in listing(top).items() if path.split("/")[0] != ".git"}


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """Make a repository with a commit, ignored files and folders."""
    repo = tmp_path / "repo"
    for folder in ("app", "lib/deep", "build"):
        (repo / folder).mkdir(parents=True)
    (repo / "app/greet.py").write_bytes(GREET)
    (repo / "lib/deep/one.py").write_text("ONE = 1\n")
    (repo / "lib/two.txt").write_text("two\n")
    (repo / "build/old.o").write_text("object\n")
    (repo / ".gitignore").write_text("/build/\n__pycache__/\n.pytest_cache/\n")
    (repo / "link").symlink_to("lib/two.txt")
    git(tmp_path, "init", "-q", "-b", "main", str(repo))
    git(repo, "add", "-A")
    git(repo, "commit", "-qm", "one")
    return repo


@pytest.fixture
def mounted(repo: Path, tmp_path: Path) -> Iterator[Mounted]:
    """Serve it: alice in a snapshot view, bob in a live one."""
    with snapshot_and_live(repo, tmp_path / "work") as mounted:
        yield mounted
    assert not mounted.complaints(), mounted.complaints()[0]


# ---- what is not seen


def test_nothing_another_view_does_is_seen_before_a_refresh(mounted: Mounted, hand: Hands) -> None:
    bob, alice = hand(), mounted.alice
    before = tree(alice)
    head = git(alice, "rev-parse", "HEAD")
    stats = {path: os.lstat(alice / path) for path in before}
    for step in (
        lambda: bob.write(mounted.bob / "app/greet.py", GREET + b"\n\nX = 1\n"),
        lambda: bob.write(mounted.bob / "app/new.py", b"new\n"),
        lambda: bob.do("mkdir", mounted.bob / "fresh"),
        lambda: bob.do("unlink", mounted.bob / "lib/two.txt"),
        lambda: bob.do("rename", mounted.bob / "lib/deep", mounted.bob / "lib/deeper"),
        lambda: bob.do("chmod", mounted.bob / "app/greet.py", 0o755),
        lambda: bob.do("unlink", mounted.bob / "link"),
        lambda: bob.do("symlink", "app", mounted.bob / "link"),
        lambda: git(mounted.bob, "add", "-A"),
        lambda: git(mounted.bob, "commit", "-qm", "two"),
        lambda: git(mounted.bob, "branch", "other"),
    ):
        step()
        assert tree(alice) == before
        assert hand().do("listdir", alice) == os.listdir(alice)
        for path, st in stats.items():
            assert os.lstat(alice / path) == st, path
    assert git(alice, "status", "--porcelain") == ""
    assert git(alice, "rev-parse", "HEAD") == head
    assert "other" not in git(alice, "branch")
    mounted.makfs("refresh", "alice")
    assert tree(alice) == tree(mounted.bob)


def test_mapped_and_open_files_stay_what_they_were_until_a_refresh(mounted: Mounted, hand: Hands) -> None:
    file = mounted.alice / "app/greet.py"
    newer = b"# newer\n" + GREET
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        for turn in range(20):
            hand().write(mounted.bob / "app/greet.py", GREET + b"#%d\n" % turn)
            assert mapped[:] == GREET
            assert os.pread(opened.fileno(), 1 << 16, 0) == GREET
            assert file.read_bytes() == GREET
        hand().write(mounted.bob / "app/greet.py", newer)
        mounted.makfs("refresh", "alice")
        assert file.read_bytes() == newer
        assert os.pread(opened.fileno(), 1 << 16, 0) == newer
        assert mapped[: len(GREET)] == newer[: len(GREET)]


def test_everything_stands_still_while_another_view_storms(mounted: Mounted) -> None:
    alice, before, over = mounted.alice, tree(mounted.alice), threading.Event()

    def storm() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            (mounted.bob / "app/greet.py").write_bytes(GREET + b"\n\nX = %d\n" % turn)
            (mounted.bob / f"app/n{turn % 7}.py").write_bytes(b"n\n")
            (mounted.bob / f"app/n{(turn + 3) % 7}.py").unlink(missing_ok=True)

    stormer = threading.Thread(target=storm)
    stormer.start()
    try:
        for _ in range(15):
            assert tree(alice) == before
            assert git(alice, "status", "--porcelain") == ""
    finally:
        over.set()
        stormer.join()


# ---- own edits


def edit_in_every_way(top: Path) -> None:
    """Change a view in every way that names and contents can be changed."""
    (top / "app/greet.py").write_bytes(GREET.replace(b"hello", b"hi"))
    (top / "app/greet.tmp.1").write_bytes(GREET.replace(b"bye", b"ciao"))
    os.rename(top / "app/greet.tmp.1", top / "app/greet.py")
    os.rename(top / "lib", top / "core")
    (top / "core/deep/one.py").write_bytes(b"ONE = 2\n")
    os.mkdir(top / "lib")
    (top / "lib/again.txt").write_bytes(b"again\n")
    os.unlink(top / "core/two.txt")
    os.symlink("app", top / "way")
    os.chmod(top / "core/deep", 0o750)
    os.chmod(top / "app/greet.py", 0o755)
    os.unlink(top / "link")
    (top / "link").write_bytes(b"a file now\n")
    os.makedirs(top / "a/b/c")
    os.rename(top / "a/b", top / "a/d")
    (top / "a/d/c/f").write_bytes(b"1\n")
    os.rename(top / "a/d/c/f", top / "a/g")
    with (top / "a/g").open("ab") as file:
        file.write(b"2\n")


def test_own_edits_of_every_kind_are_seen_inside_alone_until_they_are_published(
    mounted: Mounted, tmp_path: Path
) -> None:
    native = tmp_path / "native"
    subprocess.run(["cp", "-a", str(mounted.repo), str(native)], check=True)
    subprocess.run(["rm", "-rf", str(native / ".makfs")], check=True)
    before = tree(mounted.bob)
    edit_in_every_way(native)
    edit_in_every_way(mounted.alice)
    assert tree(mounted.alice) == tree(native)
    assert tree(mounted.bob) == before
    mounted.remount()
    assert tree(mounted.alice) == tree(native)
    assert tree(mounted.bob) == before
    mounted.makfs("publish", "alice")
    assert tree(mounted.alice) == tree(native)
    assert tree(mounted.bob) == tree(native)
    assert status_of(mounted)["changed"] == []


def test_files_become_folders_and_folders_files(mounted: Mounted) -> None:
    alice = mounted.alice
    (alice / "app/greet.py").unlink()
    (alice / "app").rmdir()
    (alice / "app").write_bytes(b"a file\n")
    (alice / "link").unlink()
    (alice / "link").mkdir()
    (alice / "link/in.txt").write_bytes(b"in\n")
    wanted = tree(alice)
    mounted.makfs("refresh", "alice")
    assert tree(alice) == wanted
    mounted.makfs("publish", "alice")
    assert tree(alice) == wanted
    assert tree(mounted.bob) == wanted


def test_removed_names_do_not_come_back_and_made_again_folders_are_empty(mounted: Mounted) -> None:
    alice = mounted.alice
    subprocess.run(["rm", "-rf", str(alice / "lib"), str(alice / "app")], check=True)
    assert not (alice / "lib").exists()
    os.mkdir(alice / "lib")
    assert os.listdir(alice / "lib") == []
    mounted.remount()
    assert os.listdir(alice / "lib") == []
    assert not (alice / "app").exists()
    mounted.makfs("discard", "alice")
    assert tree(alice) == tree(mounted.bob)


def test_file_goes_on_for_who_has_it_open_when_it_is_first_changed_and_when_it_is_removed(
    mounted: Mounted,
) -> None:
    file = mounted.alice / "app/greet.py"
    with file.open("rb") as reader:
        assert reader.read(10) == GREET[:10]
        with file.open("r+b") as writer:
            writer.write(b"#" * 10)
        assert os.pread(reader.fileno(), 20, 0) == b"#" * 10 + GREET[10:20]
        file.unlink()
        assert os.pread(reader.fileno(), 10, 0) == b"#" * 10
        assert os.fstat(reader.fileno()).st_nlink == 0
    other = mounted.alice / "lib/two.txt"
    with other.open("rb") as reader:
        other.unlink()
        os.fchmod(reader.fileno(), 0o600)
        assert reader.read() == b"two\n"
    assert (mounted.repo / "lib/two.txt").stat().st_mode & 0o777 != 0o600


# ---- publish, refresh, discard


def test_publish_merges_by_nodes_and_refresh_keeps_own_edits(mounted: Mounted, hand: Hands) -> None:
    alice, bob = hand(), hand()
    alice.write(mounted.alice / "app/greet.py", GREET.replace(b'"hello {', b'"hi {'))
    bob.write(mounted.bob / "app/greet.py", GREET.replace(b'"bye {', b'"ciao {'))
    both = GREET.replace(b'"hello {', b'"hi {').replace(b'"bye {', b'"ciao {')
    assert status_of(mounted)["behind"] == 1
    mounted.makfs("refresh", "alice")
    assert (mounted.alice / "app/greet.py").read_bytes() == both
    assert b"hello {" in (mounted.bob / "app/greet.py").read_bytes()
    bob.write(mounted.bob / "app/new.py", b"NEW = 1\n")
    assert not (mounted.alice / "app/new.py").exists()
    said = mounted.makfs("publish", "alice")
    assert said.startswith("commit 3: app/greet.py"), said
    for view in (mounted.alice, mounted.bob, mounted.repo):
        assert (view / "app/greet.py").read_bytes() == both
        assert (view / "app/new.py").read_bytes() == b"NEW = 1\n"
    commit = json.loads(mounted.makfs("log", "--json", "-n", "1"))[0]
    assert (commit["agent"], commit["addresses"]) == ("alice", ["app/greet.py::hello"])


def test_clash_changes_nothing_and_names_every_node(mounted: Mounted, hand: Hands) -> None:
    alice, bob = hand(), hand()
    alice.write(mounted.alice / "app/greet.py", GREET.replace(b'"hello {', b'"hi {'))
    alice.write(mounted.alice / "lib/two.txt", b"mine\n")
    alice.write(mounted.alice / "fine.py", b"F = 1\n")
    bob.write(mounted.bob / "app/greet.py", GREET.replace(b'"hello {', b'"hey {'))
    bob.do("unlink", mounted.bob / "lib/two.txt")
    before = tree(mounted.alice), tree(mounted.bob)
    for order in ("publish", "refresh"):
        said = is_refused(mounted, order, "alice")
        assert "app/greet.py::hello" in said
        assert "lib/two.txt" in said
        assert "by bob in commit" in said
        assert "2 places" in said
        assert (mounted.alice / ".makfs/why").read_text().splitlines()[0] in said.replace("\\n", "\n")
        assert (tree(mounted.alice), tree(mounted.bob)) == before
    assert status_of(mounted)["conflicts"] == ["app/greet.py::hello", "lib/two.txt"]
    alice.write(mounted.alice / "app/greet.py", GREET)
    alice.write(mounted.alice / "lib/two.txt", b"two\n")
    mounted.makfs("publish", "alice")
    assert tree(mounted.alice) == tree(mounted.bob)
    assert (mounted.bob / "fine.py").read_bytes() == b"F = 1\n"


def test_folder_that_others_put_files_into_is_kept_and_a_file_in_its_place_clashes(
    mounted: Mounted, hand: Hands
) -> None:
    subprocess.run(["rm", "-rf", str(mounted.alice / "lib")], check=True)
    hand().write(mounted.bob / "lib/third.txt", b"3\n")
    (mounted.alice / "lib").write_bytes(b"a file\n")
    assert "lib/third.txt was made by bob" in is_refused(mounted, "publish", "alice")
    (mounted.alice / "lib").unlink()
    mounted.makfs("publish", "alice")
    assert os.listdir(mounted.bob / "lib") == ["third.txt"]
    assert tree(mounted.alice) == tree(mounted.bob)


def test_renamed_files_are_known_by_their_new_names(mounted: Mounted) -> None:
    os.rename(mounted.alice / "lib", mounted.alice / "core")
    mounted.makfs("publish", "alice")
    seq = status_of(mounted)["at"]
    shown = json.loads(mounted.makfs("show", "--json", str(seq)))
    assert shown["moved"] == {"core/deep/one.py": "lib/deep/one.py", "core/two.txt": "lib/two.txt"}


def test_what_others_hold_refuses_a_publish_and_claims_work_inside(mounted: Mounted, hand: Hands) -> None:
    mounted.makfs("claim", "bob", "app/greet.py::hello")
    hand().write(mounted.alice / "app/greet.py", GREET.replace(b'"hello {', b'"hi {'))
    said = is_refused(mounted, "publish", "alice")
    assert "bob holds write on app/greet.py::hello" in said
    assert (mounted.bob / "app/greet.py").read_bytes() == GREET
    mounted.makfs("release", "bob", "app/greet.py::hello")
    hand().write(mounted.alice / ".makfs/claim", b"write app/greet.py::bye\n")
    refuses(
        errno.EBUSY, lambda: hand().write(mounted.bob / "app/greet.py", GREET.replace(b'"bye {', b'"ciao {'))
    )
    mounted.makfs("publish", "alice")
    assert b'"hi {' in (mounted.bob / "app/greet.py").read_bytes()


def test_control_files_publish_and_refresh_from_inside(mounted: Mounted, hand: Hands) -> None:
    alice, bob = hand(), hand()
    alice.write(mounted.alice / "mine.txt", b"mine\n")
    alice.write(mounted.alice / ".makfs/publish", b"\n")
    assert (mounted.bob / "mine.txt").read_bytes() == b"mine\n"
    bob.write(mounted.bob / "mine.txt", b"bob's\n")
    assert (mounted.alice / "mine.txt").read_bytes() == b"mine\n"
    alice.write(mounted.alice / ".makfs/refresh", b"now")
    assert (mounted.alice / "mine.txt").read_bytes() == b"bob's\n"
    alice.write(mounted.alice / "mine.txt", b"mine\n")
    bob.write(mounted.bob / "mine.txt", b"bob's too\n")
    refuses(errno.EBUSY, lambda: alice.write(mounted.alice / ".makfs/publish", b"\n"))
    assert "mine.txt" in (mounted.alice / ".makfs/why").read_text()
    assert sorted(os.listdir(mounted.alice / ".makfs")) == sorted(
        {*os.listdir(mounted.bob / ".makfs"), "publish", "refresh"} - {"nodes", "outline"}
    )
    assert not (mounted.alice / ".makfs/nodes").exists()
    assert not (mounted.bob / ".makfs/publish").exists()


def test_file_open_for_writing_is_not_published_half_written(mounted: Mounted) -> None:
    with (mounted.alice / "app/greet.py").open("r+b", buffering=0) as file:
        file.write(b"# half")
        assert "app/greet.py is open for writing" in is_refused(mounted, "publish", "alice")
    mounted.makfs("publish", "alice")
    assert (mounted.bob / "app/greet.py").read_bytes().startswith(b"# half")


def test_publishing_does_not_age_a_file_and_reading_goes_on(mounted: Mounted) -> None:
    file = mounted.alice / "app/greet.py"
    file.write_bytes(GREET + b"# mine\n")
    before = file.stat()
    mounted.makfs("publish", "alice")
    after = file.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (
        before.st_mtime_ns,
        before.st_size,
        before.st_ino,
    )


def test_live_views_have_nothing_to_publish_and_isolation_is_kept(mounted: Mounted) -> None:
    assert "is live" in is_refused(mounted, "publish", "bob")
    assert status_of(mounted)["isolation"] == "snapshot"
    mounted.remount()
    assert status_of(mounted)["isolation"] == "snapshot"
    (mounted.alice / "mine.txt").write_bytes(b"mine\n")
    mounted.makfs("agent", "rm", "alice")
    assert "1 unpublished edits" in is_refused(mounted, "agent", "add", "--isolation", "live", "alice")
    mounted.makfs("agent", "add", "alice")
    assert (mounted.alice / "mine.txt").read_bytes() == b"mine\n"
    mounted.makfs("discard", "alice")
    assert not (mounted.alice / "mine.txt").exists()
    mounted.makfs("agent", "rm", "alice")
    mounted.makfs("agent", "add", "--isolation", "live", "alice")
    (mounted.alice / "mine.txt").write_bytes(b"live\n")
    assert (mounted.bob / "mine.txt").read_bytes() == b"live\n"


# ---- git


def test_git_inside_leaves_the_repository_and_the_other_views_alone(mounted: Mounted, hand: Hands) -> None:
    alice, before = mounted.alice, tree(mounted.bob)
    heads = git(mounted.repo, "for-each-ref"), (mounted.repo / ".git/index").read_bytes()
    (alice / "app/greet.py").write_bytes(GREET + b"# 1\n")
    git(alice, "stash")
    assert (alice / "app/greet.py").read_bytes() == GREET
    git(alice, "stash", "pop")
    git(alice, "checkout", "-qb", "side")
    git(alice, "commit", "-qam", "inside")
    (alice / "lib/two.txt").write_bytes(b"2\n")
    git(alice, "reset", "-q", "--hard", "HEAD~1")
    assert (alice / "app/greet.py").read_bytes() == GREET
    git(alice, "reset", "-q", "--hard", "ORIG_HEAD")
    assert git(alice, "status", "--porcelain") == ""
    assert git(alice, "log", "--format=%s").split() == ["inside", "one"]
    assert tree(mounted.bob) == before
    assert git(mounted.repo, "status", "--porcelain") == ""
    assert (git(mounted.repo, "for-each-ref"), (mounted.repo / ".git/index").read_bytes()) == heads
    git(mounted.repo, "fetch", "-q", str(alice), "side:side")
    assert git(mounted.repo, "log", "--format=%s", "side").split() == ["inside", "one"]
    mounted.makfs("publish", "alice")
    assert git(mounted.bob, "status", "--porcelain") == " M app/greet.py\n"
    assert git(alice, "status", "--porcelain") == ""
    mounted.makfs("discard", "alice")
    assert git(alice, "branch", "--show-current") == "main\n"


def test_linked_worktree_is_refused_with_a_sentence(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", str(tmp_path / "linked"))
    (tmp_path / "work").mkdir()
    mounted = Mounted(tmp_path / "linked", tmp_path / "work", agents=("bob",))
    try:
        mounted.start()
        said = is_refused(mounted, "agent", "add", "--isolation", "snapshot", "alice")
        assert "linked git worktree" in said
    finally:
        mounted.take_away()


# ---- the gate


def with_gate(mounted: Mounted, gate: str, *more: str) -> None:
    mounted.stop()
    text = f"[publish]\ngate = {json.dumps(gate)}\n" + "\n".join(more) + "\n"
    mounted.config = mounted.repo.parent / "makfs.conf"
    mounted.config.write_text(text)
    mounted.start()


def test_gate_decides_on_the_tree_that_would_become_head(mounted: Mounted, hand: Hands) -> None:
    with_gate(mounted, "cat app/greet.py other.txt mine.txt; exit 3")
    hand().write(mounted.bob / "other.txt", b"bob's\n")
    hand().write(mounted.alice / "mine.txt", b"alice's\n")
    said = is_refused(mounted, "publish", "alice")
    assert "failed with status 3" in said
    assert "the last it said: alice's" in said
    assert (mounted.alice / ".makfs/why").read_text().endswith("bob's\nalice's\n")
    assert not (mounted.bob / "mine.txt").exists()
    with_gate(mounted, "test -f other.txt && test -f mine.txt")
    mounted.makfs("publish", "alice")
    assert (mounted.bob / "mine.txt").read_bytes() == b"alice's\n"


def test_gate_runs_on_a_view_that_stands_still(mounted: Mounted, hand: Hands, tmp_path: Path) -> None:
    begun, go_on = tmp_path / "begun", tmp_path / "go"
    os.mkfifo(begun)
    os.mkfifo(go_on)
    with_gate(mounted, f"echo > {begun}; cat {go_on} > /dev/null")
    hand().write(mounted.alice / "mine.txt", b"mine\n")
    publisher = threading.Thread(target=mounted.makfs, args=("publish", "alice"))
    publisher.start()
    begun.read_bytes()
    refuses(errno.EBUSY, lambda: hand().write(mounted.alice / "mine.txt", b"other\n"))
    refuses(errno.EBUSY, lambda: os.unlink(mounted.alice / "app/greet.py"))
    refuses(errno.EBUSY, lambda: os.mkdir(mounted.alice / "folder"))
    assert "gate command" in (mounted.alice / ".makfs/why").read_text()
    assert "gate command" in is_refused(mounted, "discard", "alice")
    hand().write(mounted.bob / "app/greet.py", GREET + b"# overtaken\n")
    go_on.write_bytes(b"")  # head moved: it runs once more
    begun.read_bytes()
    assert not (mounted.bob / "mine.txt").exists()
    go_on.write_bytes(b"")
    publisher.join()
    assert (mounted.bob / "mine.txt").read_bytes() == b"mine\n"
    (mounted.alice / "mine.txt").write_bytes(b"free again\n")


def test_gate_that_takes_too_long_is_ended(mounted: Mounted, hand: Hands) -> None:
    with_gate(mounted, "echo begun; sleep 1000", "gate_s = 1")
    hand().write(mounted.alice / "mine.txt", b"mine\n")
    said = is_refused(mounted, "publish", "alice")
    assert "took longer than 1 s" in said
    assert "begun" in said


def test_pytest_inside_is_deterministic_while_four_writers_storm(mounted: Mounted) -> None:
    (mounted.alice / "app/test_greet.py").write_text(CASES)
    over = threading.Event()

    def storm(number: int) -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            (mounted.bob / "app/greet.py").write_bytes(b"def hello(:\n" if turn % 2 else GREET)
            (mounted.bob / f"app/test_{number}.py").write_bytes(b"def test(): assert False\n")

    stormers = [threading.Thread(target=storm, args=(number,)) for number in range(4)]
    for each in stormers:
        each.start()
    try:
        for _ in range(2):
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "app"],
                cwd=mounted.alice, capture_output=True, text=True, check=False,
                env={**os.environ, "PYTHONPATH": str(mounted.alice / "app")},
            )  # fmt: skip
            assert "1 passed" in done.stdout, done.stdout
    finally:
        over.set()
        for each in stormers:
            each.join()


# ---- crashes


def kill(mounted: Mounted) -> None:
    mounted.stop(signal.SIGKILL)
    subprocess.run(["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=False, capture_output=True)
    mounted.start()


def test_kill_loses_nothing_that_was_closed(mounted: Mounted, tmp_path: Path) -> None:
    native = tmp_path / "native"
    subprocess.run(["cp", "-a", str(mounted.repo), str(native)], check=True)
    subprocess.run(["rm", "-rf", str(native / ".makfs")], check=True)
    edit_in_every_way(native)
    edit_in_every_way(mounted.alice)
    kill(mounted)
    assert tree(mounted.alice) == tree(native)


def test_publish_of_200_nodes_in_50_files_is_timed(
    mounted: Mounted, record_property: Callable[[str, object], None]
) -> None:
    def text(number: int) -> bytes:
        return b"".join(b"def f%d():\n    return %d\n\n\n" % (at, number) for at in range(4))

    (mounted.alice / "many").mkdir()
    for number in range(50):
        (mounted.alice / f"many/m{number}.py").write_bytes(text(0))
    mounted.makfs("publish", "alice")
    for number in range(50):
        (mounted.alice / f"many/m{number}.py").write_bytes(text(number + 1))
    begun = time.perf_counter()
    mounted.makfs("publish", "alice")
    took = time.perf_counter() - begun
    begun = time.perf_counter()
    mounted.makfs("why", "alice")
    start = time.perf_counter() - begun
    record_property("publish_s", took - start)
    print(f"200 nodes in 50 files: {took * 1e3:.0f} ms, {start * 1e3:.0f} of them the command's start")
    commit = json.loads(mounted.makfs("log", "--json", "-n", "1"))[0]
    assert (commit["nodes_changed"], len(commit["paths"])) == (200, 50)
    assert tree(mounted.bob) == tree(mounted.alice)
