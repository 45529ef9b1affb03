"""From texts to nodes with identities, for the journal. The pure work is `makfs.syntax`'s."""

from dataclasses import dataclass

from makfs.engine.core import Core
from makfs.engine.files import File
from makfs.errors import NotKept
from makfs.ids import NodeUid
from makfs.store.model import NodeEdit, NodeText
from makfs.syntax import address, diff, identify, is_source, restore
from makfs.syntax.node import NodeChange, Source


@dataclass(frozen=True, slots=True)
class Revised:
    """A new text of a file as the journal wants it."""

    texts: tuple[NodeText, ...]
    edits: tuple[NodeEdit, ...]
    source: Source | None
    next_uid: int
    changes: tuple[NodeChange, ...] | None  # None: not known node by node


def head_source(core: Core, file: File, head: bytes) -> tuple[Source, int]:
    """Return the head's nodes with their identities, parsed now if they are not cached."""
    if file.source is not None:
        return file.source, core.next_uid
    if file.version > 0:
        try:
            stored = core.store.nodes(file.path)
        except NotKept:  # it was damaged
            stored = ()
        if b"".join(node.text for node in stored) == head:
            return restore(file.path, [(node.uid, node.text) for node in stored], core.next_uid)
    return identify(file.path, None, head, core.next_uid)


def revise(core: Core, file: File, head: bytes, result: bytes) -> Revised:
    """Return the nodes of `result` and how they differ from the head's.

    A file's first version is not parsed: it is one text without identity until somebody edits it or asks.
    """
    if not head or not is_source(file.path):
        texts: tuple[NodeText, ...] = (NodeText(NodeUid(0), result),) if result else ()
        edit = NodeEdit(file.path, "edit" if head else "add", "opaque", file.path, NodeUid(0), head, result)
        return Revised(texts, (edit,) if head else (), None, core.next_uid, None)
    prior, next_uid = head_source(core, file, head)
    source, next_uid = identify(file.path, prior, result, next_uid)
    texts = tuple(NodeText(node.uid, node.text) for node in source.nodes)
    changes = diff(prior, source)
    return Revised(texts, tuple(_edit(file, change) for change in changes), source, next_uid, changes)


def _edit(file: File, change: NodeChange) -> NodeEdit:
    node = change.after or change.before
    assert node is not None
    before, after = change.before, change.after
    old = ""
    if before is not None and after is not None and before.qualname != after.qualname:
        old = address(file.path, before)
    return NodeEdit(
        file.path,
        change.op.value,
        node.kind.value,
        address(file.path, node),
        node.uid,
        before.text if before else None,
        after.text if after else None,
        old,
    )
