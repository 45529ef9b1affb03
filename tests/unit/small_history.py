"""A history for tests above the kernel: one file, one mark, and what it was asked."""

from collections.abc import Sequence

import trio

from makfs.engine.historyapi import (
    Author,
    Blame,
    BlamedLine,
    BlamedNode,
    Chunk,
    DiffPage,
    NodeBlame,
    NodeStep,
)
from makfs.errors import NotFound
from makfs.ids import AgentId, NodeUid, RepoPath, Seq
from makfs.store.model import Commit, LogQuery, Mark

ALICE = Author(Seq(2), AgentId("alice"), 1_795_170_000_000_000_000, "vim", 7)
CONTENT = bytes(range(256)) * 3
MARK = Mark("v1", Seq(2), 5)


class SmallHistory:
    """The verbs of history of a kernel."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []
        self.chunk_bytes = 100

    def seq_of(self, at: str) -> Seq:
        if at.removeprefix("@") in ("v1", "2"):
            return Seq(2)
        if at.removeprefix("@") in ("head", "3"):
            return Seq(3)
        raise NotFound(f"There is no commit and no mark {at!a}.")

    async def log(self, query: LogQuery, address: str) -> Sequence[Commit]:
        await trio.lowlevel.checkpoint()
        self.asked.append((query, address))
        return []

    async def diff(
        self, old: str, new: str, paths: Sequence[str], *, by_node: bool, after: str | None
    ) -> DiffPage:
        await trio.lowlevel.checkpoint()
        self.asked.append((old, new, tuple(paths), by_node, after))
        return DiffPage(self.seq_of(old), self.seq_of(new), (), None)

    async def blame(self, path: str, at: str) -> Blame:
        await trio.lowlevel.checkpoint()
        lines = (BlamedLine(1, Seq(0), b"x\n"), BlamedLine(2, Seq(2), b"\xff"))
        return Blame(RepoPath(path), self.seq_of(at), lines, (ALICE,))

    async def blame_nodes(self, path: str, at: str) -> NodeBlame:
        await trio.lowlevel.checkpoint()
        node = BlamedNode("func", f"{path}::f", 1, 2, NodeUid(7), Seq(2))
        return NodeBlame(RepoPath(path), self.seq_of(at), (node,), (ALICE,))

    async def node_log(self, address: str, limit: int, before: Seq | None) -> Sequence[NodeStep]:
        await trio.lowlevel.checkpoint()
        self.asked.append((address, limit, before))
        return []

    async def cat(self, path: str, at: str, offset: int) -> Chunk:
        await trio.lowlevel.checkpoint()
        self.asked.append((path, at, offset))
        return Chunk(CONTENT[offset : offset + self.chunk_bytes], len(CONTENT))

    def marks(self) -> Sequence[Mark]:
        return [MARK]

    def set_mark(self, name: str, at: str) -> Mark:
        return Mark(name, self.seq_of(at), 9)

    async def delete_mark(self, name: str) -> Mark:
        await trio.lowlevel.checkpoint()
        if name != MARK.name:
            raise NotFound(f"There is no mark {name!a}.")
        return MARK


class SmallTasks:
    """What agents work at: of one that there is, and of one that there is not."""

    def __init__(self) -> None:
        self.now = ""

    def task(self, agent: str) -> str:
        if agent != "alice":
            raise NotFound(f"There is no agent {agent}.")
        return self.now

    def set(self, agent: str, task: str, *, lasting: bool = True) -> str:
        before, self.now = self.task(agent), task
        return before

    def put_back(self, agent: str, task: str, before: str) -> None:
        if self.task(agent) == task:
            self.now = before
