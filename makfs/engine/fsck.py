"""Check a repository: the store's invariants, and the store against the tree."""

import os
import stat
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from makfs.config import Config
from makfs.engine.api import Finding, Progress
from makfs.engine.backing import Backing
from makfs.engine.classify import Classifier
from makfs.engine.core import Core
from makfs.engine.inodes import InodeTable
from makfs.engine.locking import Locks
from makfs.engine.runcheck import run_findings
from makfs.errors import NotFound
from makfs.ids import RepoPath
from makfs.store.model import FileKind, FileState, Revision
from makfs.store.sqlite import SqliteStore

_PAUSE = 50  # paths compared between two turns of other tasks


def check_store(core: Core, progress: Progress) -> Sequence[Finding]:
    """Check every invariant of the store, and the records of runs. Cost: reads it all."""
    progress("checking the store", 0, 1)
    problems = core.store.check()
    progress("checking the store", 1, 1)
    runs = run_findings(core.backing.state, lambda: core.store.head)
    return [*(Finding(each.invariant, each.where, each.sentence) for each in problems), *runs]


def tree_findings(core: Core, progress: Progress) -> Iterator[list[Finding]]:
    """Compare the newest revision of every recorded path with the repository; pause now and then."""
    revisions = core.store.below(RepoPath(""))
    pending = {effect.path for effect in core.store.pending_effects()}
    for at in range(0, len(revisions), _PAUSE):
        progress("comparing the tree", at, len(revisions))
        batch = revisions[at : at + _PAUSE]
        wanted = [r for r in batch if r.path not in core.owed and r.path not in pending]
        sentences = [(r.path, _difference(r, _now(core, r.path))) for r in wanted]
        yield [Finding("TREE", path, sentence) for path, sentence in sentences if sentence]
    progress("comparing the tree", len(revisions), len(revisions))


def _now(core: Core, path: str) -> FileState | None:
    try:
        return core.state(path)
    except OSError:
        return None


def _difference(revision: Revision, now: FileState | None) -> str:
    """Say how a path differs from its newest revision; "" if it does not."""
    path = revision.path
    if now is None:
        return f"{path} cannot be read."
    if now.kind is not revision.kind:
        return f"{path} is {now.kind.value} in the repository, {revision.kind.value} in the journal."
    if revision.kind is FileKind.FILE and now.content_hash != revision.content_hash:
        return f"{path} was edited in the repository and not imported; the next mount books it to external."
    if revision.kind is FileKind.SYMLINK and now.target != revision.target:
        return (
            f"{path} points to {os.fsdecode(now.target)}, in the journal to {os.fsdecode(revision.target)}."
        )
    if revision.kind is FileKind.FILE and stat.S_IMODE(now.mode) != revision.mode:
        return f"{path} has mode {now.mode:o} in the repository, {revision.mode:o} in the journal."
    return ""


def check_repository(repo: Path, config: Config, progress: Progress) -> Sequence[Finding]:
    """Check a repository's store that nobody serves. Raises StoreError."""
    backing = Backing(repo)
    if not (backing.state / "store.db").exists():
        raise NotFound(f"{repo} has no makfs store; nothing was ever mounted from it.")
    store = SqliteStore.open(backing.state, large_bytes=config.store.large_bytes)
    try:
        table = InodeTable({}, lambda path, number: None)
        classifier = Classifier(backing, config.view.scratch, config.shadows)
        core = Core(backing, store, config, classifier, table, Locks(store, max_waiters=1))
        return [*check_store(core, progress), *chain(*tree_findings(core, progress))]
    finally:
        store.close()
