"""Mount, serve, unmount, without libfuse: the kernel's device is read and written here."""

import logging
from collections.abc import Mapping
from pathlib import Path

import trio

from makfs.engine.filesystem import FileSystem
from makfs.engine.kernel import Kernel
from makfs.vfs.native.changes import Changes
from makfs.vfs.native.common import Handler
from makfs.vfs.native.device import Device, NativeNotifier
from makfs.vfs.native.files import Files
from makfs.vfs.native.folders import Folders
from makfs.vfs.native.interrupts import Interrupts
from makfs.vfs.native.looks import Looks
from makfs.vfs.native.mounting import mount, take_away
from makfs.vfs.native.session import Session

log = logging.getLogger(__name__)


def handlers(fs: FileSystem, interrupts: Interrupts, device: Device) -> Mapping[int, Handler]:
    """Return the handlers of all operations by opcode."""
    return {
        **Looks(fs).table(),
        **Changes(fs).table(),
        **Folders(fs).table(),
        **Files(fs, interrupts, device).table(),
    }


async def serve(
    kernel: Kernel, mountpoint: Path, *, source: str, allow_other: bool, task_status: trio.TaskStatus[None]
) -> None:
    """Mount, tell when requests are taken, serve until unmounted from outside; unmount when cancelled."""
    fd = await trio.to_thread.run_sync(lambda: mount(mountpoint, source=source, allow_other=allow_other))
    device, gone = Device(fd), False
    try:
        fs = kernel.attach(NativeNotifier(device))
        interrupts = Interrupts()
        session = Session(device, handlers(fs, interrupts, device), interrupts)
        task_status.started()
        await session.run()
        gone = True
    finally:
        take_away(mountpoint, gone=gone)
        device.close()
