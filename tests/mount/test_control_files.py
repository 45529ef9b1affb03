"""The control files of a view, from real shells: claims, releases, who holds and who waits."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.mount.hands import PATIENCE_S, Hand, eventually
from tests.mount.mounted import Mounted, outcome

pytestmark = pytest.mark.mount
Hands = Callable[[], Hand]
HELLO = "app/greet.py::hello"
BYE = "app/greet.py::bye"


def sh(view: Path, script: str, *more: str) -> tuple[int, str]:
    """Run a shell script in a view; return its exit code and all it printed."""
    done = subprocess.run(
        ["bash", "-c", f"set -e\n{script}", "sh", *more],
        cwd=view, text=True, capture_output=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def why(view: Path) -> str:
    return (view / ".makfs/why").read_text().splitlines()[0]


def held(view: Path) -> list[str]:
    """Return what a view's `claim` shows, without times."""
    return [line.partition(" until ")[0] for line in (view / ".makfs/claim").read_text().splitlines()]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def waits(view: Path) -> bool:
    return bool(rows(view / ".makfs/queue"))


# ---- claim and release


def test_shell_claims_and_releases(mounted: Mounted) -> None:
    alice = mounted.alice
    assert sh(alice, f"echo 'write {HELLO}' > .makfs/claim") == (0, "")
    assert sh(alice, f"printf 'read {BYE}\\n' >> .makfs/claim") == (0, "")
    code, out = sh(alice, "cat .makfs/claim")
    assert code == 0
    lines = out.splitlines()
    assert [line.partition(" until ")[0] for line in lines] == [f"write {HELLO}", f"read {BYE}"]
    assert all(len(line.partition(" until ")[2]) == len("12:34:56") for line in lines)
    assert sh(alice, f"echo '{HELLO}' > .makfs/release") == (0, "")
    assert held(alice) == [f"read {BYE}"]
    assert sh(alice, "echo '*' > .makfs/release") == (0, "")
    assert held(alice) == []


def test_claim_is_kept_to_read_and_nobody_writes_in_between(mounted: Mounted, hand: Hands) -> None:
    alice, bob, waiter = mounted.alice, mounted.bob, hand()
    sh(alice, f"echo 'write {HELLO} {BYE}' > .makfs/claim")
    waiter.send("write whole", bob / ".makfs/claim", f"write {HELLO} wait=60\n".encode())
    eventually(lambda: waits(bob), "that bob waits")
    assert sh(alice, f"echo '{HELLO} keep=read' > .makfs/release") == (0, "")
    assert held(alice) == [f"write {BYE}", f"read {HELLO}"]
    assert waits(bob)
    carol = mounted.mountpoint / "carol"
    carol.mkdir()
    assert sh(carol, f"echo 'read {HELLO} wait=0' > .makfs/claim")[0], "behind the writer who waits"
    code, out = sh(alice, f"echo '{BYE} {HELLO} keep=read' > .makfs/release")
    assert code
    assert "Invalid argument" in out
    assert "which is not more than read" in why(alice)
    assert held(alice) == [f"write {BYE}", f"read {HELLO}"], "all or none"
    sh(alice, f"echo {HELLO} > .makfs/release")
    waiter.answer()
    assert held(bob) == [f"write {HELLO}"]


def test_second_release_is_invalid_and_says_so(mounted: Mounted) -> None:
    sh(mounted.alice, f"echo 'write {HELLO}' > .makfs/claim; echo {HELLO} > .makfs/release")
    code, out = sh(mounted.alice, f"echo {HELLO} > .makfs/release")
    assert code
    assert "Invalid argument" in out
    assert f"alice does not hold {HELLO}" in why(mounted.alice)


def test_claim_against_a_holder_is_busy_and_names_it(mounted: Mounted) -> None:
    """X1."""
    sh(mounted.alice, f"echo 'write {HELLO}' > .makfs/claim")
    code, out = sh(mounted.bob, f"echo 'write {BYE} app/ wait=0' > .makfs/claim; echo not reached")
    assert code
    assert "Device or resource busy" in out
    assert "not reached" not in out
    told = why(mounted.bob)
    assert f"alice holds write on {HELLO} since " in told
    assert " until " in told
    assert held(mounted.bob) == []  # nothing of the line: not even what was free


def test_waiting_claim_is_granted_when_the_holder_releases(mounted: Mounted, hand: Hands) -> None:
    sh(mounted.alice, f"echo 'write {HELLO}' > .makfs/claim")
    waiter = subprocess.Popen(
        ["bash", "-c", f"echo 'write {HELLO} wait={PATIENCE_S}' > .makfs/claim && cat .makfs/claim"],
        cwd=mounted.bob, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    eventually(lambda: waits(mounted.bob), "bob's request")
    (mine,) = rows(mounted.bob / ".makfs/queue")
    assert mine["claims"] == [{"address": HELLO, "mode": "write"}]
    assert (mine["place"], mine["behind"]) == (1, ["alice"])
    assert 0 < mine["left_s"] <= PATIENCE_S
    assert not waits(mounted.alice)
    kinds = [(row["kind"], row["agent"]) for row in rows(mounted.alice / ".makfs/locks")]
    assert kinds == [("grant", "alice"), ("waiter", "bob")]
    assert waiter.poll() is None
    sh(mounted.alice, "echo all > .makfs/release")
    out, _ = waiter.communicate(timeout=PATIENCE_S)
    assert (waiter.returncode, out.partition(" until ")[0]) == (0, f"write {HELLO}")


def test_who_waits_in_claim_keeps_nobody_of_its_view_from_claiming(mounted: Mounted, hand: Hands) -> None:
    sh(mounted.alice, f"echo 'write {HELLO}' > .makfs/claim")
    waiter = hand()
    fd = waiter.open(mounted.bob / ".makfs/claim", os.O_WRONLY)
    waiter.send("write", fd, f"write {HELLO} wait={PATIENCE_S}\n".encode())
    eventually(lambda: waits(mounted.bob), "bob's request")
    other = hand()
    other.write(mounted.bob / ".makfs/claim", f"read {BYE}\n".encode())
    assert other.read(mounted.bob / ".makfs/claim").startswith(f"read {BYE} until ".encode())
    other.write(mounted.alice / ".makfs/release", b"*\n")
    waiter.answer()
    waiter.do("close", fd)
    assert held(mounted.bob) == [f"read {BYE}", f"write {HELLO}"]


def test_crowd_of_one_view_claims_at_once_and_nobody_is_turned_away(mounted: Mounted) -> None:
    """Y3: an opener may find that the inode of the name has just been given to another."""
    sh(mounted.alice, f"echo 'write {HELLO}' > .makfs/claim")
    script = (
        f"for i in $(seq 40); do (echo 'write {HELLO} wait={PATIENCE_S}' > .makfs/claim; "
        'cat .makfs/claim) & all="$all $!"; done; for one in $all; do wait $one; done'
    )
    crowd = subprocess.Popen(
        ["bash", "-ec", script], cwd=mounted.bob, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    eventually(lambda: len(rows(mounted.bob / ".makfs/queue")) > 1, "a crowd")
    sh(mounted.alice, "echo all > .makfs/release")
    out, _ = crowd.communicate(timeout=PATIENCE_S)
    assert crowd.returncode == 0, out
    assert [line.partition(" until ")[0] for line in out.splitlines()] == [f"write {HELLO}"] * 40


def test_killed_waiter_leaves_the_queue(mounted: Mounted) -> None:
    sh(mounted.alice, f"echo 'write {HELLO}' > .makfs/claim")
    code = f"import os; os.write(os.open('.makfs/claim', os.O_WRONLY), b'write {HELLO} wait=600\\n')"
    waiter = subprocess.Popen([sys.executable, "-I", "-c", code], cwd=mounted.bob)
    eventually(lambda: waits(mounted.bob), "bob's request")
    waiter.kill()
    waiter.wait(PATIENCE_S)
    eventually(lambda: not waits(mounted.bob), "the end of bob's request")
    sh(mounted.alice, "echo all > .makfs/release")
    assert held(mounted.bob) == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("write", "names no address; accepted: MODE ADDRESS"),
        ("grab a.py", "'grab' is no way to claim; accepted: read, write"),
        ("write /etc/passwd", "is not an address"),
        ("write 'a.py", "quote as for a shell"),
        ("write a.py wait=x", "no number of seconds"),
        ("write a.py wait=-1", "0 to 86400"),
        ("write a.py lease=0", "more than 0 s"),
        ("write a.py free.py b.py::", "is not an address"),
    ],
)
def test_bad_line_is_invalid_holds_nothing_and_says_why(served: Mounted, line: str, sentence: str) -> None:
    code, out = sh(served.alice, 'printf "%s\\n" "$1" > .makfs/claim', line)
    assert code
    assert "Invalid argument" in out
    assert sentence in why(served.alice)
    assert held(served.alice) == []


def test_lines_of_one_write_are_carried_out_in_order_until_one_fails(mounted: Mounted) -> None:
    """X1, X2."""
    fd = os.open(mounted.alice / ".makfs/claim", os.O_WRONLY | os.O_APPEND)
    try:
        assert outcome(lambda: os.write(fd, b"write a.py\n\nread b.py\nwrite\nwrite c.py\nwr")) == "EINVAL"
        assert held(mounted.alice) == ["write a.py", "read b.py"]
        told = why(mounted.alice)
        assert "line 4" in told
        assert "Carried out before it: 'write a.py; read b.py'" in told
        assert os.pwrite(fd, b"write ", 4711) == 6  # wherever, it comes next
        assert os.pwrite(fd, b"d.py", 0) == 4
        assert held(mounted.alice) == ["write a.py", "read b.py"]
    finally:
        os.close(fd)
    assert held(mounted.alice) == ["write a.py", "read b.py", "write d.py"]


def test_truncation_forgets_an_unfinished_line(mounted: Mounted) -> None:
    with open(mounted.alice / ".makfs/claim", "r+b", buffering=0) as file:
        file.write(b"write a.py")
        file.truncate(0)
        file.write(b"write b.py")
    assert held(mounted.alice) == ["write b.py"]


def test_resources_folders_and_names_that_do_not_exist_can_be_claimed(mounted: Mounted) -> None:
    sh(mounted.alice, "echo 'write resource:test app new.py::f \"a b.py\" lease=60' > .makfs/claim")
    assert set(held(mounted.alice)) == {
        "write resource:test", "write app/", "write new.py::f", "write a b.py"
    }  # fmt: skip
    assert {row["lease_s"] for row in rows(mounted.bob / ".makfs/locks")} == {60.0}


# ---- what only tells


def test_refusal_has_a_diff(served: Mounted, greet: str, hand: Hands) -> None:
    alice, bob = hand(), hand()
    text = alice.read(served.alice / greet)
    assert bob.read(served.bob / greet) == text
    alice.write(served.alice / greet, text.replace(b'"hello', b'"alice'))
    with pytest.raises(OSError, match="busy"):
        bob.write(served.bob / greet, text.replace(b'"hello', b'"\xc3\xa4bob'))
    refused = served.bob / ".makfs/refused"
    newest = max(os.listdir(refused), key=int)
    assert sorted(os.listdir(refused / newest)) == ["diff", "file", "reason"]
    diff = (refused / newest / "diff").read_bytes()
    assert diff.startswith(f"--- a/{greet}\n+++ b/{greet}\n@@ -".encode())
    assert b'\n-    return f"hello {name}"\n+    return f"\xc3\xa4bob {name}"\n' in diff
    assert (refused / newest / "diff").stat().st_size == len(diff)


@pytest.mark.parametrize("name", ["agent", "why", "log", "locks", "queue"])
def test_what_only_tells_cannot_be_written(served: Mounted, name: str) -> None:
    assert outcome(lambda: os.open(served.alice / ".makfs" / name, os.O_WRONLY)) == "EPERM"
    assert "only tells" in why(served.alice)


def test_task_is_what_the_next_commits_carry(mounted: Mounted) -> None:
    """W1, by a shell inside, by the command line, over a remount; told by log, show, blame, export, git."""
    alice = mounted.alice
    greet = "app/greet.py"
    assert sh(alice, "cat .makfs/task; sed -i s/hello/ciao/ app/greet.py") == (0, "")
    assert sh(alice, "echo 'mend the tests' > .makfs/task; cat .makfs/task") == (0, "mend the tests\n")
    assert sh(alice, "sed -i s/ciao/hola/ app/greet.py") == (0, "")
    mounted.remount()
    assert sh(alice, "sed -i s/hola/salve/ app/greet.py") == (0, "")
    mounted.makfs("agent", "task", "alice", "tax")
    assert sh(mounted.bob, f"echo 'x = 1' >> {greet}") == (0, "")
    assert sh(alice, "echo 'y = 1' > b.py; echo > .makfs/task; cat .makfs/task; echo z > z") == (0, "")
    commits = json.loads(mounted.makfs("log", "--json"))
    assert [each["task"] for each in commits] == ["", "tax", "", "mend the tests", "mend the tests", ""]
    newest = commits[0]["seq"]
    mends = json.loads(mounted.makfs("log", "--task", "mend the tests", "--json"))
    assert mends == commits[3:5]
    assert "mend the tests" in mounted.makfs("blame", greet)
    assert "Task:     tax" in mounted.makfs("show", str(newest - 1))
    assert [row.get("task") for row in rows(alice / ".makfs/log")][:2] == [None, "tax"]


@pytest.mark.parametrize("task", ["x" * 101, "a\x1b[31m", "caf\udce9"])
def test_what_cannot_name_a_task_is_refused_and_told(served: Mounted, task: str) -> None:
    before = (served.alice / ".makfs/task").read_bytes()
    assert outcome(lambda: (served.alice / ".makfs/task").write_bytes(os.fsencode(task + "\n"))) == "EINVAL"
    assert why(served.alice).startswith("Refused .makfs/task: ")
    assert (served.alice / ".makfs/task").read_bytes() == before


def test_a_task_is_undone_whole(mounted: Mounted) -> None:
    """Of two agents who worked at it, with what one of them did for another task left in."""
    alice, bob = mounted.alice, mounted.bob
    for name in ("alice", "bob"):
        mounted.makfs("agent", "task", name, "mend")
    text = (alice / "app/greet.py").read_text()
    (alice / "app/greet.py").write_text(text.replace("hello {name}", "hola {name}"))
    (bob / "new.py").write_text("def f():\n    return 1\n")
    mounted.makfs("agent", "task", "bob", "other")
    (bob / "other.py").write_text("x = 1\n")
    mounted.makfs("undo", "--task", "mend", "--agent", "bob")
    assert not (alice / "new.py").exists()
    assert (alice / "app/greet.py").read_text() != text
    mounted.makfs("undo", "--task", "mend", "--agent", "alice")
    assert (alice / "app/greet.py").read_text() == text
    assert (alice / "other.py").exists()
    with pytest.raises(AssertionError, match="There is no commit for the task 'tax' to undo"):
        mounted.makfs("undo", "--task", "tax")


def test_nothing_can_be_made_or_removed_here(served: Mounted) -> None:
    """Y2."""
    top = served.alice / ".makfs"
    assert outcome(lambda: os.open(top / "new", os.O_WRONLY | os.O_CREAT)) == "EPERM"
    assert outcome(lambda: os.mkdir(top / "new")) == "EPERM"
    assert outcome(lambda: os.unlink(top / "why")) == "EPERM"
    assert outcome(lambda: os.rename(top / "why", served.alice / "why")) == "EPERM"
    assert outcome(lambda: os.rename(served.alice / ".gitignore", top / "agent")) == "EPERM"
    assert "Nothing can be made" in why(served.alice)
    assert outcome(lambda: os.stat(top / "refused" / "\u00b2")) == "ENOENT"
    assert outcome(lambda: os.stat(top / "refused" / ("9" * 30))) == "ENOENT"
    assert outcome(lambda: os.stat(top / ("x" * 256))) == "ENAMETOOLONG"
