"""What the engine does when something beside it, or in it, fails."""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from makfs.errors import MakfsError
from tests.property.engine_kernel import Caches, Process, one_file

TEXT = b"def f():\n    return 1\n\n\ndef g():\n    return 2\n"


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    """Serve a file to two agents, without a mount."""
    with one_file(tmp_path, TEXT) as served:
        yield served


def break_commits(caches: Caches, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(caches.kernel.corridor, "put", fail)


def test_close_whose_commit_fails_in_an_unknown_way_closes_keeps_the_bytes_and_goes_on(
    caches: Caches, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    alice = Process(caches, "alice", 1)
    file = alice.open("a.py", os.O_WRONLY | os.O_TRUNC)
    file.write(0, b"X = 1\n")
    with monkeypatch.context() as broken:
        break_commits(caches, broken, RuntimeError("nobody thought of this"))
        with pytest.raises(RuntimeError):
            file.close()  # FLUSH answers EIO at the edge; RELEASE raises nothing
    assert "nobody thought of this" in caplog.text
    assert not caches.fs.handles
    assert trio.run(caches.kernel.drain, 0) == [], "it is not open for writing any more"
    (refusal,) = caches.core.store.refusals()
    kept = caches.core.store.refusal(refusal.number)
    assert kept is not None
    assert (kept.path, kept.mine, str(kept.agent)) == ("a.py", b"X = 1\n", "alice")
    for agent in ("alice", "bob"):
        assert Process(caches, agent, 9).read("a.py") == TEXT
    alice.read("a.py")
    alice.write("a.py", b"X = 2\n")
    assert Process(caches, "bob", 9).read("a.py") == b"X = 2\n"


def test_close_on_a_full_disk_keeps_the_bytes_staged_until_there_is_room(
    caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = Process(caches, "alice", 1), Process(caches, "bob", 2)
    file = alice.open("a.py", os.O_WRONLY | os.O_TRUNC)
    file.write(0, b"X = 1\n")
    with monkeypatch.context() as broken:
        break_commits(caches, broken, OSError(errno.ENOSPC, "full"))
        with pytest.raises(OSError, match="full") as caught:
            file.close()
        assert caught.value.errno == errno.ENOSPC
    assert not caches.fs.handles
    assert bob.read("a.py") == TEXT
    assert alice.read("a.py") == b"X = 1\n"
    assert trio.run(caches.kernel.drain, 0) == ["a.py"]
    caches.tend()
    assert bob.read("a.py") == b"X = 1\n"
    assert trio.run(caches.kernel.drain, 0) == []
    assert not caches.core.stranded


def test_write_through_that_fails_is_owed_shown_and_paid(
    caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, bob = Process(caches, "alice", 1), Process(caches, "bob", 2)
    alice.read("a.py")

    def fail(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as broken:
        broken.setattr(caches.core.backing, "replace", fail)
        alice.write("a.py", b"X = 1\n")
        bob.read("a.py")
        bob.write("a.py", b"X = 1\nY = 2\n")
    assert (caches.repo / "a.py").read_bytes() == TEXT
    assert alice.read("a.py") == bob.read("a.py") == b"X = 1\nY = 2\n"
    assert alice.stat("a.py").st_size == 12
    assert len(caches.kernel.status().owed) == 1
    assert not caches.findings()
    caches.tend()
    assert (caches.repo / "a.py").read_bytes() == b"X = 1\nY = 2\n"
    assert not caches.kernel.status().owed
    assert not caches.findings()


def as_nobody(work: Callable[[], None]) -> int:
    """Carry it out in a process that is not root; return its exit code."""
    child = os.fork()
    if not child:
        signal.alarm(60)
        try:
            os.setgid(65534)
            os.setuid(65534)
            work()
            os._exit(0)
        except BaseException as error:  # noqa: BLE001  nothing may leave a forked child
            os.write(2, repr(error).encode())
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_file_that_the_daemon_may_not_read_is_refused_and_the_others_served(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.fail("needs root, to become somebody who may not read a file", pytrace=False)
    repo = Path("/dev/shm") / f"makfs-nobody-{os.getpid()}" / "repo"
    repo.mkdir(parents=True)
    try:
        (repo / "open.py").write_bytes(TEXT)
        (repo / "closed.py").write_bytes(TEXT)
        (repo / "shut").mkdir()
        for path in (repo.parent, repo, repo / "open.py"):
            os.chown(path, 65534, 65534)
        os.chmod(repo / "closed.py", 0o600)
        os.chmod(repo / "shut", 0o700)
        warm_up(tmp_path)

        def work() -> None:
            served = Caches(repo, ("alice",))
            alice = Process(served, "alice", 1)
            served.watch()
            assert set(alice.names()) == {"open.py", "closed.py", "shut"}
            for forbidden in (
                lambda: alice.read("closed.py"),
                lambda: alice.open("closed.py", os.O_RDWR),
                lambda: alice.names("shut"),
                lambda: alice.stat("shut/in.py"),
            ):
                try:
                    forbidden()
                except PermissionError:
                    continue
                raise AssertionError(forbidden)
            alice.read("open.py")
            alice.write("open.py", TEXT.replace(b"1", b"11"))
            assert (repo / "open.py").read_bytes() == TEXT.replace(b"1", b"11")
            (repo / "closed.py").unlink()
            served.watch()
            assert "closed.py" not in alice.names()
            served.close()

        assert as_nobody(work) == 0
    finally:
        import shutil

        shutil.rmtree(repo.parent)


def warm_up(tmp_path: Path) -> None:
    """Import what is imported late: nobody may not read the interpreter's folder everywhere."""
    repo = tmp_path / "warm"
    repo.mkdir()
    (repo / "a.py").write_bytes(TEXT)
    served = Caches(repo, ("alice", "bob"))
    served.watch()
    alice, bob = Process(served, "alice", 1), Process(served, "bob", 2)
    for worker in (alice, bob):
        worker.read("a.py")
    alice.write("a.py", TEXT.replace(b"1", b"11"))
    bob.write("a.py", TEXT.replace(b"2", b"22"))
    with pytest.raises(OSError, match="Refused"):
        Process(served, "bob", 2).write("a.py", TEXT.replace(b"1", b"12"))
    assert not served.findings()
    served.close()


def test_shadow_whose_rename_was_refused_stays_private_so_long_that_its_writer_can_remove_it(
    caches: Caches,
) -> None:
    (caches.repo / "folder").mkdir()
    alice = Process(caches, "alice", 1)
    alice.write("a.py.tmp.1", b"X = 1\n")
    (view,) = [view for view in caches.core.views.values() if view.agent == "alice"]
    view.shadows["a.py.tmp.1"] -= 100  # as after a wait for what another holds
    with pytest.raises(IsADirectoryError):
        alice.rename("a.py.tmp.1", "folder")
    caches.tend(min_age_s=50)
    assert not (caches.repo / "a.py.tmp.1").exists(), "nobody else has seen it, and no commit tells of it"
    view.shadows["a.py.tmp.1"] -= 100
    caches.tend(min_age_s=50)
    assert (caches.repo / "a.py.tmp.1").read_bytes() == b"X = 1\n", "its writer has left it"


@pytest.mark.parametrize(
    ("old", "new", "inside"),
    [("a.py", "b.py", ""), ("folder/a.py", "b.py", ""), ("folder", "empty", "/a.py"), ("a.py", "b.py~", "")],
)
def test_bytes_staged_on_both_names_of_anothers_rename_are_committed_or_kept(
    caches: Caches, old: str, new: str, inside: str
) -> None:
    for folder in ("folder", "empty"):
        (caches.repo / folder).mkdir()
    for path in ("folder/a.py", "b.py"):
        (caches.repo / path).write_bytes(TEXT)
    alice, bob = Process(caches, "alice", 1), Process(caches, "bob", 2)
    files = []
    for path, text in ((old + inside, b"ONE = 1\n"), (new + inside, b"TWO = 2\n")):
        with contextlib.suppress(FileNotFoundError):
            bob.read(path)
        files.append(bob.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CREAT))
        files[-1].write(0, text[:4])
    alice.rename(old, new)
    for file, rest in zip(files, (b"= 1\n", b"= 2\n"), strict=True):
        with contextlib.suppress(OSError, MakfsError):
            file.write(4, rest)
    for file in files:
        with contextlib.suppress(OSError, MakfsError):
            file.close()
    kept = [caches.core.store.refusal(each.number) for each in caches.core.store.refusals()]
    texts = [each.mine for each in kept if each is not None]
    texts += [alice.read(new + inside), bob.read(new + inside)]
    for text in (b"ONE = 1\n", b"TWO = 2\n"):
        assert any(text in each for each in texts), "V4: nothing staged is lost without a word"
    for view in caches.core.views.values():
        view.check()
    assert caches.findings() == []


def test_folder_that_became_a_link_in_circles_before_it_was_looked_at_is_not_there(caches: Caches) -> None:
    alice = Process(caches, "alice", 1)
    caches.watch()
    (caches.repo / "n").mkdir()
    (caches.repo / "n/in.py").write_bytes(TEXT)
    (caches.repo / "n").rename(caches.repo.parent / "away")
    (caches.repo / "n").symlink_to("n")
    caches.watch()
    assert caches.core.backing.lstat("n/in.py") is None
    assert list(caches.core.backing.walk("n")) == []
    assert alice.readlink("n") == "n"
    assert caches.findings() == []
