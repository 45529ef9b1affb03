"""Mount, serve, unmount: pyfuse3's session and the kernel's notifications; or the native transport's."""

import contextlib
import logging
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyfuse3
import trio

from makfs.engine.kernel import Kernel
from makfs.errors import MountError
from makfs.settings import Transport
from makfs.vfs.loop import install
from makfs.vfs.native import serve as serve_native
from makfs.vfs.operations import Operations

log = logging.getLogger(__name__)
MAX_TASKS = 1024  # above the number of writers that may wait: a worker is always left (fuse: 99 hung)


class PyfuseNotifier:
    """The kernel notifications of pyfuse3; it releases the GIL while the kernel takes its locks."""

    def inode(self, ino: int) -> None:
        """Drop the pages and attributes of an inode."""
        self._quietly(pyfuse3.invalidate_inode, ino, False)

    def attributes(self, ino: int) -> None:
        """Drop the attributes of an inode."""
        self._quietly(pyfuse3.invalidate_inode, ino, True)

    def entry(self, parent: int, name: bytes) -> None:
        """Drop a name, or its absence, from a directory."""
        self._quietly(pyfuse3.invalidate_entry, parent, name)

    @staticmethod
    def _quietly(call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(OSError):  # ENOENT: the kernel does not know it; others: the session is over
            call(*args)


async def serve(
    kernel: Kernel,
    mountpoint: Path,
    *,
    source: str,
    allow_other: bool,
    task_status: trio.TaskStatus[None],
) -> None:
    """Mount, tell when requests are taken, serve until unmounted from outside; unmount when cancelled."""
    native = kernel.core.config.mount.transport is Transport.NATIVE
    transport = serve_native if native else _serve_pyfuse3
    await transport(kernel, mountpoint, source=source, allow_other=allow_other, task_status=task_status)


async def _serve_pyfuse3(
    kernel: Kernel,
    mountpoint: Path,
    *,
    source: str,
    allow_other: bool,
    task_status: trio.TaskStatus[None],
) -> None:
    """Serve through pyfuse3."""
    fs = kernel.attach(PyfuseNotifier())
    options = {"default_permissions", f"fsname={_escape(source)}", "subtype=makfs"}
    if allow_other:
        options.add("allow_other")
    install()
    try:
        pyfuse3.init(Operations(fs), str(mountpoint), options)
    except RuntimeError as error:
        raise MountError(f"{mountpoint} could not be mounted: {error}.") from error
    unmounted = False
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_main, nursery.cancel_scope)
            task_status.started()
        unmounted = True
    finally:
        _take_away(mountpoint, unmounted)


async def _main(scope: trio.CancelScope) -> None:
    await pyfuse3.main(max_tasks=MAX_TASKS)
    scope.cancel()


def _take_away(mountpoint: Path, gone: bool) -> None:
    """Unmount, lazily if somebody uses the mount: a daemon that ends must not leave a dead one."""
    if not gone or os.path.ismount(mountpoint):
        subprocess.run(["fusermount3", "-uz", "--", str(mountpoint)], capture_output=True, check=False)
    pyfuse3.close(unmount=False)


def _escape(text: str) -> str:
    """Escape what libfuse's option list treats as its own (fuse_opt.h): backslash and comma."""
    return text.replace("\\", "\\\\").replace(",", "\\,")
