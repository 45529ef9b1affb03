"""How long a mount takes: from the command to the first answered `ls`, and another view by `mkdir`."""

import shutil
import subprocess
import time
from collections.abc import Iterator

from benchlib.machine import Makfs
from benchlib.report import Row, median

SECTION = "starting"


def measure(makfs: Makfs, rounds: int) -> Iterator[Row]:
    """Mount and unmount `rounds` times; the first time, the repository has no store yet."""
    first: list[float] = []
    again: list[float] = []
    views: list[float] = []
    for number in range(rounds):
        shutil.rmtree(makfs.repo / ".makfs", ignore_errors=True)
        first.append(_to_ls(makfs))
        makfs.umount()
        again.append(_to_ls(makfs))
        try:
            started = time.perf_counter()
            subprocess.run(["mkdir", str(makfs.mountpoint / f"more{number}")], check=True)
            views.append(time.perf_counter() - started)
        finally:
            makfs.umount()
    plain = [_ls(makfs.repo) for _ in range(rounds)]
    yield Row(SECTION, "`ls` natively", "s", median(plain))
    yield Row(SECTION, "`makfs mount` to answered `ls`, new store", "s", median(first), goal=1.0)
    yield Row(SECTION, "`makfs mount` to answered `ls`, known store", "s", median(again), goal=1.0)
    yield Row(SECTION, "another view (`mkdir`)", "ms", median(views) * 1e3, goal=20)


def _to_ls(makfs: Makfs) -> float:
    started = time.perf_counter()
    makfs.mount("a")
    _ls(makfs.mountpoint / "a")
    return time.perf_counter() - started


def _ls(folder: object) -> float:
    started = time.perf_counter()
    subprocess.run(["ls", str(folder)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started
