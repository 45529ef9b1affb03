"""What `makfs log`, `show`, `refusals`, `nodes` and `status` look like: golden texts."""

import datetime as dt
from collections.abc import Iterable

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.cli.logview import render_log
from makfs.cli.nodes import render_nodes
from makfs.cli.showview import diff_lines, render_commit, render_refusal, render_refusals
from makfs.cli.status import render_status
from makfs.cli.text import columns
from makfs.engine.api import AgentStatus, KernelStatus, NodeRow
from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import Commit, CommitDetail, FileKind, FileUid, NodeEdit, Refusal, Revision

NOON_NS = 1_795_170_000_123_456_789  # 2026-11-20 10:20:00.123 UTC


def commit(
    seq: int,
    ago_s: int,
    agent: str,
    program: str,
    pid: int,
    paths: list[str],
    addresses: list[str],
    nodes: int | None = None,
    note: str = "",
) -> Commit:
    return Commit(
        Seq(seq),
        AgentId(agent),
        NOON_NS - ago_s * 10**9,
        program,
        pid,
        note,
        tuple(RepoPath(path) for path in paths),
        tuple(addresses),
        len(addresses) if nodes is None else nodes,
    )


HOSTILE = "tests/x\x1b[31mred\udcff\u202e.py"
COMMITS = [
    commit(
        1207, 0, "alice", "claude", 48211, ["django/http/request.py"],
        ["django/http/request.py::HttpRequest.get_host"],
    ),
    commit(
        1206, 1, "bob", "codex", 48302, ["django/db/models/query.py"],
        [f"django/db/models/query.py::{name}" for name in ("QuerySet.get", "QuerySet.first", "#imports")],
    ),
    commit(1205, 3, "alice", "sed", 48290, ["django/a.py", "django/b.py", "c.py"], ["django/a.py::f"], 7),
    commit(1204, 20, "external", "", 0, ["README.rst"], ["README.rst"], 1, "external edit"),
    commit(1203, 40, "carol-the-careful", "node", 51234, ["d1", "d2"], [], 0, "rename d1 -> d2"),
    commit(
        9, 80_000, "bob", "a-very-long-name", 4194304, [HOSTILE],
        [f"{HOSTILE}::Test.test_a_long_name_of_a_test"],
    ),
    commit(8, 80_001, "bob", "git", 4, ["docs"], [], 0, "mkdir docs"),
]  # fmt: skip

LOG_80 = """\
Friday, 20 November 2026
1207  10:20:00  alice       claude 48211    …/request.py::HttpRequest.get_host
1206  10:19:59  bob         codex 48302     …/query.py::QuerySet.get  +2 nodes
1205  10:19:57  alice       sed 48290       django/a.py::f  +2 files
1204  10:19:40  external    -               README.rst  (external edit)
1203  10:19:20  carol-the…  node 51234      rename d1 -> d2

Thursday, 19 November 2026
   9  12:06:40  bob         a-ver… 4194304  …py::Test.test_a_long_name_of_a_test
   8  12:06:39  bob         git 4           mkdir docs
"""

LOG_WHOLE = """\
Friday, 20 November 2026
1207  10:20:00  alice              claude 48211              django/http/request.py::HttpRequest.get_host
1206  10:19:59  bob                codex 48302               django/db/models/query.py::QuerySet.get  +2 nodes
1205  10:19:57  alice              sed 48290                 django/a.py::f  +2 files
1204  10:19:40  external           -                         README.rst  (external edit)
1203  10:19:20  carol-the-careful  node 51234                rename d1 -> d2

Thursday, 19 November 2026
   9  12:06:40  bob                a-very-long-name 4194304  tests/x\\x1b[31mred\\xff\\u202e.py::Test.test_a_long_name_of_a_test
   8  12:06:39  bob                git 4                     mkdir docs
"""  # noqa: E501


def plain(lines: Iterable[str]) -> str:
    return "".join(f"{click.unstyle(line)}\n" for line in lines)


def test_log_is_aligned_and_fits_80_columns() -> None:
    assert plain(render_log(COMMITS, 80, dt.UTC)) == LOG_80
    assert max(columns(line) for line in LOG_80.splitlines()) <= 80


def test_log_for_programs_cuts_nothing() -> None:
    assert plain(render_log(COMMITS, None, dt.UTC)) == LOG_WHOLE


def test_next_page_of_the_log_does_not_repeat_the_day() -> None:
    assert plain(render_log(COMMITS[:1], 80, dt.UTC, day="Friday, 20 November 2026")).startswith("1207")


def test_log_is_coloured_the_same_for_the_same_agent() -> None:
    lines = list(render_log(COMMITS, 80, dt.UTC))
    assert lines[1] != click.unstyle(lines[1])
    assert (
        len({line[line.index("alice") - 6 : line.index("alice")] for line in lines if "alice" in line}) == 1
    )


names = st.text(max_size=30) | st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


commits_of_anything = st.lists(
    st.builds(
        commit,
        seq=st.integers(1, 10**6),
        ago_s=st.integers(0, 10**6),
        agent=names,
        program=names,
        pid=st.integers(0, 4194304),
        paths=st.lists(names, max_size=3),
        addresses=st.lists(names, max_size=3),
        note=names,
    ),
    max_size=5,
)


@given(commits_of_anything, st.integers(72, 200))
def test_no_name_breaks_a_line_or_moves_the_cursor_or_is_too_wide(commits: list[Commit], width: int) -> None:
    lines = [click.unstyle(line) for line in render_log(commits, width, dt.UTC)]
    assert all(columns(line) <= width for line in lines), "T2"
    assert all(line.isprintable() for line in lines), "T1"
    entries = [line for line in lines if line and line[0] in " 0123456789"]
    assert len(entries) == len(commits)


def revision(path: str, kind: FileKind = FileKind.FILE, mode: int = 0o644, target: bytes = b"") -> Revision:
    return Revision(RepoPath(path), Seq(1207), FileUid(1), kind, mode, b"", 120, target, True)


def edit(
    op: str, kind: str, address: str, before: bytes | None, after: bytes | None, old: str = ""
) -> NodeEdit:
    return NodeEdit(
        RepoPath(address.split("::", maxsplit=1)[0]), op, kind, address, NodeUid(1), before, after, old
    )


DETAIL = CommitDetail(
    commit(
        1207, 0, "alice", "claude", 48211, ["a.py", "b.py", "gone.py", "link", "data.bin"], ["a.py::f"], 5
    ),
    (
        revision("a.py"),
        revision("b.py"),
        revision("gone.py", FileKind.ABSENT),
        revision("link", FileKind.SYMLINK, target=b"to\xff"),
        revision("run.sh", mode=0o755),
    ),
    (
        edit("edit", "func", "a.py::f", b"def f():\n    return 1\n", b"def f():\n    return 2\n"),
        edit("add", "method", "a.py::C.g", None, b"    def g(self):\n        pass"),
        edit("rename", "func", "a.py::new", b"def old():\n    x\n", b"def new():\n    x\n", "a.py::old"),
        edit("move", "func", "b.py::h", b"def h(): ...\n", b"def h(): ...\n"),
        edit("edit", "opaque", "b.py", b"\0\1", b"\0\1\2"),
    ),
    {RepoPath("b.py"): RepoPath("was/b.py")},
    frozenset({RepoPath("a.py")}),
)

SHOW = """\
commit 1207
Agent:    alice
Program:  claude 48211
Time:     2026-11-20 10:20:00.123 +0000
Changed:  5 nodes in 5 files

a.py  (merged)
@@ edited func a.py::f @@
 def f():
-    return 1
+    return 2
@@ added method a.py::C.g @@
+    def g(self):
+        pass
\\ No newline at end of file
@@ renamed func a.py::old -> a.py::new @@
-def old():
+def new():
     x

b.py  (from was/b.py)
@@ moved func b.py::h @@
@@ edited opaque b.py @@
(not text: 2 B -> 3 B)

gone.py  removed

link -> to\\xff

run.sh  mode 0755, 120 B
"""


def test_show_is_a_diff_by_node() -> None:
    assert plain(render_commit(DETAIL, dt.UTC)) == SHOW


def test_show_of_a_new_file_says_so_and_counts_no_nodes() -> None:
    detail = CommitDetail(
        commit(3, 0, "alice", "vim", 1, ["a.py"], [], 0),
        (revision("a.py"),),
        (edit("add", "func", "a.py::f", None, b"def f(): ...\n"),),
    )
    shown = plain(render_commit(detail, dt.UTC, made=["a.py"]))
    assert (
        "Changed:  1 file\n\na.py  (new)  mode 0644, 120 B\n@@ added func a.py::f @@\n+def f(): ...\n"
        in shown
    )


def test_diff_of_distant_lines_has_hunks_and_of_a_whole_node_has_none() -> None:
    before = b"".join(b"line %d\n" % number for number in range(40))
    after = before.replace(b"line 3\n", b"LINE 3\n").replace(b"line 33\n", b"LINE 33\n")
    hunks = [line for line in map(click.unstyle, diff_lines(before, after)) if line.startswith("@@")]
    assert hunks == ["@@ -1,7 +1,7 @@", "@@ -31,7 +31,7 @@"]
    assert not any("@@" in line for line in diff_lines(b"a\n", b"b\n"))
    assert not any("@@" in line for line in diff_lines(b"", b"b\nc\n"))


def test_diff_of_a_huge_node_says_so_instead_of_taking_for_ever() -> None:
    huge = b"x\n" * 100_000
    assert list(diff_lines(huge, huge + b"y\n")) == ["(too long to compare: 100000 lines -> 100001 lines)"]


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_diff_of_any_bytes_is_safe_to_print(before: bytes, after: bytes) -> None:
    for line in diff_lines(before, after):
        assert click.unstyle(line).replace("\t", "").isprintable()


REFUSAL = Refusal(
    3, NOON_NS, AgentId("bob"), RepoPath("a.py"), "codex", 12, "bob and alice both changed a.py::f.",
    Seq(5), Seq(9), ("a.py::f",), b"x = 2\n", b"x = 1\n",
)  # fmt: skip

REFUSALS = """\
   3  2026-11-20 10:20:00  bob  codex 12  a.py
      bob and alice both changed a.py::f.
"""

ONE_REFUSAL = """\
refusal 3
Agent:    bob
Program:  codex 12
Time:     2026-11-20 10:20:00.123 +0000
File:     a.py
Read at:  commit 5, newest was 9
Reason:   bob and alice both changed a.py::f.
Conflict: a.py::f

What the write would have changed:
-x = 1
+x = 2
"""


def test_refusals_are_told_with_their_reason() -> None:
    assert plain(render_refusals([REFUSAL], dt.UTC)) == REFUSALS
    assert plain(render_refusal(REFUSAL, dt.UTC)) == ONE_REFUSAL


def test_nodes_are_a_table_of_kinds_lines_and_addresses() -> None:
    rows = [
        NodeRow("imports", "a.py::#imports", 1, 4, 1),
        NodeRow("func", "a.py::f", 5, 120, 2),
        NodeRow("const", "a.py::X", 121, 121, 3),
    ]
    assert plain(render_nodes(rows)) == (
        "KIND     LINES  ADDRESS\n"
        "imports    1-4  a.py::#imports\n"
        "func     5-120  a.py::f\n"
        "const      121  a.py::X\n"
    )


STATUS = """\
repository  /srv/app
mount       /mnt/work
makfsd      0.1.0, pid 7, up 2 h 3 min, 143 MiB
newest      commit 1207

AGENT  ON WRITE  COMMITS  REFUSED  OPEN  LAST SEEN
alice  merge          12        0     2  3 s ago
bob    merge           0        1     0  never

alice has not committed yet:
  src/a.py

Not yet written through:
  commit 12: disk full
"""


def test_status_tells_what_people_ask() -> None:
    agents = (
        AgentStatus(
            AgentId("alice"), "/mnt/work/alice", "merge", 2, ("src/a.py",), 12, 0, NOON_NS - 3 * 10**9
        ),
        AgentStatus(AgentId("bob"), "/mnt/work/bob", "merge", 0, (), 0, 1, 0),
    )
    kernel = KernelStatus(
        "/srv/app", "/mnt/work", 7, "0.1.0", NOON_NS - 7380 * 10**9, Seq(1207), agents,
        ("commit 12: disk full",), (), 143 << 20,
    )  # fmt: skip
    assert plain(render_status(kernel, NOON_NS)) == STATUS


@pytest.mark.parametrize("width", [80, None])
def test_empty_journal_is_no_line_at_all(width: int | None) -> None:
    assert list(render_log([], width, dt.UTC)) == []
