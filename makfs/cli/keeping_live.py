"""The keeper's side of a run's folder: what it says of its program, what it is told by makfsd.

V1  How a run ended is written down also when the disk has been filled meanwhile: its place was
    kept free by makfsd.
"""

import contextlib
import dataclasses
import json
import os
import signal
import time

from makfs.cli.keeperlog import Log, write_all
from makfs.runs.restarts import Told
from makfs.wire.errors import WireError
from makfs.wire.runs import (
    END_BYTES,
    END_NAME,
    EVENTS_NAME,
    LIVE_NAME,
    TOLD_NAME,
    WISH_NAME,
    Process,
    RunEnding,
    RunEvent,
    RunLive,
    RunWish,
)
from makfs.wire.values import from_json, to_json

LOUD = frozenset({"warned", "paused", "stopped"})  # events that the caller is told of


class Live:
    """What is known of one run. A full disk is no reason to end it."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._seen_bytes = 0
        self._starts = 0
        self.now = RunLive(_process(os.getpid()))

    def put(self, **new: object) -> None:
        """Write down what has changed."""
        changed = dataclasses.replace(self.now, **new)  # type: ignore[arg-type]
        if changed != self.now:
            self.now = changed
            self._replace(LIVE_NAME, changed)

    def lead(self, pid: int) -> None:
        """Write down the first process of a program's namespace or session."""
        self.put(leader=_process(pid))
        self._starts += 1
        if self._starts > 1:
            self.tell("restarted", f"This is start {self._starts} of its program.")

    def again(self, restarts: int, wait_s: float, code: int, told: Told) -> None:
        """Write down that the program has ended and will be started again."""
        self.put(leader=None, restarts=restarts, next_ns=time.time_ns() + int(wait_s * 1e9))
        asked = "as was asked for" if told is Told.AGAIN else f"in {max(0.0, wait_s):.3g} s"
        self.tell("restarting", f"Its program ended with {ending_of(code)}, and is started again {asked}.")

    def tell(self, event: str, says: str) -> None:
        """Write down what happened, for makfsd to put among the run's events."""
        line = json.dumps(to_json(RunEvent(time.time_ns(), event, says))) + "\n"
        with contextlib.suppress(OSError):
            fd = os.open(
                os.path.join(self._folder, TOLD_NAME),
                os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC,
                0o600,
            )
            try:
                write_all(fd, line.encode())
            finally:
                os.close(fd)

    def end(self, code: int, out: Log, err: Log) -> None:
        """Write down how the run ended (V1)."""
        dropped = out.dropped_bytes + err.dropped_bytes
        problem = out.problem or err.problem
        ending = RunEnding(
            time.time_ns(),
            code,
            out.bytes,
            err.bytes,
            dropped,
            problem,
            self.now.restarts,
            self.now.tokens,
            self.now.usage,
        )
        path = os.path.join(self._folder, END_NAME)
        with contextlib.suppress(OSError):  # the folder is gone
            fd = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                write_all(fd, json.dumps(to_json(ending)).ljust(END_BYTES).encode())
            finally:
                os.close(fd)
            os.replace(path + ".new", path)

    def wish(self) -> Told:
        """Return what is to follow the program's end, once."""
        path = os.path.join(self._folder, WISH_NAME)
        try:
            with open(path, "rb") as file:
                told = from_json(RunWish, json.load(file)).told
            os.unlink(path)
        except (OSError, ValueError, WireError):
            return Told.NOTHING
        return told

    def news(self) -> list[str]:
        """Return sentences about what makfsd did to the run since it was asked last."""
        try:
            with open(os.path.join(self._folder, EVENTS_NAME), "rb") as file:
                file.seek(self._seen_bytes)
                lines = file.read().splitlines(keepends=True)
        except OSError:
            return []
        told: list[str] = []
        for line in lines:
            if not line.endswith(b"\n"):
                break
            self._seen_bytes += len(line)
            with contextlib.suppress(ValueError):
                row = json.loads(line)
                if row.get("event") in LOUD:
                    told.append(row.get("says", ""))
        return told

    def _replace(self, name: str, value: object) -> None:
        path = os.path.join(self._folder, name)
        with contextlib.suppress(OSError):
            with open(path + ".new", "w", encoding="ascii") as file:
                json.dump(to_json(value), file)
            os.replace(path + ".new", path)


def ending_of(code: int) -> str:
    """Say how a program ended."""
    try:
        return f"exit code {code}" if code <= 128 else signal.Signals(code - 128).name
    except ValueError:
        return f"exit code {code}"


def device_of(view: str) -> int:
    """Return the number of the file system that a view is in, 0 if it cannot be entered."""
    try:
        return os.stat(view or "/").st_dev
    except OSError:
        return 0


def _process(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    return Process(pid, int(stat[stat.rindex(b")") + 2 :].split()[19]))
