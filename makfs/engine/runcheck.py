"""Check the records of runs, files of `.makfs/runs`, by themselves and by the journal. Changes nothing.

R6  Each run has a record that can be read; of one that is over it says when it ended, and how if anybody
    saw it.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from makfs.engine.api import Finding
from makfs.ids import Seq
from makfs.wire.errors import WireError
from makfs.wire.runrecord import RunRecord
from makfs.wire.runs import ENDED, EVENTS_NAME, RECORD_NAME, RUNS_DIR, RunEvent
from makfs.wire.values import from_json

CHECK = "RUN"


def run_findings(state: Path, head: Callable[[], Seq]) -> Iterator[Finding]:
    """Yield what is wrong with the runs below a `.makfs`. Cost: reads each record and its events."""
    folder = state / RUNS_DIR
    try:
        numbers = sorted(int(name) for name in os.listdir(folder) if name.isdecimal())
    except FileNotFoundError:
        return
    for number in numbers:
        for sentence in _sentences(folder / str(number), number, head):
            yield Finding(CHECK, f"run {number}", sentence)


def _sentences(folder: Path, number: int, head: Callable[[], Seq]) -> Iterator[str]:
    advice = f"'makfs rm {number}' removes it; commits stay."
    try:
        record = from_json(RunRecord, json.loads((folder / RECORD_NAME).read_bytes()))
    except (OSError, ValueError, WireError):
        yield f"Its record cannot be read: {advice}"
        return
    if record.number != number:
        yield f"Its record is that of run {record.number}: {advice}"
    newest = head()
    if not record.first_seq <= record.last_seq <= newest:
        yield f"Its record tells of commits {record.first_seq} to {record.last_seq}; the newest is {newest}."
    if record.is_over and record.end_ns < record.begin_ns:
        yield "Its record says that it ended before it began."
    if record.status == ENDED and record.exit_code is None:
        yield "Its record says that it ended, but not how."
    try:
        lines = (folder / EVENTS_NAME).read_bytes().splitlines()
    except FileNotFoundError:
        lines = []
    if not all(map(_is_event, lines)):
        yield "Some of its events cannot be read."


def _is_event(line: bytes) -> bool:
    try:
        from_json(RunEvent, json.loads(line))
    except (ValueError, WireError):
        return False
    return True
