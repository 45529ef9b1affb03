"""What one view's names and handles are worth while another view changes the same files."""

import errno
import os
import stat
import threading

import pytest

from tests.mount.mounted import Mounted, outcome

pytestmark = pytest.mark.mount
OLD = b"def f():\n    return 1\n\n\ndef g():\n    return 1\n"


def test_name_that_another_view_replaces_again_and_again_is_always_there(shared: Mounted) -> None:
    file = shared.alice / "target.txt"
    file.write_bytes(b"start\n")
    for number in range(300):
        (shared.repo / f"r{number}.txt").write_bytes(b"number %d\n" % number)
    going = threading.Event()
    missed: list[object] = []

    def look() -> None:
        while not going.is_set():
            try:
                (shared.bob / "target.txt").read_bytes()
            except OSError as error:
                missed.append(errno.errorcode[error.errno or 0])

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for number in range(300):  # files that no view made replace it: what a view makes is taken for a save
            os.rename(shared.alice / f"r{number}.txt", file)
    finally:
        going.set()
        looker.join()
    assert not missed
    assert (shared.bob / "target.txt").read_bytes() == b"number 299\n"


def test_write_to_a_file_that_another_view_deletes_meanwhile_is_refused_at_once(shared: Mounted) -> None:
    file = shared.alice / "doomed.py"
    file.write_bytes(OLD)
    fd = os.open(file, os.O_WRONLY)
    os.pwrite(fd, b"3", OLD.index(b"1"))
    os.unlink(shared.bob / "doomed.py")
    assert outcome(lambda: os.pwrite(fd, b"4", OLD.index(b"1"))) == "EBUSY"
    assert os.fstat(fd).st_nlink == 0
    outcome(lambda: os.close(fd))
    assert not file.exists()
    assert "deleted by another agent" in (shared.alice / ".makfs" / "why").read_text()


def test_staged_bytes_follow_a_folder_that_another_view_renames(shared: Mounted) -> None:
    (shared.alice / "one").mkdir()
    (shared.alice / "one" / "f.py").write_bytes(OLD)
    changed = os.open(shared.alice / "one" / "f.py", os.O_RDWR)
    os.pwrite(changed, b"8", OLD.index(b"1"))
    made = os.open(shared.alice / "one" / "new.py", os.O_WRONLY | os.O_CREAT)
    os.write(made, b"new = 1\n")
    os.rename(shared.bob / "one", shared.bob / "two")
    os.pwrite(changed, b"9", OLD.rindex(b"1"))
    os.close(changed)
    os.close(made)
    for view in (shared.alice, shared.bob, shared.repo):
        assert not (view / "one").exists()
        assert (view / "two" / "f.py").read_bytes() == OLD.replace(b"1", b"8", 1).replace(b"1", b"9")
        assert (view / "two" / "new.py").read_bytes() == b"new = 1\n"


def test_file_being_written_is_merged_onto_what_another_view_renames_over_it(shared: Mounted) -> None:
    (shared.alice / "written.py").write_bytes(OLD)
    fd = os.open(shared.alice / "written.py", os.O_RDWR)
    os.pwrite(fd, b"8", OLD.index(b"1"))
    (shared.repo / "arrives.py").write_bytes(
        OLD.replace(b"def g():\n    return 1", b"def g():\n    return 2")
    )
    os.rename(shared.bob / "arrives.py", shared.bob / "written.py")
    os.close(fd)
    both = b"def f():\n    return 8\n\n\ndef g():\n    return 2\n"
    assert (shared.bob / "written.py").read_bytes() == (shared.repo / "written.py").read_bytes() == both
    assert (shared.alice / "written.py").read_bytes() == both


def test_private_file_stays_when_another_view_moves_a_tracked_one_of_its_name(shared: Mounted) -> None:
    (shared.repo / "note.txt~").write_bytes(b"tracked\n")
    (shared.alice / "note.txt").write_bytes(b"text\n")
    assert (shared.bob / "note.txt~").read_bytes() == b"tracked\n"
    os.rename(shared.alice / "note.txt~", shared.alice / "kept.txt")
    fd = os.open(shared.bob / "note.txt~", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"private to bob\n")
    (shared.repo / "note.txt~").write_bytes(b"tracked again\n")
    os.rename(shared.alice / "note.txt~", shared.alice / "moved.txt")
    os.write(fd, b"still\n")
    os.close(fd)
    assert (shared.bob / "note.txt~").read_bytes() == b"private to bob\nstill\n"
    assert (shared.bob / "moved.txt").read_bytes() == b"tracked again\n"


def test_handle_of_a_temporary_file_that_was_renamed_over_a_file_writes_on(shared: Mounted) -> None:
    file, temporary = shared.alice / "saved.py", shared.alice / "saved.py~"
    file.write_bytes(OLD)
    file.read_bytes()
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT)
    os.write(fd, OLD.replace(b"1", b"3", 1))
    os.rename(temporary, file)
    assert (shared.bob / "saved.py").read_bytes() == OLD.replace(b"1", b"3", 1)
    (shared.bob / "saved.py").write_bytes(OLD.replace(b"1", b"4", 1))
    # The kernel caches what this handle writes: a refusal must wait for the close, or both wait for ever.
    assert outcome(lambda: os.pwrite(fd, OLD.replace(b"1", b"5", 1), 0)) == len(OLD)
    assert outcome(lambda: os.close(fd)) == "EBUSY"
    assert file.read_bytes() == (shared.bob / "saved.py").read_bytes() == OLD.replace(b"1", b"4", 1)


def test_reader_of_a_folder_that_another_view_moves_finds_it_or_finds_nothing(shared: Mounted) -> None:
    """Nothing else: no stale handle, no half of a path."""
    mine, theirs = (top / "moving" for top in (shared.alice, shared.bob))
    (mine / "a/d").mkdir(parents=True)
    (mine / "a/d/f.txt").write_bytes(b"text\n")
    seen: set[object] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for top in ("a", "b"):
                path = theirs / top / "d"
                seen.add(outcome(lambda at=path: (at / "f.txt").read_bytes()))  # type: ignore[misc]
                seen.add(outcome(lambda at=path: stat.S_IFMT(os.stat(at / "f.txt").st_mode)))  # type: ignore[misc]
                seen.add(outcome(lambda at=path: tuple(os.listdir(at))))  # type: ignore[misc]

    readers = [threading.Thread(target=read) for _ in range(2)]
    for each in readers:
        each.start()
    try:
        for _ in range(20):
            (mine / "a").rename(mine / "b")
            (mine / "b").rename(mine / "a")
    finally:
        done.set()
        for each in readers:
            each.join()
    assert seen <= {"ENOENT", b"text\n", stat.S_IFREG, ("f.txt",)}
    assert len(seen) > 1, "it was read meanwhile"
