"""F1: which repository is meant, and which path in it."""

import os
from pathlib import Path

import pytest

from makfs.cli.find import Found, find, past_of, repo_path
from makfs.errors import BadName, NotFound
from makfs.wire.place import Mount


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    place = Path(os.path.realpath(tmp_path)) / "repo"
    (place / ".makfs").mkdir(parents=True)
    (place / "src" / "deep").mkdir(parents=True)
    return place


def test_repository_is_found_upwards_from_the_current_directory(
    repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo / "src" / "deep")
    assert find(None, ()) == Found(str(repo), str(repo / "src" / "deep"), None, named=False)


def test_named_directory_beats_the_current_one(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repo.parent)
    assert find(str(repo / "src"), ()).repo == str(repo)


def test_directory_outside_gets_one_sentence(tmp_path: Path) -> None:
    says = r"^There is no makfs mount or repository at or above .*; name one with -C, or make one: "
    with pytest.raises(NotFound, match=says):
        find(str(tmp_path), ())


def test_who_is_outside_is_told_where_there_are_mounts(tmp_path: Path) -> None:
    def says(*places: str) -> str:
        mounts = [Mount(place, "/", "fuse.makfs", "makfs:/repo") for place in places]
        mounts.append(Mount("/bound", "/alice", "fuse.makfs", "makfs:/repo"))
        mounts.append(Mount("/home", "/", "ext4", "/dev/vda"))
        with pytest.raises(NotFound) as raised:
            find(str(tmp_path), tuple(mounts))
        return str(raised.value)

    start = f"There is no makfs mount or repository at or above {os.path.realpath(tmp_path)}"
    assert says() == f"{start}; name one with -C, or make one: 'makfs mount REPO MOUNTPOINT'."
    assert says("/my work") == f"{start}. There is one at /my work: name it, with 'makfs -C '/my work' ...'."
    assert says("/b", "/a", "/b") == f"{start}; name one with -C. There are mounts at /a, /b."
    assert says(*"edcba").endswith("There are mounts at a, b, c and 2 more.")


def test_removed_current_directory_gets_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(NotFound, match="The current directory is gone"):
        find(None, ())


def test_mount_names_its_repository_and_comes_before_a_makfs_directory_inside(
    repo: Path, tmp_path: Path
) -> None:
    view = tmp_path / "work" / "alice"
    (view / ".makfs").mkdir(parents=True)
    mount = Mount(os.path.realpath(tmp_path / "work"), "/", "fuse.makfs", f"makfs:{repo}")
    assert find(str(view), (mount,)).repo == str(repo)


def test_path_in_a_past_tree_names_that_tree(repo: Path, tmp_path: Path) -> None:
    work = os.path.realpath(tmp_path / "work")
    mount = Mount(work, "/", "fuse.makfs", f"makfs:{repo}")
    there = Found(str(repo), work, mount, named=False)
    assert past_of(f"{work}/@3/src/a.py", there, (mount,)) == "3"
    assert past_of(f"{work}/@v1/a.py", there, (mount,)) == "v1"
    assert past_of(f"{work}/alice/a.py", there, (mount,)) == past_of(f"{repo}/@3/a.py", there, (mount,)) == ""


@pytest.mark.parametrize("argument", ["a.py", "./a.py", "../src/a.py", "deep/../a.py"])
def test_relative_path_is_taken_from_the_current_directory(
    argument: str, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo / "src")
    assert repo_path(argument, find(None, ()), ()) == "src/a.py"


def test_absolute_path_in_the_repository_is_taken(repo: Path) -> None:
    assert repo_path(str(repo / "src" / "a.py"), find(str(repo), ()), ()) == "src/a.py"
    assert repo_path(str(repo), find(str(repo), ()), ()) == ""


def test_path_in_any_view_is_taken_without_its_view(repo: Path, tmp_path: Path) -> None:
    work = os.path.realpath(tmp_path / "work")
    mount = Mount(work, "/", "fuse.makfs", f"makfs:{repo}")
    found = find(f"{work}/alice/src", (mount,))
    assert repo_path("a.py", found, (mount,)) == "src/a.py"
    assert repo_path(f"{work}/bob/src/a.py", found, (mount,)) == "src/a.py"


def test_path_from_elsewhere_is_relative_to_the_top(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = Found(str(repo), str(tmp_path), None, named=True)
    assert repo_path("src/a.py", found, ()) == "src/a.py"


@pytest.mark.parametrize("argument", ["/etc/passwd", "../../outside.py"])
def test_path_outside_gets_one_sentence(argument: str, repo: Path) -> None:
    with pytest.raises(BadName, match="is not in the repository"):
        repo_path(argument, find(str(repo), ()), ())


def test_last_part_of_a_path_is_not_followed_when_it_is_a_link(repo: Path) -> None:
    (repo / "link").symlink_to("/etc")
    assert repo_path(str(repo / "link"), find(str(repo), ()), ()) == "link"
