"""Effects: what must happen outside after a commit, and before the reply to its writer (E2, E4).

E5  Notifications run on threads of their own, never on the FUSE loop: they take the page or directory locks
    that requests in flight hold until that very loop answers.
E6  Entry notifications have a thread for each view, and a reply never waits for a view that has a name
    operation in flight: the later of two waits for nobody, so no circle of waiting can close.
"""

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import trio

from makfs.engine.views import View

log = logging.getLogger(__name__)


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

    inodes: list[int] = field(default_factory=list)
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

    async def settle(self, effects: Effects, by: View | None = None) -> None:
        """Send the notifications; return when those that may be waited for (E6) have been carried out."""
        if not effects or self._closed:
            return
        token = trio.lowlevel.current_trio_token()
        waits: list[trio.Event] = []
        if effects.inodes or effects.attributes:
            waits.append(self._post(self._inodes, token, lambda: self._send_inodes(effects)))
        for view, parent, name in effects.entries:
            thread = self._entries.get(view.number)
            if thread is None:
                thread = self._entries[view.number] = _Thread(f"makfs-entry-{view.number}")
            done = self._post(thread, token, lambda p=parent, n=name: self._notifier.entry(p, n))  # type: ignore[misc]
            if view.name_operations == 0 and view is not by:
                waits.append(done)
        for event in waits:
            await event.wait()

    def _send_inodes(self, effects: Effects) -> None:
        for ino in effects.inodes:
            self._notifier.inode(ino)
        for ino in effects.attributes:
            self._notifier.attributes(ino)

    @staticmethod
    def _post(thread: _Thread, token: trio.lowlevel.TrioToken, work: Callable[[], None]) -> trio.Event:
        done = trio.Event()

        def job() -> None:
            try:
                work()
            finally:
                try:
                    token.run_sync_soon(done.set)
                except trio.RunFinishedError:
                    pass

        thread.jobs.put(job)
        return done

    def close(self) -> None:
        """End the threads; what is queued is still sent."""
        self._closed = True
        for thread in [self._inodes, *self._entries.values()]:
            thread.jobs.put(None)
