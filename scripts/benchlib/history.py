"""History: what a question, a mount and an undo cost beside 1,000 commits and beside 100,000, as ratios.

The same file has the same fifty commits in both journals, spread evenly; all others are of other files. So
whatever is asked of that file, or answered by its newest thirty commits, should cost the same.
"""

import itertools
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

from benchlib.machine import Failed, Makfs
from benchlib.report import Row
from makfs.cli.client import Client
from makfs.engine.blame import blame
from makfs.engine.comparing import compare
from makfs.engine.stepping import log_of_address, node_steps
from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import CommitDraft, FileChange, FileKind, FileState, LogQuery, NodeEdit, NodeText
from makfs.store.protocol import Reader
from makfs.store.sqlite import SqliteStore
from makfs.wire.place import STATE_DIR
from makfs.wire.verbs import SeqOf, Undo

SECTION = "history"
SMALL, LARGE = 1_000, 100_000
OWN = 50  # commits of the file that is asked about
FILES, NODES = 400, 20
GOAL = 1.5  # the most that a hundred times the history may add: noise
FILE = RepoPath("app/asked.py")
START_NS = 1_790_000_000_000_000_000
STEP_NS = 1_000_000_000

Question = Callable[[Reader], object]


def measure(work: Path, command: Sequence[str], rounds: int) -> Iterator[Row]:
    """Make both journals and ask the same of each; then mount them."""
    stores: dict[int, SqliteStore] = {}
    served: dict[int, Makfs] = {}
    for commits in (SMALL, LARGE):
        served[commits] = Makfs(command, work / f"journal-{commits}", work / f"mnt-{commits}")
        state = served[commits].repo / STATE_DIR
        state.mkdir(parents=True)
        stores[commits] = SqliteStore.open(state, large_bytes=8 << 20)
        started = time.process_time()
        _put(served[commits].repo, fill(stores[commits], commits))
        yield Row(
            SECTION, f"one commit, of {commits:,}", "us", (time.process_time() - started) * 1e6 / commits
        )
    for what, ask in questions().items():
        cost = _costs_us(stores, ask, rounds)
        yield Row(SECTION, f"{what}, {SMALL:,} commits", "us", cost[SMALL])
        yield Row(
            SECTION, f"{what}, {LARGE:,} commits / {SMALL:,}", "x", cost[LARGE] / cost[SMALL], goal=GOAL
        )
    for store in stores.values():
        store.close()
    yield from _mounted(served, rounds)


def _mounted(served: dict[int, Makfs], rounds: int) -> Iterator[Row]:
    """Mount both in turns; undo what was just written, and look into a tree of the past."""
    spent: dict[str, dict[int, list[float]]] = {}
    for turn in range(max(3, rounds) + 1):  # the first time what lay in the repository is looked at
        for commits, makfs in served.items():
            for what, took in _turn(makfs, turn):
                if turn:
                    spent.setdefault(what, {each: [] for each in served})[commits].append(took)
    for what, costs in spent.items():
        small, large = (statistics.median(costs[commits]) * 1e3 for commits in served)
        yield Row(SECTION, f"{what}, {SMALL:,} commits", "ms", small)
        yield Row(SECTION, f"{what}, {LARGE:,} commits / {SMALL:,}", "x", large / small, goal=GOAL)


def _turn(makfs: Makfs, turn: int) -> Iterator[tuple[str, float]]:
    started = time.perf_counter()
    makfs.mount("a", on_write="merge")
    os.listdir(makfs.mountpoint / "a")
    yield "mount", time.perf_counter() - started
    try:
        with Client(str(makfs.repo)) as client:
            at = makfs.mountpoint / "a" / FILE
            before = at.read_bytes()
            at.write_bytes(before.replace(b"def f3(x):", b"def f3(x):\n    z = %d" % turn))
            seq = int(client.ask(SeqOf("head")))
            started = time.perf_counter()
            client.ask(Undo((seq,)))
            yield "undo", time.perf_counter() - started
            if at.read_bytes() != before:
                raise Failed("an undo did not bring back what was there")
            started = time.perf_counter()
            os.stat(makfs.mountpoint / f"@{SMALL // 2 + turn}" / FILE)
            yield "look-up in an unknown @SEQ", time.perf_counter() - started
    finally:
        makfs.umount()


def _put(repo: Path, files: dict[RepoPath, list[bytes]]) -> None:
    """Write what the journal says into the repository."""
    for path, texts in files.items():
        (repo / path).parent.mkdir(exist_ok=True)
        (repo / path).write_bytes(b"".join(texts))


def _costs_us(stores: dict[int, SqliteStore], ask: Question, rounds: int) -> dict[int, float]:
    """Return the median cost of a question by journal, asked in turns: the machine's moods hit both alike."""
    costs: dict[int, list[float]] = {commits: [] for commits in stores}
    for turn in range(rounds + 1):
        for commits, store in stores.items():
            with store.reader() as reader:
                ask(reader)  # the first page reads of a new connection are not the question's
                started = time.process_time()
                for _ in range(3):
                    ask(reader)
                if turn:
                    costs[commits].append((time.process_time() - started) * 1e6 / 3)
    return {commits: statistics.median(found) for commits, found in costs.items()}


def questions() -> dict[str, Question]:
    """Return what is asked."""
    address = f"{FILE}::f7"
    week = LogQuery(limit=30, since_ns=START_NS, until_ns=START_NS + SMALL * STEP_NS)
    return {
        "log": lambda reader: reader.log(LogQuery(limit=30)),
        "log --agent, rare": lambda reader: reader.log(LogQuery(limit=30, agent=AgentId("rare"))),
        "log --task, rare": lambda reader: reader.log(LogQuery(limit=30, task="rare")),
        "log --program, rare": lambda reader: reader.log(LogQuery(limit=30, program="rare")),
        "log --since --until": lambda reader: reader.log(week),
        "log --path, a file": lambda reader: reader.log(LogQuery(limit=30, path=FILE)),
        "log --path, a folder": lambda reader: reader.log(LogQuery(limit=30, path=RepoPath("app"))),
        "log --address, a node": lambda reader: log_of_address(reader, LogQuery(limit=30), address),
        "node log": lambda reader: node_steps(reader, address, 30, Seq(1 << 62)),
        "blame": _blame,
        "diff of the last ten": lambda reader: compare(
            reader, Seq(reader.head - 10), reader.head, (), by_node=False, after=None
        ),
    }


def _blame(reader: Reader) -> object:
    stretches = reversed(reader.stretches(FILE, reader.head))
    lines = blame((each for one in stretches for each in reader.node_lists(one)), reader.texts)
    return [reader.commit(seq) for seq in {seq for seq, _ in lines} if seq]


def fill(store: SqliteStore, commits: int) -> dict[RepoPath, list[bytes]]:
    """Write a journal: every commit edits one function of one file. Return what the files say then."""
    others = [RepoPath(f"pkg{number % 20}/mod{number}.py") for number in range(FILES)]
    uids = itertools.count(1)
    files = {
        path: ([*itertools.islice(uids, NODES)], [_text(node, 0) for node in range(NODES)]) for path in others
    }
    files[FILE] = ([*itertools.islice(uids, NODES)], [_text(node, 0) for node in range(NODES)])
    known: set[RepoPath] = set()
    for number in range(commits):
        own = number % (commits // OWN) == 0
        path = FILE if own else others[number * 7 % FILES]
        turn = number // (commits // OWN) if own else number
        origin = None if path in known else _state(*files[path])
        known.add(path)
        node = turn % NODES
        tiles, texts = files[path]
        before, texts[node] = texts[node], _text(node, turn + 1)
        edit = NodeEdit(path, "edit", "func", f"{path}::f{node}", NodeUid(tiles[node]), before, texts[node])
        change = FileChange(path, _state(tiles, texts), origin=origin, edits=(edit,), write_through=False)
        who = "rare" if own else f"agent{number % 8}"
        program, task = ("rare", "rare") if own else ("python3", f"task{number % 8}")
        drafted = (AgentId(who), START_NS + number * STEP_NS, program, 1, (change,))
        store.commit(CommitDraft(*drafted, task=task))
    return {path: texts for path, (_, texts) in files.items()}


def _text(node: int, turn: int) -> bytes:
    return b"\n\ndef f%d(x):\n    y = x + %d\n    return y * %d\n" % (node, turn, node)


def _state(uids: list[int], texts: list[bytes]) -> FileState:
    data = b"".join(texts)
    tiles = tuple(NodeText(NodeUid(uid), text) for uid, text in zip(uids, texts, strict=True))
    return FileState(
        FileKind.FILE, 0o644, tiles, content_hash=blake2b(data, digest_size=16).digest(), size_bytes=len(data)
    )
