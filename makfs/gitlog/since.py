"""What the journal did to the paths that git sees changed, since what HEAD has of each.

D1  A path's base is its newest state that HEAD has: so it does not matter who committed last, or which part.
    Where HEAD has none of its states, everything the journal knows of the path is since.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from makfs.gitlog.program import Git
from makfs.gitlog.states import git_mode
from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.model import FileKind, Revision
from makfs.store.replay import Replay, Step

_SYMLINK = 0o120000


@dataclass(slots=True)
class Since:
    """What is to be committed."""

    paths: list[RepoPath] = field(default_factory=list)  # that differ from HEAD
    steps: dict[Seq, Step] = field(default_factory=dict)  # commits of the journal that touched them since
    states: dict[Seq, list[Revision]] = field(default_factory=dict)  # by commit; 0: what was there before
    through: list[RepoPath] = field(default_factory=list)  # paths that files moved through, in HEAD as before

    def agents(self) -> list[AgentId]:
        """Return who made these commits, the first first."""
        return list(dict.fromkeys(self.steps[seq].commit.agent for seq in sorted(self.steps)))


class Looking:
    """Compares HEAD, the disk and the journal of one repository."""

    def __init__(self, git: Git, replay: Replay) -> None:
        self._replay = replay
        self._head = git.head_entries()
        self._changed = git.changed()
        self._steps: dict[Seq, Step] = {}

    def since(self, paths: Sequence[str] = (), agents: Iterable[str] = ()) -> Since:
        """Return the changes of these paths and all below them, that any of these agents had a part in.

        None named: all.
        """
        wanted, found = frozenset(agents), Since()
        for raw in sorted(self._changed):
            path = RepoPath(os.fsdecode(raw))
            if paths and not any(not top or path == top or path.startswith(f"{top}/") for top in paths):
                continue
            states = self._after_base(path, self._replay.states(path))
            made = {state.seq for state in states if state.seq}
            if made and (not wanted or any(self._step(seq).commit.agent in wanted for seq in made)):
                found.paths.append(path)
                self._add(found, states)
        return found

    def follow_moves(self, found: Since) -> None:
        """Add the paths through which files moved, so that each agent's commit has what it moved."""
        left = list(found.steps.values())
        while left:
            step = left.pop()
            here = {state.path for state in found.states[step.commit.seq]}
            for pair in step.moved.items():
                for path, other in (pair, pair[::-1]):
                    if path in here and other not in here and other not in found.through:
                        found.through.append(other)
                        self._add(found, self._around(other, step.commit.seq))
                        left = list(found.steps.values())

    def _add(self, found: Since, states: Iterable[Revision]) -> None:
        for state in states:
            found.states.setdefault(state.seq, []).append(state)
            if state.seq:
                found.steps[state.seq] = self._step(state.seq)

    def _step(self, seq: Seq) -> Step:
        if seq not in self._steps:
            self._steps[seq] = next(self._replay.steps(Seq(seq - 1), seq))
        return self._steps[seq]

    def _after_base(self, path: RepoPath, states: Iterable[Revision]) -> list[Revision]:
        """Return the states after the base, newest first (D1)."""
        return list(takewhile(lambda state: not self._is_head(path, state), states))

    def _around(self, path: RepoPath, seq: Seq) -> list[Revision]:
        """Return the states of a path that is in the end what HEAD has, around a commit that moved it."""
        states = self._replay.states(path)
        later = [state for state in states if state.seq >= seq]
        return later + self._after_base(path, [state for state in states if state.seq < seq])

    def _is_head(self, path: RepoPath, state: Revision) -> bool:
        """Tell whether HEAD has this state of the path."""
        entry = self._head.get(os.fsencode(path))
        if state.kind in (FileKind.ABSENT, FileKind.DIR) or entry is None:
            return entry is None and state.kind in (FileKind.ABSENT, FileKind.DIR)
        if state.kind is FileKind.SYMLINK:
            return entry == (_SYMLINK, blob_id(state.target))
        text = self._replay.text(state) if entry[0] == git_mode(state.mode) else None
        return text is not None and entry[1] == blob_id(text)


def blob_id(data: bytes) -> bytes:
    """Return git's name of a content (SHA-1)."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest().encode()
