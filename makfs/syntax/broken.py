"""Text that does not parse, on a known base: keep every node whose bytes are still there.

B1  The nodes tile the text, and at least one is broken.
B2  A node whose exact bytes stand where they stood, among its neighbours, stays the node it was.
B3  What a broken node covers is not in the text otherwise; a uid is never both alive and covered.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from makfs.ids import NodeUid
from makfs.syntax.change import longest_increasing
from makfs.syntax.naming import outer_scope
from makfs.syntax.node import Kind, Node
from makfs.syntax.window import Touched, WindowDoesNotParse, scopes_after, split_inside, starts_line


@dataclass(slots=True)
class Part:
    """A stretch of the new text: one kept node (`kept`), or a gap that replaces the nodes `olds`."""

    olds: list[Node]
    text: bytes
    kept: bool
    news: list[Node]  # what a gap was split into; one broken node if it does not parse


def draft(nodes: Sequence[Node], text: bytes, place: Touched, encoding: str | None) -> list[Part]:
    """Return the parts of a text that does not parse, in order; they tile it, and one has a broken node."""
    parts = [Part([node], node.text, True, [node]) for node in nodes[: place.low]]
    parts += _find_again(nodes[place.low : place.high], text[place.begin : place.end])
    parts += [Part([node], node.text, True, [node]) for node in nodes[place.high :]]
    before: list[Node] = []
    for part in parts:
        if not part.kept:
            part.news = _split_gap(part, before, encoding)
        before.extend(part.news)
    if not any(node.kind is Kind.BROKEN for part in parts for node in part.news):
        _break_one(parts)
    return [part for part in parts if part.text or part.olds]


def _find_again(olds: Sequence[Node], text: bytes) -> list[Part]:
    """Find nodes by their exact bytes in the touched stretch: those that occur once, in their order."""
    places = dict(_places(olds, text))
    order = sorted(places, key=lambda index: (places[index], index))
    kept = longest_increasing(order)
    parts: list[Part] = []
    index = at = 0
    for found in kept:
        if places[found] < at:
            continue  # it overlaps the one before
        parts.append(Part(list(olds[index:found]), text[at : places[found]], False, []))
        parts.append(Part([olds[found]], olds[found].text, True, [olds[found]]))
        index, at = found + 1, places[found] + len(olds[found].text)
    parts.append(Part(list(olds[index:]), text[at:], False, []))
    return [part for part in parts if part.olds or part.text]


def _places(olds: Sequence[Node], text: bytes) -> Iterator[tuple[int, int]]:
    """Yield (index, place) of each node whose bytes occur once, as whole lines."""
    once: dict[bytes, int] = {}
    for index, node in enumerate(olds):
        once[node.text] = -1 if node.text in once else index
    for content, index in once.items():
        if index < 0 or not content.strip():
            continue
        at = text.find(content)
        if at < 0 or text.find(content, at + 1) >= 0:
            continue
        if starts_line(text, at) and starts_line(text, at + len(content)):
            yield index, at


def _split_gap(part: Part, before: list[Node], encoding: str | None) -> list[Node]:
    """Return a gap's nodes: those it parses to in its place, else one broken node."""
    if not part.text:
        return []
    scopes = scopes_after(before)
    for scope in scopes:
        try:
            found = split_inside(before, scope, len(before), part.text, encoding)
        except WindowDoesNotParse:
            continue
        if found is not None:
            return found
    return [_broken(part, scopes[0])]


def _broken(part: Part, scope: str) -> Node:
    """Return the broken node for a gap; it stands in the class of the first node it replaces."""
    if part.olds:
        scope = outer_scope(part.olds[0])
    return Node(Kind.BROKEN, scope, "#broken", part.text)


def _break_one(parts: list[Part]) -> None:
    """Make one gap broken though it parses by itself: together with its neighbours it does not."""
    at = next(index for index, part in enumerate(parts) if not part.kept)
    if not parts[at].text:
        neighbour = at + 1 if at + 1 < len(parts) else at - 1
        low, high = sorted((at, neighbour))
        olds = parts[low].olds + parts[high].olds
        parts[low : high + 1] = [Part(olds, parts[low].text + parts[high].text, False, [])]
        at = low
    gap = parts[at]
    gap.news = [_broken(gap, "")]


def cover(parts: Sequence[Part], alive: AbstractSet[NodeUid]) -> list[Node]:
    """Return all nodes in order, each broken one covering what it replaces and is not alive elsewhere."""
    nodes: list[Node] = []
    for part in parts:
        covered = tuple(node for node in expand(part.olds) if node.uid not in alive)
        for node in part.news:
            if part.kept or node.kind is not Kind.BROKEN:
                nodes.append(node)
            else:
                nodes.append(replace(node, covers=tuple(each.uid for each in covered), covered=covered))
    return nodes


def expand(nodes: Sequence[Node]) -> list[Node]:
    """Return the nodes with each broken one replaced by those it covers."""
    found: list[Node] = []
    for node in nodes:
        found.extend(node.covered if node.kind is Kind.BROKEN else [node])
    return found
