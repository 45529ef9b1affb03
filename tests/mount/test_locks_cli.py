"""Locks from the command line: claims, queues, commands that hold a resource, over real mounts."""

import errno
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.mounted import PACKAGES, PATIENCE_S, Mounted, outcome

pytestmark = pytest.mark.mount
HELLO = "app/greet.py::hello"
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "MAKFS_REPO"}, "PYTHONPATH": PACKAGES
}  # fmt: skip
SOON_S = 2.0  # in which a killed holder's resources must be free

Process = subprocess.Popen[str]


def start(mounted: Mounted, *arguments: str, cwd: Path | None = None) -> Process:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "makfs.cli", *arguments],
        cwd=cwd or mounted.repo, env=ENVIRONMENT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def end(process: Process, typed: str | None = None) -> tuple[int, str, str]:
    out, err = process.communicate(typed, timeout=PATIENCE_S)
    return process.returncode, out, err


def makfs(mounted: Mounted, *arguments: str, cwd: Path | None = None) -> tuple[int, str, str]:
    return end(start(mounted, *arguments, cwd=cwd))


def line_of(process: Process) -> str:
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE_S)[0]
    return process.stdout.readline().strip()


def locks(mounted: Mounted) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Return (agent, mode, address) of each grant, and who waits."""
    state = json.loads(mounted.makfs("locks", "--json"))
    held = [(each["agent"], each["mode"], each["address"]) for each in state["grants"]]
    return sorted(held), [each["agent"] for each in state["waiters"]]


def wait_for_a_waiter(mounted: Mounted, agent: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while agent not in locks(mounted)[1]:
        assert time.monotonic() < deadline, f"{agent} does not wait"


def hold(mounted: Mounted, code: str, *options: str, agent: str = "alice", what: str = "test") -> Process:
    """Run Python code in the agent's view while it holds something."""
    words = ["with", *options, what, "--", sys.executable, "-c", code]
    return start(mounted, *words, cwd=mounted.mountpoint / agent)


@pytest.fixture
def idle(mounted: Mounted) -> Iterator[Mounted]:
    """Serve, and see that nothing is held in the end."""
    yield mounted
    assert locks(mounted) == ([], [])


def test_second_claim_is_refused_with_who_holds_it_until_when(idle: Mounted) -> None:
    code, out, err = makfs(idle, "claim", "alice", HELLO)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"write  {HELLO}  until \d\d:\d\d:\d\d \(in 5 min\)\n", out)
    code, out, err = makfs(idle, "claim", "bob", "--wait", "0", "app/", "README.md")
    assert (code, out) == (3, "")
    assert "alice" in err
    assert HELLO in err
    assert err.count("\n") == 1
    assert locks(idle) == ([("alice", "write", HELLO)], [])
    assert makfs(idle, "release", "alice", HELLO) == (0, f"released write on {HELLO}\n", "")
    code, _, err = makfs(idle, "release", "alice", HELLO)
    assert (code, err.count("\n")) == (1, 1)


def test_release_that_keeps_read_weakens_a_claim(idle: Mounted) -> None:
    makfs(idle, "claim", "alice", HELLO, "README.md")
    code, out, err = makfs(idle, "release", "alice", HELLO, "--keep-read")
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"read  {HELLO}  until \d\d:\d\d:\d\d \(in 5 min\)\n", out)
    held = [("alice", "read", HELLO), ("alice", "write", "README.md")]
    assert locks(idle) == (held, [])
    for address in (HELLO, "app/"):
        code, out, err = makfs(idle, "release", "alice", address, "--keep-read")
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert locks(idle) == (held, [])
    assert makfs(idle, "claim", "bob", HELLO, "--read")[0] == 0
    makfs(idle, "release", "alice", "--all", "--keep-read")
    assert locks(idle)[0] == [
        ("alice", "read", "README.md"),
        ("alice", "read", HELLO),
        ("bob", "read", HELLO),
    ]
    for agent in ("alice", "bob"):
        makfs(idle, "release", agent, "--all")


def test_claim_that_waits_is_granted_when_the_other_lets_go(idle: Mounted) -> None:
    makfs(idle, "claim", "alice", "app/")
    waiter = start(idle, "claim", "bob", HELLO, "--wait", "60")
    wait_for_a_waiter(idle, "bob")
    makfs(idle, "release", "alice", "--all")
    code, out, _ = end(waiter)
    assert (code, out.split()[:2]) == (0, ["write", HELLO])
    assert locks(idle) == ([("bob", "write", HELLO)], [])
    makfs(idle, "release", "bob", "--all")


def test_waiter_that_is_killed_leaves_the_queue(idle: Mounted) -> None:
    makfs(idle, "claim", "alice", HELLO)
    waiter = start(idle, "claim", "bob", HELLO, "--wait", "60")
    wait_for_a_waiter(idle, "bob")
    waiter.kill()
    waiter.communicate()
    deadline = time.monotonic() + PATIENCE_S
    while locks(idle)[1]:
        assert time.monotonic() < deadline
    makfs(idle, "release", "alice", "--all")


def test_write_into_what_another_claimed_is_refused_and_why_tells(idle: Mounted) -> None:
    (idle.repo / "makfs.conf").write_text("[write]\nwait_s = 0.2\n")
    idle.remount()
    file = idle.bob / "app" / "greet.py"
    text = file.read_bytes()
    makfs(idle, "claim", "alice", HELLO, "--read", "--lease", "600")
    result = outcome(lambda: file.write_bytes(text.replace(b"hello {name}", b"hi {name}")))
    assert result == errno.errorcode[errno.EBUSY]
    assert file.read_bytes() == text
    for said in (makfs(idle, "why", "bob")[1], makfs(idle, "why", cwd=idle.bob / "app")[1]):
        assert HELLO in said
        assert "alice" in said
    assert said.strip() == (idle.bob / ".makfs" / "why").read_text().strip()
    number = str(json.loads(idle.makfs("refusals", "--json"))[0]["number"])
    code, _, err = makfs(idle, "refusals", "apply", number)
    assert (code, err.count("\n")) == (3, 1)
    makfs(idle, "release", "alice", "--all")
    code, out, _ = makfs(idle, "refusals", "apply", number)
    assert code == 0
    assert re.fullmatch(r"commit \d  app/greet\.py\n", out)
    assert b"hi {name}" in (idle.repo / "app" / "greet.py").read_bytes()


def test_tree_shows_holders_and_waiters(idle: Mounted) -> None:
    makfs(idle, "claim", "alice", HELLO, "resource:test")
    waiter = start(idle, "claim", "bob", "app/", "--wait", "60")
    wait_for_a_waiter(idle, "bob")
    rows = [
        re.split(r"  +", line.lstrip("\u2502\u251c\u2514\u2500 "))
        for line in idle.makfs("locks").splitlines()
    ]
    assert [row[0] for row in rows] == ["ADDRESS", "app/", "1.", "greet.py", "hello", "resource:test"]
    assert [len(row) for row in rows] == [6, 1, 6, 1, 6, 6]
    assert (rows[2][1:3], rows[2][-1]) == (["write", "bob"], "waits for alice")
    assert (rows[4][1:3], rows[4][-1]) == (["write", "alice"], "claim")
    assert "bob" not in idle.makfs("locks", "resource:test")
    waiter.send_signal(signal.SIGINT)
    assert end(waiter)[0] == 130
    makfs(idle, "release", "alice", "--all")


@pytest.mark.parametrize("other", ["alice", "bob"])
def test_commands_with_one_resource_take_turns(other: str, mounted: Mounted, tmp_path: Path) -> None:
    """Each makes a file that must not be there yet and takes it away again."""
    inside = tmp_path / "inside"
    alone = (
        f"import os, time\nos.close(os.open({str(inside)!r}, os.O_CREAT | os.O_EXCL))\n"
        f"time.sleep(0.05)\nos.unlink({str(inside)!r})"
    )
    crowd = [hold(mounted, alone, "--wait", "60", agent=agent) for agent in ["alice", other] * 3]
    assert [end(each) for each in crowd] == [(0, "", "")] * 6


@pytest.mark.parametrize("what", ["test", HELLO])
def test_nothing_is_held_after_many_holds_of_one_agent(what: str, mounted: Mounted) -> None:
    crowd = [hold(mounted, "import time; time.sleep(0.1)", "--wait", "60", what=what) for _ in range(4)]
    assert [end(each)[0] for each in crowd] == [0] * 4
    assert locks(mounted) == ([], [])


def test_resource_that_is_busy_refuses_after_the_wait(idle: Mounted) -> None:
    holder = hold(idle, "print(1, flush=True); input()")
    line_of(holder)
    for agent in ("alice", "bob"):
        code, out, err = end(hold(idle, "print('ran')", "--wait", "0.1", agent=agent))
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert "resource:test" in err
        assert "alice" in err
    assert end(holder, "\n")[0] == 0


def test_killed_makfs_frees_its_resource_and_ends_its_command(idle: Mounted) -> None:
    holder = hold(idle, "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    command = os.pidfd_open(int(line_of(holder)))
    assert locks(idle)[0] == [("alice", "write", "resource:test")]
    holder.kill()
    code, out, _ = end(hold(idle, "print('mine')", "--wait", str(SOON_S), agent="bob"))
    assert (code, out) == (0, "mine\n")
    assert select.select([command], [], [], PATIENCE_S)[0]
    os.close(command)
    holder.communicate()


def test_unmount_ends_what_is_held_and_the_command_goes_on(mounted: Mounted) -> None:
    holder = start(
        mounted, "with", "--agent", "alice", "test", "--",
        sys.executable, "-c", "print(1, flush=True); print(input())",
    )  # fmt: skip
    line_of(holder)
    mounted.stop()
    code, out, err = end(holder, "still here\n")
    assert (code, out) == (0, "still here\n")
    assert err.startswith("makfs: note: makfsd ended: resource:test is not held any more.")
    mounted.start()
    assert locks(mounted) == ([], [])


def test_claim_outlives_a_remount(mounted: Mounted) -> None:
    makfs(mounted, "claim", "alice", HELLO)
    mounted.remount()
    assert locks(mounted)[0] == [("alice", "write", HELLO)]


def test_bad_input_is_refused_and_changes_nothing(idle: Mounted) -> None:
    makfs(idle, "claim", "alice", "README.md")
    cases = [
        (["claim", "carol", HELLO], 1),
        (["claim", "alice", "a::"], 1),
        (["claim", "alice", HELLO, "--lease", "0"], 2),
        (["claim", "alice", HELLO, "--lease", "3e7"], 2),
        (["claim", "alice", HELLO, "--wait", "-1"], 2),
        (["claim", "alice"], 2),
        (["release", "alice", HELLO], 1),
        (["release", "bob", "README.md"], 1),
        (["renew", "bob", "README.md"], 1),
        (["renew", "carol"], 1),
        (["why", "carol"], 1),
        (["refusals", "apply", "77"], 1),
        (["with", "test"], 2),
        (["with", "test", "--", "true"], 1),
        (["agent", "add", "dave", "--on-write", "never"], 1),
    ]
    for arguments, wanted in cases:
        code, out, err = makfs(idle, *arguments)
        assert (code, out, err.count("\n")) == (wanted, "", 1), (arguments, err)
        assert locks(idle) == ([("alice", "write", "README.md")], [])
    makfs(idle, "release", "alice", "--all")
