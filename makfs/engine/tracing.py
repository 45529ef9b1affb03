"""Which nodes an address means, and what became of them. Works on a reader of the store; changes nothing.

T1  A node is followed by its uid: through edits, renames, and moves between classes, wherever its file goes.
T2  A class is its header and whatever is, or ever was, inside it.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from makfs.errors import NotFound
from makfs.ids import NodeUid, RepoPath, Seq
from makfs.store.model import FileKind, NodeEdit, Stretch
from makfs.store.protocol import Reader
from makfs.syntax import address, identify, is_source, restore
from makfs.syntax.node import Node, Source

SCRATCH_UID = 1 << 62  # for nodes that never got a uid: parsed to be looked at, never kept


@dataclass(frozen=True, slots=True)
class Traced:
    """Nodes, and the file they are in."""

    uids: frozenset[NodeUid]
    stretches: tuple[Stretch, ...]  # of the file, newest first
    qualname: str
    nodes: tuple[Node, ...] = field(default=())  # as they are now, () if they are gone


def split_address(text: str) -> tuple[RepoPath, str]:
    """Return the path and the node's name, "" for the file itself."""
    path, separator, name = text.rpartition("::")
    if not separator or "/" in name:
        return RepoPath(text), ""
    return RepoPath(path), name


def meant(reader: Reader, text: str) -> tuple[RepoPath, str]:
    """Return what `split_address` does, unless a file is called like the whole of it."""
    whole = RepoPath(text)
    if "::" in text and "\0" not in text and reader.revision(whole, reader.head) is not None:
        return whole, ""
    return split_address(text)


def stretches_of(reader: Reader, path: RepoPath) -> tuple[Stretch, ...]:
    """Return where the file has been that is, or last was, at a path; newest first. () if never recorded."""
    at = reader.head
    for _ in range(1000):  # a file that is moved back and forth
        revision = reader.revision(path, at)
        if revision is None:
            return ()
        went = reader.went_to(path, revision.seq) if revision.kind is FileKind.ABSENT else None
        if went is None:
            break
        path = went
    return tuple(reader.stretches(path, at))


def source_at(reader: Reader, path: RepoPath, at: Seq) -> Source | None:
    """Return a file's nodes with their uids; None if there is no file, or its text is not kept."""
    revision = reader.revision(path, at)
    if revision is None or revision.kind is not FileKind.FILE or not revision.kept:
        return None
    tiles = [(node.uid, node.text) for node in reader.nodes(path, at)]
    if not is_source(path):
        return identify(path, None, b"".join(text for _, text in tiles), SCRATCH_UID)[0]
    return restore(path, tiles, SCRATCH_UID)[0]


def within(qualname: str, wanted: str) -> bool:
    """Tell whether a node is the wanted one, or in the wanted class."""
    return qualname == wanted or qualname.startswith((wanted + ".", wanted + "#"))


def trace(reader: Reader, path: RepoPath, qualname: str) -> Traced:
    """Return the nodes of an address that are there now, else those that last were. Raises NotFound."""
    stretches = stretches_of(reader, path)
    source = source_at(reader, stretches[0].path, reader.head) if stretches else None
    here = [node for node in source.nodes if within(node.qualname, qualname)] if source else []
    exact = [node for node in here if node.qualname == qualname]
    if exact:
        return Traced(frozenset(node.uid for node in exact), stretches, qualname, tuple(exact))
    uids = {node.uid for node in here} | _once_within(reader, stretches, qualname, any_class=bool(here))
    if not uids:
        raise NotFound(
            f"The journal knows no node {qualname} of {path}; 'makfs nodes {path}' lists those of today."
        )
    return Traced(frozenset(uids), stretches, qualname, tuple(here))


def _once_within(
    reader: Reader, stretches: Iterable[Stretch], qualname: str, *, any_class: bool
) -> set[NodeUid]:
    """Return the nodes that had the address, or were in that class (T2); of a node only the last that did."""
    found: set[NodeUid] = set()
    for stretch in stretches:
        for _, uid, *names in reader.edits_in(stretch):
            for name in names:
                called = split_address(name)[1] if name else ""
                if called == qualname and not any_class and not found:
                    return {uid}
                if called != qualname and called and within(called, qualname):
                    found.add(uid)
    return found


def edits_of(reader: Reader, traced: Traced, before: Seq) -> Iterator[tuple[Seq, NodeEdit]]:
    """Yield what was done to the nodes, newest first (T1)."""
    streams = [reader.edits_of(uid, before) for uid in sorted(traced.uids) if uid and uid < SCRATCH_UID]
    return heapq.merge(*streams, key=lambda each: each[0], reverse=True)


def created(reader: Reader, traced: Traced, names: Iterable[str]) -> tuple[Seq, list[NodeEdit]] | None:
    """Return the commit that made the file, if it made nodes of these names in it.

    A file's first version is journaled whole, so that its nodes' first edits are not additions.
    """
    if not traced.stretches:
        return None
    oldest = traced.stretches[-1]
    gone = removed(reader, oldest)
    first = oldest if gone is None else replace(oldest, last=Seq(gone - 1))
    seq = reader.created(first)
    if seq is None:
        return None
    source = source_at(reader, first.path, seq)
    wanted = set(names)
    made = [
        NodeEdit(first.path, "add", node.kind.value, address(first.path, node), node.uid, None, node.text)
        for node in (source.nodes if source else ())
        if node.qualname in wanted
    ]
    return (seq, made) if made else None


def removed(reader: Reader, stretch: Stretch) -> Seq | None:
    """Return the commit that removed the file at the end of a stretch, None if it is there."""
    revision = reader.revision(stretch.path, stretch.last)
    return revision.seq if revision is not None and revision.kind is FileKind.ABSENT else None
