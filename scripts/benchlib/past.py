"""Going back and standing still: past trees, undo, snapshot views published, the journal as git commits.

Through a mount and its control socket. Times are of the wall clock, as whoever waits sees them, with the
policy `merge`, so that nobody waits for a lease. Every exported tree is compared with what was written.
"""

import hashlib
import os
import random
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from benchlib import trees
from benchlib.machine import Failed, Makfs, resident_mb
from benchlib.report import Row, median
from makfs.cli.client import Client
from makfs.engine.api import Published, Reverted
from makfs.wire import verbs

SECTION = "past"
FOLDER = "bench_past"
FILES, EACH = 50, 4  # of a publish: files, and functions changed in each
LINES = 200
WALKED = 3  # exported trees compared with those of the mount, byte by byte
T = TypeVar("T")
_COUNT = re.compile(rb"count \+ \d+")


@dataclass(slots=True)
class _Work:
    """The files that are edited, and what git should find in each tree."""

    makfs: Makfs
    client: Client
    chance: random.Random
    start: int  # the newest commit before all this
    tree: dict[str, str]  # what was there then: path -> blob
    texts: dict[str, bytes] = field(default_factory=dict)
    written: list[tuple[int, str, str]] = field(default_factory=list)  # commit, path, blob

    def path(self, number: int) -> str:
        return f"{FOLDER}/f{number % FILES}.py"

    def head(self) -> int:
        return int(self.client.ask(verbs.SeqOf("head")))

    def edit(self, view: str, number: int, functions: range, *, journal: bool = True) -> None:
        """Change some functions of a file, as far as this view shows it."""
        path = self.path(number)
        at = self.makfs.mountpoint / view / path
        text = at.read_bytes() if at.exists() else self.texts[path]
        places = list(_COUNT.finditer(text))
        for function in reversed(functions):
            place = places[function % len(places)]
            text = b"%scount + %d%s" % (
                text[: place.start()], self.chance.randint(0, 9_999_999), text[place.end() :]
            )  # fmt: skip
        at.write_bytes(text)
        if journal:
            self.texts[path] = text
            self.written.append((self.head(), path, _blob(text)))


def measure(makfs: Makfs, rounds: int, commits: int, seed: int) -> Iterator[Row]:
    """Publish, undo, export `commits` commits, look at all their trees."""
    with makfs.mounted("a", "b", on_write="merge"), Client(str(makfs.repo)) as client:
        start = int(client.ask(verbs.SeqOf("head")))
        work = _Work(makfs, client, random.Random(seed), start, _there(makfs.repo))
        (makfs.mountpoint / "a" / FOLDER).mkdir()
        for number in range(FILES):
            work.texts[work.path(number)] = trees.python_text(LINES, work.chance).encode()
            work.edit("a", number, range(0))
        yield from _undo(work, rounds)
        for number in range(commits):
            work.edit("ab"[number % 2], number, range(number % 20, number % 20 + 1))
        yield from _export(work)
        yield from _publish(work, rounds)
    yield from _trees(makfs, range(start + 1, start + commits + 1))


def _undo(work: _Work, rounds: int) -> Iterator[Row]:
    spent: list[float] = []
    again: list[float] = []
    for number in range(rounds):
        before = work.texts[work.path(number)]
        work.edit("a", number, range(1))
        took, done = _timed(lambda: work.client.get(verbs.Undo((work.head(),)), Reverted))
        spent.append(took)
        work.written.append((work.head(), work.path(number), _blob(before)))
        if (work.makfs.repo / work.path(number)).read_bytes() != before:
            raise Failed("an undo did not bring back what was there")
        took, _ = _timed(lambda seq=done.seq or 0: work.client.get(verbs.Undo((seq,)), Reverted))  # type: ignore[misc]
        again.append(took)
        work.written.append((work.head(), work.path(number), _blob(work.texts[work.path(number)])))
    yield Row(SECTION, "undo of a commit", "ms", median(spent) * 1e3, goal=50)
    yield Row(SECTION, "undo of that undo", "ms", median(again) * 1e3, goal=50)


def _publish(work: _Work, rounds: int) -> Iterator[Row]:
    """Publish changes of many functions in many files, head the same meanwhile, and head changed in each."""
    work.client.ask(verbs.AddAgent("s", None, "snapshot"))
    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds):
        for moved, spent in found.items():
            for file in range(FILES):
                work.edit("s", file, range(EACH), journal=False)
                if moved:
                    work.edit("b", file, range(EACH + number % 8 + 2, EACH + number % 8 + 3), journal=False)
            took, done = _timed(lambda: work.client.get(verbs.Publish("s"), Published))
            nodes = work.client.ask(verbs.Show(done.seq or 0))["commit"]["nodes_changed"]
            if (len(done.paths), nodes) != (FILES, FILES * EACH):
                raise Failed(f"{nodes} nodes in {len(done.paths)} files were published")
            spent.append(took)
    what = f"publish of {FILES * EACH} nodes in {FILES} files"
    yield Row(SECTION, what, "ms", median(found[False]) * 1e3, goal=300)
    yield Row(SECTION, f"{what}, head changed in each", "ms", median(found[True]) * 1e3, goal=300)
    published = work.head()
    took, _ = _timed(lambda: work.client.get(verbs.Undo((published,)), Reverted))
    yield Row(SECTION, "undo of that publish", "ms", took * 1e3)


def _export(work: _Work) -> Iterator[Row]:
    head = work.head()
    took, _ = _timed(lambda: work.makfs.run("-C", str(work.makfs.repo), "git", "export"))
    yield Row(SECTION, f"`makfs git export` of {head:,} commits", "s", took, goal=10)
    took, _ = _timed(lambda: work.makfs.run("-C", str(work.makfs.repo), "git", "export"))
    yield Row(SECTION, "again, nothing new", "s", took)
    repo = work.makfs.repo
    trees.git(repo, "fsck", "--strict", "--full")
    exported = trees.git(repo, "rev-list", "--reverse", "refs/makfs/log").decode().split()
    if len(exported) != head + 1:
        raise Failed(f"{len(exported)} git commits for {head} of the journal")
    expected = work.tree
    changes = {seq: (path, blob) for seq, path, blob in work.written}
    for seq, commit in enumerate(exported[work.start :], work.start):
        if seq in changes:
            path, blob = changes[seq]
            expected[path] = blob
        if _tree(repo, commit) != expected:
            raise Failed(f"the exported tree of commit {seq} is not what was written")
    for seq in [work.start + (head - work.start) * part // WALKED for part in range(1, WALKED + 1)]:
        _compare(repo, work.makfs.mountpoint / f"@{seq}", _tree(repo, exported[seq]))
    yield Row(SECTION, "exported trees that are as written", "", len(exported) - work.start)


def _there(repo: Path) -> dict[str, str]:
    """Return the blobs of what is in a repository now, but for ignored files."""
    names = trees.git(repo, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split(b"\0")
    places = {os.fsdecode(name): repo / os.fsdecode(name) for name in names if name}
    return {path: _blob(_data(at)) for path, at in places.items() if os.path.lexists(at)}


def _data(at: Path) -> bytes:
    """Return what git keeps of a file or a link."""
    return os.fsencode(os.readlink(at)) if at.is_symlink() else at.read_bytes()


def _tree(repo: Path, commit: str) -> dict[str, str]:
    """Return the blobs of a git tree."""
    found = {}
    for line in trees.git(repo, "ls-tree", "-r", "-z", commit).split(b"\0"):
        if line:
            about, _, name = line.partition(b"\t")
            found[os.fsdecode(name)] = about.split(b" ")[2].decode()
    return found


def _compare(repo: Path, past: Path, tree: dict[str, str]) -> None:
    """Raise Failed unless a tree of the mount is git's, byte by byte, but for ignored files."""
    found = {}
    for folder, _, names in os.walk(past):
        for name in names:
            at = Path(folder, name)
            found[os.path.relpath(at, past)] = _blob(_data(at))
    more = found.keys() - tree.keys()
    if more:
        listing = b"\0".join(map(os.fsencode, more))
        command = ["git", "-C", str(repo), "check-ignore", "-z", "--stdin"]
        ignored = subprocess.run(command, input=listing, stdout=subprocess.PIPE).stdout.split(b"\0")
        more -= {os.fsdecode(name) for name in ignored}
    if more or any(found.get(path) != blob for path, blob in tree.items()):
        raise Failed(f"{past} is not what was exported")


def _trees(makfs: Makfs, commits: range) -> Iterator[Row]:
    """Look at trees that neither a daemon nor the kernel has seen."""
    with makfs.mounted("a"):
        pid, top = makfs.pid, makfs.mountpoint
        took, _ = _timed(lambda: os.stat(top / f"@{commits[-1]}" / FOLDER / "f0.py"))
        yield Row(SECTION, "look-up of a file in an unknown @SEQ", "s", took, goal=1.0)
        find = ["find", str(top / f"@{commits[-2]}"), "-ls"]
        took, listed = _timed(lambda: subprocess.run(find, check=True, stdout=subprocess.PIPE).stdout)
        names = listed.count(b"\n")
        yield Row(SECTION, f"`find -ls` in an unknown @SEQ, {names:,} names", "s", took, goal=1.0)
        before = resident_mb(pid)
        for seq in commits:
            os.stat(top / f"@{seq}")
        yield Row(SECTION, f"memory for {len(commits):,} trees of the past", "MB", resident_mb(pid) - before)


def _timed(what: Callable[[], T]) -> tuple[float, T]:
    started = time.perf_counter()
    done = what()
    return time.perf_counter() - started, done


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0%s" % (len(data), data)).hexdigest()
