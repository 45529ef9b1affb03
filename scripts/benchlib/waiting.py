"""Locks on a mount: how soon a deadlock is refused, what claims cost, and what many who wait cost others."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchlib import commits
from benchlib.machine import Failed, Makfs
from benchlib.report import Row, median, percentile

SECTION = "waits"
WAITERS = 200
PATIENCE_S = 10.0
_NAME = "bench_waits.py"
_TEXT = b"def first(count):\n    count + 1\n    return count\n\n\ndef last(count):\n    return count\n"
_FIRST, _LAST = _TEXT.replace(b"count + 1\n", b"count + 2\n"), _TEXT[:-6] + b"-count\n"


def measure(makfs: Makfs, rounds: int, edits: int, seed: int) -> Iterator[Row]:
    """Let two agents wait for each other; then edit through one view while many wait in another."""
    file, folder = makfs.repo / _NAME, makfs.repo / "bench_waits"
    folder.mkdir()
    file.write_bytes(_TEXT)
    for number in range(WAITERS):
        (folder / f"{number}.py").write_bytes(_TEXT)
    try:
        with makfs.mounted("a", "b", "c", "d"):
            yield from _deadlocks(makfs.mountpoint, 3 * rounds)
            yield from _claims(makfs.mountpoint / "c", 10 * rounds)
            yield from _crowd(makfs.mountpoint, edits, seed)
    finally:
        file.unlink()
        for each in folder.iterdir():
            each.unlink()
        folder.rmdir()


def _tell(view: Path, name: str, line: str) -> None:
    fd = os.open(view / ".makfs" / name, os.O_WRONLY)
    try:
        os.write(fd, line.encode() + b"\n")
    finally:
        os.close(fd)


def _until(view: Path, waiters: int) -> None:
    """Return when so many wait. Raises Failed."""
    deadline = time.monotonic() + PATIENCE_S
    while (view / ".makfs/locks").read_text().count('"kind": "waiter"') < waiters:
        if time.monotonic() > deadline:
            raise Failed(f"{waiters} writers did not come to wait")
        time.sleep(0.005)


def _deadlocks(mountpoint: Path, rounds: int) -> Iterator[Row]:
    """Alternate: who closes the circle asks by writing, or by claiming."""
    a, b = mountpoint / "a", mountpoint / "b"
    ways: dict[str, Callable[[], object]] = {
        "write": lambda: (b / _NAME).write_bytes(_FIRST),
        "claim": lambda: _tell(b, "claim", f"write {_NAME}::first"),
    }
    for way, ask in ways.items():
        took = [_deadlock(a, b, ask) for _ in range(rounds)]
        what = f"a {way} that would close a deadlock: refused after"
        yield Row(SECTION, f"{what}, median", "ms", median(took) * 1e3)
        yield Row(SECTION, f"{what}, longest", "ms", max(took) * 1e3, goal=100)


def _deadlock(a: Path, b: Path, ask: Callable[[], object]) -> float:
    """Make one; return the seconds until it is refused. Raises Failed if it is not, or anything is lost."""
    _tell(a, "claim", f"write {_NAME}::first")
    _tell(b, "claim", f"write {_NAME}::last")
    before = (a / _NAME).read_bytes(), (b / _NAME).read_bytes()
    mine = _LAST if before[0] == _TEXT else _TEXT
    writer = threading.Thread(target=(a / _NAME).write_bytes, args=(mine,))
    writer.start()
    _until(a, 1)
    started = time.perf_counter()
    try:
        ask()
    except OSError:
        took = time.perf_counter() - started
    else:
        raise Failed("a deadlock was not refused")
    if "deadlock" not in (b / ".makfs/why").read_text():
        raise Failed("a deadlock was refused for another reason")
    _tell(b, "release", "all")
    writer.join(PATIENCE_S)
    _tell(a, "release", "all")
    if (b / _NAME).read_bytes() != mine:
        raise Failed("who waited in a deadlock did not finish when the other let go")
    return took


def _claims(view: Path, count: int) -> Iterator[Row]:
    took: list[float] = []
    for number in range(count):
        started = time.perf_counter()
        _tell(view, "claim", f"write {_NAME}::f{number}")
        _tell(view, "release", f"{_NAME}::f{number}")
        took.append(time.perf_counter() - started)
    yield Row(SECTION, "claim and release by .makfs, median", "ms", median(took) * 1e3)


def _crowd(mountpoint: Path, edits: int, seed: int) -> Iterator[Row]:
    chance = random.Random(seed)
    write, look = mountpoint / "c" / _NAME, mountpoint / "d" / _NAME
    _edits(write, look, 3, chance)
    alone = _edits(write, look, edits, chance)
    _tell(mountpoint / "a", "claim", "write bench_waits/ lease=600")
    with ThreadPoolExecutor(WAITERS) as pool:
        waiting = [
            pool.submit((mountpoint / f"b/bench_waits/{number}.py").write_bytes, _LAST)
            for number in range(WAITERS)
        ]
        try:
            _until(mountpoint / "c", WAITERS)
            crowded = _edits(write, look, edits, chance)
        finally:
            _tell(mountpoint / "a", "release", "all")
        if any(each.result() != len(_LAST) for each in waiting):
            raise Failed("who waited was not let in")
    for what, took in (("nobody waits", alone), (f"{WAITERS} writers wait", crowded)):
        yield Row(SECTION, f"close() to visible, {what}: median", "ms", median(took) * 1e3)
        yield Row(SECTION, f"close() to visible, {what}: p99", "ms", percentile(took, 0.99) * 1e3)


def _edits(write: Path, look: Path, count: int, chance: random.Random) -> Sequence[float]:
    return [visible for _, visible in commits.edit_times(write, look, count, chance)]
