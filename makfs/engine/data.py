"""Contents of tracked files: open, write, flush, release, truncate. Stages; the corridor commits.

D1  A view reads its own staged bytes; other views read committed ones (S1).
D2  FLUSH commits written bytes; RELEASE commits what only truncation or creation staged.
D3  A FLUSH that is refused shows the committed text again and keeps the staging for a handle that goes on,
    but for none that was opened since; RELEASE drops it, for its bytes are kept as a refusal (C3).
D4  A handle that staged nothing commits nothing at FLUSH and RELEASE: what another process of its view is
    writing is not complete. The last handle of all commits what is left.
"""

import errno
import logging
import os
import stat
import time
from dataclasses import replace

from makfs.engine.attributes import Attributes
from makfs.engine.core import Core
from makfs.engine.corridor import Corridor, Landed
from makfs.engine.edit import Edit
from makfs.engine.effects import Effects
from makfs.engine.files import Belief, OwnText
from makfs.engine.handles import TrackedHandle
from makfs.engine.held import Held
from makfs.engine.inodes import Inode, MadeStat, Realm, Shown, StatLike
from makfs.engine.large import put_large
from makfs.engine.names import Maker
from makfs.engine.opening import Opening
from makfs.engine.refusing import refuse
from makfs.engine.staging import Staging, drops_pages
from makfs.engine.views import View
from makfs.errors import MakfsError, Refused, StoreFull

log = logging.getLogger(__name__)


class Data:
    """Content operations of tracked inodes. Plain `def`s (E1)."""

    def __init__(self, core: Core, corridor: Corridor) -> None:
        self.core = core
        self.corridor = corridor
        self.attributes = Attributes(core, corridor)
        self.opening = Opening(core, corridor)
        self.drops_pages = drops_pages(os.uname().release)

    # ---- open and make

    def open(self, inode: Inode, flags: int, tid: int, effects: Effects) -> TrackedHandle:
        """Open a tracked file. Raises OSError."""
        handle = self.opening.open(inode, flags, tid, effects)
        if flags & os.O_TRUNC and handle.writable:
            self._stage(handle, truncate=True).truncate(0)
        return handle

    def create(self, view: View, path: str, mode: int, flags: int, tid: int, maker: Maker) -> TrackedHandle:
        """Make a file that only this view sees until it is committed."""
        inode = view.inode(path, Realm.TRACKED, is_dir=False)
        handle = TrackedHandle(self.core, inode, flags, tid)
        base = handle.file.belief(view.number, self.core.procs.group(tid))
        staging = self._new_staging(b"", base, handle)
        staging.new, staging.mode, staging.uid, staging.gid = True, stat.S_IMODE(mode), maker.uid, maker.gid
        inode.staging = handle.into = staging
        inode.made_now()
        self.opening.count(handle)
        return handle

    # ---- staging

    def _new_staging(self, data: bytes, base: Belief, handle: TrackedHandle) -> Staging:
        core = self.core
        return Staging(
            data, base, handle.writer(),
            folder=core.backing.scratch_folder, large_bytes=core.config.store.large_bytes,
        )  # fmt: skip

    def _stage(self, handle: TrackedHandle, *, truncate: bool = False, start: bool = False) -> Staging:
        """Return the inode's staging for a handle that changes it now."""
        handle.into = self._begun(handle, truncate=truncate, start=start)
        return handle.into

    def _begun(self, handle: TrackedHandle, *, truncate: bool, start: bool) -> Staging:
        """Return the inode's staging, begun now from what the writer believes the file to be (S1).

        `start`: it writes at the file's start, and so most likely all of it, from memory.
        """
        inode, file = handle.inode, handle.file
        frozen, handle.frozen = handle.frozen, False  # from here it reads what it writes
        if inode.staging is not None:
            return inode.staging
        if inode.suspended is not None and not handle.anew:
            inode.staging, inode.suspended = inode.suspended, None
            return inode.staging
        writer = handle.writer()
        view = inode.view.number
        if frozen and handle.text is not None and not (truncate or handle.unread):
            staging = inode.staging = self._new_staging(handle.text, handle.belief, handle)
            staging.patched = True
            return staging
        belief = file.version if handle.append else file.belief(view, writer.pid)
        # Its view's pages follow its view's commits, so whoever patches a file patches what is shown.
        follows = not (truncate or handle.unread or (start and not handle.in_place))
        if follows and isinstance(belief, int) and not file.foreign_since(view, belief):
            belief = None
        if belief is None and not truncate:
            belief = file.version if inode.shown is None else inode.shown.belief
        data = b"" if truncate else self.opening.starting_text(handle, belief)
        if data is None:  # what it had read is not kept: the commit refuses if others wrote since
            data = self.opening.starting_text(handle, file.version) or b""
            if isinstance(belief, int) and not file.foreign_since(inode.view.number, belief):
                belief = file.version
        staging = inode.staging = self._new_staging(data, belief, handle)
        staging.patched = not truncate and not handle.cached
        return staging

    def write(self, handle: TrackedHandle, offset: int, data: bytes) -> int:
        """Stage bytes. Raises Refused, and OSError when the disk is full (large files only)."""
        handle.check_accepted()
        staging = self._stage(handle, start=offset == 0)
        staging.refusal = None
        if handle.append:
            staging.append(data)
        else:
            staging.write(offset, data)
        return len(data)

    def foresee(self, handle: TrackedHandle, effects: Effects) -> None:
        """Refuse a write at once if no continuation could be accepted: errors of write(2) reach people best.

        Only where the kernel caches nothing of the write: rolling back a cached one would wait for itself.
        Raises Refused; the view shows the committed text again.
        """
        inode, staging = handle.inode, handle.inode.staging
        if handle.cached or handle.append or inode.path is None or staging is None or staging.large:
            return
        try:
            edit = replace(self._edit(inode.view, inode.path, staging), is_whole=False)
            self.corridor.foresee(edit, edit.data[: staging.reached])
        except Held:
            staging.hold_up(unfinished=True)
            raise
        except Refused as refused:
            handle.refused = refused
            self._drop(inode)
            effects.inodes.append(inode)
            raise

    def truncate_handle(self, handle: TrackedHandle, size: int) -> None:
        """Stage an ftruncate(2)."""
        if size:
            handle.check_accepted()
        staging = self._stage(handle, truncate=not size)
        handle.refused = staging.refusal = None
        staging.truncate(size)

    def truncate_path(self, inode: Inode, size: int, tid: int, effects: Effects) -> None:
        """Carry out truncate(2): staged if a writer is at work, else committed at once."""
        if inode.staging is not None:
            inode.staging.truncate(size)
            return
        handle = TrackedHandle(self.core, inode, os.O_WRONLY | os.O_APPEND, tid)
        self._stage(handle).truncate(size)
        if inode.path is None:  # an orphan commits nothing; its last close drops the bytes
            if not inode.opens:
                self._drop(inode)
            return
        try:
            self.commit(inode, effects)
        finally:
            self._drop(inode)

    # ---- commit

    def flush(self, handle: TrackedHandle, effects: Effects, *, whole: bool = False) -> None:
        """Commit written bytes (D2, D4), with `whole` the rest, too. Raises Refused, OSError."""
        handle.check_accepted()
        inode = handle.inode
        staging = inode.staging
        if staging is None or not handle.writable or inode.path is None:
            return
        if not (staging.dirty if whole else staging.wrote):
            return
        if not (handle.takes_part or (whole and staging.writer.pid == handle.writer().pid)):
            return
        try:
            self.commit(inode, effects)
        except Held:
            staging.hold_up(unfinished=False)
            raise
        except Refused as refused:
            staging.held_up = False
            staging.refusal = refused.number
            handle.anew = False
            self._suspend(inode, effects)
            raise

    def release(self, handle: TrackedHandle, effects: Effects) -> None:
        """Close a handle; commit what is still staged (D2, D4). Raises nothing: nobody listens."""
        inode = handle.inode
        self.opening.count_off(handle)
        answers = handle.takes_part or not inode.opens or inode in self.core.stranded
        if handle.writable and answers and inode.is_staged and inode.path is not None:
            self._commit_last(inode, effects)
        handle.close_fd()
        self.opening.let_go(handle, effects)
        self._last_close(inode)

    def _commit_last(self, inode: Inode, effects: Effects) -> None:
        """Commit at RELEASE; keep what cannot be: as a refusal, or staged until there is room or the lock."""
        staging = inode.staging
        assert staging is not None
        if staging.refusal is not None:  # at FLUSH, and nothing was written since: it is kept already
            self._give_up(inode, effects)
            return
        try:
            with self.core.locks.asked_by(patient=time.monotonic() < staging.wait_until(self._wait_s)):
                self.commit(inode, effects)
            self.core.stranded.discard(inode)
        except Held:  # nobody waits for the answer, so it waits without being asked for
            self.core.stranded.add(inode)
        except Refused:
            self._give_up(inode, effects)
        except OSError as error:
            log.warning("%s stays staged: %s", inode.path, error)
            self.core.stranded.add(inode)
        except Exception:  # nobody listens, and the bytes must neither be lost nor stay staged for ever
            log.exception("%s could not be committed", inode.path)
            self._keep_refused(inode, staging, "makfs failed; its log tells how.")
            self._give_up(inode, effects)

    @property
    def _wait_s(self) -> float:
        return self.core.config.write.wait_s

    def _give_up(self, inode: Inode, effects: Effects) -> None:
        """Show the committed text again; the staged bytes are kept as a refusal."""
        self._drop(inode)
        self.core.stranded.discard(inode)
        effects.inodes.append(inode)

    def abandon(self, inode: Inode) -> None:
        """Keep what is staged as a refusal: the inode's view is taken away by force."""
        staging = inode.staging
        if staging is not None and staging.dirty and inode.path is not None:
            self._keep_refused(inode, staging, f"The view of {inode.view.agent} was removed by force.")
        self._drop(inode)

    def _keep_refused(self, inode: Inode, staging: Staging, why: str) -> None:
        """Keep bytes that will not be committed."""
        assert inode.path is not None
        edit = self._edit(inode.view, inode.path, staging)
        try:
            refuse(self.core, edit, self.core.file(inode.path), why, ())
        except Refused:
            pass
        except (MakfsError, OSError):
            log.exception("%d bytes of %s are lost", staging.size, inode.path)

    def retry_stranded(self, effects: Effects) -> None:
        """Try again to commit what a full disk, or another agent's lock, kept staged."""
        for inode in list(self.core.stranded):
            if inode.staging is None or inode.path is None:
                self.core.stranded.discard(inode)
            elif inode.opens == 0:
                self._commit_last(inode, effects)
                inode.view.settle(inode)

    def _last_close(self, inode: Inode) -> None:
        if inode.opens:
            return
        inode.suspended = None
        if inode.staging is not None and (inode.path is None or not inode.staging.dirty):
            self._drop(inode)
        inode.view.settle(inode)

    def _suspend(self, inode: Inode, effects: Effects) -> None:
        """Show the committed text again, keeping the refused staging for a handle that goes on (D3)."""
        staging = inode.staging
        assert staging is not None
        if staging.new or inode.opens == 0:
            return
        inode.suspended = staging
        staging.stop()
        inode.staging = None
        effects.inodes.append(inode)

    def _drop(self, inode: Inode) -> None:
        if inode.staging is not None:
            inode.staging.stop()
            inode.staging.close()
            inode.staging = None
            if inode.path is not None and self.core.backing.lstat(inode.path) is None:
                inode.view.orphan(inode)  # it kept its path for its writer alone

    def commit(self, inode: Inode, effects: Effects) -> None:
        """Carry an inode's staged bytes through the corridor. Raises Refused, OSError."""
        staging, path = inode.staging, inode.path
        assert staging is not None
        assert path is not None
        edit = None if staging.large else self._edit(inode.view, path, staging)
        before = self.attributes.stat(inode)
        try:
            if edit is None:
                put_large(self.corridor, inode, staging, effects)
                landed = None
            else:
                landed = self.corridor.put(edit, effects)
        except StoreFull as error:
            raise OSError(errno.ENOSPC, str(error), path) from error
        self._committed(inode, staging)
        at_the_end = edit is not None and edit.base != staging.base
        left_pages = staging.patched and (inode.crowded or not self.drops_pages)
        if landed is None or landed.merged or left_pages or at_the_end:
            self._tell_writer(inode, edit, before, landed, effects)
        elif staging.told and before.st_mtime_ns != self.core.mtime_ns(path):
            effects.attributes.append(inode.ino)
        if staging.new:
            self.core.note_name(effects, path, own=inode.view)
            for name, value in staging.xattrs.items():
                os.setxattr(self.core.backing.at(path), name, value)
        if self.core.classifier.concerns(path):
            self.core.classifier.reload()

    def _tell_writer(
        self, inode: Inode, edit: Edit | None, before: StatLike, landed: Landed | None, effects: Effects
    ) -> None:
        """Correct the writer's own kernel caches, which hold another text than the commit made (I4)."""
        effects.inodes.append(inode)
        if edit is not None and landed is not None and inode.lookups > 0:
            belief = OwnText(edit.data) if landed.merged else self.core.file(edit.path).version
            inode.shown = Shown(edit.data, before, belief)

    def _edit(self, view: View, path: str, staging: Staging) -> Edit:
        like = MadeStat(stat.S_IFREG | staging.mode, st_uid=staging.uid, st_gid=staging.gid)
        data, base = self._at_the_end(path, staging) or (staging.content(), staging.base)
        return Edit(
            view, path, data, base, staging.writer, staging.mtime_ns,
            times_set=staging.times_set, atime_ns=staging.atime_ns, new=staging.new,
            like=like if staging.new else None, tells_itself=True,
        )  # fmt: skip

    def _committed(self, inode: Inode, staging: Staging) -> None:
        """End the staging. A handle that writes on begins another from what its process believes."""
        was_new = staging.new
        inode.let_go()
        inode.staging = None
        staging.stop()
        staging.close()
        inode.view.active()
        if was_new:
            inode.made_now()

    def _at_the_end(self, path: str, staging: Staging) -> tuple[bytes, Belief] | None:
        """Return what an append makes of a head that others have changed since it was staged (S3)."""
        file = self.core.file(path)
        if staging.appended is None or file.version == staging.base or file.deleted_by:
            return None
        head = self.core.belief_text(file, file.version)
        return None if head is None else (head + staging.content()[staging.appended :], file.version)
