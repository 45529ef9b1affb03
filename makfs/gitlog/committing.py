"""Ordinary git commits of what the journal changed, made by the program `git`, hooks and all.

H1  Of the user's index only the entries of the committed paths change, as after `git commit --only PATH...`.
H2  With a commit for each agent the last tree is that of one commit, and each agent is the author of what it
    changed: as few commits as there can be without taking one agent's change of a file past another's.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from makfs.errors import Busy, NotFound
from makfs.gitlog.message import counted, identity
from makfs.gitlog.program import Git, GitFailed
from makfs.gitlog.since import Looking, Since
from makfs.gitlog.states import git_mode
from makfs.ids import EXTERNAL, PERSON, AgentId, RepoPath
from makfs.store.model import FileKind, Revision, hash_of
from makfs.store.replay import Replay

STATE_DIR = ".makfs"
_FROM_STDIN = ("--pathspec-from-file=-", "--pathspec-file-nul")
_PEOPLE = frozenset({EXTERNAL, PERSON})  # whoever runs git stands for these
_UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "REBASE_HEAD")


def commit(
    top: str, message: str, paths: Sequence[str] = (), agents: Sequence[str] = (), *, per_agent: bool = False
) -> int:
    """Commit what the journal changed of these paths, in which any of these agents had a part; () is all.

    git speaks for itself. Returns how many commits were made. Raises NotFound if nothing is to be committed,
    Busy, GitFailed, StoreError.
    """
    git = Git(top)
    with Replay(Path(top) / STATE_DIR) as replay:
        looking = Looking(git, replay)
        since = looking.since(paths, agents)
        if not since.paths:
            raise NotFound(
                "Nothing to commit: git's HEAD has what the journal says of these paths and agents."
            )
        if not per_agent:
            return _commit_paths(git, message, since)
        looking.follow_moves(since)
        return _PerAgent(git, replay, since).commit(message)


def _literal(paths: Iterable[str]) -> bytes:
    return b"".join(b":(top,literal)" + os.fsencode(path) + b"\0" for path in paths)


def _commit_paths(git: Git, message: str, since: Since) -> int:
    """Make one commit by `git commit --only`."""
    indexed = git.indexed()
    new = [path for path in since.paths if os.fsencode(path) not in indexed and _is_there(git, path)]
    if new:
        git.do("add", "--intent-to-add", *_FROM_STDIN, stdin=_literal(new))
    authors = [
        f"--trailer=Co-authored-by: {identity(each)}" for each in since.agents() if each not in _PEOPLE
    ]
    code = 1
    try:
        code = git.show(
            "commit", "--only", "-m", message, *authors, *_FROM_STDIN, stdin=_literal(since.paths)
        )
    finally:
        if code and new:  # H1
            git.do("update-index", "--force-remove", "-z", "--stdin", stdin=_joined(new))
    if code:
        raise GitFailed("git commit failed (see above); nothing was committed.")
    return 1


def _is_there(git: Git, path: str) -> bool:
    return os.path.lexists(os.path.join(git.top, path))


def _joined(paths: Iterable[str]) -> bytes:
    return b"".join(os.fsencode(path) + b"\0" for path in paths)


@dataclass(slots=True)
class Run:
    """What one git commit takes: the last states of its paths."""

    agent: AgentId | None  # None: whoever runs git
    states: dict[RepoPath, Revision] = field(default_factory=dict)
    time_ns: int = 0  # of the last commit in it


def runs_of(since: Since) -> list[Run]:
    """Return the commits to make, in order (H2).

    A commit of the journal joins its agent's last run unless a later run has one of its paths.
    """
    runs: list[Run] = []
    for seq in sorted(since.states):
        step = since.steps.get(seq)
        agent = None if step is None or step.commit.agent in _PEOPLE else step.commit.agent
        states = {state.path: state for state in since.states[seq]}
        run = _joinable(runs, agent, states.keys())
        if run is None:
            run = Run(agent)
            runs.append(run)
        run.states.update(states)
        if step is not None:
            run.time_ns = step.commit.time_ns
    return runs


def _joinable(runs: Sequence[Run], agent: AgentId | None, paths: Iterable[RepoPath]) -> Run | None:
    wanted = set(paths)
    for run in reversed(runs):
        if run.agent == agent:
            return run
        if wanted & run.states.keys():
            return None
    return None


class _PerAgent:
    """Makes one commit for each run, on an index of its own."""

    def __init__(self, git: Git, replay: Replay, since: Since) -> None:
        self._git = git
        self._replay = replay
        self._since = since
        self._folder = os.fsdecode(git.ask("rev-parse", "--absolute-git-dir")).rstrip("\n")

    def commit(self, message: str) -> int:
        self._check_idle()
        made = 0
        with self._index() as index:
            try:
                for run in runs_of(self._since):
                    made += self._commit_run(run, message, index, made)
            finally:
                if made:  # H1
                    paths = [*self._since.paths, *self._since.through]
                    self._git.do("reset", "-q", *_FROM_STDIN, stdin=_literal(paths))
        if not made:
            raise NotFound("Nothing to commit: the journal's states of these paths are what HEAD has.")
        return made

    def _check_idle(self) -> None:
        """Raise Busy while git is in the middle of something, or somebody else uses the index."""
        for name in _UNDER_WAY:
            if os.path.lexists(os.path.join(self._folder, name)):
                raise Busy(
                    f"git is in the middle of something ({name}); finish it or give it up, then commit."
                )
        lock = os.path.join(self._folder, "index.lock")
        if os.path.lexists(lock):
            raise Busy(f"Somebody else uses git's index ({lock} is there); commit when it is done.")

    @contextmanager
    def _index(self) -> Iterator[str]:
        index = os.path.join(self._folder, f"makfs-index-{os.getpid()}")
        try:
            yield index
        finally:
            for path in (index, f"{index}.lock"):
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def _commit_run(self, run: Run, message: str, index: str, made: int) -> int:
        """Make the commit of one run, unless it changes nothing; return 1 or 0."""
        head = self._git.head()
        if head:
            self._git.do("read-tree", "HEAD", index=index)
        before = self._git.do("write-tree", index=index)
        self._git.do("update-index", "-z", "--index-info", stdin=self._entries(run), index=index)
        if self._git.do("write-tree", index=index) == before:
            return 0
        who = []
        if run.agent is not None:
            who = [f"--author={identity(run.agent)}", f"--date=@{max(0, run.time_ns // 1_000_000_000)} +0000"]
        if self._git.show("commit", "-m", message, *who, index=index):
            done = counted(made, "commit")
            raise GitFailed(f"git commit failed (see above) after {done}; run this again for the others.")
        return 1

    def _entries(self, run: Run) -> bytes:
        """Return the run's states as `update-index --index-info` takes them, removals first."""
        gone: list[bytes] = []
        there: list[bytes] = []
        for path, state in run.states.items():
            name = os.fsencode(path)
            if state.kind in (FileKind.ABSENT, FileKind.DIR):
                gone.append(b"0 " + b"0" * 40 + b"\t" + name + b"\0")
            elif state.kind is FileKind.SYMLINK:
                sha = self._git.do("hash-object", "-w", "--stdin", stdin=state.target).strip()
                there.append(b"120000 " + sha + b"\t" + name + b"\0")
            else:
                text = self._text(state)
                if text is not None:
                    # --path: with the repository's own filters and line ends, as `git add` does
                    sha = self._git.do("hash-object", "-w", "--stdin", f"--path={path}", stdin=text).strip()
                    there.append(b"%o " % git_mode(state.mode) + sha + b"\t" + name + b"\0")
        return b"".join(gone + there)

    def _text(self, state: Revision) -> bytes | None:
        """Return a file's bytes; of one too large to keep those on the disk, if they are still the same."""
        text = self._replay.text(state)
        if text is None:
            with suppress(OSError):
                now = Path(self._git.top, state.path).read_bytes()
                text = now if hash_of(now) == state.content_hash else None
        return text
