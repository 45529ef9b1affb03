"""The pid file, /proc/self/mountinfo, and names of repositories inside it."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.errors import BadName
from makfs.names import agent_id
from makfs.wire.errors import WireError
from makfs.wire.place import Mount, Served, mount_of, mount_source, parse_mounts, path_in_view

PLAIN = b"36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw,errors=continue\n"
WORK = (
    b"74 27 0:44 / /mnt/my\\040work rw,nosuid - fuse.makfs makfs:/srv/o%2Cd\\134%20x rw,user_id=0\n"
    b"75 27 0:44 /alice /box rw,nosuid shared:2 master:7 - fuse.makfs makfs:/srv/app rw\n"
)

paths = (
    st.binary(min_size=1, max_size=20)
    .filter(lambda raw: b"\0" not in raw)
    .map(lambda raw: "/" + os.fsdecode(raw))
)


def test_mounts_are_read_with_their_escapes() -> None:
    mounts = parse_mounts(PLAIN + WORK)
    assert [each.mountpoint for each in mounts] == ["/", "/mnt/my work", "/box"]
    assert [each.repo for each in mounts] == [None, "/srv/o,d\\ x", "/srv/app"]
    assert mounts[2].root == "/alice"


@given(st.binary(max_size=200))
def test_any_mountinfo_is_read_without_an_error(text: bytes) -> None:
    parse_mounts(text)


@given(paths)
def test_repository_comes_back_from_the_source_of_its_mount(repo: str) -> None:
    source = mount_source(repo)
    source.encode("ascii")
    assert not set(source) & set(", \\\n\t'\"")
    assert Mount("/m", "/", "fuse.makfs", source).repo == repo


def test_deepest_mount_is_the_one_a_path_lies_in_and_of_equals_the_last() -> None:
    root, below, above = (Mount(at, "/", "x", name) for at, name in (("/", "r"), ("/m", "b"), ("/m", "a")))
    assert mount_of("/m/x", (root, below, above)) is above
    assert mount_of("/mx", (root, below, above)) is root


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/m", ("", "")), ("/m/alice", ("alice", "")), ("/m/alice/src/a.py", ("alice", "src/a.py"))],
)
def test_path_in_a_mount_is_a_view_and_the_rest(path: str, expected: tuple[str, str]) -> None:
    assert path_in_view(path, Mount("/m", "/", "fuse.makfs", "makfs:/r")) == expected


def test_path_in_a_bound_part_of_a_mount_is_found_too() -> None:
    bound = Mount("/box", "/alice/src", "fuse.makfs", "makfs:/r")
    assert path_in_view("/box/a.py", bound) == ("alice", "src/a.py")


def test_pid_file_comes_back_and_a_broken_one_gives_wire_error() -> None:
    served = Served(7, "/mnt/b\udcffd", "2026-01-01T00:00:00+00:00")
    assert Served.decode(served.encode()) == served
    for broken in (b"", b"{", b"[]", b"{}", b'{"pid":"x","mountpoint":"/","since":""}'):
        with pytest.raises(WireError):
            Served.decode(broken)


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "-x", "a" * 64, "alice.2"])
def test_good_names_of_agents_are_taken(name: str) -> None:
    assert agent_id(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "it is empty"),
        ("a/b", "it has '/' in it"),
        (".makfs", "it starts with a dot"),
        ("..", "it starts with a dot"),
        ("a.", "it ends with a dot"),
        ("@head", "names with '@' are frozen trees"),
        ("a" * 65, "it has 65 characters"),
        ("external", "edits made directly in the repository"),
        ("a b", "it has ' ' in it"),
        ("zo\u00eb", "it has '\u00eb' in it"),
        ("a\n", "it has '\\n' in it"),
        ("\udcff", "it has '\\udcff' in it"),
    ],
)
def test_bad_names_of_agents_get_one_sentence(name: str, why: str) -> None:
    with pytest.raises(BadName) as caught:
        agent_id(name)
    assert why in str(caught.value)
    assert str(caught.value).isprintable()
    assert "\n" not in str(caught.value)
