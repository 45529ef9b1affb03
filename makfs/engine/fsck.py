"""Check a repository: the store's invariants, and the store against the tree."""

import os
import stat
from collections.abc import Sequence

from makfs.engine.api import Finding, Progress
from makfs.engine.core import Core
from makfs.ids import RepoPath
from makfs.store.model import FileKind, FileState, Revision


def check_store(core: Core, progress: Progress) -> Sequence[Finding]:
    """Check every invariant of the store. Cost: reads it all."""
    progress("checking the store", 0, 1)
    problems = core.store.check()
    progress("checking the store", 1, 1)
    return [Finding(problem.invariant, problem.where, problem.sentence) for problem in problems]


def check_tree(core: Core, progress: Progress) -> Sequence[Finding]:
    """Compare the newest revision of every recorded path with the repository."""
    revisions = core.store.below(RepoPath(""))
    findings: list[Finding] = []
    pending = {effect.path for effect in core.store.pending_effects()}
    for number, revision in enumerate(revisions):
        if number % 500 == 0:
            progress("comparing the tree", number, len(revisions))
        if revision.path in core.owed or revision.path in pending:
            continue
        sentence = _difference(revision, _now(core, revision.path))
        if sentence:
            findings.append(Finding("TREE", revision.path, sentence))
    progress("comparing the tree", len(revisions), len(revisions))
    return findings


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
    if revision.kind is not FileKind.SYMLINK and stat.S_IMODE(now.mode) != revision.mode:
        if revision.kind is FileKind.FILE:
            return f"{path} has mode {now.mode:o} in the repository, {revision.mode:o} in the journal."
    return ""
