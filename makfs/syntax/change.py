"""How two versions of a file differ, node by node; and how people name a node or find its lines."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from makfs.ids import Address, NodeUid
from makfs.syntax.layout import is_blank
from makfs.syntax.naming import outer_scope, own_base
from makfs.syntax.node import Kind, Node, NodeChange, Op, Source

_ENDS = (b"", b"\n", b"\r\n", b"\r")


def diff(prior: Source | None, new: Source) -> tuple[NodeChange, ...]:
    """Return what differs, by uid: changes and additions in the new order, then deletions in the old.

    One change for each node. RENAME goes before EDIT, EDIT before MOVE, MOVE before SPACE: an edited node
    that moved is an EDIT. A class that moves is one MOVE: its members keep their places in it. A new number
    behind a repeated name is no change, nor is a member's scope when only its class was renamed. A final
    newline gained or lost is SPACE.
    """
    before = prior.nodes if prior else ()
    low, high = equal_ends(before, new.nodes)
    old, now = before[low : len(before) - high], new.nodes[low : len(new.nodes) - high]
    if not old and not now:
        return ()
    by_uid = {node.uid: index for index, node in enumerate(old)}
    scopes = _renamed_scopes(old, now, by_uid)
    still = _in_order(old, now, by_uid, scopes)
    changes: list[NodeChange] = []
    for node in now:
        index = by_uid.pop(node.uid, None)
        if index is None:
            changes.append(NodeChange(Op.ADD, None, node))
        else:
            op = _op(old[index], node, index not in still, scopes)
            if op is not None:
                changes.append(NodeChange(op, old[index], node))
    changes.extend(NodeChange(Op.DELETE, old[index], None) for index in sorted(by_uid.values()))
    return tuple(changes)


def equal_ends(old: Sequence[Node], new: Sequence[Node]) -> tuple[int, int]:
    """Return how many nodes at the beginning and at the end are the same, uid and all."""
    low, most = 0, min(len(old), len(new))
    while low < most and (old[low] is new[low] or old[low] == new[low]):
        low += 1
    high, most = 0, most - low
    while high < most and (old[-1 - high] is new[-1 - high] or old[-1 - high] == new[-1 - high]):
        high += 1
    return low, high


def longest_increasing(values: Sequence[int]) -> list[int]:
    """Return a longest increasing subsequence of distinct numbers. Cost: n log n (patience sorting)."""
    tails: list[int] = []  # smallest last value of a subsequence of each length
    tail_at: list[int] = []
    link: list[int] = []
    for at, value in enumerate(values):
        place = bisect_left(tails, value)
        link.append(tail_at[place - 1] if place else -1)
        tails[place : place + 1] = [value]
        tail_at[place : place + 1] = [at]
    chain: list[int] = []
    at = tail_at[-1] if tail_at else -1
    while at >= 0:
        chain.append(values[at])
        at = link[at]
    return chain[::-1]


def _renamed_scopes(
    old: Sequence[Node], now: Iterable[Node], by_uid: Mapping[NodeUid, int]
) -> dict[str, str]:
    """Return the new scope of each old one whose class is in both versions."""
    scopes: dict[str, str] = {}
    for node in now:
        if node.kind is Kind.CLASS and node.uid in by_uid:
            scopes[old[by_uid[node.uid]].scope] = node.scope
    return scopes


def _in_order(
    old: Sequence[Node], now: Iterable[Node], by_uid: Mapping[NodeUid, int], scopes: Mapping[str, str]
) -> set[int]:
    """Return the old places of nodes that kept their order among their siblings."""
    siblings: dict[str, list[int]] = defaultdict(list)
    for node in now:
        index = by_uid.get(node.uid)
        if index is not None:
            around = outer_scope(old[index])
            if scopes.get(around, around) == outer_scope(node):
                siblings[outer_scope(node)].append(index)
    return {index for order in siblings.values() for index in longest_increasing(order)}


def _op(old: Node, new: Node, moved: bool, scopes: Mapping[str, str]) -> Op | None:
    """Return how one node differs, None if it does not."""
    if _is_renamed(old, new, scopes):
        return Op.RENAME
    if old.text == new.text and old.kind is new.kind:
        return Op.MOVE if moved else None
    if old.kind is not new.kind or not only_space_differs(old, new):
        return Op.EDIT
    return Op.MOVE if moved else Op.SPACE


def _is_renamed(old: Node, new: Node, scopes: Mapping[str, str]) -> bool:
    if old.qualname == new.qualname:
        return False
    around = outer_scope(old)
    return own_base(old)[1] != own_base(new)[1] or scopes.get(around, around) != outer_scope(new)


def only_space_differs(old: Node, new: Node) -> bool:
    """Tell whether two texts of a node differ in nothing but blank lines of the lead and the final EOL."""
    one, other = sorted((old.core, new.core), key=len)
    if not other.startswith(one) or other[len(one) :] not in _ENDS:
        return False
    return _lead_comments(old) == _lead_comments(new)


def _lead_comments(node: Node) -> list[bytes]:
    lead = node.text[: node.lead_bytes].splitlines()
    return [line for line in lead if not is_blank(line)]


def lines(source: Source) -> tuple[tuple[int, int], ...]:
    """Return the first and last line of each node, counted from 1."""
    spans: list[tuple[int, int]] = []
    at = 1
    for node in source.nodes:
        count = len(node.text.splitlines())
        spans.append((at, at + max(count, 1) - 1))
        at += count
    return tuple(spans)


def address(path: str, node: Node) -> Address:
    """Return the node's name for people: `path::Class.method`; an opaque node is the file itself."""
    return Address(path) if node.kind is Kind.OPAQUE else Address(f"{path}::{node.qualname}")
