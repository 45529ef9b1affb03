"""The program `git`, for what it alone does as people expect: ignore rules, the index, hooks.

Q1  A repository is asked about itself: what the environment says of another one is left out.
"""

import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence

from makfs.errors import MakfsError, NotFound

_OF_ANOTHER = (  # git rev-parse --local-env-vars, without the ways to configure git
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE", "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_INTERNAL_SUPER_PREFIX", "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS",
)  # fmt: skip


class GitFailed(MakfsError):
    """git could not do what it was asked; it said why."""


class Git:
    """The program, at one repository's directory."""

    def __init__(self, top: str) -> None:
        """Keep the place. Raises NotFound if no git repository begins there."""
        if not os.path.lexists(os.path.join(top, ".git")):
            raise NotFound(f"{top} is not the top of a git repository; run 'git init' there first.")
        self.top = top
        self._environment = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}

    def ask(self, *arguments: str, stdin: bytes = b"", accepted: Sequence[int] = (0,)) -> bytes:
        """Return what git prints, taking no lock it can do without. Raises GitFailed."""
        return self._run(arguments, stdin, accepted, {"GIT_OPTIONAL_LOCKS": "0"})

    def do(self, *arguments: str, stdin: bytes = b"", index: str | None = None) -> bytes:
        """Let git change something, in the user's index or in the one named; return what it prints."""
        return self._run(arguments, stdin, (0,), {} if index is None else {"GIT_INDEX_FILE": index})

    def _run(
        self, arguments: Sequence[str], stdin: bytes, accepted: Sequence[int], extra: Mapping[str, str]
    ) -> bytes:
        command = ["git", "-C", self.top, *arguments]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, env={**self._environment, **extra}, check=False
            )
        except OSError as error:
            raise GitFailed(f"git cannot be run: {error.strerror}; install it, or see PATH.") from error
        if done.returncode not in accepted:
            said = done.stderr.decode("utf-8", "replace").strip() or f"it ended with {done.returncode}"
            raise GitFailed(f"git {arguments[0]} failed in {self.top}: {said}")
        return done.stdout

    def show(self, *arguments: str, stdin: bytes = b"", index: str | None = None) -> int:
        """Let git change something and speak for itself, to our own stdout and stderr; return its code."""
        extra = {} if index is None else {"GIT_INDEX_FILE": index}
        with subprocess.Popen(
            ["git", "-C", self.top, *arguments], stdin=subprocess.PIPE, env={**self._environment, **extra}
        ) as child:
            child.communicate(stdin)
        return child.returncode

    # -- questions

    def ignored(self, paths: Iterable[bytes]) -> frozenset[bytes]:
        """Return which of these paths git ignores and does not track."""
        asked = [path for path in paths if not self._beyond_a_link(path)]
        if not asked:
            return frozenset()
        answer = self.ask("check-ignore", "-z", "--stdin", stdin=b"\0".join(asked) + b"\0", accepted=(0, 1))
        return frozenset(_names(answer))

    def _beyond_a_link(self, path: bytes) -> bool:
        """Tell whether a folder of the path is a link now: git refuses to speak of such paths."""
        top, at = os.fsencode(self.top), path.find(b"/")
        while at > 0:
            if os.path.islink(os.path.join(top, path[:at])):
                return True
            at = path.find(b"/", at + 1)
        return False

    def indexed(self) -> Mapping[bytes, tuple[int, bytes]]:
        """Return what is in the index: path -> mode and object; of a conflict, the last side."""
        found: dict[bytes, tuple[int, bytes]] = {}
        for line in _names(self.ask("ls-files", "-z", "--stage")):
            told, _, path = line.partition(b"\t")
            mode, sha, _ = told.split(b" ")
            found[path] = (int(mode, 8), sha)
        return found

    def head_entries(self) -> Mapping[bytes, tuple[int, bytes]]:
        """Return what HEAD has: path -> mode and object."""
        found: dict[bytes, tuple[int, bytes]] = {}
        if self.head():
            for line in _names(self.ask("ls-tree", "-r", "-z", "HEAD")):
                told, _, path = line.partition(b"\t")
                mode, _, sha = told.split(b" ")
                found[path] = (int(mode, 8), sha)
        return found

    def changed(self) -> frozenset[bytes]:
        """Return the paths where the disk is not what HEAD has, without what git ignores."""
        untracked = frozenset(path for path in self.untracked() if not path.endswith(b"/"))
        if not self.head():
            return untracked | self.indexed().keys()
        differ = self.ask("diff", "--name-only", "-z", "--no-renames", "--ignore-submodules", "HEAD", "--")
        return untracked | frozenset(_names(differ))

    def untracked(self) -> Sequence[bytes]:
        """Return the files that are neither tracked nor ignored; a repository in there ends with `/`."""
        return _names(self.ask("ls-files", "-z", "--others", "--exclude-standard"))

    def head(self) -> str:
        """Return the commit of HEAD, "" if there is none yet."""
        return self.ask("rev-parse", "-q", "--verify", "HEAD^{commit}", accepted=(0, 1)).decode().strip()


def _names(answer: bytes) -> list[bytes]:
    return [name for name in answer.split(b"\0") if name]
