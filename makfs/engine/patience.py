"""Waiting for what other agents hold: inside the operation that needs it, for a bounded time.

W1  Work never awaits, and changes nothing when Held ends it: so it can be tried again (E1, E3).
W2  When waiting was in vain the work is done a last time, and refuses for itself, keeping its bytes.
W3  Operations during which the kernel holds a folder's lock wait for a moment only.
W4  A reader waits for a write of its view that has begun, and who writes waits for readers of its view that
    are in the middle, but for an append; who reads also for those that need an older version than the newest.
    All for a moment: after that the view behaves as ext4 does.
"""

import errno
import os
from collections.abc import Callable
from typing import NoReturn, TypeVar

import trio

from makfs.engine import reasons
from makfs.engine.core import Core
from makfs.engine.effects import READER_S, Effects, Outbox
from makfs.engine.gate import Forbidden
from makfs.engine.held import Held, Needs, NotAdmitted, StillHeld
from makfs.engine.inodes import STILL_S, Inode, Realm
from makfs.engine.names import oserror
from makfs.engine.needs import needs_of_names
from makfs.engine.procs import is_dying
from makfs.engine.views import View
from makfs.errors import Busy
from makfs.ids import RepoPath
from makfs.locks import READ, Claim, Grant, file_address
from makfs.syntax import is_source

T = TypeVar("T")
WRITER_S = 1.0  # who reads source waits so long for a write that has begun, and who writes it for a reader
_ROUNDS = 3  # of waiting for one writer, or reader, after another


class Patience:
    """Carries out what may have to wait."""

    def __init__(self, core: Core, outbox: Outbox) -> None:
        self._core = core
        self._outbox = outbox

    @property
    def wait_s(self) -> float:
        """Return how long write(2), close(2) and fsync(2) wait."""
        return self._core.config.write.wait_s

    @property
    def short_wait_s(self) -> float:
        """Return how long changes of names and attributes wait (W3)."""
        return min(self._core.config.write.wait_s, self._core.config.write.lease_s)

    async def carry_out(
        self, view: View, work: Callable[[Effects], T], wait_s: float, tid: int = 0, *, pid: int = -1
    ) -> T:
        """Carry out work; while it needs what others hold, wait for that and try again (W1, W2).

        Its effects are settled each time (E6). A killed thread `tid` does not wait. Nobody waits for what the
        process `pid` has open to read: it is that process's doing.
        """
        locks, until, verdict = self._core.locks, trio.current_time() + wait_s, ""
        given: tuple[Grant, ...] = ()
        waited_ns = 0
        try:
            while True:
                effects = Effects()
                try:
                    with locks.asked_by(patient=not verdict, verdict=verdict):
                        return work(effects)
                except Held as held:
                    if tid and is_dying(tid):
                        verdict = f"{held} The process that wrote it was killed."
                        continue
                    try:
                        grants = await locks.wait(held, until - trio.current_time(), self._core.lease_ns)
                        given = (*given, *grants) if held.once else given
                    except StillHeld as vain:
                        verdict = str(vain)
                    finally:
                        waited_ns += held.waited_ns
                finally:
                    with trio.CancelScope(shield=True):  # half told, a view would show its old text for ever
                        await self._outbox.settle(effects, own=view, pid=pid)
        finally:
            locks.give_back(view.agent, given)
            if waited_ns:
                view.note_wait(waited_ns)

    async def admitted(self, view: View, path: str, needs: Needs) -> None:
        """Return when names or attributes may be changed, in the same step. Raises Busy, EACCES."""
        await self._ask(view, path, lambda: self._core.gate.names(view, path, needs))

    async def admitted_later(self, view: View, path: str) -> None:
        """Return when a new name is nobody else's; it is the commit that takes it. Raises Busy, EACCES."""
        gate = self._core.gate
        if gate.is_narrow(view, path):
            await self._ask(view, path, lambda: gate.foresee(view, path, needs_of_names([path])))

    async def _ask(self, view: View, path: str, question: Callable[[], None]) -> None:
        def work(_effects: Effects) -> None:
            try:
                question()
            except NotAdmitted as lacking:
                if isinstance(lacking, Held) and self._core.locks.patient:
                    raise
                self._not_admitted(view, path, lacking)

        await self.carry_out(view, work, self.short_wait_s)

    def _not_admitted(self, view: View, path: str, lacking: NotAdmitted) -> NoReturn:
        """Tell the view why, and raise: there are no bytes to keep."""
        why = self._core.locks.verdict or str(lacking)
        view.refusals += 1
        advice = self._core.gate.advice(lacking, is_text=False)
        view.why = f"Refused a change of {path or '/'}. {reasons.names(lacking.addresses)}: {why} {advice}"
        if isinstance(lacking, Forbidden):
            raise oserror(errno.EACCES, path)
        raise Busy(view.why)

    # ---- opening

    async def may_open(self, inode: Inode, path: str, flags: int) -> None:
        """Ask the role; let a reader of a view with locked reads wait for writers. Raises EACCES, Busy."""
        view, access = inode.view, flags & os.O_ACCMODE
        realm = self._core.realm_of(inode)
        if view.role is not None and realm is not Realm.GIT:
            forbidden = access != os.O_WRONLY and not view.role.may_read(path)
            if access != os.O_RDONLY and realm is Realm.TRACKED:
                forbidden = forbidden or not view.role.may_write_in(path)
            if forbidden:
                what = "read" if access == os.O_RDONLY else "write"
                view.why = f"The role {view.role.name} of {view.agent} does not let it {what} {path}."
                raise oserror(errno.EACCES, path)
        if view.reads_locked and access != os.O_WRONLY and realm is Realm.TRACKED:
            await self.readable(view, path)

    async def readable(self, view: View, path: str) -> None:
        """Wait until nobody else holds a write lock on a file or in it. Raises Busy."""
        locks = self._core.locks
        address = file_address(RepoPath(path))
        if not locks.table.conflicts_of(view.agent, (address,), READ, now_ns=locks.now_ns()):
            return
        held = Held(view.agent, (Claim(address, READ),), "", (address,), once=True)
        try:
            grants = await locks.wait(held, self.wait_s, 0)
        except StillHeld as vain:
            view.why = f"{path} was not opened, for this view's reads wait for writers: {vain}"
            raise Busy(view.why) from None
        locks.give_back(view.agent, grants)

    async def let_others_finish(self, inode: Inode, flags: int, pid: int) -> None:
        """Keep processes of one view out of each other's way for a moment (W4)."""
        if flags & (os.O_ACCMODE | os.O_TRUNC) == os.O_RDONLY:
            if self._outbox.is_behind(inode):
                await self._show_newest(inode)
            await self._let_write(inode, pid)
        elif not flags & os.O_APPEND:
            await inode.wait_closed(WRITER_S if is_source(inode.path or "") else READER_S, but=pid)
            if flags & (os.O_ACCMODE | os.O_TRUNC) == os.O_RDWR:
                await self._show_newest(inode)

    @staticmethod
    async def _let_write(inode: Inode, pid: int) -> None:
        """Let a reader wait for another process's write: of source for longer, half of which is of no use."""
        for _ in range(_ROUNDS):
            staging = inode.staging
            if staging is None or staging.new or not staging.dirty or staging.writer.pid == pid:
                return
            if not await staging.wait_done(WRITER_S if is_source(inode.path or "") else READER_S):
                return

    async def _show_newest(self, inode: Inode) -> None:
        """Let who opens a file begin from the newest version, once nobody needs the older one."""
        for _ in range(_ROUNDS):
            if inode.shown is None or inode.staging is not None:
                return
            await inode.wait_closed(STILL_S)
            await self._outbox.settle(Effects(inodes=[inode]))
