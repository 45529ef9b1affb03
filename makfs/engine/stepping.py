"""The log of a node or a file: one step a commit, newest first. Works on a reader of the store."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from makfs.engine.historyapi import NodeStep
from makfs.engine.tracing import (
    Traced,
    created,
    edits_of,
    meant,
    removed,
    split_address,
    stretches_of,
    trace,
)
from makfs.errors import NotFound
from makfs.ids import RepoPath, Seq
from makfs.store.model import Commit, LogQuery, NodeEdit, Stretch
from makfs.store.protocol import Reader

FILE_OP = "file"  # the file was renamed, with the node in it


@dataclass(slots=True)
class _Steps:
    """One node's log while it is read."""

    reader: Reader
    traced: Traced
    before: Seq
    names: dict[int, str] = field(default_factory=dict)  # uid -> its name at the step read last
    kinds: dict[int, str] = field(default_factory=dict)
    added: set[int] = field(default_factory=set)

    def read(self) -> Iterator[NodeStep]:
        """Yield the steps."""
        self.names = {node.uid: node.qualname for node in self.traced.nodes}
        self.kinds = {node.uid: node.kind.value for node in self.traced.nodes}
        merged = heapq.merge(self._edits(), self._files(), key=lambda each: each[:2], reverse=True)
        oldest: Seq | None = None
        for seq, _, what in merged:
            oldest = seq
            steps = self._node_step(seq, what) if isinstance(what, NodeEdit) else self._file_step(seq, what)
            yield from (step for step in steps if seq < self.before)
        if len(self.added) < len(self.traced.uids) or oldest is None:
            yield from self._creation()

    def _node_step(self, seq: Seq, edit: NodeEdit) -> Iterator[NodeStep]:
        self.kinds[edit.uid] = edit.kind
        self.names[edit.uid] = split_address(edit.old_address or edit.address)[1]
        if edit.op == "add":
            self.added.add(edit.uid)
        yield NodeStep(self.reader.commit(seq), edit.op, edit.kind, edit.address, edit.old_address, (edit,))

    def _edits(self) -> Iterator[tuple[Seq, int, NodeEdit | Stretch]]:
        for seq, edit in edits_of(self.reader, self.traced, Seq(self.reader.head + 1)):
            yield seq, 1, edit

    def _files(self) -> Iterator[tuple[Seq, int, NodeEdit | Stretch]]:
        stretches = self.traced.stretches
        gone = removed(self.reader, stretches[0]) if stretches else None
        if gone is not None:
            yield gone, 0, stretches[0]
        for stretch in stretches:
            if stretch.came_from is not None:
                yield stretch.first, 0, stretch

    def _file_step(self, seq: Seq, stretch: Stretch) -> Iterator[NodeStep]:
        """Yield what a commit did to the file, if the node was in it."""
        there = [uid for uid in self.traced.uids if uid not in self.added]
        if not there:
            return
        name = self.names.get(min(there), self.traced.qualname) if len(there) == 1 else self.traced.qualname
        kind = self.kinds.get(min(there), "") if len(there) == 1 else "class"
        address = f"{stretch.path}::{name}"
        commit = self.reader.commit(seq)
        if seq != stretch.first:
            yield NodeStep(commit, "delete", kind, address, "", ())
        else:
            yield NodeStep(commit, FILE_OP, kind, address, f"{stretch.came_from}::{name}", ())

    def _creation(self) -> Iterator[NodeStep]:
        names = [self.names.get(uid, "") for uid in self.traced.uids if uid not in self.added]
        found = created(self.reader, self.traced, [*names, *([] if names else [self.traced.qualname])])
        if found is None:
            return
        seq, edits = found
        if seq >= self.before:
            return
        commit = self.reader.commit(seq)
        for edit in edits:
            yield NodeStep(commit, edit.op, edit.kind, edit.address, "", (edit,))


def node_steps(reader: Reader, address: str, limit: int, before: Seq) -> list[NodeStep]:
    """Return the log of a node, a class or a file. Raises NotFound."""
    path, qualname = meant(reader, address)
    if qualname:
        return list(islice(_Steps(reader, trace(reader, path, qualname), before).read(), limit))
    return list(islice(_file_steps(reader, path, before), limit))


def _file_steps(reader: Reader, path: RepoPath, before: Seq) -> Iterator[NodeStep]:
    stretches = stretches_of(reader, path)
    if not stretches:
        raise NotFound(f"No commit has changed {path or 'that'}; 'makfs log' lists what was changed.")
    for stretch in stretches:
        for seq in reader.seqs(stretch):
            if seq < before:
                yield _file_step(reader, stretch, seq)


def _file_step(reader: Reader, stretch: Stretch, seq: Seq) -> NodeStep:
    detail = reader.detail(seq)
    here = reader.revision(stretch.path, seq)
    was = reader.revision(stretch.path, Seq(seq - 1))
    edits = tuple(edit for edit in detail.edits if edit.path == stretch.path)
    old = detail.moved.get(stretch.path, "")
    if old:
        op = FILE_OP
    elif here is not None and here.kind.value == "absent":
        op = "delete"
    else:
        op = "add" if was is None or was.kind.value == "absent" else "edit"
    kind = here.kind.value if here is not None and here.kind.value != "absent" else "file"
    return NodeStep(detail.commit, op, kind, stretch.path, old, edits)


def log_of_address(reader: Reader, query: LogQuery, address: str) -> list[Commit]:
    """Return the commits of what an address means, newest first, that the query's other filters let through.

    Raises NotFound.
    """
    path, qualname = meant(reader, address)
    before = query.before if query.before is not None else Seq(reader.head + 1)
    if qualname:
        traced = trace(reader, path, qualname)
        seqs = _once(_seqs_of(reader, traced, before))
    else:
        seqs = (seq for stretch in stretches_of(reader, path) for seq in reader.seqs(stretch) if seq < before)
    commits = (commit for seq in seqs if _passes(commit := reader.commit(seq), query))
    return list(islice(commits, query.limit))


def _seqs_of(reader: Reader, traced: Traced, before: Seq) -> Iterator[Seq]:
    return (step.commit.seq for step in _Steps(reader, traced, before).read())


def _once(seqs: Iterator[Seq]) -> Iterator[Seq]:
    last: Seq | None = None
    for seq in seqs:
        if seq != last:
            yield seq
        last = seq


def _passes(commit: Commit, query: LogQuery) -> bool:
    return (
        (query.agent is None or commit.agent == query.agent)
        and (query.program is None or commit.program == query.program)
        and (query.task is None or commit.task == query.task)
        and (query.since_ns is None or commit.time_ns >= query.since_ns)
        and (query.until_ns is None or commit.time_ns <= query.until_ns)
    )
