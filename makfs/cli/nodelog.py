"""`makfs node log`: what became of one node."""

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, json_option, note, print_json
from makfs.cli.completing import complete_file
from makfs.cli.paging import pager_option, show

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.engine.historyapi import NodeStep
    from makfs.wire.values import Json
    from makfs.wire.verbs import NodeLog

EPILOG = """\b
Examples:
  makfs node log src/app.py::Basket.total
  makfs node log -p src/app.py::Basket
  makfs node log src/app.py
"""


@click.group(
    epilog="\b\nExample:\n  makfs node log src/app.py::Basket", short_help="Tell the history of a node"
)
def node() -> None:
    """Tell the history of a node: a function, a method, a class, a file."""


@node.command(epilog=EPILOG, short_help="List the commits of a node")
@click.argument("address", shell_complete=complete_file)
@click.option(
    "-n", "--number", type=click.IntRange(1), default=30, show_default=True, help="At most so many."
)
@click.option("-p", "--patch", is_flag=True, help="With what each commit changed.")
@pager_option
@json_option
@click.pass_context
def log(
    context: click.Context, address: str, number: int, patch: bool, no_pager: bool, as_json: bool
) -> None:
    """List the commits that changed the node ADDRESS, newest first, with what they did to it.

    It is followed through renames, moves from class to class, and renames of its file. A class is its header
    and all inside; a path without `::` is the file.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import repo_address
    from makfs.wire.values import from_json
    from makfs.wire.verbs import NodeLog

    place = found(context)
    query = NodeLog(repo_address(address, place).removesuffix("/"), number)
    with Client(place.repo) as daemon:
        data = _all(daemon, query)
    if as_json:
        print_json(data)
        return
    from makfs.engine.historyapi import NodeStep

    steps = from_json(list[NodeStep], data)
    if not steps:
        note(f"No commit has changed {address}: it is as it was before the first.")
    show(render_patches(steps) if patch else render_steps(steps), no_pager=no_pager)


def _all(daemon: "Client", query: "NodeLog") -> "list[Json]":
    """Return answers until the wanted number is reached or the history ends."""
    import dataclasses

    from makfs.wire.verbs import MAX_LIST

    steps: list[Json] = []
    left = query.limit
    while left > 0:
        page = daemon.ask(dataclasses.replace(query, limit=min(left, MAX_LIST)))
        steps += page
        if len(page) < min(left, MAX_LIST):
            break
        left -= len(page)
        query = dataclasses.replace(query, before=page[-1]["commit"]["seq"])
    return steps


def render_steps(steps: "Sequence[NodeStep]", zone: dt.tzinfo | None = None) -> Iterator[str]:
    """Return the lines of the list, grouped by day. Pure."""
    from makfs.cli.logview import agent_colour, day_heading, moment_of, plan, program_of
    from makfs.cli.text import pad, printable

    widths = plan([step.commit for step in steps], None)
    ops = max((len(op_word(step)) for step in steps), default=0)
    day = ""
    for step in steps:
        commit = step.commit
        moment = moment_of(commit.time_ns, zone)
        if day_heading(moment) != day:
            if day:
                yield ""
            day = day_heading(moment)
            yield click.style(day, bold=True)
        cells = (
            click.style(pad(str(commit.seq), widths.seq, right=True), fg="yellow"),
            click.style(moment.strftime("%H:%M:%S"), dim=True),
            click.style(pad(printable(commit.agent), widths.agent), fg=agent_colour(commit.agent)),
            click.style(pad(program_of(commit.program, commit.pid), widths.program), dim=True),
            pad(op_word(step), ops),
            step_address(step),
        )
        yield "  ".join(cells).rstrip()


def op_word(step: "NodeStep") -> str:
    """Return what a commit did, for people."""
    from makfs.cli.showview import OPS

    return "file renamed" if step.op == "file" else OPS.get(step.op, step.op).removesuffix(" of")


def step_address(step: "NodeStep") -> str:
    """Return the address, with the old one where it was another."""
    from makfs.cli.text import printable

    address = printable(step.address)
    if step.old_address and step.old_address != step.address:
        return f"{printable(step.old_address)} -> {address}"
    return address


def render_patches(steps: "Sequence[NodeStep]", zone: dt.tzinfo | None = None) -> Iterator[str]:
    """Return the heads of the commits, each with its diffs of the node. Pure."""
    from makfs.cli.showview import edit_lines, head_lines

    last = 0
    for step in steps:
        if step.commit.seq != last:
            if last:
                yield ""
            last = step.commit.seq
            yield from head_lines(step.commit, zone)
            yield ""
        if not step.edits:
            yield click.style(f"@@ {op_word(step)} {step.kind} {step_address(step)} @@", fg="cyan")
        for edit in step.edits:
            yield from edit_lines(edit)
