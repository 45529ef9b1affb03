"""kill -9, half-done commits, signals, a full disk: what was accepted is there, and what was not is kept."""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.mount.hands import Hand, claude_name, eventually
from tests.mount.mounted import PACKAGES, Mounted

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]
FILE = "app/greet.py"


def test_accepted_writes_survive_kill_in_the_middle_of_commits(mounted: Mounted, hand: Hands) -> None:
    """Three rounds; each writer appends a line of its own and notes what close(2) accepted."""
    texts: dict[str, list[str]] = {"alice": [], "bob": []}
    for round_ in range(3):
        begun = threading.Event()

        def work(agent: str, begun: threading.Event = begun, round_: int = round_) -> None:
            path = mounted.mountpoint / agent / f"{agent}.py"
            for number in range(10_000):
                line = f"{agent}_{round_}_{number} = 1\n"
                try:
                    with path.open("a") as file:
                        file.write(line)
                except OSError:
                    return
                texts[agent].append(line)
                if number > 10:
                    begun.set()

        workers = [threading.Thread(target=work, args=(agent,)) for agent in texts]
        for worker in workers:
            worker.start()
        assert begun.wait(30)
        mounted.stop(signal.SIGKILL)
        for worker in workers:
            worker.join(30)
        subprocess.run(
            ["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=False, capture_output=True
        )
        mounted.start()
        for agent, accepted in texts.items():
            lines = (mounted.repo / f"{agent}.py").read_text().splitlines(keepends=True)
            assert lines[: len(accepted)] == accepted
            assert len(lines) <= len(accepted) + 1  # one may have been committed and not answered
            texts[agent] = lines
            assert (mounted.bob / f"{agent}.py").read_text() == "".join(lines)
    mounted.stop()
    assert mounted.findings() == []


def crash(mounted: Mounted) -> None:
    mounted.stop(signal.SIGKILL)
    subprocess.run(["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=False, capture_output=True)


def agents_of(mounted: Mounted, path: str) -> list[str]:
    return [each["agent"] for each in json.loads(mounted.makfs("log", "--json", "--path", path))]


def test_commit_that_the_journal_has_and_the_tree_has_not_is_finished(mounted: Mounted, hand: Hands) -> None:
    alice = hand()
    before = alice.read(mounted.alice / FILE)
    alice.write(mounted.alice / FILE, b"X = 1\n")
    crash(mounted)
    (mounted.repo / FILE).write_bytes(before)
    (mounted.repo / ".makfs/tmp/new-1-1").write_bytes(b"half")
    mounted.start()
    assert (mounted.repo / FILE).read_bytes() == b"X = 1\n"
    assert (mounted.bob / FILE).read_bytes() == b"X = 1\n"
    assert os.listdir(mounted.repo / ".makfs/tmp") == []
    assert agents_of(mounted, FILE) == ["alice"]
    mounted.stop()
    assert mounted.findings() == []


def test_edit_by_a_person_after_the_crash_is_kept_and_so_is_the_commit(mounted: Mounted, hand: Hands) -> None:
    alice = hand()
    alice.write(mounted.alice / FILE, b"X = 1\n")
    crash(mounted)
    (mounted.repo / FILE).write_bytes(b"by a person\n")
    mounted.start()
    assert (mounted.bob / FILE).read_bytes() == b"by a person\n"
    eventually(lambda: agents_of(mounted, FILE) == ["external", "alice"])
    assert (mounted.mountpoint / "@1" / FILE).read_bytes() == b"X = 1\n"
    mounted.stop()
    assert mounted.findings() == []


@pytest.mark.parametrize("step", ["create", "unlink", "rename", "mkdir", "symlink", "chmod", "tree"])
def test_last_name_operation_is_finished_after_a_crash(mounted: Mounted, hand: Hands, step: str) -> None:
    """The journal has it, the tree has not: the state between the two writes of every operation."""
    alice, top, repo = hand(), mounted.alice, mounted.repo
    alice.do("mkdir", top / "d")
    alice.write(top / "d/x.py", b"X = 1\n")
    alice.write(top / "y.py", b"Y = 1\n")
    if step == "create":
        alice.write(top / "new.py", b"N = 1\n")
    elif step == "unlink":
        alice.do("unlink", top / "y.py")
    elif step == "rename":
        alice.do("rename", top / "y.py", top / "z.py")
    elif step == "mkdir":
        alice.do("mkdir", top / "e")
    elif step == "symlink":
        alice.do("symlink", "y.py", top / "link")
    elif step == "chmod":
        alice.do("chmod", top / "y.py", 0o755)
    else:
        alice.do("rename", top / "d", top / "e")
    crash(mounted)
    undo: dict[str, Callable[[], object]] = {
        "create": (repo / "new.py").unlink,
        "unlink": lambda: (repo / "y.py").write_bytes(b"Y = 1\n"),
        "rename": lambda: os.rename(repo / "z.py", repo / "y.py"),
        "mkdir": (repo / "e").rmdir,
        "symlink": (repo / "link").unlink,
        "chmod": lambda: os.chmod(repo / "y.py", 0o644),
        "tree": lambda: os.rename(repo / "e", repo / "d"),
    }
    undo[step]()
    mounted.start()
    done: dict[str, Callable[[], bool]] = {
        "create": lambda: (repo / "new.py").read_bytes() == b"N = 1\n",
        "unlink": lambda: not (repo / "y.py").exists(),
        "rename": lambda: (repo / "z.py").read_bytes() == b"Y = 1\n" and not (repo / "y.py").exists(),
        "mkdir": (repo / "e").is_dir,
        "symlink": lambda: os.readlink(repo / "link") == "y.py",
        "chmod": lambda: (repo / "y.py").stat().st_mode & 0o777 == 0o755,
        "tree": lambda: (repo / "e/x.py").read_bytes() == b"X = 1\n" and not (repo / "d").exists(),
    }
    assert done[step]()
    mounted.stop()
    assert mounted.findings() == []


def test_large_file_whose_rename_was_cut_short_is_not_lost(mounted: Mounted, hand: Hands) -> None:
    """The store has only its hash: it must be moved, not made again."""
    data = os.urandom(1 << 20) * 9
    alice = hand()
    alice.write(mounted.alice / "one.bin", data)
    alice.do("rename", mounted.alice / "one.bin", mounted.alice / "two.bin")
    crash(mounted)
    os.rename(mounted.repo / "two.bin", mounted.repo / "one.bin")
    mounted.start()
    assert (mounted.repo / "two.bin").read_bytes() == data
    assert not (mounted.repo / "one.bin").exists()
    assert (mounted.bob / "two.bin").read_bytes() == data
    mounted.stop()
    assert mounted.findings() == []


def test_large_files_are_whole_and_a_stale_writer_is_refused(mounted: Mounted, hand: Hands) -> None:
    data = os.urandom(1 << 20) * 9
    alice, bob = hand(), hand()
    alice.write(mounted.alice / "big.bin", data)
    assert bob.read(mounted.bob / "big.bin") == alice.read(mounted.alice / "big.bin") == data
    alice.write(mounted.alice / "big.bin", b"A" + data[1:])
    assert (mounted.repo / "big.bin").read_bytes() == b"A" + data[1:]
    with pytest.raises(OSError, match="busy"):
        bob.write(mounted.bob / "big.bin", b"B" + data[1:])
    assert (mounted.bob / "big.bin").read_bytes() == b"A" + data[1:]
    bob.read(mounted.bob / "big.bin")
    bob.write(mounted.bob / "big.bin", b"C" + data[1:])
    assert (mounted.alice / "big.bin").read_bytes() == b"C" + data[1:]
    bob.save(mounted.bob / "big.bin", data, claude_name(mounted.bob / "big.bin", bob))
    assert (mounted.alice / "big.bin").read_bytes() == data
    mounted.stop()
    assert mounted.findings() == []


def test_sigterm_commits_what_is_staged_and_unmounts(mounted: Mounted, hand: Hands) -> None:
    alice = hand()
    text = alice.read(mounted.alice / FILE)
    fd = alice.open(mounted.alice / FILE, os.O_WRONLY | os.O_TRUNC)
    alice.do("write", fd, text + b"\n\nX = 1\n")
    assert mounted.daemon is not None
    mounted.daemon.send_signal(signal.SIGTERM)
    alice.do("close", fd)  # the daemon waits for it
    assert mounted.daemon.wait(60) == 0
    mounted.daemon = None
    assert not os.path.ismount(mounted.mountpoint)
    assert (mounted.repo / FILE).read_bytes() == text + b"\n\nX = 1\n"
    assert mounted.findings() == []


def test_shadow_that_is_young_at_the_end_is_published(mounted: Mounted, hand: Hands) -> None:
    hand().write(mounted.alice / "notes.tmp", b"kept\n")
    mounted.stop()
    assert (mounted.repo / "notes.tmp").read_bytes() == b"kept\n"
    assert mounted.findings() == []


def test_view_removed_by_force_keeps_what_was_staged_as_refusals(mounted: Mounted, hand: Hands) -> None:
    carol = mounted.mountpoint / "carol"
    carol.mkdir()
    worker = hand()
    fd = worker.open(carol / FILE, os.O_WRONLY | os.O_TRUNC)
    worker.do("write", fd, b"precious = 1\n")
    with pytest.raises(AssertionError, match="open"):
        mounted.makfs("agent", "rm", "carol")
    mounted.makfs("agent", "rm", "--force", "carol")
    assert not carol.exists()
    mounted.makfs("refusals", "show", "1", "--output", mounted.repo.parent / "rescued.py")
    assert (mounted.repo.parent / "rescued.py").read_bytes() == b"precious = 1\n"
    with contextlib.suppress(OSError):
        worker.do("close", fd)
    assert b"precious" not in (mounted.repo / FILE).read_bytes()
    carol.mkdir()
    assert (carol / FILE).read_bytes() == (mounted.repo / FILE).read_bytes()


class Disk:
    """A small file system of its own, in memory."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.filler = place / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self.filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        assert os.statvfs(self.place).f_bavail == 0

    def free(self) -> None:
        self.filler.unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    place = tmp_path / "disk"
    place.mkdir()
    if os.getuid() != 0:
        pytest.fail("needs root, to mount a small tmpfs", pytrace=False)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", place], check=True)
    yield Disk(place)
    subprocess.run(["umount", "-l", place], check=True)


def test_full_disk_is_told_to_the_writer_and_nothing_is_lost(disk: Disk, tmp_path: Path, hand: Hands) -> None:
    repo, work = disk.place / "repo", tmp_path / "work"
    repo.mkdir()
    work.mkdir()
    (repo / "a.txt").write_bytes(b"X = 1\n")
    mounted = Mounted(repo, work)
    mounted.start()
    try:
        alice, bob = hand(), hand()
        alice.write(mounted.alice / "b.py", b"Y = 1\n")
        disk.fill()
        new = os.urandom(1 << 19).hex().encode()  # more than a log has to spare
        fd = alice.open(mounted.alice / "a.txt", os.O_WRONLY | os.O_TRUNC)
        alice.do("write", fd, new)
        with pytest.raises(OSError, match="space") as caught:
            alice.do("close", fd)
        assert caught.value.errno == errno.ENOSPC
        assert bob.read(mounted.bob / "a.txt") == b"X = 1\n"
        assert (repo / "a.txt").read_bytes() == b"X = 1\n"
        assert "a.txt" in mounted.makfs("status")
        disk.free()
        eventually(lambda: (repo / "a.txt").read_bytes() == new, "the commit after space was freed")
        eventually(lambda: bob.read(mounted.bob / "a.txt") == new, "bob's view: no close waits for it")
        bob.write(mounted.bob / "b.py", b"Y = 2\n")
        assert (repo / "b.py").read_bytes() == b"Y = 2\n"
        mounted.stop()
        assert mounted.findings() == []
    finally:
        mounted.take_away()


def test_repository_that_cannot_be_written_is_owed_retried_and_survives_a_crash(
    mounted: Mounted, hand: Hands
) -> None:
    """The journal took the commit, the write-through failed: views show it, the tree gets it later."""
    alice = hand()
    alice.write(mounted.alice / FILE, b"X = 1\n")
    subprocess.run(["chattr", "+i", mounted.repo / "app"], check=True)
    try:
        alice.write(mounted.alice / FILE, b"X = 2\n")
        assert (mounted.bob / FILE).read_bytes() == b"X = 2\n"
        assert (mounted.bob / FILE).stat().st_size == 6
        assert FILE in mounted.makfs("status")
        alice.write(mounted.alice / "other.py", b"Z = 1\n")  # its commit must not forget what is owed
        crash(mounted)
    finally:
        subprocess.run(["chattr", "-i", mounted.repo / "app"], check=True)
    assert (mounted.repo / FILE).read_bytes() == b"X = 1\n"
    mounted.start()
    assert (mounted.repo / FILE).read_bytes() == b"X = 2\n"
    assert agents_of(mounted, FILE) == ["alice", "alice"]
    mounted.stop()
    assert mounted.findings() == []


def test_fsck_of_a_served_repository_is_clean_while_agents_write(mounted: Mounted, hand: Hands) -> None:
    alice = hand()
    for number in range(20):
        alice.write(mounted.alice / f"f{number}.py", b"X = %d\n" % number)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", "fsck", mounted.repo],
        env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
