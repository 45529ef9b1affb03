"""Names of tracked files and folders: make, remove, replace. Each is one commit, then one change on disk.

M3  In other views a removed file's inode with staged bytes keeps its path, so that its writer is told.
"""

import contextlib
import dataclasses
import errno
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from makfs.engine.core import Core, join, parent_of
from makfs.engine.corridor import Corridor
from makfs.engine.edit import Edit
from makfs.engine.effects import Effects
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.procs import NOBODY, Writer
from makfs.engine.views import RefusedSave, View
from makfs.errors import Refused
from makfs.ids import RepoPath, Seq
from makfs.store.model import FileChange, FileKind, FileState

REFUSED_SAVE_S = 60.0  # so long a refused rename also refuses the in-place write that clients fall back to


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes a name: owner of what is made, and the process for the journal."""

    uid: int
    gid: int
    writer: Writer = NOBODY


def oserror(number: int, path: str = "") -> OSError:
    """Return the OSError of an errno."""
    return OSError(number, os.strerror(number), path)


class Names:
    """Name operations of tracked paths. Plain `def`s (E1)."""

    def __init__(self, core: Core, corridor: Corridor) -> None:
        self.core = core
        self.corridor = corridor

    # ---- make

    def mkdir(self, view: View, path: str, mode: int, maker: Maker, effects: Effects) -> None:
        """Make a folder. Raises FileExistsError at once if there is anything."""
        core = self.core
        self._check_free(view, path)
        change = FileChange(
            RepoPath(path), FileState(FileKind.DIR, stat.S_IMODE(mode)), origin=core.origin(path)
        )
        commit = self.corridor.journal(view.agent, maker.writer, (change,))
        self._on_disk(path, lambda at: os.mkdir(at, stat.S_IMODE(mode)))
        self._own(path, maker)
        os.chmod(core.backing.at(path), stat.S_IMODE(mode))
        self._made(path, commit.seq, view, effects)

    def symlink(self, view: View, path: str, target: bytes, maker: Maker, effects: Effects) -> None:
        """Make a symbolic link."""
        core = self.core
        self._check_free(view, path)
        state = FileState(FileKind.SYMLINK, 0o777, target=target)
        change = FileChange(RepoPath(path), state, origin=core.origin(path))
        commit = self.corridor.journal(view.agent, maker.writer, (change,))
        self._on_disk(path, lambda at: os.symlink(target, os.fsencode(at)))
        self._own(path, maker)
        self._made(path, commit.seq, view, effects)

    def _check_free(self, view: View, path: str) -> None:
        inode = view.by_path.get(path)
        staged = inode is not None and inode.staging is not None
        if staged or self.core.backing.lstat(path) is not None:
            raise oserror(errno.EEXIST, path)

    def _on_disk(self, path: str, make: Callable[[str], None]) -> None:
        try:
            make(self.core.backing.at(path))
        except FileNotFoundError:
            self.core.backing.make_parents(path)
            make(self.core.backing.at(path))

    def _own(self, path: str, maker: Maker) -> None:
        if os.geteuid() == 0:
            os.lchown(self.core.backing.at(path), maker.uid, maker.gid)

    def _made(self, path: str, seq: Seq, view: View, effects: Effects) -> None:
        file = self.core.file(path)
        file.version, file.deleted_by, file.kept, file.source = seq, 0, 0, None
        file.beliefs.clear()
        view.commits += 1
        self.core.note_name(effects, path, own=view)

    # ---- remove

    def is_unseen(self, view: View, path: str) -> bool:
        """Tell whether a path is a file that only its own view knows."""
        inode = view.by_path.get(path)
        staged = inode is not None and inode.staging is not None and inode.staging.new
        return staged and self.core.backing.lstat(path) is None

    def unlink(self, view: View, path: str, maker: Maker, effects: Effects) -> None:
        """Remove a file or symbolic link; open handles keep its bytes."""
        core = self.core
        inode = view.by_path.get(path)
        st = core.backing.lstat(path)
        if inode is not None and inode.staging is not None and inode.staging.new:
            view.orphan(inode)
            if st is None:
                return
        if st is None:
            raise oserror(errno.ENOENT, path)
        if stat.S_ISDIR(st.st_mode):
            raise oserror(errno.EISDIR, path)
        if stat.S_ISREG(st.st_mode):
            self.corridor.refresh(core.file(path), effects)
        self._delete(view, path, maker, effects)
        os.unlink(core.backing.at(path))

    def rmdir(self, view: View, path: str, maker: Maker, effects: Effects) -> None:
        """Remove an empty folder. Raises ENOTEMPTY if anything is visible in it."""
        core = self.core
        st = core.backing.lstat(path)
        if st is None:
            raise oserror(errno.ENOENT, path)
        if not stat.S_ISDIR(st.st_mode):
            raise oserror(errno.ENOTDIR, path)
        if core.backing.names(path) or self.private_below(view, path):
            raise oserror(errno.ENOTEMPTY, path)
        self._delete(view, path, maker, effects)
        os.rmdir(core.backing.at(path))
        if view.upper is not None:
            view.upper.dropped_folder(path)

    def private_below(self, view: View, path: str) -> bool:
        """Tell whether the view has staged or private names directly in a folder."""
        if view.upper is not None and view.upper.tops.get(path):
            return True
        return any(
            inode.path is not None
            and inode.staging is not None
            and inode.staging.new
            and parent_of(inode.path) == path
            for inode in view.staged
        )

    def _delete(self, view: View, path: str, maker: Maker, effects: Effects) -> None:
        """Journal an absence and take the path from all views."""
        core = self.core
        change = FileChange(RepoPath(path), FileState(FileKind.ABSENT), origin=core.origin(path))
        commit = self.corridor.journal(view.agent, maker.writer, (change,))
        view.commits += 1
        self.gone(view, path, commit.seq, effects)

    def gone(self, view: View, path: str, seq: Seq, effects: Effects, *, moved: bool = False) -> None:
        """Take a path that no longer exists at head from all tables (M1, M3).

        A file that was removed, not `moved`, may be made again a moment later (git and vim replace files so):
        what was read of it stays known.
        """
        core = self.core
        file = core.file(path)
        file.kept = file.version if file.version > 0 else -1
        st = core.backing.lstat(path)
        if moved or st is None or not stat.S_ISREG(st.st_mode):
            file.kept = 0
            file.beliefs.clear()
        file.version, file.signature, file.source = seq, None, None
        file.deleted_by = view.number
        core.note_name(effects, path, own=view)
        for other in core.views.values():
            inode = other.tracked(path)
            if inode is None:
                continue
            staged = inode.staging is not None and inode.staging.dirty
            if other is view or not staged:
                self.keep(inode)
                other.orphan(inode, elsewhere=other is not view)
                if other is not view:
                    effects.attributes.append(inode.ino)
        core.table.removed(path)

    def keep(self, inode: Inode, *, replaced: bool = False) -> None:
        """Keep attributes and bytes of a file about to become an orphan for those who have it open.

        Of one that is `replaced` also for those who are about to open it: there is no moment without a file.
        """
        st = self.core.backing.lstat(inode.path) if inode.path is not None else None
        if st is None or inode.path is None:  # a staged file that is nowhere yet
            return
        inode.last_stat = MadeStat.like(st)
        if (inode.opens or replaced) and stat.S_ISREG(st.st_mode):
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            inode.drop_orphan_fd()
            with contextlib.suppress(OSError):  # made unreadable meanwhile: open handles have it still
                inode.orphan_fd = os.open(self.core.backing.at(inode.path), flags)

    # ---- save

    def save(
        self,
        view: View,
        path: str,
        data: bytes,
        like: StatLike,
        maker: Maker,
        effects: Effects,
        *,
        source: str,
        removes: str | None = None,
    ) -> Seq:
        """Commit bytes that an editor put in the place of a file (or of none). Raises Refused.

        `source` is the real path of the file they are from: its extended attributes are taken, too.
        """
        core = self.core
        there = core.backing.lstat(path)
        if there is not None and not stat.S_ISREG(there.st_mode):
            self.unlink(view, path, maker, effects)  # a link is replaced, not written through
            there = None
        file = core.file(path)
        target = view.by_path.get(path)
        if target is not None:
            self.keep(target)
        pid = maker.writer.pid
        edit = Edit(
            view, path, data, file.belief(view.number, pid), maker.writer, like.st_mtime_ns, like=like,
            take_mode=True, removes=removes, new=there is None, xattrs_of=source,
        )  # fmt: skip
        try:
            landed = self.corridor.put(edit, effects)
        except Refused as refused:
            view.refused_saves[path, pid] = RefusedSave(time.monotonic() + REFUSED_SAVE_S, str(refused))
            if target is not None:
                target.drop_orphan_fd()
            raise
        view.refused_saves.pop((path, pid), None)
        if target is not None and target.opens:  # who has the old file open goes on reading it
            view.orphan(target)
        elif target is not None:
            target.drop_orphan_fd()
        if edit.new:
            core.note_name(effects, path, own=view)
        if landed.seq is None:
            core.backing.take_xattrs(path, source)
        return landed.seq if landed.seq is not None else core.store.head


def state_with_nodes(core: Core, path: str) -> FileState:
    """Return what stands at a path, with the nodes' identities if the store knows the very text."""
    state = core.state(path)
    revision = core.store.revision(RepoPath(path))
    if revision is None or revision.kind is not FileKind.FILE or not state.kept:
        return state
    if revision.content_hash != state.content_hash or not revision.kept:
        return state
    return dataclasses.replace(state, nodes=core.store.nodes(RepoPath(path)))


__all__ = ["Maker", "Names", "Realm", "join", "oserror", "state_with_nodes"]
