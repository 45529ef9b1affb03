"""How long a commit takes, from close(2) to a read in another view, and what readers feel meanwhile."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchlib import trees
from benchlib.machine import Failed, Makfs, process_cpu_s
from benchlib.report import Row, median, percentile

SECTION = "commit of a one-function edit ({lines} lines, {readers} readers elsewhere)"
GOALS_MS = {200: 3.0, 5000: 5.0}
PAUSE_S = 0.01


def measure(
    makfs: Makfs, native: Path, sizes: Sequence[int], edits: int, readers: int, seed: int
) -> Iterator[Row]:
    """Edit one file of each size `edits` times through one view and look through another."""
    chance = random.Random(seed)
    names = [f"bench_{lines}.py" for lines in sizes]
    for folder in (makfs.repo, native):
        for name, lines in zip(names, sizes, strict=True):
            (folder / name).write_text(trees.python_text(lines, random.Random(seed)))
    read = trees.regular_files(native)
    chance.shuffle(read)
    readers_at = [f"reader{number}" for number in range(readers)]
    with makfs.mounted("a", "b", *readers_at):
        for name, lines in zip(names, sizes, strict=True):
            section = SECTION.format(lines=lines, readers=readers)
            plain = edit_times(native / name, native / name, 5, chance)
            quiet = _while_reading(makfs, readers_at, read, lambda: time.sleep(1.0))
            measured: list[tuple[float, float]] = []
            write, look = makfs.mountpoint / "a" / name, makfs.mountpoint / "b" / name
            edit_times(write, look, 3, chance)
            cpu_s = process_cpu_s(makfs.pid)
            busy = _while_reading(
                makfs,
                readers_at,
                read,
                lambda: measured.extend(edit_times(write, look, edits, chance)),  # noqa: B023 - called at once
            )
            cpu_s = process_cpu_s(makfs.pid) - cpu_s
            yield from _rows(section, lines, plain, measured)
            if readers:
                yield from _felt(section, quiet, busy)
            else:
                yield Row(section, "the daemon, for an edit", "ms CPU", cpu_s * 1e3 / edits)
    for folder in (makfs.repo, native):
        for name in names:
            (folder / name).unlink()


def _rows(
    section: str, lines: int, plain: Sequence[tuple[float, float]], measured: Sequence[tuple[float, float]]
) -> Iterator[Row]:
    natively = median([visible for _, visible in plain]) * 1e3
    visible = [each for _, each in measured]
    yield Row(section, "close()", "ms", median([each for each, _ in measured]) * 1e3)
    yield Row(
        section, "close() to visible: median", "ms", median(visible) * 1e3, natively, goal=GOALS_MS.get(lines)
    )
    yield Row(section, "close() to visible: p99", "ms", percentile(visible, 0.99) * 1e3)


def _felt(section: str, quiet: Sequence[float], busy: Sequence[float]) -> Iterator[Row]:
    what = "read in another view"
    yield Row(section, f"{what}, nobody writes: p99", "ms", percentile(quiet, 0.99) * 1e3)
    yield Row(section, f"{what} meanwhile: median", "ms", median(busy) * 1e3)
    yield Row(section, f"{what} meanwhile: p99", "ms", percentile(busy, 0.99) * 1e3, goal=5)


def edit_times(write: Path, look: Path, count: int, chance: random.Random) -> list[tuple[float, float]]:
    """Edit a function `count` times; return the seconds of close(2), and of that until the text was read."""
    found = []
    for number in range(count):
        text = write.read_bytes()
        mark = b"count + %d%04d\n" % (chance.randint(10000, 99999), number)
        places = [at for at in range(len(text)) if text.startswith(b"count + ", at)]
        at = chance.choice(places)
        new = text[:at] + mark + text[text.index(b"\n", at) + 1 :]
        fd = os.open(write, os.O_WRONLY | os.O_TRUNC)
        os.write(fd, new)
        started = time.perf_counter()
        os.close(fd)
        closed = time.perf_counter()
        while look.read_bytes() != new:
            if time.perf_counter() - closed > 10:
                raise Failed(f"an edit of {write} was not to be seen at {look} within ten seconds")
        found.append((closed - started, time.perf_counter() - started))
        time.sleep(PAUSE_S)
    return found


def _while_reading(
    makfs: Makfs, agents: Sequence[str], files: Sequence[str], work: Callable[[], object]
) -> list[float]:
    """Do `work` while one process a view reads files; return the seconds each read took."""
    children = []
    for number, agent in enumerate(agents):
        command = [sys.executable, "-P", "-m", "benchlib.reader", str(makfs.mountpoint / agent), str(number)]
        children.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    times: list[float] = []
    try:
        for child in children:
            assert child.stdin is not None
            assert child.stdout is not None
            child.stdin.write(json.dumps(files[:500]).encode() + b"\n")
            child.stdin.flush()
            if child.stdout.readline() != b"reading\n":
                raise Failed("a reader did not start")
        work()
    finally:
        for child in children:
            out, _ = child.communicate()
            times.extend(json.loads(out or b"[]"))
    return times
