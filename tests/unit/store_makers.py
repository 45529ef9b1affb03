"""Values for the tests of the store, made short."""

from collections.abc import Iterable, Sequence

from makfs.ids import Address, AgentId, NodeUid, RepoPath, Seq
from makfs.locks import WRITE, Claim, Grant, Waiter
from makfs.store.model import (
    CommitDraft,
    FileChange,
    FileKind,
    FileState,
    NodeEdit,
    NodeText,
    Refusal,
    hash_of,
)

ALICE, BOB = AgentId("alice"), AgentId("bob")
LARGE_BYTES = 1 << 20
ABSENT = FileState(FileKind.ABSENT)
FOLDER = FileState(FileKind.DIR, mode=0o755)


def file_state(
    texts: Sequence[bytes], uids: Iterable[int] = range(1, 1_000_000), *, mode: int = 0o644
) -> FileState:
    """Return a file of these node texts."""
    nodes = tuple(NodeText(NodeUid(uid), text) for uid, text in zip(uids, texts, strict=False))
    content = b"".join(texts)
    return FileState(FileKind.FILE, mode, nodes, content_hash=hash_of(content), size_bytes=len(content))


def symlink(target: bytes) -> FileState:
    """Return a symbolic link."""
    return FileState(FileKind.SYMLINK, mode=0o777, target=target, size_bytes=len(target))


def change(
    path: str,
    after: FileState,
    *,
    origin: FileState | None = None,
    moved_from: str | None = None,
    edits: tuple[NodeEdit, ...] = (),
    merged: bool = False,
    write_through: bool = True,
) -> FileChange:
    """Return one path's change."""
    return FileChange(
        RepoPath(path),
        after,
        origin=origin,
        moved_from=None if moved_from is None else RepoPath(moved_from),
        edits=edits,
        merged=merged,
        write_through=write_through,
    )


def draft(*changes: FileChange, agent: AgentId = ALICE, note: str = "", program: str = "vim") -> CommitDraft:
    """Return a commit of these changes."""
    return CommitDraft(agent, 1_700_000_000_000_000_000, program, 4242, changes, note)


def edit(
    path: str, uid: int, before: bytes | None, after: bytes | None, *, op: str = "edit", name: str = "f"
) -> NodeEdit:
    """Return one node's edit."""
    return NodeEdit(RepoPath(path), op, "func", f"{path}::{name}", NodeUid(uid), before, after)


def refusal(path: str, *, agent: AgentId = ALICE, mine: bytes = b"mine", base: bytes | None = b"") -> Refusal:
    """Return a refusal that has no number yet."""
    return Refusal(
        0, 1, agent, RepoPath(path), "vim", 7, "Bob holds it.", Seq(1), Seq(2), (f"{path}::f",), mine, base
    )


def held(address: str, *, agent: AgentId = ALICE, fence: int = 1) -> Grant:
    """Return a grant to write."""
    return Grant(agent, Address(address), WRITE, fence, 1, 5, 6, while_active=False)


def waiting(*addresses: str, agent: AgentId = BOB, ticket: int = 1) -> Waiter:
    """Return a request to write these."""
    claims = tuple(Claim(Address(address), WRITE) for address in addresses)
    return Waiter(ticket, agent, claims, 1, 9, 5, 0, while_active=True)
