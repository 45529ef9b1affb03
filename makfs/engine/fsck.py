"""Check a repository: the store's invariants, and the store against the tree."""

import os
import stat
from collections.abc import Iterator, Sequence

from makfs.engine.api import Finding, Progress
from makfs.engine.core import Core
from makfs.ids import RepoPath
from makfs.store.model import FileKind, FileState, Revision

_PAUSE = 50  # paths compared between two turns of other tasks


def check_store(core: Core, progress: Progress) -> Sequence[Finding]:
    """Check every invariant of the store. Cost: reads it all."""
    progress("checking the store", 0, 1)
    problems = core.store.check()
    progress("checking the store", 1, 1)
    return [Finding(problem.invariant, problem.where, problem.sentence) for problem in problems]


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
