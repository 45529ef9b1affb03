"""Record a command in a terminal of 80 columns and draw what it printed."""

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

from doclib.terminal import svg

COLUMNS = 80
UNTIL = "$ makfs show"  # the rest of the demo's output would make the picture too tall
_TEMPORARY = re.compile(r"/\S*makfs-demo-\w+")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def record(command: Path) -> str:
    """Run a command on a terminal of its own; return what it printed. Raises CalledProcessError."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    environment.pop("NO_COLOR", None)
    child = subprocess.Popen([str(command)], stdin=subprocess.DEVNULL, stdout=theirs, env=environment)
    os.close(theirs)
    printed = bytearray()
    try:
        while chunk := os.read(ours, 1 << 16):
            printed += chunk
    except OSError as error:  # Linux answers EIO when the last writer is gone (pty(7))
        if error.errno != errno.EIO:
            raise
    os.close(ours)
    if child.wait():
        raise subprocess.CalledProcessError(child.returncode, command)
    return printed.decode("utf-8", "replace")


def cut(printed: str) -> str:
    """Return what comes before `UNTIL`, without the temporary directory's name."""
    kept: list[str] = []
    for line in printed.replace("\r\n", "\n").split("\n"):
        if _COLOUR.sub("", line).startswith(UNTIL):
            break
        kept.append(_TEMPORARY.sub("/tmp/makfs-demo", line))
    return "\n".join(kept)


def draw(command: Path, picture: Path) -> None:
    """Run a command and draw the first part of what it prints."""
    picture.write_text(svg(cut(record(command)), f"./scripts/{command.name}", COLUMNS))
