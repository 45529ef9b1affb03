"""Files at head, shared by all views: which version each process believes in, and what the backing file is.

F1  `version` is the seq of the newest commit of the path; 0 or below: never recorded, and the number
    counts how often the backing file changed behind us (its old bytes are then unknown).
F2  `signature` is the backing file's as we last knew it; another signature is somebody else's edit.
"""

from dataclasses import dataclass, field

from makfs.engine.inodes import StatLike
from makfs.ids import RepoPath
from makfs.syntax.node import Source

_MOST_BELIEFS = 64
HOT_S = 2.0  # so long after another view's commit a reader keeps to one version


@dataclass(frozen=True, slots=True)
class OwnText:
    """What a process wrote when the commit made something else of it, by merging."""

    data: bytes


@dataclass(frozen=True, slots=True)
class PastText:
    """A version that the file had under another path."""

    content_hash: bytes


Belief = int | OwnText | PastText | None
"""What a process takes a file to be: a version (F1), or a text; None: it has read nothing."""

Signature = tuple[int, int, int]


def signature(st: StatLike) -> Signature:
    """Return what tells one state of a backing file from another: mtime, size, inode."""
    return (st.st_mtime_ns, st.st_size, getattr(st, "st_ino", 0))


@dataclass(slots=True)
class File:
    """One path of the head tree that somebody has opened or changed."""

    path: RepoPath
    version: int = 0
    first: int = 0  # the version (0 or below) that the store keeps as the origin
    signature: Signature | None = None  # None: not compared with the store yet
    deleted_by: int = 0  # number of the view that deleted it, while it is gone
    kept: int = 0  # while it is gone: the version that was deleted
    source: Source | None = None  # of the head, with uids; a cache
    changed_by: int = -1  # number of the view whose commit was the last
    changed_s: float = 0.0  # when that was (monotonic)
    commits: dict[int, int] = field(default_factory=dict)  # view's number -> its last commit, since the start
    contended_s: float = 0.0  # when it was last changed by another view than before
    owed: bytes | None = None  # committed, but not yet written through (the disk was full)
    beliefs: dict[tuple[int, int], Belief] = field(default_factory=dict)

    def believe(self, view: int, pid: int, belief: Belief) -> None:
        """Note what a process, and with it its view, now takes the file to be."""
        beliefs = self.beliefs
        if len(beliefs) >= _MOST_BELIEFS and (view, pid) not in beliefs:
            del beliefs[next(iter(beliefs))]
        beliefs.pop((view, pid), None)
        beliefs[view, pid] = beliefs[view, 0] = belief

    def renumber(self, before: int) -> None:
        """Note that the text which has been version `before` is now `version`."""
        for who, belief in self.beliefs.items():
            if belief == before:
                self.beliefs[who] = self.version

    def changed(self, view: int, now_s: float) -> None:
        """Note that `version` is a view's commit."""
        self.commits[view] = self.version
        if self.changed_by not in (-1, view):
            self.contended_s = now_s
        self.changed_by, self.changed_s = view, now_s

    def foreign_since(self, view: int, version: int) -> bool:
        """Tell whether another view than this has committed after a version."""
        return any(seq > version for other, seq in self.commits.items() if other != view)

    def hot(self, view: int, now_s: float) -> bool:
        """Tell whether readers of a view must expect others' commits right now."""
        foreign_s = self.changed_s if self.changed_by not in (-1, view) else 0.0
        since = max(self.contended_s, foreign_s)
        return since > 0 and now_s - since < HOT_S

    def belief(self, view: int, pid: int) -> Belief:
        """Return what the process last saw of the file, else what its view last saw, else None."""
        found = self.beliefs.get((view, pid))
        return self.beliefs.get((view, 0)) if found is None else found
