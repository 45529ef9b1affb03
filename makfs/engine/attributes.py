"""Attributes of tracked inodes: size, mode, owner, times. Of what is staged, at head, or an orphan.

T1  An orphan says nlink 0, and all else as its last opener would expect of it on a local disk.
T2  Only modes are journaled; owners and times are the backing file's own.
"""

import dataclasses
import errno
import os
import stat
from collections.abc import Callable

from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.effects import Effects
from makfs.engine.files import signature
from makfs.engine.inodes import Inode, MadeStat, StatLike
from makfs.engine.names import Maker, oserror, state_with_nodes
from makfs.engine.staging import Staging
from makfs.engine.views import View
from makfs.ids import RepoPath
from makfs.store.model import FileChange


class Attributes:
    """What stat(2) says and chmod(2), chown(2), utimensat(2) change. Plain `def`s (E1)."""

    def __init__(self, core: Core, corridor: Corridor) -> None:
        self.core = core
        self.corridor = corridor

    # ---- stat

    def stat(self, inode: Inode) -> StatLike:
        """Return a tracked inode's attributes. Raises OSError."""
        staging = inode.staging
        if staging is None and inode.shown is not None:
            inode.shown.served += 1
            return inode.shown.st if inode.path is not None else _unlinked(inode.shown.st)
        if inode.path is None:
            return self._orphan_stat(inode)
        st = None if staging is not None and staging.new else self.core.backing.lstat(inode.path)
        if staging is not None:
            return _staged_stat(staging, st)
        if st is None and inode.opens:  # gone behind us: to who has it open it is an orphan already
            return self._orphan_stat(inode)
        if st is None:
            raise oserror(errno.ENOENT, inode.path)
        if stat.S_ISDIR(st.st_mode) is not inode.is_dir:  # somebody replaced it; the kernel looks it up again
            raise oserror(errno.ESTALE, inode.path)
        return self._owed_stat(inode.path, st)

    def _owed_stat(self, path: str, st: os.stat_result) -> StatLike:
        if not self.core.owed:
            return st
        file = self.core.files.get(path)
        if file is None or file.owed is None:
            return st
        made = MadeStat.like(st)
        made.st_size = len(file.owed)
        return made

    @staticmethod
    def _orphan_stat(inode: Inode) -> StatLike:
        last = inode.last_stat
        if inode.staging is not None:
            return _unlinked(_staged_stat(inode.staging, last))
        if last is None:
            last = MadeStat(stat.S_IFDIR | 0o755 if inode.is_dir else stat.S_IFREG | 0o644)
        return _unlinked(last)

    # ---- change

    def chmod(self, inode: Inode, mode: int, maker: Maker, effects: Effects) -> None:
        """Change permission bits: a commit for what is at head, noted for what is staged or an orphan."""
        core, path = self.core, inode.path
        bits = stat.S_IMODE(mode)
        if inode.staging is not None and inode.staging.new:
            inode.staging.mode = bits
            return
        if path is None:
            made = MadeStat.like(self._orphan_stat(inode))
            _set(made, st_mode=stat.S_IFMT(made.st_mode) | bits)
            inode.last_stat = made
            return
        st = core.backing.lstat(path)
        if st is None:
            raise oserror(errno.ENOENT, path)
        if stat.S_IMODE(st.st_mode) == bits:
            return
        if stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode):
            self._journal_mode(inode.view, path, bits, maker, effects)
        os.chmod(core.backing.at(path), bits)
        self._note(inode, effects, lambda made: _set(made, st_mode=stat.S_IFMT(made.st_mode) | bits))

    def _journal_mode(self, view: View, path: str, bits: int, maker: Maker, effects: Effects) -> None:
        core = self.core
        file = core.file(path)
        self.corridor.refresh(file, effects)
        origin = core.origin(path)
        state = dataclasses.replace(state_with_nodes(core, path), mode=bits)
        change = FileChange(RepoPath(path), state, origin=origin)
        commit = self.corridor.journal(view.agent, maker.writer, (change,), f"mode {bits:o}")
        version = file.version
        if version <= 0:
            file.first = version
        file.version = commit.seq
        core.rebase(path, lambda belief: int(commit.seq) if belief == version else belief)
        view.commits += 1

    def set_times(self, inode: Inode, atime_ns: int | None, mtime_ns: int | None, effects: Effects) -> None:
        """Carry out utimensat(2)."""
        staging = inode.staging
        if staging is not None:
            staging.times_set = mtime_ns is not None or staging.times_set
            staging.mtime_ns = staging.mtime_ns if mtime_ns is None else mtime_ns
            staging.atime_ns = staging.atime_ns if atime_ns is None else atime_ns
            if staging.dirty:  # they belong to what is staged, and are nobody else's before that
                return
        if inode.path is None:
            made = MadeStat.like(self._orphan_stat(inode))
            _set(made, st_atime_ns=atime_ns, st_mtime_ns=mtime_ns)
            inode.last_stat = made
            return
        self._utime(inode.path, atime_ns, mtime_ns)
        self._note(inode, effects, lambda made: _set(made, st_atime_ns=atime_ns, st_mtime_ns=mtime_ns))

    def _utime(self, path: str, atime_ns: int | None, mtime_ns: int | None) -> None:
        at = self.core.backing.at(path)
        st = os.lstat(at)
        file = self.core.file(path)  # known from now on, so that the change is not taken for somebody else's
        ours = file.signature == signature(st)
        times = (
            st.st_atime_ns if atime_ns is None else atime_ns,
            st.st_mtime_ns if mtime_ns is None else mtime_ns,
        )
        os.utime(at, ns=times, follow_symlinks=False)
        if ours:
            file.signature = signature(os.lstat(at))

    def set_owner(self, inode: Inode, uid: int, gid: int, effects: Effects) -> None:
        """Carry out chown(2); -1 leaves a value alone."""
        staging = inode.staging
        owners = {"st_uid": uid if uid >= 0 else None, "st_gid": gid if gid >= 0 else None}
        if staging is not None and staging.new:
            staging.uid = staging.uid if uid < 0 else uid
            staging.gid = staging.gid if gid < 0 else gid
        elif inode.path is not None:
            os.lchown(self.core.backing.at(inode.path), uid, gid)
            self._note(inode, effects, lambda made: _set(made, **owners))
        else:
            made = MadeStat.like(self._orphan_stat(inode))
            _set(made, **owners)
            inode.last_stat = made

    def _note(self, inode: Inode, effects: Effects, change: Callable[[MadeStat], None]) -> None:
        """Add the other views' attributes of the same file; the kernel knows this inode's.

        An inode that still shows an older text shows it with the new attributes.
        """
        for view in self.core.views.values():
            other = view.by_path.get(inode.path or "\0")
            if other is None:
                continue
            if other.shown is not None:
                made = MadeStat.like(other.shown.st)
                change(made)
                other.shown.st = made
            if other is not inode and other.lookups > 0:
                effects.attributes.append(other.ino)


def _set(made: MadeStat, **fields: int | None) -> None:
    """Set the fields that are given."""
    for name, value in fields.items():
        if value is not None:
            setattr(made, name, value)


def _unlinked(st: StatLike) -> MadeStat:
    """Return attributes as they are once the last name is gone (T1)."""
    made = MadeStat.like(st)
    made.st_nlink = 0
    return made


def _staged_stat(staging: Staging, st: StatLike | None) -> MadeStat:
    """Return a staged file's attributes, `st` being those of the file it changes."""
    if st is None or staging.new:
        made = MadeStat(stat.S_IFREG | staging.mode, st_uid=staging.uid, st_gid=staging.gid)
        made.st_atime_ns = staging.atime_ns or staging.mtime_ns
    else:
        made = MadeStat.like(st)
    staging.told = True
    made.st_size = staging.size
    if staging.dirty:
        made.st_mtime_ns = made.st_ctime_ns = staging.mtime_ns
        made.st_atime_ns = staging.atime_ns or made.st_atime_ns
    return made
