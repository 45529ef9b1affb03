"""Opening tracked files: what a process is shown from its first read to its close, and takes it to be (I4).

O1  Who reads a file that others change right now, in its own view or in another, reads one version until it
    closes it: past the kernel's cache, which is of the inode and could mix two versions, or cut one to the
    other's length.
O2  Who reads to write over parts of it begins, moreover, from the newest version, unless another process of
    its view has staged a newer text; and what it writes is of what it read.
"""

import os
import time

from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.effects import Effects
from makfs.engine.files import Belief, File, signature
from makfs.engine.handles import TrackedHandle
from makfs.engine.inodes import Inode
from makfs.engine.staging import Staging
from makfs.syntax import is_source


class Opening:
    """Opens and closes handles, without a look at what they stage. Plain `def`s (E1)."""

    def __init__(self, core: Core, corridor: Corridor) -> None:
        self.core = core
        self.corridor = corridor

    def open(self, inode: Inode, flags: int, tid: int, effects: Effects) -> TrackedHandle:
        """Open a tracked file. Raises OSError."""
        handle = TrackedHandle(self.core, inode, flags, tid)
        handle.anew = inode.suspended is not None
        if inode.staging is None and inode.path is not None:
            self._open_committed(handle, handle.file, effects)
            self._freeze_if_hot(handle, handle.file)
        elif inode.staging is not None and inode.staging.held_up:
            self._freeze_held_up(handle, inode.staging)
        self.count(handle)
        reads_cached = not (handle.writable or handle.frozen)
        if inode.staging is None and (handle.in_place or reads_cached):  # in place: it may map the file
            handle.stand = inode.stand_still(self.core.procs.group(tid))
        return handle

    def count(self, handle: TrackedHandle) -> None:
        """Note that the file is open."""
        handle.inode.opened()
        self.take_over(handle)

    def count_off(self, handle: TrackedHandle) -> None:
        """Note that a handle is closed."""
        handle.inode.opens -= 1
        self._patch_no_more(handle)

    def take_over(self, handle: TrackedHandle) -> None:
        """Note that a file which is counted as open already is open by this handle."""
        if handle.patches:
            handle.patcher = self.core.procs.group(handle.tid)
            handle.inode.patchers.append(handle.patcher)

    def hand_over(self, handle: TrackedHandle) -> None:
        """Note that a file which stays open is not by this handle any more."""
        self._patch_no_more(handle)
        if handle.stand is not None:
            handle.inode.sit_down(handle.stand)

    @staticmethod
    def _patch_no_more(handle: TrackedHandle) -> None:
        if handle.patches:
            handle.inode.patchers.remove(handle.patcher)

    @staticmethod
    def let_go(handle: TrackedHandle, effects: Effects) -> None:
        """Let an inode that stood still for this handle show the newest version."""
        inode = handle.inode
        if handle.stand is not None:
            inode.sit_down(handle.stand)
            if inode.shown is not None and inode not in effects.inodes:
                effects.inodes.append(inode)

    def _open_committed(self, handle: TrackedHandle, file: File, effects: Effects) -> None:
        """Open the committed bytes and note what the process will believe."""
        core, inode = self.core, handle.inode
        if file.owed is None:
            handle.open_fd()
            st = os.fstat(handle.fd)
            if file.signature is None or signature(st) != file.signature:
                self.corridor.refresh(file, effects)
                handle.version = file.version
        if not handle.writable or handle.in_place:
            shown = inode.shown
            belief = file.version if shown is None else shown.belief
            pid = core.procs.group(handle.tid)
            if handle.in_place and file.beliefs.get((inode.view.number, pid), belief) != belief:
                handle.unread = True  # it may write what it remembers, and read nothing
            else:
                file.believe(inode.view.number, pid, belief)

    def _freeze_if_hot(self, handle: TrackedHandle, file: File) -> None:
        """Let a reader of a file that another view changed a moment ago keep to one version.

        The kernel's cache is of the inode, so it could mix two versions in one reader's calls, or cut one to
        the other's length. Who reads to write in place would write the mixture back.
        """
        if (handle.writable and not handle.in_place) or file.owed is not None:
            return
        if not (file.hot(handle.inode.view.number, time.monotonic()) or self._is_patched(handle)):
            return
        shown = handle.inode.shown
        handle.text = None if shown is None else shown.data
        handle.belief = file.version if shown is None else shown.belief
        if handle.in_place and handle.text is None:
            handle.text = self.core.belief_text(file, handle.belief)
            if handle.text is None:  # too large to be kept
                return
        handle.frozen = True
        handle.cached = False

    def _is_patched(self, handle: TrackedHandle) -> bool:
        """Tell whether another process of the view may write over parts of the source that a handle reads."""
        patchers = handle.inode.patchers
        if handle.writable or not patchers or not is_source(handle.file.path):
            return False
        pid = self.core.procs.group(handle.tid)
        return any(other != pid for other in patchers)

    def _freeze_held_up(self, handle: TrackedHandle, staging: Staging) -> None:
        """Let who reads what another process of its view has staged keep to one version: its commit may come.

        That is what is staged, if all of it was written; the committed text, while a write itself waits.
        """
        inode, file, pid = handle.inode, handle.file, self.core.procs.group(handle.tid)
        if handle.writable or staging.large or staging.writer.pid == pid:
            return
        handle.frozen, handle.text = True, None
        if staging.unfinished and not staging.new:
            handle.belief = file.version if inode.shown is None else inode.shown.belief
            handle.text = self.starting_text(handle, handle.belief)
        if handle.text is None:
            handle.text = staging.content()
        else:
            file.believe(inode.view.number, pid, handle.belief)

    def starting_text(self, handle: TrackedHandle, belief: Belief) -> bytes | None:
        """Return what a belief stands for, as far as a handle's view shows it; None if it is not kept."""
        if (fd := handle.inode.orphan_fd) >= 0:
            return os.pread(fd, os.fstat(fd).st_size, 0)
        if handle.inode.path is None:
            return b""
        shown = handle.inode.shown
        if shown is not None and belief == shown.belief:
            return shown.data
        return self.core.belief_text(handle.file, belief)
