"""What survives: a killed process, a full disk, a log that grows. J1, W1, W2."""

import errno
import io
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.errors import StoreError, StoreFull
from makfs.ids import RepoPath, Seq
from makfs.store.connection import FILE_NAME
from makfs.store.model import LogQuery
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import LARGE_BYTES, change, draft, file_state, refusal

A = RepoPath("a.py")
ROOT = Path(__file__).parent.parent.parent

# Commits as fast as it can and says so, one line per commit, once each is acknowledged.
COMMITTER = """
import sys
from pathlib import Path
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import LARGE_BYTES, change, draft, edit, file_state

store = SqliteStore.open(Path(sys.argv[1]), large_bytes=LARGE_BYTES)
print("ready", store.head, flush=True)
for number in range(store.head + 1, 1_000_000):
    texts = [b"x = %d\\n" % (number * 20 + line) for line in range(20)]
    edits = (edit("a.py", 1, b"", texts[0]),)
    first, second = change("a.py", file_state(texts), edits=edits), change(f"b{number}", file_state(texts))
    _, effects = store.commit(draft(first, second))
    store.effects_done(effect.effect for effect in effects[:1])
    if number % 50 == 0:
        store.maintain()
    print(number, flush=True)
"""


def open_store(directory: Path) -> SqliteStore:
    return SqliteStore.open(directory, large_bytes=LARGE_BYTES)


@pytest.mark.parametrize("kill_after", [0, 1, 7, 60, 151])
def test_every_acknowledged_commit_survives_kill_9(tmp_path: Path, kill_after: int) -> None:
    acknowledged = 0
    for _ in range(2):  # the second time on a store that was killed before
        child = subprocess.Popen(
            [sys.executable, "-c", COMMITTER, str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT, text=True
        )
        assert child.stdout is not None
        with child, child.stdout:
            assert child.stdout.readline().startswith("ready")
            for _ in range(kill_after):
                acknowledged = int(child.stdout.readline())
            os.kill(child.pid, signal.SIGKILL)
            for line in child.stdout:  # what it said before it died
                acknowledged = int(line) if line.endswith("\n") else acknowledged
        store = open_store(tmp_path)
        assert store.check() == [], "J1"
        assert store.head in (acknowledged, acknowledged + 1)
        for seq in range(1, store.head + 1):
            content = b"".join(node.text for node in store.nodes(A, Seq(seq)))
            assert content.startswith(b"x = %d\n" % (seq * 20))
        owed = [effect.seq for effect in store.pending_effects()]
        assert owed.count(store.head) == (2 if store.head else 0), "J5: nobody said they were done"
        acknowledged = store.head
        store.close()


def test_a_commit_after_sync_is_in_the_log_on_the_disk(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.commit(draft(change(A, file_state([b"x = 1\n"]))))
    store.sync()
    copied = tmp_path / "copied"
    copied.mkdir()
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):  # what a power loss leaves: no shared index
        (copied / name).write_bytes((tmp_path / name).read_bytes())
    again = open_store(copied)
    assert again.head == 1
    again.close()
    store.close()


def test_sync_flushes_the_log_itself_and_only_when_there_is_something_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        flushed.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    store = open_store(tmp_path)
    store.commit(draft(change(A, file_state([b"x = 1\n"]))))
    store.sync()
    assert flushed == [f"{FILE_NAME}-wal", tmp_path.name]
    store.sync()
    assert len(flushed) == 2
    store.refuse(refusal(A))
    store.sync()
    assert flushed[2:] == [f"{FILE_NAME}-wal"]
    store.close()


def test_a_sync_that_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path)
    store.commit(draft(change(A, file_state([b"x = 1\n"]))))

    def failing(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing)
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot be used"):
                store.sync()
    store.sync()
    store.close()


# -- the log


def grow(store: SqliteStore, commits: int) -> None:
    for number in range(commits):
        store.commit(draft(change(f"f{number}", file_state([os.urandom(30_000)]))))


def log_bytes(store: SqliteStore) -> int:
    return store.file.with_name(f"{FILE_NAME}-wal").stat().st_size


def test_commits_never_checkpoint_and_maintain_does(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    small = store.file.stat().st_size
    grow(store, 300)
    assert store.file.stat().st_size == small, "W2: nothing was copied into the database by a commit"
    assert log_bytes(store) > 8 << 20
    assert store.maintain() is True
    assert log_bytes(store) < 100_000
    assert store.file.stat().st_size > 8 << 20
    assert store.maintain() is False, "there is nothing left to do"
    assert store.head == 300
    assert store.check() == []
    store.close()


def test_commits_go_on_while_maintain_works_and_none_is_lost(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    finished = threading.Event()
    checkpoints: list[bool] = []

    def worker() -> None:
        while not finished.is_set():
            checkpoints.append(store.maintain())

    thread = threading.Thread(target=worker)
    thread.start()
    try:
        grow(store, 700)
    finally:
        finished.set()
        thread.join()
    store.maintain()
    assert store.head == 700
    assert store.check() == []
    store.close()
    store = open_store(tmp_path)
    assert store.head == 700
    store.close()


def test_maintain_leaves_a_log_that_somebody_still_reads(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    grow(store, 10)
    reader = sqlite3.connect(store.file, isolation_level=None)
    reader.execute("BEGIN")
    assert reader.execute("SELECT max(seq) FROM journal").fetchone() == (10,)
    grow(store, 300)
    assert store.maintain() is False
    assert reader.execute("SELECT max(seq) FROM journal").fetchone() == (10,), "its snapshot is untouched"
    reader.close()
    assert store.maintain() is True
    store.close()


def test_maintain_never_waits_with_the_write_lock_in_its_hand(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert store._log._keep().conn.execute("PRAGMA busy_timeout").fetchone() == (0,)
    store.close()


# -- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 4 MiB; needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "makfs-test", str(place)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a full disk needs a small tmpfs, and mounting one needs root: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)  # also under a store a failed test left open


def _fits(file: io.FileIO, size: int) -> bool:
    try:
        return file.write(bytes(size)) == size
    except OSError:
        return False


def fill(directory: Path) -> Path:
    """Take every byte that is left."""
    ballast = directory / "ballast"
    with ballast.open("ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            while _fits(file, size):
                pass
    return ballast


def test_a_full_disk_refuses_the_commit_whole_and_the_store_goes_on(small_disk: Path) -> None:
    store = open_store(small_disk)
    store.commit(draft(change(A, file_state([b"x = 1\n"]))))
    ballast = fill(small_disk)
    big = file_state([os.urandom(200_000)])
    for _ in range(3):
        with pytest.raises(StoreFull) as caught:
            store.commit(draft(change("big", big), change(A, file_state([b"x = 2\n"]))))
        assert caught.value.errno == errno.ENOSPC
        assert str(store.file) in str(caught.value)
    with pytest.raises(StoreFull):
        store.refuse(refusal(A, mine=os.urandom(200_000)))
    assert (store.head, store.revision(RepoPath("big")), store.refusals()) == (1, None, [])
    assert store.nodes(A)[0].text == b"x = 1\n"
    ballast.unlink()
    assert store.commit(draft(change("big", big)))[0].seq == 2
    assert store.check() == []
    store.close()
    store = open_store(small_disk)
    assert [commit.seq for commit in store.log(LogQuery())] == [2, 1]
    store.close()


def test_a_disk_that_fills_up_while_committing_loses_no_acknowledged_commit(small_disk: Path) -> None:
    store = open_store(small_disk)
    acknowledged = 0
    try:
        while True:
            content = os.urandom(20_000)
            acknowledged = store.commit(draft(change(f"f{acknowledged}", file_state([content]))))[0].seq
    except StoreFull:
        pass
    assert acknowledged > 20
    assert store.head == acknowledged
    assert len(store.log(LogQuery(limit=10_000))) == acknowledged
    copied = small_disk.parent / "copied"
    copied.mkdir()
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        (copied / name).write_bytes((small_disk / name).read_bytes())
    again = open_store(copied)
    assert again.head == acknowledged
    assert again.check() == []
    again.close()
    store.close()


def test_a_store_cannot_be_made_on_a_full_disk_but_later_it_can(small_disk: Path) -> None:
    ballast = fill(small_disk)
    with pytest.raises(StoreFull):
        open_store(small_disk)
    ballast.unlink()
    store = open_store(small_disk)
    assert store.head == 0
    store.close()
