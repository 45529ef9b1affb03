"""`makfs undo` and `makfs restore`: going back, by a new commit."""

import click

from makfs.cli.common import client, complete_agent, found, json_option, print_json
from makfs.cli.completing import complete_file

UNDO_EPILOG = """\b
Examples:
  makfs undo 41 43
  makfs undo --agent alice --since 10m
  makfs undo --task "mend the tests"
  makfs undo 44                          (if 44 was an undo: do it again)
"""

RESTORE_EPILOG = """\b
Examples:
  makfs restore src/app.py@1207
  makfs restore docs@0
"""

_BY = click.option(
    "--as", "by", metavar="NAME", shell_complete=complete_agent,
    help="Let it be this agent's commit, with its role and locks. Default: a person's.",
)  # fmt: skip


@click.command(epilog=UNDO_EPILOG, short_help="Take commits back, keeping later work")
@click.argument("seqs", metavar="[SEQ]...", nargs=-1, type=click.IntRange(1))
@click.option("--agent", metavar="NAME", shell_complete=complete_agent, help="All commits of this agent.")
@click.option("--task", metavar="TASK", help="All commits made for this task; with --agent, by both.")
@click.option(
    "--since", metavar="TIME", help="With --agent or --task: since then only, as 10m or 2026-11-20T14:00."
)
@_BY
@json_option
@click.pass_context
def undo(
    context: click.Context,
    seqs: tuple[int, ...],
    agent: str | None,
    task: str | None,
    since: str | None,
    by: str | None,
    as_json: bool,
) -> None:
    """Take back what the commits SEQ changed, node by node, in one new commit.

    Later work on other nodes stays. Where later work changed the same node nothing is undone, and it is said
    which commit stands in the way: name that one too, or edit by hand.
    """
    is_by = agent is not None or task is not None
    if bool(seqs) is is_by or task == "":
        raise click.UsageError("Name commits, or an agent with --agent, or a task with --task.")
    if since is not None and not is_by:
        raise click.UsageError("--since needs --agent or --task.")
    from makfs.cli.times import moment_ns
    from makfs.wire.verbs import Undo

    since_ns = 0 if since is None else moment_ns(since)
    with client(context) as daemon:
        data = daemon.ask(Undo(seqs, agent, since_ns, by, task))
    _tell(data, as_json)


@click.command(epilog=RESTORE_EPILOG, short_help="Make a path what it was after a commit")
@click.argument("what", metavar="PATH@SEQ", shell_complete=complete_file)
@_BY
@json_option
@click.pass_context
def restore(context: click.Context, what: str, by: str | None, as_json: bool) -> None:
    """Make PATH, and all below it, what it was after commit SEQ, in one new commit.

    PATH@0 is the beginning; @SEQ alone is the whole repository; SEQ may be a mark.
    """
    path, separator, at = what.rpartition("@")
    if not separator or not at:
        raise click.UsageError(f"{what!r} is not PATH@SEQ, as src/app.py@1207.")
    from makfs.cli.client import Client
    from makfs.cli.find import repo_path
    from makfs.wire.verbs import Restore

    place = found(context, path or None)
    with Client(place.repo) as daemon:
        data = daemon.ask(Restore(repo_path(path, place) if path else "", at, by))
    _tell(data, as_json)


def _tell(data: object, as_json: bool) -> None:
    from makfs.cli.text import printable
    from makfs.engine.api import Reverted
    from makfs.wire.values import from_json

    if as_json:
        print_json(data)
        return
    done = from_json(Reverted, data)
    if done.seq is None:
        click.echo("Nothing to change: everything is so already.")
        return
    names = ", ".join(printable(path) for path in done.paths[:3])
    more = f" and {len(done.paths) - 3} more" if len(done.paths) > 3 else ""
    click.echo(f"commit {done.seq}: {names}{more}")
