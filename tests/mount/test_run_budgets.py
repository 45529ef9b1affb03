"""Runs with a budget: warned, paused, and stopped when somebody has let them go on."""

import json
import re
from collections.abc import Iterator, Sequence

import pytest

from tests.mount.runs import Place, place, until

pytestmark = pytest.mark.mount
STEPS = ("warned", "paused", "stopped")
ADAPTER = """
[adapter.counted]
[[adapter.counted.reads]]
when = ["type=usage"]
part = "id"
input = ["tokens.in"]
output = ["tokens.out"]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("budgets")) as made:
        own = made.outside.parent / "home" / ".config" / "makfs"
        own.mkdir(parents=True)
        (own / "makfs.conf").write_text(ADAPTER)
        yield made


@pytest.fixture
def desk(served: Place) -> Iterator[Place]:
    yield served
    served.end_all()
    served.makfs("release", "bob", "--all")
    served.unharmed()
    served.makfs("undo", "--agent", "alice", "--since", "1h")


def _outrun(desk: Place, name: str, limit: int, script: str, options: Sequence[str] = ()) -> None:
    """Let a script outrun its budget; see that each step is taken, told and recorded."""
    number = desk.detach("sh", "-c", script, options=["--budget", f"{name}={limit}", *options])
    until(lambda: desk.record(number)["status"] == "paused")
    assert _steps(desk, number) in (["warned", "paused"], ["paused"])  # both may be due at one look
    at_pause = desk.record(number)
    assert at_pause[name] >= limit
    assert at_pause["why_ended"] == ""
    said = rf"Run {number} is paused: \d+ of {limit} {name} are used\."
    assert re.search(said, (desk.mounted.alice / ".makfs" / "why").read_text())
    assert desk.makfs("unpause", str(number))[0] == 0
    desk.makfs("wait", str(number))
    ended = desk.record(number)
    assert ended[name] >= max(at_pause[name], 1.25 * limit)
    assert ended["why_ended"].endswith(f" of {limit} {name} are used")
    assert dict(ended["taken"])[name] == "stop"
    assert ended["signal"] == "SIGTERM"
    assert _steps(desk, number)[-1] == "stopped"


def _steps(desk: Place, number: int) -> list[str]:
    lines = (desk.repo / ".makfs" / "runs" / str(number) / "events.jsonl").read_text().splitlines()
    return [event for event in (json.loads(line)["event"] for line in lines) if event in STEPS]


def test_budget_of_commits_warns_pauses_and_stops(desk: Place) -> None:
    _outrun(desk, "commits", 5, 'while :; do i=$((i+1)); echo "# $i" >> app.py; sleep 0.1; done')


def test_budget_of_refusals_warns_pauses_and_stops(desk: Place) -> None:
    desk.mounted.makfs("claim", "bob", "app.py::g")
    script = "while :; do sed 's/return 2/return 3/' app.py > /tmp/new; cp /tmp/new app.py; sleep 0.1; done"
    _outrun(desk, "refusals", 4, script)
    assert "return 2" in (desk.repo / "app.py").read_text()


def test_budget_of_tokens_that_a_program_tells_of_warns_pauses_and_stops(desk: Place) -> None:
    line = r'{"type": "usage", "id": "r%d", "tokens": {"in": 30, "out": 10}}\n'
    script = f"while :; do i=$((i+1)); printf '{line}' $i; printf '{line}' $i; sleep 0.1; done"
    _outrun(desk, "tokens", 400, script, options=["--cli", "counted"])
    usage = desk.newest()["usage"]
    # Each request was told of twice, and counts once.
    assert usage["input_tokens"] == 3 * usage["output_tokens"]
    assert usage["input_tokens"] + usage["output_tokens"] == desk.newest()["tokens"]


def test_tokens_that_no_adapter_reads_use_up_no_budget(desk: Place) -> None:
    line = '{"type": "usage", "id": "r", "tokens": {"in": 3000, "out": 1000}}'
    number = desk.detach("sh", "-c", f"echo '{line}'; sleep 1", options=["--budget", "tokens=400"])
    desk.makfs("wait", str(number))
    record = desk.record(number)
    assert (record["exit_code"], record["tokens"], _steps(desk, number)) == (0, 0, [])
