"""How large the journal gets: bytes a one-function commit, what `makfs gc` gives back, how long it holds up.

Files are made up; times are of this process.
"""

import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

from benchlib import trees
from benchlib.report import Row
from makfs.ids import AgentId, NodeUid, RepoPath
from makfs.store.model import CommitDraft, FileChange, FileKind, FileState, NodeEdit, NodeText, hash_of
from makfs.store.retention import shorten
from makfs.store.sqlite import SqliteStore
from makfs.syntax import address, diff, identify
from makfs.syntax.node import Source

SECTION = "store"
COMMITS = 500
KEPT = 50
_TOTAL = re.compile(r"count \+ \d+")


def measure(work: Path, seed: int) -> Iterator[Row]:
    """Commit one function after another of a file of 200 lines and of one of 5,000, then cut the history."""
    for lines in (200, 5_000):
        folder = work / f"store-{lines}"
        folder.mkdir()
        bare = SqliteStore.open(folder, large_bytes=8 << 20)
        bare.close()
        empty = bare.file.stat().st_size
        spent_ms = _fill(folder, lines, random.Random(seed))
        full = bare.file.stat().st_size
        yield Row(SECTION, f"a one-function commit, {lines:,} lines", "bytes", (full - empty) / COMMITS)
        yield Row(SECTION, f"the store's part of it, {lines:,} lines", "ms", spent_ms)
        store = SqliteStore.open(folder, large_bytes=8 << 20)
        longest = started = time.perf_counter()
        longest = 0.0
        for _step in store.collect(store.boundary(KEPT, None)):
            now = time.perf_counter()
            longest, started = max(longest, now - started), now
        store.close()
        yield Row(SECTION, f"the longest step of a collection, {lines:,} lines", "ms", longest * 1e3)
        shorten(store.file)
        left = (store.file.stat().st_size - empty) / full * 100
        yield Row(SECTION, f"left of {COMMITS} commits when {KEPT} are kept, {lines:,} lines", "%", left)


def _fill(folder: Path, lines: int, chance: random.Random) -> float:
    """Commit `COMMITS` edits; return the median time of one in ms."""
    store = SqliteStore.open(folder, large_bytes=8 << 20)
    path, text = RepoPath("bench.py"), trees.python_text(lines, chance)
    source, next_uid = identify(path, None, text.encode(), NodeUid(1))
    origin: FileState | None = _state(source)
    spent: list[float] = []
    for _ in range(COMMITS):
        places = list(_TOTAL.finditer(text))
        place = chance.choice(places)
        text = f"{text[: place.start()]}count + {chance.randint(0, 9_999_999)}{text[place.end() :]}"
        prior = source
        source, next_uid = identify(path, prior, text.encode(), next_uid)
        edits = tuple(
            NodeEdit(
                path, change.op.value, change.after.kind.value, address(path, change.after), change.after.uid,
                change.before.text, change.after.text,
            )
            for change in diff(prior, source)
            if change.before is not None and change.after is not None
        )  # fmt: skip
        made = FileChange(path, _state(source), origin=origin, edits=edits)
        started = time.perf_counter()
        _, effects = store.commit(CommitDraft(AgentId("bench"), time.time_ns(), "bench", 1, (made,)))
        spent.append(time.perf_counter() - started)
        store.effects_done(effect.effect for effect in effects)
        origin = None
    store.close()
    return sorted(spent)[len(spent) // 2] * 1e3


def _state(source: Source) -> FileState:
    nodes = tuple(NodeText(node.uid, node.text) for node in source.nodes)
    content = b"".join(node.text for node in source.nodes)
    return FileState(FileKind.FILE, 0o644, nodes, content_hash=hash_of(content), size_bytes=len(content))
