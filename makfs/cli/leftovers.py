"""What a program leaves behind: processes that came to its keeper, its subreaper (prctl(2))."""

import contextlib
import ctypes
import os
import signal
import time

END_S = 1.0
_PR_SET_CHILD_SUBREAPER = 36


def adopt() -> None:
    """Become the parent of whatever loses its own below this process."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap(kept: int) -> None:
    """Take away what ended and has come to us, but for `kept`, so that it does not stay as a zombie."""
    for pid in _children():
        if pid != kept:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def end_all() -> None:
    """End whatever the program left, wherever it went: it all comes to us in the end."""
    deadline = time.monotonic() + END_S
    while (pids := _children()) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _children() -> list[int]:
    with contextlib.suppress(OSError), open("/proc/thread-self/children", encoding="ascii") as file:
        return [int(each) for each in file.read().split()]
    return []
