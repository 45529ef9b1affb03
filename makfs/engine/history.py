"""What people ask of history: blame, diff, logs of nodes, old bytes, marks. Values in, values out.

H1  Whatever may take long reads on a thread and a connection of its own: no write waits for it.
H2  A path that the journal never met is as old as the journal: its text is the repository's, by `origin`.
"""

import os
import re
import stat
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

import trio

from makfs.engine.backing import STATE_DIR
from makfs.engine.blame import blame
from makfs.engine.comparing import compare
from makfs.engine.core import Core
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
from makfs.engine.stepping import log_of_address, node_steps
from makfs.engine.tracing import SCRATCH_UID, source_at
from makfs.errors import BadName, Busy, NotFound, NotKept
from makfs.ids import RepoPath, Seq
from makfs.merge.lines import split_lines
from makfs.names import mark_name
from makfs.store.model import Commit, FileKind, LogQuery, Mark, Revision
from makfs.store.protocol import Reader
from makfs.syntax import address, lines, split
from makfs.syntax.node import Kind, Source

HEAD = "head"
CHUNK_BYTES = 16 << 20
_AT_ONCE = 2  # threads that read history; more would only take turns with the file system
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)

T = TypeVar("T")


class History:
    """The verbs of history. Implements `makfs.engine.historyapi.HistoryApi`."""

    def __init__(self, core: Core, drop: Callable[[Sequence[str]], Awaitable[None]]) -> None:
        self._core = core
        self._drop = drop  # entries at the top of the mount
        self._limiter = trio.CapacityLimiter(_AT_ONCE)

    async def _read(self, work: Callable[[Reader], T]) -> T:
        """Return what `work` finds, on a thread (H1). What it finds after a cancellation is dropped."""

        def run() -> T:
            with self._core.store.reader() as reader:
                return work(reader)

        return await trio.to_thread.run_sync(run, limiter=self._limiter, abandon_on_cancel=True)

    # ---- commits

    def seq_of(self, at: str) -> Seq:
        """Return the commit that a number, a mark or `head` means. Raises NotFound."""
        name, head = at.removeprefix("@"), self._core.store.head
        if name == HEAD:
            return head
        if _NUMBER.fullmatch(name):
            if int(name) > head:
                raise NotFound(f"There is no commit {int(name)}; the newest is {head}.")
            return Seq(int(name))
        mark = self._core.store.mark(name)
        if mark is None:
            raise NotFound(
                f"There is no commit and no mark {name[:100]!r}; 'makfs mark --list' lists the marks."
            )
        return mark.seq

    async def log(self, query: LogQuery, address: str) -> Sequence[Commit]:
        """Return the commits of what an address means."""
        if not address or address.endswith("/") or self._is_folder(address):
            folder = checked(address.rstrip("/")) if address.strip("/") else RepoPath("")
            return await self._read(lambda reader: reader.log(replace(query, path=folder)))
        return await self._read(lambda reader: log_of_address(reader, query, address))

    def _is_folder(self, address: str) -> bool:
        return "::" not in address and self._core.backing.is_dir(checked(address))

    async def node_log(self, address: str, limit: int, before: Seq | None) -> Sequence[NodeStep]:
        """Return a node's commits, newest first."""
        upto = Seq(1 << 62) if before is None else before
        return await self._read(lambda reader: node_steps(reader, address, limit, upto))

    async def diff(
        self, old: str, new: str, paths: Sequence[str], *, by_node: bool, after: str | None
    ) -> DiffPage:
        """Compare two trees."""
        seqs, wanted = (self.seq_of(old), self.seq_of(new)), [checked(path, root=True) for path in paths]
        last = None if after is None else RepoPath(after)
        return await self._read(lambda reader: compare(reader, *seqs, wanted, by_node=by_node, after=last))

    # ---- files

    async def blame(self, path: str, at: str) -> Blame:
        """Tell who wrote each line."""
        file, seq = checked(path), self.seq_of(at)
        return await self._read(lambda reader: self._blame(reader, file, seq))

    def _blame(self, reader: Reader, path: RepoPath, at: Seq) -> Blame:
        if self._file(reader, path, at) is None:
            found = [(Seq(0), line) for line in split_lines(self._unrecorded(path))]
        else:
            stretches = reversed(reader.stretches(path, at))
            revisions = (each for stretch in stretches for each in reader.node_lists(stretch))
            found = blame(revisions, reader.texts)
        rows = tuple(BlamedLine(number, seq, text) for number, (seq, text) in enumerate(found, 1))
        return Blame(path, at, rows, _authors(reader, (row.seq for row in rows)))

    async def blame_nodes(self, path: str, at: str) -> NodeBlame:
        """Tell who changed each node last."""
        file, seq = checked(path), self.seq_of(at)
        return await self._read(lambda reader: self._blame_nodes(reader, file, seq))

    def _blame_nodes(self, reader: Reader, path: RepoPath, at: Seq) -> NodeBlame:
        made = newest = Seq(0)
        source: Source | None = None
        if self._file(reader, path, at) is None:
            source = split(path, self._unrecorded(path))
        else:
            source = source_at(reader, path, at)
            stretches = reader.stretches(path, at)
            made = reader.created(stretches[-1]) or Seq(0)
            newest = next(reader.seqs(stretches[0]), made)
        assert source is not None, "`_file` has seen a text that is kept"
        found: list[BlamedNode] = []
        for node, (first, last) in zip(source.nodes, lines(source), strict=True):
            if node.kind is Kind.OPAQUE:
                seq = newest
            else:
                seq = (reader.last_edit(node.uid, at) if 0 < node.uid < SCRATCH_UID else None) or made
            found.append(BlamedNode(node.kind.value, address(path, node), first, last, node.uid, seq))
        return NodeBlame(path, at, tuple(found), _authors(reader, (row.seq for row in found)))

    async def cat(self, path: str, at: str, offset: int) -> Chunk:
        """Return a file's bytes from an offset on."""
        file, seq = checked(path), self.seq_of(at)
        return await self._read(lambda reader: self._cat(reader, file, seq, max(0, offset)))

    def _cat(self, reader: Reader, path: RepoPath, at: Seq, offset: int) -> Chunk:
        revision = self._file(reader, path, at, any_size=True)
        if revision is not None and revision.kind is FileKind.SYMLINK:
            return Chunk(revision.target[offset:], len(revision.target))
        if revision is not None and revision.kept:
            data = b"".join(node.text for node in reader.nodes(path, at))
            return Chunk(data[offset : offset + CHUNK_BYTES], len(data))
        if revision is not None and revision != reader.revision(path, reader.head):
            raise _not_kept(path, at)
        return self._present(path, offset)

    def _file(self, reader: Reader, path: RepoPath, at: Seq, *, any_size: bool = False) -> Revision | None:
        """Return a file's revision, None if the journal never met it (H2). Raises NotFound, NotKept."""
        revision = reader.revision(path, at)
        if revision is None:
            return None
        if revision.kind is FileKind.ABSENT:
            raise _absent(reader, path, at)
        if revision.kind is FileKind.DIR:
            raise NotFound(f"{path} is a folder at commit {at}; name a file in it.")
        if any_size:
            return revision
        if revision.kind is FileKind.SYMLINK:
            raise NotFound(f"{path} is a symbolic link at commit {at}; it has no lines.")
        if not revision.kept:
            raise _not_kept(path, at)
        return revision

    def _unrecorded(self, path: RepoPath) -> bytes:
        chunk = self._present(path, 0)
        if chunk.size_bytes > len(chunk.data):
            raise NotKept(f"{path} has {chunk.size_bytes} bytes, which is too large to be told by lines.")
        return chunk.data

    def _present(self, path: RepoPath, offset: int) -> Chunk:
        """Return bytes of the repository's file. Raises NotFound."""
        real = self._core.backing.at(path)
        try:
            if stat.S_ISLNK(os.lstat(real).st_mode):
                target = os.fsencode(os.readlink(real))
                return Chunk(target[offset:], len(target))
            with open(real, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                return Chunk(os.pread(file.fileno(), CHUNK_BYTES, offset), size)
        except IsADirectoryError:
            raise NotFound(f"{path} is a folder; name a file in it.") from None
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                f"There is no {path} in the repository, and no commit has ever changed it."
            ) from None
        except OSError as error:
            raise NotFound(f"{path} cannot be read in the repository: {error.strerror}.") from error

    # ---- marks

    def marks(self) -> Sequence[Mark]:
        """Return all marks."""
        return self._core.store.marks()

    def set_mark(self, name: str, at: str) -> Mark:
        """Give a commit a name."""
        made = Mark(mark_name(name), self.seq_of(at), time.time_ns())
        there = self._core.store.mark(name)
        if there is not None and there.seq != made.seq:
            raise Busy(
                f"{name} marks commit {there.seq} already; 'makfs mark --delete {name}' deletes that mark."
            )
        if there is not None:
            return there
        self._core.store.set_mark(made)
        return made

    async def delete_mark(self, name: str) -> Mark:
        """Forget a mark."""
        mark = self._core.store.mark(name)
        if mark is None:
            raise NotFound(f"There is no mark {name[:100]!r}; 'makfs mark --list' lists them.")
        self._core.store.delete_mark(name)
        await self._drop([f"@{name}"])
        return mark


def checked(path: str, *, root: bool = False) -> RepoPath:
    """Return a path from the repository's top. Raises BadName for what is none, or not the journal's."""
    parts = path.split("/")
    if root and not path:
        return RepoPath("")
    if "\0" in path or any(part in ("", ".", "..") for part in parts):
        raise BadName(f"{path[:200]!r} is not the path of a file in the repository.")
    if parts[0] == STATE_DIR or ".git" in parts:
        raise NotFound(f"{path} is not journaled; read it where it is.")
    return RepoPath(path)


def _authors(reader: Reader, seqs: Iterable[Seq]) -> tuple[Author, ...]:
    commits = [reader.commit(seq) for seq in sorted(set(seqs)) if seq]
    return tuple(
        Author(each.seq, each.agent, each.time_ns, each.program, each.pid, each.task) for each in commits
    )


def _absent(reader: Reader, path: RepoPath, at: Seq) -> NotFound:
    """Return the sentence for a file that is not there then: where it is, or went."""
    revision = reader.revision(path, at)
    if revision is not None and revision.seq:
        went = reader.went_to(path, revision.seq)
        if went is not None:
            return NotFound(f"There is no {path} at commit {at}: commit {revision.seq} moved it to {went}.")
        return NotFound(f"There is no {path} at commit {at}: commit {revision.seq} removed it.")
    return NotFound(f"There is no {path} at commit {at} yet.")


def _not_kept(path: RepoPath, at: Seq) -> NotKept:
    return NotKept(f"{path} at commit {at} was too large to keep; only its hash is known.")
