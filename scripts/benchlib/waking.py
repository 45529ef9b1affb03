"""What it costs here that two processes wake each other. No file system in user space can take less.

A request to one is such a round trip: the client sleeps until the daemon has answered, the daemon until the
next request comes. So figures of reading say as much about this as about the file system.
"""

import os
import resource
from collections.abc import Iterator

from benchlib.report import Row, median

SECTION = "a bare round trip of two processes that sleep until the other has written (pipes)"
TRIPS = 5000


def measure(rounds: int, where: str) -> Iterator[Row]:
    """Hand a byte to and fro, many times."""
    took = median([_trip_s() for _ in range(rounds)])
    yield Row(SECTION, f"CPU of both{where}", "us", took * 1e6)


def _trip_s() -> float:
    """Return the CPU time of both processes for one byte there and one back. Reads carry no timeout."""
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            for _ in range(TRIPS):
                os.read(to_child, 1)
                os.write(from_child, b"x")
        finally:
            os._exit(0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    for _ in range(TRIPS):
        os.write(from_parent, b"x")
        os.read(to_parent, 1)
    after = resource.getrusage(resource.RUSAGE_SELF)
    _, _, usage = os.wait4(child, 0)
    for fd in (to_child, from_parent, to_parent, from_child):
        os.close(fd)
    own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (own + usage.ru_utime + usage.ru_stime) / TRIPS
