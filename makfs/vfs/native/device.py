"""The open /dev/fuse: replies and notifications go out through it.

N1  A notification may block in the kernel until requests in flight are answered, so it is sent from a thread
    of the engine's outbox, never from the task that answers requests. The one exception gives the kernel the
    text of a file that nobody has open yet (`engine.plain`, P2).
"""

import errno
import logging
import os
from collections.abc import Sequence

from makfs.vfs.native.abi import (
    NOTIFY_DELETE_OUT,
    NOTIFY_INVAL_ENTRY_OUT,
    NOTIFY_INVAL_INODE_OUT,
    NOTIFY_STORE_OUT,
    OUT_HEADER,
    NotifyCode,
)

log = logging.getLogger(__name__)
_header = OUT_HEADER.pack
_HEADER_SIZE = OUT_HEADER.size
_COPY_MOST = 32_768  # below this, joining two byte strings is cheaper than a vector
_GONE = frozenset({errno.ENOENT, errno.ENODEV, errno.ENOTCONN, errno.ECONNABORTED})


class Device:
    """Sends what the kernel reads from the device. Safe to call from threads."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        """End the session. The number stays taken: a thread that still notifies must not write elsewhere."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(null, self.fd, inheritable=False)
        os.close(null)

    def answer(self, unique: int, body: bytes) -> None:
        """Send a reply. Nothing is raised: who does not wait any more needs none."""
        size = len(body)
        head = _header(_HEADER_SIZE + size, 0, unique)
        try:
            if size <= _COPY_MOST:
                os.write(self.fd, head + body)
            else:
                os.writev(self.fd, (head, body))
        except OSError as error:
            self._not_sent(unique, error)

    def refuse(self, unique: int, number: int) -> None:
        """Send an errno instead of a reply."""
        try:
            os.write(self.fd, _header(_HEADER_SIZE, -number, unique))
        except OSError as error:
            if error.errno not in _GONE:
                log.error("request %d got no answer: %s", unique, error)

    def _not_sent(self, unique: int, error: OSError) -> None:
        """Let nobody wait for a reply that the kernel did not take, unless he has gone anyway."""
        if error.errno in _GONE:
            return
        log.error("the reply to request %d was not taken: %s", unique, error)
        self.refuse(unique, errno.EIO)

    def _notify(self, code: NotifyCode, *parts: bytes | memoryview) -> None:
        """Send a notification; what the kernel does not know, or an ended session, is no error."""
        size = sum(map(len, parts))
        try:
            os.writev(self.fd, (_header(_HEADER_SIZE + size, code, 0), *parts))
        except OSError as error:
            if error.errno not in _GONE:
                log.debug("notification %s was not taken: %s", code.name, error)

    def invalidate_inode(self, ino: int, offset: int, size: int) -> None:
        """Drop attributes and, from a non-negative offset on, pages; size 0: to the end."""
        self._notify(NotifyCode.INVAL_INODE, NOTIFY_INVAL_INODE_OUT.pack(ino, offset, size))

    def invalidate_entry(self, parent: int, name: bytes) -> None:
        """Drop a name, or its absence."""
        body = NOTIFY_INVAL_ENTRY_OUT.pack(parent, len(name), 0)
        self._notify(NotifyCode.INVAL_ENTRY, body, name, b"\0")

    def store(self, ino: int, data: bytes | memoryview) -> None:
        """Put a file's text into the kernel's cache. Waits for requests in flight that have its pages."""
        self._notify(NotifyCode.STORE, NOTIFY_STORE_OUT.pack(ino, 0, len(data), 0), data)

    def deleted(self, parent: int, child: int, name: bytes) -> None:
        """Drop a name whose file is gone; the kernel tells inotify watchers, too."""
        self._notify(NotifyCode.DELETE, NOTIFY_DELETE_OUT.pack(parent, child, len(name), 0), name, b"\0")


class NativeNotifier:
    """The engine's notifications (`makfs.engine.effects.Notifier`)."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def inode(self, ino: int) -> None:
        """Drop the pages and attributes of an inode."""
        self._device.invalidate_inode(ino, 0, 0)

    def attributes(self, ino: int) -> None:
        """Drop the attributes of an inode."""
        self._device.invalidate_inode(ino, -1, 0)

    def entry(self, parent: int, name: bytes) -> None:
        """Drop a name, or its absence, from a directory, and with it the directory's cached listing.

        The kernel drops a listing by itself only if it knew the name; a listing's pages are the folder's.
        """
        self._device.invalidate_entry(parent, name)
        self._device.invalidate_inode(parent, 0, 0)


def read_into(fd: int, buffers: Sequence[bytearray]) -> int:
    """Read one request; return its size, 0 if none waits, -1 if the mount is gone. Raises other OSErrors."""
    while True:
        try:
            return os.readv(fd, buffers)
        except BlockingIOError:
            return 0
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):  # its sender went away while it was read
                continue
            if error.errno in (errno.ENODEV, errno.ECONNABORTED):
                return -1
            raise
