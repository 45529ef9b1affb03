"""The tree rebuilt from the journal alone: where every path began, then commit after commit.

V1  At head the recorded paths are, byte for byte, what the repository's directory holds, unless somebody
    edited it behind us or a commit is not written through yet.
V2  Reads one moment of the store, read-only: beside the daemon or without one.
V3  What the journal does not hold is counted and never invented: paths that no commit touched, and contents
    too large to keep.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from makfs.engine.backing import STATE_DIR
from makfs.errors import BadName, MakfsError, NotFound, NotKept
from makfs.ids import RepoPath, Seq
from makfs.store.connection import FILE_NAME, check_current
from makfs.store.model import FileKind, Revision, hash_of
from makfs.store.protocol import Reader

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did."""

    first: Seq  # the state it began with
    last: Seq
    commits: int  # applied
    paths: int  # that stand at the end, folders included
    not_kept: tuple[str, ...]  # too large for the journal, and not copied
    unrecorded: int  # files and links that no commit touched
    copied: int  # of them, and of those not kept
    difference: str = ""  # the first, "" if nothing differs or nobody compared


@dataclass(slots=True)
class Replay:
    """The recorded tree at one commit, moved forward a commit at a time."""

    reader: Reader
    seq: Seq
    tree: dict[RepoPath, Revision] = field(default_factory=dict)  # ABSENT ones included
    difference: str = ""

    @classmethod
    def begin(cls, reader: Reader, at: Seq) -> "Replay":
        """Return the tree as of commit `at`; 0: where every path began. Raises NotFound, NotKept."""
        if not 0 <= at <= reader.head:
            raise NotFound(f"There is no commit {at}; the newest is {reader.head}.")
        found = cls(reader, at)
        for path in reader.changed(Seq(0), reader.head):
            revision = reader.revision(path, at)
            assert revision is not None, "J3"
            found.tree[path] = revision
        return found

    def step(self, *, verify: bool = False) -> None:
        """Apply the next commit. With `verify` note the first difference."""
        seq = Seq(self.seq + 1)
        self.reader.commit(seq)
        changed = self.reader.changed(self.seq, seq)
        if verify and not changed:
            self._differs(f"Commit {seq} changes nothing: its paths are missing.")
        for path in changed:
            revision = self.reader.revision(path, seq)
            assert revision is not None, "J3"
            self.tree[path] = revision
            if verify:
                self._verify(revision)
        self.seq = seq

    def _verify(self, revision: Revision) -> None:
        where = f"{revision.path} at commit {revision.seq}"
        if revision.seq != self.seq + 1:
            self._differs(f"{where} is not what commit {self.seq + 1} made.")
        if revision.kind is not FileKind.FILE or not revision.kept:
            return
        try:
            data = self.text(revision)
        except MakfsError as error:
            self._differs(f"{where} cannot be put together: {error}")
            return
        if hash_of(data) != revision.content_hash or len(data) != revision.size_bytes:
            self._differs(
                f"{where} has the hash {hash_of(data).hex()} and {len(data)} bytes when replayed; "
                f"the journal says {revision.content_hash.hex()} and {revision.size_bytes}."
            )

    def _differs(self, sentence: str) -> None:
        self.difference = self.difference or sentence

    def text(self, revision: Revision) -> bytes:
        """Return a file's bytes. Raises NotKept, StoreError."""
        return b"".join(node.text for node in self.reader.nodes(revision.path, revision.seq))

    def standing(self) -> Iterator[Revision]:
        """Yield what is there, folders before what is in them."""
        return (self.tree[path] for path in sorted(self.tree) if self.tree[path].kind is not FileKind.ABSENT)


def replay(
    reader: Reader,
    repo: str,
    into: Path,
    *,
    first: Seq | None = None,
    last: Seq | None = None,
    with_unrecorded: bool = False,
    verify: bool = False,
) -> Replayed:
    """Rebuild a tree in an empty directory, or a new one. Raises NotFound, NotKept, BadName, OSError."""
    into = empty_folder(into, repo)
    state = Replay.begin(reader, reader.cut if first is None else first)
    begun = state.seq
    end = reader.head if last is None else last
    if not begun <= end <= reader.head:
        raise NotFound(f"There is no commit {end} from {begun} on; the newest is {reader.head}.")
    while state.seq < end:
        state.step(verify=verify)
    return write_tree(state, repo, into, begun, with_unrecorded=with_unrecorded)


def verify(reader: Reader, *, first: Seq | None = None, last: Seq | None = None) -> Replayed:
    """Replay and compare, writing nothing. Raises NotFound, NotKept."""
    state = Replay.begin(reader, reader.cut if first is None else first)
    begun = state.seq
    for revision in state.tree.values():  # what it begins with must be sound, too
        state.seq = Seq(revision.seq - 1)
        state._verify(revision)
    state.seq = begun
    while state.seq < (reader.head if last is None else last):
        state.step(verify=True)
    paths = sum(1 for _ in state.standing())
    return Replayed(begun, state.seq, state.seq - begun, paths, (), 0, 0, state.difference)


def empty_folder(into: Path, repo: str) -> Path:
    """Return the directory, made if need be. Raises BadName if it is not empty or lies in the repository."""
    real = Path(os.path.realpath(into))
    if real == Path(repo) or Path(repo) in real.parents:
        raise BadName(f"{into} lies in the repository {repo}; name a directory outside of it.")
    try:
        real.mkdir(parents=True, exist_ok=True)
        if any(real.iterdir()):
            raise BadName(f"{into} is not empty; name an empty directory, or one that is not there yet.")
    except (FileExistsError, NotADirectoryError):
        raise BadName(f"{into} is not a directory; name an empty directory.") from None
    return real


def write_tree(state: Replay, repo: str, into: Path, begun: Seq, *, with_unrecorded: bool) -> Replayed:
    """Write what stands at the state's commit. Raises OSError, StoreError."""
    folders: list[tuple[Path, int]] = []
    not_kept: list[str] = []
    paths = copied = 0
    for revision in state.standing():
        paths += 1
        at = into / revision.path
        at.parent.mkdir(parents=True, exist_ok=True)
        if revision.kind is FileKind.DIR:
            at.mkdir(exist_ok=True)
            folders.append((at, revision.mode))
        elif revision.kind is FileKind.SYMLINK:
            os.symlink(revision.target, os.fsencode(at))
        elif _write_file(state, revision, at):
            pass
        elif with_unrecorded and _copy_same(Path(repo) / revision.path, at, revision):
            copied += 1
        else:
            not_kept.append(revision.path)
    unrecorded = 0
    for path, st in _unrecorded(repo, state):
        is_dir = stat.S_ISDIR(st.st_mode)
        unrecorded += not is_dir
        if with_unrecorded and _copy(Path(repo) / path, into / path, st, folders):
            copied += not is_dir
    for at, mode in reversed(folders):
        os.chmod(at, mode)
    found = (begun, state.seq, state.seq - begun, paths, tuple(not_kept), unrecorded, copied)
    return Replayed(*found, state.difference)


def _write_file(state: Replay, revision: Revision, at: Path) -> bool:
    """Write one file's bytes; False if the journal does not have them."""
    try:
        data = state.text(revision)
    except NotKept:
        return False
    at.write_bytes(data)
    os.chmod(at, revision.mode)
    return True


def _copy_same(source: Path, at: Path, revision: Revision) -> bool:
    """Copy a file too large for the journal, if the repository still has those bytes."""
    from makfs.engine.core import Core

    try:
        if Core.large_state(str(source), revision.mode).content_hash != revision.content_hash:
            return False
        shutil.copyfile(source, at)
    except OSError:
        return False
    os.chmod(at, revision.mode)
    return True


def _unrecorded(repo: str, state: Replay) -> Iterator[tuple[str, os.stat_result]]:
    """Yield what no commit touched, folders before what is in them; never `.git` nor our own state."""
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        for entry in sorted(os.scandir(os.path.join(repo, folder)), key=lambda each: each.name):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.name == ".git" or path == STATE_DIR:
                continue
            st = entry.stat(follow_symlinks=False)
            recorded = path in state.tree
            if stat.S_ISDIR(st.st_mode) and (not recorded or state.tree[RepoPath(path)].kind is FileKind.DIR):
                waiting.append(path)
            if not recorded:
                yield path, st


def _copy(source: Path, at: Path, st: os.stat_result, folders: list[tuple[Path, int]]) -> bool:
    """Copy one thing that no commit touched; sockets and devices are left where they are."""
    if not at.parent.is_dir():
        return False
    if stat.S_ISDIR(st.st_mode):
        at.mkdir(exist_ok=True)
        folders.append((at, stat.S_IMODE(st.st_mode)))
    elif stat.S_ISLNK(st.st_mode):
        os.symlink(os.readlink(source), at)
    elif stat.S_ISREG(st.st_mode):
        shutil.copyfile(source, at)
        os.chmod(at, stat.S_IMODE(st.st_mode))
    else:
        return False
    return True


def store_file(repo: str) -> Path:
    """Return a repository's store, which is there and of today's version. Raises NotFound, StoreError."""
    file = Path(repo) / STATE_DIR / FILE_NAME
    if not file.exists():
        raise NotFound(f"{repo} has no makfs store; nothing was ever mounted from it.")
    check_current(file)
    return file
