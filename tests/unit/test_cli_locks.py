"""`makfs claim`, `release`, `renew`, `locks`, `why`, `refusals apply`: what they print, what they refuse."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.cli.find import Found, agent_here, repo_address
from makfs.errors import BadName, NotFound
from makfs.wire.place import Mount
from tests.unit.serving import ENVIRONMENT, PATIENCE_S, Serving, serving

HELD = r"write  a\.py::f         until \d\d:\d\d:\d\d \(in 5 min\)"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    with serving(tmp_path) as it:
        yield it


def held(served: Serving) -> set[tuple[str, str, str]]:
    return {(row.agent, row.mode, row.address) for _, row in served.kernel.held}


def test_claim_prints_what_is_held_and_until_when(
    served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("claim", "alice", "a.py::f", "resource:build") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert re.fullmatch(HELD, first), first
    assert second.startswith("write  resource:build  until ")
    assert served.run("claim", "--read", "bob", "b.py", "--lease", "60", "--wait", "0", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["mode"], row["address"], row["lease_ns"]) == ("read", "b.py", 60 * 10**9)
    assert served.kernel.asked == [(None, None), (0.0, 60.0)]


def test_refused_claim_gives_3_and_says_who_holds(
    served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("claim", "alice", "a.py::f") == 0
    before = held(served)
    assert served.run("claim", "bob", "a.py::f", "b.py", "--wait", "0") == 3
    assert capsys.readouterr().err == "makfs: bob was refused write on a.py::f: alice holds it.\n"
    assert held(served) == before, "all or none"


def test_claim_waits_for_its_turn(served: Serving) -> None:
    assert served.run("claim", "alice", "a.py") == 0
    waiter = served.start("claim", "bob", "a.py", "--wait", "60")
    served.wait(served.kernel.queued)
    assert served.run("release", "alice", "--all") == 0
    out, _ = waiter.communicate(timeout=PATIENCE_S)
    assert waiter.returncode == 0
    assert out.startswith("write  a.py  until ")


def test_release_and_renew_take_some_or_all(served: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("claim", "alice", "a.py", "b.py", "c.py") == 0
    capsys.readouterr()
    assert served.run("release", "alice", "b.py") == 0
    assert capsys.readouterr().out == "released write on b.py\n"
    assert served.run("renew", "alice") == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert served.run("renew", "alice", "a.py", "--lease", "9", "--json") == 0
    assert [row["address"] for row in json.loads(capsys.readouterr().out)] == ["a.py"]
    assert served.kernel.asked[-2:] == [(None, None), (None, 9.0)]
    assert served.run("release", "alice", "--all", "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 2
    assert held(served) == set()


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["claim", "carol", "a.py"], 1, "There is no agent carol."),
        (["claim", "alice"], 2, "Missing argument 'ADDRESS...'. See 'makfs claim --help'."),
        (["claim", "alice", "a.py::"], 1, "'a.py::' is not an address: after '::' stands the name of a node"),
        (
            ["claim", "alice", "b.py", "a//b.py"],
            1,
            "'a//b.py' is not an address: a name in its path is empty",
        ),
        (["claim", "alice", "/etc/passwd"], 1, "/etc/passwd is not in the repository {repo}."),
        (
            ["claim", "alice", "a.py", "--lease", "0"],
            2,
            "Invalid value for '--lease': 0.0 is not in the range",
        ),
        (
            ["claim", "alice", "a.py", "--lease", "3e7"],
            2,
            "Invalid value for '--lease': 30000000.0 is not in",
        ),
        (
            ["claim", "alice", "a.py", "--wait", "-1"],
            2,
            "Invalid value for '--wait': -1.0 is not in the range",
        ),
        (
            ["claim", "alice", "a.py", "--wait", "nan"],
            2,
            "Invalid value for '--wait': 'nan' is not a number.",
        ),
        (["claim", "alice", "a.py", "--wait", "x"], 2, "Invalid value for '--wait': 'x' is not a number"),
        (["release", "alice"], 2, "Name addresses, or --all, and not both. See 'makfs release --help'."),
        (["release", "alice", "d.py", "--all"], 2, "Name addresses, or --all, and not both."),
        (["release", "alice", "d.py"], 1, "alice does not hold d.py."),
        (["release", "bob", "--all"], 1, "bob does not hold anything."),
        (["renew", "alice", "d.py"], 1, "alice does not hold d.py."),
        (["renew", "alice", "--lease", "0"], 2, "Invalid value for '--lease': 0.0 is not in the range"),
        (["why"], 1, "{repo} is in no agent's view; name the agent."),
        (["why", "carol"], 1, "There is no agent carol."),
        (["refusals", "apply", "9"], 1, "There is no refusal 9."),
        (["refusals", "apply", "3"], 3, "Refused write 4 to a.py. a.py::f was changed by both sides."),
        (["refusals", "apply", "x"], 2, "Invalid value for 'NUMBER': 'x' is not a whole number."),
        (
            ["agent", "add", "c", "--on-write", "x"],
            1,
            "--on-write 'x' is no policy; accepted: lease, merge, claim.",
        ),
    ],
)
def test_bad_input_gets_one_sentence_and_changes_nothing(
    arguments: list[str], code: int, sentence: str, served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("claim", "alice", "kept.py") == 0
    before = held(served)
    assert served.run(*arguments) == code
    error = capsys.readouterr().err
    assert error.startswith("makfs: " + sentence.format(repo=os.path.realpath(served.repo)))
    assert error.count("\n") == 1
    assert held(served) == before
    assert served.kernel.agents == []


def test_what_was_released_twice_is_said(served: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("claim", "alice", "a.py") == 0
    assert served.run("release", "alice", "a.py") == 0
    assert served.run("release", "alice", "a.py") == 1
    assert capsys.readouterr().err == "makfs: alice does not hold a.py.\n"


def test_locks_prints_the_tree_or_a_sentence(served: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("locks") == 0
    assert capsys.readouterr().out == "Nobody holds or waits for anything.\n"
    assert served.run("locks", "src/") == 0
    assert capsys.readouterr().out == "Nobody holds or waits for src/ or anything below it.\n"
    assert served.run("claim", "alice", "src/a.py::f") == 0
    capsys.readouterr()
    assert served.run("locks") == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == [
        "HOW",
        "src/",
        "a.py",
        "claim",
    ]
    assert served.run("locks", "--json", "src/a.py") == 0
    assert json.loads(capsys.readouterr().out)["grants"][0]["address"] == "src/a.py::f"


def test_why_prints_what_the_view_says(served: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("why", "bob") == 0
    assert capsys.readouterr().out == "No write of bob was refused.\n"


def test_refusal_that_is_applied_is_told_as_a_commit(
    served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("refusals", "apply", "1") == 0
    assert capsys.readouterr().out == "commit 12  a.py  (merged)\n"
    assert served.run("refusals", "apply", "2") == 0
    assert capsys.readouterr().out == "a.py says so already; nothing was committed.\n"
    assert served.run("refusals", "apply", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"path": "a.py", "seq": 12, "merged": True}


def test_agents_are_completed(served: Serving) -> None:
    for name in ("alice", "alan", "bob"):
        assert served.run("agent", "add", name) == 0
    for command in ("claim", "release", "renew", "why", "with --agent"):
        words = f"makfs -C {served.repo} {command} al"
        variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1)}
        completed = subprocess.run(
            [sys.executable, "-P", "-m", "makfs.cli"],
            env={**ENVIRONMENT, **variables, "_MAKFS_COMPLETE": "bash_complete"},
            capture_output=True, text=True,
        )  # fmt: skip
        assert completed.stdout.split() == ["plain,alice", "plain,alan"], command


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    place = Path(os.path.realpath(tmp_path)) / "repo"
    (place / "src" / "deep").mkdir(parents=True)
    (place / ".makfs").mkdir()
    return place


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("src/a.py", "src/a.py"),
        ("a.py::f", "a.py::f"),
        ("src", "src/"),
        ("src/", "src/"),
        ("new/", "new/"),
        ("", ""),
        ("resource:port:8000", "resource:port:8000"),
        ("./a.py::C.m", "src/a.py::C.m"),
        ("./deep", "src/deep/"),
        ("./new/", "src/new/"),
        ("../b.py", "b.py"),
        (".", "src/"),
        ("..", ""),
        ("odd::dir/a.py", "odd::dir/a.py"),
        ("a.py::", "a.py::"),
    ],
)
def test_argument_is_an_address_unless_it_is_a_path_from_here(
    argument: str, address: str, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo / "src")
    assert repo_address(argument, Found(str(repo), str(repo / "src"), None, named=False), ()) == address


def test_path_in_a_view_is_an_address_without_the_view(repo: Path, tmp_path: Path) -> None:
    work = os.path.realpath(tmp_path / "work")
    mount = Mount(work, "/", "fuse.makfs", f"makfs:{repo}")
    here = Found(str(repo), f"{work}/alice/src", mount, named=True)
    assert repo_address(f"{work}/bob/src/a.py::f", here, (mount,)) == "src/a.py::f"
    assert repo_address("./a.py::f", here, (mount,)) == "src/a.py::f"
    with pytest.raises(BadName, match="is not in the repository"):
        repo_address("/etc/passwd", here, (mount,))


def test_agent_is_that_of_the_view_one_is_in(repo: Path) -> None:
    mount = Mount("/mnt/work", "/", "fuse.makfs", f"makfs:{repo}")
    for start in ("/mnt/work/alice", "/mnt/work/alice/src"):
        assert agent_here(Found(str(repo), start, mount, named=False), "x") == "alice"
    bound = Mount("/home/a", "/bob/src", "fuse.makfs", f"makfs:{repo}")
    assert agent_here(Found(str(repo), "/home/a", bound, named=False), "x") == "bob"
    for start, inside in (("/mnt/work", mount), ("/mnt/work/@head/src", mount), (str(repo), None)):
        with pytest.raises(NotFound, match=r"is in no agent's view; name the agent\.$"):
            agent_here(Found(str(repo), start, inside, named=False), "name the agent")
