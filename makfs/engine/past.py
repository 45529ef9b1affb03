"""Read-only trees as of one commit: `MOUNT/@SEQ`. Made when somebody looks, forgotten with their inodes.

P1  A path shows its newest revision at or before the seq; a path the journal never met shows the
    repository's file, which no commit has changed (J2).
"""

import errno
import os
import stat

from makfs.engine.backing import STATE_DIR
from makfs.engine.core import Core, join
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.names import oserror
from makfs.engine.tree import Found
from makfs.engine.views import View
from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.model import FileKind, Revision

_FIRST_NUMBER = 0x40_0000  # view numbers of past trees; agents' are far below
HEAD_NUMBER = 0x7F_FFFF


class Past:
    """Trees at past seqs."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.views: dict[int, View] = {}  # seq -> view

    def view(self, seq: int) -> View | None:
        """Return the tree of a seq, or None if there is no such commit."""
        if not 0 <= seq <= self.core.store.head:
            return None
        view = self.views.get(seq)
        if view is None:
            number = _FIRST_NUMBER + seq % _FIRST_NUMBER
            view = self.views[seq] = View(number, AgentId(f"@{seq}"), self.core.table, None)
        return view

    def seq(self, view: View) -> Seq:
        """Return the seq a view stands at."""
        return Seq(int(view.agent[1:]))

    def lookup(self, folder: Inode, name: str) -> Found | None:
        """Return what a name was."""
        if folder.path is None or (name == STATE_DIR and not folder.path):
            return None
        path = join(folder.path, name)
        if name == ".git":
            return None
        found = self._stat(folder.view, path)
        if found is None:
            return None
        inode = folder.view.inode(path, Realm.PAST, stat.S_ISDIR(found.st_mode))
        return Found(inode, found)

    def stat(self, inode: Inode) -> StatLike:
        """Return an inode's attributes at its seq."""
        assert inode.path is not None
        found = self._stat(inode.view, inode.path)
        if found is None:
            raise oserror(errno.ENOENT, inode.path)
        return found

    def _stat(self, view: View, path: str) -> StatLike | None:
        revision = self.core.store.revision(RepoPath(path), self.seq(view)) if path else None
        if revision is None:
            return self.core.backing.lstat(path) if self._unrecorded(path) else None
        return self._made(view, revision)

    def _unrecorded(self, path: str) -> bool:
        return not path or self.core.store.revision(RepoPath(path)) is None

    def _made(self, view: View, revision: Revision) -> StatLike | None:
        kinds = {FileKind.FILE: stat.S_IFREG, FileKind.DIR: stat.S_IFDIR, FileKind.SYMLINK: stat.S_IFLNK}
        if revision.kind is FileKind.ABSENT:
            return None
        top = self.core.backing.lstat("")
        made = MadeStat(kinds[revision.kind] | revision.mode)
        made.st_size = revision.size_bytes if revision.kind is FileKind.FILE else len(revision.target)
        made.st_nlink = 2 if revision.kind is FileKind.DIR else 1
        if top is not None:
            made.st_uid, made.st_gid = top.st_uid, top.st_gid
        time_ns = self._time_ns(revision)
        made.st_atime_ns = made.st_mtime_ns = made.st_ctime_ns = time_ns
        return made

    def _time_ns(self, revision: Revision) -> int:
        """Return when the revision was made; an origin is as old as its file's first sight of us."""
        detail = self.core.store.detail(revision.seq) if revision.seq else None
        return detail.commit.time_ns if detail else 0

    def names(self, inode: Inode) -> list[str]:
        """Return the names a folder had."""
        assert inode.path is not None
        recorded = self.core.store.children(RepoPath(inode.path), self.seq(inode.view))
        known_now = self.core.store.children(RepoPath(inode.path))
        found = {name for name, revision in recorded.items() if revision.kind is not FileKind.ABSENT}
        try:
            present = self.core.backing.names(inode.path)
        except (FileNotFoundError, NotADirectoryError):
            present = []
        found.update(name for name in present if name not in known_now and name != ".git")
        return sorted(found)

    def text(self, inode: Inode) -> bytes:
        """Return a file's bytes at its seq. Raises OSError."""
        assert inode.path is not None
        path = RepoPath(inode.path)
        revision = self.core.store.revision(path, self.seq(inode.view))
        if revision is None:
            return self.core.head_text(inode.path)
        if not revision.kept:
            return self._not_kept(revision)
        return b"".join(node.text for node in self.core.store.nodes(path, self.seq(inode.view)))

    def _not_kept(self, revision: Revision) -> bytes:
        """Return a large file's bytes while the repository still has them."""
        now = self.core.store.revision(revision.path)
        if now is not None and now.seq == revision.seq:
            return self.core.backing.read(revision.path)
        raise oserror(errno.EFBIG, revision.path)

    def target(self, inode: Inode) -> bytes:
        """Return where a symbolic link pointed."""
        assert inode.path is not None
        revision = self.core.store.revision(RepoPath(inode.path), self.seq(inode.view))
        if revision is None:
            return os.fsencode(os.readlink(self.core.backing.at(inode.path)))
        return revision.target
