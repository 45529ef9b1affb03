"""History asked of a kernel without a mount: nodes followed, pages, past trees forgotten (T1, T2, P2, P3)."""

import gc
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from makfs.engine import comparing, past
from makfs.engine.historyapi import NodeStep
from makfs.errors import BadName, NotFound, NotKept
from makfs.ids import Seq
from makfs.store.model import LogQuery
from tests.property.engine_kernel import ROOT, Caches, Process, call, one_file

CLASSES = b"""\
class A:
    def run(self):
        first = 1
        return first


class B:
    def stop(self):
        return 2
"""


@pytest.fixture
def caches(tmp_path: Path) -> Iterator[Caches]:
    """Serve a file to two agents, without a mount."""
    with one_file(tmp_path, CLASSES) as served:
        yield served


def steps(
    caches: Caches, address: str, limit: int = 99, before: int | None = None
) -> list[tuple[object, ...]]:
    upto = None if before is None else Seq(before)
    found = trio.run(caches.kernel.history.node_log, address, limit, upto)
    return [(step.commit.seq, step.op, step.address, step.old_address) for step in found]


def edited(caches: Caches, old: bytes, new: bytes, path: str = "a.py") -> None:
    alice = Process(caches, "alice", 1)
    text = alice.read(path)
    assert old in text
    alice.write(path, text.replace(old, new))


def test_a_method_that_goes_to_another_class_is_followed(caches: Caches) -> None:
    run = b"    def run(self):\n        first = 1\n        return first\n"
    edited(caches, b"first", b"one")
    run = run.replace(b"first", b"one")
    there = b"    def stop(self):\n        return 2\n"
    moved = CLASSES.replace(b"first", b"one").replace(run, b"    pass\n").replace(there, there + b"\n" + run)
    Process(caches, "alice", 1).write("a.py", moved)
    edited(caches, b"return one", b"return one + 1")
    assert steps(caches, "a.py::B.run") == [
        (3, "edit", "a.py::B.run", ""),
        (2, "rename", "a.py::B.run", "a.py::A.run"),
        (1, "edit", "a.py::A.run", ""),
    ]
    assert steps(caches, "a.py::A.run") == steps(caches, "a.py::B.run"), "T1: by the address it had, too"
    assert [step[0] for step in steps(caches, "a.py::A")] == [3, 2, 2, 1], "T2: what was ever in it"
    lines = trio.run(caches.kernel.history.blame, "a.py", "head").lines
    by_text = {line.text.strip(): line.seq for line in lines}
    assert (by_text[b"one = 1"], by_text[b"return one + 1"], by_text[b"def run(self):"]) == (1, 3, 0)


def test_a_node_that_was_deleted_is_found_by_its_last_address(caches: Caches) -> None:
    edited(caches, b"return 2", b"return 3")
    edited(caches, b"    def stop(self):\n        return 3\n", b"    pass\n")
    found = steps(caches, "a.py::B.stop")
    assert found[0][:2] == (2, "delete")
    assert found[1:] == [(1, "edit", "a.py::B.stop", "")]
    with pytest.raises(NotFound, match="knows no node C"):
        steps(caches, "a.py::C")


def test_files_with_odd_names_have_their_histories_too(caches: Caches) -> None:
    alice = Process(caches, "alice", 1)
    for name in ("x::y.py", "caf\udce9.py", "a\nb@7.py"):
        alice.write(name, b"def f():\n    return 1\n")
        alice.write(name, b"def f():\n    return 2\n")
        first = caches.core.store.head
        assert steps(caches, f"{name}::f")[0] == (first, "edit", f"{name}::f", "")
        alice.rename(name, f"{name}.py")
        assert [step[:2] for step in steps(caches, f"{name}.py::f")] == [
            (first + 1, "file"), (first, "edit"), (first - 1, "add"),
        ]  # fmt: skip
        assert [step[0] for step in steps(caches, name)] == [first + 1, first, first - 1], "where it went"
        blamed = trio.run(caches.kernel.history.blame_nodes, f"{name}.py", "head")
        assert [row.seq for row in blamed.nodes] == [first]


def test_the_log_of_a_node_comes_in_pages(caches: Caches) -> None:
    for number in range(3, 9):
        edited(caches, b"return %d" % (number - 1), b"return %d" % number)
    whole = steps(caches, "a.py::B.stop")
    assert [step[0] for step in whole] == [6, 5, 4, 3, 2, 1]
    paged = steps(caches, "a.py::B.stop", limit=4) + steps(caches, "a.py::B.stop", before=3)
    assert paged == whole
    log = caches.kernel.history.log
    by_address = [commit.seq for commit in trio.run(log, LogQuery(limit=2, before=Seq(5)), "a.py::B")]
    assert by_address == [4, 3]
    assert [commit.seq for commit in trio.run(log, LogQuery(limit=2), "")] == [6, 5]
    assert [commit.seq for commit in trio.run(log, LogQuery(since_ns=1 << 62), "a.py")] == []


def test_a_file_deleted_and_made_again_begins_anew(caches: Caches) -> None:
    alice = Process(caches, "alice", 1)
    edited(caches, b"return 2", b"return 3")
    alice.unlink("a.py")
    alice.write("a.py", CLASSES)
    assert {line.seq for line in trio.run(caches.kernel.history.blame, "a.py", "head").lines} == {3}
    assert {row.seq for row in trio.run(caches.kernel.history.blame_nodes, "a.py", "head").nodes} == {3}
    assert {line.seq for line in trio.run(caches.kernel.history.blame, "a.py", "1").lines} == {0, 1}
    with pytest.raises(NotFound, match="commit 2 removed it"):
        trio.run(caches.kernel.history.blame, "a.py", "2")


def test_a_difference_comes_in_pages_and_each_file_once(
    caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice = Process(caches, "alice", 1)
    for number in range(7):
        alice.write(f"f{number}.txt", b"x" * 40)
    alice.rename("a.py", "z.py")
    monkeypatch.setattr(comparing, "PAGE_BYTES", 100)
    diff = caches.kernel.history.diff
    names: list[str] = []
    after: str | None = None
    pages = 0
    while True:
        page = call(partial(diff, "0", "head", [], by_node=False, after=after))
        names += [file.path for file in page.files]
        pages += 1
        if page.after is None:
            break
        after = page.after
    assert names == [*(f"f{number}.txt" for number in range(7)), "z.py"]
    assert pages > 2
    assert page.files[-1].old_path == "a.py"
    only = trio.run(lambda: diff("head", "0", ["f3.txt", "none"], by_node=False, after=None))
    assert [(file.path, file.new) for file in only.files] == [("f3.txt", None)], "D1"


def test_nodes_of_a_first_version_without_uids_are_those_of_the_next(caches: Caches) -> None:
    alice = Process(caches, "alice", 1)
    first = b"def greet():\n    return 1\n\n\ndef other():\n    return 3\n"
    alice.write("new.py", first)
    alice.write("new.py", first.replace(b"return 1", b"return 2"))
    alice.write("new.py", first.replace(b"return 1", b"return 2").replace(b"greet", b"welcome"))
    diff = caches.kernel.history.diff
    for old, new, whole in (
        ("1", "3", [("rename", "new.py::welcome", "new.py::greet")]),
        ("3", "1", [("rename", "new.py::greet", "new.py::welcome")]),
        ("1", "2", [("edit", "new.py::greet", "")]),
        ("2", "3", [("rename", "new.py::welcome", "new.py::greet")]),
    ):
        page = trio.run(lambda a, b: diff(a, b, [], by_node=True, after=None), old, new)
        assert [(each.op, each.address, each.old_address) for each in page.files[0].edits] == whole, (
            old,
            new,
        )


def test_paths_that_are_none_are_refused(caches: Caches) -> None:
    history = caches.kernel.history
    for path in ("", "../x", "a//b", "/etc/passwd", "a\0b", "./a.py"):
        with pytest.raises(BadName, match="not the path of a file"):
            trio.run(history.cat, path, "head", 0)
    for path in (".makfs/store.db", ".git/config", "sub/.git/HEAD"):
        with pytest.raises(NotFound, match="not journaled"):
            trio.run(history.cat, path, "head", 0)


def test_old_bytes_that_were_too_large_are_not_invented(tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.property.engine_kernel import MERGING

    (tmp_path / "repo").mkdir()
    config = replace(MERGING, store=replace(MERGING.store, large_bytes=1 << 16))
    caches = Caches(tmp_path / "repo", ("alice",), config)
    alice = Process(caches, "alice", 1)
    alice.write("big", b"1" * (1 << 17))
    alice.write("big", b"2" * (1 << 17))
    assert trio.run(caches.kernel.history.cat, "big", "head", 0).data == b"2" * (1 << 17)
    with pytest.raises(NotKept, match="big at commit 1 was too large to keep"):
        trio.run(caches.kernel.history.cat, "big", "1", 0)
    with pytest.raises(NotKept, match="too large to keep"):
        trio.run(caches.kernel.history.blame, "big", "head")
    page = trio.run(lambda: caches.kernel.history.diff("1", "2", [], by_node=True, after=None))
    assert [(file.old and file.old.data, file.edits) for file in page.files] == [(None, ())]
    caches.close()


def many_trees(caches: Caches, count: int) -> None:
    alice = Process(caches, "alice", 1)
    for number in range(count):
        alice.write("n.txt", b"%d" % number)
    for seq in range(1, count + 1):
        assert Process(caches, f"@{seq}").read("n.txt") == b"%d" % (seq - 1)


def test_past_trees_are_forgotten_with_the_last_thing_known_in_them(caches: Caches) -> None:
    many_trees(caches, 20)
    trees = caches.kernel.agents.past.trees
    assert len(trees) == 20
    caches.forget_all()
    gc.collect()
    assert len(trees) == 0, "P2"
    assert not [inode for inode in caches.core.table.by_ino.values() if inode.view.agent.startswith("@")]


def test_the_longest_unused_trees_beyond_a_bound_are_to_be_forgotten(
    caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    many_trees(caches, 10)
    rooms = caches.kernel.agents.past
    assert rooms.excess() == []
    monkeypatch.setattr(past, "MOST_TREES", 4)
    assert rooms.excess() == [], "P3: all were used a moment ago"
    for number, tree in enumerate(rooms.trees.values()):
        tree.used_s = -1000.0 + number
    assert rooms.excess() == [f"@{seq}" for seq in range(1, 7)]
    file = Process(caches, "@2").open("n.txt")
    assert "@2" not in rooms.excess(), "it has just been used"
    rooms.trees["2", 2].used_s = -999.0
    assert "@2" not in rooms.excess(), "a file is open in it"
    file.close()
    rooms.trees["2", 2].used_s = -999.0
    assert "@2" in rooms.excess()
    monkeypatch.setattr(past, "_stood_in", lambda: {"@1", "@2"})
    assert not {"@1", "@2"} & {*rooms.excess()}, "a process stands in it"


def test_a_mark_has_a_tree_of_its_own_beside_its_commits(caches: Caches) -> None:
    many_trees(caches, 3)
    history = caches.kernel.history
    history.set_mark("v1", "2")
    here = Process(caches, "@v1")
    assert here.read("n.txt") == b"1"
    assert caches.at("@v1", "n.txt") != caches.at("@2", "n.txt"), "a folder has one place"
    trio.run(history.delete_mark, "v1")
    assert caches.lookup(ROOT, "@v1") == 0
    history.set_mark("v1", "3")
    assert here.read("n.txt") == b"2"
    with pytest.raises(OSError, match="Read-only"):
        here.write("n.txt", b"")
    for name in ("@v2", "@", "@caf\xe9", "@\udcff", "@" + "9" * 40, "@" + "x" * 300, "@²"):
        assert caches.lookup(ROOT, name) == 0, name
    assert call(history.cat, "n.txt", "@v1", 0).data == b"2"


def test_steps_are_values(caches: Caches) -> None:
    from makfs.wire.values import from_json, to_json

    edited(caches, b"return 2", b"return 3")
    found = trio.run(caches.kernel.history.node_log, "a.py::B", 9, None)
    assert from_json(list[NodeStep], to_json(found)) == found
