"""Addresses: what may be claimed, and what lies above it. Pure; names need not exist.

`` is the repository, `dir/` a folder, `path` a file, `path::Class.method` a node, `path::Class#header` a part
of a class; `resource:NAME` a process resource (`resource:port:8000`), which lies below nothing.

A1  Every address but the repository and resources lies below the repository.
A2  Different paths have different addresses, whatever is in their names: `file_address` writes `::` and a
    leading `resource:` as %3A, so that a file's name is never taken for a node or a resource.
"""

import re
from functools import lru_cache
from typing import Final

from makfs.errors import MakfsError
from makfs.ids import Address, RepoPath

REPOSITORY: Final = Address("")
RESOURCE: Final = "resource:"

_RESOURCE_NAME = re.compile(r"[A-Za-z0-9_.@+-]+(?::[A-Za-z0-9_.@+-]+)*", re.ASCII)
_QUALNAME = re.compile(r"[^\s./#\0]+(?:\.[^\s./#\0]+)*(?:#[^\s./#\0]+)?|#[^\s./#\0]+")
_ESCAPED = re.compile(r"%(?=3A|25)")
_COLONS = re.compile(r":(?=:)")


class BadAddress(MakfsError):
    """An address is malformed: the sentence says how."""

    errno = 22

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address[:200]!r} is not an address: {why}.")
        self.address = address


def file_address(path: RepoPath) -> Address:
    """Return the address of a file. Nearly always the path itself (A2)."""
    text: str = path
    if "%" in text:
        text = _ESCAPED.sub("%25", text)
    if "::" in text:
        text = _COLONS.sub("%3A", text)
    if text.startswith(RESOURCE):
        text = "resource%3A" + text.removeprefix(RESOURCE)
    return Address(text)


def folder_address(path: RepoPath) -> Address:
    """Return the address of a folder; of the repository for its root."""
    return Address(file_address(path) + "/") if path else REPOSITORY


def node_address(path: RepoPath, qualname: str) -> Address:
    """Return the address of a node inside a file."""
    return Address(f"{file_address(path)}::{qualname}")


def resource_address(name: str) -> Address:
    """Return the address of a process resource: `build`, `port:8000`."""
    return Address(RESOURCE + name)


@lru_cache(maxsize=1 << 16)
def lineage(address: Address) -> tuple[Address, ...]:
    """Return all above the address, the repository first, then itself. Raise BadAddress.

    Cost: some microseconds, then a look into a cache.
    """
    if address == REPOSITORY:
        return (REPOSITORY,)
    if address.startswith(RESOURCE) and "/" not in address and "::" not in address:
        if not _RESOURCE_NAME.fullmatch(address, len(RESOURCE)):
            raise BadAddress(address, "a resource is letters, digits and '_.@+-:', as resource:port:8000")
        return (address,)
    path, separator, qualname = address.rpartition("::")
    if not separator or "/" in qualname:
        path, qualname = address, ""
    elif not _QUALNAME.fullmatch(qualname):
        raise BadAddress(address, "after '::' stands the name of a node, as path::Class.method")
    return (REPOSITORY, *_folders_and_file(address, path), *_nodes(path, qualname))


def _folders_and_file(address: Address, path: str) -> list[Address]:
    try:
        path.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadAddress(address, "no file can have such a name") from None
    parts = path.removesuffix("/").split("/")
    if "" in parts or "\0" in path:
        why = "it starts with '/'" if path.startswith("/") else "a name in its path is empty"
        raise BadAddress(address, f"{why}; paths start at the repository's root")
    if "." in parts or ".." in parts:
        raise BadAddress(address, "'.' and '..' name nothing here; paths start at the repository's root")
    if path.endswith("/") and path != address:
        raise BadAddress(address, "a folder has no nodes")
    ends = [index for index, char in enumerate(path) if char == "/"]
    found = [Address(path[: end + 1]) for end in ends]
    return found if path.endswith("/") else [*found, Address(path)]


def _nodes(path: str, qualname: str) -> list[Address]:
    if not qualname:
        return []
    ends = [index for index, char in enumerate(qualname) if char in ".#" and index] + [len(qualname)]
    return [Address(f"{path}::{qualname[:end]}") for end in ends]
