"""History cut in steps beside commits: G1-G4, and a daemon killed in the middle of it."""

import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makfs.errors import NotKept
from makfs.ids import RepoPath, Seq
from makfs.store.model import CommitDraft, FileChange, FileKind, FileState, Mark
from makfs.store.packing import unpack_nodes
from makfs.store.retention import shorten
from makfs.store.sqlite import SqliteStore
from tests.property.engine_kernel import remove, temporary_folder
from tests.unit.store_makers import ABSENT, ALICE, LARGE_BYTES, change, edit, file_state

PATHS = ["a.py", "b.py", "d/c.py"]
Tree = dict[str, bytes | None]


class Past:
    """A store, and every tree it ever was."""

    def __init__(self, folder: Path) -> None:
        self.store = SqliteStore.open(folder, large_bytes=LARGE_BYTES)
        self.trees: list[Tree] = [dict.fromkeys(PATHS, b"origin")]
        self.uid = 0

    def commit(self, choose: random.Random, time_ns: int = 1) -> None:
        """Commit something to some path; texts come back, so that dead ones are reused."""
        path = choose.choice(PATHS)
        now = self.trees[-1][path]
        after: bytes | None = b"text %d" % choose.randrange(12)
        if after == now or choose.random() < 0.1:
            after = None if now is not None else b"again"
        origin = file_state([b"origin"]) if self.store.revision(RepoPath(path)) is None else None
        self.uid += 1
        state = ABSENT if after is None else file_state([after, b"!"], [self.uid, self.uid + 1])
        self.uid += 1
        made = edit(path, self.uid, now, after)
        done = change(path, state, origin=origin, edits=(made,), write_through=False)
        self.store.commit(CommitDraft(ALICE, time_ns, "vim", 1, (done,)))
        self.trees.append({**self.trees[-1], path: None if after is None else after + b"!"})

    def at(self, path: str, seq: int) -> bytes | None:
        revision = self.store.revision(RepoPath(path), Seq(seq))
        if revision is None:
            return b"origin"  # never recorded: the repository speaks
        if revision.kind is FileKind.ABSENT:
            return None
        return b"".join(node.text for node in self.store.nodes(RepoPath(path), Seq(seq)))

    def check(self, known: set[int]) -> None:
        """Assert that what is kept is true, and that the moments named are kept."""
        for seq, tree in enumerate(self.trees):
            for path in PATHS:
                try:
                    found = self.at(path, seq)
                except NotKept:
                    assert seq not in known, f"G1: {path}@{seq}"
                    continue
                assert found == tree[path], f"G3: {path}@{seq}"
        assert not self.store.check(), "G2"

    def dead_texts(self) -> set[int]:
        with sqlite3.connect(self.store.file) as raw:
            alive = {
                text
                for (nodes,) in raw.execute("SELECT nodes FROM revision WHERE nodes IS NOT NULL")
                for text in unpack_nodes(nodes).each_text()
            }
            alive |= {number for row in raw.execute("SELECT before, after FROM edit") for number in row}
            found = {number for (number,) in raw.execute("SELECT id FROM text")} - alive
        raw.close()
        return found


@pytest.fixture
def past() -> Iterator[Past]:
    folder = temporary_folder()
    made = Past(folder)
    yield made
    made.store.close()
    remove(folder)


@given(
    seed=st.integers(0, 1 << 30),
    commits=st.integers(1, 40),
    keep=st.integers(0, 20),
    marked=st.sets(st.integers(0, 40), max_size=3),
    beside=st.integers(0, 3),
)
@settings(max_examples=40)
def test_what_is_kept_is_true_and_the_rest_is_said_to_be_cut(
    seed: int, commits: int, keep: int, marked: set[int], beside: int
) -> None:
    folder = temporary_folder()
    past, choose = Past(folder), random.Random(seed)
    for _ in range(commits):
        past.commit(choose)
    marks = {seq for seq in marked if seq <= commits}
    for seq in marks:
        past.store.set_mark(Mark(f"m{seq}", Seq(seq), 1))
    cut = Seq(0)
    for _ in range(2):  # the second cuts what the first kept
        cut = past.store.boundary(keep, None)
        assert cut == max(0, past.store.head - keep)
        for _step in past.store.collect(cut):
            assert not past.store.check(), "G2"
            for _ in range(beside):
                past.commit(choose)
        past.check({*range(cut, len(past.trees)), *marks})
        if not beside:
            assert not past.dead_texts()
        for _ in range(3):
            past.commit(choose)
    past.check({*range(cut, len(past.trees)), *marks})
    past.store.close()
    remove(folder)


def test_a_dry_run_tells_what_would_go_and_changes_nothing(past: Past) -> None:
    choose = random.Random(1)
    for _ in range(50):
        past.commit(choose)
    cut = past.store.boundary(10, None)
    (would,) = run(past, cut, dry_run=True)
    past.check({*range(51)})
    (did,) = run(past, cut)
    assert (would[0], would[1]) == (did[0], did[1])
    assert did[0] > 20
    assert did[1] == 40


def run(past: Past, cut: Seq, *, dry_run: bool = False) -> list[tuple[int, int]]:
    steps = past.store.collect(cut, dry_run=dry_run)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return [(end.value.revisions, end.value.edits)]


def test_a_time_keeps_everything_from_its_first_commit_on(past: Past) -> None:
    choose = random.Random(2)
    for time_ns in (10, 20, 90, 30, 95):  # the clock was set back
        past.commit(choose, time_ns)
    assert past.store.boundary(None, 50) == 2
    assert past.store.boundary(4, 50) == 1
    assert past.store.boundary(None, 1_000) == 5


def test_what_is_owed_to_the_repository_is_not_cut(past: Past) -> None:
    choose = random.Random(3)
    past.commit(choose)
    owed = FileChange(RepoPath("x"), file_state([b"x"]), origin=FileState(FileKind.ABSENT))
    past.store.commit(CommitDraft(ALICE, 1, "vim", 1, (owed,)))
    past.commit(choose)
    assert past.store.boundary(0, None) == 1
    past.store.effects_done(effect.effect for effect in past.store.pending_effects())
    assert past.store.boundary(0, None) == 3


def test_a_cut_commit_cannot_be_marked(past: Past) -> None:
    choose = random.Random(4)
    for _ in range(9):
        past.commit(choose)
    list(past.store.collect(Seq(5)))
    past.store.set_mark(Mark("five", Seq(5), 1))
    with pytest.raises(NotKept, match="cut the history before commit 5; ask for 5 or later"):
        past.store.set_mark(Mark("four", Seq(4), 1))


def test_a_file_that_was_shortened_gives_room_back_in_steps(past: Past) -> None:
    choose = random.Random(5)
    past.store.close()
    shorten(past.store.file)
    past.store = SqliteStore.open(past.store.file.parent, large_bytes=LARGE_BYTES)
    for number in range(300):
        path, body = PATHS[0], b"%d" % number + choose.randbytes(3_000)
        origin = ABSENT if number == 0 else None
        past.store.commit(
            CommitDraft(
                ALICE, 1, "", 0, (change(path, file_state([body]), origin=origin, write_through=False),)
            )
        )
    past.store.maintain()
    before = past.store.counts()["size_bytes"]
    steps = list(past.store.collect(Seq(299)))
    assert "giving room back" in steps
    past.store.close()
    assert past.store.file.stat().st_size < before // 4


_KILLED = """
import random, sys
from pathlib import Path
from makfs.ids import Seq
from makfs.store.sqlite import SqliteStore
store = SqliteStore.open(Path(sys.argv[1]), large_bytes=1 << 20)
print("ready", flush=True)
for number, step in enumerate(store.collect(Seq(int(sys.argv[2])))):
    print(number, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("at", [0, 1, 2, 3, 5, 8])
def test_a_collection_that_is_killed_leaves_a_sound_store_and_can_be_done_again(past: Past, at: int) -> None:
    choose = random.Random(at)
    for _ in range(800):
        past.commit(choose)
    past.store.set_mark(Mark("m", Seq(100), 1))
    past.store.close()
    folder = past.store.file.parent
    killed = subprocess.Popen(
        [sys.executable, "-c", _KILLED, str(folder), "750"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert killed.stdin is not None
    assert killed.stdout is not None
    assert killed.stdout.readline() == "ready\n"
    for number in range(at + 1):
        assert killed.stdout.readline() == f"{number}\n"
        if number < at:
            killed.stdin.write("\n")
            killed.stdin.flush()
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    past.store = SqliteStore.open(folder, large_bytes=LARGE_BYTES)
    known = {*range(750, 801), 100}
    past.check(known)
    list(past.store.collect(Seq(750)))
    past.check(known)
    assert not past.dead_texts()


def test_prepared_text_that_is_collected_before_its_commit_is_written_again(past: Past) -> None:
    before = past.store.head
    kept, swept = past.store.prepare([file_state([b"kept"]), file_state([b"swept"])])
    assert past.store.head == before, "nothing is committed yet"
    past.store.commit(CommitDraft(ALICE, 1, "vim", 1, (change("k.py", kept, origin=ABSENT),)))
    for _step in past.store.collect(Seq(0)):
        pass
    assert not past.dead_texts(), "it was collected"
    past.store.commit(CommitDraft(ALICE, 1, "vim", 1, (change("s.py", swept, origin=ABSENT),)))
    assert not past.store.check(), "G2"
    for path, text in (("k.py", b"kept"), ("s.py", b"swept")):
        assert [node.text for node in past.store.nodes(RepoPath(path))] == [text]
