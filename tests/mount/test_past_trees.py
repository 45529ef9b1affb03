"""`@head` and `@SEQ`: read-only, and true."""

import errno
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.hands import Hand
from tests.mount.mounted import Mounted, listing

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]


def head(served: Mounted) -> int:
    commits = json.loads(served.makfs("log", "--json", "-n", "1"))
    return commits[0]["seq"] if commits else 0


def test_past_tree_shows_what_every_file_was(mounted: Mounted, hand: Hands) -> None:
    """Text, mode, links, folders, moves and deletions, at every commit."""
    alice = hand()
    top = mounted.alice
    start = listing(top)
    start.pop(".git", None)

    def now() -> dict[str, tuple[int, object]]:
        return {
            path: what
            for path, what in listing(top).items()
            if path != ".git" and not path.startswith(".git/")
        }

    seen = {head(mounted): now()}
    steps: list[Callable[[], object]] = [
        lambda: alice.write(top / "app/greet.py", b"X = 1\n"),
        lambda: alice.write(top / "new.py", b"Y = 1\n"),
        lambda: alice.do("mkdir", top / "lib"),
        lambda: alice.do("rename", top / "app/greet.py", top / "lib/greet.py"),
        lambda: alice.write(top / "lib/greet.py", b"X = 2\n"),
        lambda: alice.do("symlink", "new.py", top / "link"),
        lambda: alice.do("chmod", top / "new.py", 0o755),
        lambda: alice.do("rename", top / "lib", top / "core"),
        lambda: alice.do("unlink", top / "new.py"),
        lambda: alice.do("unlink", top / "core/greet.py"),
        lambda: alice.do("rmdir", top / "core"),
        lambda: alice.write(top / "new.py", b"again\n"),
    ]
    for step in steps:
        step()
        seen[head(mounted)] = now()
    assert len(seen) == len(steps) + 1
    for seq, expected in seen.items():
        found = {
            path: what for path, what in listing(mounted.mountpoint / f"@{seq}").items() if path != ".git"
        }
        assert found == expected, seq


def test_head_is_the_newest_at_once(served: Mounted, greet: str, hand: Hands) -> None:
    at_head = served.mountpoint / "@head" / greet
    before = at_head.read_bytes()
    hand().write(served.alice / greet, before + b"\n\nX = 1\n")
    assert at_head.read_bytes() == before + b"\n\nX = 1\n"
    assert at_head.stat().st_size == len(before) + 8


def refuses(errno_: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        call()
    assert caught.value.errno == errno_, caught.value


def test_frozen_trees_take_no_writes(served: Mounted, greet: str, hand: Hands) -> None:
    hand().write(served.alice / greet, b"X = 1\n")
    for top in (served.mountpoint / "@head", served.mountpoint / f"@{head(served)}"):
        path = top / greet
        refuses(errno.EROFS, lambda path=path: path.write_bytes(b""))  # type: ignore[misc]
        refuses(errno.EROFS, lambda path=path: path.unlink())  # type: ignore[misc]
        refuses(errno.EROFS, lambda path=path: os.rename(path, path.with_name("x")))  # type: ignore[misc]
        refuses(errno.EROFS, lambda path=path: path.with_name("d").mkdir())  # type: ignore[misc]
        refuses(errno.EROFS, lambda path=path: path.with_name("x").write_bytes(b""))  # type: ignore[misc]
        refuses(errno.EROFS, lambda path=path: os.truncate(path, 0))  # type: ignore[misc]
        refuses(errno.EROFS, lambda path=path: os.chmod(path, 0o600))  # type: ignore[misc]
        refuses(errno.EROFS, lambda path=path: os.utime(path, (1, 1)))  # type: ignore[misc]
        refuses(errno.EROFS, lambda path=path: os.symlink("x", path.with_name("s")))  # type: ignore[misc]
        assert path.read_bytes() == b"X = 1\n"


def test_names_of_past_trees_that_do_not_exist_are_absent(served: Mounted) -> None:
    for name in ("@99999999", "@-1", "@01", "@", "@x", "@1x", "@²"):
        assert not (served.mountpoint / name).exists(), name


def test_rename_out_of_a_frozen_tree_crosses_devices(served: Mounted, greet: str) -> None:
    refuses(errno.EROFS, lambda: os.rename(served.mountpoint / "@head" / greet, served.alice / "x.py"))
    refuses(errno.EXDEV, lambda: os.rename(served.bob / greet, served.alice / "x.py"))


def test_views_are_made_and_removed_by_mkdir_and_rmdir(served: Mounted, greet: str) -> None:
    carol = served.mountpoint / "carol"
    carol.mkdir()
    assert (carol / greet).exists()
    assert "carol" in os.listdir(served.mountpoint)
    refuses(errno.EEXIST, carol.mkdir)
    with (carol / greet).open("rb"):
        refuses(errno.EBUSY, carol.rmdir)
    carol.rmdir()
    assert not carol.exists()
    refuses(errno.ENOENT, carol.rmdir)


@pytest.mark.parametrize(
    "name", [".hidden", "a.", "a b", "@7", "@new", "external", "x" * 65, "caf\xe9", ".makfs"]
)
def test_name_that_no_agent_may_have_is_refused(served: Mounted, name: str) -> None:
    with pytest.raises(OSError, match=r".") as caught:
        os.mkdir(served.mountpoint / name)
    assert caught.value.errno in (errno.EINVAL, errno.EEXIST, errno.EPERM)
    assert name not in os.listdir(served.mountpoint)


def test_top_takes_nothing_but_views(served: Mounted) -> None:
    refuses(errno.EPERM, lambda: (served.mountpoint / "file").write_bytes(b""))
    refuses(errno.EPERM, lambda: os.symlink("x", served.mountpoint / "link"))
    refuses(errno.EPERM, lambda: os.chmod(served.mountpoint, 0o700))
    refuses(errno.EXDEV, lambda: os.rename(served.alice, served.mountpoint / "eve"))
    refuses(errno.EROFS, (served.mountpoint / "@head").rmdir)


CASES = b"""\
import greet


def test_greets():
    assert greet.hello("you") == "hello you"
"""


def test_tests_pass_in_a_past_tree_while_eight_writers_storm_head(mounted: Mounted) -> None:
    """By number and by mark. What the storm is the first to change was in no commit before (J3)."""
    (mounted.alice / "app/test_greet.py").write_bytes(CASES)
    mounted.makfs("mark", "green")
    seq, greet = head(mounted), (mounted.alice / "app/greet.py").read_bytes()
    views = [mounted.mountpoint / f"w{number}" for number in range(8)]
    for view in views:
        view.mkdir()
    over = threading.Event()
    failed: list[OSError] = []
    turns = [0] * len(views)

    def storm(number: int, app: Path) -> None:
        while not over.is_set():
            turns[number] += 1
            for name, text in (
                ("greet.py", b"def hello(:\n" if turns[number] % 2 else b"hello = %d\n" % number),
                ("test_greet.py", b"def test_greets():\n    assert False\n"),
                (f"test_{number}.py", b"def test(): assert False\n"),
                (f"conftest{number}.py", b"raise SystemExit\n"),
            ):
                try:
                    (app / name).write_bytes(text)
                    if turns[number] % 3 == 0:
                        os.rename(app / name, app / f"moved{number}.py")
                except FileNotFoundError:
                    pass  # another has moved it
                except OSError as error:
                    if error.errno != errno.EBUSY:  # refused: another wrote it meanwhile
                        failed.append(error)

    stormers = [threading.Thread(target=storm, args=(at, view / "app")) for at, view in enumerate(views)]
    for each in stormers:
        each.start()
    try:
        for name in (f"@{seq}", "@green"):
            past = mounted.mountpoint / name
            done = subprocess.run(
                [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "app"],
                cwd=past, capture_output=True, text=True, check=False,
                env={**os.environ, "PYTHONPATH": str(past / "app")},
            )  # fmt: skip
            assert (done.returncode, "1 passed" in done.stdout) == (0, True), done.stdout + done.stderr
            names = {"__init__.py", "greet.py", "test_greet.py"}
            assert {path.name for path in (past / "app").iterdir()} == names
            assert (past / "app/greet.py").read_bytes() == greet
    finally:
        over.set()
        for each in stormers:
            each.join()
    assert not failed
    assert all(turns), "all have stormed"
    assert head(mounted) > seq + len(views)
