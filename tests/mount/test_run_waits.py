"""What the record of a run tells of waiting for others."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.mounted import PATIENCE_S
from tests.mount.runs import WAIT_S, Place, place, until

pytestmark = pytest.mark.mount
EDIT = "sed 's/return 2/return 3/' app.py > /tmp/new; cp /tmp/new app.py; "
HELD = "app.py::g"


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path, wait_s=PATIENCE_S) as made:
        yield made


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        yield made


def _wait_for_bob(desk: Place, script: str) -> int:
    """Start a run whose first write waits for what bob holds; let it through; return its number."""
    desk.mounted.makfs("claim", "bob", HELD)
    number = desk.detach("sh", "-c", EDIT + script)
    until(lambda: desk.waiting() == ["alice"])
    desk.mounted.makfs("release", "bob", HELD)
    return number


def test_write_that_waited_and_was_let_through_stands_in_the_record(patient: Place) -> None:
    number = _wait_for_bob(patient, "cp /tmp/new own.txt")
    patient.makfs("wait", str(number))
    record = patient.record(number)
    assert (record["waits"], record["commits"], record["refusals"]) == (1, 2, 0)
    assert 0 < record["waited_s"] < record["duration_s"]
    assert " 1, " in patient.makfs("ps", "-a")[1].splitlines()[-1]
    patient.run("sh", "-c", "echo x > other.txt")
    assert (patient.newest()["waits"], patient.newest()["waited_s"]) == (0, 0)


def test_write_that_waited_in_vain_stands_in_the_record(hasty: Place) -> None:
    hasty.mounted.makfs("claim", "bob", HELD)
    hasty.run("sh", "-c", EDIT + EDIT)
    record = hasty.newest()
    assert (record["waits"], record["commits"]) == (record["refusals"], 0)
    assert record["waits"] > 0
    assert record["waited_s"] >= WAIT_S * record["waits"] * 0.9


def test_next_daemon_goes_on_counting(patient: Place) -> None:
    number = _wait_for_bob(patient, "exec sleep 600")
    kept = patient.repo / ".makfs" / "runs" / str(number) / "record.json"
    until(lambda: json.loads(kept.read_text())["waits"] == 1)
    before = patient.record(number)
    patient.mounted.stop(signal.SIGKILL)
    subprocess.run(["fusermount3", "-uz", str(patient.mounted.mountpoint)], check=False)
    patient.mounted.start()
    after = patient.record(number)
    assert (after["status"], after["waits"], after["waited_s"]) == ("running", 1, before["waited_s"])
    assert patient.makfs("kill", str(number))[0] == 0
    patient.makfs("wait", str(number))
    assert patient.record(number)["waits"] == 1
