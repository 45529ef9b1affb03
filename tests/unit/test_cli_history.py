"""`makfs diff`, `blame`, `cat`, `mark` and `node log`: what they ask, and patches to the byte."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.cli.diffing import ends, render_diff
from makfs.cli.paging import pager_of
from makfs.cli.unified import changed, hunks, patch, quoted
from makfs.engine.historyapi import DiffPage, FileDiff, Side
from makfs.ids import RepoPath, Seq
from makfs.store.model import FileKind, LogQuery
from tests.unit.serving import Serving, serving
from tests.unit.small_history import CONTENT


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Serving]:
    """Serve a small kernel."""
    with serving(tmp_path) as each:
        yield each


def a_file(data: bytes | None, mode: int = 0o644) -> Side:
    return Side(FileKind.FILE, mode, data)


def test_cat_puts_the_pieces_of_a_file_together(
    served: Serving, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert served.run("cat", "a/b@c.bin@v1") == 0
    assert capfdbinary.readouterr().out == CONTENT
    asked = served.kernel.past.asked
    assert asked == [("a/b@c.bin", "2", offset) for offset in range(0, len(CONTENT), 100)], (
        "one commit for all"
    )


def test_a_name_with_an_at_sign_is_a_file_if_there_is_one_and_no_such_mark(served: Serving) -> None:
    (served.repo / "x@y").write_bytes(b"")
    (served.repo / "x@v1").write_bytes(b"")
    for argument in ("x@y", "x@v1", "x@v1@head", "x@3"):
        assert served.run("cat", str(served.repo / argument)) == 0
    expected = [("x@y", "3"), ("x", "2"), ("x@v1", "3"), ("x", "3")]
    assert [each for each in served.kernel.past.asked if each[2] == 0] == [(*each, 0) for each in expected]


def test_log_asks_for_what_was_said(served: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--program", "sed", "--since", "1970-01-01T00:00:01+00:00", "--agent", "a", "--json"]
    assert served.run("log", *arguments) == 0
    assert served.kernel.queries == [LogQuery(30, agent="a", program="sed", since_ns=10**9)]  # type: ignore[arg-type]
    assert served.run("log", "--task", "mend") == 0
    assert served.kernel.queries[1:] == [LogQuery(30, task="mend")]
    assert served.run("log", "--address", "a.py::f", "-n", "5") == 0
    assert served.kernel.past.asked == [(LogQuery(5), "a.py::f")]
    assert "No commit matches." in capsys.readouterr().err
    assert served.run("log", "--address", "a", "--path", "a") == 2


def test_agent_task_says_and_is_told_what_an_agent_works_at(
    served: Serving, capsys: pytest.CaptureFixture[str]
) -> None:
    assert served.run("agent", "task", "alice") == 0
    assert served.run("agent", "task", "alice", "mend the tests") == 0
    assert served.run("agent", "task", "alice") == 0
    assert served.run("agent", "task", "alice", "--none") == 0
    assert served.run("agent", "task", "alice") == 0
    assert capsys.readouterr().out == "mend the tests\n"
    assert served.run("agent", "task", "alice", "x", "--none") == 2
    assert served.run("agent", "task", "carol", "x") == 1
    assert capsys.readouterr().err.endswith("makfs: There is no agent carol.\n")


def test_mark_sets_lists_and_deletes(served: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["mark", "m", "2"], ["mark", "-l", "--json"], ["mark", "-d", "v1"]):
        assert served.run(*arguments) == 0
    out = capsys.readouterr().out
    assert out.startswith("m marks commit 2\n")
    assert out.endswith("v1 no longer marks commit 2\n")
    assert served.run("mark") == 0
    assert capsys.readouterr().out.startswith("MARK "), "as git tag"
    for wrong in (["x", "--list"], ["--list", "--delete", "x"], ["x", "1", "2"]):
        assert served.run("mark", *wrong) == 2, wrong
    assert served.run("mark", "--delete", "no") == 1


def test_lists_have_json(served: Serving, capsys: pytest.CaptureFixture[str]) -> None:
    assert served.run("blame", "a.py", "--json") == 0
    assert json.loads(capsys.readouterr().out)["lines"][1] == {
        "number": 2, "seq": 2, "text": {"$bytes": "/w=="},
    }  # fmt: skip
    assert served.run("diff", "2..head", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"old": 2, "new": 3, "files": [], "after": None}
    assert served.run("node", "log", "a.py::f", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []
    assert served.run("node", "log", "a.py::f") == 0
    assert "No commit has changed a.py::f" in capsys.readouterr().err


def test_both_ends_of_a_range() -> None:
    assert [ends(text) for text in ("3..7", "3", "3..", "..7", "..", "v1.0..head")] == [
        ("3", "7"), ("3", "head"), ("3", "head"), ("0", "7"), ("0", "head"), ("v1.0", "head"),
    ]  # fmt: skip


def test_pager_is_chosen_as_git_chooses(tmp_path: Path) -> None:
    assert pager_of({"MAKFS_PAGER": "most -x", "PAGER": "less"}) == "most -x"
    assert pager_of({"PAGER": "less -S"}) == "less -S"
    assert pager_of({"MAKFS_PAGER": "", "PAGER": "less"}) is None
    assert pager_of({"PAGER": "cat"}) is None
    assert pager_of({"PATH": str(tmp_path)}) is None, "no less, no pager"


def test_names_are_quoted_as_git_does() -> None:
    names = ["a b.py", 'q"x', "back\\s", "caf\xe9", "\udcff", "t\tn\n", "\x7f"]
    assert [quoted(name).decode() for name in names] == [
        "a b.py", '"q\\"x"', '"back\\\\s"', '"caf\\303\\251"', '"\\377"', '"t\\tn\\n"', '"\\177"',
    ]  # fmt: skip


def test_a_hostile_text_cannot_colour_the_terminal() -> None:
    file = FileDiff(RepoPath("a\x1b[31m"), None, a_file(b"x\n"), a_file(b"\x1b[2J\xff\n"), ())
    lines = [*render_diff(DiffPage(Seq(0), Seq(1), (file,), None))]
    assert "+\\x1b[2J\\xff" in "".join(str(line) for line in lines)
    assert b"+\x1b[2J\xff" in [*render_diff(DiffPage(Seq(0), Seq(1), (file,), None), exact=True)]


def test_what_is_no_text_or_not_kept_is_said() -> None:
    binary = FileDiff(RepoPath("b"), None, a_file(b"\0"), a_file(b"\0\1"), ())
    large = FileDiff(RepoPath("l"), None, a_file(None), a_file(None), ())
    assert [line.raw for line in patch(binary)][-1] == b"Binary files a/b and b/b differ"
    assert [line.raw for line in patch(large)][-1] == b"Large files a/l and b/l differ"


TEXT = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"def f():\n", b"\n", b"x\r\n"]), max_size=30).map(
    b"".join
)
ENDS = st.sampled_from([b"", b"no end"])


@given(TEXT, ENDS, TEXT, ENDS)
def test_hunks_turn_one_text_into_the_other(old: bytes, old_end: bytes, new: bytes, new_end: bytes) -> None:
    before, after = (old + old_end).splitlines(keepends=True), (new + new_end).splitlines(keepends=True)
    made: list[bytes] = []
    at = 0
    unended = False
    for line in hunks(before, after, changed(before, after)):
        if line.kind == "@":
            start, _, count = line.raw.split()[1][1:].partition(b",")
            first = int(start) - (1 if count != b"0" else 0)
            made += before[at:first]
            at = first
        elif line.kind == "\\":
            unended = True
        elif line.kind in "+ ":
            made.append(line.raw[1:] + b"\n")
        at += line.kind in "- "
    made += before[at:]
    whole = b"".join(made)
    assert whole.rstrip(b"\n") == (new + new_end).rstrip(b"\n") if unended else whole == new + new_end


def test_head_lines_are_gits_own(tmp_path: Path) -> None:
    old, new = b"def f():\n" + b"x\n" * 9 + b"last", b"def f():\n" + b"x\n" * 9 + b"end\n"
    for name, data in (("old", old), ("new", new)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f.py").write_bytes(data)
    done = subprocess.run(
        ["git", "diff", "--no-index", "--no-color", "old/f.py", "new/f.py"],
        cwd=tmp_path, capture_output=True, check=False, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    ours = b"\n".join(
        line.raw for line in patch(FileDiff(RepoPath("f.py"), None, a_file(old), a_file(new), ()))
    )
    theirs = done.stdout.replace(b"a/old/", b"a/").replace(b"b/new/", b"b/")
    assert ours + b"\n" == theirs, "U1"
