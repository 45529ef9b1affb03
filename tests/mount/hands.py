"""Programs that work in a view, one system call at a time: each hand is a process of its own."""

import os
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PATIENCE_S = 30  # a machine may be slow; nothing here is timed
_LOOP = """
import os, pickle, sys
def read(path):
    with open(path, "rb") as file:
        return file.read()
def write(path, data):
    with open(path, "wb", buffering=0) as file:
        file.write(data)
def save(path, data, temporary):
    with open(temporary, "xb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())
    os.rename(temporary, path)
own = {"read whole": read, "write whole": write, "save whole": save}
while True:
    try:
        name, arguments = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    try:
        answer = (own.get(name) or getattr(os, name))(*arguments)
    except OSError as error:
        answer = OSError(error.errno, error.strerror)
    pickle.dump(answer, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


class Hand:
    """A process that carries out system calls in order: `hand.read(path)`, `hand.open(path, flags)`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _LOOP], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    def _call(self, name: str, *arguments: Any) -> Any:
        self.send(name, *arguments)
        return self.answer()

    def send(self, name: str, *arguments: Any) -> None:
        """Begin a call that may wait."""
        assert self._process.stdin is not None
        pickle.dump((name, arguments), self._process.stdin)
        self._process.stdin.flush()

    def answer(self) -> Any:
        """Return what the call returned. Raises OSError."""
        assert self._process.stdout is not None
        answer = pickle.load(self._process.stdout)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def read(self, path: Path) -> bytes:
        """Return a file's bytes."""
        data: bytes = self._call("read whole", path)
        return data

    def write(self, path: Path, data: bytes) -> None:
        """Write a whole file: O_TRUNC, write, close."""
        self._call("write whole", path, data)

    def save(self, path: Path, data: bytes, temporary: Path) -> None:
        """Write a whole file beside it, flush it to the disk, and rename it over."""
        self._call("save whole", path, data, temporary)

    def open(self, path: Path, flags: int) -> int:
        """Open a file, for the other calls."""
        fd: int = self._call("open", path, flags)
        return fd

    def do(self, name: str, *arguments: Any) -> Any:
        """Carry out a function of `os`."""
        return self._call(name, *arguments)

    def end(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(PATIENCE_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


def eventually(look: Callable[[], object], what: str = "it") -> None:
    """Return when `look` says yes: for what no event tells of."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < deadline, f"{what} did not come about"
        time.sleep(0.01)


def claude_name(path: Path, hand: Hand) -> Path:
    """Return the temporary name by which one agent replaces a file."""
    return path.with_name(f"{path.name}.tmp.{hand.pid}.{os.urandom(6).hex()}")
