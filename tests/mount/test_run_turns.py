"""`[resource.NAME] commands`, `.makfs/with/NAME`, `makfs run --resource`: one at a time, whoever asks."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mount.mounted import PATIENCE_S, outcome
from tests.mount.runs import PYTHON, Place, Process, line_of, place, until

pytestmark = pytest.mark.mount
PROJECT = Path(__file__).parents[2]
SOON_S = 2.0
RESOURCES = """
[resource.test]
commands = ["slow", "absent", "look"]
[resource.hasty]
commands = ["hasty"]
wait_s = 0
[path.order]
on_write = "merge"
"""
SLOW = """\
#!/bin/sh
echo "$1 in" >> order
while [ ! -e "go-$1" ]; do sleep 0.02; done
echo "$1 out" >> order
exit 7
"""
LOOK = f"""\
#!{PYTHON} -IS
import os, sys
print(sys.argv[1:], sys.stdin.isatty() or sys.stdin.read(), os.getpid() == int(os.environ["STARTED"]))
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with place(tmp_path_factory.mktemp("turns"), RESOURCES) as made:
        tools = made.repo / "tools"
        tools.mkdir()
        for name, text in (("slow", SLOW), ("look", LOOK), ("hasty", "#!/bin/sh\nexec slow hasty\n")):
            (tools / name).write_text(text)
            (tools / name).chmod(0o755)
        yield made


@pytest.fixture
def desk(served: Place) -> Iterator[Place]:
    yield served
    served.unharmed()
    assert served.held() == served.waiting() == []
    for each in [*served.repo.glob("go-*"), *served.repo.glob("order")]:
        each.unlink()


def path(desk: Place) -> list[str]:
    return ["-e", f"PATH={desk.repo / 'tools'}:{os.environ['PATH']}"]


def start(desk: Place, agent: str, *words: str, options: tuple[str, ...] = ()) -> Process:
    return desk.start("run", *path(desk), *options, agent, "--", *words)


def order(desk: Place) -> list[str]:
    try:
        return (desk.repo / "order").read_text().splitlines()
    except FileNotFoundError:
        return []


def ended(process: Process) -> int:
    process.communicate(timeout=PATIENCE_S)
    return process.returncode


def test_commands_of_two_agents_take_turns_and_keep_their_exit_codes(desk: Place) -> None:
    alice = start(desk, "alice", "slow", "alice")
    until(lambda: order(desk) == ["alice in"])
    login = f"PATH=$PATH:{desk.repo}/tools; slow bob"  # a login shell makes a PATH of its own
    bob = start(desk, "bob", "sh", "-lc", login)
    until(lambda: desk.waiting() == ["bob"])
    assert (desk.mounted.bob / ".makfs" / "with" / "test").read_text().startswith("alice since ")
    (desk.repo / "go-bob").touch()
    (desk.repo / "go-alice").touch()
    assert (ended(alice), ended(bob)) == (7, 7)
    assert order(desk) == ["alice in", "alice out", "bob in", "bob out"]


def test_two_commands_of_one_agent_take_turns_too(desk: Place) -> None:
    process = start(desk, "alice", "sh", "-c", "slow 1 & slow 2; wait")
    until(lambda: len(order(desk)) == 1)
    (desk.repo / "go-1").touch()
    (desk.repo / "go-2").touch()
    ended(process)
    first = order(desk)[0].split()[0]
    second = {"1": "2", "2": "1"}[first]
    assert order(desk) == [f"{first} in", f"{first} out", f"{second} in", f"{second} out"]


def test_command_started_by_one_that_holds_does_not_wait_for_it(desk: Place) -> None:
    (desk.repo / "go-outer").touch()
    (desk.repo / "go-inner").touch()
    (desk.repo / "go-bare").touch()
    script = 'slow outer; exec 9>>.makfs/with/test; slow inner; env -i PATH="$PATH" slow bare'
    assert ended(start(desk, "alice", "sh", "-c", script)) == 7
    assert [line.split()[0] for line in order(desk)[::2]] == ["outer", "inner", "bare"]


def test_what_a_command_leaves_behind_does_not_keep_its_turn(desk: Place) -> None:
    script = "sh -c 'exec 9>>.makfs/with/test; sleep 600 & exit 3'; echo $?; exec slow alice"
    (desk.repo / "go-alice").touch()
    process = start(desk, "alice", "sh", "-c", script)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (7, b"3\n")


@pytest.mark.parametrize("who", ["command", "run"])
def test_killed_command_gives_up_its_turn_at_once(who: str, desk: Place) -> None:
    kill = desk.repo / "kill"
    script = "slow alice & while [ ! -e kill ]; do sleep 0.02; done; kill -KILL $!; sleep 600"
    number = desk.detach("sh", "-c", script, options=path(desk))
    until(lambda: order(desk) == ["alice in"])
    bob = start(desk, "bob", "slow", "bob")
    until(lambda: desk.waiting() == ["bob"])
    (desk.repo / "go-bob").touch()
    if who == "run":
        os.kill(desk.record(number)["keeper"]["pid"], signal.SIGKILL)
    else:
        kill.touch()
    until(lambda: "bob in" in order(desk), SOON_S)
    assert ended(bob) == 7
    desk.makfs("kill", str(number))
    desk.makfs("wait", str(number))
    kill.unlink(missing_ok=True)


def test_command_that_is_killed_while_it_waits_leaves_the_queue(desk: Place) -> None:
    alice = start(desk, "alice", "slow", "alice")
    until(lambda: order(desk) == ["alice in"])
    bob = start(desk, "bob", "sh", "-c", "slow bob & echo $!; read x; kill -INT $!; kill -TERM $!; wait $!")
    until(lambda: desk.waiting() == ["bob"])
    assert bob.stdin is not None
    bob.stdin.write(b"\n")
    bob.stdin.flush()
    assert ended(bob) == 128 + signal.SIGTERM
    until(lambda: desk.waiting() == [])
    (desk.repo / "go-alice").touch()
    assert ended(alice) == 7
    assert "bob in" not in order(desk)


def test_module_of_python_waits_as_its_command_does_and_other_pythons_do_not(desk: Place) -> None:
    (desk.repo / "slow.py").write_text("import os, sys\nos.execvp('tools/slow', ['slow', *sys.argv[1:]])\n")
    script = f"PATH=$PATH:{sys.base_prefix}/bin; python3 -c 'print(1)'; exec python3 -Wdefault -m slow alice"
    with open(desk.mounted.bob / ".makfs" / "with" / "test", "ab"):
        alice = start(desk, "alice", "sh", "-c", script)
        assert line_of(alice) == "1"
        until(lambda: desk.waiting() == ["alice"])
        assert order(desk) == []
    (desk.repo / "go-alice").touch()
    assert ended(alice) == 7
    assert order(desk) == ["alice in", "alice out"]


def test_tests_that_wait_by_themselves_do_so_however_they_are_started(desk: Place) -> None:
    view = desk.mounted.alice
    recipe = (
        (PROJECT / "docs/run.md").read_text().split("in `conftest.py`:\n\n```python\n")[1].split("```")[0]
    )
    (view / "conftest.py").write_text(recipe)
    (view / "test_it.py").write_text("def test_it():\n    assert open('.makfs/with/test').read()\n")
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(view), "-p", "no:cacheprovider"]
    with open(desk.mounted.bob / ".makfs" / "with" / "test", "ab"):
        tests = subprocess.Popen([*command, "test_it.py"], cwd=view, stdout=subprocess.PIPE)
        until(lambda: desk.waiting() == ["alice"])
        assert tests.poll() is None
    out, _ = tests.communicate(timeout=PATIENCE_S)
    assert tests.returncode == 0, out
    for name in ("conftest.py", "test_it.py"):
        (view / name).unlink()
    until(lambda: desk.held() == [])


def test_command_that_is_not_there_is_127(desk: Place) -> None:
    process = start(desk, "alice", "sh", "-c", "absent x; echo $?; env -u PATH /makfs/bin/absent; echo $?")
    out, err = process.communicate(timeout=PATIENCE_S)
    assert out == b"127\n127\n"
    assert err.count(b"The command absent was not found") == 2


def test_turn_that_does_not_come_is_75_and_the_reason_is_told(desk: Place) -> None:
    with open(desk.mounted.bob / ".makfs" / "with" / "hasty", "ab"):
        process = start(desk, "alice", "sh", "-c", "hasty; echo $?; cat .makfs/why")
        out, err = process.communicate(timeout=PATIENCE_S)
    assert out.startswith(b"75\nRefused .makfs/with/hasty: ")
    assert b"bob holds write on resource:hasty" in out
    assert err.count(b"\n") == 1
    assert b"hasty did not get its turn" in err


def test_real_command_has_the_scripts_process_arguments_and_input(desk: Place) -> None:
    process = start(desk, "alice", "sh", "-c", "STARTED=$$; export STARTED; exec look 'a b' '*' ''")
    out, _ = process.communicate(b"typed", timeout=PATIENCE_S)
    assert out == b"['a b', '*', ''] typed True\n"


def test_shims_work_without_the_confinement(desk: Place) -> None:
    with open(desk.mounted.bob / ".makfs" / "with" / "test", "ab"):
        alice = start(desk, "alice", "slow", "alice", options=("--no-confine",))
        until(lambda: desk.waiting() == ["alice"])
    (desk.repo / "go-alice").touch()
    assert ended(alice) == 7


def test_run_holds_its_resource_and_its_own_commands_do_not_wait_for_it(desk: Place) -> None:
    alice = start(desk, "alice", "slow", "alice", options=("--resource", "test"))
    until(lambda: order(desk) == ["alice in"])
    code, _, err = desk.run("true", agent="bob", options=["--resource", "test", "--wait", "0.1"])
    assert (code, err.count("\n")) == (3, 1)
    assert "alice holds write on resource:test" in err
    (desk.repo / "go-alice").touch()
    assert ended(alice) == 7


@pytest.mark.parametrize("ending", ["keeper", "stop"])
def test_resource_of_a_run_is_free_when_it_ends_however_it_does(ending: str, desk: Place) -> None:
    number = desk.detach("sleep", "600", options=["--resource", "test"])
    assert desk.held() == ["alice"]
    if ending == "keeper":
        os.kill(desk.record(number)["keeper"]["pid"], signal.SIGKILL)
    else:
        desk.makfs("stop", str(number))
    until(lambda: desk.held() == [], SOON_S)


def test_release_of_all_claims_leaves_what_an_open_file_holds(desk: Place) -> None:
    alice = desk.mounted.alice
    with open(alice / ".makfs" / "with" / "test", "ab"):
        (alice / ".makfs" / "claim").write_text("write app.py\n")
        (alice / ".makfs" / "release").write_text("all\n")
        assert desk.held() == ["alice"]


def test_folder_of_turns_tells_and_takes_only_what_can_be_a_name(desk: Place) -> None:
    turns = desk.mounted.alice / ".makfs" / "with"
    assert sorted(os.listdir(turns)) == ["hasty", "test"]
    assert (turns / "test").read_text() == ""
    (turns / "test").write_text("taken for nothing")
    (turns / "port:8000").write_text("")
    assert outcome(lambda: os.stat(turns / "no good")) == "ENOENT"
    assert outcome(lambda: os.unlink(turns / "test")) == "EPERM"
    with open(turns / "other", "ab"):
        assert "other" in os.listdir(turns)


def test_next_daemon_knows_that_what_open_files_held_is_free(tmp_path: Path) -> None:
    with place(tmp_path, RESOURCES) as alone:
        holder = open(alone.mounted.alice / ".makfs" / "with" / "test", "ab")  # noqa: SIM115
        alone.mounted.makfs("claim", "alice", "resource:port:80")
        alone.mounted.stop(signal.SIGKILL)
        subprocess.run(["fusermount3", "-uz", str(alone.mounted.mountpoint)], check=False)
        alone.mounted.start()
        assert alone.held() == ["alice"]
        assert "resource:test" not in alone.mounted.makfs("locks")
        alone.mounted.makfs("release", "alice", "--all")
        assert outcome(holder.close) in (None, "ENOTCONN")
