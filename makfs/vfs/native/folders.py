"""Open folders: listings, and when the kernel may keep one.

F1  A handle lists the names as they were when it was opened or rewound, so offsets mean what they meant.
F2  Only what was put into a reply is counted as a look-up.
F3  `.` and `..` come first, and are no look-ups.
F4  The kernel keeps a listing past an OPENDIR only if the repository's folder has not changed since the
    listing was made, and nothing of the view's own is in it. Between two OPENDIRs it hears of changes by
    notification.
"""

import os
import stat
import time
from dataclasses import dataclass

from makfs.engine.filesystem import FileSystem
from makfs.engine.inodes import Inode, Realm
from makfs.engine.looking import DOTS
from makfs.vfs.native import abi, encode
from makfs.vfs.native.abi import Fopen, Opcode
from makfs.vfs.native.common import Answer, Handler, Head

_RACY_NS = 100_000_000  # a folder changed so shortly ago may change again within one tick of its clock
_MOST_KEPT = 1 << 16
_read_in = abi.READ_IN.unpack_from
_CACHE_DIR, _KEEP = int(Fopen.CACHE_DIR), int(Fopen.CACHE_DIR | Fopen.KEEP_CACHE)

Stamp = tuple[int, int, int]


@dataclass(slots=True)
class _Listing:
    """An open folder."""

    inode: Inode
    stamp: Stamp | None  # of the folder, taken before it is listed (F4)
    names: list[str] | None = None


class Folders:
    """Handlers of open folders."""

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        self._open: dict[int, _Listing] = {}
        self._next = 1
        self._kept: dict[int, Stamp] = {}  # ino -> the folder's stamp when it was listed last

    def table(self) -> dict[int, Handler]:
        """Return the handlers by opcode."""
        return {
            Opcode.OPENDIR: self.opendir,
            Opcode.READDIR: self.readdir,
            Opcode.READDIRPLUS: self.readdirplus,
            Opcode.RELEASEDIR: self.releasedir,
            Opcode.FSYNCDIR: self.fsyncdir,
        }

    def opendir(self, node: int, body: memoryview, head: Head) -> Answer:
        inode = self._fs.inode(node)  # raises ESTALE
        number = self._next
        self._next += 1
        stamp = self._stamp(inode)
        self._open[number] = _Listing(inode, stamp)
        flags = 0
        if stamp is not None:
            flags = _KEEP if self._kept.get(node) == stamp else _CACHE_DIR
        return abi.OPEN_OUT.pack(number, flags, 0)

    def _stamp(self, inode: Inode) -> Stamp | None:
        """Return what tells one state of a folder from another, None where nothing does (F4)."""
        path, view = inode.path, inode.view
        if inode.realm is not Realm.TRACKED or path is None or view.staged:
            return None
        if view.upper is not None and (view.upper.hides or view.upper.tops.get(path)):
            return None
        st = self._fs.core.backing.lstat(path)
        if st is None or time.time_ns() - max(st.st_mtime_ns, st.st_ctime_ns) < _RACY_NS:
            return None
        return st.st_mtime_ns, st.st_ctime_ns, st.st_ino

    def _names(self, handle: int, start: int) -> tuple[Inode, list[str]]:
        """Return an open folder and its names (F1)."""
        listing = self._open[handle]
        if start == 0 or listing.names is None:
            ino = listing.inode.ino
            stamp = listing.stamp if listing.names is None else self._stamp(listing.inode)
            listing.names = [*DOTS, *self._fs.listing(ino)]
            self._kept.pop(ino, None)
            if stamp is not None and len(self._kept) < _MOST_KEPT:
                self._kept[ino] = stamp
        return listing.inode, listing.names

    def readdirplus(self, node: int, body: memoryview, head: Head) -> Answer:
        handle, start, room, *_ = _read_in(body)
        inode, names = self._names(handle, start)
        fs, parts = self._fs, []
        for number in range(start, len(names)):
            name, found = names[number], None
            if number < len(DOTS):
                part = encode.bare_plus(fs.dots(inode)[number], stat.S_IFDIR, os.fsencode(name), number + 1)
            elif (known := fs.known(inode, name)) is not None:
                part = encode.bare_plus(known.ino, known.kind, os.fsencode(name), number + 1)
            else:
                found = fs.find(inode, name)
                if found is None:
                    continue
                part = encode.direntplus(found, os.fsencode(name), number + 1)
            room -= len(part)
            if room < 0:
                if found is not None:
                    found.inode.view.settle(found.inode)
                break
            if found is not None:
                found.inode.lookups += 1  # F2
            parts.append(part)
        return b"".join(parts)

    def readdir(self, node: int, body: memoryview, head: Head) -> Answer:
        handle, start, room, *_ = _read_in(body)
        inode, names = self._names(handle, start)
        parts = []
        for number in range(start, len(names)):
            if number < len(DOTS):
                ino, kind = self._fs.dots(inode)[number], stat.S_IFDIR
            elif (found := self._fs.find(inode, names[number])) is not None:
                ino, kind = found.inode.ino, stat.S_IFMT(found.st.st_mode)
                found.inode.view.settle(found.inode)  # not a look-up
            else:
                continue
            part = encode.dirent(ino, kind, os.fsencode(names[number]), number + 1)
            room -= len(part)
            if room < 0:
                break
            parts.append(part)
        return b"".join(parts)

    def releasedir(self, node: int, body: memoryview, head: Head) -> Answer:
        self._open.pop(abi.RELEASE_IN.unpack_from(body)[0], None)
        return b""

    def fsyncdir(self, node: int, body: memoryview, head: Head) -> Answer:
        self._fs.core.store.sync()
        return b""
