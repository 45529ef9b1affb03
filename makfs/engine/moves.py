"""Renames, by the realms they connect.

A rename inside one realm is that realm's. An editor's shadow (or a scratch file) renamed to a tracked name is
a save of that file; a tracked file renamed to a shadow's name leaves the repository for the private layer.
Folders do not cross realms: EXDEV, and mv(1) copies.
"""

import errno
import os
import shutil
import stat
import time
from collections.abc import MutableMapping
from dataclasses import dataclass

from makfs.engine.backing import RENAME_EXCHANGE, RENAME_NOREPLACE, copy_xattrs
from makfs.engine.core import Core
from makfs.engine.data import Data
from makfs.engine.effects import Effects
from makfs.engine.handles import OpenFile, RealHandle, TrackedHandle
from makfs.engine.held import Needs
from makfs.engine.inodes import Inode, Realm
from makfs.engine.names import Maker, Names, oserror
from makfs.engine.needs import needs_of_names
from makfs.engine.real import REAL, Real
from makfs.engine.renames import Renames
from makfs.engine.tree import Found
from makfs.engine.views import View


@dataclass(frozen=True, slots=True)
class Move:
    """One rename."""

    view: View
    old: str
    old_realm: Realm
    new: str
    new_realm: Realm
    flags: int
    maker: Maker


class Moves:
    """Carries out renames."""

    def __init__(
        self, core: Core, data: Data, names: Names, real: Real, handles: MutableMapping[int, OpenFile]
    ) -> None:
        self.core = core
        self.data = data
        self.names = names
        self.real = real
        self.renames = Renames(core, data.corridor, names)
        self.handles = handles  # the open files of all views

    @staticmethod
    def begin(
        view: View, old: str, old_realm: Realm, new: str, new_realm: Realm, flags: int, maker: Maker
    ) -> Move:
        """Check the flags (renameat2(2)). Raises EINVAL for RENAME_WHITEOUT and unknown ones."""
        if flags & ~(RENAME_EXCHANGE | RENAME_NOREPLACE) or flags == RENAME_EXCHANGE | RENAME_NOREPLACE:
            raise oserror(errno.EINVAL, old)
        return Move(view, old, old_realm, new, new_realm, flags, maker)

    def needs(self, move: Move, is_dir: bool, there: Found | None) -> Needs | None:
        """Return what a rename must be admitted for before it begins; None if its commit sees to that.

        An editor's save changes nodes, which its commit knows. A file that only its view knows is nobody's.
        """
        if move.old == move.new or Realm.TRACKED not in (move.old_realm, move.new_realm):
            return None
        unseen = self.names.is_unseen(move.view, move.old)
        tracked = [
            path
            for path, realm in ((move.old, move.old_realm), (move.new, move.new_realm))
            if realm is Realm.TRACKED and not (unseen and path == move.old)
        ]
        if is_dir:
            return needs_of_names(folders=tracked)
        if move.flags & RENAME_EXCHANGE:
            is_folder = there is not None and there.inode.is_dir
            return needs_of_names(folders=tracked) if is_folder else needs_of_names(tracked)
        if self._is_edit(move, there):
            return None
        return needs_of_names(tracked)

    def _is_edit(self, move: Move, there: Found | None) -> bool:
        """Tell whether a rename puts a file's text in the place of another's, or makes a file."""
        view = move.view
        if move.new_realm is not Realm.TRACKED or (there is not None and not stat.S_ISREG(there.st.st_mode)):
            return False
        if move.old_realm is Realm.TRACKED:
            return self.renames.is_save(view, move.old, there)
        return stat.S_ISREG(os.lstat(self.real.path(view, move.old, move.old_realm)).st_mode)

    def carry_out(self, move: Move, is_dir: bool, there: Found | None, effects: Effects) -> None:
        """Rename. Raises OSError, Refused."""
        if move.flags & RENAME_NOREPLACE and there is not None:
            raise oserror(errno.EEXIST, move.new)
        if move.flags & RENAME_EXCHANGE and there is None:
            raise oserror(errno.ENOENT, move.new)
        if move.old == move.new:
            return
        private = {Realm.SCRATCH, Realm.SHADOW, Realm.SNAP}
        same = move.old_realm is move.new_realm or {move.old_realm, move.new_realm} <= private
        if same and move.old_realm in REAL:
            self.real.rename(move.view, move.old, move.new, move.new_realm, move.flags)
        elif same and move.flags & RENAME_EXCHANGE:
            self._settle_staged(move, effects)
            self.renames.exchange(move.view, move.old, move.new, move.maker, effects)
        elif same:
            self._tracked(move, is_dir, there, effects)
        elif is_dir or move.flags & RENAME_EXCHANGE or Realm.GIT in (move.old_realm, move.new_realm):
            raise oserror(errno.EXDEV, move.new)
        elif move.new_realm is Realm.TRACKED:
            self._save(move, there, effects)
        else:
            self._leave(move, effects)

    def _settle_staged(self, move: Move, effects: Effects) -> None:
        """Commit what is staged on either side: an exchange moves committed files."""
        for path in (move.old, move.new):
            inode = move.view.by_path.get(path)
            if inode is not None and inode.staging is not None and inode.staging.dirty:
                self.data.commit(inode, effects)

    def _tracked(self, move: Move, is_dir: bool, there: Found | None, effects: Effects) -> None:
        view = move.view
        if is_dir and there is not None and not there.inode.is_dir:
            raise oserror(errno.ENOTDIR, move.new)
        source = view.by_path.get(move.old)
        if there is not None and there.inode.staging is not None and there.inode.staging.new:
            view.orphan(there.inode)  # a file of ours that nobody else has seen goes away
        if source is not None and source.staging is not None:
            there_now = self.core.backing.lstat(move.new)
            self.renames.check_target(view, move.old, move.new, False, there_now)
            if source.staging.new and there_now is None:
                self._unseen(view, source, move)
                return
            if source.staging.dirty:
                self.data.commit(source, effects)
        self.renames.rename(view, move.old, move.new, move.maker, effects)

    def _unseen(self, view: View, source: Inode, move: Move) -> None:
        """Rename a file of ours that nobody else has seen: there is nothing to commit yet."""
        assert source.staging is not None
        source.staging.base = None
        self.core.table.renamed(move.old, move.new)
        view.moved(move.old, move.new, folder=False)

    def _save(self, move: Move, there: Found | None, effects: Effects) -> None:
        """Give a private file a tracked name."""
        view = move.view
        real = self.real.path(view, move.old, move.old_realm)
        st = os.lstat(real)
        if there is not None and there.inode.is_dir:
            raise oserror(errno.EISDIR, move.new)
        if stat.S_ISLNK(st.st_mode):
            if there is not None:
                self.names.unlink(view, move.new, move.maker, effects)
            self.names.symlink(view, move.new, os.fsencode(os.readlink(real)), move.maker, effects)
        else:
            if there is not None and there.inode.staging is not None and there.inode.staging.new:
                view.orphan(there.inode)
            with open(real, "rb", buffering=0) as file:
                data = file.readall()
            self.names.save(view, move.new, data, st, move.maker, effects, source=real)
        source = view.by_path.get(move.old)
        self.renames.hand_over(view, move.old, move.new)
        if source is not None and source.path is not None:
            self._reopen_tracked(source)
        self.real.unlink(view, move.old, move.old_realm)

    def _leave(self, move: Move, effects: Effects) -> None:
        """Give a tracked file a private name: vim's backup, a file moved to an ignored folder."""
        view = move.view
        inode = view.by_path.get(move.old)
        if inode is not None and inode.staging is not None and inode.staging.dirty:
            self.data.commit(inode, effects)
        at = self.core.backing.at(move.old)
        st = os.lstat(at)
        upper = self.real.upper(view)
        if upper.resolve(move.new, move.new_realm) is not None:
            self.real.unlink(view, move.new, move.new_realm)
        target = upper.prepare(move.new)
        if stat.S_ISLNK(st.st_mode):
            os.symlink(os.readlink(at), target)
        else:
            self._copy(at, target, st)
        upper.added(move.new)
        if move.new_realm is Realm.SHADOW:
            view.shadows[move.new] = time.monotonic()
        view.moved(move.old, move.new, folder=False)
        if inode is not None:
            inode.realm = move.new_realm
            self._reopen_real(inode, target)
        self.names.unlink(view, move.old, move.maker, effects)

    def _reopen_tracked(self, inode: Inode) -> None:
        """Let those who have a private file open go on with the tracked file it became."""
        for number, handle in self.handles.items():
            if handle.inode is inode and isinstance(handle, RealHandle):
                os.close(handle.fd)
                tracked = self.handles[number] = TrackedHandle(self.core, inode, handle.flags, handle.tid)
                tracked.cached = True  # as it was opened; a handler of a cached write must not wait
                self.data.opening.take_over(tracked)

    def _reopen_real(self, inode: Inode, target: str) -> None:
        """Let those who have a tracked file open go on with the private file it became."""
        for number, handle in self.handles.items():
            if handle.inode is inode and isinstance(handle, TrackedHandle) and not handle.frozen:
                handle.close_fd()
                self.data.opening.hand_over(handle)
                self.handles[number] = self.real.reopened(inode, target, handle.flags, handle.tid)

    @staticmethod
    def _copy(source: str, target: str, st: os.stat_result) -> None:
        shutil.copyfile(source, target)
        copy_xattrs(source, target)
        os.chmod(target, stat.S_IMODE(st.st_mode))
        os.utime(target, ns=(st.st_atime_ns, st.st_mtime_ns))
        if os.geteuid() == 0:
            os.chown(target, st.st_uid, st.st_gid)
