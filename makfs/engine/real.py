"""Files that are real files: `.git` (shared), scratch and shadows (private to a view). Plain system calls.

R1  Nothing of a scratch or shadow path, or of a snapshot view, is ever written to the repository's directory.
R2  `.git` is the repository's own; another agent's `*.lock` in it is waited for by the caller, not here.
"""

import errno
import os
import stat
import time
from collections.abc import Mapping

from makfs.engine.backing import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2
from makfs.engine.core import Core
from makfs.engine.handles import OpenFile, RealHandle
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.names import Maker, oserror
from makfs.engine.upper import Upper
from makfs.engine.views import View
from makfs.errors import Busy

REAL = frozenset({Realm.GIT, Realm.SCRATCH, Realm.SHADOW, Realm.SNAP})


class Real:
    """Operations on real files. Raise OSError."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.handles: Mapping[int, OpenFile] = {}  # the open files of all views

    @staticmethod
    def upper(view: View) -> Upper:
        """Return the view's private layer. Raises EROFS for a read-only view (V2)."""
        if view.upper is None:
            raise oserror(errno.EROFS)
        return view.upper

    def path(self, view: View, path: str, realm: Realm) -> str:
        """Return the real path to read. Raises ENOENT."""
        if realm is Realm.GIT or view.upper is None:
            return self.core.backing.at(path)
        real = view.upper.resolve(path, realm)
        if real is None:
            raise oserror(errno.ENOENT, path)
        return real

    def writable(self, view: View, path: str, realm: Realm) -> str:
        """Return the real path to change: a private copy for scratch (copy on write)."""
        if realm is Realm.GIT:
            return self.core.backing.at(path)
        self.may_change(view, realm)
        upper = self.upper(view)
        inode = view.by_path.get(path)
        if inode is None or not inode.opens or upper.lstat(path) is not None:
            return upper.copy_up(path)
        real = upper.copy_up(path)
        self.reopen(inode, real)
        return real

    @staticmethod
    def may_change(view: View, realm: Realm) -> None:
        """Refuse changes of a snapshot view while it is being checked. Raises Busy."""
        if view.stand is not None and view.stand.frozen and realm is Realm.SNAP:
            view.why = view.stand.frozen
            raise Busy(view.stand.frozen)

    def reopen(self, inode: Inode, real: str) -> None:
        """Let those who have a file open read the real file `real` from now on: one inode, one content."""
        for handle in self.handles.values():
            if handle.inode is inode and isinstance(handle, RealHandle):
                flags = (
                    handle.flags & (os.O_ACCMODE | os.O_APPEND) | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                )
                fd = os.open(real, flags)
                os.dup2(fd, handle.fd, inheritable=False)
                os.close(fd)

    def fresh(self, view: View, path: str, realm: Realm) -> str:
        """Return the real path for a new name. Raises EEXIST."""
        if realm is Realm.GIT:
            return self.core.backing.at(path)
        self.may_change(view, realm)
        upper = self.upper(view)
        if upper.look(path, realm) is not None:
            raise oserror(errno.EEXIST, path)
        return upper.prepare(path)

    def of(self, inode: Inode, *, write: bool = False) -> str:
        """Return the real path of an inode, to read or to change; an orphan's is its descriptor's."""
        if inode.path is not None:
            find = self.writable if write else self.path
            return find(inode.view, inode.path, inode.realm)
        if inode.orphan_fd < 0:
            raise oserror(errno.ENOENT)
        return f"/proc/self/fd/{inode.orphan_fd}"

    def stat(self, inode: Inode) -> StatLike:
        """Return attributes."""
        if inode.path is None and inode.orphan_fd >= 0:
            return os.fstat(inode.orphan_fd)
        if inode.path is None and inode.last_stat is not None:
            return inode.last_stat
        if inode.realm is Realm.SNAP and inode.path is not None:
            return self._look(inode.view, inode.path)
        return os.lstat(self.of(inode))

    def _look(self, view: View, path: str) -> StatLike:
        """Return what a path of a snapshot view is. Raises ENOENT."""
        st = self.upper(view).look(path, Realm.SNAP)
        if st is None:
            raise oserror(errno.ENOENT, path)
        return st

    # ---- files

    def open(self, inode: Inode, flags: int, tid: int) -> RealHandle:
        """Open an existing file."""
        writing = flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)
        handle = self.reopened(inode, self.of(inode, write=writing), flags, tid, truncate=True)
        inode.opens += 1
        return handle

    def reopened(
        self, inode: Inode, real: str, flags: int, tid: int, *, truncate: bool = False
    ) -> RealHandle:
        """Return a handle for an open file that is the real file `real` from now on."""
        kept = flags & (os.O_ACCMODE | os.O_APPEND | (os.O_TRUNC if truncate else 0))
        if inode.path is not None:
            kept |= os.O_NOFOLLOW
        return RealHandle(inode, os.open(real, kept | os.O_CLOEXEC | os.O_NONBLOCK), flags, tid)

    def create(self, view: View, path: str, realm: Realm, mode: int, flags: int, maker: Maker) -> RealHandle:
        """Make and open a file; open it if it is there and O_EXCL is not asked for."""
        try:
            real = self.fresh(view, path, realm)
        except FileExistsError:
            if flags & os.O_EXCL:
                raise
            return self.open(view.inode(path, realm, is_dir=False), flags, maker.writer.pid)
        fd = os.open(real, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, stat.S_IMODE(mode))
        self._own(real, maker)
        os.fchmod(fd, stat.S_IMODE(mode))
        self._added(view, path, realm)
        inode = view.inode(path, realm, is_dir=False)
        inode.realm = realm
        inode.made_now()
        inode.opens += 1
        return RealHandle(inode, fd, flags, maker.writer.pid)

    def release(self, handle: RealHandle) -> None:
        """Close a handle; a closed shadow starts to age."""
        os.close(handle.fd)
        inode = handle.inode
        inode.opens -= 1
        if inode.realm is Realm.SHADOW and inode.path is not None and inode.opens == 0:
            inode.view.shadows[inode.path] = time.monotonic()
        inode.view.settle(inode)

    def setattr(
        self,
        inode: Inode,
        size: int | None,
        mode: int | None,
        uid: int,
        gid: int,
        atime_ns: int | None,
        mtime_ns: int | None,
    ) -> None:
        """Change attributes; None and -1 leave a value alone."""
        real = self.of(inode, write=True)
        follow = inode.path is None  # an orphan's descriptor looks like a link
        if size is not None:
            os.truncate(real, size)
        if mode is not None:
            os.chmod(real, stat.S_IMODE(mode))
        if uid >= 0 or gid >= 0:
            os.chown(real, uid, gid, follow_symlinks=follow)
        if atime_ns is not None or mtime_ns is not None:
            st = os.stat(real, follow_symlinks=follow)
            times = (
                st.st_atime_ns if atime_ns is None else atime_ns,
                st.st_mtime_ns if mtime_ns is None else mtime_ns,
            )
            os.utime(real, ns=times, follow_symlinks=follow)

    # ---- names

    def _own(self, real: str, maker: Maker) -> None:
        if os.geteuid() == 0:
            os.lchown(real, maker.uid, maker.gid)

    def _added(self, view: View, path: str, realm: Realm) -> None:
        if realm is not Realm.GIT:
            self.upper(view).added(path)
        if realm is Realm.SHADOW:
            view.shadows[path] = time.monotonic()

    def mkdir(self, view: View, path: str, realm: Realm, mode: int, maker: Maker) -> None:
        """Make a folder."""
        real = self.fresh(view, path, realm)
        os.mkdir(real, stat.S_IMODE(mode))
        self._own(real, maker)
        os.chmod(real, stat.S_IMODE(mode))
        self._added(view, path, realm)

    def symlink(self, view: View, path: str, realm: Realm, target: bytes, maker: Maker) -> None:
        """Make a symbolic link."""
        real = self.fresh(view, path, realm)
        os.symlink(target, os.fsencode(real))
        self._own(real, maker)
        self._added(view, path, realm)

    def mknod(self, view: View, path: str, realm: Realm, mode: int, rdev: int, maker: Maker) -> None:
        """Make a FIFO, socket, device or empty file."""
        real = self.fresh(view, path, realm)
        os.mknod(real, mode, rdev)
        self._own(real, maker)
        self._added(view, path, realm)

    def link(self, view: View, old: str, new: str, realm: Realm) -> None:
        """Make a hard link between two names of one realm."""
        source = self.writable(view, old, realm)
        os.link(source, self.fresh(view, new, realm), follow_symlinks=False)
        self._added(view, new, realm)

    def unlink(self, view: View, path: str, realm: Realm) -> None:
        """Remove a file; the repository's scratch file is only hidden."""
        if realm is Realm.SNAP:
            self.may_change(view, realm)
            if stat.S_ISDIR(self._look(view, path).st_mode):
                raise oserror(errno.EISDIR, path)
            self._keep_snap(view, path)
        else:
            real = self.path(view, path, realm)
            if stat.S_ISDIR(os.lstat(real).st_mode):
                raise oserror(errno.EISDIR, path)
            self._keep(view, path, real)
        if realm is Realm.GIT:
            os.unlink(self.core.backing.at(path))
        else:
            self._unlink_private(view, path, realm)
        self._gone(view, path)

    def _unlink_private(self, view: View, path: str, realm: Realm) -> None:
        upper = self.upper(view)
        if realm is not Realm.SHADOW:
            upper.hide(path)
        if upper.lstat(path) is not None:
            os.unlink(upper.at(path))
        upper.removed(path, realm)
        view.shadows.pop(path, None)

    def rmdir(self, view: View, path: str, realm: Realm) -> None:
        """Remove an empty folder."""
        real = ""
        if realm is Realm.SNAP:
            self.may_change(view, realm)
            st = self._look(view, path)
        else:
            real = self.path(view, path, realm)
            st = os.lstat(real)
        if not stat.S_ISDIR(st.st_mode):
            raise oserror(errno.ENOTDIR, path)
        if realm is not Realm.GIT and self.upper(view).names(path, Realm.SCRATCH):
            raise oserror(errno.ENOTEMPTY, path)
        if realm is Realm.SNAP:
            self._keep_snap(view, path)
        else:
            self._keep(view, path, real)
        if realm is Realm.GIT:
            os.rmdir(self.core.backing.at(path))
        else:
            upper = self.upper(view)
            upper.hide(path)
            if upper.lstat(path) is not None:
                os.rmdir(upper.at(path))
            upper.removed(path, realm)
        self._gone(view, path)

    @staticmethod
    def _keep(view: View, path: str, real: str) -> None:
        """Hold on to a file about to become an orphan: for its attributes, and for who has it open."""
        inode = view.by_path.get(path)
        if inode is not None:
            inode.drop_orphan_fd()
            inode.orphan_fd = os.open(real, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)

    def _keep_snap(self, view: View, path: str) -> None:
        """Hold on to a file of a snapshot view; who has it open must not change what is below through it."""
        inode, upper = view.by_path.get(path), self.upper(view)
        if inode is None:
            return
        if inode.opens and not inode.is_dir:
            self.writable(view, path, Realm.SNAP)
        if upper.lstat(path) is not None:
            self._keep(view, path, upper.at(path))
            return
        st = MadeStat.like(self._look(view, path))
        st.st_nlink = 0
        inode.drop_orphan_fd()
        inode.last_stat = st

    @staticmethod
    def _gone(view: View, path: str) -> None:
        inode = view.by_path.get(path)
        if inode is not None:
            view.orphan(inode)

    def rename(self, view: View, old: str, new: str, realm: Realm, flags: int) -> None:
        """Rename within one realm. Raises EXDEV for a scratch folder that the repository has too."""
        if realm is Realm.GIT:
            source, target = self.core.backing.at(old), self.core.backing.at(new)
        elif view.stand is not None:
            self.may_change(view, realm)
            source, target = self._snap_pair(view, old, new, flags)
        else:
            source, target = self._private_pair(view, old, new, realm, flags)
        if not flags & RENAME_EXCHANGE and os.path.lexists(target):
            self._keep(view, new, target)
        if flags:
            renameat2(source, target, flags)
        else:
            os.rename(source, target)
        if realm is not Realm.GIT and not flags & RENAME_EXCHANGE:
            self.upper(view).removed(old, realm)
            self._added(view, new, realm)
            view.shadows.pop(old, None)
        self._moved(view, old, new, flags)
        moved = view.by_path.get(new)
        if moved is not None:
            moved.realm = realm

    def _private_pair(self, view: View, old: str, new: str, realm: Realm, flags: int) -> tuple[str, str]:
        upper = self.upper(view)
        lower = upper.lower.lstat(old)
        if lower is not None and stat.S_ISDIR(lower.st_mode) and not upper.hidden(old):
            raise oserror(errno.EXDEV, old)
        source = upper.copy_up(old)
        there = upper.resolve(new, realm)
        if there is not None and flags & RENAME_NOREPLACE:
            raise oserror(errno.EEXIST, new)
        if flags & RENAME_EXCHANGE:
            return source, upper.copy_up(new)
        if there is not None and upper.lstat(new) is None and os.path.isdir(there):
            raise oserror(errno.EXDEV, new)
        return source, upper.prepare(new)

    def _snap_pair(self, view: View, old: str, new: str, flags: int) -> tuple[str, str]:
        """Return the private files to rename in a snapshot view, all of a folder brought there first."""
        upper = self.upper(view)
        st, there = self._look(view, old), upper.look(new, Realm.SNAP)
        is_dir = stat.S_ISDIR(st.st_mode)
        if there is not None and flags & RENAME_NOREPLACE:
            raise oserror(errno.EEXIST, new)
        if is_dir and new.startswith(old + "/"):
            raise oserror(errno.EINVAL, new)
        if flags & RENAME_EXCHANGE:
            if old.startswith(new + "/"):
                raise oserror(errno.EINVAL, new)
            self._bring(view, new)
        elif there is not None:
            if is_dir is not stat.S_ISDIR(there.st_mode):
                raise oserror(errno.ENOTDIR if is_dir else errno.EISDIR, new)
            if is_dir and upper.names(new, Realm.SNAP):
                raise oserror(errno.ENOTEMPTY, new)
            self._keep_snap(view, new)
        self._bring(view, old)
        upper.hide(old)
        if is_dir or flags & RENAME_EXCHANGE:
            upper.hide(new)
        return upper.at(old), upper.prepare(new)

    def _bring(self, view: View, path: str) -> None:
        """Bring a path, and all in it, to the private layer. Cost: a copy of every file."""
        upper = self.upper(view)
        self.writable(view, path, Realm.SNAP)
        if os.path.isdir(upper.at(path)) and not os.path.islink(upper.at(path)):
            for name in upper.names(path, Realm.SNAP):
                self._bring(view, f"{path}/{name}")

    @staticmethod
    def _moved(view: View, old: str, new: str, flags: int) -> None:
        if flags & RENAME_EXCHANGE:
            hidden = "\x00swap"
            for source, target in ((old, hidden), (new, old), (hidden, new)):
                view.moved(source, target)
            return
        moving = view.by_path.get(old)
        target_inode = view.by_path.get(new)
        if target_inode is not None:
            view.orphan(target_inode)
        view.moved(old, new, folder=moving is None or moving.is_dir)
