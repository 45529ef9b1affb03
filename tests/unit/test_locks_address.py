"""Addresses and what lies above them: makfs.locks.address, A1 and A2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.ids import Address, RepoPath
from makfs.locks import (
    REPOSITORY,
    BadAddress,
    file_address,
    folder_address,
    lineage,
    node_address,
    resource_address,
)


@pytest.mark.parametrize(
    ("address", "above"),
    [
        ("", []),
        ("a.py", [""]),
        ("src/", [""]),
        ("src/app/a.py", ["", "src/", "src/app/"]),
        ("a.py::f", ["", "a.py"]),
        ("src/a.py::A.B.m", ["", "src/", "src/a.py", "src/a.py::A", "src/a.py::A.B"]),
        ("a.py::A#header", ["", "a.py", "a.py::A"]),
        ("a.py::#imports", ["", "a.py"]),
        ("a.py::#expr~2", ["", "a.py"]),
        ("a.py::A~2.run[setter]~3", ["", "a.py", "a.py::A~2"]),
        ("a.py::f[overload:1]", ["", "a.py"]),
        ("with space/caf\udce9\n.py", ["", "with space/"]),
        ("a::b/c.py", ["", "a::b/"]),
        ("resource:build", []),
        ("resource:port:8000", []),
        ("resource:x/a.py", ["", "resource:x/"]),
    ],
)
def test_lineage_goes_from_the_repository_to_the_address(address: str, above: list[str]) -> None:
    assert lineage(Address(address)) == (*above, address)


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/etc/passwd", "it starts with '/'"),
        ("/", "it starts with '/'"),
        ("a//b.py", "a name in its path is empty"),
        ("a/../b.py", "'.' and '..' name nothing here"),
        ("./a.py", "'.' and '..' name nothing here"),
        ("a\0.py", "a name in its path is empty"),
        ("a.py::", "after '::' stands the name of a node"),
        ("a.py::A.", "after '::' stands the name of a node"),
        ("a.py::A..b", "after '::' stands the name of a node"),
        ("a.py::two words", "after '::' stands the name of a node"),
        ("::f", "a name in its path is empty"),
        ("src/::f", "a folder has no nodes"),
        ("resource:", "a resource is letters"),
        ("resource:a b", "a resource is letters"),
        ("resource:port:", "a resource is letters"),
    ],
)
def test_malformed_address_gets_one_sentence(address: str, says: str) -> None:
    with pytest.raises(BadAddress) as refused:
        lineage(Address(address))
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


names = st.text("ab%3A25:", min_size=1, max_size=8)
paths = st.one_of(
    st.lists(names, min_size=1, max_size=3).map("/".join),
    st.sampled_from(["resource:build", "resource%3Abuild", "a::b.py", "a%3A:b.py", "a%253A:b.py"]),
)
qualnames = st.sampled_from(["f", "A.m", "A#header", "#imports"])


@given(paths, paths)
def test_different_paths_have_different_addresses_a2(one: str, other: str) -> None:
    assert (file_address(RepoPath(one)) == file_address(RepoPath(other))) == (one == other)


@given(paths, qualnames)
def test_nodes_lie_below_their_file_and_that_below_its_folders_a1(path: str, qualname: str) -> None:
    file = file_address(RepoPath(path))
    node = lineage(node_address(RepoPath(path), qualname))
    assert lineage(file)[0] == REPOSITORY
    assert len(lineage(file)) == path.count("/") + 2
    assert node[: len(lineage(file))] == lineage(file)
    assert len(node) > len(lineage(file))
    folder = path.rpartition("/")[0]
    assert lineage(file)[-2] == folder_address(RepoPath(folder))


def test_plain_paths_are_their_own_addresses() -> None:
    assert file_address(RepoPath("src/100%/a:b.py")) == "src/100%/a:b.py"
    assert folder_address(RepoPath("")) == REPOSITORY
    assert resource_address("port:8000") == "resource:port:8000"
