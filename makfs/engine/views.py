"""Views: what one agent sees. State only; the rooms beside this one change it.

V1  `by_path` maps every live path the kernel or a handle knows to its one inode; an orphan is in no map.
V2  A read-only view (`@head`) has no upper layer and never has staged bytes.
V4  Another view's move takes no path from an inode with staged bytes but to give it the new one. If that is
    taken by such an inode, too, it stays, and its writer is told that the file is gone.
V3  `staged` holds exactly the inodes with staged bytes, so that a listing need not look at all of them.
"""

import time
from collections import deque
from dataclasses import dataclass, field

import trio

from makfs.engine.inodes import Inode, InodeTable, Realm
from makfs.engine.lower import PastLower, in_git, is_shared_git
from makfs.engine.roles import Role
from makfs.engine.upper import Upper
from makfs.ids import AgentId, Seq
from makfs.settings import OnWrite

MOST_NOTICES = 10
_MOST_YOUNG = 1000


@dataclass(frozen=True, slots=True)
class RefusedSave:
    """A rename over a file that was refused: some clients write it in place then, and report success."""

    until: float  # monotonic
    why: str


@dataclass(slots=True, eq=False)
class Stand:
    """Where a snapshot view stands."""

    lower: PastLower
    frozen: str = ""  # why nothing may be changed now
    busy: trio.Lock = field(default_factory=trio.Lock)  # publish, refresh and discard take turns

    @property
    def at(self) -> Seq:
        """Return the commit it stands at."""
        return self.lower.seq

    def realm(self, path: str, realm: Realm) -> Realm:
        """Return the realm of a path whose realm in a live view is known."""
        if realm is Realm.GIT:  # a repository inside this one is shared as a whole
            shared = self.lower.has_git and is_shared_git(path) if in_git(path) else True
            return Realm.GIT if shared else Realm.SNAP
        return realm if realm is Realm.SCRATCH else Realm.SNAP


@dataclass(slots=True, eq=False)
class View:
    """One agent's view: of the head, or of a snapshot with its own edits."""

    number: int  # the same for ever
    agent: AgentId
    table: InodeTable
    upper: Upper | None  # None: read-only
    stand: Stand | None = None  # None: live
    policy: OnWrite = OnWrite.MERGE
    by_path: dict[str, Inode] = field(default_factory=dict)
    staged: set[Inode] = field(default_factory=set)
    shadows: dict[str, float] = field(
        default_factory=dict
    )  # closed shadows: path -> monotonic time of closing
    youth: dict[str, float] = field(default_factory=dict)  # new files the kernel forgot -> young until
    name_operations: int = 0  # in flight; each holds a directory's lock in the kernel
    commits: int = 0
    refusals: int = 0
    waits: int = 0  # operations that waited for what others held, and for how long; counted when it is over
    waited_ns: int = 0
    last_activity_ns: int = 0
    refused_saves: dict[tuple[str, int], RefusedSave] = field(default_factory=dict)  # (path, pid) -> it
    role: Role | None = None  # None: it may see and write everything
    reads_locked: bool = False  # opening a file waits for those who write it
    stirred: bool = False  # the agent did something since its claims were last renewed
    why: str = ""  # the last refusal, in plain sentences
    notices: deque[str] = field(default_factory=lambda: deque(maxlen=MOST_NOTICES))  # newest first

    def inode(self, path: str, realm: Realm, is_dir: bool) -> Inode:
        """Return the path's inode, made if the view has none of that type."""
        inode = self.by_path.get(path)
        if inode is not None and inode.is_dir == is_dir:
            return inode
        if inode is not None:
            self.orphan(inode)
        inode = self.table.create(self, path, realm, is_dir)
        if self.youth:
            inode.young_until = self.youth.pop(path, 0.0)
        self.by_path[path] = inode
        return inode

    def tracked(self, path: str) -> Inode | None:
        """Return the path's inode unless it is a private file, which hides what the head has there."""
        inode = self.by_path.get(path)
        return inode if inode is None or inode.realm in (Realm.TRACKED, Realm.GIT) else None

    def orphan(self, inode: Inode, *, elsewhere: bool = False) -> None:
        """Take the inode's path away: it is unlinked or renamed over (I3), `elsewhere` if by another view."""
        inode.displaced = elsewhere
        if inode.path is not None and self.by_path.get(inode.path) is inode:
            del self.by_path[inode.path]
        inode.path = None
        self.settle(inode)

    def settle(self, inode: Inode) -> None:
        """Forget the inode if nothing refers to it."""
        if not inode.idle:
            return
        if inode.young_until and inode.path is not None and inode.young:
            self._remember_youth(inode.path, inode.young_until)
        if inode.path is not None and self.by_path.get(inode.path) is inode:
            del self.by_path[inode.path]
        self.table.discard(inode)

    def _remember_youth(self, path: str, until: float) -> None:
        """Keep that a file is new while the kernel forgets it: a rename over F is an edit of F still."""
        if len(self.youth) >= _MOST_YOUNG:
            now = time.monotonic()
            self.youth = {each: end for each, end in self.youth.items() if end > now}
        if len(self.youth) < _MOST_YOUNG:
            self.youth[path] = until

    def moved(self, old: str, new: str, *, folder: bool = True) -> list[str]:
        """Give an inode, and all below a folder, their new paths. Cost: for a `folder`, all inodes.

        Returns the new paths that are not those inodes' (V4): what the kernel has by these names is wrong.
        """
        inode = self.by_path.get(old)
        taken = [] if inode is None or self._place(inode, new) else [new]
        if not folder:
            return taken
        prefix = old + "/"
        for path in [path for path in self.shadows if path.startswith(prefix)]:
            self.shadows[new + path[len(old) :]] = self.shadows.pop(path)
        for path in [path for path in self.by_path if path.startswith(prefix)]:
            below = new + path[len(old) :]
            if not self._place(self.by_path[path], below):
                taken.append(below)
        return taken

    def _place(self, inode: Inode, path: str) -> bool:
        """Give an inode another path and return True, unless bytes staged there would be lost (V4)."""
        there = self.by_path.get(path)
        if there is not None and there is not inode:
            if there.is_staged:
                if not inode.is_staged:
                    self.orphan(inode, elsewhere=True)
                return False
            self.orphan(there)
        if inode.path is not None and self.by_path.get(inode.path) is inode:
            del self.by_path[inode.path]
        inode.path = path  # type: ignore[assignment]
        inode.judged = -1
        self.by_path[path] = inode
        return True

    def use_shadow(self, path: str) -> None:
        """Let a shadow that somebody is at work with be young again: refused a rename, he will remove it."""
        if path in self.shadows:
            self.shadows[path] = time.monotonic()

    def below(self, path: str) -> list[Inode]:
        """Return the inodes known below a folder."""
        prefix = path + "/" if path else ""
        return [inode for known, inode in self.by_path.items() if known.startswith(prefix) and known != path]

    def active(self) -> None:
        """Note that the agent did something."""
        self.last_activity_ns = time.time_ns()
        self.stirred = True

    def note_wait(self, waited_ns: int) -> None:
        """Note that an operation waited so long for what others held."""
        self.waits += 1
        self.waited_ns += waited_ns

    @property
    def told(self) -> str:
        """Return what `.makfs/why` says: the last refusal, then what else its agent should know."""
        parts = [self.why or "No write of this view was refused.", *self.notices]
        return "\n".join(parts) + "\n"

    def check(self) -> None:
        """Assert V1 and V2. Cost: every inode; for tests."""
        for path, inode in self.by_path.items():
            assert inode.path == path, f"V1: {inode} is listed at {path!r}"
            assert inode.view is self, f"V1: {inode} belongs to another view"
            assert (inode.staging is not None) is (inode in self.staged), f"V3: {inode}"
            assert self.upper is not None or inode.staging is None, f"V2: {inode} is staged"
