"""What stands at a path, as git's modes and contents.

N1  A file whose bytes are not kept is its bytes in the repository, if their hash is the journal's; else a
    placeholder that says so. Either is told in the commit.
"""

import os
import stat

from dulwich.objects import ObjectID

from makfs.gitlog.message import shown
from makfs.gitlog.objects import GitLog
from makfs.gitlog.trees import LINK_MODE, MODULE_MODE, Leaf
from makfs.ids import RepoPath
from makfs.store.model import FileKind, Revision, hash_of
from makfs.store.replay import Replay

MOST_BYTES = 256 << 20
"""Files larger than this are not taken from the repository: they would be held in memory whole."""


def git_mode(mode: int) -> int:
    """Return git's mode of a regular file: it knows one bit, the owner's x."""
    return 0o100755 if mode & stat.S_IXUSR else 0o100644


def placeholder(what: Revision) -> bytes:
    """Return what stands for a content that is not kept."""
    return (
        "makfs did not keep this version: it was too large (large_bytes in makfs.conf).\n"
        f"size {what.size_bytes} bytes\nblake2b-128 {what.content_hash.hex()}\n"
    ).encode()


class States:
    """Turns states into entries of trees; remembers what to tell of large files."""

    def __init__(self, replay: Replay, log: GitLog, top: str) -> None:
        self._replay = replay
        self._log = log
        self._top = top
        self.large: list[str] = []

    def leaf(self, revision: Revision) -> Leaf | None:
        """Return the entry of a recorded state, None unless it is a file or a link."""
        if revision.kind is FileKind.SYMLINK:
            return LINK_MODE, self._log.blob(revision.target)
        if revision.kind is not FileKind.FILE:
            return None
        text = self._replay.text(revision)
        return git_mode(revision.mode), self._log.blob(self._large(revision) if text is None else text)

    def _large(self, revision: Revision) -> bytes:
        name = f"{shown(revision.path)} ({revision.size_bytes} bytes)"
        now = self._bytes_now(revision.path, revision.size_bytes)
        if now is not None and hash_of(now) == revision.content_hash:
            self.large.append(f"{name}: bytes taken from the repository, where they are still the same")
            return now
        self.large.append(f"{name}: a placeholder; the journal has only its hash")
        return placeholder(revision)

    def _bytes_now(self, path: RepoPath, size_bytes: int) -> bytes | None:
        at = os.path.join(self._top, path)
        try:
            st = os.lstat(at)
            if not stat.S_ISREG(st.st_mode) or st.st_size != size_bytes or size_bytes > MOST_BYTES:
                return None
            with open(at, "rb") as file:
                return file.read()
        except OSError:
            return None

    def on_disk(self, path: bytes, module: ObjectID | None) -> Leaf | None:
        """Return the entry of what is in the repository now; `module`: the commit of a submodule there."""
        at = os.path.join(os.fsencode(self._top), path)
        try:
            st = os.lstat(at)
            if stat.S_ISLNK(st.st_mode):
                return LINK_MODE, self._log.blob(os.readlink(at))
            if stat.S_ISREG(st.st_mode) and st.st_size <= MOST_BYTES:
                with open(at, "rb") as file:
                    return git_mode(st.st_mode), self._log.blob(file.read())
        except OSError:  # gone, or not ours to read: git would not commit it either
            return None
        if stat.S_ISDIR(st.st_mode) and module is not None:
            return MODULE_MODE, module
        if stat.S_ISREG(st.st_mode):
            name = f"{shown(os.fsdecode(path))} ({st.st_size} bytes)"
            self.large.append(f"{name}: left out; it is larger than {MOST_BYTES} bytes and in no commit")
        return None

    def told(self) -> tuple[str, ...]:
        """Return what to tell of large files since the last call."""
        told, self.large = tuple(self.large), []
        return told
