"""What reading costs: CPU time of clients and daemon, as a ratio to the native directory.

Wall clock would blame makfs for a busy machine; places take turns, so that a busy minute meets all of them.

All is measured twice: as the machine schedules it, and with client and daemon on one processor. Each request
wakes a daemon and each answer a client; where these sleep on different processors of a virtual machine, each
waking is an interrupt between them that the host delivers, and that can cost more than all that a file system
does for the request. On one processor there is none: that figure can be compared from machine to machine.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchlib import trees, waking
from benchlib.machine import Failed, Makfs, Opened, Place, bindfs
from benchlib.report import Row, median

WARM = "reading, warm (CPU of client and daemon)"
COLD = "reading, cold: a fresh mount (CPU of client and daemon)"
ONE = ", on one processor"
TURNS = "`git status` from two views in turn"
_READ_ANYWAY = frozenset({".gitignore", ".gitattributes", ".gitmodules"})  # git reads these each time


@dataclass(frozen=True, slots=True)
class Work:
    """A command to measure, fed by the list of files."""

    name: str
    command: tuple[str, ...]
    warm_goal: float | None = None
    cold_goal: float | None = None
    fed: bool = False


def works() -> tuple[Work, ...]:
    """Return what this machine can run."""
    everything = (
        Work("git status", ("git", "status", "--porcelain"), 6),
        Work("rg", ("rg", "--threads=2", "--count", "return"), 7),
        Work("read all files (cat)", ("xargs", "-0", "cat", "--"), 4.5, 6, fed=True),
        Work("find", ("find", ".", "-path", "./.git", "-prune", "-o", "-print"), 6),
        Work(
            "find, looking at each",
            ("find", ".", "-path", "./.git", "-prune", "-o", "-size", "+1M", "-print"),
        ),
    )
    return tuple(work for work in everything if shutil.which(work.command[0]))


def measure(makfs: Makfs, native: Path, bound: Path, listing: Path, rounds: int) -> Iterator[Row]:
    """Measure every command at every place. `native` and `bound` are copies of the repository."""
    yield from waking.measure(rounds, "")
    with _one_processor():
        yield from waking.measure(rounds, ONE)
    yield from _measure(makfs, native, bound, listing, rounds, "")
    with _one_processor():
        yield from _measure(makfs, native, bound, listing, rounds, ONE)


@contextlib.contextmanager
def _one_processor() -> Iterator[None]:
    """Keep this process and those it starts meanwhile on one of its processors."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _measure(
    makfs: Makfs, native: Path, bound: Path, listing: Path, rounds: int, where: str
) -> Iterator[Row]:
    here = Place("native", native)
    with bindfs(bound, bound.with_name("bindfs")) as other, makfs.mounted("a"):
        places = [place for place in (here, other, makfs.place("a")) if place is not None]
        for work in works():
            for place in places:
                for _ in range(2):  # git writes a new index, and again when the first was too fresh
                    _run(place, work, listing)
            yield _row(WARM + where, work, _in_turns(places, work, listing, rounds), work.warm_goal)
    yield from _cold(makfs, here, bound, listing, max(1, rounds // 3), where)


def _cold(makfs: Makfs, here: Place, bound: Path, listing: Path, rounds: int, where: str) -> Iterator[Row]:
    for work in works():
        used: dict[str, list[float]] = {}
        for _ in range(rounds):
            used.setdefault("native", []).append(_run(here, work, listing))
            with bindfs(bound, bound.with_name("bindfs")) as other:
                if other is not None:
                    used.setdefault("bindfs", []).append(_run(other, work, listing))
            with makfs.mounted("a"):
                used.setdefault("makfs", []).append(_run(makfs.place("a"), work, listing))
        yield _row(COLD + where, work, {name: median(times) for name, times in used.items()}, work.cold_goal)


def _in_turns(places: Sequence[Place], work: Work, listing: Path, rounds: int) -> dict[str, float]:
    used: dict[str, list[float]] = {place.name: [] for place in places}
    for _ in range(rounds):
        for place in places:
            used[place.name].append(_run(place, work, listing))
    return {name: median(times) for name, times in used.items()}


def _run(place: Place, work: Work, listing: Path) -> float:
    return place.cpu_s(work.command, listing if work.fed else None)


def _row(section: str, work: Work, used: dict[str, float], goal: float | None) -> Row:
    in_ms = {name: seconds * 1e3 for name, seconds in used.items()}
    native, other = in_ms["native"], in_ms.get("bindfs")
    return Row(section, work.name, "ms CPU", in_ms["makfs"], native, other, goal, goal_is_ratio=True)


def take_turns(makfs: Makfs, turns: int) -> Iterator[Row]:
    """Count the files that `git status` makes the daemon open again when two views take turns."""
    with makfs.mounted("a", "b"):
        views = [makfs.mountpoint / "a", makfs.mountpoint / "b"]
        for _ in range(2):
            for view in views:
                trees.git(view, "status", "--porcelain")
        opened = Opened(makfs.repo, _READ_ANYWAY)
        try:
            if not _counts(opened, views[0]):
                raise Failed("inotify does not see what the daemon opens: the count would mean nothing")
            count = 0
            for number in range(turns):
                trees.git(views[number % 2], "status", "--porcelain")
                count += opened.take()
        finally:
            opened.close()
    yield Row(TURNS, f"unchanged files opened in {turns} turns", "files", count, goal=0)


def _counts(opened: Opened, view: Path) -> bool:
    """Tell whether a read in a view is counted: a counter that cannot count would report 0 as well."""
    name = next(name for name in trees.regular_files(view) if Path(name).name not in _READ_ANYWAY)
    opened.take()
    (view / name).read_bytes()
    return opened.take() > 0
