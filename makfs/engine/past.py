"""Read-only trees as of one commit: `MOUNT/@SEQ`, and `MOUNT/@MARK`. Made when somebody looks.

P1  A path shows its newest revision at or before the seq; a path the journal never met shows the
    repository's file, which no commit has changed (J2, J3).
P2  A tree is known as long as the kernel knows anything in it, and no longer: it costs nothing unused.
P3  The kernel is made to forget the trees longest unused, beyond `MOST_TREES` or `MOST_INODES` in all.
"""

import errno
import os
import stat
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakValueDictionary

import trio

from makfs.engine.backing import STATE_DIR
from makfs.engine.core import Core, join
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.names import oserror
from makfs.engine.tree import Found
from makfs.engine.views import View
from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.model import FileKind, Revision
from makfs.store.recent import Recent

_FIRST_NUMBER = 0x40_0000  # view numbers of past trees; agents' are far below
_FIRST_MARK_NUMBER = 0x60_0000
HEAD_NUMBER = 0x7F_FFFF
MOST_TREES = 64
MOST_INODES = 20_000
IDLE_S = 5.0  # a tree that was used a moment ago is left alone
_ENTRIES = 10_000  # of folders listed, remembered for the look-ups that follow
_TEND_S = 2.0
_TIMES = 4_096
_KINDS = {FileKind.FILE: stat.S_IFREG, FileKind.DIR: stat.S_IFDIR, FileKind.SYMLINK: stat.S_IFLNK}


@dataclass(slots=True, eq=False, weakref_slot=True)
class PastTree(View):
    """The tree of one commit under one name."""

    seq: Seq = Seq(0)
    used_s: float = 0.0  # monotonic


class Past:
    """Trees at past seqs."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.trees: WeakValueDictionary[tuple[str, int], PastTree] = WeakValueDictionary()  # (name, seq) (P2)
        self._owner = (0, 0)  # user and group of the repository
        self._marks = 0  # trees of marks made so far
        self._times: Recent[int, int] = Recent(_TIMES)  # seq -> when it was made
        self._folders: Recent[tuple[int, str], tuple[int, Mapping[str, Revision]]] = Recent(
            _ENTRIES
        )  # (seq, folder) -> the head when it was listed, and its entries

    def view(self, name: str) -> PastTree | None:
        """Return the tree of a commit's number or of a mark, or None if there is no such commit."""
        if name.isascii() and name.isdigit():
            seq = int(name)
            if str(seq) != name or seq > self.core.store.head:
                return None
            number = _FIRST_NUMBER + seq % (_FIRST_MARK_NUMBER - _FIRST_NUMBER)
        else:
            mark = self.core.store.mark(name)
            if mark is None:
                return None
            seq, number = mark.seq, _FIRST_MARK_NUMBER + self._marks % (HEAD_NUMBER - _FIRST_MARK_NUMBER)
        tree = self.trees.get((name, seq))
        if tree is None:
            self._marks += number >= _FIRST_MARK_NUMBER
            tree = PastTree(number, AgentId(f"@{name}"), self.core.table, None, seq=Seq(seq))
            self.trees[name, seq] = tree
        tree.used_s = time.monotonic()
        if (top := self.core.backing.lstat("")) is not None:
            self._owner = (top.st_uid, top.st_gid)
        return tree

    def excess(self) -> list[str]:
        """Return the names of trees that the kernel shall forget, longest unused first (P3).

        Not those in which a file is open, or a process stands: a folder that is dropped has no name any more,
        and getcwd(2) fails in it.
        """
        trees = sorted(self.trees.values(), key=lambda tree: tree.used_s)
        inodes = sum(len(tree.by_path) for tree in trees)
        count, latest = len(trees), time.monotonic() - IDLE_S
        names: list[str] = []
        stood_in: set[str] | None = None
        for tree in trees:
            if (count <= MOST_TREES and inodes <= MOST_INODES) or tree.used_s > latest:
                break
            stood_in = _stood_in() if stood_in is None else stood_in
            if tree.agent not in stood_in and not any(inode.opens for inode in tree.by_path.values()):
                names.append(tree.agent)
                count, inodes = count - 1, inodes - len(tree.by_path)
        return names

    async def run(self, drop: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        """Let the kernel forget what is too much, until cancelled (P3)."""
        while True:
            await trio.sleep(_TEND_S)
            if names := self.excess():
                await drop(names)

    @staticmethod
    def _seq(inode: Inode) -> Seq:
        """Return the seq of an inode's tree, which is used now."""
        tree = inode.view
        assert isinstance(tree, PastTree)
        tree.used_s = time.monotonic()
        return tree.seq

    def lookup(self, folder: Inode, name: str) -> Found | None:
        """Return what a name was."""
        if folder.path is None or (name == STATE_DIR and not folder.path):
            return None
        path = join(folder.path, name)
        if name == ".git":
            return None
        found = self._stat(path, self._entry(folder.path, name, self._seq(folder)))
        if found is None:
            return None
        inode = folder.view.inode(path, Realm.PAST, stat.S_ISDIR(found.st_mode))
        return Found(inode, found)

    def stat(self, inode: Inode) -> StatLike:
        """Return an inode's attributes at its seq."""
        assert inode.path is not None
        seq = self._seq(inode)
        found = self._stat(inode.path, self._revision(inode.path, seq) if inode.path else None)
        if found is None:
            raise oserror(errno.ENOENT, inode.path)
        if not inode.path:
            found = MadeStat.like(found)
            found.st_mode &= ~0o222
        return found

    def _revision(self, path: RepoPath, seq: Seq) -> Revision | None:
        return self.core.store.revision(path, seq)

    def _recorded(self, folder: RepoPath, seq: Seq) -> Mapping[str, Revision]:
        """Return what the journal knows of a folder's entries at a seq."""
        if not self.core.store.head:
            return {}
        found = self.core.store.children(folder, seq)
        self._folders.put((seq, folder), (self.core.store.head, found), len(found) + 1)
        return found

    def _entry(self, folder: RepoPath, name: str, seq: Seq) -> Revision | None:
        """Return one entry's revision at a seq.

        What a listing found is so for ever; what it did not find, a commit since then may have recorded.
        """
        if not (head := self.core.store.head):
            return None
        known = self._folders.get((seq, folder))
        if known is not None:
            revision = known[1].get(name)
            if revision is not None or known[0] == head:
                return revision
        return self._revision(RepoPath(join(folder, name)), seq)

    def _stat(self, path: str, revision: Revision | None) -> StatLike | None:
        return self.core.backing.lstat(path) if revision is None else self._made(revision)

    def _made(self, revision: Revision) -> StatLike | None:
        if revision.kind is FileKind.ABSENT:
            return None
        made = MadeStat(_KINDS[revision.kind] | revision.mode)
        made.st_size = revision.size_bytes if revision.kind is FileKind.FILE else len(revision.target)
        made.st_nlink = 2 if revision.kind is FileKind.DIR else 1
        made.st_uid, made.st_gid = self._owner
        time_ns = self._time_ns(revision)
        made.st_atime_ns = made.st_mtime_ns = made.st_ctime_ns = time_ns
        return made

    def _time_ns(self, revision: Revision) -> int:
        """Return when the revision was made, 0 for an origin: nobody knows."""
        found = self._times.get(revision.seq) if revision.seq else 0
        if found is None:
            found = self.core.store.time_ns(revision.seq)
            self._times.put(revision.seq, found)
        return found

    def names(self, inode: Inode) -> list[str]:
        """Return the names a folder had."""
        assert inode.path is not None
        recorded = self._recorded(inode.path, self._seq(inode))
        found = [name for name, revision in recorded.items() if revision.kind is not FileKind.ABSENT]
        try:
            present = self.core.backing.names(inode.path)
        except (FileNotFoundError, NotADirectoryError):
            present = []
        found += [name for name in present if name not in recorded and name != ".git"]
        return sorted(found)

    def text(self, inode: Inode) -> bytes:
        """Return a file's bytes at its seq. Raises OSError."""
        assert inode.path is not None
        path = inode.path
        revision = self._revision(path, self._seq(inode))
        if revision is None:
            return self.core.head_text(inode.path)
        if not revision.kept:
            return self._not_kept(revision)
        return b"".join(node.text for node in self.core.store.nodes(path, self._seq(inode)))

    def _not_kept(self, revision: Revision) -> bytes:
        """Return a large file's bytes while the repository still has them."""
        now = self.core.store.revision(revision.path)
        if now is not None and now.seq == revision.seq:
            return self.core.backing.read(revision.path)
        raise oserror(errno.EFBIG, revision.path)

    def target(self, inode: Inode) -> bytes:
        """Return where a symbolic link pointed."""
        assert inode.path is not None
        revision = self._revision(inode.path, self._seq(inode))
        if revision is None:
            return os.fsencode(os.readlink(self.core.backing.at(inode.path)))
        return revision.target


def _stood_in() -> set[str]:
    """Return the names like `@7` in the paths of processes' working directories (proc(5))."""
    found: set[str] = set()
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):  # it has ended, or is another user's
                found.update(part for part in os.readlink(f"/proc/{name}/cwd").split("/") if part[:1] == "@")
    return found
