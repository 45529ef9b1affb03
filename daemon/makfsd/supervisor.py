"""The one tree of tasks of a running kernel: the kernel's own, the mount, the control socket, the signals.

S1  The kernel's tasks start before the mount answers and end after it is gone: what was written gets done.
S2  "ready" is told when a system call on the mountpoint has been answered by this process.
S3  One SIGTERM ends in order; a second one at once, which loses no commit: the journal holds them.
"""

import gc
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import trio

from makfs.config import Config
from makfs.engine.api import Finding, KernelApi, Progress
from makfs.errors import Busy, MountError
from makfs.wire.place import STATE_DIR, mount_source
from makfs.wire.runs import Turn
from makfsd import control, users
from makfsd.runner import Runner

DRAIN_S = 10.0  # SIGTERM waits so long for writes that are open
SETTLE_S = 30.0  # and then so long for commits to be written through
UNMOUNT_S = 20.0

log = logging.getLogger("makfsd")


class Kernel(KernelApi, Protocol):
    """What the supervisor asks of a kernel beside the verbs."""

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the kernel's tasks (write-through, invalidation, import of edits) until cancelled.

        Calls `task_status.started()` when the file system may be served. Returning is a failure.
        """
        ...

    async def settle(self, timeout_s: float) -> Sequence[str]:
        """Wait until every commit is written through; return what is still owed then, a sentence each."""
        ...

    def close(self) -> None:
        """Close the store. Called once, after everything else, also when `run` never ran."""
        ...


class ServeMount(Protocol):
    """How `makfs.vfs.serve` is called."""

    async def __call__(
        self,
        kernel: Any,
        mountpoint: Path,
        *,
        source: str,
        allow_other: bool,
        task_status: trio.TaskStatus[None],
    ) -> None:
        """Mount, call `task_status.started()` once the FUSE loop takes requests, and serve.

        `source` is the fsname, needing no escapes; the subtype is makfs. Returns when the mount was taken
        away from outside. When cancelled, unmounts, lazily if it is in use. Raises MakfsError if it
        cannot be mounted.
        """
        ...


@dataclass(frozen=True, slots=True)
class Rooms:
    """The rooms below, as functions. Opening and checking are synchronous and raise MakfsError."""

    open_kernel: Callable[[Path, Path, Config, Sequence[str], Progress], Kernel]  # repo, mountpoint, agents
    serve_mount: ServeMount
    check_store: Callable[[Path, Config, Progress], Sequence[Finding]]  # of a store that nobody serves


@dataclass(frozen=True, slots=True)
class Settings:
    """What to serve where. Paths are absolute and real."""

    repo: Path
    mountpoint: Path
    config: Config
    agents: tuple[str, ...]
    allow_other: bool


def run(settings: Settings, rooms: Rooms, tell: Callable[[str], None]) -> None:
    """Serve until unmounted or told to stop. Raises MakfsError if it cannot; `tell` gets "ready" (S2).

    Call it after the last fork, with the repository's lock held.
    """
    kernel = rooms.open_kernel(
        settings.repo, settings.mountpoint, settings.config, settings.agents, _log_progress
    )
    # A first look at a large tree makes tens of thousands of objects that stay: collecting at every 700 of
    # them (the default) looks at all the others again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        trio.run(_Supervisor(settings, rooms, kernel, tell).supervise)
    finally:
        kernel.close()


def _log_progress(what: str, done: int, total: int) -> None:
    log.info("%s: %d of %d", what, done, total)


class _Supervisor:
    """The tasks of one kernel and the event that ends them."""

    def __init__(self, settings: Settings, rooms: Rooms, kernel: Kernel, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._rooms = rooms
        self._kernel = kernel
        self._tell = tell
        turns = tuple(Turn(rule.name, rule.commands) for rule in settings.config.resources if rule.commands)
        self._runs = Runner(
            kernel, settings.repo, settings.mountpoint, settings.config.run, settings.config.budget, turns
        )
        self._stop = trio.Event()
        self._drain_s = DRAIN_S  # for open writes once the stop is set

    async def supervise(self) -> None:
        """Start everything in order, wait for the stop, end everything in the opposite order (S1)."""
        async with trio.open_nursery() as inner:
            await inner.start(self._watch_signals)
            await inner.start(self._kernel.run)
            async with trio.open_nursery() as doors:
                await doors.start(self._serve_mount)
                await self._probe()
                listener = control.listen(self._settings.repo / STATE_DIR)
                await doors.start(self._runs.run)
                desk = control.Desk(self._kernel, self.unmount, self._runs)
                await doors.start(control.serve, desk, listener)
                self._announce()
                await self._stop.wait()
                await self._runs.end_all()
                left = await self._kernel.drain(self._drain_s)
                if left:
                    log.warning("ending with %d files still open for writing", len(left))
                doors.cancel_scope.cancel()
            log.info("unmounted %s", self._settings.mountpoint)
            for sentence in await self._kernel.settle(SETTLE_S):
                log.warning("still owed: %s", sentence)
            inner.cancel_scope.cancel()

    async def unmount(self, force: bool, wait_s: float) -> None:
        """End in order for a client that asked. Raises Busy, and serves on, if somebody uses the mount."""
        mountpoint = self._settings.mountpoint
        running = [f"{each.number} of {each.agent}" for each in self._runs.running()]
        if running and not force:
            raise Busy(
                f"{mountpoint} is in use by {_some(running, 'run')}: {_names(running)}; end them with "
                f"'makfs stop', or use --force."
            )
        left = await self._kernel.drain(0 if force else max(0.0, wait_s))
        if left and not force:
            files = f"{_some(left, 'file')} open for writing: {_names(left)}"
            raise Busy(f"{mountpoint} has {files}; close them, wait longer with --wait, or use --force.")
        if not force:
            with trio.CancelScope(shield=True):  # a mount that is gone and a client that hears of it
                await self._take_away(mountpoint)
        log.info("asked to unmount%s", " by force" if force else "")
        self._drain_s = 0.0  # they had their time
        self._stop.set()

    async def _take_away(self, mountpoint: Path) -> None:
        """Unmount as umount(8) does: the kernel's own check of who uses the mount, in one step."""
        with trio.fail_after(UNMOUNT_S):
            done = await trio.run_process(
                ["fusermount3", "-u", "--", str(mountpoint)], capture_stderr=True, check=False
            )
        if done.returncode == 0:
            return
        here = await trio.to_thread.run_sync(users.users_of, str(mountpoint))
        if here:
            raise Busy(f"{mountpoint} is in use by {_names(here)}; let them leave it, or use --force.")
        said = done.stderr.decode("utf-8", "replace").strip().rstrip(".")
        raise Busy(f"{mountpoint} could not be unmounted: {said}.")

    async def _serve_mount(self, *, task_status: trio.TaskStatus[None]) -> None:
        await self._rooms.serve_mount(
            self._kernel,
            self._settings.mountpoint,
            source=mount_source(str(self._settings.repo)),
            allow_other=self._settings.allow_other,
            task_status=task_status,
        )
        log.info("the mount is gone")
        self._stop.set()

    async def _probe(self) -> None:
        """Return when the mount has answered (S2)."""
        mountpoint = self._settings.mountpoint
        try:
            await trio.to_thread.run_sync(os.statvfs, mountpoint, abandon_on_cancel=True)
            seen = await trio.to_thread.run_sync(os.stat, mountpoint, abandon_on_cancel=True)
        except OSError as error:
            raise MountError(f"{mountpoint} was mounted but does not answer: {error.strerror}.") from error
        if seen.st_dev == mountpoint.parent.stat().st_dev:
            raise MountError(f"{mountpoint} was mounted but is not there to be seen.")

    def _announce(self) -> None:
        log.info("serving %s at %s, pid %d", self._settings.repo, self._settings.mountpoint, os.getpid())
        try:
            self._tell("ready")
        except BrokenPipeError:
            log.warning("nobody waits for this mount any more")
            self._stop.set()

    async def _watch_signals(self, *, task_status: trio.TaskStatus[None]) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as arriving:
            task_status.started()
            async for number in arriving:
                name = signal.Signals(number).name
                if self._stop.is_set():
                    log.warning("%s again: ending at once", name)
                    self._end_at_once()
                log.info("%s: unmounting", name)
                self._stop.set()

    def _end_at_once(self) -> None:
        """Leave without waiting for anything (S3)."""
        subprocess.run(["fusermount3", "-u", "-z", "--", str(self._settings.mountpoint)], check=False)
        logging.shutdown()
        os._exit(1)


def _some(items: Sequence[str], what: str) -> str:
    return f"1 {what}" if len(items) == 1 else f"{len(items)} {what}s"


def _names(items: Sequence[str], most: int = 3) -> str:
    shown = ", ".join(items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
