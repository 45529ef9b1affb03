"""What a write that is not finished will change, whatever follows, if its client writes in order.

Looked at is what was written, and before it what was there: what is behind may all be written over.

F1  A node is named only if no later byte can give it its old text back: another node follows it, or what is
    there of it is not the beginning of what it was.
F2  One whose layout alone would change is not named: that may be left out of the commit (`engine.reformat`).
"""

from collections.abc import Sequence

from makfs.engine.core import Core
from makfs.engine.files import File
from makfs.engine.held import Needs
from makfs.engine.needs import needs_of_changes
from makfs.engine.nodes import head_source
from makfs.engine.reformat import is_layout, without_layout
from makfs.ids import NodeUid
from makfs.syntax import identify, is_source
from makfs.syntax.node import Node, NodeChange, Op

_CONTEXT_BYTES = (200, 40, 1)  # of lines by which a place in the base is known


def certain_needs(core: Core, file: File, base: bytes, written: bytes) -> Needs:
    """Return what must be locked for what has been written so far of a text that was `base` (F1)."""
    if base.startswith(written):
        return Needs()
    if not is_source(file.path):
        return needs_of_changes(file.path, None)
    if file.source is None:
        source, core.next_uid = head_source(core, file, core.head_text(file.path))
        core.remember(file, source)
    old, uid = identify(file.path, file.source, base, core.next_uid)
    text = _continued(base, written)
    so_far, _ = identify(file.path, old, text, uid)
    if old.valid and not so_far.valid and text != written:
        return Needs()
    place = {node.uid: at for at, node in enumerate(old.nodes)}
    reached = _reached(place, old.nodes, so_far.nodes, len(written))
    changes: list[NodeChange] = []
    for at, node in enumerate(so_far.nodes):
        was, is_last = old.nodes[place[node.uid]] if node.uid in place else None, at + 1 == len(so_far.nodes)
        if was is not None and was.qualname != node.qualname and place[was.uid] > reached:
            was = None  # a new node before an old one that it resembles and that may still come
        if is_last and (was is None or was.text.startswith(node.text) or not so_far.valid):
            continue
        if was is None:
            changes.append(NodeChange(Op.ADD, None, node))
        elif was.text != node.text and not _may_be_layout(was, node, is_last):
            space = was.core == node.core
            changes.append(NodeChange(Op.SPACE if space else Op.EDIT, was, node))
    return needs_of_changes(file.path, changes)


def _reached(
    place: dict[NodeUid, int], old: Sequence[Node], so_far: Sequence[Node], written_bytes: int
) -> int:
    """Return the place in the old text of the last node that was written as it was, -1 if there is none."""
    found, end = -1, 0
    for node in so_far:
        end += len(node.text)
        if end > written_bytes:
            break
        at = place.get(node.uid, -1)
        if at > found and old[at].text == node.text:
            found = at
    return found


def _continued(base: bytes, written: bytes) -> bytes:
    """Return what was written, with the rest of the base if it is plain where the writer is in it.

    So only what was changed is parsed, not all that was written. Cost: a search for the last lines.
    """
    end = written.rfind(b"\n") + 1
    for context_bytes in _CONTEXT_BYTES:
        last = written[written.rfind(b"\n", 0, max(0, end - context_bytes)) + 1 : end]
        at = base.find(last)
        if last and at >= 0 and base.find(last, at + 1) < 0:
            rest = base[at + len(last) :]
            return written[:end] + rest if rest.startswith(written[end:]) else written
    return written


def _may_be_layout(was: Node, node: Node, is_last: bool) -> bool:
    """Tell whether a formatter may have made one of the other, which may not all be there yet (F2).

    What differs in more than quotes, commas, parentheses and spaces is told at once.
    """
    old, new = without_layout(was), without_layout(node)
    if is_last:
        return was.qualname == node.qualname and old.startswith(new)
    return old == new and is_layout(NodeChange(Op.EDIT, was, node))
