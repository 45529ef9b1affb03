"""What may be asked of history, and the answers. `at` is the number of a commit, a mark, or `head`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import Commit, FileKind, LogQuery, Mark, NodeEdit


@dataclass(frozen=True, slots=True)
class Author:
    """Who made a commit. Seq 0 is the origin: what was there before the first commit."""

    seq: Seq
    agent: AgentId
    time_ns: int  # wall clock
    program: str
    pid: int
    task: str = ""


@dataclass(frozen=True, slots=True)
class BlamedLine:
    """One line of a file and the commit that wrote it as it is."""

    number: int  # from 1
    seq: Seq
    text: bytes  # with its end


@dataclass(frozen=True, slots=True)
class Blame:
    """A file line by line."""

    path: RepoPath
    seq: Seq  # as of which commit
    lines: tuple[BlamedLine, ...]
    authors: tuple[Author, ...]  # of the lines' commits, oldest first; none for the origin


@dataclass(frozen=True, slots=True)
class BlamedNode:
    """One node of a file and the commit that changed it last."""

    kind: str
    address: str
    first_line: int
    last_line: int
    uid: NodeUid
    seq: Seq


@dataclass(frozen=True, slots=True)
class NodeBlame:
    """A file node by node."""

    path: RepoPath
    seq: Seq
    nodes: tuple[BlamedNode, ...]
    authors: tuple[Author, ...]


@dataclass(frozen=True, slots=True)
class NodeStep:
    """What one commit did to a node, or to its file."""

    commit: Commit
    op: str  # a `makfs.syntax.node.Op` value; "file" where the file was renamed with the node in it
    kind: str
    address: str  # after the commit; before it, when the node was deleted
    old_address: str  # where that was another, else ""
    edits: tuple[NodeEdit, ...]  # with texts; of a file all of the commit's


@dataclass(frozen=True, slots=True)
class Side:
    """What stood at a path."""

    kind: FileKind
    mode: int  # permission bits
    data: (
        bytes | None
    )  # a link's target; None: too large, only its hash is known; b"": both sides are the same


@dataclass(frozen=True, slots=True)
class FileDiff:
    """How one file differs between two commits. One side may be absent; not both."""

    path: RepoPath  # on the new side, or where it was
    old_path: RepoPath | None  # where the file stood, if it was moved
    old: Side | None
    new: Side | None
    edits: tuple[NodeEdit, ...]  # by node, if that was asked for
    same: bool = False  # only the name or the mode differs: the bytes are not told


@dataclass(frozen=True, slots=True)
class DiffPage:
    """A part of the difference of two trees, in the order of paths."""

    old: Seq
    new: Seq
    files: tuple[FileDiff, ...]
    after: RepoPath | None  # ask again with this for the rest; None: there is none


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a file's bytes."""

    data: bytes
    size_bytes: int  # of the whole file


class HistoryApi(Protocol):
    """The verbs of history. Errors are MakfsError; their `str()` is shown to the user as it is."""

    def seq_of(self, at: str) -> Seq:
        """Return the commit that a number, a mark or `head` means, with or without `@`. Raises NotFound."""
        ...

    async def log(self, query: LogQuery, address: str) -> Sequence[Commit]:
        """Return the commits of a node, a class with all inside, a file through its renames, or a folder.

        `query.path` is ignored. Raises NotFound.
        """
        ...

    async def diff(
        self, old: str, new: str, paths: Sequence[str], *, by_node: bool, after: str | None
    ) -> DiffPage:
        """Compare two trees, below `paths` if there are any. Raises NotFound."""
        ...

    async def blame(self, path: str, at: str) -> Blame:
        """Tell who wrote each line. Raises NotFound, NotKept."""
        ...

    async def blame_nodes(self, path: str, at: str) -> NodeBlame:
        """Tell who changed each node last. Raises NotFound, NotKept."""
        ...

    async def node_log(self, address: str, limit: int, before: Seq | None) -> Sequence[NodeStep]:
        """Return a node's commits, newest first, through renames of itself and its file. Raises NotFound."""
        ...

    async def cat(self, path: str, at: str, offset: int) -> Chunk:
        """Return a file's bytes from an offset on. Raises NotFound, NotKept."""
        ...

    def marks(self) -> Sequence[Mark]:
        """Return all marks, in the order of their names."""
        ...

    def set_mark(self, name: str, at: str) -> Mark:
        """Give a commit a name. Raises BadName, NotFound, Busy if the name is another commit's."""
        ...

    async def delete_mark(self, name: str) -> Mark:
        """Forget a mark, and its tree in the mount; return it. Raises NotFound."""
        ...
