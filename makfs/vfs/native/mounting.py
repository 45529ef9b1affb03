"""Mount through fusermount3 and get the open /dev/fuse from it, as root or not; take the mount away again.

fusermount3 is told the number of a socket by _FUSE_COMMFD and sends the descriptor back through it
(libfuse, lib/mount.c and util/fusermount.c).
"""

import os
import socket
import subprocess
from pathlib import Path

from makfs.errors import MountError


def escape(text: str) -> str:
    """Escape what a list of mount options treats as its own: backslash and comma."""
    return text.replace("\\", "\\\\").replace(",", "\\,")


def mount(mountpoint: Path, *, source: str, allow_other: bool) -> int:
    """Mount; return the device, in non-blocking mode. Raises MountError."""
    options = ["default_permissions", f"fsname={escape(source)}", "subtype=makfs"]
    if allow_other:
        options.append("allow_other")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours:
        with theirs:
            command = ["fusermount3", "-o", ",".join(options), "--", str(mountpoint)]
            environment = {**os.environ, "_FUSE_COMMFD": str(theirs.fileno())}
            try:
                done = subprocess.run(
                    command, env=environment, pass_fds=(theirs.fileno(),), capture_output=True, check=False
                )
            except OSError as error:
                raise MountError(f"fusermount3 could not be started: {error.strerror}.") from error
        if done.returncode != 0:
            said = done.stderr.decode("utf-8", "replace").strip().rstrip(".")
            raise MountError(f"{mountpoint} could not be mounted: {said}.")
        fds = socket.recv_fds(ours, 1, 1)[1]
    if not fds:
        raise MountError(f"{mountpoint} could not be mounted: fusermount3 sent no device.")
    os.set_inheritable(fds[0], False)
    os.set_blocking(fds[0], False)
    return fds[0]


def take_away(mountpoint: Path, *, gone: bool) -> None:
    """Unmount, lazily if somebody uses the mount: a daemon that ends must not leave a dead one.

    `gone`: it was unmounted from outside; then only what is left at the place is taken away.
    """
    if gone and not os.path.ismount(mountpoint):
        return
    subprocess.run(["fusermount3", "-uz", "--", str(mountpoint)], capture_output=True, check=False)
