"""What a view's private layer lies on: the repository's directory, or the tree as of one commit.

P1  A path of the lower tree shows its newest revision at or before the seq; a path the journal never met
    shows the repository's file, which no commit has changed (J2).
P2  Nothing a commit does after the seq is seen in it: not in bytes, attributes or names. Times of what the
    repository shows are never later than the view's own; folders are all as old as the view.
P3  `.git` is the view's own, but for the objects, which are shared; so nothing of it is shown from below.
"""

import contextlib
import errno
import os
import shutil
import stat
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from makfs.engine.inodes import MadeStat, Realm, StatLike
from makfs.ids import RepoPath, Seq
from makfs.store.model import FileKind, Revision

if TYPE_CHECKING:
    from makfs.engine.core import Core

_KINDS = {FileKind.FILE: stat.S_IFREG, FileKind.DIR: stat.S_IFDIR, FileKind.SYMLINK: stat.S_IFLNK}
_MOST_SHOWN = 200_000


class Lower(Protocol):
    """The tree below a private layer."""

    def lstat(self, path: str) -> StatLike | None:
        """Return the attributes, or None if nothing is there."""
        ...

    def names(self, path: str) -> list[str]:
        """Return the names in a folder. Raises FileNotFoundError, NotADirectoryError."""
        ...

    def at(self, path: str) -> str:
        """Return a real path with the bytes, or the target. Raises OSError."""
        ...


def in_git(path: str) -> bool:
    """Tell whether a path is the top's `.git` or in it."""
    return path == ".git" or path.startswith(".git/")


def is_shared_git(path: str) -> bool:
    """Tell whether a path in `.git` is of the objects, which all views share."""
    parts = path.split("/")
    if parts[0] != ".git" or len(parts) < 2:
        return False
    return parts[1] in ("objects", "lfs") or (parts[1] == "modules" and "objects" in parts[2:])


class PastLower:
    """The tree as of one commit. Bytes are brought to `base/` when somebody opens them (cost: one copy)."""

    def __init__(self, core: "Core", folder: Path, at: Seq, since_ns: int, *, has_git: bool) -> None:
        self._core = core
        self.has_git = has_git  # the view has a `.git` of its own, but for the objects
        self._base = folder / "base"
        self.seq, self.since_ns = at, since_ns
        self._known: dict[str, Revision] = {}  # what the journal says of the seq never changes
        self._shown: dict[str, tuple[int, StatLike]] = {}  # path -> seq of its revision, what was said of it

    def move(self, at: Seq, since_ns: int) -> None:
        """Stand at another commit."""
        self.seq, self.since_ns = at, since_ns
        self._known.clear()
        shutil.rmtree(self._base, ignore_errors=True)  # whoever has one of them open keeps it

    def remember(self, path: str, st: StatLike) -> None:
        """Go on saying of a file what was said of it while it was the view's own."""
        if len(self._shown) < _MOST_SHOWN:
            self._shown[path] = (int(self.seq), MadeStat.like(st))

    def revision(self, path: str) -> Revision | None:
        """Return what the journal has of a path at the seq, None if it never met it."""
        known = self._known.get(path)
        if known is None and self._core.store.head:
            known = self._core.store.revision(RepoPath(path), self.seq)
            if known is not None:
                self._known[path] = known
        return known

    # ---- Lower

    def lstat(self, path: str) -> StatLike | None:
        """Return the attributes at the seq, or None."""
        if in_git(path):
            return self._core.backing.lstat(path) if self.has_git and is_shared_git(path) else None
        revision = self.revision(path) if path else None
        return self._present(path) if revision is None else self._made(path, revision)

    def _present(self, path: str) -> StatLike | None:
        """Return the attributes of what no commit has touched."""
        backing = self._core.backing
        st = backing.lstat(path) if not path or backing.is_reachable(path) else None
        if st is None:
            return None
        is_dir = stat.S_ISDIR(st.st_mode)
        if path and self._core.classifier.realm(path, is_dir=is_dir) is Realm.SCRATCH:
            return st
        made = MadeStat.like(st)
        if is_dir:
            return self._as_old_as_the_view(made)
        made.st_mtime_ns = min(st.st_mtime_ns, self.since_ns)
        made.st_ctime_ns = min(st.st_ctime_ns, self.since_ns)
        made.st_atime_ns = made.st_mtime_ns
        shown = self._shown.get(path)
        if shown is not None and shown[0] == 0 and _alike(shown[1], made):
            return shown[1]
        if len(self._shown) < _MOST_SHOWN:
            self._shown[path] = (0, made)
        return made

    def _made(self, path: str, revision: Revision) -> StatLike | None:
        if revision.kind is FileKind.ABSENT:
            return None
        made = MadeStat(_KINDS[revision.kind] | revision.mode)
        top = self._core.backing.lstat("")
        if top is not None:
            made.st_uid, made.st_gid = top.st_uid, top.st_gid
        if revision.kind is FileKind.DIR:
            return self._as_old_as_the_view(made)
        made.st_size = revision.size_bytes if revision.kind is FileKind.FILE else len(revision.target)
        shown = self._shown.get(path)
        if shown is not None and shown[0] == revision.seq and _alike(shown[1], made):
            return shown[1]
        time_ns = self._core.store.time_ns(revision.seq) if revision.seq else self.since_ns
        made.st_atime_ns = made.st_mtime_ns = made.st_ctime_ns = time_ns
        return made

    def _as_old_as_the_view(self, made: MadeStat) -> MadeStat:
        made.st_nlink, made.st_size = (
            1,
            4096,
        )  # how many folders are in it is not counted (find(1) knows that)
        made.st_atime_ns = made.st_mtime_ns = made.st_ctime_ns = self.since_ns
        return made

    def names(self, path: str) -> list[str]:
        """Return the names in a folder at the seq."""
        backing, store = self._core.backing, self._core.store
        if in_git(path):
            prefix = path + "/"
            return [name for name in backing.names(path) if self.has_git and is_shared_git(prefix + name)]
        recorded = store.children(RepoPath(path), self.seq)
        now = store.children(RepoPath(path))
        found = [name for name, revision in recorded.items() if revision.kind is not FileKind.ABSENT]
        present: list[str] = []
        if path and not (backing.is_reachable(path) and backing.is_dir(path)):  # a link there leads elsewhere
            return found
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            present = backing.names(path)
        return found + [name for name in present if name not in now and not (name == ".git" and not path)]

    def at(self, path: str) -> str:
        """Return a real path with the bytes at the seq; EFBIG if only their hash is known."""
        revision = None if in_git(path) or not path else self.revision(path)
        if revision is None:
            return self._core.backing.at(path)
        if revision.kind is FileKind.ABSENT:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        os.makedirs(self._base, exist_ok=True)
        if revision.kind is FileKind.DIR:
            return str(self._base)
        if revision.kind is FileKind.SYMLINK:
            at = self._base / f"link-{blake2b(revision.target, digest_size=16).hexdigest()}"
            if not os.path.lexists(at):
                os.symlink(revision.target, os.fsencode(at))
            return str(at)
        at = self._base / (revision.content_hash.hex() or "empty")
        if not at.exists():
            self._bring(path, revision, at)
        return str(at)

    def _bring(self, path: str, revision: Revision, at: Path) -> None:
        """Make the file with a revision's bytes, whole or not at all."""
        new = at.with_suffix(".new")
        if revision.kept:
            nodes = self._core.store.nodes(RepoPath(path), self.seq)
            new.write_bytes(b"".join(node.text for node in nodes))
        else:
            now = self._core.store.revision(RepoPath(path))
            if now is None or now.content_hash != revision.content_hash:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
            shutil.copyfile(self._core.backing.at(path), new)
        os.replace(new, at)


def _alike(said: StatLike, made: StatLike) -> bool:
    """Tell whether attributes are of the same state of a file, times aside."""
    return said.st_mode == made.st_mode and said.st_size == made.st_size
