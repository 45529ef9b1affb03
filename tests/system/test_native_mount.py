"""The native transport on a real mount: what the kernel may keep, and what it hands to the file system."""

import errno
import mmap
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.mount

PATIENCE_S = 60
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "MAKFS_REPO"},
    "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
}


def makfs(*arguments: str | Path) -> None:
    command = [sys.executable, "-P", "-m", "makfs.cli", *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr.decode()


@pytest.fixture
def mounted(tmp_repo: Path, tmp_path: Path) -> Iterator[Path]:
    """Yield a mount with the views a and b."""
    (tmp_repo / "makfs.conf").write_text('[mount]\ntransport = "native"\n')
    place = tmp_path / "work"
    place.mkdir()
    makfs("mount", tmp_repo, place, "--agent", "a", "--agent", "b")
    try:
        yield place
    finally:
        makfs("umount", "--force", place)
        assert not os.path.ismount(place)


def settle(folder: Path) -> None:
    """Make a folder look as if nothing had changed in it for long, and let the kernel keep its listing."""
    for _ in range(3):
        list(folder.iterdir())


@pytest.mark.parametrize("who", ["another view", "the view itself", "the repository"])
def test_a_kept_listing_is_dropped_when_a_name_comes_or_goes(mounted: Path, tmp_repo: Path, who: str) -> None:
    mine = mounted / "a" / "app"
    place = {
        "another view": mounted / "b" / "app",
        "the view itself": mine,
        "the repository": tmp_repo / "app",
    }[who]
    expected = {"__init__.py", "greet.py"}
    settle(mine)
    for number in range(20):
        (place / f"new{number}.py").write_bytes(b"x = 1\n")
        expected.add(f"new{number}.py")
        assert set(os.listdir(mine)) == expected
        assert set(os.listdir(mine)) == expected
    for number in range(20):
        os.unlink(place / f"new{number}.py")
        expected.discard(f"new{number}.py")
        assert set(os.listdir(mine)) == expected
    assert set(os.listdir(mine)) == expected


def test_a_folder_that_stays_open_shows_what_another_view_makes_when_it_is_read_again(mounted: Path) -> None:
    fd = os.open(mounted / "a" / "app", os.O_RDONLY | os.O_DIRECTORY)
    try:
        before = set(os.listdir(fd))
        assert set(os.listdir(fd)) == before
        for number in range(20):
            (mounted / "b" / "app" / f"new{number}.py").write_bytes(b"x = 1\n")
            before.add(f"new{number}.py")
            assert set(os.listdir(fd)) == before
        os.rename(mounted / "b" / "app" / "new0.py", mounted / "b" / "app" / "other.py")
        assert set(os.listdir(fd)) == before - {"new0.py"} | {"other.py"}
    finally:
        os.close(fd)


def test_a_large_folder_is_listed_whole_and_once(mounted: Path, tmp_repo: Path) -> None:
    names = {f"file-{number:05}-{'x' * (number % 100)}.txt" for number in range(1500)}
    (tmp_repo / "many").mkdir()
    for name in names:
        (tmp_repo / "many" / name).write_bytes(b"")
    for _ in range(3):
        listed = os.listdir(mounted / "a" / "many")
        assert len(listed) == len(names)
        assert set(listed) == names


def write_a_byte(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, b"x")
    os.close(fd)


CHANGES: dict[str, Callable[[Path], object]] = {
    "write": write_a_byte,
    "truncate": lambda path: os.truncate(path, 2),
    "open": lambda path: os.close(os.open(path, os.O_WRONLY | os.O_TRUNC)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_privileged_bits_end_when_somebody_else_changes_the_content(
    mounted: Path, tmp_repo: Path, change: str
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file to be changed by somebody else")
    tool = mounted / "a" / "tool"
    tool.write_bytes(b"#!/bin/sh\n")
    os.chmod(tool, 0o6777)
    assert stat.S_IMODE(tool.stat().st_mode) == 0o6777
    for folder in [*tool.parents][:-1]:
        if folder.stat().st_mode & 0o005 != 0o005:
            os.chmod(folder, folder.stat().st_mode | 0o005)
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        CHANGES[change](tool)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert stat.S_IMODE(tool.stat().st_mode) == 0o777
    assert stat.S_IMODE((mounted / "b" / "tool").stat().st_mode) == 0o777
    assert stat.S_IMODE((tmp_repo / "tool").stat().st_mode) == 0o777


def test_what_is_mapped_and_changed_is_written(mounted: Path) -> None:
    file = mounted / "a" / "README.md"
    with open(file, "r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[2:5] = b"map"
    assert (mounted / "b" / "README.md").read_bytes() == b"# map\n"


def test_reserving_space_falls_back_to_writing(mounted: Path) -> None:
    with open(mounted / "a" / "big.bin", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, 10_000)
    assert (mounted / "b" / "big.bin").stat().st_size == 10_000


def test_extended_attributes_keep_their_flags_and_sizes(mounted: Path) -> None:
    file = mounted / "a" / "README.md"
    with pytest.raises(OSError, match=os.strerror(errno.ENODATA)):
        os.setxattr(file, "user.kind", b"x", os.XATTR_REPLACE)
    os.setxattr(file, "user.kind", b"a note", os.XATTR_CREATE)
    with pytest.raises(FileExistsError):
        os.setxattr(file, "user.kind", b"x", os.XATTR_CREATE)
    assert os.getxattr(file, "user.kind") == b"a note"
    assert os.listxattr(file) == ["user.kind"]
    os.removexattr(file, "user.kind")
    assert os.listxattr(file) == []
