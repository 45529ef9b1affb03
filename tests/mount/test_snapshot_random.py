"""A snapshot view against a plain directory: whatever is done in it, and whatever others do meanwhile.

Names what is promised of the layers (P1, P2), of publishing (B1, B3), of merging (O2) and of moving (S1, S2).
"""

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from makfs.engine.lower import is_shared_git
from makfs.engine.ownwork import Piece, Plan
from makfs.engine.publishing import State
from makfs.engine.standing import PUBLISHED
from makfs.engine.together import NOTHING, Thing
from makfs.store.model import FileKind
from tests.mount.mounted import PACKAGES, Mounted, listing, outcome, snapshot_and_live

pytestmark = pytest.mark.mount
NAMES = ("a", "b", "d", "d/a", "d/b", "d/e", "d/e/a", "f", "f/a")
STEPS, ROUNDS = 60, 6


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Mounted]:
    """Serve a repository: alice in a snapshot view, bob in a live one."""
    repo = tmp_path / "repo"
    (repo / "d/e").mkdir(parents=True)
    for name in ("a", "d/a", "d/b", "d/e/a"):
        (repo / name).write_text(f"{name}\n" * 3)
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    with snapshot_and_live(repo, tmp_path / "work") as mounted:
        yield mounted
    assert not mounted.complaints(), mounted.complaints()[0]


def tree(top: Path) -> dict[str, tuple[int, object]]:
    return {path: what for path, what in listing(top).items() if path.split("/")[0] != ".git"}


def a_step(chance: random.Random) -> Callable[[Path], object]:
    """Return one change of a tree, the same for whatever tree it is given."""
    one, two, text = chance.choice(NAMES), chance.choice(NAMES), f"{chance.random()}\n"
    mode = chance.choice((0o644, 0o755))

    def write(top: Path) -> object:
        return (top / one).write_text(text)

    def append(top: Path) -> object:
        with (top / one).open("r+") as file:
            file.seek(0, os.SEEK_END)
            return file.write(text)

    def save(top: Path) -> object:
        (top / f"{one}.new").write_text(text)
        os.rename(top / f"{one}.new", top / one)
        return True

    steps: tuple[Callable[[Path], object], ...] = (
        write, append, save,
        lambda top: os.truncate(top / one, 3),
        lambda top: os.unlink(top / one),
        lambda top: os.mkdir(top / one, 0o755),
        lambda top: os.rmdir(top / one),
        lambda top: os.rename(top / one, top / two),
        lambda top: os.symlink(two, top / one),
        lambda top: os.chmod(top / one, mode) if not (top / one).is_symlink() else None,
        lambda top: (top / one).read_bytes(),
        lambda top: sorted(os.listdir(top / one)),
    )  # fmt: skip
    return chance.choice(steps)


def is_done(mounted: Mounted, *arguments: str) -> bool:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli", "-C", mounted.repo, *arguments],
        env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stderr
    assert not said or "Nothing was changed" in said, said
    return not said


@pytest.mark.parametrize("seed", [0, 1, 3, 15, 16, 28, 31])
def test_view_is_a_directory_of_its_own_until_it_moves(mounted: Mounted, tmp_path: Path, seed: int) -> None:
    chance, native = random.Random(seed), tmp_path / "native"
    for round_ in range(ROUNDS):
        shutil.rmtree(native, ignore_errors=True)
        shutil.copytree(mounted.alice, native, symlinks=True, ignore=shutil.ignore_patterns(".git"))
        for number in range(STEPS):
            step = a_step(chance)
            seen, wanted = outcome(lambda: step(mounted.alice)), outcome(lambda: step(native))  # noqa: B023
            assert seen == wanted, (round_, number)
            if chance.random() < 0.3:
                other = a_step(chance)
                outcome(lambda: other(mounted.bob))  # noqa: B023
        own = tree(native)
        assert tree(mounted.alice) == own, "P2"
        if chance.random() < 0.3:
            mounted.remount()
            assert tree(mounted.alice) == own
        bobs = tree(mounted.bob)
        if chance.random() < 0.5 and not is_done(mounted, "refresh", "alice"):
            assert tree(mounted.alice) == own, "S1"
        assert tree(mounted.bob) == bobs
        own = tree(mounted.alice)
        if is_done(mounted, "publish", "alice"):
            assert tree(mounted.alice) == tree(mounted.bob), "B1, B3, O2"
        else:
            assert (tree(mounted.alice), tree(mounted.bob)) == (own, bobs), "B1"
            mounted.makfs("discard", "alice")
            assert tree(mounted.alice) == tree(mounted.bob) == bobs
    assert PUBLISHED == "published"  # what the next start looks for (S1)


def test_objects_of_git_are_shared_and_nothing_else_of_it() -> None:
    """P3."""
    shared = [".git/objects", ".git/objects/ab/c", ".git/lfs/objects/x", ".git/modules/sub/objects/ab"]
    own = [
        ".git",
        ".git/HEAD",
        ".git/refs/heads/objects",
        ".git/modules/sub/HEAD",
        "objects",
        "a/.git/objects",
    ]
    assert [path for path in shared + own if is_shared_git(path)] == shared


def test_removed_file_whose_text_is_in_one_new_file_has_moved() -> None:
    """O1: what only one side changed is that side's."""
    text, other = Thing(FileKind.FILE, 0o644, b"text\n"), Thing(FileKind.FILE, 0o644, b"other\n")
    pieces = (
        Piece("gone", NOTHING, text, NOTHING),
        Piece("new", text, NOTHING, text),
        Piece("newer", text, NOTHING, text),
        Piece("unlike", other, NOTHING, other),
        Piece("theirs", text, other, other),
    )
    wants = {want.path: want.moved_from for want in Plan(pieces, ()).wants()}
    assert wants == {"gone": None, "new": "gone", "newer": None, "unlike": None}
    assert State(0, (), ()).conflicts == ()
