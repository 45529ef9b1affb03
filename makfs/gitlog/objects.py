"""Git's objects and the ref of the log, by dulwich.

O1  The ref moves only to a commit whose objects are all written, and only from where it was seen: whatever
    is interrupted, `refs/makfs/log` is a whole history.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from dulwich.errors import NotGitRepository
from dulwich.file import FileLocked
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree
from dulwich.protocol import ZERO_SHA
from dulwich.refs import Ref
from dulwich.repo import Repo, UnsupportedExtension, UnsupportedVersion

from makfs.errors import Busy
from makfs.gitlog.message import BASE, SEQ, trailer
from makfs.gitlog.program import GitFailed
from makfs.gitlog.trees import FOLDER_MODE, Leaf

LOG: Final = "refs/makfs/log"
_FLUSH_BYTES = 64 << 20
_ENOUGH = 3_000  # objects; a pack of these is some MiB


@dataclass(frozen=True, slots=True)
class Tip:
    """The newest exported commit."""

    commit: ObjectID
    tree: ObjectID
    seq: int
    is_base: bool
    author: str
    time_s: int


class GitLog:
    """`refs/makfs/log` of one repository. Use it with `with`."""

    def __init__(self, top: str) -> None:
        """Open the repository. Raises GitFailed."""
        self._top = top
        try:
            self._repo = Repo(top)
        except (NotGitRepository, UnsupportedExtension, UnsupportedVersion, OSError) as error:
            raise GitFailed(f"The git repository of {top} cannot be opened: {error}.") from error
        if self._repo.object_format.name != "sha1":
            self._repo.close()
            raise GitFailed(
                f"{top} names its objects by SHA-256; the export knows repositories of SHA-1 only."
            )
        self._repo.object_store.fsync_object_files = True
        self._waiting: dict[ObjectID, ShaFile] = {}
        self._bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._repo.close()

    def tip(self) -> Tip | None:
        """Return the newest exported commit. Raises GitFailed if the ref is somebody else's."""
        try:
            commit = self._repo[self._repo.refs[Ref(LOG.encode())]]
        except KeyError:
            return None
        message = commit.message if isinstance(commit, Commit) else b""
        seq = trailer(message, SEQ)
        if not isinstance(commit, Commit) or seq is None or not seq.isdecimal():
            raise GitFailed(
                f"{LOG} of {self._top} is not a log that makfs wrote; move it away with 'git update-ref', "
                "and export again."
            )
        author = commit.author.decode("utf-8", "replace")
        is_base = trailer(message, BASE) is not None
        return Tip(commit.id, commit.tree, int(seq), is_base, author, commit.author_time)

    def leaves(self, tree: ObjectID) -> dict[bytes, Leaf]:
        """Return all files of a tree. Cost: reads its trees."""
        found: dict[bytes, Leaf] = {}
        left: list[tuple[bytes, ObjectID]] = [(b"", tree)]
        while left:
            prefix, sha = left.pop()
            folder = self._repo[sha]
            assert isinstance(folder, Tree), sha
            for name, mode, entry in folder.iteritems():
                if mode == FOLDER_MODE:
                    left.append((prefix + name + b"/", entry))
                else:
                    found[prefix + name] = (mode, entry)
        return found

    def blob(self, data: bytes) -> ObjectID:
        """Keep a content for the next `publish`; return its id."""
        blob = Blob.from_string(data)
        if blob.id not in self._waiting and blob.id not in self._repo.object_store:
            self._keep(blob, len(data))
        return blob.id

    def tree(self, tree: Tree) -> None:
        """Keep a tree for the next `publish`."""
        data = tree.as_raw_string()
        self._keep(tree, len(data))

    def commit(
        self, tree: ObjectID | None, parent: ObjectID | None, who: str, time_s: int, message: bytes
    ) -> ObjectID:
        """Keep a commit for the next `publish`; return its id. A tree of None is the empty one."""
        if tree is None:
            empty = Tree()
            self.tree(empty)
            tree = empty.id
        made = Commit()
        made.tree = tree
        made.parents = [] if parent is None else [parent]
        made.author = made.committer = who.encode()
        made.author_time = made.commit_time = max(0, time_s)
        made.author_timezone = made.commit_timezone = 0
        made.message = message
        self._keep(made, len(message))
        return made.id

    def _keep(self, made: ShaFile, size_bytes: int) -> None:
        self._waiting[made.id] = made
        self._bytes += size_bytes

    @property
    def is_full(self) -> bool:
        """Tell whether enough is kept for a pack."""
        return self._bytes > _FLUSH_BYTES or len(self._waiting) > _ENOUGH

    def publish(self, commit: ObjectID, instead_of: ObjectID | None) -> None:
        """Write all that is kept, then move the ref (O1). Raises Busy, GitFailed."""
        try:
            _write(self._repo, self._waiting.values())
            moved = self._repo.refs.set_if_equals(Ref(LOG.encode()), instead_of or ZERO_SHA, commit)
        except FileLocked as error:
            lock = os.fsdecode(error.lockfilename)
            raise Busy(f"Somebody else writes {LOG}: {lock} is there; remove it if nobody does.") from error
        except OSError as error:
            raise GitFailed(f"git's objects of {self._top} cannot be written: {error.strerror}.") from error
        if not moved:
            raise Busy(f"Somebody else moved {LOG} of {self._top} meanwhile; export again.")
        self._waiting.clear()
        self._bytes = 0


def _write(repo: Repo, objects: Iterable[ShaFile]) -> None:
    """Write objects as one pack, which appears whole."""
    repo.object_store.add_objects([(each, None) for each in objects])
