"""`makfs events` over a real mount: what is told, from where on, to whom is slow, after kill -9."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.mount.hands import PATIENCE_S
from tests.mount.mounted import PACKAGES, Mounted

pytestmark = pytest.mark.mount


def command(mounted: Mounted, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "makfs.cli", "-C", str(mounted.repo), "events", *words]


ENVIRONMENT = {**os.environ, "PYTHONPATH": PACKAGES}


def told(mounted: Mounted, *words: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in mounted.makfs("events", *words).splitlines()]


@pytest.fixture
def follower(mounted: Mounted) -> Iterator["subprocess.Popen[str]"]:
    """Follow the commits and messages from the beginning."""
    words = command(mounted, "-f", "--since", "0", "--kind", "commit", "--kind", "message")
    child = subprocess.Popen(words, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    yield child
    child.send_signal(signal.SIGCONT)
    child.kill()
    child.communicate()


def test_all_that_happens_is_told_in_order_and_from_any_place_on(mounted: Mounted) -> None:
    (mounted.alice / "a.py").write_text("x = 1\n")
    mounted.makfs("mark", "one")
    mounted.makfs("claim", "alice", "a.py::x")
    mounted.makfs("send", "bob", "the text is nobody's business")
    for name in os.listdir(mounted.bob / ".makfs/inbox"):
        os.unlink(mounted.bob / ".makfs/inbox" / name)
    mounted.makfs("release", "alice", "--all")
    mounted.makfs("run", "--no-confine", "bob", "--", "true")
    mounted.makfs("undo", "1")
    os.mkdir(mounted.mountpoint / "carol")
    os.rmdir(mounted.mountpoint / "carol")
    rows = told(mounted)
    kinds = [row["kind"] for row in rows]
    wanted = [
        "mounted", "agent-added", "commit", "mark-set", "lock-granted", "message-sent",
        "message-acknowledged", "lock-released", "run-began", "run-ended", "commit", "undone",
        "agent-added", "agent-removed",
    ]  # fmt: skip
    places = iter(kinds)
    assert all(kind in places for kind in wanted), f"{wanted} in this order, in {kinds}"
    assert "business" not in json.dumps(rows)
    (run,) = [row for row in rows if row["kind"] == "run-ended"]
    assert (run["agent"], run["run"], run["exit_code"]) == ("bob", 1, 0)
    for place in range(0, len(rows), 3):
        assert told(mounted, "--since", rows[place]["at"]) == rows[place + 1 :]
    assert [row["seq"] for row in told(mounted, "--kind", "commit", "--path", "a.py")] == [1, 2]


def test_a_follower_that_stands_still_misses_nothing(
    mounted: Mounted, follower: "subprocess.Popen[str]"
) -> None:
    assert follower.stdout is not None
    mounted.makfs("send", "bob", "first")
    assert json.loads(follower.stdout.readline())["kind"] == "message-sent"
    follower.send_signal(signal.SIGSTOP)
    script = "for n in $(seq 1 300); do echo $n > .makfs/outbox/bob; done; echo x > a.txt"
    subprocess.run(["sh", "-c", script], cwd=mounted.alice, check=True, timeout=PATIENCE_S)
    follower.send_signal(signal.SIGCONT)
    rows = [json.loads(follower.stdout.readline()) for _ in range(301)]
    assert [row["id"] for row in rows[:300]] == [*range(2, 302)]
    assert (rows[300]["kind"], rows[300]["paths"]) == ("commit", ["a.txt"])


def test_what_was_told_is_there_after_kill_and_the_order_goes_on(
    mounted: Mounted, follower: "subprocess.Popen[str]"
) -> None:
    assert follower.stdout is not None
    (mounted.alice / "a.txt").write_text("one\n")
    mounted.makfs("send", "bob", "hello")
    heard = [json.loads(follower.stdout.readline()) for _ in range(2)]
    before = told(mounted)
    mounted.stop(signal.SIGKILL)
    assert follower.wait(PATIENCE_S) == 1
    subprocess.run(["fusermount3", "-uz", "--", str(mounted.mountpoint)], check=False)
    mounted.start()
    after = told(mounted)
    assert after[: len(before)] == before
    assert [row for row in after if row["kind"] in ("commit", "message-sent")] == heard
    assert [row["kind"] for row in after[len(before) :]][:1] == ["mounted"]
    (mounted.alice / "a.txt").write_text("two\n")
    assert [row["kind"] for row in told(mounted, "--since", after[-1]["at"])] == ["commit"]


def test_what_gc_took_is_said_first(mounted: Mounted) -> None:
    for number in range(3):
        (mounted.alice / "a.txt").write_text(f"{number}\n")
    mounted.makfs("gc", "--keep", "1")
    first, *rest = told(mounted, "--since", "1")
    assert (first["kind"], first["at"], first["told"]) == ("cut", "2", "nothing")
    assert [row["seq"] for row in rest if row["kind"] == "commit"] == [3]
    assert told(mounted, "--since", "3")[0]["kind"] == "gc"


def test_a_place_that_is_none_is_refused(mounted: Mounted) -> None:
    done = subprocess.run(
        command(mounted, "--since", "yesterday"), env=ENVIRONMENT, capture_output=True, text=True
    )
    assert (done.returncode, "is no time" in done.stderr) == (2, True)
