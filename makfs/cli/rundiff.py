"""What a run changed, node by node: its agent's own commits put together."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.store.model import CommitDetail, NodeEdit
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runs import RunKept

PAGE = 500


def lines_of(daemon: "Client", record: "RunRecord | RunKept") -> Iterator[str]:
    """Return the difference as lines; none if nothing was changed, or changed back."""
    yield from render(details(daemon, record))


def details(daemon: "Client", record: "RunRecord | RunKept") -> "Iterator[CommitDetail]":
    """Return the commits of a run, oldest first."""
    from makfs.cli.wholes import wholes, with_wholes
    from makfs.store.model import Commit, CommitDetail
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Log, Show

    seqs: list[int] = []
    before: int | None = record.last_seq + 1
    while before is not None and record.commits:
        page = from_json(list[Commit], daemon.ask(Log(PAGE, before, record.agent)))
        inside = [each.seq for each in page if each.seq >= record.first_seq]
        seqs += inside
        before = min(inside) if len(page) == PAGE and len(inside) == len(page) else None
    for seq in reversed(seqs):
        detail = daemon.get(Show(seq), CommitDetail)
        yield with_wholes(detail, wholes(daemon, detail))


def render(commits: "Iterable[CommitDetail]") -> Iterator[str]:
    """Return the lines of what commits of one agent, oldest first, changed together. Pure."""
    from makfs.cli.showview import edit_lines, file_line
    from makfs.cli.text import printable

    by_path: dict[str, _Nodes] = {}
    other: dict[str, str] = {}
    for each in commits:
        for edit in each.edits:
            by_path.setdefault(edit.path, _Nodes()).take(edit)
        for file in each.files:
            other[file.path] = file_line(file, each, has_edits=False)
    for path, nodes in by_path.items():
        left = [edit for edit in nodes.edits.values() if edit.before != edit.after]
        if not left:
            continue
        yield click.style(printable(path), bold=True)
        for edit in left:
            yield from edit_lines(edit)
        yield ""
    for path, line in other.items():
        if path not in by_path:
            yield click.style(line, bold=True)


class _Nodes:
    """What became of the nodes of one file. Those that came or went with all of it are known by address."""

    def __init__(self) -> None:
        self.edits: dict[int | str, NodeEdit] = {}
        self._by_uid: dict[int, int | str] = {}

    def take(self, edit: "NodeEdit") -> None:
        """Put one edit after those before."""
        key = self._key(edit)
        self.edits[key] = _after(self.edits.get(key), edit)
        if edit.uid:
            self._by_uid[edit.uid] = key

    def _key(self, edit: "NodeEdit") -> int | str:
        if edit.uid in self._by_uid:
            return self._by_uid[edit.uid]
        address = edit.old_address or edit.address
        for key, known in self.edits.items():
            if known.address == address and known.after is not None and not (edit.uid and known.uid):
                return key
        return edit.uid or address


def _after(known: "NodeEdit | None", edit: "NodeEdit") -> "NodeEdit":
    """Return what two edits of one node, one after the other, come to."""
    import dataclasses

    if known is None:
        return edit
    op = "add" if known.before is None else "delete" if edit.after is None else "edit"
    old = known.old_address or known.address
    return dataclasses.replace(
        edit, op=op, before=known.before, old_address="" if old == edit.address or op == "add" else old
    )
