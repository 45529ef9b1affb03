"""G1, G2, G3, M1, O1, N1, T1, T2, Y1: the exported log, with git itself as the judge."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from makfs.errors import Busy, NotFound
from makfs.gitlog import objects
from makfs.gitlog.export import Exported, export
from makfs.gitlog.program import GitFailed
from makfs.ids import AgentId, Seq
from makfs.store.model import FileState
from makfs.store.replay import Replay
from tests.unit.gitlog_makers import ABSENT, FOLDER, Repository, as_git, link, repository, text
from tests.unit.store_makers import BOB, LARGE_BYTES


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with repository(tmp_path / "repo") as made:
        yield made


def run(repo: Repository, upto: int | None = None) -> Exported:
    done = export(str(repo.top), None if upto is None else Seq(upto))
    repo.git("fsck", "--strict", "--full")
    return done


Step = dict[str, FileState]
STORY: list[Step] = [
    {"app.py": text(b"def f(): pass\n")},
    {"empty": text(b""), "tool": text(b"#!/bin/sh\n", 0o755)},
    {"lib": FOLDER, "lib/a.py": text(b"a\n"), "lib/deep": FOLDER, "lib/deep/b.py": text(b"b\n")},
    {"now": link("app.py"), "odd\udcff\n.py": text(b"odd\n"), 'sp ace"\\': text(b"q\n"), "é": text(b"e\n")},
    {"tool": text(b"#!/bin/sh\n", 0o644)},
    {"lib/a.py": ABSENT, "core.py": text(b"a\n")},
    {"lib/deep/b.py": ABSENT, "lib/deep": ABSENT},
    {"lib": ABSENT},
    {"lib": text(b"a file now\n")},
    {"now": text(b"no link\n")},
    {"app.py": text(b"def f(): return 1\n"), "app": FOLDER, "app/x": text(b"x\n"), "app.txt": text(b"t\n")},
    {"app.py": ABSENT},
]


def play(repo: Repository, steps: list[Step], states: Step) -> list[dict[str, tuple[str, bytes]]]:
    """Commit steps; return what git should see after each."""
    wanted = []
    for step in steps:
        repo.commit(step)
        states.update(step)
        wanted.append(as_git(states))
    return wanted


def test_trees_are_what_the_journal_says(repo: Repository) -> None:
    """G1: folders, modes, links, empty files, odd names, a file where a folder was; T2."""
    repo.was("lib.txt", text(b"unrecorded\n"))
    states = {"lib.txt": text(b"unrecorded\n")}
    wanted = [as_git(states), *play(repo, STORY, states)]
    done = run(repo)
    commits = repo.exported()
    assert (done.commits, done.upto, done.tip) == (len(STORY), len(STORY), commits[-1])
    assert [repo.tree(each) for each in commits] == wanted


def test_second_export_only_adds(repo: Repository) -> None:
    """G2: in many small exports as in one."""
    states: Step = {}
    wanted = [{}, *play(repo, STORY, states)]
    for upto in (1, 1, 3, 4, 7, 8, 9):
        before = repo.exported() if upto > 1 else []
        run(repo, upto)
        assert repo.exported()[: len(before)] == before
    assert run(repo).commits == len(STORY) - 9
    one_by_one = repo.exported()
    assert [repo.tree(each) for each in one_by_one] == wanted
    assert run(repo) == Exported(0, Seq(len(STORY)), one_by_one[-1])
    repo.git("update-ref", "-d", "refs/makfs/log")
    run(repo)
    assert repo.exported() == one_by_one, "the same journal gives the same commits"


def test_files_that_no_commit_records_have_a_commit_of_their_own_when_they_change(repo: Repository) -> None:
    """G1: nobody is named for what makfs did not see."""
    repo.was("notes", text(b"one\n"))
    repo.commit({"a": text(b"1\n")})
    run(repo)
    (repo.top / "notes").write_bytes(b"two\n")
    repo.commit({"a": text(b"2\n")}, agent=BOB)
    done = run(repo)
    assert done.commits == 1
    base, second = repo.exported()[-2:]
    assert repo.tree(base) == {"notes": ("100644", b"two\n"), "a": ("100644", b"1\n")}
    assert repo.git("log", "-1", "--format=%an %s", base).decode().startswith("makfs makfs: files that no")
    assert repo.git("log", "-1", "--format=%an", second) == b"bob\n"


def test_unseen_edit_of_a_file_that_is_committed_later_is_nobodys(repo: Repository) -> None:
    """G1: the origin is not what was exported of the file before."""
    repo.was("old", text(b"1\n"))
    repo.commit({"a": text(b"1\n")})
    run(repo)
    repo.was("old", text(b"2\n"))
    repo.commit({"a": text(b"2\n")})
    repo.commit({"old": text(b"3\n")}, agent=BOB)
    run(repo)
    assert [repo.tree(each)["old"][1] for each in repo.exported()[1:]] == [b"1\n", b"2\n", b"2\n", b"3\n"]
    authors = repo.git("log", "--reverse", "--format=%an", "refs/makfs/log", "--", "old").decode().split()
    assert authors == ["makfs", "makfs", "bob"]


def test_file_that_no_commit_records_is_there_as_long_as_its_folder(repo: Repository) -> None:
    """T1: the folder was made, was away, and came back."""
    repo.commit({"lib": FOLDER})
    repo.commit({"lib": ABSENT})
    repo.commit({"lib": text(b"a file\n")})
    repo.commit({"lib": FOLDER})
    repo.put("lib/x", text(b"x\n"))
    run(repo)
    assert [set(repo.tree(each)) for each in repo.exported()] == [set(), {"lib/x"}, set(), {"lib"}, {"lib/x"}]


def test_first_commit_of_a_file_keeps_what_it_was_before(repo: Repository) -> None:
    """G1: seq 0 has the origin, not what the file says now."""
    repo.was("old", text(b"before\n"))
    repo.commit({"a": text(b"1\n")})
    repo.commit({"old": text(b"after\n")})
    run(repo)
    assert [repo.tree(each)["old"][1] for each in repo.exported()] == [b"before\n", b"before\n", b"after\n"]


def test_ignored_files_are_left_out_unless_git_tracks_them(repo: Repository) -> None:
    repo.was(".gitignore", text(b"*.log\n/build/\n"))
    repo.was("forced.log", text(b"tracked\n"))
    repo.was("other.log", text(b"not\n"))
    repo.put("build", FOLDER)
    repo.put("build/x", text(b"x\n"))
    repo.git("add", "-f", "forced.log")
    repo.commit({"a": text(b"1\n"), "recorded.log": text(b"by mistake\n")})
    run(repo)
    assert set(repo.tree("refs/makfs/log")) == {".gitignore", "forced.log", "a"}


def test_path_behind_a_link_that_was_a_folder(repo: Repository) -> None:
    """T1: and git refuses to be asked about what is behind a link."""
    repo.commit({"lib": FOLDER, "lib/a": text(b"a\n")})
    repo.commit({"lib/a": ABSENT, "core": FOLDER, "core/a": text(b"a\n")})
    (repo.top / "lib").rmdir()
    repo.commit({"lib": link("core")})
    run(repo)
    trees = [repo.tree(each) for each in repo.exported()]
    assert [set(each) for each in trees] == [set(), {"lib/a"}, {"core/a"}, {"core/a", "lib"}]


def test_submodules_stay_what_they_are(repo: Repository, tmp_path: Path) -> None:
    with repository(tmp_path / "other") as other:
        other.put("x", text(b"x\n"))
        other.git("add", "x")
        other.git("commit", "-qm", "x")
        repo.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other.top), "sub")
        head = other.git("rev-parse", "HEAD").strip()
    repo.commit({"a": text(b"1\n")})
    run(repo)
    assert repo.tree("refs/makfs/log")["sub"] == ("160000", head)


def test_large_files_are_told_of(repo: Repository) -> None:
    """N1: the bytes while they are the same, else a placeholder; either is said."""
    old, new = b"o" * (LARGE_BYTES + 1), b"n" * (LARGE_BYTES + 2)
    repo.commit({"big": text(old, kept=False)})
    repo.commit({"big": text(new, kept=False)})
    (repo.top / "big").write_bytes(new)
    run(repo)
    first, second = repo.exported()[1:]
    assert repo.tree(second)["big"][1] == new
    assert b"did not keep" in repo.tree(first)["big"][1]
    told = (
        repo.git("log", "--format=%(trailers:key=Makfs-Large,valueonly)", "refs/makfs/log")
        .decode()
        .split("\n")
    )
    assert [each for each in told if each] == [
        f"big ({len(new)} bytes): bytes taken from the repository, where they are still the same",
        f"big ({len(old)} bytes): a placeholder; the journal has only its hash",
    ]


def test_messages_and_people(repo: Repository) -> None:
    """M1"""
    names = tuple(f"f{number}" for number in range(25))
    repo.commit({"app.py": text(b"1\n")}, names=("f", "K.m"))
    repo.commit({"app.py": text(b"2\n")}, agent=BOB, names=names, program="x\nMakfs-Agent: eve")
    moved = {"app.py": ABSENT, "b.py": text(b"2\n")}
    repo.commit(moved, note="rename app.py -> b.py", names=(), task="tidy up: names")
    repo.commit({"dir": FOLDER, "new\n\nMakfs-Seq: 99": link("x")})
    run(repo)
    assert repo.git("log", "--reverse", "--format=%s", "refs/makfs/log").decode().splitlines() == [
        "makfs: the tree before commit 1 (0 files)",
        "alice: app.py::f, app.py::K.m (2 nodes)",
        "bob: app.py::f0, app.py::f1, app.py::f2, app.py::f3, ... (25 nodes)",
        "alice: rename app.py -> b.py",
        "alice: dir, new\\n\\nMakfs-Seq: 99 (2 paths)",
    ]
    shown = "%an|%ae|%cn|%at|%(trailers:key=Makfs-Seq,valueonly,separator=;)"
    shown += (
        "|%(trailers:key=Makfs-Agent,valueonly,separator=;)|%(trailers:key=Makfs-Pid,valueonly,separator=;)"
    )
    assert repo.git("log", "--reverse", f"--format={shown}", "refs/makfs/log").decode().splitlines()[1:] == [
        "alice|alice@makfs|alice|1700000000|1|alice|4242",
        "bob|bob@makfs|bob|1700000001|2|bob|4242",
        "alice|alice@makfs|alice|1700000002|3|alice|4242",
        "alice|alice@makfs|alice|1700000003|4|alice|4242",
    ]
    body = repo.git("log", "-1", "--format=%b", "refs/makfs/log~2").decode().splitlines()
    assert [line for line in body if line.startswith("Makfs-Nodes")][-2:] == [
        "Makfs-Nodes: app.py::f19",
        "Makfs-Nodes: and 5 more",
    ]
    assert "Makfs-Program: x\\nMakfs-Agent: eve" in body
    tasks = repo.git("log", "--reverse", "--format=%(trailers:key=Makfs-Task,valueonly)", "refs/makfs/log")
    assert tasks.split(b"\n") == [b"", b"", b"", b"tidy up: names", b"", b"", b""]


def test_blame_of_the_log_names_agents(repo: Repository) -> None:
    repo.was("a", text(b"1\n2\n3\n"))
    repo.commit({"a": text(b"1\ntwo\n3\n")}, agent=BOB)
    repo.commit({"a": text(b"1\ntwo\nthree\n")})
    run(repo)
    blamed = repo.git("blame", "--porcelain", "refs/makfs/log", "--", "a").decode()
    assert [line[7:] for line in blamed.splitlines() if line.startswith("author ")] == [
        "makfs",
        "bob",
        "alice",
    ]


def test_interrupted_export_leaves_a_whole_history(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """O1: at every place where it may end."""
    play(repo, STORY, {})
    monkeypatch.setattr(objects, "_ENOUGH", 6)
    whole = objects._write
    calls = 0

    def fails(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(objects, "_write", fails)
    with pytest.raises(KeyboardInterrupt):
        export(str(repo.top))
    repo.git("fsck", "--strict", "--full")
    part = repo.exported()
    assert 1 < len(part) < len(STORY)
    run(repo)
    assert repo.exported()[: len(part)] == part
    assert len(repo.exported()) == len(STORY) + 1


def test_export_killed_anywhere_leaves_a_whole_history(repo: Repository) -> None:
    """O1: SIGKILL, at times of its own choosing."""
    for number in range(300):
        repo.commit({f"f{number % 7}": text(b"%d\n" % number)})
    code = (
        "import sys; from makfs.gitlog import objects; from makfs.gitlog.export import export;"
        "objects._ENOUGH = 20; print(1, flush=True); export(sys.argv[1])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    for patience_s in (0.0, 0.02, 0.05):
        with subprocess.Popen(
            [sys.executable, "-P", "-c", code, str(repo.top)], stdout=subprocess.PIPE, env=environment
        ) as child:
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(patience_s)
            child.kill()
        repo.git("fsck", "--strict", "--full")
    for lock in (repo.top / ".git/refs/makfs").glob("*.lock"):
        lock.unlink()
    run(repo)
    assert len(repo.exported()) == 301


def test_log_of_another_journal_is_not_continued(repo: Repository, tmp_path: Path) -> None:
    """G3"""
    repo.commit({"a": text(b"1\n")})
    run(repo)
    with repository(tmp_path / "other") as other:
        other.commit({"b": text(b"1\n")}, agent=BOB)
        other.commit({"b": text(b"2\n")}, agent=BOB)
        other.git("fetch", "-q", str(repo.top), "refs/makfs/log:refs/makfs/log")
        with pytest.raises(Busy, match="another journal"):
            export(str(other.top))
        tree = other.git("write-tree").decode().strip()
        mine = other.git("commit-tree", tree, "-m", "mine").decode().strip()
        other.git("update-ref", "refs/makfs/log", mine)
        with pytest.raises(GitFailed, match="not a log that makfs wrote"):
            export(str(other.top))


def test_two_exports_at_once_do_not_mix(repo: Repository) -> None:
    repo.commit({"a": text(b"1\n")})
    run(repo)
    repo.commit({"a": text(b"2\n")})
    lock = repo.top / ".git/refs/makfs/log.lock"
    lock.touch()
    with pytest.raises(Busy, match=r"log\.lock is there"):
        export(str(repo.top))
    lock.unlink()
    assert run(repo).commits == 1


def test_export_works_where_refs_and_objects_are_packed(repo: Repository) -> None:
    play(repo, STORY[:4], {})
    run(repo)
    repo.git("gc", "-q", "--prune=now")
    for step in STORY[4:]:
        repo.commit(step)
    assert run(repo).commits == len(STORY) - 4


def test_empty_journal_and_missing_repository(repo: Repository, tmp_path: Path) -> None:
    assert run(repo) == Exported(0, Seq(0), "")
    with pytest.raises(NotFound, match="git init"):
        export(str(tmp_path))
    (tmp_path / ".git").mkdir()
    with pytest.raises(NotFound, match="ever mounted"):
        export(str(tmp_path))


def test_store_is_read_beside_its_writer(repo: Repository) -> None:
    """Y1: also while the log of the store is full, and when nobody holds the store."""
    repo.commit({"a": text(b"1\n")})
    with Replay(repo.top / ".makfs") as replay:
        assert replay.head == 1
        repo.commit({"a": text(b"2\n")}, agent=AgentId("carol"))
        assert [step.commit.agent for step in replay.steps(Seq(0), replay.head)] == ["alice", "carol"]
        repo.store.close()
        assert replay.head == 2
    with Replay(repo.top / ".makfs") as replay:
        assert [replay.text(each) for each in replay.states("a")[:2]] == [b"2\n", b"1\n"]  # type: ignore[arg-type]
