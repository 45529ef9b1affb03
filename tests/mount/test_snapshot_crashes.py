"""kill -9 at every step of publish, refresh and discard: the view is as it was, or all of it is done."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import tests.mount.mounted
from makfs.cli.client import Client, Closed
from makfs.wire.verbs import Discard, Publish, Refresh
from tests.mount.mounted import Mounted, listing, snapshot_and_live

pytestmark = pytest.mark.mount
ORDERS: dict[str, type[Discard | Publish | Refresh]] = {
    "publish": Publish,
    "refresh": Refresh,
    "discard": Discard,
}
DEEP = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
TEXT = b"def f():\n    return 1\n\n\ndef g():\n    return 2\n"
KILLER = """
# Ends the daemon at the n-th change of a view's private files, once `armed` says n.
import os, signal
HERE = os.path.dirname(__file__)
left = None
def step():
    global left
    try:
        with open(HERE + "/armed") as file:
            left = int(file.read()) if left is None else left
    except FileNotFoundError:
        left = None
        return
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
def watched(call):
    def changed(path, *more, **named):
        at = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
        if "/views/alice/" not in at or "/base" in at or "/git.new/" in at:  # copies, made again when needed
            return call(path, *more, **named)
        step()
        answer = call(path, *more, **named)
        if call is replace:  # a file that decides something: what follows may be the commit
            step()
        return answer
    return changed
replace = os.replace
for name in ("unlink", "rename", "replace", "rmdir"):
    setattr(os, name, watched(getattr(os, name)))
"""


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mounted]:
    """Serve a repository by a daemon that can be told to end: alice in a snapshot view, bob in a live one."""
    (tmp_path / "killer").mkdir()
    (tmp_path / "killer/sitecustomize.py").write_text(KILLER)
    packages = f"{tmp_path / 'killer'}{os.pathsep}{tests.mount.mounted.PACKAGES}"
    monkeypatch.setattr(tests.mount.mounted, "PACKAGES", packages)
    repo = tmp_path / "repo"
    (repo / "lib").mkdir(parents=True)
    (repo / "f.py").write_bytes(TEXT)
    (repo / "lib/gone.txt").write_bytes(b"gone\n")
    (repo / "lib/stays.txt").write_bytes(b"stays\n")
    subprocess.run(["git", "init", "-q", "--template=", str(repo)], check=True)
    with snapshot_and_live(repo, tmp_path / "work") as mounted:
        yield mounted


def tree(top: Path) -> dict[str, tuple[int, object]]:
    return {path: what for path, what in listing(top).items() if path.split("/")[0] != ".git"}


def give(mounted: Mounted, order: str) -> None:
    """Give an order without the start of a command. Raises Closed if the daemon ends at it."""
    with Client(str(mounted.repo)) as daemon:
        daemon.ask(ORDERS[order]("alice"))


def change(mounted: Mounted, turn: int) -> None:
    """Let bob commit, and alice change something else: also in bob's file, by other nodes."""
    for view in (mounted.alice, mounted.bob):
        (view / "f.py").write_bytes(TEXT)  # each turn begins alike
    give(mounted, "publish")
    give(mounted, "discard")
    mine = TEXT.replace(b"return 2", b"return %d" % (2000 + turn))
    (mounted.alice / "f.py").write_bytes(mine)
    (mounted.alice / f"new{turn}").mkdir()
    (mounted.alice / f"new{turn}/file.txt").write_bytes(b"%d\n" % turn)
    (mounted.alice / f"lib/gone{turn - 1 if turn else ''}.txt").rename(mounted.alice / f"lib/gone{turn}.txt")
    (mounted.bob / "f.py").write_bytes(TEXT.replace(b"return 1", b"return %d" % (100 + turn)))


def end_at(mounted: Mounted, point: int, order: str) -> bool:
    """Carry out an order by a daemon that is killed at a point; tell whether it was."""
    armed = mounted.repo.parent / "killer/armed"
    armed.write_text(str(point))
    try:
        give(mounted, order)
    except Closed:
        assert mounted.daemon is not None
        assert mounted.daemon.wait(60) == -signal.SIGKILL
        mounted.daemon = None
    armed.unlink()
    if mounted.daemon is not None:
        return False
    subprocess.run(["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=False, capture_output=True)
    mounted.start()
    return True


@pytest.mark.parametrize("order", ["publish", "refresh", "discard"])
def test_kill_at_any_step_leaves_all_or_nothing(mounted: Mounted, order: str) -> None:
    """Of discard, most of whose steps remove a file, every third; in the profile `deep` every one."""
    points, stride = 0, 3 if order == "discard" and not DEEP else 1
    while True:
        change(mounted, points)
        alice, bob = tree(mounted.alice), tree(mounted.bob)
        killed = end_at(mounted, points * stride, order)
        both = TEXT.replace(b"return 1", b"return %d" % (100 + points))
        if order != "discard":
            both = both.replace(b"return 2", b"return %d" % (2000 + points))
        if tree(mounted.alice) == alice and killed:  # nothing was done
            assert tree(mounted.bob) == bob
            give(mounted, order)
        assert (mounted.alice / "f.py").read_bytes() == both
        if order == "refresh":
            assert tree(mounted.bob) == bob
            give(mounted, "publish")
        assert tree(mounted.alice) == tree(mounted.bob)
        assert (mounted.bob / f"new{points}").exists() is (order != "discard")
        give(mounted, "publish")  # nothing is left to do
        assert tree(mounted.alice) == tree(mounted.bob)
        if order == "discard":
            (mounted.bob / f"lib/gone{points - 1 if points else ''}.txt").rename(
                mounted.bob / f"lib/gone{points}.txt"
            )
        if not killed:
            break
        points += 1
    assert points * stride >= {"publish": 10, "refresh": 8, "discard": 18}[order]
