"""R1, R2, R3: `makfs with`, with real commands in real processes and a real socket."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.cli.exits import exit_code
from tests.unit.serving import ENVIRONMENT, PATIENCE_S, Serving, serving

BUILD = "resource:build"
TELL = "import os, signal, sys, time\n"
SLEEP = "print(os.getpid(), flush=True)\ntime.sleep(600)\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as it:
        yield it


def start(served: Serving, code: str, *options: str) -> subprocess.Popen[str]:
    words = [*options, "--agent", "alice", "build", "--", sys.executable, "-c", TELL + code]
    return served.start("with", *words)


def line_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


def held(served: Serving) -> list[str]:
    return [row.address for _, row in served.kernel.held]


def test_command_runs_while_the_resource_is_held_and_finds_what_is(served: Serving) -> None:
    code = "print(os.environ['MAKFS_HELD'].split('\\n'), flush=True)\nprint(input())\nsys.exit(7)"
    process = served.start(
        "with", "--agent", "alice", "build", "src/a.py::f", "--", sys.executable, "-c", TELL + code,
        stdin=subprocess.PIPE,
    )  # fmt: skip
    assert line_of(process) == str([BUILD, "src/a.py::f"])
    assert held(served) == [BUILD, "src/a.py::f"]
    out, err = process.communicate("typed\n", timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (7, "typed\n", "")
    served.wait(served.kernel.hold_ended)
    assert held(served) == []


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (["true"], 0, ""),
        (["sh", "-c", "exit 42"], 42, ""),
        (["sh", "-c", "kill -KILL $$"], 137, ""),
        (["sh", "-c", "kill -TERM $$"], 143, ""),
        (["./none"], 127, "makfs: The command ./none was not found.\n"),
        (["no-such-command"], 127, "makfs: The command no-such-command was not found.\n"),
        (["/"], 126, "makfs: The command / cannot be run: Permission denied.\n"),
        (["./text"], 126, "makfs: The command ./text cannot be run: Exec format error.\n"),
        (["echo", "--agent", "--", "x"], 0, ""),
    ],
)
def test_exit_code_is_the_commands(command: list[str], code: int, said: str, served: Serving) -> None:
    (served.repo / "text").write_bytes(b"\x7fno program")
    (served.repo / "text").chmod(0o755)
    assert end(served.start("with", "--agent", "alice", "build", "--", *command))[::2] == (code, said)
    served.wait(served.kernel.hold_ended)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_is_passed_on_once_and_the_command_decides(number: signal.Signals, served: Serving) -> None:
    code = (
        "got = []\n"
        "for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):\n"
        "    signal.signal(each, lambda number, frame: got.append(number))\n"
        "print('ready', flush=True)\n"
        "while not got: signal.pause()\n"
        "print(got, flush=True)\nsys.exit(9)"
    )
    process = start(served, code)
    assert line_of(process) == "ready"
    process.send_signal(number)
    assert end(process) == (9, f"[{int(number)}]\n", "")


def test_signal_that_ends_the_command_gives_128_and_its_number(served: Serving) -> None:
    process = start(served, "signal.signal(signal.SIGINT, signal.SIG_DFL)\n" + SLEEP)
    line_of(process)
    process.send_signal(signal.SIGINT)
    assert end(process)[0] == 130
    served.wait(served.kernel.hold_ended)


def test_key_at_a_terminal_reaches_the_command_once(served: Serving) -> None:
    """Ctrl-C is sent to the whole foreground group: makfs must not pass it on as well (R1)."""
    code = (
        "got = []\nsignal.signal(signal.SIGINT, lambda number, frame: got.append(number))\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print(f'got {len(got)}.', flush=True), sys.exit()))\n"
        "print('ready', flush=True)\nwhile True: signal.pause()"
    )
    words = ["with", "--agent", "alice", "build", "--", sys.executable, "-c", TELL + code]
    pid, terminal = os.forkpty()
    if not pid:
        os.chdir(served.repo)
        os.execve(
            sys.executable,
            [sys.executable, "-P", "-m", "makfs.cli", "-C", str(served.repo), *words],
            ENVIRONMENT,
        )
    try:
        read_until(terminal, b"ready")
        os.write(terminal, b"\x03")
        read_until(terminal, b"^C")
        os.kill(pid, signal.SIGTERM)  # taken after the SIGINT, and passed on
        assert b"got 1." in read_until(terminal, b".")
    finally:
        os.close(terminal)
        os.waitpid(pid, 0)


def read_until(terminal: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        assert select.select([terminal], [], [], PATIENCE_S)[0], seen
        seen += os.read(terminal, 1000)
    return seen


def test_timeout_ends_the_command_with_sigterm(served: Serving) -> None:
    process = start(served, SLEEP, "--timeout", "0.2")
    assert end(process)[0] == 124
    served.wait(served.kernel.hold_ended)


def test_timeout_kills_a_command_that_ignores_sigterm(served: Serving) -> None:
    code = (
        "import signal, sys\nfrom makfs.cli import main, running\nrunning.KILL_AFTER_S = 0.1\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"  # the command inherits it
        "sys.exit(main.run(sys.argv[1:]))"
    )
    words = ["--agent", "alice", "--timeout", "0.2", "build", "--", "sleep", "600"]
    with subprocess.Popen(
        [sys.executable, "-c", code, "-C", str(served.repo), "with", *words], env=ENVIRONMENT
    ) as process:
        assert process.wait(PATIENCE_S) == 124
    served.wait(served.kernel.hold_ended)


def test_killed_makfs_lets_go_and_the_command_gets_sigterm(served: Serving) -> None:
    process = start(served, SLEEP)
    child = os.pidfd_open(int(line_of(process)))
    try:
        process.kill()
        served.wait(served.kernel.hold_ended)
        assert held(served) == []
        assert select.select([child], [], [], PATIENCE_S)[0], "R2"
    finally:
        os.close(child)
    process.communicate()


def test_command_goes_on_when_the_daemon_ends(served: Serving) -> None:
    code = "print('ready', flush=True)\nprint(input())"
    process = served.start(
        "with", "--agent", "alice", "build", "--", sys.executable, "-c", code, stdin=subprocess.PIPE
    )
    assert line_of(process) == "ready"
    served.stop()
    assert process.stderr is not None
    assert process.stderr.readline() == (
        f"makfs: note: makfsd ended: {BUILD} is not held any more. {sys.executable} goes on.\n"
    )
    out, err = process.communicate("still here\n", timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (0, "still here\n", "")


def test_second_of_one_agent_waits_for_the_first(served: Serving) -> None:
    first = served.start(
        "with", "--agent", "alice", "build", "--", sys.executable, "-c", "print(1, flush=True); input()",
        stdin=subprocess.PIPE,
    )  # fmt: skip
    line_of(first)
    second = start(served, "print(2)", "--wait", "60")
    served.wait(served.kernel.queued)
    assert len(held(served)) == 1
    first.communicate("\n", timeout=PATIENCE_S)
    assert end(second) == (0, "2\n", "")


def test_refused_resource_gives_3_and_nothing_runs(served: Serving) -> None:
    assert served.run("claim", "bob", BUILD) == 0
    code, out, err = end(start(served, "print('ran')", "--wait", "0"))
    assert (code, out) == (3, "")
    assert err == f"makfs: alice was refused write on {BUILD}: bob holds it.\n"


def test_interrupted_while_waiting_gives_130_and_leaves_the_queue(served: Serving) -> None:
    assert served.run("claim", "bob", BUILD) == 0
    process = start(served, "print('ran')", "--wait", "60")
    served.wait(served.kernel.queued)
    process.send_signal(signal.SIGINT)
    assert end(process)[:2] == (130, "")
    served.wait(served.kernel.left_queue)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["build"], 2, "After the resources stand '--' and a command. See 'makfs with --help'."),
        (["build", "--"], 2, "After the resources stand '--' and a command. See 'makfs with --help'."),
        (["--", "true"], 2, "Name a resource. See 'makfs with --help'."),
        (
            ["--timeout", "0", "build", "--", "true"],
            2,
            "Invalid value for '--timeout': 0.0 is not in the range",
        ),
        (["build", "--wait", "-1", "--", "true"], 2, "Invalid value for '--wait': -1.0 is not in the range"),
        (["build", "--", "true"], 1, "{repo} is in no agent's view; name the agent with --agent."),
        (["--agent", "carol", "build", "--", "true"], 1, "There is no agent carol."),
        (["--agent", "alice", "a b", "--", "true"], 1, "'resource:a b' is not an address: a resource is"),
    ],
)
def test_wrong_command_line_gets_one_sentence_and_runs_nothing(
    arguments: list[str], code: int, sentence: str, served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("with", *arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("makfs: " + sentence.format(repo=os.path.realpath(served.repo)))
    assert error.count("\n") == 1
    assert held(served) == []


def test_codes_of_commands_that_cannot_run_are_those_of_the_shell() -> None:
    from makfs.cli.exits import CommandFailed

    assert exit_code(CommandFailed("x", 127)) == 127
