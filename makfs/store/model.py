"""What the store remembers, as values. No SQL here; `makfs.store.sqlite` keeps them, others may.

J1  Commits are numbered 1, 2, 3 ... without gaps; a commit is there whole or not at all. Of those up to the
    cut (`makfs gc`) who, when and with what stay; what they changed only where it still stood later.
J2  The state of a path at seq S is its newest revision with seq <= S; with none, the path was never
    recorded and the backing directory speaks for it. For an S before the cut that is neither marked nor that
    revision's own, the answer is NotKept.
J3  The first commit that touches a path also records, at seq 0, what was there before (the origin).
    Where history was cut, the path's oldest revision is its origin: of a commit up to the cut.
J4  A revision's node texts, in order, concatenate to the file's bytes; `content_hash` is of those bytes.
J5  An effect (write-through) is pending from its commit until `effects_done`; then never again.
J6  The locks kept are those of one moment: no two clash, none has a number above the newest given out.
J7  A mark names a commit of the journal, or 0, which is what was there before the first.
"""

import hashlib
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType

from makfs.ids import AgentId, NodeUid, RepoPath, Seq

FileUid = NewType("FileUid", int)
"""Identity of a file within one store; follows renames. 0: not recorded yet."""

HASH_BYTES = 16
ADDRESSES_IN_COMMIT = 50


def hash_of(content: bytes) -> bytes:
    """Return the hash by which the store knows a content: blake2b, 16 bytes."""
    return hashlib.blake2b(content, digest_size=HASH_BYTES).digest()


class FileKind(Enum):
    """What stands at a path."""

    FILE = "file"
    SYMLINK = "symlink"
    DIR = "dir"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class NodeText:
    """One node of a revision: identity and exact bytes."""

    uid: NodeUid
    text: bytes


@dataclass(frozen=True, slots=True)
class FileState:
    """What stands at a path after a commit (or at its origin).

    FILE: `nodes` in order (an opaque file has one); `kept` False means that only the hash is known,
    because the file is larger than the limit and its bytes stay in the backing directory.
    SYMLINK: `target`. DIR, ABSENT: neither.
    """

    kind: FileKind
    mode: int = 0  # permission bits only
    nodes: tuple[NodeText, ...] = ()
    target: bytes = b""
    content_hash: bytes = b""  # blake2b, 16 bytes, of the whole content; b"" unless FILE
    size_bytes: int = 0
    kept: bool = True
    packed: "Packed | None" = field(default=None, compare=False, repr=False)  # see `Store.prepare`


@dataclass(frozen=True, slots=True)
class Packed:
    """The nodes of a state as they are written, their texts being in the store."""

    nodes: bytes
    cuts: int  # how often texts had been removed from the store then: after the next time it does not count


@dataclass(frozen=True, slots=True)
class Revision:
    """A path's state together with the commit that made it."""

    path: RepoPath
    seq: Seq
    file: FileUid
    kind: FileKind
    mode: int
    content_hash: bytes
    size_bytes: int
    target: bytes
    kept: bool


@dataclass(frozen=True, slots=True)
class NodeEdit:
    """One node changed by a commit, as `log` and `show` tell it. `op` is a `makfs.syntax.node.Op` value."""

    path: RepoPath
    op: str
    kind: str
    address: str  # of the node after the commit; before it, when it was deleted
    uid: NodeUid
    before: bytes | None
    after: bytes | None
    old_address: str = ""  # RENAME and MOVE only


@dataclass(frozen=True, slots=True)
class FileChange:
    """One path changed by a commit. `origin` is given the first time the store hears of the path (J3)."""

    path: RepoPath
    after: FileState
    file: FileUid = FileUid(0)  # 0: the path's file as recorded, or a new one
    origin: FileState | None = None
    moved_from: RepoPath | None = None
    edits: tuple[NodeEdit, ...] = ()
    merged: bool = False  # head was not the base: the result is a merge
    origin_file: FileUid = FileUid(0)  # which file the origin is, where a journal is written again
    write_through: bool = True  # False: the backing directory already has it (external edits)


@dataclass(frozen=True, slots=True)
class CommitDraft:
    """A commit before it has a number."""

    agent: AgentId
    time_ns: int  # wall clock
    program: str  # name of the writing process, "" if unknown
    pid: int  # 0 if unknown
    changes: tuple[FileChange, ...]
    note: str = ""  # for people: "rename d1 -> d2", "external edit"
    task: str = ""  # what its agent worked at


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of the journal, without its node texts."""

    seq: Seq
    agent: AgentId
    time_ns: int
    program: str
    pid: int
    note: str
    paths: tuple[RepoPath, ...]
    addresses: tuple[str, ...]  # of changed nodes, at most the first 50
    nodes_changed: int
    task: str = ""  # what its agent worked at then, "" if it had not said


@dataclass(frozen=True, slots=True)
class Effect:
    """A write-through that a commit owes the backing directory: make `path` what it is at `seq`."""

    effect: int
    seq: Seq
    path: RepoPath
    before_hash: bytes  # content hash the backing file had; b"" if absent or not a file


@dataclass(frozen=True, slots=True)
class Refusal:
    """A write that was not committed; its bytes are kept."""

    number: int  # from 1 upwards; 0 before it is stored
    time_ns: int
    agent: AgentId
    path: RepoPath
    program: str
    pid: int
    reason: str  # plain sentences
    base_seq: Seq  # version the writer had read
    head_seq: Seq  # version it would have been merged onto
    addresses: tuple[str, ...]  # nodes in conflict
    mine: bytes  # the refused bytes, whole file
    base: bytes | None = None  # None: unknown or not text
    is_whole: bool = True  # False: refused at a write(2), so that more may have been to come


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding of `check`: what is wrong, where, and what to do."""

    invariant: str  # "J1" ... or "SQLITE"
    where: str
    sentence: str


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which commits `log` lists, newest first; by their times where it names times, else by number."""

    limit: int = 100
    before: Seq | None = None  # older in that order
    agent: AgentId | None = None
    path: RepoPath | None = None  # the path itself or anything below it
    program: str | None = None
    since_ns: int | None = None  # wall clock, both ends included
    until_ns: int | None = None
    task: str | None = None


@dataclass(frozen=True, slots=True)
class CommitDetail:
    """A commit with its file changes (texts included), for `show`."""

    commit: Commit
    files: tuple[Revision, ...]
    edits: tuple[NodeEdit, ...]
    moved: dict[RepoPath, RepoPath] = field(default_factory=dict)  # new path -> where the file stood before
    merged: frozenset[RepoPath] = frozenset()  # paths whose head was not the writer's base


@dataclass(frozen=True, slots=True)
class Mark:
    """A name for a commit, given by people."""

    name: str
    seq: Seq
    time_ns: int  # wall clock, when it was set


@dataclass(slots=True)
class Collected:
    """What a collection removed, or would remove."""

    cut: Seq  # the tree is known after this commit and all later ones
    revisions: int = 0
    edits: int = 0
    texts: int = 0
    freed_bytes: int = 0  # within the file, or given back
    file_bytes: int = 0  # of the file afterwards


@dataclass(frozen=True, slots=True)
class Stretch:
    """A file's time at one path: from commit `first` to commit `last`, both included; 0 is the origin."""

    path: RepoPath
    first: Seq
    last: Seq
    came_from: RepoPath | None = None  # where `first` moved it from


@dataclass(frozen=True, slots=True)
class NodeIds:
    """A revision by the numbers of its nodes; `texts` are asked for with `Reader.texts`."""

    seq: Seq
    uids: tuple[NodeUid, ...]
    texts: tuple[int, ...]
    kept: bool  # False: not a file, or too large to keep
    kind: FileKind
