"""Listings of a view: what the kernel knows already is given by number and type alone, and must be right."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.vfs.bare import BareEntry

pytestmark = pytest.mark.mount

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def makfs(*arguments: str | Path) -> None:
    command = [sys.executable, "-P", "-m", "makfs.cli", *map(str, arguments)]
    subprocess.run(command, env=ENVIRONMENT, check=True, timeout=60)


@pytest.fixture
def views(tmp_repo: Path, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    (tmp_repo / "link").symlink_to("README.md")
    mountpoint = tmp_path / "mnt"
    mountpoint.mkdir()
    makfs("mount", tmp_repo, mountpoint, "--agent", "alice", "--agent", "bob")
    try:
        yield mountpoint / "alice", mountpoint / "bob"
    finally:
        makfs("umount", mountpoint)


def listed(folder: Path) -> dict[str, tuple[int, int]]:
    kinds = {"is_dir": stat.S_IFDIR, "is_file": stat.S_IFREG, "is_symlink": stat.S_IFLNK}
    found: dict[str, tuple[int, int]] = {}
    for entry in os.scandir(folder):
        tests = (
            entry.is_dir(follow_symlinks=False),
            entry.is_file(follow_symlinks=False),
            entry.is_symlink(),
        )
        kind = next(kind for kind, yes in zip(kinds.values(), tests, strict=True) if yes)
        found[entry.name] = (entry.inode(), kind)
    return found


def looked_at(folder: Path) -> dict[str, tuple[int, int]]:
    found = {}
    for name in os.listdir(folder):
        st = os.lstat(folder / name)
        found[name] = (st.st_ino, stat.S_IFMT(st.st_mode))
    return found


def test_the_installed_pyfuse3_allows_bare_entries() -> None:
    assert BareEntry(), "listings fall back to a look-up for each name"


def test_a_listing_of_what_is_known_says_the_same_numbers_and_types(views: tuple[Path, Path]) -> None:
    alice, _ = views
    first = looked_at(alice)
    assert {"README.md", "app", "link"} <= first.keys()
    for _ in range(3):
        assert listed(alice) == first


def test_a_listing_shows_at_once_what_another_view_made_removed_and_renamed(views: tuple[Path, Path]) -> None:
    alice, bob = views
    looked_at(alice)
    (bob / "new.py").write_text("x = 1\n")
    (bob / "README.md").unlink()
    (bob / "link").rename(bob / "moved")
    assert listed(alice) == looked_at(alice)
    assert {"new.py", "moved"} <= listed(alice).keys()
    assert not {"README.md", "link"} & listed(alice).keys()


def test_a_listing_shows_attributes_that_another_view_changed(views: tuple[Path, Path]) -> None:
    alice, bob = views
    looked_at(alice)
    (bob / "README.md").write_text("# a much longer text\n")
    (bob / "README.md").chmod(0o600)
    listed(alice)
    st = (alice / "README.md").stat()
    assert (st.st_size, stat.S_IMODE(st.st_mode)) == (21, 0o600)
