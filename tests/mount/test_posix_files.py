"""Files as ext4 has them: the same system calls on a view and on a plain directory, seen and left alike."""

import fcntl
import mmap
import os
import stat
from pathlib import Path

import pytest

from tests.mount.conftest import Same
from tests.mount.mounted import Mounted, in_child, outcome

pytestmark = pytest.mark.mount
WRITE = os.O_WRONLY | os.O_CREAT


def look(fd: int) -> tuple[int, int, int, bytes]:
    """Return mode, links, size and bytes of an open file."""
    st = os.fstat(fd)
    return (st.st_mode, st.st_nlink, st.st_size, os.pread(fd, 1 << 20, 0))


def test_appending_handles_both_write_at_the_end(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "f.txt").write_bytes(b"start\n")
        one = os.open(root / "f.txt", os.O_WRONLY | os.O_APPEND)
        two = os.open(root / "f.txt", os.O_RDWR | os.O_APPEND)
        os.write(one, b"one\n")
        os.write(two, b"two\n")
        os.lseek(one, 0, os.SEEK_SET)
        os.write(one, b"three\n")
        seen = [look(two), os.lseek(one, 0, os.SEEK_CUR)]
        os.close(one)
        os.close(two)
        return seen

    assert same(scenario)


def test_exclusive_creation_fails_on_a_file_a_folder_and_a_dangling_link(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "file.py").write_bytes(b"")
        (root / "folder").mkdir()
        (root / "link").symlink_to("nowhere")
        return [
            outcome(lambda name=name: os.open(root / name, WRITE | os.O_EXCL))  # type: ignore[misc]
            for name in ("file.py", "folder", "link")
        ]

    assert same(scenario) == ["EEXIST"] * 3


def test_truncating_open_empties_the_file_under_another_handle(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "f.py").write_bytes(b"x = 1\n" * 100)
        reader = os.open(root / "f.py", os.O_RDONLY)
        os.pread(reader, 10, 0)
        writer = os.open(root / "f.py", os.O_WRONLY | os.O_TRUNC)
        seen = [look(reader)]
        os.pwrite(writer, b"y\n", 3)
        seen.append(look(reader))
        os.close(writer)
        seen.append(look(reader))
        os.close(reader)
        return seen

    assert same(scenario)


def test_file_opened_to_read_and_write_is_made_and_reads_what_it_wrote(same: Same) -> None:
    def scenario(root: Path) -> object:
        fd = os.open(root / "new.py", os.O_RDWR | os.O_CREAT, 0o640)
        os.write(fd, b"a = 1\n")
        seen = [look(fd), outcome(lambda: os.pread(fd, 3, 100))]
        os.pwrite(fd, b"b", 0)
        seen.append(look(fd))
        os.close(fd)
        return seen

    assert same(scenario)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
def test_file_is_cut_and_extended_with_zeros(same: Same, size: int) -> None:
    def scenario(root: Path) -> object:
        path = root / "f.txt"
        path.write_bytes(b"0123456789" * 500)
        os.truncate(path, size)
        seen: list[object] = [path.read_bytes(), path.stat().st_size]
        fd = os.open(path, os.O_RDWR)
        os.ftruncate(fd, 3)
        os.ftruncate(fd, 9)
        seen.append(look(fd))
        os.close(fd)
        return seen

    assert same(scenario)


def test_hole_between_writes_reads_as_zeros(same: Same) -> None:
    def scenario(root: Path) -> object:
        fd = os.open(root / "sparse.bin", os.O_RDWR | os.O_CREAT)
        os.pwrite(fd, b"end", 70_000)
        os.pwrite(fd, b"start", 0)
        seen = [look(fd)]
        os.close(fd)
        return [seen, (root / "sparse.bin").read_bytes()]

    assert same(scenario)


@pytest.mark.parametrize("name", ["f.py", "f.py~", ".f.py.swp"])
def test_unlinked_file_lives_on_for_who_has_it_open(same: Same, name: str) -> None:
    def scenario(root: Path) -> object:
        path = root / name
        path.write_bytes(b"x = 1\n")
        fd = os.open(path, os.O_RDWR)
        reader = os.open(path, os.O_RDONLY)
        os.unlink(path)
        seen: list[object] = [look(fd), outcome(lambda: os.stat(path))]
        os.pwrite(fd, b"longer than it was\n", 2)
        seen.append(look(reader))
        os.ftruncate(fd, 4)
        os.fchmod(fd, 0o600)
        os.utime(fd, ns=(1_000_000_007, 2_000_000_009))
        st = os.fstat(fd)
        seen.append([look(reader), st.st_atime_ns, st.st_mtime_ns])
        path.write_bytes(b"another\n")
        seen.append([look(fd), path.read_bytes()])
        os.close(fd)
        seen.append(look(reader))
        os.close(reader)
        os.unlink(path)
        return seen

    assert same(scenario)


def test_file_that_was_being_made_when_it_was_unlinked_leaves_nothing(same: Same) -> None:
    def scenario(root: Path) -> object:
        fd = os.open(root / "new.py", os.O_RDWR | os.O_CREAT, 0o604)
        os.write(fd, b"x = 1\n")
        os.unlink(root / "new.py")
        os.write(fd, b"y = 2\n")
        seen = [look(fd), os.listdir(root)]
        os.close(fd)
        return seen

    assert same(scenario)


def test_replaced_file_keeps_its_staged_bytes_for_who_has_it_open(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "f.py").write_bytes(b"old = 1\n")
        fd = os.open(root / "f.py", os.O_RDWR | os.O_TRUNC)
        os.pwrite(fd, b"staged = 2\n", 0)
        (root / "g.py").write_bytes(b"other = 3\n")
        os.rename(root / "g.py", root / "f.py")
        seen = [look(fd), (root / "f.py").read_bytes()]
        os.close(fd)
        return seen

    assert same(scenario)


def test_duplicated_descriptor_may_be_closed_while_the_file_is_written(same: Same) -> None:
    def scenario(root: Path) -> object:
        fd = os.open(root / "f.py", os.O_RDWR | os.O_CREAT)
        other = os.dup(fd)
        os.close(other)
        os.write(fd, b"x = 1\n")
        os.close(os.dup(fd))
        seen = [(root / "f.py").read_bytes()]
        os.write(fd, b"y = 2\n")
        seen.append((root / "f.py").read_bytes())
        os.close(fd)
        return seen

    assert same(scenario)


@pytest.mark.parametrize("size", [1, 4095, 4096, 4097, 12_288, 65_535, 65_536, 65_537, 300_000])
def test_first_reader_of_a_file_gets_all_of_it_by_read_and_by_map(mounted: Mounted, size: int) -> None:
    text = os.urandom(size)
    (mounted.repo / "read").write_bytes(text)
    (mounted.repo / "mapped").write_bytes(text)
    assert (mounted.alice / "read").read_bytes() == text
    assert (mounted.alice / "read").read_bytes() == text
    file = os.open(mounted.alice / "mapped", os.O_RDONLY)
    with mmap.mmap(file, 0, prot=mmap.PROT_READ) as mapped:
        os.close(file)
        assert mapped[:] == text
    (mounted.bob / "read").write_bytes(text[::-1] + b"!")
    assert (mounted.alice / "read").read_bytes() == text[::-1] + b"!"


def test_shared_mapping_is_read_and_written(same: Same) -> None:
    def scenario(root: Path) -> object:
        path = root / "m.txt"
        path.write_bytes(b"." * 10_000)
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as area:
            area[5000:5005] = b"hello"
            seen: list[object] = [area[4998:5007]]
            area.flush()
            seen.append(os.pread(file.fileno(), 9, 4998))
            area[0:2] = b"**"
        with open(path, "rb") as again, mmap.mmap(again.fileno(), 0, access=mmap.ACCESS_READ) as area:
            seen.append(area[:3])
        return seen

    assert same(scenario) == [b"..hello..", b"..hello..", b"**."]


def test_mapping_of_a_private_copy_changes_nothing(same: Same) -> None:
    def scenario(root: Path) -> object:
        path = root / "m.py"
        path.write_bytes(b"x = 1\n")
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY) as area:
            area[0:1] = b"y"
            return [area[:], path.read_bytes()]

    assert same(scenario) == [b"y = 1\n", b"x = 1\n"]


def test_copy_file_range_and_fallocate_do_what_they_do_elsewhere(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "a").write_bytes(b"0123456789" * 1000)
        source = os.open(root / "a", os.O_RDONLY)
        target = os.open(root / "b", os.O_RDWR | os.O_CREAT)
        seen: list[object] = [os.copy_file_range(source, target, 5000, 3, 10), look(target)]
        os.posix_fallocate(target, 4000, 5000)
        seen.append(look(target))
        os.close(source)
        os.close(target)
        return seen

    assert same(scenario)


def test_locks_of_processes_exclude_each_other_within_a_view(same: Same) -> None:
    def scenario(root: Path) -> object:
        path = root / "db.sqlite"
        path.write_bytes(b"0" * 100)
        seen = []
        for take in (
            lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 10, 20),
            lambda fd: fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
        ):
            fd = os.open(path, os.O_RDWR)
            seen.append(outcome(lambda: take(fd)))  # noqa: B023 - called at once
            seen.append(in_child(lambda: take(os.open(path, os.O_RDWR))))  # noqa: B023
            os.close(fd)
            seen.append(in_child(lambda: take(os.open(path, os.O_RDWR))))  # noqa: B023
        return seen

    assert same(scenario) == [None, "'EAGAIN'", "None"] * 2


def test_bytes_of_any_kind_come_back(same: Same) -> None:
    def scenario(root: Path) -> object:
        texts = [
            b"\0" * 5000,
            bytes(range(256)) * 30,
            b"\xff\xfe",
            b"\xef\xbb\xbfx = 1\r\n",
            b"def f(:\n",
            b"\f\x1a",
        ]
        for number, text in enumerate(texts):
            (root / f"f{number}.py").write_bytes(text)
            with open(root / f"f{number}.py", "ab") as file:
                file.write(text)
        return [(root / f"f{number}.py").read_bytes() for number in range(len(texts))]

    assert same(scenario)


def test_handle_follows_a_file_through_renames_saves_and_exchanges(same: Same) -> None:
    def scenario(root: Path) -> object:
        (root / "d").mkdir()
        (root / "d" / "f.py").write_bytes(b"x = 1\n")
        (root / "g.py").write_bytes(b"g = 1\n")
        fd = os.open(root / "d" / "f.py", os.O_RDWR)
        os.pwrite(fd, b"a", 0)
        os.rename(root / "d", root / "e")
        os.pwrite(fd, b"b", 1)
        os.rename(root / "e" / "f.py", root / "g.py")
        os.pwrite(fd, b"c", 2)
        seen = [look(fd), (root / "g.py").read_bytes()]
        os.rename(root / "g.py", root / "g.py~")  # an editor's backup is private to the view
        os.pwrite(fd, b"d", 3)
        seen += [look(fd), (root / "g.py~").read_bytes()]
        os.rename(root / "g.py~", root / "h.py")
        os.pwrite(fd, b"e", 4)
        seen += [look(fd), (root / "h.py").read_bytes()]
        os.close(fd)
        return seen

    assert same(scenario)


def test_file_of_each_mode_is_made_and_changed(same: Same) -> None:
    def scenario(root: Path) -> object:
        seen = []
        for mode in (0o644, 0o600, 0o755, 0o444, 0o000, 0o4755, 0o2755):
            path = root / f"{mode:o}.sh"
            os.close(os.open(path, WRITE, mode))
            os.chmod(path, mode)
            seen.append(stat.S_IMODE(os.stat(path).st_mode))
        return seen

    assert same(scenario)


@pytest.mark.parametrize("place", [".git/linked", "ignored"])
def test_hard_links_of_untracked_files_show_each_others_bytes_at_once(shared: Mounted, place: str) -> None:
    (shared.alice / ".gitignore").write_bytes(b"/ignored/\n")
    folder = shared.alice / place
    folder.mkdir()
    (folder / "one").write_bytes(b"first")
    reader = os.open(folder / "one", os.O_RDONLY)
    assert os.pread(reader, 100, 0) == b"first"
    os.link(folder / "one", folder / "two")
    assert [(folder / name).stat().st_nlink for name in ("one", "two")] == [2, 2]
    with open(folder / "two", "ab") as file:
        file.write(b" and more" * 1000)
    assert os.pread(reader, 10_000, 0) == (folder / "one").read_bytes() == b"first" + b" and more" * 1000
    os.close(reader)
    os.unlink(folder / "one")
    assert (folder / "two").stat().st_nlink == 1
