"""Leaving the terminal: fork twice, and tell the process in front how it went.

B1  Nothing of FUSE or trio has started when `detach` forks.
"""

import io
import logging
import logging.handlers
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

LOG_BYTES = 4 << 20
LOG_FILES = 3

Tell = Callable[[str], None]
"""Takes one line of the start protocol: "note: ...", and last "ready", "error: ..." or "busy: ..."."""


def detach(in_front: Callable[[int], NoReturn]) -> Tell:
    """Go on in a new session without a terminal; return how to tell the process in front.

    The process in front runs `in_front(fd)`, where `fd` yields the lines told, then end of file.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        os.waitpid(child, 0)
        in_front(read_end)
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(read_end)
    os.chdir("/")
    return FdTeller(write_end)


class FdTeller:
    """Writes lines to a descriptor and closes it after the last. Raises BrokenPipeError if nobody reads."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def __call__(self, line: str) -> None:
        """Write one line; hostile names cannot break it in two."""
        if self._fd < 0:
            return
        safe = line.replace("\n", " ").encode("utf-8", "surrogateescape")
        os.write(self._fd, safe + b"\n")
        if not line.startswith("note: "):
            os.close(self._fd)
            self._fd = -1


class LogFile(logging.handlers.RotatingFileHandler):
    """A rotating log, its owner's alone. It takes stderr along: C libraries write their last words there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", errors="replace")
        self._take_stderr()

    def _open(self) -> io.TextIOWrapper:
        fd = os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        return open(fd, "a", encoding=self.encoding, errors=self.errors)

    def doRollover(self) -> None:  # noqa: N802 - overrides
        """Start a new file."""
        super().doRollover()
        self._take_stderr()

    def _take_stderr(self) -> None:
        if self.stream is not None:
            os.dup2(self.stream.fileno(), 2)


def start_log(path: Path, *, foreground: bool) -> None:
    """Log to `path`; in the foreground to stderr instead."""
    handler: logging.Handler
    if foreground:
        handler = logging.StreamHandler(sys.stderr)
    else:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.close(null)
        handler = LogFile(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
