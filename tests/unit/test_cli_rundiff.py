"""What a run's commits come to, and what commits did to whole files."""

import click
import pytest

from makfs.cli.rundiff import render
from makfs.cli.wholes import edits_of, with_wholes
from makfs.engine.historyapi import FileDiff, Side
from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import Commit, CommitDetail, FileKind, FileUid, NodeEdit, Revision


def commit(
    *edits: NodeEdit, kind: FileKind = FileKind.FILE, moved: dict[RepoPath, RepoPath] | None = None
) -> CommitDetail:
    paths = tuple(dict.fromkeys(edit.path for edit in edits)) or tuple(moved or ()) or (RepoPath("a.py"),)
    files = tuple(Revision(path, Seq(1), FileUid(1), kind, 0o644, b"h", 3, b"", True) for path in paths)
    who = Commit(Seq(1), AgentId("alice"), 0, "vim", 1, "", paths, (), len(edits))
    return CommitDetail(who, files, edits, moved or {})


def edit(op: str, name: str, before: str | None, after: str | None, uid: int = 0, old: str = "") -> NodeEdit:
    old_text, new_text = (None if text is None else f"def {text}\n".encode() for text in (before, after))
    return NodeEdit(RepoPath("a.py"), op, "func", f"a.py::{name}", NodeUid(uid), old_text, new_text, old)


def lines(*commits: CommitDetail) -> list[str]:
    return [click.unstyle(line) for line in render(commits)]


def test_functions_of_a_new_file_are_one_addition_each_whatever_was_done_to_them_later() -> None:
    made = commit(edit("add", "f", None, "f1"), edit("add", "g", None, "g1"))
    edited = commit(edit("edit", "f", "f1", "f2", uid=7))
    renamed = commit(edit("rename", "h", "f2", "h2", uid=7, old="a.py::f"))
    assert lines(made, edited, renamed) == [
        "a.py", "@@ added func a.py::h @@", "+def h2", "@@ added func a.py::g @@", "+def g1", "",
    ]  # fmt: skip


def test_file_that_was_edited_and_then_removed_is_told_as_it_was_before_the_run() -> None:
    edited = commit(edit("edit", "f", "f1", "f2", uid=7))
    removed = commit(edit("delete", "f", "f2", None), edit("delete", "g", "g1", None), kind=FileKind.ABSENT)
    assert lines(edited, removed) == [
        "a.py", "@@ deleted func a.py::f @@", "-def f1", "@@ deleted func a.py::g @@", "-def g1", "",
    ]  # fmt: skip


def test_file_that_came_and_went_in_one_run_is_not_told() -> None:
    made, removed = commit(edit("add", "f", None, "f1")), commit(edit("delete", "f", "f1", None))
    assert lines(made, removed) == []


def test_file_without_text_to_show_is_told_by_what_became_of_it() -> None:
    moved = commit(moved={RepoPath("b.txt"): RepoPath("a.txt")})
    assert lines(moved) == ["b.txt  (from a.txt)  mode 0644, 3 B"]


def side(data: bytes | None, kind: FileKind = FileKind.FILE) -> Side:
    return Side(kind, 0o644, data)


@pytest.mark.parametrize(
    ("old", "new", "op"),
    [
        (None, side(b"x\n"), "add"),
        (side(b"x\n"), None, "delete"),
        (side(b"x\n"), side(b"y\n"), "edit"),
        (None, side(b""), ""),
        (None, side(None), ""),
        (None, side(b"there", FileKind.SYMLINK), ""),
    ],
)
def test_whole_text_is_one_edit_where_it_can_be_shown(old: Side | None, new: Side | None, op: str) -> None:
    found = [each.op for each in edits_of(FileDiff(RepoPath("a.txt"), None, old, new, ()))]
    assert found == ([op] if op else [])


def test_edits_of_whole_files_come_after_those_of_the_journal() -> None:
    known, more = edit("edit", "f", "f1", "f2", uid=7), edit("add", "g", None, "g1")
    detail = commit(known)
    assert with_wholes(detail, {}) is detail
    file = FileDiff(RepoPath("b.py"), None, None, side(b"def g1\n"), (more,))
    assert with_wholes(detail, {"b.py": file}).edits == (known, more)
