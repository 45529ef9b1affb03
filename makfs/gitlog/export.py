"""Export the journal: `refs/makfs/log`, one git commit for each of its commits.

G1  The tree of each exported commit has just the files of `@SEQ`, as it was to be read at the time of the
    export, without what git ignores and does not track: same names, same bytes, same x bits, same links.
G2  Where an export begins is what the trailer of the ref's tip says; an export only ever adds to it.
G3  A log of another journal is not continued: the tip must be a commit of this one.

Files that no commit records are in the trees as they are on the disk. What of these changed between two
exports has a commit of its own before the next one of the journal, so that nobody is named for it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dulwich.objects import ObjectID

from makfs.errors import Busy, NotKept
from makfs.gitlog.message import base_message, identity, message_of
from makfs.gitlog.objects import GitLog, Tip
from makfs.gitlog.program import Git
from makfs.gitlog.states import States
from makfs.gitlog.trees import MODULE_MODE, Folder, Leaf
from makfs.ids import PERSON, Seq
from makfs.store.model import FileKind, Revision
from makfs.store.replay import Replay, Step

STATE_DIR = ".makfs"
Progress = Callable[[str, int, int], None]
_NEVER = frozenset({b".git", STATE_DIR.encode()})


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did."""

    commits: int  # of the journal
    upto: Seq  # the newest exported commit, also of earlier exports
    tip: str  # what the ref is now, "" if there is none


def export(
    top: str, upto: Seq | None = None, progress: Progress = lambda what, done, total: None
) -> Exported:
    """Bring the ref up to a commit of the journal, the newest if None. Safe beside a daemon that commits.

    Raises NotFound, StoreError, Busy, GitFailed. Cost: reads every file of the repository that no commit
    records, once, and what each commit changed.
    """
    git = Git(top)
    with Replay(Path(top) / STATE_DIR) as replay, GitLog(top) as log:
        tip = log.tip()
        head = replay.head
        last = head if upto is None else min(head, upto)
        _check_tip(replay, tip, head, top)
        start = Seq(tip.seq if tip else replay.cut)
        if start < replay.cut:
            raise NotKept(
                f"The history of {top} was cut up to commit {replay.cut}, and refs/makfs/log ends with "
                f"{start}; keep that under another name with 'git update-ref', delete it, and export again."
            )
        if start >= last:
            return Exported(0, start, "" if tip is None else tip.commit.decode())
        return _Export(git, replay, log, progress).run(tip, start, last)


def exported(top: str) -> Seq | None:
    """Return the newest commit of the journal that refs/makfs/log has; None if there is no such log.

    Raises GitFailed where there is a repository of git that cannot be read.
    """
    if not os.path.lexists(os.path.join(top, ".git")):
        return None
    with GitLog(top) as log:
        tip = log.tip()
    return None if tip is None else Seq(tip.seq)


def _check_tip(replay: Replay, tip: Tip | None, head: Seq, top: str) -> None:
    """Raise Busy unless the tip is of this journal (G3)."""
    if tip is None or tip.seq == 0:
        return
    step = next(replay.steps(Seq(tip.seq - 1), Seq(tip.seq)), None)
    if step is not None and tip.seq <= head:
        same = (identity(step.commit.agent), max(0, step.commit.time_ns // 1_000_000_000))
        if tip.is_base or (tip.author, tip.time_s) == same:
            return
    raise Busy(
        f"refs/makfs/log of {top} ends with commit {tip.seq} of another journal; keep it under another name "
        "with 'git update-ref', delete it with 'git update-ref -d', and export again."
    )


class _Export:
    """One run."""

    def __init__(self, git: Git, replay: Replay, log: GitLog, progress: Progress) -> None:
        self._git = git
        self._replay = replay
        self._log = log
        self._progress = progress
        self._states = States(replay, log, git.top)
        self._root = Folder()
        self._left_out: frozenset[bytes] = frozenset()

    def run(self, tip: Tip | None, start: Seq, last: Seq) -> Exported:
        """Export the commits after `start`."""
        self._build(start, {} if tip is None else self._log.leaves(tip.tree))
        published = parent = None if tip is None else tip.commit
        for step in self._replay.steps(start, last):
            if step.commit.seq == start + 1:
                parent = self._base(tip, start, step)
            assert parent is not None
            parent = self._export(step, parent)
            self._progress("exporting", step.commit.seq - start, last - start)
            if self._log.is_full or step.commit.seq == last:
                self._log.publish(parent, published)
                published = parent
        assert published is not None, "the journal has the commits up to `last` (J1)"
        return Exported(last - start, last, published.decode())

    def _build(self, start: Seq, exported: Mapping[bytes, Leaf]) -> None:
        """Make the tree as of `start`: files on the disk, then what the journal says.

        The disk is read first: a file that is committed meanwhile is among the recorded ones then, whose
        states go over what was read.
        """
        on_disk = self._on_disk()
        recorded = {os.fsencode(each.path): each for each in self._replay.everything(start)}
        self._left_out = self._git.ignored(recorded) | {path for path in recorded if _is_never(path)}
        for path, leaf in on_disk.items():
            self._root.put(path, leaf)
        for path, revision in recorded.items():
            if path not in self._left_out:
                self._put(path, revision, exported.get(path))

    def _on_disk(self) -> dict[bytes, Leaf]:
        indexed = self._git.indexed()
        found: dict[bytes, Leaf] = {}
        paths = [*indexed, *self._git.untracked()]
        for at, path in enumerate(paths):
            if at % 100 == 0:
                self._progress("reading the repository", at, len(paths))
            mode, sha = indexed.get(path, (0, b""))
            module = ObjectID(sha) if mode == MODULE_MODE else None
            leaf = None if _is_never(path) else self._states.on_disk(path, module)
            if leaf is not None:
                found[path] = leaf
        return found

    def _put(self, path: bytes, revision: Revision, exported: Leaf | None = None) -> None:
        """Put a recorded state; what was exported of it once is not read again."""
        if revision.kind is FileKind.FILE and exported is not None and revision.seq > 0:
            self._root.put(path, exported)
        else:
            self._root.put(path, self._states.leaf(revision), is_dir=revision.kind is FileKind.DIR)

    def _base(self, tip: Tip | None, start: Seq, first: Step) -> ObjectID:
        """Return the parent of the first commit: the tip, or a new one where files differ from its tree."""
        tree = self._root.write(self._log.tree)
        if tip is not None and (tree or _EMPTY_TREE) == tip.tree:
            return tip.commit
        files = sum(1 for _ in self._root.leaves())
        message = base_message(start, files, self._git.head() if tip is None else "", self._states.told())
        time_s = first.commit.time_ns // 1_000_000_000
        return self._log.commit(tree, None if tip is None else tip.commit, identity(PERSON), time_s, message)

    def _export(self, step: Step, parent: ObjectID) -> ObjectID:
        commit = step.commit
        for revision in step.files:
            path = os.fsencode(revision.path)
            if path not in self._left_out:
                self._put(path, revision)
        tree = self._root.write(self._log.tree)
        message = message_of(commit, self._states.told())
        return self._log.commit(
            tree, parent, identity(commit.agent), commit.time_ns // 1_000_000_000, message
        )


_EMPTY_TREE = b"4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def _is_never(path: bytes) -> bool:
    """Tell whether no git tree may hold the path, whatever the journal says."""
    parts = path.split(b"/")
    return parts[0] in _NEVER or b".git" in {part.lower() for part in parts} or b"" in parts
