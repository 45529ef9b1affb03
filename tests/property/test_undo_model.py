"""Undo against a model: every function of every file is a cell with a value, and commits write cells.

Taking commits back gives each cell the value it had without them, or nothing changes and a commit is named
that wrote the same cell later. After every step the journal, replayed from nothing, is the tree. U1-U3, V1.
"""

import errno
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

import trio
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from makfs.engine.api import Undoing as What
from makfs.engine.replay import replay, verify
from makfs.engine.undo import CannotUndo
from makfs.errors import NotFound
from makfs.ids import RepoPath, Seq
from makfs.store.model import LogQuery
from tests.property.engine_kernel import Caches, Process, remove, temporary_folder

AGENTS = ("alice", "bob")
PATHS = ["a.py", "b.py", "d/c.py", "d/e/f.py"]
FUNCTIONS = range(5)
FUNCTION = re.compile(rb"def f(\d)\(\):\n    return (\d+)\n")
NAMED = re.compile(r"Commit (\d+) cannot be taken back: [^.]*(?:\.py[^.]*)* in (\d+), by (\w+)\.")

Cells = dict[int, int]
Tree = dict[str, bytes]


def text_of(cells: Cells) -> bytes:
    return b"\n\n".join(b"def f%d():\n    return %d\n" % cell for cell in sorted(cells.items()))


def cells_of(text: bytes) -> Cells:
    return {int(name): int(value) for name, value in FUNCTION.findall(text)}


@dataclass
class Done:
    """One commit: the tree after it, and what it moved."""

    tree: Tree
    moved: dict[str, str] = field(default_factory=dict)  # new -> old
    identity: dict[str, int] = field(default_factory=dict)  # which file stands at a path, after it


class Clash(Exception):
    """The model refuses."""


class Undoing(RuleBasedStateMachine):
    """Edits of several agents, taken back in any order."""

    @initialize()
    def serve(self) -> None:
        self.folder = temporary_folder()
        self.repo = self.folder / "repo"
        (self.repo / "d" / "e").mkdir(parents=True)
        self.value = 0
        self.files = 0
        for path in PATHS[:3]:
            (self.repo / path).write_bytes(text_of({n: self.next() for n in FUNCTIONS}))
        self.caches = Caches(self.repo, AGENTS)
        self.processes = [Process(self.caches, name, n) for n, name in enumerate(AGENTS)]
        self.history = [Done(self.tree(), {}, {path: self.new_file() for path in PATHS[:3]})]

    def next(self) -> int:
        self.value += 1
        return self.value

    def new_file(self) -> int:
        self.files += 1
        return self.files

    @property
    def store_head(self) -> int:
        return self.caches.core.store.head

    def tree(self) -> Tree:
        return {path: at.read_bytes() for path in PATHS if (at := self.repo / path).is_file()}

    def happened(self, moved: dict[str, str] | None = None, *, restored: bool = False) -> None:
        """Note the commit just made: exactly one."""
        assert self.store_head == len(self.history), "one step, one commit"
        before, tree = self.history[-1], self.tree()
        identity = {}
        for path in tree:
            source = (moved or {}).get(path, path)
            identity[path] = before.identity.get(source) or self.new_file()
        self.history.append(Done(tree, moved or {}, identity))

    # ---- what agents do

    @rule(who=st.integers(0, 1), path=st.sampled_from(PATHS), functions=st.sets(st.sampled_from(FUNCTIONS)))
    def edit(self, who: int, path: str, functions: set[int]) -> None:
        process, tree = self.processes[who], self.tree()
        if path not in tree:
            try:
                process.write(path, text_of({n: self.next() for n in FUNCTIONS}))
            except OSError as error:
                assert error.errno == errno.EBUSY, error  # noqa: PT017 - it believes in what is gone
                if self.store_head == len(self.history):  # and made an empty file before it was refused
                    self.happened()
                return
            self.happened()
            return
        text = process.read(path)
        assert text == tree[path]
        for name in functions & cells_of(text).keys():
            text = re.sub(
                rb"def f%d\(\):\n    return \d+\n" % name,
                b"def f%d():\n    return %d\n" % (name, self.next()),
                text,
            )
        if text != tree[path]:
            process.write(path, text)
            self.happened()

    @rule(who=st.integers(0, 1), path=st.sampled_from(PATHS), name=st.sampled_from(FUNCTIONS))
    def add_or_remove_function(self, who: int, path: str, name: int) -> None:
        tree = self.tree()
        if path not in tree:
            return
        text = self.processes[who].read(path)
        if name in cells_of(text):
            if len(cells_of(text)) < 2:
                return
            text = re.sub(rb"\n*def f%d\(\):\n    return \d+\n" % name, b"", text).lstrip(b"\n")
        else:
            text += b"\n\ndef f%d():\n    return %d\n" % (name, self.next())
        self.processes[who].write(path, text)
        self.happened()

    @rule(who=st.integers(0, 1), path=st.sampled_from(PATHS))
    def delete(self, who: int, path: str) -> None:
        if path in self.tree():
            self.processes[who].unlink(path)
            self.happened()

    @rule(who=st.integers(0, 1), old=st.sampled_from(PATHS), new=st.sampled_from(PATHS))
    def rename(self, who: int, old: str, new: str) -> None:
        if old == new or old not in self.tree():
            return
        if new in self.tree():
            self.processes[who].read(new)  # whoever replaces what they have not seen is refused
        self.processes[who].rename(old, new)
        moved = self.caches.core.store.detail(Seq(self.store_head))
        assert moved is not None
        self.happened({str(there): str(from_) for there, from_ in moved.moved.items()})

    @rule(path=st.sampled_from(PATHS), name=st.sampled_from(FUNCTIONS))
    def edit_behind_us(self, path: str, name: int) -> None:
        tree = self.tree()
        recorded = self.caches.core.store.revision(RepoPath(path)) is not None
        if not recorded or name not in cells_of(tree.get(path, b"")):
            return
        text = re.sub(rb"(def f%d\(\):\n    return )\d+" % name, rb"\g<1>%d" % self.next(), tree[path])
        (self.repo / path).write_bytes(text)
        self.processes[0].read(path)
        self.happened()

    # ---- going back

    @rule(data=st.data(), reverse=st.booleans())
    def undo(self, data: st.DataObject, reverse: bool) -> None:
        if len(self.history) < 2:
            return
        seqs = data.draw(st.sets(st.integers(1, self.store_head), min_size=1, max_size=4))
        self.take_back(sorted(seqs, reverse=reverse))

    @rule(data=st.data())
    def undo_the_last_ones(self, data: st.DataObject) -> None:
        """Undo a suffix of the journal: never refused, and the bytes are those of before."""
        if len(self.history) < 2:
            return
        first = data.draw(st.integers(max(1, self.store_head - 5), self.store_head))
        before = self.history[first - 1].tree
        seqs = data.draw(st.permutations(range(first, self.store_head + 1)))
        self.take_back(seqs)
        assert self.tree() == before

    def take_back(self, seqs: list[int]) -> None:
        before = self.tree()
        try:
            expected = self.model(seqs)
        except Clash:
            expected = None
        refused, done = "", None
        try:
            done = trio.run(self.caches.kernel.undo, What(tuple(seqs)))
        except CannotUndo as refusal:
            refused = str(refusal)
        if refused:
            assert self.tree() == before, "U2"
            self.check_refusal(refused, set(seqs))
            assert expected is None or self.neighbours(seqs), f"refused without need: {refused}"
            return
        assert done is not None
        tree = self.tree()
        if not self.neighbours(seqs):  # else a function may be taken for another that went
            assert expected is not None, "U2: it took back what later work stands on"
            assert {path: cells_of(text) for path, text in tree.items()} == expected, "U1"
        assert (done.seq is None) is (tree == before)
        if done.seq is not None:
            detail = self.caches.core.store.detail(done.seq)
            assert detail is not None
            self.happened({str(new): str(old) for new, old in detail.moved.items()})

    def neighbours(self, seqs: list[int]) -> bool:
        """Tell whether functions came or went in a file after one of these commits changed it.

        Where a function goes back to is unknown then, and one may be taken for another.
        """
        made = [(seq, path) for seq in range(1, len(self.history)) for path in self.reshaped(seq)]
        return any(
            later > one and self.history[one].tree.get(path) != self.history[one - 1].tree.get(path)
            for one in seqs
            for later, path in made
        )

    def reshaped(self, seq: int) -> list[str]:
        before, after = self.history[seq - 1].tree, self.history[seq].tree
        return [
            path
            for path in PATHS
            if cells_of(before.get(path, b"")).keys() != cells_of(after.get(path, b"")).keys()
        ]

    def model(self, seqs: list[int]) -> dict[str, Cells]:
        """Return the cells without these commits. Raises Clash."""
        now = {path: cells_of(text) for path, text in self.tree().items()}
        identity = dict(self.history[-1].identity)
        for seq in sorted(set(seqs), reverse=True):
            before, after = self.history[seq - 1], self.history[seq]
            back: dict[str, Cells | None] = {}
            files: dict[str, int] = {}
            for new, old in after.moved.items():
                same = identity.get(new) == after.identity[new]
                if new not in now:
                    raise Clash
                left = after.tree.get(old)
                if old not in after.moved and now.get(old) != (None if left is None else cells_of(left)):
                    raise Clash
                if not same and now[new] != cells_of(after.tree[new]):
                    raise Clash
                back[old] = self.without(before.tree[old], after.tree[new], now[new])
                files[old] = identity[new]
                if new not in after.moved.values():
                    back[new] = cells_of(before.tree[new]) if new in before.tree else None
            ends = {*after.moved, *after.moved.values()}
            for path in PATHS:
                was, became = before.tree.get(path), after.tree.get(path)
                if path not in ends and was != became:
                    back[path] = self.without(was, became, now.get(path))
            for path, cells in back.items():
                now.pop(path, None)
                if cells is not None:
                    now[path] = cells
                    identity[path] = files.get(path, before.identity.get(path, identity.get(path, 0)))
        return now

    @staticmethod
    def without(was: bytes | None, became: bytes | None, now: Cells | None) -> Cells | None:
        before = None if was is None else cells_of(was)
        after = None if became is None else cells_of(became)
        if now == after:
            return before
        if before == after or now == before:
            return now
        if before is None or after is None or now is None:
            raise Clash
        result: Cells = {}
        for name in {*before, *after, *now}:
            b, a, n = before.get(name), after.get(name), now.get(name)
            if n != a and b not in (a, n):
                raise Clash
            value = b if n == a else n
            if value is not None:
                result[name] = value
        return result

    def check_refusal(self, sentence: str, taken: set[int]) -> None:
        """Assert that the commits named are there, later, stay, and wrote the same cell or file."""
        named = NAMED.findall(sentence)
        assert named, sentence
        for seq, later, agent in named:
            first, second = int(seq), int(later)
            assert first in taken, sentence
            assert second > first, sentence
            assert second not in taken, sentence
            (commit,) = self.caches.core.store.log(LogQuery(limit=1, before=Seq(second + 1)))
            assert commit.agent == agent
            one, other = self.written(first), self.written(second)
            if "::" not in sentence:  # of files as a whole: a rename over the same text touches them, too
                one |= {(str(path), 0) for path in self.paths(first)}
                other |= {(str(path), 0) for path in self.paths(second)}
            if self.neighbours([first]):
                one, other = {(path, 0) for path, _ in one}, {(path, 0) for path, _ in other}
            assert one & other, sentence

    def paths(self, seq: int) -> tuple[RepoPath, ...]:
        detail = self.caches.core.store.detail(Seq(seq))
        assert detail is not None
        return detail.commit.paths

    def written(self, seq: int) -> set[tuple[str, int]]:
        """Return the cells that a commit wrote, all of a file's if it came, went or moved."""
        before, after = self.history[seq - 1], self.history[seq]
        cells = set()
        for path in PATHS:
            was, became = before.tree.get(path), after.tree.get(path)
            moved = path in after.moved or path in after.moved.values()
            if was is None or became is None or moved:
                cells |= {(path, name) for name in FUNCTIONS if was != became or moved}
            else:
                one, other = cells_of(was), cells_of(became)
                names = {name for name in FUNCTIONS if one.get(name) != other.get(name)}
                cells |= {
                    (path, name) for name in names or FUNCTIONS if was != became
                }  # no name: their order
        return cells

    @rule(data=st.data(), path=st.sampled_from([*PATHS, "d", ""]))
    def restore(self, data: st.DataObject, path: str) -> None:
        seq = data.draw(st.integers(0, self.store_head))
        then, now = self.history[seq].tree, self.tree()
        inside = [each for each in PATHS if each == path or not path or each.startswith(f"{path}/")]
        try:
            done = trio.run(self.caches.kernel.restore, path, str(seq))
        except NotFound:
            assert not any(each in then for each in inside)
            return
        expected = now | {each: then[each] for each in inside if each in then}
        for each in inside:
            if each not in then:
                expected.pop(each, None)
        assert self.tree() == expected
        if done.seq is not None:
            self.happened(restored=True)

    # ---- always

    @invariant()
    def the_journal_replayed_is_the_tree(self) -> None:
        if not hasattr(self, "history"):
            return
        target = self.folder / f"replay-{len(self.history)}"
        with self.caches.core.store.reader() as reader:
            assert not verify(reader).difference
            replay(reader, str(self.repo), target, with_unrecorded=True)
        assert everything(target) == everything(self.repo), "V1"
        remove(target)

    def teardown(self) -> None:
        if hasattr(self, "caches"):
            self.caches.close()
            remove(self.folder)


def everything(top: Path) -> dict[str, tuple[int, bytes]]:
    """Return every file and folder below a directory, with mode and bytes, without our own state."""
    found = {}
    for folder, folders, files in os.walk(top):
        folders[:] = [each for each in folders if each != ".makfs"]
        for name in [*folders, *files]:
            at = Path(folder, name)
            data = b"" if at.is_dir() else at.read_bytes()
            found[str(at.relative_to(top))] = (at.stat().st_mode, data)
    return found


TestUndo = Undoing.TestCase
TestUndo.settings = settings(stateful_step_count=25)
