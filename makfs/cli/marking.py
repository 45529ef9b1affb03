"""`makfs mark` and `makfs cat`: names for commits, and files as they were."""

import datetime as dt
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from makfs.cli.common import client, found, json_option, note, print_json, print_lines
from makfs.cli.completing import complete_commit, complete_file, complete_mark

if TYPE_CHECKING:
    from makfs.store.model import Mark

MARK_EPILOG = """\b
Examples:
  makfs mark before-lunch
  makfs mark v1 1207
  makfs mark --list
  makfs mark --delete v1
  makfs diff before-lunch..head
  ls /mnt/work/@before-lunch
"""

CAT_EPILOG = """\b
Examples:
  makfs cat src/app.py@1207
  makfs cat src/app.py@before-lunch > old.py
  makfs cat src/app.py@head
"""


@click.command(epilog=MARK_EPILOG, short_help="Name a commit")
@click.argument("name", required=False)
@click.argument("seq", required=False, shell_complete=complete_commit)
@click.option("--list", "-l", "listing", is_flag=True, help="List all marks.")
@click.option(
    "--delete",
    "-d",
    "deleted",
    metavar="NAME",
    shell_complete=complete_mark,
    help="Forget this mark; its commit stays.",
)
@json_option
@click.pass_context
def mark(
    context: click.Context,
    name: str | None,
    seq: str | None,
    listing: bool,
    deleted: str | None,
    as_json: bool,
) -> None:
    """Give commit SEQ a NAME, by default the newest: its tree is MOUNT/@NAME, and all commands know it.

    Without NAME, list all marks.
    """
    if (listing and deleted is not None) or (name is not None and (listing or deleted is not None)):
        raise click.UsageError("Give a name to set, or --list, or --delete NAME.")
    listing = listing or (name is None and deleted is None)
    from makfs.store.model import Mark
    from makfs.wire.values import from_json
    from makfs.wire.verbs import DeleteMark, Marks, SetMark

    with client(context) as daemon:
        if listing:
            data = daemon.ask(Marks())
        elif deleted is not None:
            data = daemon.ask(DeleteMark(deleted))
        else:
            assert name is not None, "checked above"
            data = daemon.ask(SetMark(name, seq or "head"))
    if as_json:
        print_json(data)
    elif listing:
        marks = from_json(list[Mark], data)
        print_lines(render_marks(marks))
        if not marks:
            note("There is no mark; 'makfs mark NAME' makes one.")
    else:
        made = from_json(Mark, data)
        click.echo(
            f"{made.name} no longer marks commit {made.seq}"
            if deleted
            else f"{made.name} marks commit {made.seq}"
        )


def render_marks(marks: "Sequence[Mark]", zone: dt.tzinfo | None = None) -> Iterator[str]:
    """Return the lines for people. Pure."""
    from makfs.cli.logview import moment_of
    from makfs.cli.text import table

    if marks:
        rows = [
            (each.name, str(each.seq), f"{moment_of(each.time_ns, zone):%Y-%m-%d %H:%M:%S}") for each in marks
        ]
        lines = table(("MARK", "COMMIT", "SET"), rows, right=(1,))
        yield click.style(lines[0], bold=True)
        yield from lines[1:]


@click.command(epilog=CAT_EPILOG, short_help="Print a file as it was")
@click.argument("file", metavar="PATH[@SEQ]", shell_complete=complete_file)
@click.pass_context
def cat(context: click.Context, file: str) -> None:
    """Print the bytes of PATH as of commit SEQ, a mark, or the newest; no more and no less."""
    from makfs.cli.client import Client
    from makfs.cli.find import path_at, repo_path
    from makfs.engine.historyapi import Chunk
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Cat, SeqOf

    place = found(context, file)
    out = sys.stdout.buffer
    with Client(place.repo) as daemon:
        path, at = path_at(file, place, daemon)
        path, at = repo_path(path, place), str(daemon.ask(SeqOf(at)))
        offset = 0
        while True:
            chunk = from_json(Chunk, daemon.ask(Cat(path, at, offset)))
            out.write(chunk.data)
            offset += len(chunk.data)
            if not chunk.data or offset >= chunk.size_bytes:
                break
    out.flush()
