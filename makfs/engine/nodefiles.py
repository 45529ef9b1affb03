"""Nodes as files: `.makfs/nodes/PATH/QUALNAME`. Writing one edits its file, and nothing else in it.

N1  The base of the edit is the file as it was when the node was opened: so it merges, waits for locks and is
    refused as any write. It is committed at close(2) and fsync(2), and only if something was written.
N2  A node that was emptied and not written stays as it was: a program that failed has written nothing. A
    blank line in its place removes it.
N3  Who writes a node has not read the file: what it is believed to know of the file grows by the node alone.
N4  Blank lines before a node stay unless its new text begins with some: a function begins with `def`.
"""

import errno
import os
import re
import time
from typing import NoReturn

from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.edit import Edit
from makfs.engine.effects import Effects
from makfs.engine.files import Belief, File, OwnText
from makfs.engine.inodes import Inode
from makfs.engine.names import oserror
from makfs.engine.patience import Patience
from makfs.engine.procs import NOBODY, Caller
from makfs.engine.reasons import clock
from makfs.engine.sources import Sources
from makfs.engine.views import View
from makfs.merge import Conflict, merge_file
from makfs.syntax import MAX_BYTES

_BLANK = re.compile(rb"(?:[ \t]*\r?\n)+")


class NodeFiles:
    """Opens nodes for writing and commits them."""

    def __init__(self, core: Core, sources: Sources, corridor: Corridor, patience: Patience) -> None:
        self.core = core
        self._sources = sources
        self._corridor = corridor
        self._patience = patience
        self.writing: dict[Inode, NodeHandle] = {}  # what their view sees of nodes not committed yet

    def open(self, inode: Inode, path: str, qualname: str, flags: int, caller: Caller) -> "NodeHandle":
        """Open a node. Raises ENOENT, EBUSY."""
        view = inode.view
        nodes = self._sources.nodes(view, path)
        if qualname not in nodes:
            raise oserror(errno.ENOENT, qualname)
        staged = self._sources.staged(view, path)
        if staged is not None and staged.staging is not None and staged.staging.new:
            view.why = (
                f"{path} is being made and not committed yet: its nodes can be written when it is closed."
            )
            raise oserror(errno.EBUSY, path)
        at = list(nodes).index(qualname)
        texts = [node.text for node in nodes.values()]
        parts = b"".join(texts[:at]), texts[at], b"".join(texts[at + 1 :])
        return NodeHandle(self, inode, f"{path}::{qualname}", path, parts, flags, caller.tid)

    async def commit(self, view: View, path: str, base: bytes, text: bytes, tid: int, by: int) -> None:
        """Carry an edit through the corridor, waiting for locks. Raises Refused, StoreFull, OSError."""
        writer = self.core.procs.writer(by) if by else NOBODY
        edit = Edit(view, path, text, OwnText(base), writer, time.time_ns())
        await self._patience.carry_out(
            view, lambda effects: self._put(edit, base, effects), self._patience.wait_s, tid
        )
        view.active()

    def _put(self, edit: Edit, base: bytes, effects: Effects) -> None:
        file = self.core.file(edit.path)
        keys = [(edit.view.number, edit.writer.pid), (edit.view.number, 0)]
        before = [(key, file.beliefs.get(key)) for key in keys]
        known = [(key, belief, self.core.belief_text(file, belief)) for key, belief in before]
        self._corridor.put(edit, effects)
        for key, belief, text in known:
            self._believe(file, key, belief, text, base, edit.data)

    @staticmethod
    def _believe(
        file: File, key: tuple[int, int], belief: Belief, text: bytes | None, base: bytes, mine: bytes
    ) -> None:
        """Say what a process knows of the file that has just written a node of it (N3)."""
        if belief is None:
            file.beliefs.pop(key, None)
        elif text is None:
            file.beliefs[key] = belief
        elif text != base:
            merged = merge_file(file.path, base, mine, text)
            file.beliefs[key] = belief if isinstance(merged, Conflict) else OwnText(merged.text)


class NodeHandle:
    """A node opened for writing: its own bytes, between what stands before and behind it in the file."""

    def __init__(
        self,
        room: NodeFiles,
        inode: Inode,
        address: str,
        path: str,
        parts: tuple[bytes, bytes, bytes],
        flags: int,
        tid: int,
    ) -> None:
        self.inode = inode
        self._room = room
        self._address = address
        self._path = path
        self._before, self._base, self._behind = parts
        self._append = bool(flags & os.O_APPEND)
        self._tid = tid
        self._wrote = False
        self._emptied = False
        self.data = bytearray(self._base)
        if flags & os.O_TRUNC:
            self.truncate(0)

    def read(self, offset: int, size: int) -> bytes:
        """Return the node's bytes as they were at open, and as written since."""
        return bytes(self.data[offset : offset + size])

    async def write(self, offset: int, data: bytes) -> int:
        """Take bytes. Raises EFBIG."""
        at = len(self.data) if self._append else offset
        self._check_size(at + len(data))
        if at > len(self.data):
            self.data.extend(bytes(at - len(self.data)))
        self.data[at : at + len(data)] = data
        self._changed(wrote=True)
        return len(data)

    def truncate(self, size: int) -> None:
        """Cut the node, or extend it with zeros. Emptying it alone commits nothing (N2). Raises EFBIG."""
        self._check_size(size)
        if size <= len(self.data):
            del self.data[size:]
        else:
            self.data.extend(bytes(size - len(self.data)))
        self._emptied = size == 0
        self._changed(wrote=size > 0)

    async def flush(self, tid: int = 0) -> None:
        """Commit what was written (N1). Raises Refused, OSError."""
        if not self._wrote:
            return
        self._wrote = self._emptied = False
        text = self._ended(bytes(self.data))
        try:
            if text != self._base:
                await self._commit(text, tid)
                self._base = text
        finally:
            if not self._wrote:
                self._room.writing.pop(self.inode, None)

    async def _commit(self, text: bytes, tid: int) -> None:
        before, behind = self._before, self._behind
        await self._room.commit(
            self.inode.view, self._path, before + self._base + behind, before + text + behind, tid, self._tid
        )

    def _ended(self, text: bytes) -> bytes:
        """Return the text with the blank lines before it (N4), and the line end that it needs behind it."""
        if not _BLANK.match(text):
            blank = _BLANK.match(self._base)
            text = (blank.group() if blank else b"") + text
        if not self._behind or text.endswith((b"\n", b"\r")):
            return text
        return text + (b"\r\n" if self._base.endswith(b"\r\n") else b"\n")

    def close(self) -> None:
        """Let it go, and say if it was emptied for nothing (N2)."""
        if self._room.writing.get(self.inode) is self:
            del self._room.writing[self.inode]
        if self._emptied and self._base:
            locks = self._room.core.locks
            locks.tell(
                self.inode.view.agent,
                f"{clock(locks.now_ns())}: {self._address} was emptied and nothing was written into it, so "
                "it stays as it was. To remove it, write a blank line into it.",
            )

    def _changed(self, *, wrote: bool) -> None:
        self._wrote = wrote
        self._room.writing[self.inode] = self

    def _check_size(self, size: int) -> None:
        if size > MAX_BYTES:
            self._refuse_size(size)

    def _refuse_size(self, size: int) -> NoReturn:
        self.inode.view.why = (
            f"{self._address} was not written: {size} bytes are more than the {MAX_BYTES} of a source file."
        )
        raise oserror(errno.EFBIG, self._path)
