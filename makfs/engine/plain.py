"""Opening a committed file to read it, when there is nothing to decide: what searches do by the thousand.

P1  The answer is what `Data.open` would say; whatever is not ordinary is left to it.
"""

import os

from makfs.engine.core import Core
from makfs.engine.handles import TrackedHandle
from makfs.engine.inodes import Inode, Realm

READ_STILL_S = 0.05  # a reader is given so long to read what it opened
_NOT_PLAIN = os.O_ACCMODE | os.O_TRUNC
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def open_plain(core: Core, inode: Inode | None, flags: int, tid: int) -> TrackedHandle | None:
    """Open a file whose inode and head are at rest and as last seen (F2); else return None (P1)."""
    if flags & _NOT_PLAIN or inode is None or inode.path is None or inode.realm is not Realm.TRACKED:
        return None
    view = inode.view
    if view.reads_locked or view.role is not None:
        return None
    if inode.staging is not None or inode.shown is not None or inode.judged != core.classifier.generation:
        return None
    file = core.files.get(inode.path)
    if file is None or file.signature is None or file.owed is not None or file.changed_s or file.contended_s:
        return None
    try:
        fd = os.open(core.backing.at(inode.path), _OPEN)
    except OSError:
        return None
    st = os.fstat(fd)
    if (st.st_mtime_ns, st.st_size, st.st_ino) != file.signature:
        os.close(fd)
        return None
    handle = TrackedHandle(core, inode, flags, tid)
    handle.fd, handle.version = fd, file.version
    file.believe(inode.view.number, core.procs.group(tid), file.version)
    view.stirred = True
    inode.opens += 1
    inode.stand_still(READ_STILL_S)
    return handle
