"""A formatter at work on a file in which another agent holds nodes: its layout of those is left out."""

from collections.abc import Collection, Sequence
from dataclasses import replace

from makfs.engine.core import Core
from makfs.engine.files import File
from makfs.engine.held import Needs
from makfs.engine.needs import needs_of_changes
from makfs.engine.nodes import Revised, revise
from makfs.ids import Address
from makfs.syntax.meaning import same_meaning
from makfs.syntax.node import Node, NodeChange, Op

_ENDS = (b"\n", b"\r")
_LAYOUT = b" \t\r\n\f\\\"'(),;"  # what formatters add and take away


def without_reformatting(
    core: Core, file: File, head: bytes, revised: Revised, lacking: Collection[Address]
) -> Revised | None:
    """Return the new text with the old text of those nodes that may not change, if only their layout would.

    None if any of them changes in more. Cost: parses what it compares.
    """
    if revised.changes is None or revised.source is None:
        return None
    back: dict[int, Node] = {}
    for change in revised.changes:
        needs = needs_of_changes(file.path, (change,))
        if lacking and not set(needs.all_writes).isdisjoint(lacking):
            if not is_layout(change):
                return None
            assert change.after is not None
            assert change.before is not None
            back[change.after.uid] = change.before
    if not back:
        return None
    texts = [
        _put_back(back[node.uid], node) if node.uid in back else node.text for node in revised.source.nodes
    ]
    return revise(core, file, head, b"".join(texts))


def lease_less(path: str, changes: Sequence[NodeChange] | None, needs: Needs) -> Needs:
    """Return what a write needs, nodes of which the layout alone changes being locked for the commit alone.

    Who formats a file does not work at all that is in it. Cost: parses what only its layout may tell apart.
    """
    light: set[Address] = set()
    for change in changes or ():
        if _looks_like_layout(change) and is_layout(change):
            light.update(needs_of_changes(path, (change,)).writes)
    if not light:
        return needs
    writes = tuple(address for address in needs.writes if address not in light)
    return replace(needs, writes=writes, joins=(*needs.joins, *sorted(light)))


def _looks_like_layout(change: NodeChange) -> bool:
    before, after = change.before, change.after
    if before is None or after is None:
        return False
    return without_layout(before) == without_layout(after)


def without_layout(node: Node) -> bytes:
    """Return what formatters leave of a node's text, but for what they change in strings and numbers."""
    return node.core.translate(None, _LAYOUT).lower()


def is_layout(change: NodeChange) -> bool:
    """Tell whether an edit changes nothing of a node but its layout. Cost: parses both texts."""
    before, after = change.before, change.after
    if change.op is not Op.EDIT or before is None or after is None or before.qualname != after.qualname:
        return False
    return same_meaning(before.text, after.text)


def _put_back(before: Node, after: Node) -> bytes:
    """Return the old text, with a final newline if the new one has one: another node may follow."""
    if after.text.endswith(_ENDS) and not before.text.endswith(_ENDS):
        return before.text + (b"\r\n" if after.text.endswith(b"\r\n") else after.text[-1:])
    return before.text
