"""`makfs fsck` and the records of runs: R6."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mount.hands import eventually
from tests.mount.mounted import PACKAGES, Mounted

pytestmark = pytest.mark.mount
Damage = Callable[[Path], object]


def _set(name: str, value: object) -> Damage:
    def damage(folder: Path) -> None:
        record = json.loads((folder / "record.json").read_text())
        assert name in record
        (folder / "record.json").write_text(json.dumps(record | {name: value}))

    return damage


DAMAGE: dict[str, Damage] = {
    "Its record cannot be read": lambda folder: (folder / "record.json").write_text("{"),
    "cannot be read: 'makfs rm 1'": lambda folder: (folder / "record.json").unlink(),
    "Its record is that of run 7": _set("number", 7),
    "tells of commits 0 to 9": _set("last_seq", 9),
    "ended before it began": _set("end_ns", 5),
    "but not how": _set("exit_code", None),
    "Some of its events": lambda folder: (folder / "events.jsonl").write_text('{"event": 1}\n'),
}


def _findings(mounted: Mounted) -> list[dict[str, str]]:
    """Return what fsck finds by asking the daemon."""
    command = [sys.executable, "-P", "-m", "makfs.cli", "-C", str(mounted.repo), "fsck", "--json"]
    variables = {**os.environ, "PYTHONPATH": PACKAGES}
    done = subprocess.run(command, env=variables, capture_output=True, check=False)
    found: list[dict[str, str]] = json.loads(done.stdout)
    assert done.returncode == bool(found), done.stderr
    return found


def _record(mounted: Mounted) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mounted.makfs("inspect", "1"))
    return found


@pytest.mark.parametrize("sentence", DAMAGE)
def test_fsck_finds_damage_of_a_run_while_mounted_and_while_not(mounted: Mounted, sentence: str) -> None:
    mounted.makfs("run", "--no-confine", "alice", "--", "true")
    assert _findings(mounted) == []
    DAMAGE[sentence](mounted.repo / ".makfs" / "runs" / "1")
    (served,) = _findings(mounted)
    mounted.stop()
    assert [served] == mounted.findings()
    assert (served["check"], served["where"]) == ("RUN", "run 1")
    assert sentence in served["sentence"]


def test_runs_that_go_on_or_are_lost_are_no_findings(mounted: Mounted) -> None:
    mounted.makfs("run", "-d", "--no-confine", "alice", "--", "sleep", "600")
    eventually(lambda: _record(mounted)["keeper"] is not None)
    assert _findings(mounted) == []
    os.kill(_record(mounted)["keeper"]["pid"], signal.SIGKILL)
    eventually(lambda: _record(mounted)["status"] == "lost")
    assert _findings(mounted) == []
