"""Git-ignored files and editors' shadows: readable where they are shared, private where they are written."""

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.mount.hands import Hand, claude_name, eventually
from tests.mount.mounted import Mounted

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]


@pytest.fixture
def build(served: Mounted, request: pytest.FixtureRequest) -> str:
    """Return an ignored folder with a file that was there before anybody mounted."""
    name = f"build/{request.node.name[-50:]}"
    (served.repo / name).mkdir(parents=True)
    (served.repo / name / "old.o").write_bytes(b"old\n")
    return name


def test_shared_scratch_is_read_by_all_and_written_by_each_alone(served: Mounted, build: str) -> None:
    mine, theirs, shared = (top / build / "old.o" for top in (served.alice, served.bob, served.repo))
    assert mine.read_bytes() == theirs.read_bytes() == b"old\n"
    mine.write_bytes(b"alice\n")
    with theirs.open("ab") as file:
        file.write(b"bob\n")
    assert mine.read_bytes() == b"alice\n"
    assert theirs.read_bytes() == b"old\nbob\n"
    assert shared.read_bytes() == b"old\n"


def test_new_scratch_is_seen_by_its_maker_alone_and_never_in_the_repository(
    served: Mounted, build: str
) -> None:
    (served.alice / build / "deep/er").mkdir(parents=True)
    (served.alice / build / "deep/er/new.o").write_bytes(b"new\n")
    (served.alice / "run.log").write_bytes(b"log\n")
    assert (served.alice / build / "deep/er/new.o").read_bytes() == b"new\n"
    assert sorted(os.listdir(served.alice / build)) == ["deep", "old.o"]
    for top in (served.bob, served.repo):
        assert os.listdir(top / build) == ["old.o"]
        assert not (top / "run.log").exists()
    assert "run.log" in os.listdir(served.alice)
    assert "run.log" not in served.makfs("log", "--json")


def test_removed_scratch_stays_for_the_others_and_may_be_made_again(served: Mounted, build: str) -> None:
    mine = served.alice / build / "old.o"
    mine.unlink()
    assert not mine.exists()
    assert os.listdir(served.alice / build) == []
    for top in (served.bob, served.repo):
        assert (top / build / "old.o").read_bytes() == b"old\n"
    mine.write_bytes(b"new\n")
    assert mine.read_bytes() == b"new\n"
    assert (served.bob / build / "old.o").read_bytes() == b"old\n"


def test_removed_scratch_tree_is_gone_for_its_view_alone(served: Mounted, build: str) -> None:
    shutil.rmtree(served.alice / build)
    assert not (served.alice / build).exists()
    assert (served.bob / build / "old.o").read_bytes() == b"old\n"
    (served.alice / build).mkdir()
    assert os.listdir(served.alice / build) == []


def test_scratch_survives_a_remount(mounted: Mounted) -> None:
    (mounted.repo / "build").mkdir()
    (mounted.repo / "build/old.o").write_bytes(b"old\n")
    (mounted.alice / "build/new.o").write_bytes(b"new\n")
    (mounted.bob / "build/old.o").unlink()
    mounted.remount()
    assert sorted(os.listdir(mounted.alice / "build")) == ["new.o", "old.o"]
    assert os.listdir(mounted.bob / "build") == []
    assert os.listdir(mounted.repo / "build") == ["old.o"]


def test_scratch_made_in_the_repository_while_mounted_is_seen_by_all(served: Mounted, build: str) -> None:
    (served.repo / build / "later.o").write_bytes(b"later\n")
    for top in (served.alice, served.bob):
        eventually(lambda top=top: (top / build / "later.o").exists())  # type: ignore[misc]
        assert (top / build / "later.o").read_bytes() == b"later\n"


def test_built_file_moved_into_the_tree_is_a_commit_and_the_other_way_a_deletion(
    served: Mounted, build: str, greet: str
) -> None:
    (served.alice / build / "made.py").write_bytes(b"X = 1\n")
    there = greet.replace("greet", "made")
    os.rename(served.alice / build / "made.py", served.alice / there)
    for top in (served.alice, served.bob, served.repo):
        assert (top / there).read_bytes() == b"X = 1\n"
        assert not (top / build / "made.py").exists()
    os.rename(served.alice / there, served.alice / build / "back.py")
    assert (served.alice / build / "back.py").read_bytes() == b"X = 1\n"
    for top in (served.bob, served.repo):
        assert not (top / there).exists()
        assert not (top / build / "back.py").exists()


def committed(served: Mounted, path: str) -> list[list[str]]:
    """Return the paths of each commit that alice made in a file's folder."""
    commits = json.loads(served.makfs("log", "--json", "--agent", "alice", "--path", os.path.dirname(path)))
    return [commit["paths"] for commit in commits]


def test_shadow_is_private_until_it_has_aged_and_then_an_ordinary_file(
    served: Mounted, greet: str, hand: Hands
) -> None:
    alice = hand()
    shadow = claude_name(served.alice / greet, alice)
    fd = alice.open(shadow, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    alice.do("write", fd, b"X = 1\n")
    others = [top / os.path.dirname(greet) / shadow.name for top in (served.bob, served.repo)]
    assert shadow.exists()
    assert not any(each.exists() for each in others)
    assert shadow.name not in os.listdir(others[0].parent)
    alice.do("close", fd)
    for each in others:
        eventually(each.exists)
        assert each.read_bytes() == b"X = 1\n"
    assert shadow.read_bytes() == b"X = 1\n"
    shadow.unlink()
    assert not any(each.exists() for each in others)


@pytest.mark.parametrize("name", ["sedqwerty", "sedXa81cD", "XXqwerty", ".tmpqwerty"])
def test_file_that_a_tool_makes_as_mkstemp_does_is_private_until_it_is_renamed(
    served: Mounted, greet: str, hand: Hands, name: str
) -> None:
    alice, path = hand(), served.alice / greet
    temporary = path.with_name(name)
    fd = alice.do("open", temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    alice.do("write", fd, b"X = 1\n")
    alice.do("close", fd)
    assert name in os.listdir(path.parent)
    for folder in (path.parent, served.bob / os.path.dirname(greet), served.repo / os.path.dirname(greet)):
        assert (name in os.listdir(folder)) is (folder == path.parent)
    alice.do("rename", temporary, path)
    assert (served.bob / greet).read_bytes() == b"X = 1\n"
    assert committed(served, greet) == [[greet]]


@pytest.mark.parametrize("name", ["sedqwerty", "XXqwerty", "XXlarge1"])
def test_file_of_such_a_name_that_is_made_in_another_way_is_an_ordinary_one(
    served: Mounted, greet: str, name: str
) -> None:
    mine, theirs = (top / os.path.dirname(greet) / name for top in (served.alice, served.bob))
    mine.write_bytes(b"X = 1\n")
    assert theirs.read_bytes() == b"X = 1\n"
    theirs.unlink()
    theirs.mkdir()
    assert mine.is_dir()


@pytest.mark.parametrize("name", ["sedqwerty", "XXqwerty"])
def test_file_made_so_that_is_left_alone_becomes_an_ordinary_one_also_after_a_remount(
    mounted: Mounted, hand: Hands, name: str
) -> None:
    alice = hand()
    fd = alice.do("open", mounted.alice / name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    alice.do("write", fd, b"X = 1\n")
    assert not (mounted.bob / name).exists()
    alice.end()
    eventually((mounted.bob / name).exists)
    mounted.remount()
    assert (mounted.repo / name).read_bytes() == (mounted.alice / name).read_bytes() == b"X = 1\n"


@pytest.mark.parametrize("tool", [("sed", "-i", "s/hello/hallo/"), ("perl", "-pi", "-e", "s/hello/hallo/")])
def test_edit_in_place_by_a_tool_is_one_commit(served: Mounted, greet: str, tool: tuple[str, ...]) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"no {tool[0]} here")
    subprocess.run([*tool, served.alice / greet], check=True)
    assert b"def hallo(" in (served.bob / greet).read_bytes()
    assert committed(served, greet) == [[greet]]


def test_shadow_over_its_file_keeps_the_files_number(served: Mounted, greet: str, hand: Hands) -> None:
    alice = hand()
    path = served.alice / greet
    before, other = path.stat().st_ino, (served.bob / greet).stat().st_ino
    alice.save(path, b"X = 1\n", claude_name(path, alice))
    os.stat(served.alice)
    assert path.stat().st_ino == before
    assert (served.bob / greet).stat().st_ino == other
    assert before & 0xFFFF_FFFF == other & 0xFFFF_FFFF
    assert os.listdir(path.parent) == ["greet.py"]


def test_ignore_rule_made_through_a_view_counts_at_once(mounted: Mounted) -> None:
    (mounted.alice / ".gitignore").write_bytes(b"*.log\n/build/\n*.tmpl\n")
    (mounted.alice / "x.tmpl").write_bytes(b"private\n")
    assert not (mounted.bob / "x.tmpl").exists()
    assert not (mounted.repo / "x.tmpl").exists()


def test_hard_link_is_refused_for_tracked_files_and_made_within_scratch(
    served: Mounted, build: str, greet: str
) -> None:
    with pytest.raises(OSError, match="permitted") as caught:
        os.link(served.alice / greet, (served.alice / greet).with_name("two.py"))
    assert caught.value.errno == errno.EPERM
    assert "a tracked file has one name" in (served.alice / ".makfs/why").read_text()
    (served.alice / build / "one").write_bytes(b"1\n")
    os.link(served.alice / build / "one", served.alice / build / "two")
    assert (served.alice / build / "two").stat().st_nlink == 2


def test_private_files_of_a_removed_view_wait_for_the_next_of_its_name(mounted: Mounted) -> None:
    carol = mounted.mountpoint / "carol"
    carol.mkdir()
    (carol / "run.log").write_bytes(b"carol\n")
    carol.rmdir()
    assert not carol.exists()
    carol.mkdir()
    assert (carol / "run.log").read_bytes() == b"carol\n"


def total(path: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(path))


def test_scratch_never_reaches_the_repository_or_the_journal(mounted: Mounted) -> None:
    (mounted.alice / "build").mkdir()
    for number in range(30):
        (mounted.alice / "build" / f"{number}.o").write_bytes(b"x\n")
    assert total(mounted.alice / "build") == 30
    assert not (mounted.repo / "build").exists()
    assert mounted.makfs("log", "--json").strip() == "[]"
