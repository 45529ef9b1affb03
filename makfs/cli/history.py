"""`makfs log` and `makfs show`."""

from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import click

from makfs.cli.common import (
    client,
    complete_agent,
    found,
    json_option,
    note,
    print_json,
    terminal_width,
)
from makfs.cli.completing import complete_commit, complete_file
from makfs.cli.paging import pager_option
from makfs.cli.paging import show as show_lines

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.wire.values import Json

LOG_EPILOG = """\b
Examples:
  makfs log
  makfs log -n 5 --agent alice
  makfs log src/app.py
  makfs log src/app.py::Basket --since 2h
  makfs log --program sed --since 2026-11-20T09:00 --until 30m
"""


@click.command(epilog=LOG_EPILOG, short_help="List commits, newest first")
@click.argument("where", metavar="[PATH|ADDRESS]", required=False, shell_complete=complete_file)
@click.option(
    "-n", "--number", type=click.IntRange(1), default=30, show_default=True, help="At most so many."
)
@click.option("--agent", metavar="NAME", shell_complete=complete_agent, help="Only commits of this agent.")
@click.option(
    "--path", metavar="PATH", help="Only commits that changed this file, or anything in this folder."
)
@click.option(
    "--address", metavar="ADDRESS",
    help="Only commits that changed this node, class with all inside, or file wherever it was.",
)  # fmt: skip
@click.option("--since", metavar="TIME", help="Only commits since then: 10m, 2h or 3d ago, or ISO 8601.")
@click.option("--until", metavar="TIME", help="Only commits up to then.")
@click.option("--program", metavar="NAME", help="Only commits made with this program.")
@click.option("--task", metavar="TASK", help="Only commits made for this task.")
@click.option("--before", type=click.IntRange(1), metavar="SEQ", help="Only commits older than this one.")
@pager_option
@json_option
@click.pass_context
def log(
    context: click.Context,
    where: str | None,
    number: int,
    agent: str | None,
    path: str | None,
    address: str | None,
    since: str | None,
    until: str | None,
    program: str | None,
    task: str | None,
    before: int | None,
    no_pager: bool,
    as_json: bool,
) -> None:
    """List commits, newest first: number, time, agent, program and pid, task, nodes changed.

    With PATH only those that --path finds, with ADDRESS (it has `::` in it) those that --address finds.
    """
    if sum(each is not None for each in (where, path, address)) > 1:
        raise click.UsageError("Give one of PATH, ADDRESS, --path and --address.")
    if where is not None and "::" in where:
        address = where
    elif where is not None:
        path = where
    from makfs.cli.client import Client
    from makfs.cli.find import repo_address, repo_path
    from makfs.cli.times import moment_ns
    from makfs.wire.verbs import Log

    place = found(context, path)
    query = Log(
        number,
        before,
        agent,
        None if path is None else repo_path(path, place),
        program,
        None if since is None else moment_ns(since),
        None if until is None else moment_ns(until),
        None if address is None else repo_address(address, place),
        task,
    )
    with Client(place.repo) as daemon:
        pages = _pages(daemon, query)
        if as_json:
            print_json([each for page in pages for each in page])
            return
        first = next(pages, None)
        if first is None:
            note("No commit matches." if _is_narrow(query) else "There is no commit yet.")
        else:
            show_lines(_rendered(chain([first], pages)), no_pager=no_pager)


def _is_narrow(query: "Log") -> bool:
    from makfs.wire.verbs import Log

    return query != Log(query.limit)


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
    epilog="\b\nExamples:\n  makfs show 1207\n  makfs show before-lunch\n  makfs show 1207 --json",
    short_help="Show a commit as a diff by node",
)
@click.argument("seq", shell_complete=complete_commit)
@pager_option
@json_option
@click.pass_context
def show(context: click.Context, seq: str, no_pager: bool, as_json: bool) -> None:
    """Show commit SEQ, a number, a mark or `head`: who, when, and a diff for each node it changed."""
    from makfs.cli.showview import render_commit
    from makfs.cli.wholes import wholes, with_wholes
    from makfs.store.model import CommitDetail
    from makfs.wire.values import from_json
    from makfs.wire.verbs import SeqOf, Show

    with client(context) as daemon:
        number = int(seq) if seq.isascii() and seq.isdigit() and len(seq) < 19 else daemon.ask(SeqOf(seq))
        data = daemon.ask(Show(number))
        if as_json:
            print_json(data)
            return
        detail = from_json(CommitDetail, data)
        files = wholes(daemon, detail)
    made = {path for path, file in files.items() if file.old is None}
    show_lines(render_commit(with_wholes(detail, files), made=made), no_pager=no_pager)
