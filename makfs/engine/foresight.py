"""What a write that is not finished will change, whatever follows, if its client writes in order.

F1  A node is named only if no later byte can give it its old text back: another node follows it, or what is
    there of it is not the beginning of what it was.
F2  One whose layout alone would change is not named: that may be left out of the commit (`engine.reformat`).
"""

from makfs.engine.core import Core
from makfs.engine.files import File
from makfs.engine.locking import Needs
from makfs.engine.needs import needs_of_changes
from makfs.engine.nodes import head_source
from makfs.engine.reformat import is_layout
from makfs.syntax import identify, is_source
from makfs.syntax.node import NodeChange, Op


def certain_needs(core: Core, file: File, base: bytes, written: bytes) -> Needs:
    """Return what must be locked for what has been written so far of a text that was `base` (F1)."""
    if base.startswith(written):
        return Needs()
    if not is_source(file.path):
        return needs_of_changes(file.path, None)
    head, uid = head_source(core, file, core.head_text(file.path))
    old, uid = identify(file.path, head, base, uid)
    so_far, _ = identify(file.path, old, written, uid)
    before = {node.uid: node for node in old.nodes}
    changes: list[NodeChange] = []
    for at, node in enumerate(so_far.nodes):
        was = before.get(node.uid)
        if was is None:
            if at + 1 < len(so_far.nodes):
                changes.append(NodeChange(Op.ADD, None, node))
        elif was.text != node.text and (at + 1 < len(so_far.nodes) or not was.text.startswith(node.text)):
            space = was.core == node.core
            changes.append(NodeChange(Op.SPACE if space else Op.EDIT, was, node))
    return needs_of_changes(file.path, [change for change in changes if not is_layout(change)])
