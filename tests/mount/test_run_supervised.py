"""Runs that are looked after: restarts, times, budgets, limits, pauses, people who attach, what is left."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mount.runs import PYTHON, Place, alive, place, until

pytestmark = pytest.mark.mount
COUNT = "echo x >> ~/starts; "  # a line for each start, in the agent's home
HOLD = "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture
def desk(served: Place) -> Iterator[Place]:
    """Serve for a whole module; after each test nothing goes on and nothing is held."""
    for agent in ("alice", "bob"):
        _starts(served, agent).unlink(missing_ok=True)
    yield served
    served.unharmed()
    assert served.held() == []
    until(lambda: not list(Path("/sys/fs/cgroup").glob(f"**/makfs-run-{_daemon(served)}-*")))


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Place]:
    """Serve for one test."""
    with place(tmp_path) as made:
        yield made


def _daemon(desk: Place) -> int:
    return int(json.loads(desk.mounted.makfs("status", "--json"))["pid"])


def _starts(desk: Place, agent: str = "alice") -> Path:
    return desk.repo / ".makfs" / "agents" / agent / "home" / "starts"


def _count(desk: Place, agent: str = "alice") -> int:
    try:
        return _starts(desk, agent).read_text().count("x")
    except FileNotFoundError:
        return 0


def _events(desk: Place, number: int) -> list[str]:
    lines = (desk.repo / ".makfs" / "runs" / str(number) / "events.jsonl").read_text().splitlines()
    return [json.loads(line)["event"] for line in lines]


def _wait(desk: Place, number: int) -> dict[str, Any]:
    desk.makfs("wait", str(number))
    return desk.record(number)


@pytest.mark.parametrize("options", [[], ["--no-confine"]])
def test_failing_program_is_started_again_so_often_as_was_said(options: list[str], desk: Place) -> None:
    home = _starts(desk).parent
    home.mkdir(parents=True, exist_ok=True)
    script = f"echo x >> {home if options else '~'}/starts; echo out; exit 3"
    code, out, _ = desk.run("sh", "-c", script, options=["--restart", "on-failure:2", *options])
    assert (code, out) == (3, "out\n" * 3)
    record = desk.newest()
    assert (record["restarts"], record["exit_code"], _count(desk)) == (2, 3, 3)


def test_program_that_succeeds_is_started_again_only_if_always(desk: Place) -> None:
    assert desk.run("sh", "-c", COUNT + "exit 0", options=["--restart", "on-failure"])[0] == 0
    assert _count(desk) == 1
    number = desk.detach("sh", "-c", COUNT + "exit 0", options=["--restart", "always"])
    until(lambda: _count(desk) >= 3)
    assert desk.makfs("stop", str(number))[0] == 0
    assert desk.record(number)["status"] == "ended"


@pytest.mark.parametrize("verb", ["stop", "kill"])
def test_run_that_somebody_ends_is_not_started_again(verb: str, desk: Place) -> None:
    number = desk.detach("sh", "-c", COUNT + HOLD, options=["--restart", "always"])
    until(lambda: "up" in desk.makfs("logs", str(number))[1])
    assert desk.makfs(verb, str(number))[0] == 0
    record = _wait(desk, number)
    assert (record["exit_code"], record["restarts"], _count(desk)) == (9 if verb == "stop" else 137, 0, 1)


def test_restart_gives_a_new_program_in_the_same_run(desk: Place) -> None:
    number = desk.detach("sh", "-c", COUNT + HOLD)
    until(lambda: "up" in desk.makfs("logs", str(number))[1])
    before = desk.record(number)["leader"]
    assert desk.makfs("restart", str(number))[:2] == (0, f"{number}\n")
    after = desk.record(number)
    assert (after["status"], after["restarts"]) == ("running", 0)
    assert after["leader"] != before
    until(lambda: _count(desk) == 2)
    assert desk.makfs("stop", str(number))[0] == 0
    code, _, err = desk.makfs("restart", str(number))
    assert (code, err.count("\n")) == (3, 1)
    assert "values of its variables were not kept" in err


@pytest.mark.parametrize("options", [[], ["--no-confine"]])
def test_restart_kills_a_program_that_does_not_end_when_told(options: list[str], desk: Place) -> None:
    deaf = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    number = desk.detach("sh", "-c", deaf, options=options)
    until(lambda: desk.makfs("logs", str(number))[1] == "up\n")
    before = desk.record(number)["leader"]
    began = time.monotonic()
    assert desk.makfs("restart", "--time", "0.5", str(number))[:2] == (0, f"{number}\n")
    assert time.monotonic() - began >= 0.5
    after = desk.record(number)
    assert (after["status"], after["restarts"]) == ("running", 0)
    assert after["leader"] != before
    until(lambda: desk.makfs("logs", str(number))[1] == "up\n" * 2)
    assert "ended with SIGKILL" in desk.mounted.makfs("events", "--kind", "run-restarting")
    assert desk.makfs("stop", "--time", "0.5", str(number))[0] == 0
    record = desk.record(number)
    assert (record["status"], record["signal"]) == ("ended", "SIGKILL")


def test_run_between_two_starts_can_be_stopped(desk: Place) -> None:
    number = desk.detach("sh", "-c", "exit 1", options=["--restart", "always"])
    until(lambda: desk.record(number)["restarts"] >= 3 and desk.record(number)["status"] == "restarting")
    assert desk.makfs("stop", str(number))[0] == 0
    assert desk.record(number)["exit_code"] == 1


@pytest.mark.parametrize("option", ["--timeout", "--idle-timeout"])
def test_run_whose_time_is_over_is_stopped_and_says_why(option: str, desk: Place) -> None:
    code, _, err = desk.run("sh", "-c", "exec sleep 600", options=[option, "0.5", "--restart", "always"])
    record = desk.newest()
    assert (code, record["signal"]) == (143, "SIGTERM")
    assert option in record["why_ended"]
    assert option in err
    assert "stopped" in _events(desk, record["number"])


def test_run_that_writes_is_not_idle(desk: Place) -> None:
    script = "for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.25; done"
    assert desk.run("sh", "-c", script, options=["--idle-timeout", "1"])[0] == 0


def test_paused_run_takes_no_step_and_loses_what_its_lease_is_over_for(desk: Place) -> None:
    script = "echo 'write app.py::g lease=0.5' > .makfs/claim; while :; do date +%N >&2; sleep 0.01; done"
    number = desk.detach("sh", "-c", f'setsid sh -c "{HOLD}" & ' + script)
    until(lambda: desk.record(number)["processes"].__len__() >= 4)
    log = desk.repo / ".makfs" / "runs" / str(number) / "stderr"
    until(lambda: log.exists() and log.stat().st_size)
    assert desk.makfs("pause", str(number))[:2] == (0, f"{number}\n")
    until(lambda: not any(each["state"] == "R" for each in desk.record(number)["processes"]))
    size = log.stat().st_size
    until(lambda: desk.held() == [])
    assert log.stat().st_size == size
    code, _, err = desk.makfs("pause", str(number))
    assert (code, err.count("\n")) == (3, 1)
    assert desk.makfs("unpause", str(number))[0] == 0
    until(lambda: log.stat().st_size > size)
    assert desk.makfs("pause", str(number))[0] == 0
    assert desk.makfs("kill", str(number))[0] == 0
    assert _wait(desk, number)["exit_code"] == 137


def test_limits_hold_or_are_said_not_to(desk: Place) -> None:
    eat = "import sys; kept = bytearray(256 << 20); print('ate it')"
    code, out, err = desk.run(PYTHON, "-c", eat, options=["--memory", "64m"])
    record = desk.newest()
    assert (out, code != 0) == ("", True)
    assert ("memory" in record["enforced"]) != ("--memory" in err)
    assert record["oom_kills"] > 0 or "MemoryError" in err
    fork = "import os, time\nfor _ in range(60):\n    os.fork() or time.sleep(600)\n"
    code, _, err = desk.run(PYTHON, "-c", fork, options=["--pids", "30"])
    if "pids" in desk.newest()["enforced"]:
        assert "Resource temporarily unavailable" in err
    else:
        assert "--pids" in err


def test_stats_tell_what_runs_take(desk: Place) -> None:
    number = desk.detach("sh", "-c", "sleep 600 & while :; do :; done")
    row = json.loads(desk.mounted.makfs("stats", "--json", str(number)))[0]
    assert (row["number"], row["agent"], row["pids"]) == (number, "alice", 3)
    assert row["memory_bytes"] > 0
    assert row["cpu_share"] > 0
    assert f"{number}  alice" in desk.makfs("stats")[1]
    desk.makfs("kill", str(number))
    desk.makfs("wait", str(number))
    assert desk.makfs("stats", str(number))[0] == 3


def test_ps_is_a_tree_of_agents_runs_and_processes(desk: Place) -> None:
    number = desk.detach("sh", "-c", "sleep 600; true")
    until(lambda: "sleep" in [each["name"] for each in desk.record(number)["processes"]])
    lines = desk.makfs("ps")[1].splitlines()
    assert [line.split()[:2] for line in lines[1:3]] == [["alice"], ["└─", str(number)]]
    assert [line.split()[2] for line in lines[3:]] == ["bwrap", "sh", "sleep"]
    assert desk.makfs("ps", "-q")[1] == f"{number}\n"
    desk.makfs("kill", str(number))
    desk.makfs("wait", str(number))


def test_run_leaves_what_it_changed_node_by_node(desk: Place) -> None:
    script = "sed -i 's/return 1/return 7/' app.py; sed -i 's/return 7/return 8/' app.py; echo said"
    desk.run("sh", "-c", script)
    (desk.mounted.bob / "app.py").write_text((desk.repo / "app.py").read_text() + "\ny = 2\n")
    desk.makfs("release", "bob", "--all")
    number = desk.newest()["number"]
    diff = desk.makfs("diff", "--run", str(number))[1]
    assert [line for line in diff.splitlines() if line[:1] in ("+", "-")] == [
        "-    return 1",
        "+    return 8",
    ]
    listed = {each["name"] for each in json.loads(desk.mounted.makfs("artifacts", "--json", str(number)))}
    assert {"record.json", "stdout", "stderr", "events.jsonl", "diff.txt"} <= listed
    assert desk.makfs("artifacts", str(number), "stdout")[1] == "said\n"
    out = desk.outside.parent / "out"
    assert desk.makfs("artifacts", str(number), "diff.txt", "--copy", str(out))[0] == 0
    assert (out / "diff.txt").read_text() == diff
    assert desk.makfs("artifacts", str(number), "nothing")[0] == 1
    desk.makfs("undo", "--agent", "alice", "--since", "1h")


def test_logs_begin_where_they_are_asked_to(desk: Place) -> None:
    desk.run("sh", "-c", "seq 1 1000; echo err >&2")
    number = str(desk.newest()["number"])
    assert desk.makfs("logs", "--tail", "2", number)[1:] == ("999\n1000\n", "err\n")
    assert desk.makfs("logs", "--tail", "0", number)[1:] == ("", "")
    assert desk.makfs("logs", "--since", "1h", number)[1].count("\n") == 1000
    assert desk.makfs("logs", "--since", "2199-01-01", number)[1] == ""


def test_program_that_forks_away_without_confinement_ends_with_its_run(desk: Place) -> None:
    marker = f"1414.{os.getpid()}"
    script = f"setsid sh -c 'sleep {marker} & sleep {marker}' > /dev/null 2>&1 & sleep 0.2; echo away"
    assert desk.run("sh", "-c", script, options=["--no-confine"])[:2] == (0, "away\n")
    assert alive(f"sleep\0{marker}") == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--restart", "sometimes"], "restart policy"),
        (["--restart", "always:3"], "restart policy"),
        (["--memory", "lots"], "size"),
        (["--memory", "1k"], "too little"),
        (["--budget", "money=3"], "budget"),
        (["--budget", "commits=-1"], "budget"),
        (["-t"], "-d"),
    ],
)
def test_bad_options_are_one_sentence(options: list[str], says: str, desk: Place) -> None:
    code, out, err = desk.run("true", options=options)
    assert (code, out) == (2, "")
    assert says in err.splitlines()[-1]


def test_next_daemon_finds_a_run_that_nobody_had_recorded_the_processes_of(alone: Place) -> None:
    number = alone.detach("sleep", "600")
    path = alone.repo / ".makfs" / "runs" / str(number) / "record.json"
    record = json.loads(path.read_text())
    alone.mounted.stop(signal.SIGKILL)
    path.write_text(json.dumps(record | {"keeper": None, "leader": None}))
    subprocess.run(["fusermount3", "-uz", str(alone.mounted.mountpoint)], check=False)
    alone.mounted.start()
    found = alone.record(number)
    assert (found["status"], found["view_gone"]) == ("running", True)
    assert "view gone" in alone.makfs("ps")[1]
    assert alone.makfs("kill", str(number))[0] == 0
    assert _wait(alone, number)["exit_code"] == 137


def test_program_that_may_be_restarted_is_brought_into_the_next_mount(alone: Place) -> None:
    script = "cat app.py > /dev/null && echo seen; exec sleep 600"
    number = alone.detach("sh", "-c", script, options=["--restart", "on-failure"])
    until(lambda: alone.makfs("logs", str(number))[1] == "seen\n")
    alone.mounted.stop(signal.SIGKILL)
    subprocess.run(["fusermount3", "-uz", str(alone.mounted.mountpoint)], check=False)
    alone.mounted.start()
    until(lambda: alone.makfs("logs", str(number))[1] == "seen\nseen\n")
    record = alone.record(number)
    assert (record["status"], record["view_gone"], record["restarts"]) == ("running", False, 0)
    assert alone.makfs("stop", str(number))[0] == 0
    assert alone.record(number)["status"] == "ended"


@pytest.mark.skipif(os.getuid() != 0, reason="a small disk is made by root")
def test_full_disk_costs_output_and_neither_the_program_nor_the_record(alone: Place) -> None:
    runs = alone.repo / ".makfs" / "runs"
    runs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(runs)], check=True)
    try:
        code, out, err = alone.run("sh", "-c", "head -c 600000 /dev/zero | tr '\\0' x; exit 7")
        assert (code, len(out)) == (7, 600_000)
        assert "No space left on device" in err
        record = alone.newest()
        assert (record["status"], record["exit_code"], record["stdout_bytes"]) == ("ended", 7, 600_000)
        assert record["dropped_bytes"] > 0
        code, _, err = alone.run("true")
        assert (code, err.count("\n")) == (1, 1)
        assert "A run cannot be recorded" in err
        assert alone.makfs("rm", "1")[0] == 0
        assert alone.run("true")[0] == 0
    finally:
        subprocess.run(["umount", "-l", str(runs)], check=False)
