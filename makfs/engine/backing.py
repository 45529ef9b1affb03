"""The plain directory behind the views: read as it is, written whole and atomically.

B1  A file is replaced by rename(2) of a finished temporary file: a reader sees the old bytes or the new.
B2  Mode, owner, extended attributes and the given mtime are those of the file replaced.
B3  What is replaced is swapped out, not overwritten: an edit that somebody made between our look and the
    rename is still there to be seen.
B4  A listing is read anew when the directory's mtime or ctime has changed, or was too young for its
    clock's grain.
"""

import contextlib
import ctypes
import errno
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from makfs.engine.inodes import StatLike

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
_AT_FDCWD = -100
_libc = ctypes.CDLL(None, use_errno=True)
STATE_DIR = ".makfs"
_OLD_NS = 1_000_000_000  # file systems' clocks tick some milliseconds, old ones a second
_MOST_LISTINGS = 50_000
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})  # ELOOP: a link is where a folder was


def renameat2(old: str, new: str, flags: int) -> None:
    """Rename with RENAME_NOREPLACE or RENAME_EXCHANGE (renameat2(2), Linux). Raises OSError."""
    if _libc.renameat2(_AT_FDCWD, os.fsencode(old), _AT_FDCWD, os.fsencode(new), flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), old)


def is_reachable(root: str, path: str) -> bool:
    """Tell whether all between a directory and a path in it are directories, and no links to any."""
    at = root
    for part in path.split("/")[:-1]:
        at += "/" + part
        try:
            if not stat.S_ISDIR(os.lstat(at).st_mode):
                return False
        except FileNotFoundError:
            return False
    return True


def copy_xattrs(source: str, target: str | int) -> None:
    """Give `target` the extended attributes of `source`, as far as there are any and it may have them."""
    with contextlib.suppress(OSError):  # a new file has none to copy
        for name in os.listxattr(source, follow_symlinks=False):
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False))


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a replacement did: the new file's attributes; the old file's and where it is now, if any."""

    new: os.stat_result
    old: os.stat_result | None
    old_at: str


class Backing:
    """The repository's directory. Paths are relative to it; names are `os.fsdecode`d."""

    def __init__(self, root: Path) -> None:
        self.root = str(root)
        self.state = root / STATE_DIR
        self.scratch_folder = self.state / "tmp"
        self._counter = 0
        self._listings: dict[str, tuple[int, tuple[str, ...]]] = {}  # path -> mtime and names (B4)

    def at(self, path: str) -> str:
        """Return the absolute path."""
        return f"{self.root}/{path}" if path else self.root

    def lstat(self, path: str) -> os.stat_result | None:
        """Return the attributes, or None if nothing is there."""
        try:
            return os.lstat(f"{self.root}/{path}" if path else self.root)
        except OSError as error:
            if error.errno not in _NOT_THERE:
                raise
            return None

    def is_dir(self, path: str) -> bool:
        """Tell whether a directory (not a link to one) is there."""
        st = self.lstat(path)
        return st is not None and stat.S_ISDIR(st.st_mode)

    def is_reachable(self, path: str) -> bool:
        """Tell whether all above a path are folders, so that it does not lead elsewhere through a link."""
        return is_reachable(self.root, path)

    def read(self, path: str) -> bytes:
        """Return a regular file's bytes. Raises OSError."""
        fd = os.open(self.at(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(fd, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a regular file", path)
            return file.readall()

    def names(self, path: str) -> list[str]:
        """Return the names in a directory, the state directory left out."""
        at = self.at(path)
        st = os.lstat(at)
        mtime_ns = max(st.st_mtime_ns, st.st_ctime_ns)  # a time that was set back hides no change
        kept = self._listings.get(path)
        if kept is not None and kept[0] == mtime_ns:
            return list(kept[1])
        names = os.listdir(at)
        if not path and STATE_DIR in names:
            names.remove(STATE_DIR)
        if time.time_ns() - mtime_ns > _OLD_NS:
            if len(self._listings) >= _MOST_LISTINGS:
                self._listings.clear()
            self._listings[path] = (mtime_ns, tuple(names))
        return names

    def replace(self, path: str, data: bytes, like: StatLike, mtime_ns: int, xattrs_of: str = "") -> Replaced:
        """Make `path` a regular file with these bytes (B1 to B3). Raises OSError; then nothing changed.

        `xattrs_of` is the real path of a file whose extended attributes it gets, not the replaced one's.
        """
        with self._new_file() as (fd, temporary):
            view = memoryview(data)
            done = 0
            while done < len(view):
                done += os.write(fd, view[done:])
            return self._publish(fd, temporary, path, like, mtime_ns, xattrs_of)

    def replace_from(self, path: str, source: str, like: StatLike, mtime_ns: int) -> Replaced:
        """Like `replace`, with the bytes of another file, copied inside the kernel."""
        with self._new_file() as (fd, temporary), open(source, "rb", buffering=0) as file:
            size = os.fstat(file.fileno()).st_size
            done = 0
            while done < size:
                done += os.sendfile(fd, file.fileno(), done, size - done)
            return self._publish(fd, temporary, path, like, mtime_ns)

    @contextlib.contextmanager
    def _new_file(self) -> Iterator[tuple[int, str]]:
        """Open a temporary file; remove it unless it got a name."""
        temporary = self._temporary()
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            yield fd, temporary
        except OSError:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        finally:
            os.close(fd)

    def _temporary(self) -> str:
        self._counter += 1
        return f"{self.state}/tmp/new-{os.getpid()}-{self._counter}"

    def _publish(
        self, fd: int, temporary: str, path: str, like: StatLike, mtime_ns: int, xattrs_of: str = ""
    ) -> Replaced:
        """Give the finished temporary file its attributes and its name."""
        target = self.at(path)
        if os.geteuid() == 0:
            os.fchown(fd, like.st_uid, like.st_gid)
        os.fchmod(fd, stat.S_IMODE(like.st_mode))
        copy_xattrs(xattrs_of or target, fd)
        os.utime(fd, ns=(like.st_atime_ns or mtime_ns, mtime_ns))
        try:
            renameat2(temporary, target, RENAME_NOREPLACE)
        except FileExistsError:
            return self._exchange(fd, temporary, target)
        return Replaced(os.fstat(fd), None, "")

    @staticmethod
    def _exchange(fd: int, temporary: str, target: str) -> Replaced:
        """Swap the new file with the one that is there, which the caller looks at before it goes (B3)."""
        if os.path.isdir(target) and not os.path.islink(target):
            raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), target)
        renameat2(temporary, target, RENAME_EXCHANGE)
        return Replaced(os.fstat(fd), os.lstat(temporary), temporary)

    @staticmethod
    def discard(replaced: Replaced) -> None:
        """Remove the file that was replaced."""
        if replaced.old is not None:
            os.unlink(replaced.old_at)

    def sync(self, path: str) -> None:
        """Make a file and its name survive a power loss (fsync(2)); what is gone meanwhile needs none."""
        for each, flags in ((path, os.O_NOFOLLOW), (os.path.dirname(path), os.O_DIRECTORY)):
            try:
                fd = os.open(self.at(each), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | flags)
            except OSError:
                continue
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def take_xattrs(self, path: str, source: str) -> None:
        """Give a file the extended attributes of the real file `source`, and no others."""
        target = self.at(path)
        with contextlib.suppress(OSError):  # no support on this file system: there are none
            for name in os.listxattr(target):
                os.removexattr(target, name)
        copy_xattrs(source, target)

    def make_parents(self, path: str) -> list[str]:
        """Make the missing directories above `path`; return those made, outermost first."""
        made: list[str] = []
        parent = os.path.dirname(path)
        while parent and self.lstat(parent) is None:
            made.append(parent)
            parent = os.path.dirname(parent)
        for folder in reversed(made):
            os.mkdir(self.at(folder))
        return made[::-1]

    def walk(self, path: str) -> Iterator[tuple[str, os.stat_result]]:
        """Yield everything below a directory, parents first; what vanishes meanwhile is left out."""
        try:
            entries = sorted(os.scandir(self.at(path)), key=lambda entry: entry.name)
        except OSError as error:
            if error.errno not in _NOT_THERE and not isinstance(error, PermissionError):
                raise
            return
        for entry in entries:
            if not path and entry.name == STATE_DIR:
                continue
            below = f"{path}/{entry.name}" if path else entry.name
            try:
                st = entry.stat(follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NOT_THERE:
                    raise
                continue
            yield below, st
            if stat.S_ISDIR(st.st_mode):
                yield from self.walk(below)
