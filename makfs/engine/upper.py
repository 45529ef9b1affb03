"""The private layer of one view: scratch files it wrote, shadows of its editors; plain files on disk.

In a snapshot view it is the layer of all edits, over the tree at the view's seq (`makfs.engine.lower`).

U1  What is here hides what is below at the same path; a whiteout hides it and everything in it.
U2  Nothing here is ever seen by another view.
U3  A whiteout is on the disk before the private file goes, so a crash brings nothing removed back.
"""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path

from makfs.engine.backing import copy_xattrs
from makfs.engine.inodes import Realm, StatLike
from makfs.engine.lower import Lower

_WHITEOUTS = "whiteouts"


class Upper:
    """Private files of a view, laid out like the repository."""

    def __init__(self, folder: Path, lower: Lower) -> None:
        self.lower = lower
        self.root = str(folder / "files")
        os.makedirs(self.root, exist_ok=True)
        self._list = folder / _WHITEOUTS
        self._whiteouts: set[str] = self._read_whiteouts()
        self.tops: dict[str, set[str]] = {}  # tracked folder -> names that are private in it
        self._find_tops()

    def at(self, path: str) -> str:
        """Return where the private file of a path is, or would be."""
        return f"{self.root}/{path}"

    def has(self, folder: str, name: str) -> bool:
        """Tell whether a name in a tracked folder is private. Cost: two dict lookups."""
        names = self.tops.get(folder)
        return names is not None and name in names

    def lstat(self, path: str) -> os.stat_result | None:
        """Return the private file's attributes, or None."""
        try:
            return os.lstat(self.at(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            if error.errno != errno.ELOOP:  # a link in a folder's place, which leads to itself
                raise
            return None

    @property
    def hides(self) -> bool:
        """Tell whether there are whiteouts at all."""
        return bool(self._whiteouts)

    def hidden(self, path: str) -> bool:
        """Tell whether a whiteout hides the repository's file at the path."""
        if not self._whiteouts:
            return False
        while path:
            if path in self._whiteouts:
                return True
            path = os.path.dirname(path)
        return False

    def resolve(self, path: str, realm: Realm) -> str | None:
        """Return the real path to read: the private file, else the shared one, else None."""
        if self.lstat(path) is not None:
            return self.at(path)
        if realm is Realm.SHADOW or self.hidden(path) or self.lower.lstat(path) is None:
            return None
        return self.lower.at(path)

    def look(self, path: str, realm: Realm) -> StatLike | None:
        """Return the attributes of what `resolve` would find, bringing no bytes; or None."""
        st = self.lstat(path)
        if st is not None or realm is Realm.SHADOW or self.hidden(path):
            return st
        return self.lower.lstat(path)

    def prepare(self, path: str) -> str:
        """Return the private path for a new file, its parents made."""
        parent = os.path.dirname(path)
        target = self.at(path)
        if not os.path.isdir(os.path.dirname(target)):
            self._make_parents(parent)
        return target

    def added(self, path: str) -> None:
        """Note that `path` is private now, if it is the topmost private name on its way."""
        parent, name = os.path.split(path)
        self.tops.setdefault(parent, set()).add(name)

    def copy_up(self, path: str) -> str:
        """Return the private copy of a file below, made now if there is none. Raises OSError."""
        target = self.at(path)
        if self.lstat(path) is not None:
            return target
        if self.hidden(path):
            raise FileNotFoundError(errno.ENOENT, "hidden", path)
        st = self.lower.lstat(path)
        if st is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        lower = self.lower.at(path)
        self.prepare(path)
        new = f"{self.root}.new"  # a crash leaves no half of a copy in the layer
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        if stat.S_ISDIR(st.st_mode):
            os.mkdir(target, 0o700)
            new = target
        elif stat.S_ISLNK(st.st_mode):
            os.symlink(os.readlink(lower), new)
        else:
            shutil.copyfile(lower, new, follow_symlinks=False)
        if os.geteuid() == 0:
            os.chown(new, st.st_uid, st.st_gid, follow_symlinks=False)
        if not stat.S_ISLNK(st.st_mode):
            copy_xattrs(lower, new)
            os.chmod(new, stat.S_IMODE(st.st_mode))
        os.utime(new, ns=(st.st_atime_ns, st.st_mtime_ns), follow_symlinks=False)
        os.rename(new, target)
        self.added(path)
        return target

    def removed(self, path: str, realm: Realm) -> None:
        """Note that the private file is gone; hide the shared one, if there is one below."""
        parent, name = os.path.split(path)
        if (names := self.tops.get(parent)) is not None:
            names.discard(name)
            if not names:
                del self.tops[parent]
        if realm is not Realm.SHADOW:
            self.hide(path)

    def hide(self, path: str) -> None:
        """Hide what is below at a path, if anything is, and all in it (U3). Cost: one short append."""
        if path in self._whiteouts or self.lower.lstat(path) is None:
            return
        self._whiteouts.add(path)
        with open(self._list, "ab", buffering=0) as file:
            file.write(os.fsencode(path) + b"\0")

    @property
    def whiteouts(self) -> frozenset[str]:
        """Return what is hidden."""
        return frozenset(self._whiteouts)

    def set_whiteouts(self, paths: Iterable[str]) -> None:
        """Hide these and nothing else."""
        self._whiteouts = set(paths)
        self._write_whiteouts()

    def names(self, path: str, realm: Realm) -> list[str]:
        """Return the names in a folder of this layer, merged with those below but for a tracked folder."""
        if realm not in (Realm.SCRATCH, Realm.SNAP):
            return sorted(self.tops.get(path, ()))
        found: set[str] = set()
        if not self.hidden(path):
            try:
                lower = self.lower.names(path)
            except (FileNotFoundError, NotADirectoryError):
                lower = []
            prefix = path + "/" if path else ""
            found.update(name for name in lower if not self.hidden(prefix + name))
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            found.update(os.listdir(self.at(path)))
        return sorted(found)

    def renamed_folders(self, steps: Sequence[tuple[str, str]]) -> None:
        """Follow tracked folders that were renamed, one after another: their private names move along."""
        for old, new in steps:
            if os.path.isdir(self.at(old)):
                self._rename_folder(old, new)
        moved = {_after(path, steps) for path in self._whiteouts}
        if moved != self._whiteouts:
            self._whiteouts = moved
            self._write_whiteouts()

    def _rename_folder(self, old: str, new: str) -> None:
        self.prepare(new)
        if os.path.isdir(self.at(new)):
            shutil.rmtree(self.at(new), ignore_errors=True)
        os.rename(self.at(old), self.at(new))
        for folder in [key for key in self.tops if key == old or key.startswith(old + "/")]:
            self.tops[new + folder[len(old) :]] = self.tops.pop(folder)

    def dropped_folder(self, path: str) -> None:
        """Follow a tracked folder that was removed."""
        if self.tops.get(path):
            return
        shutil.rmtree(self.at(path), ignore_errors=True)

    def _make_parents(self, parent: str) -> None:
        at = self.root
        below = ""
        for part in parent.split("/"):
            at += "/" + part
            below = f"{below}/{part}" if below else part
            if not os.path.isdir(at):
                os.mkdir(at)
                st = self.lower.lstat(below)
                if st is not None:
                    root = os.geteuid() == 0
                    os.chmod(at, stat.S_IMODE(st.st_mode) | (0 if root else 0o700))
                    if root:
                        os.chown(at, st.st_uid, st.st_gid)

    def _find_tops(self) -> None:
        """Find the topmost private names after a start: those below folders that the repository has too."""
        stack = [""]
        while stack:
            folder = stack.pop()
            for entry in os.scandir(f"{self.root}/{folder}" if folder else self.root):
                path = f"{folder}/{entry.name}" if folder else entry.name
                st = self.lower.lstat(path)
                if entry.is_dir(follow_symlinks=False) and st is not None and stat.S_ISDIR(st.st_mode):
                    stack.append(path)
                else:
                    self.tops.setdefault(folder, set()).add(entry.name)

    def _read_whiteouts(self) -> set[str]:
        try:
            data = self._list.read_bytes()
        except FileNotFoundError:
            return set()
        return {os.fsdecode(path) for path in data.split(b"\0") if path}

    def _write_whiteouts(self) -> None:
        temporary = self._list.with_suffix(".new")
        temporary.write_bytes(b"\0".join(os.fsencode(path) for path in sorted(self._whiteouts)))
        os.replace(temporary, self._list)


def _after(path: str, steps: Sequence[tuple[str, str]]) -> str:
    """Return where a path is after these renames."""
    for old, new in steps:
        if path.startswith(old + "/"):
            path = new + path[len(old) :]
    return path
