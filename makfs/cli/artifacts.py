"""`makfs artifacts`: the files that a run left."""

import os
from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, json_option, print_json, print_lines
from makfs.cli.runargs import run_number

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runs import RunKept

CHUNK_BYTES = 1 << 20


@click.command(
    epilog="\b\nExamples:\n  makfs artifacts 3\n  makfs artifacts 3 diff.txt\n  makfs artifacts 3 --copy out",
    short_help="List the files a run left, or copy them",
)
@run_number
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--copy", "target", metavar="DIR", type=click.Path(file_okay=False), help="Copy them into DIR.")
@json_option
@click.pass_context
def artifacts(
    context: click.Context, number: int, names: tuple[str, ...], target: str | None, as_json: bool
) -> None:
    """List what run NUMBER left: record, output, events, the difference by node, a terminal's transcript.

    With NAMEs print these files, or copy them with --copy. A transcript is asciicast v2 (`asciinema play`).
    They are kept until `makfs rm NUMBER`.
    """
    from makfs.cli.client import Client
    from makfs.errors import NotFound
    from makfs.wire.place import STATE_DIR
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runs import RUNS_DIR
    from makfs.wire.runverbs import ShowRun

    place = found(context)
    folder = os.path.join(place.repo, STATE_DIR, RUNS_DIR, str(number))
    with Client(place.repo) as daemon:
        record = daemon.get(ShowRun(number), RunRecord)
        if record.is_over:
            keep_diff(daemon, record, folder)
    there = _files(folder)
    for name in names:
        if name not in there:
            raise NotFound(f"Run {number} left no {name}; it left {', '.join(there) or 'nothing'}.")
    wanted = {name: there[name] for name in names or there}
    if target is not None:
        _copy(folder, wanted, target)
    elif names:
        for name in names:
            _print(os.path.join(folder, name))
    elif as_json:
        print_json([{"name": name, "bytes": size} for name, size in wanted.items()])
    else:
        from makfs.cli.text import size as for_people
        from makfs.cli.text import table

        rows = [(name, for_people(size)) for name, size in wanted.items()]
        print_lines(table(("NAME", "SIZE"), rows, right=(1,)))


def keep_diff(daemon: "Client", record: "RunRecord | RunKept", folder: str) -> None:
    """Write what a run changed into its folder, once; a full disk, or history cut since, leaves it out."""
    import contextlib

    from makfs.errors import MakfsError
    from makfs.wire.runs import DIFF_NAME

    path = os.path.join(folder, DIFF_NAME)
    if not record.commits or os.path.exists(path):
        return
    from makfs.cli.rundiff import lines_of

    with contextlib.suppress(OSError, MakfsError):
        new = f"{path}.{os.getpid()}.new"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.writelines(click.unstyle(line) + "\n" for line in lines_of(daemon, record))
        os.replace(new, path)


def _files(folder: str) -> dict[str, int]:
    """Return the names and sizes of a run's files, but for those in the making."""
    with os.scandir(folder) as entries:
        sizes = {
            each.name: each.stat().st_size
            for each in entries
            if each.is_file(follow_symlinks=False) and not each.name.endswith(".new")
        }
    return dict(sorted(sizes.items()))


def _copy(folder: str, wanted: dict[str, int], target: str) -> None:
    import shutil

    from makfs.errors import MakfsError

    try:
        os.makedirs(target, exist_ok=True)
        for name in wanted:
            shutil.copyfile(os.path.join(folder, name), os.path.join(target, name))
            click.echo(os.path.join(target, name))
    except OSError as error:
        raise MakfsError(
            f"{error.filename2 or error.filename or target} cannot be written: {error.strerror}."
        ) from error


def _print(path: str) -> None:
    import sys

    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()
