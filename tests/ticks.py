"""The clock of files' times."""

import time

CLOCK_REALTIME_COARSE = 5  # linux/time.h


def a_tick_later(then_ns: int) -> None:
    """Return when what is changed has a later time: files' times are those of the kernel's last tick."""
    while time.clock_gettime_ns(CLOCK_REALTIME_COARSE) <= then_ns:
        pass
