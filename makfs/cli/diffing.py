"""`makfs diff`: what two trees differ by."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, json_option, note, print_json
from makfs.cli.completing import complete_commit, complete_file, complete_run
from makfs.cli.paging import pager_option, show

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.engine.historyapi import DiffPage, FileDiff
    from makfs.wire.values import Json
    from makfs.wire.verbs import Diff

EPILOG = """\b
Examples:
  makfs diff 41..head
  makfs diff before-lunch..head src/ tests/test_app.py
  makfs diff 41..47 --by-node
  makfs diff 41..47 | git apply --stat
  makfs diff --run 3
"""


@click.command(epilog=EPILOG, short_help="Show how two commits' trees differ")
@click.argument("span", metavar="[A[..B]]", default="", shell_complete=complete_commit)
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=complete_file)
@click.option(
    "--run", "number", type=click.IntRange(1), metavar="N", shell_complete=complete_run,
    help="What run N changed, node by node.",
)  # fmt: skip
@click.option("--by-node", is_flag=True, help="Node by node, with what became of each.")
@pager_option
@json_option
@click.pass_context
def diff(
    context: click.Context,
    span: str,
    paths: tuple[str, ...],
    number: int | None,
    by_node: bool,
    no_pager: bool,
    as_json: bool,
) -> None:
    """Show what turns the tree of commit A into that of B, as git does; without B, the newest.

    `A B` is A..B, unless there is a path of that name. A and B are commits by number, marks, or `head`; 0 is
    what was there before the first commit. The change of one commit alone is `makfs show`. Of a run (--run)
    it is what its agent's own commits come to, and nobody else's.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import repo_path
    from makfs.wire.verbs import Diff

    place = found(context)
    if number is not None:
        if span or as_json:
            raise click.UsageError("--run takes neither commits nor paths, and has no --json.", context)
        with Client(place.repo) as daemon:
            _show(_of_run(daemon, number), f"Run {number} changed nothing, or changed it back.", no_pager)
        return
    old, new = ends(span)
    with Client(place.repo) as daemon:
        if ".." not in span and paths and _is_commit(daemon, paths[0]):
            new, paths = paths[0], paths[1:]
        query = Diff(old, new, tuple(repo_path(path, place) for path in paths), by_node)
        pages = _pages(daemon, query)
        if as_json:
            print_json(_whole(list(pages)))
        else:
            _show(_rendered(pages, by_node=by_node), "Nothing differs.", no_pager)


def _show(lines: "Iterator[str | bytes]", nothing: str, no_pager: bool) -> None:
    """Show lines, or note that there are none."""
    first = next(lines, None)
    if first is None:
        note(nothing)
    else:
        show(chain([first], lines), no_pager=no_pager)


def _of_run(daemon: "Client", number: int) -> "Iterator[str | bytes]":
    from makfs.cli.rundiff import lines_of
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runverbs import ShowRun

    yield from lines_of(daemon, daemon.get(ShowRun(number), RunRecord))


def _is_commit(daemon: "Client", word: str) -> bool:
    """Tell whether a word after A is B: it names a commit, and no file from here."""
    import os

    from makfs.cli.exits import Told
    from makfs.wire.verbs import SeqOf

    if "/" in word or os.path.lexists(word):
        return False
    try:
        daemon.ask(SeqOf(word))
    except Told:
        return word.isdecimal()  # a number that is too large: that is said
    return True


def ends(span: str) -> tuple[str, str]:
    """Return both ends of `A..B`, `A`, `A..` or `..B`."""
    old, separator, new = span.partition("..")
    if not old and not separator:
        raise click.UsageError("Name a commit, or two as A..B.")
    return old or "0", new or "head"


def _pages(daemon: "Client", query: "Diff") -> "Iterator[Json]":
    """Yield answers until there is no more."""
    import dataclasses

    from makfs.wire.values import from_json

    while True:
        page = daemon.ask(query)
        yield page
        if page["after"] is None:
            return
        query = dataclasses.replace(query, after=from_json(str, page["after"]))


def _whole(pages: "list[Json]") -> "Json":
    return {**pages[0], "files": [file for page in pages for file in page["files"]], "after": None}


def _rendered(pages: "Iterator[Json]", *, by_node: bool) -> Iterator[str | bytes]:
    import sys

    from makfs.engine.historyapi import DiffPage
    from makfs.wire.values import from_json

    exact = not sys.stdout.isatty()
    for page in pages:
        yield from render_diff(from_json(DiffPage, page), by_node=by_node, exact=exact)


def render_diff(page: "DiffPage", *, by_node: bool = False, exact: bool = False) -> Iterator[str | bytes]:
    """Return the lines of a difference; `exact` the very bytes, for programs. Pure."""
    for file in page.files:
        if by_node and file.edits:
            yield from _by_node(file)
        else:
            yield from _by_line(file, exact=exact)


def _by_line(file: "FileDiff", *, exact: bool) -> Iterator[str | bytes]:
    from makfs.cli.text import printable
    from makfs.cli.unified import patch

    colours = {"+": "green", "-": "red"}
    for line in patch(file):
        if exact:
            yield line.raw
            continue
        text = printable(line.raw.decode("utf-8", "surrogateescape"), keep="\t")
        if line.kind == "h":
            yield click.style(text, bold=True)
        elif line.kind == "@":
            head, end, heading = text.partition(" @@")
            yield click.style(head + end, fg="cyan") + heading
        else:
            yield click.style(text, fg=colours[line.kind]) if line.kind in colours else text


def _by_node(file: "FileDiff") -> Iterator[str]:
    from makfs.cli.showview import edit_lines
    from makfs.cli.text import printable

    what = "  (new)" if file.old is None else "  (removed)" if file.new is None else ""
    if file.old_path is not None:
        what = f"  (from {printable(file.old_path)})"
    yield click.style(printable(file.path) + what, bold=True)
    for edit in file.edits:
        yield from edit_lines(edit)
    yield ""
