"""`makfs logs`: what a run wrote."""

import contextlib
import os
import sys
from typing import IO

import click

from makfs.cli.common import found
from makfs.cli.runargs import run_number
from makfs.cli.times import moment_ns

LOOK_S = 0.2  # `logs -f` looks so often
CHUNK_BYTES = 1 << 16


@click.command(
    epilog="\b\nExamples:\n  makfs logs 3\n  makfs logs -f --tail 20 3\n  makfs logs --since 10m 3",
    short_help="Print what a run wrote",
)
@run_number
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@click.option(
    "-n", "--tail", type=click.IntRange(0), metavar="N", help="Only the last N lines of each stream."
)
@click.option("--since", metavar="WHEN", help="Only what came later: 10m, 2h ago, or 2026-11-20T14:00.")
@click.pass_context
def logs(context: click.Context, number: int, follow: bool, tail: int | None, since: str | None) -> None:
    """Print what run NUMBER wrote: its output on standard output, its errors on standard error.

    Moments are known to the second. What was dropped is said where it is missing (`log_bytes` in makfs.conf).
    """
    from makfs.cli.client import Client
    from makfs.wire.place import STATE_DIR
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runs import RUNS_DIR
    from makfs.wire.runverbs import ShowRun, WaitRun

    since_ns = None if since is None else moment_ns(since)
    place = found(context)
    folder = os.path.join(place.repo, STATE_DIR, RUNS_DIR, str(number))
    with Client(place.repo) as daemon, contextlib.ExitStack() as stack:
        record = daemon.get(ShowRun(number), RunRecord)
        streams: dict[str, IO[bytes]] = {}
        while True:
            for name, to in (("stdout", sys.stdout.buffer), ("stderr", sys.stderr.buffer)):
                path = os.path.join(folder, name)
                if name not in streams and os.path.exists(path):
                    streams[name] = stack.enter_context(open(path, "rb"))
                    streams[name].seek(first_byte(streams[name], path, tail, since_ns))
                while name in streams and (chunk := streams[name].read(CHUNK_BYTES)):
                    to.write(chunk)
                    to.flush()
            if not follow or record.is_over:
                return
            record = daemon.get(WaitRun(number, LOOK_S), RunRecord)


def first_byte(stream: IO[bytes], path: str, tail: int | None, since_ns: int | None) -> int:
    """Return where to begin."""
    from makfs.wire.runs import TIMES_SUFFIX

    place = 0
    if since_ns is not None:
        place = os.fstat(stream.fileno()).st_size
        with contextlib.suppress(OSError), open(path + TIMES_SUFFIX, encoding="ascii") as times:
            for line in times:
                time_ns, _, offset = line.partition(" ")
                if int(time_ns) >= since_ns:
                    place = int(offset)
                    break
    return place if tail is None else max(place, _tail(stream, tail))


def _tail(stream: IO[bytes], lines: int) -> int:
    """Return where the last so many lines begin."""
    end = place = os.fstat(stream.fileno()).st_size
    found_lines = 0
    while place > 0:
        begin = max(0, place - CHUNK_BYTES)
        stream.seek(begin)
        chunk = stream.read(place - begin)
        at = len(chunk)
        while (at := chunk.rfind(b"\n", 0, at)) >= 0:
            if begin + at + 1 == end:
                continue  # the end of the last line
            found_lines += 1
            if found_lines == lines or lines == 0:
                return begin + at + 1 if lines else end
        place = begin
    return 0 if lines else end
