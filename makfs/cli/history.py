"""`makfs log` and `makfs show`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from makfs.cli.common import (
    client,
    complete_agent,
    found,
    json_option,
    print_json,
    print_lines,
    terminal_width,
)

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.wire.values import Json

LOG_EPILOG = """\b
Examples:
  makfs log
  makfs log -n 5 --agent alice
  makfs log --path src/app.py
"""


@click.command(epilog=LOG_EPILOG, short_help="List commits, newest first")
@click.option(
    "-n", "--number", type=click.IntRange(1), default=30, show_default=True, help="At most so many."
)
@click.option("--agent", metavar="NAME", shell_complete=complete_agent, help="Only commits of this agent.")
@click.option(
    "--path", metavar="PATH", help="Only commits that changed this file, or anything in this folder."
)
@click.option("--before", type=click.IntRange(1), metavar="SEQ", help="Only commits older than this one.")
@json_option
@click.pass_context
def log(
    context: click.Context,
    number: int,
    agent: str | None,
    path: str | None,
    before: int | None,
    as_json: bool,
) -> None:
    """List commits, newest first: number, time, agent, program and pid, nodes changed."""
    from makfs.cli.client import Client
    from makfs.cli.find import repo_path
    from makfs.wire.verbs import Log

    place = found(context, path)
    query = Log(number, before, agent, None if path is None else repo_path(path, place))
    with Client(place.repo) as daemon:
        pages = _pages(daemon, query)
        if as_json:
            print_json([each for page in pages for each in page])
        else:
            print_lines(_rendered(pages))


def _pages(daemon: "Client", query: "Log") -> Iterator["list[Json]"]:
    """Yield answers until the wanted number is reached or the journal ends."""
    import dataclasses

    from makfs.wire.verbs import MAX_LIST

    left = query.limit
    while left > 0:
        page = daemon.ask(dataclasses.replace(query, limit=min(left, MAX_LIST)))
        if page:
            yield page
        if len(page) < min(left, MAX_LIST):
            return
        left -= len(page)
        query = dataclasses.replace(query, before=page[-1]["seq"])


def _rendered(pages: Iterator["list[Json]"]) -> Iterator[str]:
    from makfs.cli.logview import day_heading, moment_of, render_log
    from makfs.store.model import Commit
    from makfs.wire.values import from_json

    day, width = "", terminal_width()
    for page in pages:
        commits = from_json(list[Commit], page)
        yield from render_log(commits, width, day=day)
        day = day_heading(moment_of(commits[-1].time_ns, None))


if TYPE_CHECKING:
    from makfs.wire.verbs import Log


@click.command(
    epilog="\b\nExamples:\n  makfs show 1207\n  makfs show 1207 --json",
    short_help="Show a commit as a diff by node",
)
@click.argument("seq", type=click.IntRange(1))
@json_option
@click.pass_context
def show(context: click.Context, seq: int, as_json: bool) -> None:
    """Show commit SEQ: who, when, and a diff for each node it changed."""
    from makfs.cli.showview import render_commit
    from makfs.store.model import CommitDetail
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Show

    with client(context) as daemon:
        data = daemon.ask(Show(seq))
    if as_json:
        print_json(data)
    else:
        print_lines(render_commit(from_json(CommitDetail, data)))
