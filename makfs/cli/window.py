"""The terminal of a program: its own, whose other end is the caller's, or of whoever is attached."""

import contextlib
import fcntl
import os
import struct
import termios
import tty
from collections.abc import Callable, Iterator, Sequence

from makfs.cli.keeperlog import Transcript

SIZE = (24, 80)  # rows and columns while nobody looks
_MOST = 9999


class Window:
    """A pseudo-terminal. `callers`: the caller's terminal is descriptor 0, and the program's has its size."""

    def __init__(self, *, callers: bool) -> None:
        self._callers = callers
        self.fd = -1  # our end; -1: none is open
        self.transcript: Transcript | None = None

    def open(self) -> int:
        """Make a terminal, return the program's end."""
        self.fd, theirs = os.openpty()
        self.set_size(*SIZE)
        self.follow()
        return theirs

    def size(self) -> tuple[int, int]:
        """Return its columns and rows."""
        return os.get_terminal_size(self.fd)

    def follow(self) -> None:
        """Take the size of the caller's terminal, if there is one."""
        if not self._callers:
            return
        with contextlib.suppress(OSError):
            rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
            if rows and columns:
                self.set_size(rows, columns)

    def set_size(self, rows: int, columns: int) -> None:
        """Let the program know of another size."""
        if self.fd < 0 or not rows or not columns:
            return
        rows, columns = min(rows, _MOST), min(columns, _MOST)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            if self.transcript is not None:
                self.transcript.resize(columns, rows)

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Let every key go to the program meanwhile."""
        if not self._callers:
            yield
            return
        before = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def _take_terminal() -> None:
    """Make standard input the controlling terminal of this session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def in_child(groups: Sequence[str], *, takes: bool) -> Callable[[], None] | None:
    """Return what a child does before it becomes the program: enter control groups, take its terminal."""
    if not takes and not groups:
        return None

    def prepare() -> None:
        for each in groups:
            with open(os.path.join(each, "cgroup.procs"), "w", encoding="ascii") as file:
                file.write("0")
        if takes:
            _take_terminal()

    return prepare
