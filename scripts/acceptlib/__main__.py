"""The command line of `scripts/acceptance`."""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NoReturn

from benchlib.machine import commit_of

from acceptlib.crewjudge import crew
from acceptlib.page import POLLED, SPEED, Circumstances, page, section, sections_of, speed_section
from acceptlib.verdict import Bound, Figure, verdict
from acceptlib.yardsticks import YARDSTICKS as BROUGHT
from acceptlib.yardsticks import Asked, Silent

ROOT = Path(__file__).resolve().parents[2]
YARDSTICKS = {**BROUGHT, "crew": crew}  # which brings its own agents

EPILOG = """\
DIR of --tools holds storm.py, fsdiff.py, crashtest.py, workloads.sh and replay.py; DIR of --data holds
python.jsonl.gz and other.jsonl.gz, or a directory merges/ with them. Everything happens in temporary
directories ($TMPDIR) and mounts, which are gone at the end.
The exit code is 0 if every bound is kept, 1 if one is missed, 2 if something could not be run.

  scripts/acceptance --tools DIR --data DIR                            all, in full: hours
  scripts/acceptance --tools DIR --data DIR --quick                    all, a little of each: minutes
  scripts/acceptance --tools DIR --only storm,crashtest --out docs/results.md
  scripts/acceptance --only crew --quick                               needs no DIR: agents under `makfs run`
"""


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="scripts/acceptance",
        description="Run the yardsticks against a mount and judge their figures.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--tools", type=Path, metavar="DIR", help="where the yardsticks are")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where the merges for replay are")
    parser.add_argument("--only", metavar="LIST", help=f"some of {','.join(YARDSTICKS)}")
    parser.add_argument("--quick", action="store_true", help="a few seeds, rounds and cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="renew the sections of this page, docs/results.md"
    )
    parser.add_argument(
        "--bench", type=Path, metavar="FILE", help="what scripts/bench --json wrote, for the page"
    )
    parser.add_argument(
        "--bench-polled", type=Path, metavar="FILE", help="the same, measured with guest_halt_poll_ns set"
    )
    asked = parser.parse_args()
    benches = asked.bench or asked.bench_polled
    asked.only = asked.only.split(",") if asked.only else [] if benches and not asked.tools else [*YARDSTICKS]
    unknown = set(asked.only) - set(YARDSTICKS)
    if unknown:
        parser.error(f"--only: no yardstick {', '.join(sorted(unknown))}; there are {', '.join(YARDSTICKS)}")
    if set(asked.only) & set(BROUGHT) and asked.tools is None:
        parser.error("--tools is needed: where the yardsticks are")
    if "replay" in asked.only and asked.data is None:
        parser.error("--data is needed for replay: where the merges are")
    if asked.data is not None and (asked.data / "merges").is_dir():
        asked.data = asked.data / "merges"
    for name in ("tools", "data"):
        if (given := getattr(asked, name)) is not None:
            setattr(asked, name, given.resolve())
    return asked


def machine() -> str:
    """Say what machine this is."""
    return f"Linux {platform.release()}, Python {platform.python_version()}, {os.cpu_count()} processors"


def measure(name: str, asked: Asked) -> list[Figure]:
    """Run one yardstick; what could not be run is a figure that missed."""
    figures: list[Figure] = []
    try:
        for figure in YARDSTICKS[name](asked):
            figures.append(figure)
            print(f"acceptance:   {figure.run}: {figure.name} {figure.shown(figure.value)}", file=sys.stderr)
    except (Silent, OSError, subprocess.SubprocessError) as failed:
        print(f"acceptance: {failed}", file=sys.stderr)
        figures.append(Figure(name, "the yardstick itself", "could not be run", 1.0, 0, Bound.IS))
    return figures


def main() -> int:
    """Measure, say a line for each yardstick, write page and JSON."""
    asked = arguments()
    figures: list[Figure] = []
    sections = sections_of(asked.out.read_text()) if asked.out is not None and asked.out.exists() else {}
    revision = commit_of(ROOT)
    with tempfile.TemporaryDirectory(prefix="makfs-acceptance-") as scratch:
        what = Asked(asked.tools, asked.data, asked.quick, Path(scratch))
        for name in asked.only:
            began = time.monotonic()
            found = measure(name, what)
            today = dt.datetime.now(dt.UTC).date().isoformat()
            when = Circumstances(today, revision, machine(), asked.quick, time.monotonic() - began)
            print(verdict(found), flush=True)
            figures += found
            sections[name] = section(found, when)
            if asked.out is not None:  # now: the next one may take an hour
                asked.out.write_text(page(sections))
    for name, file in ((SPEED, asked.bench), (POLLED, asked.bench_polled)):
        if file is not None:
            sections[name] = speed_section(json.loads(file.read_text()), name)
    if asked.out is not None:
        asked.out.write_text(page(sections))
    if asked.json is not None:
        document = {"commit": revision, "machine": machine(), "figures": [each.as_json() for each in figures]}
        asked.json.write_text(json.dumps(document, indent=2) + "\n")
    if any(each.name == "could not be run" for each in figures):
        return 2
    return int(not all(each.reached for each in figures))


def end(_number: int, _frame: object) -> NoReturn:
    """End in order on SIGTERM, so that mounts are taken away."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGTERM, end)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
