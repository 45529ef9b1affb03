"""Which addresses a write changes: what must be locked for it.

N1  Every node that differs is named, by its old and its new name, a renamed class with all in it; text
    that does not parse needs every node it stands in for, itself only if it stands in for none. Blank lines
    alone need nothing.
N2  Imports, and comments at a file's end, are locked for the commit alone: everybody adds to them.
"""

from collections.abc import Iterable, Sequence

from makfs.engine.held import Needs
from makfs.ids import Address, RepoPath
from makfs.locks import BadAddress, file_address, folder_address, lineage, node_address
from makfs.syntax.node import Kind, Node, NodeChange, Op

_EVERYBODYS = frozenset({Kind.IMPORTS, Kind.TAIL})


def address_of(path: str, node: Node) -> Address:
    """Return the address by which a node is locked; a name that cannot be one is the file's."""
    whole = file_address(RepoPath(path))
    if node.kind is Kind.OPAQUE:
        return whole
    address = node_address(RepoPath(path), node.qualname)
    try:
        lineage(address)
    except BadAddress:
        return whole
    return address


def needs_of_changes(path: str, changes: Sequence[NodeChange] | None) -> Needs:
    """Return what a new text of a file needs, None meaning that it is not known node by node (N1, N2)."""
    if changes is None:
        return Needs(writes=(file_address(RepoPath(path)),))
    writes: dict[Address, None] = {}
    joins: dict[Address, None] = {}
    for change in changes:
        if change.op is Op.SPACE:
            continue
        for side in filter(None, (change.before, change.after)):
            for node in side.covered or (side,):
                found = joins if node.kind in _EVERYBODYS else writes
                found[address_of(path, node)] = None
        writes.update(dict.fromkeys(_renamed_classes(path, change)))
    return Needs(tuple(writes), tuple(joins))


def _renamed_classes(path: str, change: NodeChange) -> tuple[Address, ...]:
    """Return the old and the new name of a class that a change renames: all in it is renamed with it."""
    before, after = change.before, change.after
    if before is None or after is None or before.scope == after.scope:
        return ()
    if not before.kind is after.kind is Kind.CLASS:
        return ()
    return tuple(node_address(RepoPath(path), each.scope) for each in (before, after))


def needs_of_names(files: Iterable[str] = (), folders: Iterable[str] = ()) -> Needs:
    """Return what making, moving or removing names needs; a folder stands for all below it.

    A folder is locked for the commit alone: two agents who have made one both put files into it.
    """
    writes = tuple(file_address(RepoPath(path)) for path in files)
    joins: list[Address] = []
    for path in folders:
        joins += [file_address(RepoPath(path)), folder_address(RepoPath(path))]
    return Needs(writes, tuple(joins))


def needs_of_attributes(path: str, *, is_dir: bool) -> Needs:
    """Return what a change of mode, owner, times or extended attributes needs."""
    if not path:
        return Needs(touches=(Address(""),))
    return Needs(touches=(folder_address(RepoPath(path)) if is_dir else file_address(RepoPath(path)),))
