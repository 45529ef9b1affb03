"""The file system as a transport sees it: operations on inode numbers, for all realms.

Everything here translates: find the inode, decide the realm, call the room, settle the effects. Errors are
OSError or MakfsError; the transport turns both into errnos.
"""

import errno
import os
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import trio

from makfs.engine.control import TOP
from makfs.engine.core import join
from makfs.engine.effects import Effects
from makfs.engine.handles import BytesHandle, OpenFile, RealHandle, TrackedHandle
from makfs.engine.inodes import Inode, Realm, StatLike
from makfs.engine.looking import Change, Looking, Opened
from makfs.engine.names import Maker, oserror
from makfs.engine.needs import needs_of_attributes, needs_of_names
from makfs.engine.past import Past
from makfs.engine.plain import Plain, begin_plain, end_plain
from makfs.engine.procs import Caller
from makfs.engine.real import REAL
from makfs.engine.tree import Found
from makfs.engine.views import View
from makfs.errors import Busy

T = TypeVar("T")
_NOREPLACE = 1  # renameat2(2)
SHORT_NAME = 255 // 4  # no encoding makes so few characters too long a name


class FileSystem(Looking):
    """All operations. One instance a mount."""

    # ---- waiting for what others hold

    @property
    def may_wait(self) -> bool:
        """Tell whether an operation may have to wait for another agent: somebody holds something."""
        return not self.core.locks.is_idle

    # ---- helpers of name operations

    @asynccontextmanager
    async def _name_operation(self, view: View) -> AsyncIterator[Effects]:
        """Collect effects and settle them before the reply; the view counts as holding a folder's lock."""
        effects = Effects()
        view.name_operations += 1
        try:
            yield effects
            view.active()
            await self.outbox.settle(effects, view)
        finally:
            view.name_operations -= 1

    def _folder(self, ino: int, caller: Caller) -> Inode:
        """Return a folder in which names may be changed. Raises EROFS, EPERM, EACCES."""
        folder = self.inode(ino)
        if folder.realm is Realm.PAST or (folder.view.upper is None and folder.realm is not Realm.ROOT):
            raise oserror(errno.EROFS)
        if self.core.runs.is_asked:
            self._mind_run(folder, caller)
        if folder.realm is Realm.CONTROL:
            self.control.refuse_name(folder)
        if folder.path is None:
            raise oserror(errno.ENOENT)
        return folder

    def _mind_run(self, inode: Inode, caller: Caller) -> None:
        """Keep a process of one agent's run from writing through another's view. Raises EACCES."""
        view = inode.view
        run = self.core.runs.run_of(self.core.procs.group(caller.tid)) if view.upper is not None else None
        if run is None or run.agent == view.agent:
            return
        path = inode.path or "/"
        own = self.agents.by_name.get(run.agent)
        if own is not None:
            own.why = (
                f"Run {run.number} of {run.agent} may not write through the view of {view.agent}: {path} "
                f"there is as it was. Write it in {run.agent}'s own view."
            )
        view.notices.appendleft(f"Run {run.number} of {run.agent} was kept from writing {path} in this view.")
        raise oserror(errno.EACCES, path)

    def _is_control(self, ino: int, caller: Caller) -> bool:
        """Tell whether names are to be changed in a control folder. Raises EACCES."""
        inode = self.core.table.by_ino.get(ino)
        if inode is None or inode.realm is not Realm.CONTROL:
            return False
        if self.core.runs.is_asked:
            self._mind_run(inode, caller)
        return True

    def _rename_control(self, folder: Inode, name: str, target: Inode, new_name: str, flags: int) -> None:
        if folder.view is not target.view or Realm.ROOT in (folder.realm, target.realm):
            raise oserror(errno.EXDEV, name)
        if flags & ~_NOREPLACE:
            raise oserror(errno.EINVAL, name)
        self.control.rename(folder, name, target, new_name)

    def _child(self, folder: Inode, name: str, *, is_dir: bool) -> tuple[str, Realm]:
        """Return the path of a name and its realm."""
        assert folder.path is not None
        if folder.realm is Realm.ROOT or (name == TOP and not folder.path):
            raise oserror(errno.EPERM, name)
        if len(os.fsencode(name)) > 255:
            raise oserror(errno.ENAMETOOLONG, name)
        path = join(folder.path, name)
        if folder.view.role is not None and folder.view.role.hides(path, is_dir=is_dir):
            raise oserror(errno.EACCES, path)
        if folder.realm in (Realm.GIT, Realm.SCRATCH):
            return path, folder.realm
        return path, self.core.realm_at(folder.view, path, is_dir=is_dir)

    def _maker(self, caller: Caller) -> Maker:
        return Maker(caller.uid, caller.gid, self.core.procs.writer(caller.tid))

    def _made(self, folder: Inode, name: str) -> Found:
        found = self.find(folder, name)
        if found is None:
            raise oserror(errno.ENOENT, name)
        found.inode.lookups += 1
        return found

    # ---- name operations

    async def mkdir(self, parent: int, name: str, mode: int, caller: Caller) -> Found:
        """Make a folder; at the top of the mount, a view."""
        folder = self._folder(parent, caller)
        if folder.realm is Realm.ROOT:
            self.agents.add(name)
            return self._made(folder, name)
        path, realm = self._child(folder, name, is_dir=True)
        async with self._name_operation(folder.view) as effects:
            if realm in REAL:
                self.real.mkdir(folder.view, path, realm, mode, self._maker(caller))
            else:
                await self.patience.admitted(folder.view, path, needs_of_names(folders=[path]))
                self.name_room.mkdir(folder.view, path, mode, self._maker(caller), effects)
        return self._made(folder, name)

    async def symlink(self, parent: int, name: str, target: bytes, caller: Caller) -> Found:
        """Make a symbolic link."""
        folder = self._folder(parent, caller)
        path, realm = self._child(folder, name, is_dir=False)
        async with self._name_operation(folder.view) as effects:
            if realm in REAL:
                self.real.symlink(folder.view, path, realm, target, self._maker(caller))
            else:
                await self.patience.admitted(folder.view, path, needs_of_names([path]))
                self.name_room.symlink(folder.view, path, target, self._maker(caller), effects)
        return self._made(folder, name)

    async def mknod(self, parent: int, name: str, mode: int, rdev: int, caller: Caller) -> Found:
        """Make a special file, or an empty file."""
        folder = self._folder(parent, caller)
        path, realm = self._child(folder, name, is_dir=False)
        if stat.S_ISREG(mode) and realm is Realm.TRACKED:
            _, opened = await self.create(parent, name, mode, os.O_WRONLY | os.O_EXCL, caller)
            await self.release(opened.handle)
            return self._made(folder, name)
        async with self._name_operation(folder.view) as effects:
            if realm in REAL:
                self.real.mknod(folder.view, path, realm, mode, rdev, self._maker(caller))
            else:  # FIFOs, sockets and devices have no text: they are in the repository, not in the journal
                await self.patience.admitted(folder.view, path, needs_of_names([path]))
                os.mknod(self.core.backing.at(path), mode, rdev)
                os.lchown(self.core.backing.at(path), caller.uid, caller.gid)
                self.core.note_name(effects, path, own=folder.view)
        return self._made(folder, name)

    async def link(self, ino: int, parent: int, name: str, caller: Caller) -> Found:
        """Make a hard link: within `.git` or the private layer only, EPERM elsewhere."""
        inode, folder = self.inode(ino), self._folder(parent, caller)
        path, realm = self._child(folder, name, is_dir=False)
        source = self.core.realm_of(inode)
        if inode.view is not folder.view:
            raise oserror(errno.EXDEV, path)
        if inode.path is None or realm not in REAL or source is not realm:
            folder.view.why = (
                f"{path} was not made: a tracked file has one name, so hard links to it or in its place are "
                "refused. Copy it, or make a symbolic link."
            )
            raise oserror(errno.EPERM, path)
        async with self._name_operation(folder.view) as effects:
            self.real.link(folder.view, inode.path, path, realm)
            effects.attributes.append(ino)
        return self._made(folder, name)

    async def unlink(self, parent: int, name: str, caller: Caller) -> None:
        """Remove a file."""
        if self._is_control(parent, caller):
            self.control.unlink(self.inode(parent), name)
            return
        folder = self._folder(parent, caller)
        path, realm = self._child(folder, name, is_dir=False)
        async with self._name_operation(folder.view) as effects:
            if realm in REAL:
                self.real.unlink(folder.view, path, realm)
                if realm is Realm.GIT:
                    self.git_locks.gone(path)
            else:
                if not self.name_room.is_unseen(folder.view, path):
                    await self.patience.admitted(folder.view, path, needs_of_names([path]))
                self.name_room.unlink(folder.view, path, self._maker(caller), effects)

    async def rmdir(self, parent: int, name: str, caller: Caller) -> None:
        """Remove an empty folder; at the top of the mount, an idle view."""
        folder = self._folder(parent, caller)
        if folder.realm is Realm.ROOT:
            if name.startswith("@"):
                raise oserror(errno.EROFS, name)
            self.agents.remove(name)
            return
        path, realm = self._child(folder, name, is_dir=True)
        async with self._name_operation(folder.view) as effects:
            if realm in REAL:
                self.real.rmdir(folder.view, path, realm)
            else:
                await self.patience.admitted(folder.view, path, needs_of_names(folders=[path]))
                self.name_room.rmdir(folder.view, path, self._maker(caller), effects)

    async def rename(
        self, parent: int, name: str, new_parent: int, new_name: str, flags: int, caller: Caller
    ) -> None:
        """Rename (renameat2(2)); EXDEV across views and, for folders, across realms."""
        if self._is_control(parent, caller) or self._is_control(new_parent, caller):
            self._rename_control(self.inode(parent), name, self.inode(new_parent), new_name, flags)
            return
        folder, target = self._folder(parent, caller), self._folder(new_parent, caller)
        if folder.view is not target.view or Realm.ROOT in (folder.realm, target.realm):
            raise oserror(errno.EXDEV, name)
        found = self.find(folder, name)
        if found is None:
            raise oserror(errno.ENOENT, name)
        is_dir = found.inode.is_dir
        old, old_realm = self._child(folder, name, is_dir=is_dir)
        new, new_realm = self._child(target, new_name, is_dir=is_dir)
        async with self._name_operation(folder.view):
            if is_dir and old_realm is new_realm is Realm.TRACKED:
                await self.moves.renames.ahead.look(old, self.outbox)
            there = self.find(target, new_name)
            move = self.moves.begin(folder.view, old, old_realm, new, new_realm, flags, self._maker(caller))
            needs = self.moves.needs(move, is_dir, there)

            def carry_out(more: Effects) -> None:
                self.moves.carry_out(move, is_dir, self.find(target, new_name), more)

            try:
                if needs is not None:
                    await self.patience.admitted(folder.view, new, needs)
                await self.patience.carry_out(
                    folder.view, carry_out, self.patience.short_wait_s, pid=self.core.procs.group(caller.tid)
                )
            finally:
                folder.view.use_shadow(old)
                self.moves.renames.ahead.forget(old)
            if old_realm is Realm.GIT:
                self.git_locks.gone(old)

    # ---- open files

    def _opened(self, handle: OpenFile, *, direct_io: bool = False, keep_cache: bool = True) -> Opened:
        number = self.next_handle()
        self.handles[number] = handle
        return Opened(number, direct_io, keep_cache)

    def next_handle(self) -> int:
        """Return the number of the next open file."""
        return next(self._next)

    def begin_plain(self, ino: int, flags: int, tid: int) -> Plain | None:
        """Open a file for reading at once, up to `end_plain`; None if it takes `open` to do it (P1)."""
        inode = self.core.table.by_ino.get(ino)
        if inode is not None and inode.view.refused_saves:
            return None
        return begin_plain(self.core, inode, flags, tid)

    def end_plain(self, begun: Plain, number: int, flags: int, tid: int) -> None:
        """Let a file that has been opened at once have a handle's number."""
        self.handles[number] = end_plain(self.core, begun, flags, tid)

    def open_plain(self, ino: int, flags: int, tid: int) -> Opened | None:
        """Open a file for reading at once; None if it takes `open` to do it (P1)."""
        begun = self.begin_plain(ino, flags, tid)
        if begun is None:
            return None
        number = self.next_handle()
        self.end_plain(begun, number, flags, tid)
        return Opened(number, direct_io=False, keep_cache=True)

    async def open(self, ino: int, flags: int, caller: Caller) -> Opened:
        """Open a file."""
        inode = self.inode(ino)
        inode.view.stirred = True
        writing = flags & os.O_ACCMODE != os.O_RDONLY or bool(flags & os.O_TRUNC)
        if writing and self.core.runs.is_asked:
            self._mind_run(inode, caller)
        if inode.realm in (Realm.PAST, Realm.CONTROL):
            past = inode.realm is Realm.PAST
            if writing and past:
                raise oserror(errno.EROFS)
            reads = inode.view.reads_locked and flags & os.O_ACCMODE != os.O_WRONLY
            if reads and (source := self.control.source(inode)):
                await self.patience.readable(inode.view, source)
            if writing:
                command = await self.control.open_command(inode, flags, caller)
                inode.opens += 1
                return self._opened(command, direct_io=True)
            text = self.past.text(inode) if past else self.control.open(inode, caller)
            inode.opens += 1
            return self._opened(BytesHandle(inode, text), direct_io=not past)
        if writing and inode.view.upper is None:
            raise oserror(errno.EROFS)
        if inode.path is not None and (inode.view.role is not None or inode.view.reads_locked):
            await self.patience.may_open(inode, inode.path, flags)
        if inode.view.refused_saves and inode.path is not None:
            self._mind_refused_save(
                inode.view, inode.path, self.core.procs.group(caller.tid), writing=writing
            )
        if inode.path is None and (
            (inode.displaced and writing) or (inode.orphan_fd < 0 and inode.staging is None)
        ):
            raise oserror(errno.ESTALE if inode.displaced else errno.ENOENT)  # ESTALE: look the name up again
        return await self._open_live(inode, flags, caller)

    @staticmethod
    def _mind_refused_save(view: View, path: str, pid: int, *, writing: bool) -> None:
        """Refuse in place what its process was refused as a rename, until it reads the file. Raises Busy."""
        now = time.monotonic()
        for key in [key for key, save in view.refused_saves.items() if save.until <= now]:
            del view.refused_saves[key]
        save = view.refused_saves.get((path, pid))
        if save is not None and writing:
            raise Busy(save.why)
        if save is not None:
            del view.refused_saves[path, pid]

    async def _open_live(self, inode: Inode, flags: int, caller: Caller) -> Opened:
        reads = flags & (os.O_ACCMODE | os.O_TRUNC) == os.O_RDONLY
        realm = inode.realm if reads else self.core.realm_of(inode)  # rules matter to who writes
        if realm in REAL or not self._regular(inode):
            handle = self.real.open(inode, flags, caller.tid)
            keep = realm in (Realm.SHADOW, Realm.SNAP)
            inode.view.stirred = True
            return self._opened(handle, keep_cache=keep)
        await self.patience.let_others_finish(inode, flags, self.core.procs.group(caller.tid))
        effects = Effects()
        tracked = self.data.open(inode, flags, caller.tid, effects)
        if effects:
            await self.outbox.settle(effects)
        direct_io = tracked.frozen or flags & os.O_ACCMODE == os.O_WRONLY
        # Before Linux 6.6 a direct write leaves the view's own older pages, which no opener must see.
        keep_cache = inode.staging is None and not tracked.unread
        return self._opened(tracked, direct_io=direct_io, keep_cache=keep_cache)

    def _regular(self, inode: Inode) -> bool:
        if inode.staging is not None or inode.path is None:
            return True
        st = self.core.backing.lstat(inode.path)
        return st is None or stat.S_ISREG(st.st_mode)

    async def create(
        self, parent: int, name: str, mode: int, flags: int, caller: Caller
    ) -> tuple[Found, Opened]:
        """Make and open a file."""
        if self._is_control(parent, caller):
            found, command = self.control.create(self.inode(parent), name, caller)
            found.inode.opens += 1
            return found, self._opened(command, direct_io=True)
        folder = self._folder(parent, caller)
        path, realm = self._child(folder, name, is_dir=False)
        view = folder.view
        if realm is Realm.GIT:
            await self.git_locks.wait(view, path, flags)
        there = None if realm in REAL else self.find(folder, name)
        if realm is Realm.TRACKED and there is None and _made_by_mkstemp(flags, mode):
            realm = self.core.classifier.realm(path, is_dir=False, by_mkstemp=True)
        if realm in REAL:
            real = self.real.create(view, path, realm, mode, flags, self._maker(caller))
            if realm is Realm.GIT:
                self.git_locks.made(view, path)
            view.stirred = True
            return self._made(folder, name), self._opened(real, keep_cache=realm is not Realm.GIT)
        if there is not None:
            if flags & os.O_EXCL:
                raise oserror(errno.EEXIST, path)
            if there.inode.is_dir:
                raise oserror(errno.EISDIR, path)
            there.inode.lookups += 1
            return there, await self.open(there.inode.ino, flags, caller)
        await self.patience.admitted_later(view, path)
        handle = self.data.create(view, path, mode, flags, caller.tid, self._maker(caller))
        view.active()
        return self._made(folder, name), self._opened(handle, direct_io=not flags & os.O_RDWR)

    def handle(self, number: int) -> OpenFile:
        """Return an open file. Raises EBADF."""
        try:
            return self.handles[number]
        except KeyError:
            raise oserror(errno.EBADF) from None

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Read from an open file."""
        return self.handle(number).read(offset, size)

    async def write(self, number: int, offset: int, data: bytes) -> int:
        """Write to an open file: staged for tracked files."""
        handle = self.handle(number)
        if isinstance(handle, TrackedHandle):
            inode = handle.inode
            done = self.data.write(handle, offset, data)
            inode.view.stirred = True
            if handle.file.version != inode.staging_base or self.core.gate.is_narrow(
                inode.view, inode.path or ""
            ):
                await self._foresee(handle)
            return done
        if isinstance(handle, RealHandle):
            return os.pwrite(handle.fd, data, offset)
        if isinstance(handle, BytesHandle):
            raise oserror(errno.EBADF)
        return await handle.write(offset, data)

    async def _foresee(self, handle: TrackedHandle) -> None:
        def foresee(effects: Effects) -> None:
            self.data.foresee(handle, effects)

        await self.patience.carry_out(handle.inode.view, foresee, self.patience.wait_s)

    def staged_by(self, number: int) -> bool:
        """Tell whether a flush has anything to do. Raises EBADF."""
        handle = self.handle(number)
        if isinstance(handle, BytesHandle | RealHandle):
            return False
        if not isinstance(handle, TrackedHandle):
            return True
        if not handle.writable:
            return False
        return handle.inode.staging is not None or handle.refused is not None

    async def flush(self, number: int, tid: int = 0) -> None:
        """Commit what was written, before close(2) of a thread returns."""
        handle = self.handle(number)
        if isinstance(handle, TrackedHandle):
            if self.staged_by(number):
                await self._flush(handle, tid)
        elif not isinstance(handle, BytesHandle | RealHandle):
            await handle.flush(tid)

    async def fsync(self, number: int) -> None:
        """Commit what was written and make it survive a power loss: the journal, and the file on the disk."""
        handle = self.handle(number)
        if isinstance(handle, RealHandle):
            await trio.to_thread.run_sync(os.fsync, handle.fd)
        elif isinstance(handle, TrackedHandle):
            await self._flush(handle, 0, whole=True)
            await trio.to_thread.run_sync(self._make_durable, handle.inode.path)
        elif not isinstance(handle, BytesHandle):
            await handle.flush()
            await trio.to_thread.run_sync(self.core.store.sync)

    async def _flush(self, handle: TrackedHandle, tid: int, *, whole: bool = False) -> None:
        def flush(effects: Effects) -> None:
            self.data.flush(handle, effects, whole=whole)

        pid = self.core.procs.group(tid or handle.tid)
        await self.patience.carry_out(handle.inode.view, flush, self.patience.wait_s, tid, pid=pid)

    def _make_durable(self, path: str | None) -> None:
        """Wait for the disk, in a worker: this takes milliseconds."""
        self.core.store.sync()
        if path is not None:
            self.core.backing.sync(path)

    async def release(self, number: int) -> None:
        """Close an open file."""
        await self.outbox.settle(self.release_now(number))

    def release_now(self, number: int) -> Effects:
        """Close an open file; return what must be settled before the reply."""
        handle = self.handles.pop(number)
        effects = Effects()
        if isinstance(handle, TrackedHandle):
            self.data.release(handle, effects)
        elif isinstance(handle, RealHandle):
            self.real.release(handle)
        else:
            handle.inode.opens -= 1
            if not isinstance(handle, BytesHandle):
                handle.close()
            handle.inode.view.settle(handle.inode)
        return effects

    # ---- attributes

    async def setattr(
        self, ino: int, change: Change, number: int | None, caller: Caller
    ) -> tuple[StatLike, float]:
        """Change size, mode, owner, times."""
        inode = self.inode(ino)
        if self.core.runs.is_asked:
            self._mind_run(inode, caller)
        if inode.realm is Realm.CONTROL and change.is_size_only:
            self._truncate_command(inode, number, change.size or 0)
            return self.control.stat(inode), 0.0
        if inode in self.control.mail.writing:  # its mode and times are nobody's business: cp and mv set them
            if change.size is not None:
                self._truncate_command(inode, number, change.size)
            return self.control.stat(inode), 0.0
        if inode.realm in (Realm.ROOT, Realm.CONTROL):
            raise oserror(errno.EPERM)
        if inode.view.upper is None:
            raise oserror(errno.EROFS)
        if self.core.realm_of(inode) in REAL:
            self.real.setattr(
                inode, change.size, change.mode, change.uid, change.gid, change.atime_ns, change.mtime_ns
            )
        else:
            if not change.is_size_only:
                await self._admit_attributes(inode)

            def set_tracked(effects: Effects) -> None:
                self._set_tracked(inode, change, number, caller, effects)

            await self.patience.carry_out(inode.view, set_tracked, self.patience.wait_s)
        inode.view.active()
        return self.tree.stat(inode)

    async def setxattr(self, ino: int, name: str, value: bytes) -> None:
        """Set an extended attribute. Raises OSError, Busy."""
        await self._admit_attributes(self.inode(ino))
        self.xattrs.set(self.inode(ino), name, value)

    async def removexattr(self, ino: int, name: str) -> None:
        """Remove an extended attribute. Raises OSError, Busy."""
        await self._admit_attributes(self.inode(ino))
        self.xattrs.remove(self.inode(ino), name)

    async def _admit_attributes(self, inode: Inode) -> None:
        """Return when a file's attributes may be changed, in the same step."""
        if inode.path is None or inode.view.upper is None or _is_new(inode):
            return
        if inode.realm is Realm.TRACKED and self.core.realm_of(inode) is Realm.TRACKED:
            needs = needs_of_attributes(inode.path, is_dir=inode.is_dir)
            await self.patience.admitted(inode.view, inode.path, needs)

    def _truncate_command(self, inode: Inode, number: int | None, size: int) -> None:
        """Carry out truncate(2) on a control file: on an open one, as it sees fit."""
        handle = None if number is None else self.handles.get(number)
        if handle is None:
            self.control.truncate(inode)
        elif not isinstance(handle, BytesHandle | RealHandle | TrackedHandle):
            handle.truncate(size)

    def _set_tracked(
        self, inode: Inode, change: Change, number: int | None, caller: Caller, effects: Effects
    ) -> None:
        if change.size is not None:
            handle = self.handles.get(number) if number is not None else None
            if isinstance(handle, TrackedHandle):
                self.data.truncate_handle(handle, change.size)
            else:
                self.data.truncate_path(inode, change.size, caller.tid, effects)
        attributes = self.data.attributes
        if change.mode is not None:
            attributes.chmod(inode, change.mode, self._maker(caller), effects)
        if change.uid >= 0 or change.gid >= 0:
            attributes.set_owner(inode, change.uid, change.gid, effects)
        if change.atime_ns is not None or change.mtime_ns is not None:
            attributes.set_times(inode, change.atime_ns, change.mtime_ns, effects)


def _made_by_mkstemp(flags: int, mode: int) -> bool:
    """Tell whether an open(2) makes a file as mkstemp(3) does."""
    new = os.O_RDWR | os.O_EXCL
    return flags & (os.O_ACCMODE | os.O_EXCL) == new and stat.S_IMODE(mode) == 0o600


def _is_new(inode: Inode) -> bool:
    """Tell whether only its own view knows the file."""
    return inode.staging is not None and inode.staging.new


__all__ = ["Caller", "Change", "FileSystem", "Found", "Opened", "Past"]
