"""The folders of runs: what makfsd keeps of each, and what it reads of what its keeper wrote.

V1  A run that begins has a place to write down its end, also when the disk is filled meanwhile.
"""

import contextlib
import dataclasses
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from makfs.errors import MakfsError
from makfs.runs.restarts import Told
from makfs.wire.errors import WireError
from makfs.wire.runrecord import RunRecord
from makfs.wire.runs import (
    END_BYTES,
    END_NAME,
    EVENTS_NAME,
    LIVE_NAME,
    RECORD_NAME,
    TOLD_NAME,
    WISH_NAME,
    RunEnding,
    RunEvent,
    RunLive,
    RunWish,
)
from makfs.wire.values import from_json, to_json

MOST_HEARD_BYTES = 1 << 16  # at once, and many times what a keeper writes in that time

T = TypeVar("T")

log = logging.getLogger("makfsd.runner")


class RunFiles:
    """`.makfs/runs` of one repository. A full disk is logged and does not end the mount."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._unwritten: dict[int, RunRecord] = {}
        self.told: Callable[[int, RunEvent], None] = lambda _number, _event: None

    def of(self, number: int) -> Path:
        """Return a run's folder."""
        return self._folder / str(number)

    def make(self, number: int, home: Path) -> Path:
        """Make a run's folder and its agent's home. Raises MakfsError."""
        try:
            for each in (home.parent.parent, home.parent, home):
                each.mkdir(mode=0o700, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            self.of(number).mkdir(mode=0o700)
            (self.of(number) / (END_NAME + ".new")).write_bytes(b" " * END_BYTES)  # a place for its end
        except OSError as error:
            shutil.rmtree(self.of(number), ignore_errors=True)
            raise MakfsError(f"A run cannot be recorded in {self._folder}: {error.strerror}.") from error
        return self.of(number)

    def numbers(self) -> list[int]:
        """Return the numbers of all runs that have a folder."""
        try:
            return [int(each.name) for each in self._folder.iterdir() if each.name.isdecimal()]
        except FileNotFoundError:
            return []

    def record(self, number: int) -> RunRecord | None:
        """Return a record that can be read."""
        if number in self._unwritten:
            self.write(self._unwritten[number])
        return self._unwritten.get(number) or self._read(RunRecord, number, RECORD_NAME)

    def ending(self, number: int) -> RunEnding | None:
        """Return how the keeper said that a run ended."""
        return self._read(RunEnding, number, END_NAME)

    def live(self, number: int) -> RunLive:
        """Return what the keeper knows of its program."""
        return self._read(RunLive, number, LIVE_NAME) or RunLive()

    def write(self, record: RunRecord) -> None:
        """Replace a record's file; until that is possible, what it should say is known here."""
        kept = dataclasses.replace(record, processes=())
        if self._replace(record.number, RECORD_NAME, json.dumps(to_json(kept), indent=2) + "\n"):
            self._unwritten.pop(record.number, None)
        else:
            self._unwritten[record.number] = kept

    def wish(self, number: int, told: Told) -> None:
        """Let the keeper know what is to follow the end of its program."""
        self._replace(number, WISH_NAME, json.dumps(to_json(RunWish(told))))

    def tell(self, number: int, event: str, says: str = "") -> None:
        """Add a line to a run's events."""
        self._add(number, RunEvent(time.time_ns(), event, says))

    def hear(self, number: int, heard_bytes: int) -> int:
        """Add what the keeper has written down since; return how far that has been taken over."""
        try:
            with open(self.of(number) / TOLD_NAME, "rb") as file:
                file.seek(heard_bytes)
                lines = file.read(MOST_HEARD_BYTES).splitlines(keepends=True)
        except OSError:
            return heard_bytes
        for line in lines:
            if not line.endswith(b"\n"):
                break
            heard_bytes += len(line)
            with contextlib.suppress(ValueError, WireError):
                self._add(number, from_json(RunEvent, json.loads(line)))
        return heard_bytes

    def _add(self, number: int, event: RunEvent) -> None:
        line = json.dumps(to_json(event))
        path = self.of(number) / EVENTS_NAME
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, line.encode() + b"\n")
            finally:
                os.close(fd)
        except OSError as error:
            log.warning("%s cannot be written: %s", path, error.strerror)
        self.told(number, event)

    def last_output_ns(self, number: int) -> int:
        """Return when the program wrote something last, on the wall clock; 0: never."""
        newest = 0
        for name in ("stdout", "stderr"):
            try:
                seen = os.stat(self.of(number) / name)
            except OSError:
                continue
            if seen.st_size:
                newest = max(newest, seen.st_mtime_ns)
        return newest

    def remove(self, number: int) -> None:
        """Remove a run's folder."""
        self._unwritten.pop(number, None)
        shutil.rmtree(self.of(number))

    def _read(self, as_type: type[T], number: int, name: str) -> T | None:
        try:
            return from_json(as_type, json.loads((self.of(number) / name).read_bytes()))
        except (OSError, ValueError, WireError):
            return None

    def _replace(self, number: int, name: str, text: str) -> bool:
        """Replace a file; tell whether that went well."""
        path = self.of(number) / name
        new = path.with_name(name + ".new")
        try:
            new.touch(mode=0o600)
            new.write_text(text, encoding="utf-8", errors="surrogateescape")
            new.replace(path)
        except OSError as error:
            log.warning("%s cannot be written: %s", path, error.strerror)
            return False
        return True
