"""Effects: what must happen outside after a commit, and before the reply to its writer (E2, E4).

E5  Notifications run on threads of their own, never on the FUSE loop: they take the page or directory locks
    that requests in flight hold until that very loop answers.
E6  Entry notifications have a thread for each view, and a reply never waits for a view that has a name
    operation in flight: the later of two waits for nobody, so no circle of waiting can close.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import trio

from makfs.engine.inodes import Inode
from makfs.engine.views import View

log = logging.getLogger(__name__)
READER_S = 0.05  # a commit waits so long for readers that are in the middle of a file
_TURN_S = 0.002  # who looks at many files lets others run so often
_ROUNDS = 20  # with readers that never pause, at last show the new version all the same


class Notifier(Protocol):
    """The transport's kernel notifications. Each may block; what the kernel does not know is no error."""

    def inode(self, ino: int) -> None:
        """Drop the pages and attributes of an inode."""
        ...

    def attributes(self, ino: int) -> None:
        """Drop the attributes of an inode."""
        ...

    def entry(self, parent: int, name: bytes) -> None:
        """Drop a name, or its absence, from a directory."""
        ...


@dataclass(slots=True)
class Effects:
    """Kernel caches that are wrong after a commit."""

    inodes: list[Inode] = field(default_factory=list)
    attributes: list[int] = field(default_factory=list)
    entries: list[tuple[View, int, bytes]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.inodes or self.attributes or self.entries)


class _Thread:
    """One notification thread with its queue."""

    def __init__(self, name: str) -> None:
        self.jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while (job := self.jobs.get()) is not None:
            try:
                job()
            except Exception:  # the thread serves everybody: it must outlive one bad job
                log.exception("a kernel notification failed")


class Outbox:
    """Sends notifications and lets the sender wait for them."""

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._inodes = _Thread("makfs-inval")
        self._entries: dict[int, _Thread] = {}
        self._closed = False
        self.still: set[Inode] = set()  # stood still when they should have changed

    async def settle(
        self, effects: Effects, by: View | None = None, *, own: View | None = None, pid: int = -1
    ) -> None:
        """Send the notifications; return when those that may be waited for (E6) have been carried out.

        `by`: the view with a name operation in flight. `own`: the view whose doing it is. `pid`: the process
        whose doing it is; what it has open itself is not waited for.
        """
        if not effects or self._closed:
            return
        token = trio.lowlevel.current_trio_token()
        waits: list[trio.Event] = []
        if effects.attributes:
            numbers = tuple(effects.attributes)
            waits.append(self._post(self._inodes, token, lambda: self._send_attributes(numbers)))
        for view, parent, name in effects.entries:
            thread = self._entries.get(view.number)
            if thread is None:
                thread = self._entries[view.number] = _Thread(f"makfs-entry-{view.number}")
            done = self._post(thread, token, lambda p=parent, n=name: self._notifier.entry(p, n))  # type: ignore[misc]
            if view.name_operations == 0 and view is not by:
                waits.append(done)
        await self._refresh(effects.inodes, token, own, pid)
        for event in waits:
            await event.wait()

    async def _refresh(
        self, inodes: Sequence[Inode], token: trio.lowlevel.TrioToken, own: View | None, pid: int
    ) -> None:
        """Make the kernel drop what it has of these inodes, then show their newest version (I4).

        An answer given from the older version while the notification was under way may have been cached after
        it, so such an inode is notified again. What stands still for longer is left to `still`.
        """
        until = time.monotonic() + READER_S
        for inode in inodes:
            await inode.wait_closed(until - time.monotonic(), but=pid)
            if inode.view is own and not inode.patchers:  # what a view changes itself it shows at once
                inode.let_go()
        for _ in range(_ROUNDS):
            inodes = self._moving(inodes)
            if not inodes:
                return
            told = {inode: inode.shown.served for inode in inodes if inode.shown is not None}
            await self._tell(inodes, token)
            for inode, served in told.items():
                if inode.shown is not None and inode.shown.served == served and not self._stands(inode):
                    inode.shown = None
            inodes = [inode for inode in told if inode.shown is not None]
        for inode in inodes:
            inode.shown = None
        await self._tell(inodes, token)

    def _moving(self, inodes: Sequence[Inode]) -> list[Inode]:
        """Return those that may change now; remember the others, as long as they stand."""
        standing = {inode for inode in inodes if inode.shown is not None and self._stands(inode)}
        self.still.difference_update(inodes)
        self.still |= standing
        return [inode for inode in inodes if inode not in standing]

    def is_behind(self, inode: Inode) -> bool:
        """Tell whether an inode goes on showing an older version for somebody, though its commit was told."""
        return inode in self.still

    @staticmethod
    def _stands(inode: Inode) -> bool:
        return inode.still_until > time.monotonic()

    async def _tell(self, inodes: Sequence[Inode], token: trio.lowlevel.TrioToken) -> None:
        numbers = tuple(inode.ino for inode in inodes)
        await self._post(self._inodes, token, lambda: self._send_inodes(numbers)).wait()

    def _send_inodes(self, numbers: Sequence[int]) -> None:
        for ino in numbers:
            self._notifier.inode(ino)

    def _send_attributes(self, numbers: Sequence[int]) -> None:
        for ino in numbers:
            self._notifier.attributes(ino)

    @staticmethod
    def _post(thread: _Thread, token: trio.lowlevel.TrioToken, work: Callable[[], None]) -> trio.Event:
        done = trio.Event()

        def job() -> None:
            try:
                work()
            finally:
                with contextlib.suppress(trio.RunFinishedError):
                    token.run_sync_soon(done.set)

        thread.jobs.put(job)
        return done

    def close(self) -> None:
        """End the threads; what is queued is still sent."""
        self._closed = True
        for thread in [self._inodes, *self._entries.values()]:
            thread.jobs.put(None)


class Turn:
    """A stretch of looking at many files, kept short: readers and writers wait for it."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._until = time.monotonic() + _TURN_S
        self.effects = Effects()

    async def rest(self) -> None:
        """Let others run if it is time; after this, shared state may be another (E3)."""
        if time.monotonic() >= self._until:
            await self.end()
            self._until = time.monotonic() + _TURN_S

    async def end(self) -> None:
        """Tell the kernel what was found so far."""
        effects, self.effects = self.effects, Effects()
        await self._outbox.settle(effects)
        await trio.lowlevel.checkpoint()
