"""`makfs run` over real mounts: how programs start, are supervised, end, and what is kept of them."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.mounted import PACKAGES, PATIENCE_S
from tests.mount.runs import LOG_BYTES, PYTHON, SECRET, Place, alive, line_of, place, until

pytestmark = pytest.mark.mount
SOON_S = 2.0  # in which what a killed run held must be free
UNNEEDED = {
    "difflib", "pathlib", "shutil", "tomllib", "makfs.adapters.table", "makfs.adapters.usage", "makfs.config",
    "makfs.cli.metering", "makfs.engine", "makfs.runs.budgets", "makfs.settings", "makfs.store",
    "makfs.wire.runrecord", "makfs.wire.runverbs", "makfs.wire.verbs",
}  # fmt: skip
STUBBORN = "trap '' TERM; echo up; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture
def desk(served: Place) -> Iterator[Place]:
    """Serve for a whole module; after each test nothing goes on and nothing is held."""
    yield served
    served.unharmed()
    assert served.held() == []


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Place]:
    """Serve for one test."""
    with place(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("script", "wanted"), [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
@pytest.mark.parametrize("options", [[], ["--no-confine"]])
def test_exit_code_is_the_programs(script: str, wanted: int, options: list[str], desk: Place) -> None:
    assert desk.run("sh", "-c", script, options=options)[0] == wanted
    record = desk.newest()
    assert (record["status"], record["exit_code"]) == ("ended", wanted)
    assert record["signal"] == (signal.Signals(wanted - 128).name if wanted > 128 else "")


def test_plain_program_starts_without_what_only_others_need(
    desk: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    code, _, err = desk.run("true")
    loaded = {line.rpartition("|")[2].strip() for line in err.splitlines()}
    assert (code, loaded & UNNEEDED) == (0, set())
    assert "makfs.cli.keeper" in loaded


def test_missing_program_is_127_and_one_that_cannot_run_126(desk: Place) -> None:
    code, out, err = desk.run("no-such-program")
    assert (code, out, err.count("\n")) == (127, "", 1)
    assert "no-such-program" in err
    (desk.repo / "plain.txt").write_text("x")
    assert desk.run("./plain.txt")[0] in (126, 127)  # shells differ


def test_program_works_at_the_repositorys_own_path_and_gets_its_input(desk: Place) -> None:
    process = desk.start("run", "alice", "--", "sh", "-c", "pwd; cat; echo oops >&2; echo $MAKFS_AGENT > who")
    out, err = process.communicate(b"typed\n", timeout=PATIENCE_S)
    assert (out.decode(), err) == (f"{desk.repo}\ntyped\n", b"oops\n")
    assert (desk.repo / "who").read_text() == "alice\n"


def test_variables_come_by_name_alone_and_values_are_nowhere_kept(desk: Place) -> None:
    script = 'echo "$MAKFS_TEST_SECRET $MAKFS_TEST_LISTED $GIVEN ${PYTHONPATH-none}"'
    words = ["sh", "-c", script, "--api-key", "rose-12345", "--token=tulip-999", "GIVEN-4242"]
    code, out, _ = desk.run(*words, options=["-e", "MAKFS_TEST_SECRET", "-e", "GIVEN=GIVEN-4242"])
    assert (code, out) == (0, f"{SECRET} listed GIVEN-4242 none\n")
    record = desk.newest()
    assert record["command"][3:] == ["--api-key", "***", "--token=***", "***"]
    assert record["variables"] == ["GIVEN", "MAKFS_TEST_SECRET"]
    kept = [each for each in (desk.repo / ".makfs").rglob("*") if each.is_file() and each.name != "stdout"]
    for secret in (SECRET, "rose-12345", "tulip-999", "GIVEN-4242"):
        assert not [each for each in kept if secret.encode() in each.read_bytes()], secret
    assert desk.run("true", options=["-e", "NOT_THERE"])[0] == 2


def test_record_tells_what_the_agent_did_in_the_time_of_the_run(desk: Place) -> None:
    desk.makfs("claim", "bob", "app.py::g")
    script = "sed -i 's/return 1/return 11/' app.py; sed -i 's/return 2/return 22/' app.py; cat .makfs/why"
    desk.run("sh", "-c", "true")
    before = desk.newest()
    assert (before["commits"], before["refusals"], before["first_seq"]) == (0, 0, 0)
    desk.run("sh", "-c", script)
    (desk.mounted.bob / "app.py").write_text((desk.repo / "app.py").read_text() + "\nx = 1\n")
    desk.makfs("release", "bob", "--all")
    record = desk.newest()
    newest = json.loads(desk.mounted.makfs("log", "--agent", "alice", "-n", "1", "--json"))[0]
    assert (record["commits"], record["nodes"], record["refusals"]) == (1, 1, 1)
    assert record["first_seq"] == record["last_seq"] == newest["seq"]
    assert record["end_ns"] - record["begin_ns"] == pytest.approx(record["duration_s"] * 1e9)
    assert "return 22" not in (desk.repo / "app.py").read_text()


def test_agent_holds_nothing_after_its_run(desk: Place) -> None:
    number = desk.detach("sh", "-c", "echo 'write app.py::f' > .makfs/claim; echo up; exec sleep 600")
    until(lambda: desk.held() == ["alice"])
    assert desk.makfs("stop", str(number))[:2] == (0, f"{number}\n")
    assert desk.held() == []
    assert desk.record(number)["signal"] == "SIGTERM"


@pytest.mark.parametrize("who", ["leader", "keeper", "program"])
def test_killed_run_lets_go_at_once_and_leaves_no_process(who: str, desk: Place) -> None:
    marker = f"3141.{os.getpid()}"
    script = f"echo 'write app.py::f' > .makfs/claim; setsid sleep {marker} & exec sleep {marker}"
    number = desk.detach("sh", "-c", script)
    until(lambda: desk.held() == ["alice"])
    processes = desk.record(number)
    leader = processes["leader"]["pid"]
    inner = Path(f"/proc/{leader}/task/{leader}/children").read_text().split()[0]
    os.kill(int(inner) if who == "program" else processes[who]["pid"], signal.SIGKILL)
    until(lambda: not desk.held(), SOON_S)
    until(lambda: not alive(marker), SOON_S)
    record = desk.record(number)
    assert (record["status"], record["exit_code"]) == (("lost", None) if who == "keeper" else ("ended", 137))


def test_run_in_the_background_outlives_the_command_line(desk: Place) -> None:
    number = desk.detach("sh", "-c", "echo out; echo err >&2; read x; while [ ! -e go ]; do sleep 0.05; done")
    assert desk.record(number)["status"] == "running"
    assert [each["number"] for each in json.loads(desk.mounted.makfs("ps", "--json"))] == [number]
    (desk.repo / "go").touch()
    assert desk.makfs("wait", str(number))[:2] == (0, "0\n")
    assert desk.makfs("logs", str(number)) == (0, "out\n", "err\n")
    assert json.loads(desk.mounted.makfs("ps", "--json")) == []


def test_of_several_runs_those_that_can_be_removed_are_and_numbers_are_completed(desk: Place) -> None:
    number = desk.detach("true")
    assert desk.makfs("wait", str(number))[0] == 0
    words = f"makfs -C {desk.repo} logs {str(number)[:1]}"
    completing = {"COMP_WORDS": words, "COMP_CWORD": "4", "_MAKFS_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "makfs.cli"], env={**os.environ, "PYTHONPATH": PACKAGES, **completing},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f"plain,{number}" in done.stdout.split()
    code, out, err = desk.makfs("rm", "999", str(number), "998")
    assert (code, out) == (1, f"{number}\n")
    assert [line.partition(";")[0] for line in err.splitlines()] == [
        "makfs: There is no run 999", "makfs: There is no run 998",
    ]  # fmt: skip


def test_run_that_makes_files_shows_their_text(desk: Place) -> None:
    number = desk.detach(
        "sh",
        "-c",
        "printf 'def f():\\n    return 1\\n' > made.py; sed -i s/1/2/ made.py; rm made.py; "
        "printf 'def g():\\n    return 1\\n' > kept.py; sed -i s/1/2/ kept.py",
    )
    assert desk.makfs("wait", str(number))[1] == "0\n"
    assert desk.makfs("diff", "--run", str(number))[1] == (
        "kept.py\n@@ added func kept.py::g @@\n+def g():\n+    return 2\n\n"
    )
    number = desk.detach("true")
    assert desk.makfs("wait", str(number))[1] == "0\n"
    code, out, err = desk.makfs("diff", "--run", str(number))
    assert (code, out) == (0, "")
    assert err == f"makfs: note: Run {number} changed nothing, or changed it back.\n"


def test_logs_follow_a_run_to_its_end(desk: Place) -> None:
    number = desk.detach("sh", "-c", "echo one; while [ ! -e on ]; do sleep 0.05; done; echo two")
    follower = desk.start("logs", "-f", str(number))
    assert line_of(follower) == "one"
    (desk.repo / "on").touch()
    assert line_of(follower) == "two"
    assert follower.communicate(timeout=PATIENCE_S) == (b"", b"")
    assert follower.returncode == 0


def test_program_that_ignores_sigterm_is_killed_when_its_time_is_over(desk: Place) -> None:
    number = desk.detach("sh", "-c", STUBBORN)
    until(lambda: desk.makfs("logs", str(number))[1] == "up\n")
    assert desk.makfs("stop", "--time", "0.3", str(number))[0] == 0
    assert desk.record(number)["signal"] == "SIGKILL"


def test_signals_reach_the_program_once(desk: Place) -> None:
    script = "trap 'echo got' USR1 HUP; echo up; while [ ! -e done ]; do sleep 0.05; done"
    process = desk.start("run", "alice", "--", "sh", "-c", script)
    assert line_of(process) == "up"
    process.send_signal(signal.SIGHUP)
    assert line_of(process) == "got"
    number = desk.newest()["number"]
    assert desk.makfs("kill", "-s", "USR1", str(number))[0] == 0
    assert line_of(process) == "got"
    (desk.repo / "done").touch()
    assert process.communicate(timeout=PATIENCE_S) == (b"", b"")
    (desk.repo / "done").unlink()


@pytest.mark.parametrize("options", [[], ["--no-confine"]])
def test_what_a_program_leaves_behind_ends_with_it(options: list[str], desk: Place) -> None:
    marker = f"2718.{os.getpid()}"
    assert desk.run("sh", "-c", f"sleep {marker} & echo started", options=options)[:2] == (0, "started\n")
    until(lambda: not alive(marker), SOON_S)


def test_orphans_do_not_stay_as_zombies(desk: Place) -> None:
    look = (
        "import os, subprocess, time\n"
        "for _ in range(20): subprocess.run(['sh', '-c', 'sleep 0.01 &'])\n"
        "def states():\n"
        "    for each in filter(str.isdecimal, os.listdir('/proc')):\n"
        "        try: yield open(f'/proc/{each}/stat').read().rpartition(')')[2].split()[0]\n"
        "        except OSError: pass\n"
        "while len(list(states())) > 2: time.sleep(0.01)\n"
        "print('reaped')"
    )
    assert desk.run(PYTHON, "-c", look)[:2] == (0, "reaped\n")


def test_flood_is_passed_on_whole_and_kept_in_part(desk: Place) -> None:
    flood = 5_000_000
    code, out, _ = desk.run("sh", "-c", f"yes | head -c {flood}")
    assert (code, len(out)) == (0, flood)
    record = desk.newest()
    kept = (desk.repo / ".makfs" / "runs" / str(record["number"]) / "stdout").read_bytes()
    assert LOG_BYTES <= len(kept) < LOG_BYTES + 100
    assert kept.endswith(b"\n[makfs: output dropped]\n")
    assert (record["stdout_bytes"], record["dropped_bytes"]) == (flood, flood - LOG_BYTES)


def test_program_whose_reader_goes_away_ends(desk: Place) -> None:
    process = desk.start("run", "alice", "--", "yes", stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert line_of(process) == "y"
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(PATIENCE_S) == 128 + signal.SIGPIPE


def test_terminal_works_and_its_keys_reach_the_program_alone(desk: Place) -> None:
    script = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, lambda *_: (os.write(1, b'interrupted'), os._exit(0)))\n"
        "print(open('/dev/tty').isatty(), flush=True)\nprint('typed', input(), flush=True)\n"
        "while True: signal.pause()"
    )
    ours, theirs = os.openpty()
    process = desk.start(
        "run", "alice", "--", PYTHON, "-c", script, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    seen = b""

    def read_until(word: bytes) -> None:
        nonlocal seen
        while word not in seen:
            try:
                seen += os.read(ours, 1000)
            except OSError:
                pytest.fail(f"it ended after {seen!r}")

    read_until(b"True")
    os.write(ours, b"hello\r")
    read_until(b"typed hello")
    os.write(ours, b"\x03")
    read_until(b"interrupted")
    assert process.wait(PATIENCE_S) == 0
    os.close(ours)


def test_view_in_use_is_refused_unless_shared(desk: Place) -> None:
    number = desk.detach("sh", "-c", "exec sleep 600")
    code, out, err = desk.run("true")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert f"alice runs {number} already" in err
    assert desk.run("true", agent="bob")[0] == desk.run("true", options=["--share"])[0] == 0
    code, _, err = desk.makfs("rm", str(number))
    assert (code, err.count("\n")) == (3, 1)
    assert desk.makfs("kill", str(number))[0] == 0
    assert desk.makfs("wait", str(number))[1] == "137\n"
    assert desk.makfs("rm", str(number))[0] == 0
    assert desk.makfs("inspect", str(number))[0] == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["run", "carol", "--", "true"], 1, "makfs agent add carol"),
        (["run", "alice"], 2, "a command"),
        (["run", "-e", "1x=2", "alice", "--", "true"], 2, "name of a variable"),
        (["run", "--no-confine", "--no-network", "alice", "--", "true"], 2, "--no-confine"),
        (["stop", "4711"], 1, "no run 4711"),
        (["kill", "-s", "NOSUCH", "1"], 2, "no signal"),
        (["logs", "4711"], 1, "no run 4711"),
        (["wait", "4711"], 1, "no run 4711"),
        (["rm", "4711"], 1, "no run 4711"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], code: int, says: str, desk: Place) -> None:
    got, out, err = desk.makfs(*words)
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert says in err


def test_machine_without_bwrap_is_told_the_package(desk: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    code, _, err = desk.run("true")
    assert (code, err.count("\n")) == (1, 1)
    assert "install the package bubblewrap" in err


def test_guide_is_short_and_the_program_finds_it(desk: Place) -> None:
    guide = desk.mounted.makfs("run", "--print-guide")
    assert len(guide.split()) < 150
    assert desk.run("sh", "-c", 'cat "$MAKFS_GUIDE"')[1] == guide
    assert desk.run("cat", ".makfs/why")[0] == 0


def test_unmount_is_refused_while_a_run_goes_on_and_force_ends_it(alone: Place) -> None:
    number = alone.detach("sh", "-c", STUBBORN)
    place = str(alone.mounted.mountpoint)
    code, _, err = alone.makfs("umount", place)
    assert (code, err.count("\n")) == (3, 1)
    assert f"{number} of alice" in err
    alone.mounted.stop()
    assert not alive("trap '' TERM; echo up")
    alone.mounted.start()
    assert alone.record(number)["exit_code"] == 137


def test_next_daemon_takes_over_what_lives_and_calls_lost_what_does_not(alone: Place) -> None:
    lives = alone.detach("sleep", "600")
    dies = alone.detach("sleep", "600", agent="bob")
    keeper = alone.record(dies)["keeper"]["pid"]
    alone.mounted.stop(signal.SIGKILL)
    ended = os.pidfd_open(keeper)
    os.kill(keeper, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{keeper}").exists())
    os.close(ended)
    subprocess.run(["fusermount3", "-uz", str(alone.mounted.mountpoint)], check=False)
    alone.mounted.start()
    assert [each["number"] for each in json.loads(alone.mounted.makfs("ps", "--json"))] == [lives]
    assert alone.record(dies)["status"] == "lost"
    assert alone.run("true")[0] == 3
    assert alone.makfs("stop", str(lives))[0] == 0
    assert alone.record(lives)["exit_code"] == 143
    assert alone.run("true")[0] == 0


def test_mount_that_is_gone_is_told(alone: Place) -> None:
    alone.mounted.stop(signal.SIGKILL)
    code, _, err = alone.run("true")
    assert (code, err.count("\n")) == (4, 1)
    alone.mounted.start()
    assert alone.run("true")[0] == 0


def test_repositorys_own_file_cannot_open_the_confinement(alone: Place) -> None:
    assert alone.run("sh", "-c", "printf '[run]\\npaths = [\"/root\"]\\n' > makfs.conf")[0] == 0
    alone.mounted.stop()
    alone.mounted.config = None
    with pytest.raises(AssertionError, match=r"\[run\] paths: agents can write this file"):
        alone.mounted.start()
    assert alone.mounted.daemon is not None
    assert alone.mounted.daemon.wait(PATIENCE_S) == 1
    alone.mounted.daemon = None


def test_what_is_committed_in_a_run_carries_its_task_and_no_longer(alone: Place) -> None:
    """W1. The task's first line is its name; what the agent says itself meanwhile is kept."""
    long = ["--cli", "generic", "--task", "mend the tests\nall of them"]
    assert alone.run("sh", "-c", "cat > got.txt; cat .makfs/task", options=long)[:2] == (
        0,
        "mend the tests\n",
    )
    alone.mounted.makfs("agent", "task", "alice", "tidy")
    assert alone.run("sh", "-c", "echo > one.txt", options=["--cli", "generic", "--task", "tax"])[0] == 0
    (alone.mounted.alice / "two.txt").write_text("x")
    said = "echo 'of my own' > .makfs/task; echo > three.txt"
    assert alone.run("sh", "-c", said, options=["--cli", "generic", "--task", "tax"])[0] == 0
    (alone.mounted.alice / "four.txt").write_text("x")
    commits = json.loads(alone.mounted.makfs("log", "--json", "-n", "5"))
    assert [(each["paths"], each["task"]) for each in commits] == [
        (["four.txt"], "of my own"), (["three.txt"], "of my own"), (["two.txt"], "tidy"),
        (["one.txt"], "tax"), (["got.txt"], "mend the tests"),
    ]  # fmt: skip
