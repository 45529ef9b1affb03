"""`makfs gc`: old history cut, beside the daemon's commits or in a process of its own."""

from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, json_option, print_json

if TYPE_CHECKING:
    from makfs.wire.values import Json

GC_EPILOG = """\b
Examples:
  makfs gc --keep 30d --dry-run
  makfs gc --keep 30d
  makfs gc --keep 1000
"""


@click.command(epilog=GC_EPILOG, short_help="Cut old history")
@click.option("--keep", required=True, metavar="N|TIME", help="So many commits, or those of 12h, 30d, 8w.")
@click.option("--dry-run", is_flag=True, help="Tell what would go; change nothing.")
@json_option
@click.pass_context
def gc(context: click.Context, keep: str, dry_run: bool, as_json: bool) -> None:
    """Cut the history before the commits to keep; print how many bytes that freed.

    What stood at the cut and at every mark stays to the byte, and so do all commits' numbers, authors and
    times. The file itself gets shorter when nobody serves the repository.
    """
    from makfs.cli.checking import ask_unserved
    from makfs.cli.client import Client
    from makfs.cli.exits import NotServed
    from makfs.cli.progress import ProgressBar
    from makfs.wire.verbs import Gc

    number, since_ns = _kept(keep)
    place = found(context)
    with ProgressBar() as bar:
        try:
            daemon = Client(place.repo)
        except NotServed:
            options = ["--dry-run"] if dry_run else []
            options += [f"--keep={number}"] if number is not None else [f"--since-ns={since_ns}"]
            data = ask_unserved(["keep", *options, "--", place.repo, "gc"], place.repo, bar)
        else:
            with daemon:
                data = daemon.ask(Gc(number, since_ns, dry_run), bar)
    if as_json:
        print_json(data)
    else:
        _tell(data, dry_run=dry_run)


def _kept(text: str) -> tuple[int | None, int | None]:
    """Return a number of commits, or since when. Raises UsageError."""
    from makfs.cli.times import moment_ns

    if not text.isascii() or not text.isdigit():
        return None, moment_ns(text)
    if int(text) < 1:
        raise click.UsageError("--keep keeps at least 1 commit.")
    return int(text), None


def _tell(data: "Json", *, dry_run: bool) -> None:
    from makfs.cli.text import some
    from makfs.store.model import Collected
    from makfs.wire.values import from_json

    done = from_json(Collected, data)
    gone = f"{some(done.revisions, 'revision')}, {some(done.edits, 'edit')}"
    if dry_run:
        click.echo(f"would cut before commit {done.cut}: {gone}")
        return
    click.echo(f"cut before commit {done.cut}: {gone}, {some(done.texts, 'text')}")
    click.echo(f"freed {done.freed_bytes} bytes; the store's file has {done.file_bytes}")
