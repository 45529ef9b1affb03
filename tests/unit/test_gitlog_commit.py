"""D1, H1, H2, Q1: ordinary commits of what the journal changed, made and judged by git."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from makfs.errors import Busy, NotFound
from makfs.gitlog.committing import commit
from makfs.gitlog.program import GitFailed
from makfs.ids import EXTERNAL
from tests.unit.gitlog_makers import ABSENT, FOLDER, IDENTITY, Repository, link, repository, text
from tests.unit.store_makers import ALICE, BOB


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Repository]:
    """Make a repository with a first commit of `a`, `b` and `old`, of which the journal knows nothing."""
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Repository, "git", _git)
    with repository(tmp_path / "repo") as made:
        for name in ("a", "b", "old"):
            made.was(name, text(b"1\n2\n3\n"))
        made.git("add", ".")
        made.git("commit", "-qm", "first")
        monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "no-index"))  # Q1
        monkeypatch.setenv("GIT_DIR", str(tmp_path / "no-repository"))
        yield made
        assert not any(tmp_path.glob("no-*")), "Q1"


def _git(repo: Repository, *arguments: str, stdin: bytes = b"") -> bytes:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GIT_INDEX_FILE", "GIT_DIR")
    }
    done = subprocess.run(
        ["git", "-C", repo.top, *arguments], input=stdin, capture_output=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(
    repo: Repository, *paths: str, agents: Sequence[str] = (), per_agent: bool = False, message: str = "Work"
) -> int:
    made = commit(str(repo.top), message, paths, agents, per_agent=per_agent)
    repo.git("fsck", "--strict")
    assert not list((repo.top / ".git").glob("makfs-*"))
    return made


def status(repo: Repository) -> list[str]:
    return repo.git("status", "--porcelain").decode().splitlines()


def log(repo: Repository, what: str = "%an: %s") -> list[str]:
    return repo.git("log", "--reverse", f"--format={what}").decode().splitlines()


def authors(repo: Repository, path: str) -> list[str]:
    blamed = repo.git("blame", "--porcelain", "-C", "-C", "HEAD", "--", path).decode().splitlines()
    names: dict[str, str] = {}
    lines = []
    sha = ""
    for line in blamed:
        if line.startswith("\t"):
            lines.append(names[sha])
        elif line.startswith("author "):
            names[sha] = line[7:]
        elif len(line.split(" ")[0]) == 40:
            sha = line.split(" ")[0]
    return lines


def test_one_commit_has_what_agents_changed_and_names_them(repo: Repository) -> None:
    """H1: an edit, a new file, a deletion, a link, a mode; what is staged otherwise stays so."""
    repo.put("mine", text(b"staged\n"))
    repo.put("b", text(b"mine, not staged\n"))
    repo.git("add", "mine")
    repo.commit({"a": text(b"1\n2\nthree\n"), "lib": FOLDER, "lib/new\udcff": text(b"n\n", 0o755)})
    repo.commit({"old": ABSENT, "now": link("a")}, agent=BOB)
    repo.commit({"a": text(b"1\ntwo\nthree\n")}, agent=EXTERNAL)
    assert run(repo) == 1
    assert sorted(status(repo)) == [" M b", "A  mine"]
    body = repo.git("log", "-1", "--format=%an <%ae>%n%B").decode().splitlines()
    assert [line for line in body if line] == [
        "Pat <pat@example.org>",
        "Work",
        "Co-authored-by: alice <alice@makfs>",
        "Co-authored-by: bob <bob@makfs>",
    ]
    tree = repo.tree("HEAD")
    assert tree["lib/new\udcff"] == ("100755", b"n\n")
    assert tree["now"] == ("120000", b"a")
    assert "old" not in tree
    assert "mine" not in tree


def test_only_the_paths_and_agents_asked_for(repo: Repository) -> None:
    repo.commit({"a": text(b"A\n"), "lib": FOLDER, "lib/x": text(b"x\n"), "lib/y": text(b"y\n")})
    repo.commit({"b": text(b"B\n")}, agent=BOB)
    run(repo, agents=["bob"])
    assert repo.tree("HEAD")["b"] == ("100644", b"B\n")
    assert repo.tree("HEAD")["a"] == ("100644", b"1\n2\n3\n")
    run(repo, "lib")
    assert set(repo.tree("HEAD")) == {"a", "b", "old", "lib/x", "lib/y"}
    assert status(repo) == [" M a"]
    with pytest.raises(NotFound, match="Nothing to commit"):
        run(repo, agents=["bob"])
    run(repo, "")
    assert status(repo) == []


def test_base_is_what_head_has_whoever_committed_it(repo: Repository) -> None:
    """D1: bob's part was committed by hand; only alice is named for what came after."""
    repo.commit({"a": text(b"bob\n")}, agent=BOB)
    repo.git("commit", "-qam", "by hand")
    repo.commit({"a": text(b"alice\n")})
    run(repo)
    assert "Co-authored-by: alice" in log(repo, "%b")[-2]
    assert "bob" not in repo.git("log", "-1", "--format=%B").decode()


def test_edits_that_no_commit_records_are_not_committed(repo: Repository) -> None:
    repo.commit({"a": text(b"A\n")})
    run(repo)
    repo.put("a", text(b"unseen\n"))
    with pytest.raises(NotFound):
        run(repo)


def test_first_commit_of_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in IDENTITY.items():
        monkeypatch.setenv(name, value)
    for per_agent in (False, True):
        with repository(tmp_path / f"repo{per_agent}") as repo:
            repo.put("mine", text(b"m\n"))
            repo.commit({"a": text(b"A\n")})
            repo.commit({"b": text(b"B\n")}, agent=BOB)
            assert run(repo, per_agent=per_agent) == 1 + per_agent
            assert set(repo.tree("HEAD")) == {"a", "b"}
            assert status(repo) == ["?? mine"]


def test_hooks_run_and_a_failing_one_leaves_the_index_alone(repo: Repository) -> None:
    """H1"""
    repo.commit({"a": text(b"A\n"), "new": text(b"n\n")})
    before = repo.git("ls-files", "--stage")
    hook = repo.top / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\ngit diff --cached --name-only > hooked\nexit 1\n")
    hook.chmod(0o755)
    for per_agent in (False, True):
        with pytest.raises(GitFailed, match="git commit failed"):
            run(repo, per_agent=per_agent)
        assert repo.git("ls-files", "--stage") == before
        assert (repo.top / "hooked").read_text() == "a\nnew\n"
    (repo.top / "hooked").unlink()
    hook.unlink()
    message = repo.top / ".git/hooks/commit-msg"
    message.write_text('#!/bin/sh\necho "Signed-off-by: hook" >> "$1"\n')
    message.chmod(0o755)
    run(repo)
    assert "Signed-off-by: hook" in repo.git("log", "-1", "--format=%B").decode()


def test_busy_index_is_respected(repo: Repository) -> None:
    repo.commit({"a": text(b"A\n")})
    (repo.top / ".git/index.lock").touch()
    with pytest.raises(GitFailed):
        run(repo)
    with pytest.raises(Busy, match=r"index\.lock"):
        run(repo, per_agent=True)
    assert log(repo) == ["Pat: first"]


def test_merge_under_way_is_not_finished_by_us(repo: Repository) -> None:
    repo.git("checkout", "-qb", "other")
    repo.put("old", text(b"other\n"))
    repo.git("commit", "-qam", "other")
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "--no-commit", "other")
    repo.commit({"a": text(b"A\n")})
    for per_agent in (False, True):
        with pytest.raises((Busy, GitFailed)):
            run(repo, per_agent=per_agent)


def test_per_agent_makes_one_commit_for_each_where_it_can(repo: Repository) -> None:
    """H2"""
    repo.commit({"a": text(b"1\n2\nthree\n")})
    repo.commit({"b": text(b"one\n2\n3\n")}, agent=BOB)
    repo.commit({"a": text(b"1\ntwo\nthree\n")})
    repo.commit({"b": text(b"one\n2\nthree\n"), "new": text(b"n\n")}, agent=BOB)
    assert run(repo, per_agent=True) == 2
    assert log(repo) == ["Pat: first", "alice: Work", "bob: Work"]
    assert log(repo, "%cn %at")[1:] == ["Pat 1700000002", "Pat 1700000003"]
    assert authors(repo, "a") == ["Pat", "alice", "alice"]
    assert authors(repo, "b") == ["bob", "Pat", "bob"]
    assert status(repo) == []


def test_per_agent_takes_turns_where_they_did(repo: Repository) -> None:
    """H2: no change is taken past another's in one file; external edits are the user's own."""
    repo.commit({"a": text(b"one\n2\n3\n")})
    repo.commit({"a": text(b"one\ntwo\n3\n")}, agent=BOB)
    repo.commit({"a": text(b"one\ntwo\nthree\n"), "new": text(b"n\n")})
    repo.commit({"a": text(b"one\ntwo\nthree\n4\n")}, agent=EXTERNAL)
    run(repo, per_agent=True)
    assert log(repo) == ["Pat: first", "alice: Work", "bob: Work", "alice: Work", "Pat: Work"]
    assert authors(repo, "a") == ["alice", "bob", "alice", "Pat"]
    assert status(repo) == []


def test_per_agent_follows_a_file_through_moves(repo: Repository) -> None:
    """H2: what one agent wrote stays its own when another moves the file on, and on."""
    repo.commit({"a": text(b"1\ntwo by alice\n3\n")})
    content = text(b"1\ntwo by alice\nthree by bob\n")
    repo.commit({"a": ABSENT, "mid": content}, agent=BOB, moved={"mid": "a"})
    repo.commit({"mid": ABSENT, "end": content}, moved={"end": "mid"})
    assert run(repo, per_agent=True) == 3
    assert log(repo) == ["Pat: first", "alice: Work", "bob: Work", "alice: Work"]
    assert authors(repo, "end") == ["Pat", "alice", "bob"]
    assert status(repo) == []


def test_per_agent_follows_a_file_through_many_moves(repo: Repository) -> None:
    """H2: also from a place to a place of which neither HEAD nor the disk knows."""
    content = text(b"1\ntwo by alice\n3\n")
    repo.commit({"a": content})
    for turn, (old, new) in enumerate(pairwise(["a", "m1", "m2", "m3", "end"])):
        repo.commit({old: ABSENT, new: content}, agent=(BOB, ALICE)[turn % 2], moved={new: old})
    repo.commit({"end": text(b"1\ntwo by alice\n3 by bob\n")}, agent=BOB)
    run(repo, per_agent=True)
    assert log(repo) == ["Pat: first", *["alice: Work", "bob: Work"] * 3]
    assert authors(repo, "end") == ["Pat", "alice", "bob"]
    assert set(repo.tree("HEAD")) == {"end", "b", "old"}


def test_per_agent_leaves_a_history_of_moves_that_git_has_alone(repo: Repository) -> None:
    repo.commit(
        {"a": ABSENT, "x": text(b"1\n2\n3\n"), "b": ABSENT, "y": text(b"1\n2\n3\n")},
        moved={"x": "a", "y": "b"},
    )
    run(repo, "x", "a")
    repo.commit({"x": text(b"1\n2\nthree\n")}, agent=BOB)
    run(repo, per_agent=True)
    assert log(repo) == ["Pat: first", "Pat: Work", "alice: Work", "bob: Work"]
    assert repo.git("show", "--name-status", "--no-renames", "--format=", "HEAD~1").decode().split() == [
        "D",
        "b",
        "A",
        "y",
    ]
    assert status(repo) == []


def test_per_agent_says_first_what_no_agent_did(repo: Repository) -> None:
    """D1, H2: the file was not what HEAD has when the journal first met it."""
    repo.was("a", text(b"mine\n"))
    repo.commit({"a": text(b"mine\nand alice's\n")})
    run(repo, per_agent=True)
    assert log(repo) == ["Pat: first", "Pat: Work", "alice: Work"]
    assert authors(repo, "a") == ["Pat", "alice"]


def test_per_agent_obeys_line_ends(repo: Repository) -> None:
    repo.git("config", "core.autocrlf", "true")
    repo.commit({"a": text(b"1\r\ntwo\r\n")})
    run(repo, per_agent=True)
    assert repo.tree("HEAD")["a"] == ("100644", b"1\ntwo\n")
    assert status(repo) == []
