"""Opening and closing a file that is only read, with nothing to decide: searches do it by the thousand.

P1  What is done is what `Data.open` and `Data.release` would do; whatever is not ordinary is left to them.
    An open is done in two steps: all that can fail is in the first, so that it can be answered between them.
P2  A text is given to the kernel unasked only while nobody else has the file open: then no request in flight
    holds a page of it, so the one who gives it need not wait for an answer of his own.
"""

import os
import stat
from typing import NamedTuple

from makfs.engine.core import Core
from makfs.engine.files import File
from makfs.engine.handles import OpenFile, TrackedHandle
from makfs.engine.inodes import Inode, Realm

GIVEN_BYTES = 64 << 10  # a file no larger is given to the kernel when it is first opened
NOT_PLAIN = os.O_ACCMODE | os.O_TRUNC  # none of these in the flags: an open only to read
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_room = bytearray(GIVEN_BYTES)


class Plain(NamedTuple):
    """An open that is as good as done."""

    inode: Inode
    file: File
    fd: int
    pid: int


def begin_plain(core: Core, inode: Inode | None, flags: int, tid: int) -> Plain | None:
    """Open a file whose inode and head are at rest, and as last seen (F2) or never seen; else None (P1).

    The caller goes on with `end_plain`, before anything else happens.
    """
    if flags & NOT_PLAIN or inode is None or inode.path is None or inode.realm is not Realm.TRACKED:
        return None
    view = inode.view
    if view.reads_locked or view.role is not None:
        return None
    if inode.staging is not None or inode.shown is not None or inode.kind != stat.S_IFREG or inode.patchers:
        return None
    file = core.files.get(inode.path) or core.file(inode.path)
    if file.owed is not None or file.changed_s or file.contended_s:
        return None
    if file.signature is None and file.version > 0:  # to be compared with the store
        return None
    try:
        fd = os.open(core.backing.at(inode.path), _OPEN)
    except OSError:
        return None
    st = os.fstat(fd)
    now = (st.st_mtime_ns, st.st_size, st.st_ino)
    if file.signature is None and stat.S_ISREG(st.st_mode):
        file.signature = now
    elif now != file.signature:
        os.close(fd)
        return None
    return Plain(inode, file, fd, core.procs.group(tid))


def end_plain(core: Core, begun: Plain, flags: int, tid: int) -> TrackedHandle:
    """Return the handle of an open that has been begun, and note who reads what."""
    inode, file, fd, pid = begun
    view, version = inode.view, file.version
    handle = TrackedHandle(core, inode, flags, tid)
    handle.fd, handle.version = fd, version
    file.believe(view.number, pid, version)
    view.stirred = True
    inode.opened()
    handle.stand = inode.stand_still(pid)
    return handle


def first_text(begun: Plain) -> memoryview | None:
    """Return what to give to the kernel before a plain open is answered: a small file's text, once (P2).

    None: nothing. The bytes are there until the next call.
    """
    inode, signature = begun.inode, begun.file.signature
    if inode.given or inode.opens or signature is None:
        return None
    inode.given = True
    size = signature[1]
    if not 0 < size <= GIVEN_BYTES:
        return None
    try:
        found = os.preadv(begun.fd, (_room,), 0)
    except OSError:  # whoever reads it is told
        return None
    return memoryview(_room)[:size] if found == size else None


def close_plain(handles: dict[int, OpenFile], number: int) -> bool:
    """Close a file that was only read and has nothing to commit or to tell; else return False (P1)."""
    handle = handles.get(number)
    if not isinstance(handle, TrackedHandle) or handle.writable:
        return False
    inode = handle.inode
    if inode.staging is not None or inode.suspended is not None or inode.shown is not None:
        return False
    del handles[number]
    handle.close_fd()
    inode.opens -= 1
    if handle.stand is not None:
        inode.sit_down(handle.stand)
    if not inode.opens:
        inode.view.settle(inode)
    return True
