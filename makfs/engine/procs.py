"""Who writes: processes as /proc tells them (proc(5)). FUSE gives a thread id, at open only."""

import signal
import time
from dataclasses import dataclass

_TTL_S = 1.0
_MOST = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a system call, as the transport tells."""

    uid: int
    gid: int
    tid: int


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that opened a file: its id (thread group) and its name, empty when it is gone."""

    pid: int
    program: str


NOBODY = Writer(0, "")


class Processes:
    """Thread id to process, remembered for a second: threads of one client open many files in a row."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, float]] = {}

    def group(self, tid: int) -> int:
        """Return the process (thread group) a thread belongs to; the thread itself if it is gone."""
        now = time.monotonic()
        known = self._known.get(tid)
        if known is not None and known[1] > now:
            return known[0]
        group = self._read_group(tid)
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[tid] = (group, now + _TTL_S)
        return group

    def writer(self, tid: int) -> Writer:
        """Return the process with its name as it is now (a name changes at exec)."""
        group = self.group(tid)
        try:
            with open(f"/proc/{group}/comm", "rb") as file:
                return Writer(group, file.read().strip().decode("utf-8", "replace"))
        except OSError:
            return Writer(group, "")

    @staticmethod
    def _read_group(tid: int) -> int:
        try:
            with open(f"/proc/{tid}/status", "rb") as file:
                head = file.read(512)
        except OSError:
            return tid
        at = head.find(b"\nTgid:")
        return int(head[at + 6 : head.find(b"\n", at + 1)]) if at >= 0 else tid


def is_dying(tid: int) -> bool:
    """Tell whether a thread is gone or killed, or will be: all fatal signals come as SIGKILL (proc(5)).

    Who ends in order is not dying: its last close may wait as any other.
    """
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            status = file.read(4096)
        with open(f"/proc/{tid}/stat", "rb") as file:
            exit_code = int(file.read().rsplit(b" ", 1)[1])
    except (OSError, ValueError, IndexError):
        return True
    return bool(exit_code & 0x7F) or any(_has_kill(status, field) for field in (b"\nSigPnd:", b"\nShdPnd:"))


def _has_kill(status: bytes, field: bytes) -> bool:
    at = status.find(field)
    if at < 0:
        return False
    line = status[at + len(field) : status.find(b"\n", at + 1)]
    return bool(int(line, 16) >> (signal.SIGKILL - 1) & 1)
