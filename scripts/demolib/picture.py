"""Record a command in a terminal of 80 columns and draw what it printed."""

import argparse
import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

from demolib.terminal import svg

ROOT = Path(__file__).resolve().parents[2]
_TEMPORARY = re.compile(r"/\S*makfs-demo-\w+")


def record(command: list[str], columns: int) -> str:
    """Run a command on a terminal of its own; return what it printed. Raises CalledProcessError."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environment.pop("NO_COLOR", None)
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, env=environment)
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


def main() -> int:
    """Record, cut, draw."""
    parser = argparse.ArgumentParser(
        prog="scripts/picture", description="Draw a real run of scripts/demo as an SVG."
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs/tour.svg", metavar="FILE")
    parser.add_argument("--until", default="$ makfs show", metavar="TEXT", help="leave out what follows")
    parser.add_argument("--columns", type=int, default=80, metavar="N")
    parser.add_argument("--title", default="./scripts/demo")
    parser.add_argument("command", nargs="*", default=[str(ROOT / "scripts/demo")])
    asked = parser.parse_args()
    printed = record(asked.command, asked.columns)
    kept: list[str] = []
    for line in printed.replace("\r\n", "\n").split("\n"):
        if asked.until and re.sub(r"\x1b\[[0-9;]*m", "", line).startswith(asked.until):
            break
        kept.append(_TEMPORARY.sub("/tmp/makfs-demo", line))
    asked.out.write_text(svg("\n".join(kept), asked.title, asked.columns))
    return 0


if __name__ == "__main__":
    sys.exit(main())
