"""`makfs blame`: who wrote each line, or changed each node last."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, json_option, print_json
from makfs.cli.completing import complete_file
from makfs.cli.paging import pager_option, show

if TYPE_CHECKING:
    from makfs.engine.historyapi import Author, Blame, NodeBlame

EPILOG = """\b
Examples:
  makfs blame src/app.py
  makfs blame src/app.py@1207
  makfs blame --by-node src/app.py
"""
ORIGIN = "origin"
MAX_TASK = 24  # columns; longer ones are cut


@click.command(epilog=EPILOG, short_help="Tell who wrote each line of a file")
@click.argument("file", metavar="PATH[@SEQ]", shell_complete=complete_file)
@click.option("--by-node", is_flag=True, help="One row a node: who changed it last.")
@pager_option
@json_option
@click.pass_context
def blame(context: click.Context, file: str, by_node: bool, no_pager: bool, as_json: bool) -> None:
    """Tell for each line of PATH which commit wrote it as it is: number, agent, time, program, task.

    A line keeps its author wherever its node moves, and through renames of the file. What was there before
    the first commit says `origin`. PATH@SEQ is the file as of a commit, PATH@NAME as of a mark.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import path_at, repo_path
    from makfs.engine.historyapi import Blame as Lines
    from makfs.engine.historyapi import NodeBlame
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Blame

    place = found(context, file)
    with Client(place.repo) as daemon:
        path, at = path_at(file, place, daemon)
        data = daemon.ask(Blame(repo_path(path, place), at, by_node))
    if as_json:
        print_json(data)
    elif by_node:
        show(render_nodes(from_json(NodeBlame, data)), no_pager=no_pager)
    else:
        show(render_lines(from_json(Lines, data)), no_pager=no_pager)


def render_lines(blame: "Blame", zone: dt.tzinfo | None = None) -> Iterator[str]:
    """Return a row a line for people. Pure."""
    from makfs.cli.text import printable

    who = _Names(blame.authors, zone)
    width = len(str(len(blame.lines)))
    for line in blame.lines:
        text = printable(line.text.decode("utf-8", "surrogateescape").removesuffix("\n"), keep="\t")
        yield f"{who.row(line.seq)}  {click.style(f'{line.number:>{width}})', dim=True)} {text}".rstrip(" ")


def render_nodes(blame: "NodeBlame", zone: dt.tzinfo | None = None) -> Iterator[str]:
    """Return a row a node for people. Pure."""
    from makfs.cli.text import columns, pad, printable

    who = _Names(blame.authors, zone)
    kind_width = max([4, *(columns(row.kind) for row in blame.nodes)])
    spans = [
        str(row.first_line) if row.first_line == row.last_line else f"{row.first_line}-{row.last_line}"
        for row in blame.nodes
    ]
    line_width = max([5, *map(len, spans)])
    for row, span in zip(blame.nodes, spans, strict=True):
        path, separator, name = printable(row.address).partition("::")
        address = f"{click.style(path + separator, dim=True)}{name}" if name else path
        cells = (who.row(row.seq), pad(row.kind, kind_width), pad(span, line_width, right=True), address)
        yield "  ".join(cells)


class _Names:
    """The columns that say who, one width for all rows."""

    def __init__(self, authors: "Sequence[Author]", zone: dt.tzinfo | None) -> None:
        from makfs.cli.logview import agent_colour, moment_of
        from makfs.cli.text import columns, fit, pad, printable

        seq = max([len(ORIGIN), *(len(str(each.seq)) for each in authors)])
        agent = max([0, *(columns(printable(each.agent)) for each in authors)])
        program = max([0, *(columns(printable(each.program)) for each in authors)])
        task = max([0, *(columns(fit(printable(each.task), MAX_TASK)) for each in authors)])
        rest = f"  {'':{agent}}  {'':19}  {'':{program}}" if authors else ""
        rest += f"  {'':{task}}" if task else ""
        self._rows = {0: click.style(f"{ORIGIN:>{seq}}", dim=True) + rest}
        for each in authors:
            moment = moment_of(each.time_ns, zone)
            cells = (
                click.style(f"{each.seq:>{seq}}", fg="yellow"),
                click.style(pad(printable(each.agent), agent), fg=agent_colour(each.agent)),
                click.style(f"{moment:%Y-%m-%d %H:%M:%S}", dim=True),
                click.style(pad(printable(each.program), program), dim=True),
                *((pad(fit(printable(each.task), MAX_TASK), task),) if task else ()),
            )
            self._rows[each.seq] = "  ".join(cells)

    def row(self, seq: int) -> str:
        """Return the columns of a commit, 0 for the origin."""
        return self._rows[seq]
