"""What the daemon holds after everything was read through several views."""

from collections.abc import Iterator
from pathlib import Path

from benchlib.machine import Makfs, resident_mb
from benchlib.report import Row

SECTION = "memory of the daemon"


def measure(makfs: Makfs, listing: Path, views: int) -> Iterator[Row]:
    """Read all files in each of `views` views."""
    agents = [f"view{number}" for number in range(views)]
    with makfs.mounted(*agents):
        pid = makfs.pid
        yield Row(SECTION, "after the mount", "MB", resident_mb(pid))
        for agent in agents:
            makfs.place(agent).cpu_s(["find", ".", "-size", "+1M"])
            makfs.place(agent).cpu_s(["xargs", "-0", "cat", "--"], listing)
        yield Row(SECTION, f"all read in {views} views", "MB", resident_mb(pid), goal=250)
