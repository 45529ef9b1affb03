"""`makfs gc`, `makfs export`, `makfs import`: old history cut; a repository with its journal carried away."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, json_option, note, print_json

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
@click.option("--unexported", is_flag=True, help="Cut what `makfs git export` has not exported, too.")
@json_option
@click.pass_context
def gc(context: click.Context, keep: str, dry_run: bool, unexported: bool, as_json: bool) -> None:
    """Cut the history before the commits to keep; print how many bytes that freed.

    What stood at the cut and at every mark stays to the byte, and so do all commits' numbers, authors and
    times. The file itself gets shorter when nobody serves the repository. Where the journal is exported to
    git, a cut that would leave a hole in refs/makfs/log is refused.
    """
    number, since_ns = _kept(keep)
    repo = found(context).repo
    if not dry_run and not unexported:
        _check_exported(repo, number, since_ns)
    data = _ask(repo, number, since_ns, dry_run=dry_run)
    if as_json:
        print_json(data)
    else:
        _tell(data, dry_run=dry_run)


def _check_exported(repo: str, number: int | None, since_ns: int | None) -> None:
    """Raise Busy if commits would be cut that a log which git has does not reach."""
    from makfs.cli.text import some
    from makfs.errors import Busy
    from makfs.gitlog.export import exported
    from makfs.store.model import Collected
    from makfs.wire.values import from_json

    upto = exported(repo)
    if upto is None:
        return
    cut = from_json(Collected, _ask(repo, number, since_ns, dry_run=True)).cut
    if cut > upto:
        raise Busy(
            f"{some(cut - upto, 'commit')} of those to be cut, {upto + 1} to {cut}, "
            f"{'is' if cut - upto == 1 else 'are'} not in refs/makfs/log; nothing was cut. Run 'makfs git "
            "export' first, or say --unexported."
        )


def _ask(repo: str, number: int | None, since_ns: int | None, *, dry_run: bool) -> "Json":
    from makfs.cli.checking import ask_unserved
    from makfs.cli.client import Client
    from makfs.cli.exits import NotServed
    from makfs.cli.progress import ProgressBar
    from makfs.wire.verbs import Gc

    with ProgressBar() as bar:
        try:
            daemon = Client(repo)
        except NotServed:
            options = ["--dry-run"] if dry_run else []
            options += [f"--keep={number}"] if number is not None else [f"--since-ns={since_ns}"]
            return ask_unserved(["keep", *options, "--", repo, "gc"], repo, bar)
        with daemon:
            return daemon.ask(Gc(number, since_ns, dry_run), bar)


def _kept(text: str) -> tuple[int | None, int | None]:
    """Return a number of commits, or since when. Raises UsageError."""
    from makfs.cli.times import moment_ns

    if not text.isascii() or not text.isdigit():
        try:
            return None, moment_ns(text)
        except click.UsageError:
            raise click.UsageError(
                f"--keep takes a number of commits, as 1000, or a time, as 12h or 30d, and not {text[:40]!r}."
            ) from None
    if int(text) < 1:
        raise click.UsageError("--keep keeps at least 1 commit.")
    return int(text), None


def _tell(data: "Json", *, dry_run: bool) -> None:
    from makfs.cli.text import size, some
    from makfs.store.model import Collected
    from makfs.wire.values import from_json

    done = from_json(Collected, data)
    gone = f"{some(done.revisions, 'revision')}, {some(done.edits, 'edit')}"
    if done.cut == 0:
        click.echo("Nothing to cut: all commits are to be kept.")
        return
    if dry_run:
        click.echo(f"would cut before commit {done.cut}: {gone}")
        return
    click.echo(f"cut before commit {done.cut}: {gone}, {some(done.texts, 'text')}")
    click.echo(f"freed {size(done.freed_bytes)}; the store's file has {size(done.file_bytes)}")


@contextmanager
def _told() -> Iterator[None]:
    """Make one sentence of what the system refuses."""
    from makfs.errors import MakfsError

    try:
        yield
    except OSError as error:
        raise MakfsError(f"{error.filename} cannot be used: {error.strerror}.") from error


@click.command(
    epilog="\b\nExamples:\n  makfs export /tmp/out\n  makfs export --tar /tmp/out.tar.gz --at 1207",
    short_help="Write the tree and its journal for elsewhere",
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--tar", metavar="FILE", type=click.Path(path_type=Path), help="One gzipped tar file, not DIR.")
@click.option("--at", metavar="SEQ", type=click.IntRange(0), help="As of commit SEQ, not the newest.")
@click.pass_context
def export(context: click.Context, folder: Path | None, tar: Path | None, at: int | None) -> None:
    """Write the tree and the whole journal as JSON lines into the empty directory DIR.

    The format is in docs/store-format.md. `.git` is left out, and so are refused writes, messages, shared
    names, events and runs. Changes nothing in the repository; works while it is mounted and while it is not.
    """
    if (folder is None) is (tar is None):
        raise click.UsageError("Name an empty directory, or a file with --tar.")
    place = found(context)
    from makfs.cli.text import printable, some
    from makfs.engine import portable
    from makfs.engine.replay import store_file
    from makfs.ids import Seq
    from makfs.store.portable import PortableReader

    seq = None if at is None else Seq(at)
    with _told(), PortableReader(store_file(place.repo)) as reader:
        if tar is not None:
            paths, commits = portable.export_tar(reader, place.repo, tar, seq)
        else:
            assert folder is not None
            paths, commits = portable.export(reader, place.repo, folder, seq)
        left = reader.left_behind()
    click.echo(f"{printable(str(tar or folder))}: {some(commits, 'commit')}, {some(paths, 'recorded path')}")
    stays = [some(count, what) for what, count in {**left, "run": _runs(place.repo)}.items() if count]
    if stays:
        note(f"Not exported: {', '.join(stays)}. They stay in {printable(place.repo)}/.makfs.")


def _runs(repo: str) -> int:
    """Return how many runs are on record."""
    from makfs.wire.place import STATE_DIR
    from makfs.wire.runs import RUNS_DIR

    try:
        return sum(name.isdecimal() for name in os.listdir(os.path.join(repo, STATE_DIR, RUNS_DIR)))
    except FileNotFoundError:
        return 0


@click.command(
    "import", epilog="\b\nExample:\n  makfs import /tmp/out.tar.gz ./again", short_help="Undo an export"
)
@click.argument("source", metavar="FILE|DIR", type=click.Path(path_type=Path))
@click.argument("repo", metavar="NEWREPO", type=click.Path(path_type=Path))
def import_(source: Path, repo: Path) -> None:
    """Make a repository of what `makfs export` wrote, in the empty directory NEWREPO."""
    from makfs.cli.text import printable, some
    from makfs.engine import portable

    with _told():
        commits, marks = portable.import_(source, repo)
    click.echo(f"{printable(str(repo))}: {some(commits, 'commit')}, {some(marks, 'mark')}")
