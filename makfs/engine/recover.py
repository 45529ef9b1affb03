"""After a crash, or a time in which nobody served the repository: make the tree and the journal agree.

K1  A commit whose write-through did not happen is written through now, unless the backing file is neither
    what it was before nor what it should be: then somebody edited it, and the edit is imported.
K2  Nothing is removed from the repository's directory but what a commit removed.
"""

import logging
import os
import stat
from collections.abc import Mapping

from makfs.engine.core import Core, content_hash
from makfs.engine.inodes import MadeStat
from makfs.ids import RepoPath
from makfs.store.model import Effect, FileKind, Revision

log = logging.getLogger(__name__)


def recover(core: Core) -> int:
    """Carry out the write-throughs that a crash left (K1). Returns how many were needed."""
    _clean_temporaries(core)
    done = 0
    newest: dict[RepoPath, Effect] = {}
    before: dict[RepoPath, set[bytes]] = {}
    effects = core.store.pending_effects()
    for effect in effects:
        newest[effect.path] = effect
        before.setdefault(effect.path, set()).add(effect.before_hash)
    for path in sorted(newest):  # folders before what is in them
        revision = core.store.revision(path)
        if revision is not None and revision.kind is not FileKind.ABSENT:
            done += _finish_move(core, revision, before) or _make(core, revision, before[path])
    for path in sorted(newest, reverse=True):
        revision = core.store.revision(path)
        if revision is not None and revision.kind is FileKind.ABSENT:
            done += _remove(core, path, before[path])
    core.store.effects_done(effect.effect for effect in effects)
    if done:
        log.info("recovered %d writes that a crash had left undone", done)
    return done


def _clean_temporaries(core: Core) -> None:
    folder = core.backing.scratch_folder
    os.makedirs(folder, exist_ok=True)
    for name in os.listdir(folder):
        os.unlink(folder / name)


def _hash_now(core: Core, path: str) -> bytes:
    """Return the hash of the regular file at a path, b"" if there is none."""
    st = core.backing.lstat(path)
    if st is None or not stat.S_ISREG(st.st_mode):
        return b""
    return content_hash(core.backing.read(path))


def _finish_move(core: Core, revision: Revision, before: Mapping[RepoPath, set[bytes]]) -> int:
    """Move a file whose bytes the store does not keep: they are at the path that it was to leave."""
    path = revision.path
    if revision.kept or revision.kind is not FileKind.FILE or core.backing.lstat(path) is not None:
        return 0
    for old, hashes in before.items():
        there = core.store.revision(old)
        if there is None or there.kind is not FileKind.ABSENT or revision.content_hash not in hashes:
            continue
        if _hash_now(core, old) == revision.content_hash:
            core.backing.make_parents(path)
            os.rename(core.backing.at(old), core.backing.at(path))
            return 1
    return 0


def _make(core: Core, revision: Revision, before: set[bytes]) -> int:
    """Make a path what its newest revision says."""
    path = revision.path
    at = core.backing.at(path)
    st = core.backing.lstat(path)
    if revision.kind is FileKind.DIR:
        if st is None:
            core.backing.make_parents(path)
            os.mkdir(at, revision.mode)
        return int(st is None)
    if revision.kind is FileKind.SYMLINK:
        if st is None:
            core.backing.make_parents(path)
            os.symlink(revision.target, os.fsencode(at))
        return int(st is None)
    now = _hash_now(core, path)
    same_mode = st is not None and stat.S_IMODE(st.st_mode) == revision.mode
    if now == revision.content_hash and same_mode:
        return 0
    if now != revision.content_hash and now not in before:
        return 0  # neither old nor new: an edit made meanwhile; the first look at the file imports it
    if now == revision.content_hash:
        os.chmod(at, revision.mode)
        return 1
    return _write(core, revision, st)


def _write(core: Core, revision: Revision, st: os.stat_result | None) -> int:
    if not revision.kept:
        return 0
    data = b"".join(node.text for node in core.store.nodes(revision.path))
    detail = core.store.detail(revision.seq)
    time_ns = detail.commit.time_ns if detail is not None else 0
    like = MadeStat.like(st if st is not None else os.lstat(core.backing.root))
    like.st_mode = stat.S_IFREG | revision.mode
    like.st_atime_ns = time_ns
    core.backing.make_parents(revision.path)
    core.backing.discard(core.backing.replace(revision.path, data, like, time_ns))
    return 1


def _remove(core: Core, path: str, before: set[bytes]) -> int:
    """Remove what a commit removed, if it is still what it was then."""
    st = core.backing.lstat(path)
    if st is None:
        return 0
    at = core.backing.at(path)
    if stat.S_ISDIR(st.st_mode):
        try:
            os.rmdir(at)
        except OSError:  # not empty: somebody put something there
            return 0
        return 1
    if stat.S_ISREG(st.st_mode) and _hash_now(core, path) not in before:
        return 0
    os.unlink(at)
    return 1
