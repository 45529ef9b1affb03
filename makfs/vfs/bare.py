"""Directory entries without a look-up: a name, a number and a type, and nothing for the kernel to take.

pyfuse3 has the kernel ask for READDIRPLUS always, so each listing of a folder that it knows by heart would
tell it all attributes again: an lstat(2) a name here, an update of an inode there. An entry with node id 0
says that the file system does not want to (fs/fuse/readdir.c, fuse_direntplus_link), and the kernel leaves
what it has alone. pyfuse3 sets the node id together with `st_ino`; of the two, only the node id must go.

B1  Where pyfuse3's object is not laid out as expected, there are no bare entries, and nothing else changes.
"""

import ctypes
import sys
from typing import Any, cast

from pyfuse3 import EntryAttributes

_MARK = 0x5AD5_17E3_96C3_A1F1
_STAT_AFTER = 24  # struct fuse_entry_param: ino, generation, then struct stat: st_dev, st_ino


class BareEntry:
    """One entry, filled anew for each name. Valid until the next call."""

    def __init__(self) -> None:
        self._entry = EntryAttributes()
        self._node = self._find_node_id()

    def __bool__(self) -> bool:
        return self._node is not None

    def fill(self, ino: int, kind: int) -> EntryAttributes:
        """Return an entry that says a number and a type (`stat.S_IFMT` of a mode)."""
        entry = self._entry
        entry.st_ino = cast(Any, ino)
        entry.st_mode = cast(Any, kind)
        assert self._node is not None, "B1"
        self._node.value = 0
        return entry

    def _find_node_id(self) -> ctypes.c_uint64 | None:
        """Return the place of the node id inside the entry, None unless it is sure to be that (B1)."""
        entry = self._entry
        entry.st_ino = cast(Any, _MARK)
        words = (ctypes.c_uint64 * (sys.getsizeof(entry) // 8)).from_address(id(entry))
        found = [place * 8 for place, word in enumerate(words) if word == _MARK]
        if len(found) != 2 or found[1] - found[0] != _STAT_AFTER:
            return None
        node = ctypes.c_uint64.from_address(id(entry) + found[0])
        node.value = 0
        sound = entry.st_ino == 0 and words[found[1] // 8] == _MARK
        return node if sound else None
