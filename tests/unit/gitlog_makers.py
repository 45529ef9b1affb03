"""A git repository with a store, and a journal whose commits also happen on the disk."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from makfs.ids import AgentId, NodeUid, RepoPath
from makfs.store.model import CommitDraft, FileChange, FileKind, FileState, NodeEdit, NodeText, hash_of
from makfs.store.sqlite import SqliteStore
from tests.unit.store_makers import ABSENT, ALICE, FOLDER, LARGE_BYTES

IDENTITY = {
    "GIT_AUTHOR_NAME": "Pat", "GIT_AUTHOR_EMAIL": "pat@example.org", "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_COMMITTER_NAME": "Pat", "GIT_COMMITTER_EMAIL": "pat@example.org", "GIT_CONFIG_NOSYSTEM": "1",
}  # fmt: skip
START_NS = 1_700_000_000_900_000_000
Tree = dict[str, tuple[str, bytes]]  # path -> git's mode and the content


def text(content: bytes, mode: int = 0o644, *, kept: bool = True) -> FileState:
    """Return a file of one node."""
    nodes = (NodeText(NodeUid(1), content),) if kept and content else ()
    return FileState(
        FileKind.FILE, mode, nodes, content_hash=hash_of(content), size_bytes=len(content), kept=kept
    )


def link(target: str) -> FileState:
    """Return a symbolic link."""
    raw = os.fsencode(target)
    return FileState(FileKind.SYMLINK, 0o777, target=raw, size_bytes=len(raw))


@dataclass
class Repository:
    """One repository."""

    top: Path
    store: SqliteStore
    commits: int = 0
    _known: dict[str, FileState] = field(default_factory=dict)

    def git(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Run git; return what it prints."""
        done = subprocess.run(
            ["git", "-C", self.top, *arguments], input=stdin, capture_output=True, check=False,
            env={**os.environ, **IDENTITY},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def put(self, path: str, state: FileState) -> None:
        """Make the disk what a state says."""
        at = self.top / path
        if at.is_symlink() or at.is_file():
            at.unlink()
        elif at.is_dir() and state.kind is not FileKind.DIR:
            at.rmdir()
        if state.kind is FileKind.DIR:
            at.mkdir(exist_ok=True)
        elif state.kind is FileKind.SYMLINK:
            at.symlink_to(os.fsdecode(state.target))
        elif state.kind is FileKind.FILE:
            at.write_bytes(b"".join(node.text for node in state.nodes))
            at.chmod(state.mode)

    def commit(
        self,
        changes: dict[str, FileState],
        *,
        agent: AgentId = ALICE,
        note: str = "",
        program: str = "vim",
        moved: dict[str, str] | None = None,
        names: tuple[str, ...] = ("f",),
        task: str = "",
    ) -> int:
        """Commit states and bring them to the disk, unless they are not kept; return the seq."""
        moved = moved or {}
        drafted = [
            FileChange(
                RepoPath(path),
                state,
                origin=self._known.get(path, ABSENT),
                moved_from=RepoPath(moved[path]) if path in moved else None,
                edits=tuple(_edit(path, name) for name in names) if state.nodes else (),
            )
            for path, state in changes.items()
        ]
        time_ns = START_NS + self.commits * 1_000_000_000
        draft = CommitDraft(agent, time_ns, program, 4242, tuple(drafted), note, task)
        commit, _ = self.store.commit(draft)
        self._known.update(changes)
        for path, state in changes.items():
            if state.kept:
                self.put(path, state)
        self.commits += 1
        return commit.seq

    def was(self, path: str, state: FileState) -> None:
        """Put a file that no commit records; the first that does has it as its origin."""
        self.put(path, state)
        self._known[path] = state

    def tree(self, commit: str) -> Tree:
        """Return a commit's tree, as git tells it."""
        found: Tree = {}
        for line in self.git("ls-tree", "-r", "-z", commit).split(b"\0"):
            if line:
                told, _, path = line.partition(b"\t")
                mode, kind, sha = told.decode().split(" ")
                content = self.git("cat-file", "blob", sha) if kind == "blob" else sha.encode()
                found[os.fsdecode(path)] = (mode, content)
        return found

    def exported(self) -> list[str]:
        """Return the commits of the log, oldest first."""
        return self.git("rev-list", "--reverse", "refs/makfs/log").decode().split()


def _edit(path: str, name: str) -> NodeEdit:
    return NodeEdit(RepoPath(path), "edit", "func", f"{path}::{name}", NodeUid(1), None, b"x")


def as_git(states: dict[str, FileState]) -> Tree:
    """Return the tree that git has of these states."""
    found: Tree = {}
    for path, state in states.items():
        if state.kind is FileKind.SYMLINK:
            found[path] = ("120000", state.target)
        elif state.kind is FileKind.FILE:
            mode = "100755" if state.mode & 0o100 else "100644"
            found[path] = (mode, b"".join(node.text for node in state.nodes))
    return found


@contextmanager
def repository(top: Path) -> Iterator[Repository]:
    """Make a git repository with an empty store."""
    top.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", str(top)], check=True)
    (top / ".git/info/exclude").write_text("/.makfs/\n")
    (top / ".makfs").mkdir()
    store = SqliteStore.open(top / ".makfs", large_bytes=LARGE_BYTES)
    try:
        yield Repository(top, store)
    finally:
        store.close()


__all__ = ["ABSENT", "FOLDER", "IDENTITY", "Repository", "as_git", "link", "repository", "text"]
