"""How one commit or one refusal looks: a head, then a unified diff for each node. Pure."""

import datetime as dt
import difflib
from collections.abc import Collection, Iterator, Sequence

import click

from makfs.cli.logview import agent_colour, moment_of, program_of
from makfs.cli.text import printable, size, some, wrap
from makfs.store.model import Commit, CommitDetail, FileKind, NodeEdit, Refusal, Revision

MAX_DIFF_LINES = 4000  # of either side; difflib takes quadratic time
OPS = {
    "add": "added",
    "delete": "deleted",
    "edit": "edited",
    "space": "blank lines of",
    "rename": "renamed",
    "move": "moved",
}


def render_commit(
    detail: CommitDetail, zone: dt.tzinfo | None = None, *, made: Collection[str] = ()
) -> Iterator[str]:
    """Return the lines of `makfs show`; `made` are files that were not there before."""
    yield from head_lines(detail.commit, zone)
    edits: dict[str, list[NodeEdit]] = {}
    for edit in detail.edits:
        edits.setdefault(edit.path, []).append(edit)
    for revision in detail.files:
        yield ""
        has_edits = bool(edits.get(revision.path)) and revision.path not in made
        new = "  (new)" if revision.path in made else ""
        yield click.style(file_line(revision, detail, has_edits=has_edits, more=new), bold=True)
        for edit in edits.pop(revision.path, ()):
            yield from edit_lines(edit)
    for path, left in edits.items():
        yield ""
        yield click.style(printable(path), bold=True)
        for edit in left:
            yield from edit_lines(edit)


def head_lines(commit: Commit, zone: dt.tzinfo | None = None) -> Iterator[str]:
    """Return who, when, with what."""
    moment = moment_of(commit.time_ns, zone)
    yield click.style(f"commit {commit.seq}", fg="yellow")
    yield f"Agent:    {click.style(printable(commit.agent), fg=agent_colour(commit.agent))}"
    yield f"Program:  {program_of(commit.program, commit.pid)}"
    yield f"Time:     {_time(moment)}"
    if commit.task:
        yield f"Task:     {printable(commit.task)}"
    if commit.note:
        yield f"Note:     {printable(commit.note)}"
    nodes = f"{some(commit.nodes_changed, 'node')} in " if commit.nodes_changed else ""
    yield f"Changed:  {nodes}{some(len(commit.paths), 'file')}"


def _time(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{moment.microsecond // 1000:03d} {moment:%z}"


def file_line(revision: Revision, detail: CommitDetail, *, has_edits: bool, more: str = "") -> str:
    """Return what became of a file as a whole."""
    path = printable(revision.path)
    came_from = detail.moved.get(revision.path)
    origin = f"  (from {printable(came_from)})" if came_from is not None else ""
    origin += "  (merged)" if revision.path in detail.merged else ""
    origin += more
    match revision.kind:
        case FileKind.ABSENT:
            return f"{path}  removed"
        case FileKind.DIR:
            return f"{path}/  directory, mode {revision.mode:04o}{origin}"
        case FileKind.SYMLINK:
            return f"{path} -> {printable(revision.target.decode('utf-8', 'surrogateescape'))}{origin}"
        case FileKind.FILE:
            told = "" if has_edits else f"  mode {revision.mode:04o}, {size(revision.size_bytes)}"
            return f"{path}{origin}{told}"


def edit_lines(edit: NodeEdit) -> Iterator[str]:
    """Return what became of one node, as a diff."""
    address = printable(edit.address)
    if edit.old_address and edit.old_address != edit.address:
        address = f"{printable(edit.old_address)} -> {address}"
    yield click.style(f"@@ {OPS.get(edit.op, edit.op)} {edit.kind} {address} @@", fg="cyan")
    yield from diff_lines(edit.before or b"", edit.after or b"")


def diff_lines(before: bytes, after: bytes) -> Iterator[str]:
    """Return a unified diff of two texts, three lines of context, without file headings."""
    if before == after:
        return
    if b"\0" in before or b"\0" in after:
        yield f"(not text: {size(len(before))} -> {size(len(after))})"
        return
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if old and new and max(len(old), len(new)) > MAX_DIFF_LINES:
        yield f"(too long to compare: {some(len(old), 'line')} -> {some(len(new), 'line')})"
        return
    old_text, new_text = [_line(each) for each in old], [_line(each) for each in new]
    for line in list(difflib.unified_diff(old_text, new_text, n=3, lineterm=""))[2:]:
        if line.startswith("@@"):
            if line != _whole(len(old), len(new)):
                yield click.style(line, dim=True)
        else:
            yield from _colour(line)


def _whole(old: int, new: int) -> str:
    """Return the hunk heading that says nothing: the hunk is all of the node."""
    return f"@@ -{_range(old)} +{_range(new)} @@"


def _range(length: int) -> str:
    return "1" if length == 1 else f"{min(1, length)},{length}"


def _line(raw: bytes) -> str:
    """Return a line for people: what a terminal might obey is escaped, a missing newline is told."""
    text = printable(raw.decode("utf-8", "surrogateescape").removesuffix("\n"), keep="\t")
    return text if raw.endswith(b"\n") else text + "\n"


def _colour(line: str) -> Iterator[str]:
    unended = line.endswith("\n")
    shown = line.removesuffix("\n")
    colour = {"+": "green", "-": "red"}.get(line[:1])
    yield click.style(shown, fg=colour) if colour else shown
    if unended:
        yield "\\ No newline at end of file"


def render_refusals(
    refusals: Sequence[Refusal], zone: dt.tzinfo | None = None, width: int | None = None
) -> Iterator[str]:
    """Return the list of `makfs refusals`: a line each, and the reason below it."""
    for each in refusals:
        moment = moment_of(each.time_ns, zone)
        yield "  ".join(
            (
                click.style(f"{each.number:>4}", fg="yellow"),
                click.style(f"{moment:%Y-%m-%d %H:%M:%S}", dim=True),
                click.style(printable(each.agent), fg=agent_colour(each.agent)),
                click.style(program_of(each.program, each.pid), dim=True),
                click.style(printable(each.path), bold=True),
            )
        )
        yield from wrap(printable(each.reason), width, " " * 6)


def render_refusal(
    refusal: Refusal, zone: dt.tzinfo | None = None, width: int | None = None
) -> Iterator[str]:
    """Return the lines of `makfs refusals show`."""
    yield click.style(f"refusal {refusal.number}", fg="yellow")
    yield f"Agent:    {click.style(printable(refusal.agent), fg=agent_colour(refusal.agent))}"
    yield f"Program:  {program_of(refusal.program, refusal.pid)}"
    yield f"Time:     {_time(moment_of(refusal.time_ns, zone))}"
    yield f"File:     {printable(refusal.path)}"
    yield f"Read at:  commit {refusal.base_seq}, newest was {refusal.head_seq}"
    yield from wrap(printable(refusal.reason), width, "Reason:   ")
    for address in refusal.addresses:
        yield f"Conflict: {printable(address)}"
    yield ""
    if refusal.base is None:
        yield f"The refused text has {size(len(refusal.mine))}; what it was based on is not known."
        return
    yield click.style("What the write would have changed:", bold=True)
    yield from diff_lines(refusal.base, refusal.mine)
