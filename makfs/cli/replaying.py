"""`makfs replay`: the tree, or what the locks decided, once more from what is on record. Changes nothing."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, json_option, print_json
from makfs.cli.exits import EXIT_FAILURE

if TYPE_CHECKING:
    from makfs.engine.replay import Replayed

REPLAY_EPILOG = """\b
Examples:
  makfs replay /tmp/again
  makfs replay --to 1207 --with-unrecorded /tmp/then
  makfs replay --verify
  makfs replay --locks
"""


@click.command(epilog=REPLAY_EPILOG, short_help="Rebuild the tree from the journal")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from", "first", metavar="SEQ", type=click.IntRange(0), help="Begin with the tree of commit SEQ."
)
@click.option(
    "--to", "last", metavar="SEQ", type=click.IntRange(0), help="End with commit SEQ. Default: the newest."
)
@click.option("--with-unrecorded", is_flag=True, help="Copy what no commit ever touched, too.")
@click.option("--verify", is_flag=True, help="Compare every commit with its hashes; DIR may be left out.")
@click.option(
    "--locks", "of_locks", is_flag=True, help="Ask the lock table again all it was asked, and compare."
)
@json_option
@click.pass_context
def replay(
    context: click.Context,
    folder: Path | None,
    first: int | None,
    last: int | None,
    with_unrecorded: bool,
    verify: bool,
    of_locks: bool,
    as_json: bool,
) -> int:
    """Rebuild the tree in the empty directory DIR from the journal alone, commit after commit.

    Works while the repository is mounted and while it is not. Exits with 1 if --verify or --locks finds a
    difference; the first is printed.
    """
    place = found(context)
    if of_locks:
        if folder is not None or first is not None or last is not None or with_unrecorded:
            raise click.UsageError("--locks takes no directory, and no option but --verify and --json.")
        return _locks(place.repo, as_json)
    if folder is None and not verify:
        raise click.UsageError("Name an empty directory, or ask for --verify.")
    from makfs.engine import replay as engine
    from makfs.errors import MakfsError
    from makfs.ids import Seq
    from makfs.store.reader import SqliteReader

    begin, end = (None if seq is None else Seq(seq) for seq in (first, last))
    with SqliteReader(engine.store_file(place.repo)) as reader:
        if folder is None:
            done = engine.verify(reader, first=begin, last=end)
        else:
            try:
                done = engine.replay(
                    reader, place.repo, folder, first=begin, last=end,
                    with_unrecorded=with_unrecorded, verify=verify,
                )  # fmt: skip
            except OSError as error:
                raise MakfsError(
                    f"{folder} cannot be written: {error.strerror} ({error.filename})."
                ) from error
    _tell(done, folder, as_json)
    return EXIT_FAILURE if done.difference else 0


def _tell(done: "Replayed", folder: Path | None, as_json: bool) -> None:
    from makfs.cli.text import printable, some
    from makfs.wire.values import to_json

    if as_json:
        print_json(to_json(done))
        return
    what = "compared" if folder is None else f"{some(done.paths, 'path')} written"
    click.echo(f"replayed commits {done.first} to {done.last}: {what}")
    for path in done.not_kept[:3]:
        click.echo(f"{printable(path)} is too large for the journal, and its bytes are not there any more.")
    if done.copied:
        click.echo(f"{some(done.copied, 'file')} that the journal does not hold copied from the repository")
    elif done.unrecorded:
        click.echo(f"{some(done.unrecorded, 'file')} left out: no commit touched them (--with-unrecorded)")
    if done.difference:
        click.echo(printable(done.difference), err=True)


def _locks(repo: str, as_json: bool) -> int:
    import dataclasses

    from makfs.cli.text import printable, some
    from makfs.engine.replay import store_file
    from makfs.locks.recorded import replay_locks
    from makfs.store.lockevents import read_events

    done = replay_locks(read_events(store_file(repo)))
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(done), indent=2))
    elif done.difference:
        click.echo(printable(done.difference), err=True)
    else:
        click.echo(f"{some(done.calls, 'call')} answered as before, in {some(done.starts, 'mount')}")
    return EXIT_FAILURE if done.difference else 0
