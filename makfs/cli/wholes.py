"""What commits did to files that they made or removed as a whole: the journal keeps no edits of those."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.engine.historyapi import FileDiff
    from makfs.store.model import CommitDetail, NodeEdit

MOST_PATHS = 50  # asked for by name; beyond, the whole commit is compared


def wholes(daemon: "Client", detail: "CommitDetail") -> "dict[str, FileDiff]":
    """Return how such files of a commit differ from the commit before; none where that is not kept."""
    from makfs.engine.historyapi import DiffPage
    from makfs.errors import MakfsError
    from makfs.store.model import FileKind
    from makfs.wire.verbs import Diff

    told = {edit.path for edit in detail.edits} | set(detail.moved) | set(detail.moved.values())
    shown = (FileKind.FILE, FileKind.ABSENT)
    paths = [each.path for each in detail.files if each.path not in told and each.kind in shown]
    if not paths:
        return {}
    asked = tuple(paths) if len(paths) <= MOST_PATHS else ()
    query = Diff(str(detail.commit.seq - 1), str(detail.commit.seq), asked, True)
    found: dict[str, FileDiff] = {}
    wanted = frozenset(paths)
    while True:
        try:
            page = daemon.get(query, DiffPage)
        except MakfsError:  # its history was cut: what is known of it is told without the texts
            return found
        found.update((file.path, file) for file in page.files if file.path in wanted)
        if page.after is None:
            return found
        query = Diff(query.old, query.new, asked, True, page.after)


def with_wholes(detail: "CommitDetail", files: "Mapping[str, FileDiff]") -> "CommitDetail":
    """Return the commit with an edit for each node of such files. Pure."""
    import dataclasses

    more = [edit for file in files.values() for edit in edits_of(file)]
    return dataclasses.replace(detail, edits=(*detail.edits, *more)) if more else detail


def edits_of(file: "FileDiff") -> "Iterator[NodeEdit]":
    """Return the edits that a difference comes to; one, of all its text, where it is not by node. Pure."""
    from makfs.ids import NodeUid
    from makfs.store.model import FileKind, NodeEdit

    if file.edits:
        yield from file.edits
        return
    sides = [side for side in (file.old, file.new) if side is not None]
    if file.same or any(side.kind is not FileKind.FILE or side.data is None for side in sides):
        return
    before = None if file.old is None else file.old.data
    after = None if file.new is None else file.new.data
    if before or after:
        op = "add" if before is None else "delete" if after is None else "edit"
        yield NodeEdit(file.path, op, "opaque", file.path, NodeUid(0), before, after)
