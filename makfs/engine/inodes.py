"""Inodes of all views, and the numbers people see.

I1  `ino = view << 40 | incarnation << 32 | file id`: the low 32 bits of one path are equal in all views
    (git keeps only these) and stable through edits and remounts.
I2  A file id is the CRC-32 of the path, unless that is taken or the file was renamed; such exceptions are
    kept by the store, so a remount finds them again.
I4  Attributes and pages of one inode are of one version: after a commit an inode shows the older version
    until the kernel has dropped both and asked for neither meanwhile. An inode that somebody is reading
    through the kernel's cache stands still until he closes it, for a while at most, so that one reader's
    calls see one version and offsets mean what was read.
I3  An inode without a path is an orphan (unlinked or renamed over): it lives until the kernel forgets it
    and never commits.
"""

import os
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

import trio

from makfs.ids import RepoPath

if TYPE_CHECKING:
    from makfs.engine.files import Belief
    from makfs.engine.staging import Staging
    from makfs.engine.views import View

STILL_S = 2.0  # who opens a file is given so long to read it
YOUNG_S = 10.0  # how long a new file counts as an editor's temporary
ROOT_ID = 1  # file id of a view's top directory
_NAMES = (sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())  # as os.fsencode has it
_ID_MASK = 0xFFFF_FFFF
_PROBE = 0x9E37_79B1  # odd, so that probing visits every id


Stand = tuple[float, int]
"""Until when an inode stands still, and for which process."""


class Realm(Enum):
    """Which rules a path follows."""

    TRACKED = auto()  # staged, merged, journaled, written through
    SCRATCH = auto()  # git-ignored: shared below, private above, copy on write
    SHADOW = auto()  # an editor's temporary file: private to the view
    GIT = auto()  # `.git`: passed through, shared
    ROOT = auto()  # the mountpoint itself
    CONTROL = auto()  # `.makfs` inside a view
    PAST = auto()  # a read-only tree at one seq
    SNAP = auto()  # in a snapshot view: its own edits, over the tree at its seq


class StatLike(Protocol):
    """The fields of `os.stat_result` that a FUSE attribute reply needs."""

    @property
    def st_mode(self) -> int: ...
    @property
    def st_nlink(self) -> int: ...
    @property
    def st_uid(self) -> int: ...
    @property
    def st_gid(self) -> int: ...
    @property
    def st_rdev(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_blocks(self) -> int: ...
    @property
    def st_blksize(self) -> int: ...
    @property
    def st_atime_ns(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


@dataclass(slots=True)
class MadeStat:
    """Attributes that no file on disk has: of staged files, control files, past trees."""

    st_mode: int
    st_size: int = 0
    st_nlink: int = 1
    st_uid: int = 0
    st_gid: int = 0
    st_rdev: int = 0
    st_blksize: int = 4096
    st_atime_ns: int = 0
    st_mtime_ns: int = 0
    st_ctime_ns: int = 0

    @property
    def st_blocks(self) -> int:
        """Return 512-byte blocks, as stat(2) counts them."""
        return (self.st_size + 511) // 512

    @classmethod
    def like(cls, st: StatLike) -> "MadeStat":
        """Return a changeable copy of `st`."""
        return cls(
            st.st_mode,
            st.st_size,
            st.st_nlink,
            st.st_uid,
            st.st_gid,
            st.st_rdev,
            st.st_blksize,
            st.st_atime_ns,
            st.st_mtime_ns,
            st.st_ctime_ns,
        )


@dataclass(slots=True)
class Shown:
    """An older version that an inode goes on showing (I4)."""

    data: bytes
    st: StatLike
    belief: "Belief"  # of who reads it
    served: int = 0  # answers given from it


class Inode:
    """One file or directory of one view, as the kernel knows it."""

    __slots__ = (
        "_staging", "closed", "crowded", "displaced", "given", "ino", "is_dir", "judged", "kind", "last_stat",
        "lookups", "opens", "orphan_fd", "patchers", "path", "pinned", "realm", "shown", "stands",
        "still_until", "suspended", "view", "young_until",
    )  # fmt: skip

    def __init__(self, ino: int, view: "View", path: str, realm: Realm, is_dir: bool) -> None:
        self.ino = ino
        self.view = view
        self.path: RepoPath | None = RepoPath(path)  # None: an orphan (I3)
        self.realm = realm
        self.is_dir = is_dir
        self.lookups = 0  # the kernel's references
        self.opens = 0  # open handles
        self.crowded = False  # several handles were open at once, since it was last closed by all
        self.patchers: list[int] = []  # processes that have it open to write over parts of it
        self._staging: Staging | None = None
        self.suspended: Staging | None = None  # refused at FLUSH, for a handle that goes on
        self.judged = -1  # the generation of ignore rules that `realm` was found by
        self.young_until = 0.0  # monotonic; made by this view a moment ago: a rename over F is an edit of F
        self.last_stat: StatLike | None = None  # orphans only
        self.shown: Shown | None = None  # what the kernel still believes, until it has been told
        self.stands: list[Stand] = []  # who reads it through the kernel's cache (I4)
        self.still_until = 0.0  # monotonic; the longest of those
        self.closed: trio.Event | None = None  # somebody waits for one of them to close it
        self.kind = 0  # S_IFMT of the mode that the kernel was told, once pinned
        self.pinned = False  # the kernel holds its name without a time-out
        self.displaced = False  # an orphan by another view's doing: the kernel may still hold its name
        self.given = False  # the kernel got its text with the answer to an open (plain, P2)
        self.orphan_fd = -1  # the file of an orphan that somebody has open

    @property
    def staging(self) -> "Staging | None":
        """Return the staged bytes, if there are any."""
        return self._staging

    @staging.setter
    def staging(self, staging: "Staging | None") -> None:
        self._staging = staging
        if staging is None:
            self.view.staged.discard(self)
        else:
            self.view.staged.add(self)

    @property
    def staging_base(self) -> "Belief":
        """Return what the staged bytes started from, None without any."""
        return self.staging.base if self.staging is not None else None

    @property
    def is_staged(self) -> bool:
        """Tell whether a writer would lose something if the path went away without a word."""
        return self._staging is not None and self._staging.dirty

    def stand_still(self, pid: int) -> "Stand":
        """Keep showing this version to a process that has just opened the file, until it closes it."""
        stand = (time.monotonic() + STILL_S, pid)
        self.stands.append(stand)
        self.still_until = stand[0]
        return stand

    def sit_down(self, stand: "Stand") -> None:
        """Note that a process that stood still has closed the file."""
        if stand in self.stands:
            self.stands.remove(stand)
            self.still_until = max(self.stands)[0] if self.stands else 0.0
            self._tell_closed()

    def let_go(self) -> None:
        """Stand still for nobody any more."""
        self.stands.clear()
        self.still_until = 0.0
        self._tell_closed()

    def _tell_closed(self) -> None:
        if self.closed is not None:
            self.closed.set()
            self.closed = None

    async def wait_closed(self, most_s: float, but: int = -1) -> None:
        """Wait until it stands still for no process but `but`, at most so long."""
        most = time.monotonic() + most_s
        while True:
            stands = max((until for until, pid in self.stands if pid != but), default=0.0)
            left = min(most, stands) - time.monotonic()
            if left <= 0:
                return
            if self.closed is None:
                self.closed = trio.Event()
            with trio.move_on_after(left):
                await self.closed.wait()

    @property
    def young(self) -> bool:
        """Tell whether the view made the file a moment ago."""
        return self.young_until > 0 and time.monotonic() < self.young_until

    def made_now(self) -> None:
        """Note that the view has just made the file."""
        self.young_until = time.monotonic() + YOUNG_S

    def opened(self) -> None:
        """Count one more open handle."""
        self.crowded = self.opens > 0
        self.opens += 1

    def drop_orphan_fd(self) -> None:
        """Close the kept bytes."""
        if self.orphan_fd >= 0:
            os.close(self.orphan_fd)
            self.orphan_fd = -1

    @property
    def idle(self) -> bool:
        """Tell whether nothing refers to the inode any more."""
        return self.lookups <= 0 and self.opens == 0 and self.staging is None

    def __repr__(self) -> str:
        return f"<Inode {self.ino:#x} {self.path!r} {self.realm.name}>"


class InodeTable:
    """Every inode of every view, by number; and the file ids of paths."""

    def __init__(
        self, exceptions: Mapping[RepoPath, int], keep: Callable[[RepoPath, int | None], None]
    ) -> None:
        self.by_ino: dict[int, Inode] = {}
        self._exceptions: dict[str, int] = dict(exceptions.items())
        self._owner: dict[int, str] = {number: path for path, number in exceptions.items()}
        self._keep = keep

    def file_id(self, path: str) -> int:
        """Return the path's file id (I2). Cost: a dict lookup and a CRC."""
        if not path:
            return ROOT_ID
        if (known := self._exceptions.get(path)) is not None:
            return known
        number = zlib.crc32(path.encode(*_NAMES))
        if number > ROOT_ID and self._owner.get(number, path) == path:
            return number
        return self._probe(path, number)

    def _probe(self, path: str, number: int) -> int:
        """Give the path another id than its hash and remember it."""
        while number <= ROOT_ID or number in self._owner:
            number = (number + _PROBE) & _ID_MASK
        self._set(path, number)
        return number

    def _set(self, path: str, number: int) -> None:
        self._exceptions[path] = number
        self._owner[number] = path
        self._keep(RepoPath(path), number)

    def _drop(self, path: str) -> None:
        number = self._exceptions.pop(path, None)
        if number is not None:
            self._owner.pop(number, None)
            self._keep(RepoPath(path), None)

    def renamed(self, old: str, new: str) -> None:
        """Let the file now at `new` keep the id it had at `old`; `old` is free for another file."""
        self.moved([(old, new)])

    def moved(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Let files keep their ids at their new paths, all at once: pairs of (old, new)."""
        numbers = [(new, self.file_id(old)) for old, new in pairs]
        for pair in pairs:
            for path in pair:
                self._drop(path)
        for path, number in numbers:
            if zlib.crc32(os.fsencode(path)) != number:
                self._set(path, number)

    def removed(self, path: str) -> None:
        """Let a path that is gone have its own hash again."""
        self._drop(path)

    def create(self, view: "View", path: str, realm: Realm, is_dir: bool) -> Inode:
        """Make an inode with a number that the kernel does not know yet (I1)."""
        ino = view.number << 40 | self.file_id(path)
        if (other := self.by_ino.get(ino)) is not None:
            ino = self._another(other, view, path)
        inode = Inode(ino, view, path, realm, is_dir)
        self.by_ino[ino] = inode
        return inode

    def _another(self, other: Inode, view: "View", path: str) -> int:
        """Return a number for a path whose own is taken."""
        number = other.ino & _ID_MASK
        if other.path is not None and other.path != path:
            number = self._probe(path, number)  # two paths with one hash, both alive
        base = view.number << 40 | number
        ino = next((base | turn << 32 for turn in range(256) if base | turn << 32 not in self.by_ino), 0)
        assert ino, "I1: 256 orphans of one path are open"
        return ino

    def discard(self, inode: Inode) -> None:
        """Forget an idle inode."""
        self.by_ino.pop(inode.ino, None)
        inode.drop_orphan_fd()
