"""People who attach to runs: they see, type, leave, read slowly or not at all."""

import json
import os
import re
import signal
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.cli.door import MOST_BEHIND_BYTES
from tests.mount.mounted import PATIENCE_S
from tests.mount.runs import Place, Process, line_of, place, until

pytestmark = pytest.mark.mount
MUCH_BYTES = 30_000_000
DROPPED = b"\n[makfs: output dropped]\n"
MORE = (
    "while [ ! -e ~/go ]; do echo tick; sleep 0.05; done; "
    "head -c {0} /dev/zero | tr '\\0' x; echo written >&2; "
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("attached")) as made:
        yield made


@pytest.fixture
def desk(served: Place) -> Iterator[Place]:
    yield served
    served.end_all()
    served.unharmed()


def _attach(desk: Place, number: int, typed: bytes) -> tuple[int, bytes]:
    """Attach on a terminal, type, return how it ended and what was to be seen."""
    ours, theirs = os.openpty()
    process = desk.start(
        "attach", str(number), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    until(lambda: not termios.tcgetattr(ours)[3] & termios.ICANON)  # it listens to every key
    os.write(ours, typed)
    seen = b""
    try:
        while chunk := os.read(ours, 1000):
            seen += chunk
    except OSError:
        pass
    os.close(ours)
    return process.wait(PATIENCE_S), seen


def test_people_attach_to_a_terminal_type_leave_and_come_back(desk: Place) -> None:
    script = 'while read x; do echo "got $x"; [ "$x" = end ] && exit 5; done'
    number = desk.detach("sh", "-c", script, options=["-t"])
    assert _attach(desk, number, b"one\r\x10\x11")[0] == 0
    until(lambda: "got one" in desk.makfs("logs", str(number))[1])
    assert desk.record(number)["status"] == "running"
    code, seen = _attach(desk, number, b"end\r")
    assert code == 5
    assert b"got end" in seen
    lines = (desk.repo / ".makfs" / "runs" / str(number) / "terminal.cast").read_text().splitlines()
    assert json.loads(lines[0])["version"] == 2
    shown = [json.loads(line) for line in lines[1:]]
    assert "got one" in "".join(text for _, kind, text in shown if kind == "o")


def test_input_that_was_kept_open_reaches_the_program_and_its_end_too(desk: Place) -> None:
    number = desk.detach("sh", "-c", "cat; echo oops >&2; exit 4", options=["-i"])
    process = desk.start("attach", str(number))
    out, err = process.communicate(b"a line\n" * 10_000, timeout=PATIENCE_S)
    assert (process.returncode, out, err) == (4, b"a line\n" * 10_000, b"oops\n")
    code, _, told = desk.makfs("attach", str(number))
    assert (code, told.count("\n")) == (3, 1)


def _home(desk: Place) -> Path:
    return desk.repo / ".makfs" / "agents" / "alice" / "home"


def _writes_much(desk: Place, then: str) -> tuple[int, Process]:
    """Start a program that is to write much, and somebody who is attached and does not read yet."""
    for name in ("go", "on"):
        (_home(desk) / name).unlink(missing_ok=True)
    number = desk.detach("sh", "-c", MORE.format(MUCH_BYTES) + then)
    guest = desk.start("attach", "--no-stdin", str(number))
    assert line_of(guest) == "tick"
    return number, guest


def _has_written(desk: Place, number: int) -> bool:
    return "written" in desk.makfs("logs", str(number))[2]


def _most_memory(desk: Place, number: int) -> int:
    """Return the most bytes that the keeper has ever had resident."""
    text = Path(f"/proc/{desk.record(number)['keeper']['pid']}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) << 10


def test_somebody_who_reads_slowly_delays_nothing_and_is_told_what_is_missing(desk: Place) -> None:
    number, guest = _writes_much(desk, "while [ ! -e ~/on ]; do sleep 0.05; done; echo after; exit 7")
    before = _most_memory(desk, number)
    (_home(desk) / "go").touch()
    until(lambda: _has_written(desk, number))
    assert _most_memory(desk, number) - before < 2 * MOST_BEHIND_BYTES
    seen = b""
    assert guest.stdout is not None
    while not seen.endswith(DROPPED):
        seen += os.read(guest.stdout.fileno(), 1 << 16)
    assert MOST_BEHIND_BYTES // 2 < seen.count(b"x") < 2 * MOST_BEHIND_BYTES
    (_home(desk) / "on").touch()
    out, _ = guest.communicate(timeout=PATIENCE_S)
    assert (out, guest.returncode) == (b"after\n", 7)


def test_run_ends_though_somebody_who_is_attached_never_reads(desk: Place) -> None:
    number, guest = _writes_much(desk, "exit 7")
    guest.send_signal(signal.SIGSTOP)
    keeper = desk.record(number)["keeper"]["pid"]
    (_home(desk) / "go").touch()
    desk.makfs("wait", str(number))
    assert desk.record(number)["exit_code"] == 7
    until(lambda: not Path(f"/proc/{keeper}").exists())
    guest.send_signal(signal.SIGCONT)
    _, err = guest.communicate(timeout=PATIENCE_S)
    assert guest.returncode == 7
    assert "makfs logs" in err.decode().splitlines()[-1]
