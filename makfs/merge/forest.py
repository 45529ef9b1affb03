"""Three versions of a file as trees over one set of uids: who is whose child, and in which order.

F1  A node that both sides added with the same place and name is one node here: mine takes head's uid.
F2  Every node of a version is listed once, as a child of its class or of the module (`ROOT`).
F3  What all three versions share at their beginning and end is left out, so that the cost is that of the
    changed stretch. It starts with a node of the module, so that every member has its class there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from makfs.syntax import base_of
from makfs.syntax.node import Kind, Node, Source

ROOT = 0


@dataclass(slots=True)
class Version:
    """One version of a file, indexed by uid. A class stands for its header; its members are its children."""

    node: dict[int, Node] = field(default_factory=dict)
    parent: dict[int, int] = field(default_factory=dict)
    children: dict[int, list[int]] = field(default_factory=dict)

    def name(self, uid: int) -> str:
        """Return the node's own name, without the number of a repeat; a header has its class's name."""
        return own_name(self.node[uid])


@dataclass(frozen=True, slots=True)
class Forest:
    """The changed stretch of three versions, between `before` and `after`, which are the same in all."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]
    base: Version
    mine: Version
    head: Version

    def is_still(self, uid: int) -> bool:
        """Tell whether a node is the same in all versions, place among its siblings aside."""
        base, mine, head = self.base.node.get(uid), self.mine.node.get(uid), self.head.node.get(uid)
        if base is None or mine is None or head is None:
            return False
        return (
            base.text == mine.text == head.text
            and base.name == mine.name == head.name
            and base.scope == mine.scope == head.scope
            and self.base.parent[uid] == self.mine.parent[uid] == self.head.parent[uid]
        )

    def uids(self) -> list[int]:
        """Return every uid once: head's in order, then mine's, then base's."""
        return list({**self.head.node, **self.mine.node, **self.base.node})


def own_name(node: Node) -> str:
    """Return a node's name without its scope and without the number of a repeat."""
    return base_of(node.scope.rpartition(".")[2] if node.kind is Kind.CLASS else node.name)


def plant(base: Source, mine: Source, head: Source) -> Forest:
    """Index three versions whose nodes carry aligned uids; 0 or a repeated uid counts as not matched."""
    sides = base.nodes, mine.nodes, head.nodes
    low, high = _shared(*sides)
    parts = [side[low : len(side) - high] for side in sides]
    uids = _number(parts)
    versions = [_version(part, numbers) for part, numbers in zip(parts, uids, strict=True)]
    return Forest(head.nodes[:low], head.nodes[len(head.nodes) - high :], *versions)


def _shared(base: Sequence[Node], mine: Sequence[Node], head: Sequence[Node]) -> tuple[int, int]:
    """Return how many nodes to leave out at the beginning and at the end (F3)."""
    room = min(len(base), len(mine), len(head))
    low = 0
    while low < room and _same(base[low], mine[low]) and _same(base[low], head[low]):
        low += 1
    while low and not all(low >= len(side) or _is_top(side[low]) for side in (base, mine, head)):
        low -= 1
    high, room = 0, room - low
    while high < room and _same(base[-1 - high], mine[-1 - high]) and _same(base[-1 - high], head[-1 - high]):
        high += 1
    return low, high


def _same(one: Node, other: Node) -> bool:
    return one is other or (
        one.uid == other.uid != 0
        and one.text == other.text
        and one.name == other.name
        and one.scope == other.scope
        and one.kind is other.kind
    )


def _is_top(node: Node) -> bool:
    """Tell whether a node stands at module level."""
    return not node.scope or (node.kind is Kind.CLASS and "." not in node.scope)


def _version(nodes: Sequence[Node], uids: Sequence[int]) -> Version:
    parents: dict[int, int] = {}
    children: dict[int, list[int]] = {}
    classes = {"": ROOT}
    for node, uid in zip(nodes, uids, strict=True):
        scope = node.scope
        if node.kind is Kind.CLASS:
            classes[scope] = uid
            scope = scope.rpartition(".")[0]
        parent = parents[uid] = classes.get(scope, ROOT)
        if parent in children:
            children[parent].append(uid)
        else:
            children[parent] = [uid]
    return Version(dict(zip(uids, nodes, strict=True)), parents, children)


def _number(parts: Sequence[Sequence[Node]]) -> list[list[int]]:
    """Return the uids to use: unmatched nodes get fresh negative numbers, twins one number (F1)."""
    fresh = -1
    numbered: list[list[int]] = []
    for nodes in parts:
        seen: set[int] = set()
        uids: list[int] = []
        for node in nodes:
            uid = int(node.uid)
            if uid <= 0 or uid in seen:
                uid, fresh = fresh, fresh - 1
            seen.add(uid)
            uids.append(uid)
        numbered.append(uids)
    known, taken = set(numbered[0]), set(numbered[1])
    twins: dict[tuple[str, str, bytes], list[int]] = {}
    for node, uid in zip(parts[2], numbered[2], strict=True):
        if uid not in known and uid not in taken:
            twins.setdefault(_place(node), []).append(uid)
    for index, node in enumerate(parts[1] if twins else ()):
        if numbered[1][index] not in known and (same := twins.get(_place(node))):
            numbered[1][index] = same.pop(0)
    return numbered


def _place(node: Node) -> tuple[str, str, bytes]:
    """Return what makes two added nodes one: the same name, or the same text where there is no name."""
    if node.name.startswith("#") and node.kind is not Kind.CLASS:
        return node.scope, base_of(node.name), node.core.rstrip()
    return node.scope, node.name, b""
