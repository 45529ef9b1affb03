"""What happened to runs, in `makfs events`: also what their keepers alone have seen."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mount.runs import Place, place, until

pytestmark = pytest.mark.mount


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Place]:
    with place(tmp_path) as made:
        yield made


def _told(desk: Place, number: int) -> list[dict[str, Any]]:
    lines = desk.mounted.makfs("events", "--kind", "run").splitlines()
    return [row for row in map(json.loads, lines) if row["run"] == number]


def _kinds(desk: Place, number: int) -> list[str]:
    return [row["kind"].removeprefix("run-") for row in _told(desk, number)]


def _kept(desk: Place, number: int) -> list[dict[str, Any]]:
    path = desk.repo / ".makfs" / "runs" / str(number) / "events.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_restarts_are_told_in_order_with_what_led_to_them(desk: Place) -> None:
    desk.run("sh", "-c", "exit 3", options=["--restart", "on-failure:2"])
    wanted = ["began", *["restarting", "restarted"] * 2, "ended"]
    rows = _told(desk, 1)
    assert [row["kind"].removeprefix("run-") for row in rows] == wanted, rows
    assert [row["event"] for row in _kept(desk, 1)] == wanted
    assert rows[1]["says"] == "Its program ended with exit code 3, and is started again in 0.1 s."
    assert rows[4]["says"] == "This is start 3 of its program."
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    assert {row["agent"] for row in rows} == {"alice"}


def test_restart_that_was_asked_for_is_told_while_the_run_goes_on(desk: Place) -> None:
    number = desk.detach("sleep", "600")
    assert desk.makfs("restart", str(number))[0] == 0
    until(lambda: _kinds(desk, number) == ["began", "restarting", "restarted"])
    says = "Its program ended with SIGTERM, and is started again as was asked for."
    assert _told(desk, number)[1]["says"] == says
    desk.makfs("kill", str(number))
    desk.makfs("wait", str(number))


def test_what_happened_while_there_was_no_makfsd_is_told_by_the_next_one(desk: Place) -> None:
    number = desk.detach("sleep", "600", options=["--restart", "on-failure"])
    leader = desk.record(number)["leader"]["pid"]
    assert _kinds(desk, number) == ["began"]  # what nobody has read may be gone after kill -9
    desk.mounted.stop(signal.SIGKILL)
    subprocess.run(["fusermount3", "-uz", str(desk.mounted.mountpoint)], check=False)
    told = desk.repo / ".makfs" / "runs" / str(number) / "told.jsonl"
    until(lambda: told.exists() and "view gone" in told.read_text())
    desk.mounted.start()
    until(lambda: "restarted" in _kinds(desk, number))
    kinds = _kinds(desk, number)
    kinds.remove("taken-over")  # while the keeper looks for its view
    assert kinds == ["began", "view-gone", "view-back", "restarting", "restarted"]
    assert desk.record(number)["leader"]["pid"] != leader
    gone, over = (
        row["time"] for row in _told(desk, number) if row["kind"] in ("run-view-gone", "run-taken-over")
    )
    assert gone < over
    desk.makfs("stop", str(number))
    kept = [row["event"].replace(" ", "-") for row in _kept(desk, number)]
    assert kept == _kinds(desk, number)
