"""Extended attributes: of the file on disk; of a file still being made, kept with its staging.

Only the user namespace is served (xattr(7)): the kernel asks for security.capability at each write, and that
must cost nothing.
"""

import errno
import os

from makfs.engine.core import Core
from makfs.engine.inodes import Inode, Realm
from makfs.engine.names import oserror
from makfs.engine.real import REAL, Real

_SERVED = "user."


class Xattrs:
    """Attributes by name."""

    def __init__(self, core: Core, real: Real) -> None:
        self._core = core
        self._real = real

    @staticmethod
    def _staged(inode: Inode) -> dict[str, bytes] | None:
        staging = inode.staging
        return staging.xattrs if staging is not None and staging.new else None

    def _path(self, inode: Inode, *, write: bool = False) -> str:
        """Return the file on disk that carries the attributes. Raises OSError."""
        if inode.realm in (Realm.ROOT, Realm.CONTROL, Realm.PAST):
            raise oserror(errno.ENOTSUP)
        if write and inode.view.upper is None:
            raise oserror(errno.EROFS)
        if inode.path is None or self._core.realm_of(inode) in REAL:
            return self._real.of(inode, write=write)
        return self._core.backing.at(inode.path)

    def get(self, inode: Inode, name: str) -> bytes:
        """Return a value. Raises ENODATA."""
        if not name.startswith(_SERVED):
            raise oserror(errno.ENODATA, name)
        staged = self._staged(inode)
        if staged is None:
            return os.getxattr(self._path(inode), name, follow_symlinks=inode.path is None)
        if name not in staged:
            raise oserror(errno.ENODATA, name)
        return staged[name]

    def set(self, inode: Inode, name: str, value: bytes) -> None:
        """Set a value. Raises ENOTSUP outside the user namespace."""
        if not name.startswith(_SERVED):
            raise oserror(errno.ENOTSUP, name)
        staged = self._staged(inode)
        if staged is None:
            os.setxattr(self._path(inode, write=True), name, value, follow_symlinks=inode.path is None)
        else:
            staged[name] = value

    def remove(self, inode: Inode, name: str) -> None:
        """Remove a value. Raises ENODATA."""
        if not name.startswith(_SERVED):
            raise oserror(errno.ENODATA, name)
        staged = self._staged(inode)
        if staged is None:
            os.removexattr(self._path(inode, write=True), name, follow_symlinks=inode.path is None)
        elif staged.pop(name, None) is None:
            raise oserror(errno.ENODATA, name)

    def names(self, inode: Inode) -> list[str]:
        """Return the names that are set."""
        staged = self._staged(inode)
        if staged is not None:
            return sorted(staged)
        try:
            found = os.listxattr(self._path(inode), follow_symlinks=inode.path is None)
        except OSError as error:
            if error.errno == errno.ENOTSUP:
                return []
            raise
        return [name for name in found if name.startswith(_SERVED)]
