"""The command line of `scripts/bench`."""

import argparse
import contextlib
import json
import os
import platform
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchlib import commits, history, locks, memory, past, reading, running, starting, store, trees, waiting
from benchlib.machine import Failed, Makfs, commit_of
from benchlib.report import Row, table

SECTIONS = ("locks", "history", "store", "start", "run", "read", "turns", "waits", "commit", "memory", "past")
AGENTS = 1000  # that contend for locks
_HERE = Path(__file__).resolve().parent.parent

EPILOG = """\
Everything happens in copies below --work, which is removed at the end; the tree itself is only read.
CPU time is that of clients and daemons together; a goal ending in x is a ratio to the native directory.
The exit code is 0 whether goals are reached or not: 1 means that something did not work.

  scripts/bench                              a made tree of 1000 files
  scripts/bench --tree ~/src/django          a real one
  scripts/bench --only commit --edits 500    one section
"""


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measure makfs against the native directory and, where installed, bindfs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--tree", type=Path, metavar="DIR", help="measure on a copy of DIR; default: a made tree"
    )
    parser.add_argument(
        "--files", type=int, default=1000, metavar="N", help="files of a made tree (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of trees and edits (%(default)s)")
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="of each figure (%(default)s)")
    parser.add_argument(
        "--edits", type=int, default=100, metavar="N", help="commits of each size (%(default)s)"
    )
    parser.add_argument(
        "--lines",
        type=int,
        nargs="+",
        default=[200, 5000],
        metavar="N",
        help="sizes of files edited (200 5000)",
    )
    parser.add_argument("--readers", type=int, default=2, metavar="N", help="during commits (%(default)s)")
    parser.add_argument("--runs", type=int, default=50, metavar="N", help="that idle (%(default)s)")
    parser.add_argument("--views", type=int, default=4, metavar="N", help="for the memory (%(default)s)")
    parser.add_argument(
        "--commits", type=int, default=1000, metavar="N", help="of the journal that is exported (%(default)s)"
    )
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="sections to run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE, too")
    parser.add_argument("--work", type=Path, metavar="DIR", help="a directory for copies and mounts")
    parser.add_argument(
        "--makfs",
        default=str(_HERE / "makfs"),
        metavar="COMMAND",
        help="the command under test (%(default)s)",
    )
    return parser.parse_args()


def run(asked: argparse.Namespace, work: Path) -> Iterator[Row]:
    """Make the copies and yield what the sections find."""
    yield from _made_up(asked, work)
    if set(asked.only) <= {"locks", "history", "store"}:
        return
    repo, native, bound, listing = work / "repo", work / "native", work / "bound", work / "files"
    trees.prepare(asked.tree, repo, asked.files, asked.seed)
    trees.copy(repo, native)
    if "read" in asked.only:
        trees.copy(repo, bound)
    listing.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in trees.regular_files(native)))
    makfs = Makfs(shlex.split(asked.makfs), repo, work / "mnt")
    makfs.run("--version")  # installs what is missing; not a part of any figure
    if "start" in asked.only:
        yield from starting.measure(makfs, max(1, asked.rounds // 2))
    if "run" in asked.only:
        yield from running.measure(makfs, asked.rounds, asked.runs)
    if "read" in asked.only:
        yield from reading.measure(makfs, native, bound, listing, asked.rounds)
    if "turns" in asked.only:
        yield from reading.take_turns(makfs, 4)
    if "waits" in asked.only:
        yield from waiting.measure(makfs, asked.rounds, asked.edits, asked.seed)
    if "commit" in asked.only:
        yield from commits.measure(makfs, native, asked.lines, asked.edits, asked.readers, asked.seed)
    if "memory" in asked.only:
        yield from memory.measure(makfs, listing, asked.views)
    if "past" in asked.only:
        yield from past.measure(makfs, asked.rounds, asked.commits, asked.seed)


def _made_up(asked: argparse.Namespace, work: Path) -> Iterator[Row]:
    """Yield what the sections find that need no copies."""
    if "locks" in asked.only:
        yield from locks.measure(asked.rounds, AGENTS, asked.seed)
    if "history" in asked.only:
        yield from history.measure(work, shlex.split(asked.makfs), asked.rounds)
    if "store" in asked.only:
        yield from store.measure(work, asked.seed)


def main() -> int:
    """Measure, print the table, write the JSON."""
    asked = arguments()
    rows: list[Row] = []
    failure = ""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _workplace(asked.work) as work:
        try:
            for row in run(asked, work):
                rows.append(row)
                print(f"bench: {row.section}: {row.what}: {row.makfs:.2f} {row.unit}", file=sys.stderr)
        except Failed as failed:
            failure = str(failed)
        except KeyboardInterrupt:  # what was measured is shown all the same
            failure = "interrupted"
    print("\n".join(table(rows)))
    if asked.json is not None:
        asked.json.write_text(json.dumps(_document(asked, rows, failure), indent=2) + "\n")
    if failure:
        print(f"bench: {failure}", file=sys.stderr)
    return 1 if failure else 0


@contextlib.contextmanager
def _workplace(given: Path | None) -> Iterator[Path]:
    """Make a directory for copies and mounts; remove it unless something is still mounted there."""
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="makfs-bench-", dir=given))
    try:
        yield work
    finally:
        if any(os.path.ismount(place) for place in work.iterdir()):
            print(f"bench: {work} is kept: something is still mounted there", file=sys.stderr)
        else:
            shutil.rmtree(work)


def _document(asked: argparse.Namespace, rows: list[Row], failure: str) -> dict[str, object]:
    polled = Path("/sys/module/haltpoll/parameters/guest_halt_poll_ns")
    machine = {
        "kernel": platform.release(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "guest_halt_poll_ns": int(polled.read_text()) if polled.exists() else None,
    }
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(asked).items()}
    return {
        "commit": commit_of(_HERE.parent),
        "machine": machine,
        "settings": settings,
        "failure": failure or None,
        "results": [row.as_json() for row in rows],
    }


if __name__ == "__main__":
    sys.exit(main())
