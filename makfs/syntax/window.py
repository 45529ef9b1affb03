"""Re-split the touched part of a file alone. None whenever the whole file must be asked.

W1  What a window returns is what the full splitter would put there. On either side of the change an
    unchanged node, the guard, is parsed along; were the change to reach beyond the window (a string left
    open, a run of imports that grew, a class that ended early), a guard would come back different.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from makfs.syntax import by_ast, tolerant
from makfs.syntax.decode import decode
from makfs.syntax.layout import Piece, is_blank, is_comment, lay_out, without_mark
from makfs.syntax.naming import base_of, base_scope, outer_scope, own_base
from makfs.syntax.node import Kind, Node
from makfs.syntax.splitting import to_nodes

_LF, _CR = 0x0A, 0x0D
_TRIES = 3  # to widen a window before the whole file is asked


@dataclass(frozen=True, slots=True)
class Touched:
    """Where a text differs from a tiling: nodes [low, high) are replaced by the bytes [begin, end)."""

    low: int
    high: int
    begin: int
    end: int


class WindowDoesNotParse(Exception):
    """The window is not valid Python, and so the whole file is not, unless `is_open`.

    A parser fails on what it has read so far, and before the window it has read valid statements. Only a
    string left open, which the rest of the file may close, hides what the window means.
    """

    def __init__(self, is_open: bool) -> None:
        super().__init__()
        self.is_open = is_open


def touched(nodes: Sequence[Node], text: bytes) -> Touched:
    """Return the smallest range of nodes outside of which text and nodes are equal. Cost: 0.1 us a node."""
    begin = low = 0
    for node in nodes:
        if not text.startswith(node.text, begin):
            break
        begin += len(node.text)
        low += 1
    while low and not starts_line(text, begin):
        low -= 1
        begin -= len(nodes[low].text)
    end, high = len(text), len(nodes)
    while high > low:
        start = end - len(nodes[high - 1].text)
        if start < begin or not text.startswith(nodes[high - 1].text, start):
            break
        end = start
        high -= 1
    while high < len(nodes) and not starts_line(text, end):
        end += len(nodes[high].text)
        high += 1
    return Touched(low, high, begin, end)


def starts_line(text: bytes, at: int) -> bool:
    """Tell whether a line starts at a place (N2); the end of the text counts."""
    if at in (0, len(text)):
        return True
    return text[at - 1] == _LF or (text[at - 1] == _CR and text[at] != _LF)


def resplit(
    nodes: Sequence[Node], text: bytes, place: Touched, encoding: str | None, *, newer: bool = False
) -> tuple[Touched, list[Node]] | None:
    """Return what replaces which range of nodes; the names are unique within the window only.

    None: the change reaches further than its neighbours. Raises WindowDoesNotParse. `newer`: ask the newer
    grammars too. The tiling `nodes` must be of a valid text.
    """
    if place.low == place.high:
        place = _wider(nodes, place, 1, 0)  # most insertions continue the node above
    for _ in range(_TRIES):
        first, last = _with_guards(nodes, place)
        begin = place.begin - sum(len(node.text) for node in nodes[first : place.low])
        end = place.end + sum(len(node.text) for node in nodes[place.high : last])
        scope = outer_scope(nodes[first])
        found = split_inside(nodes, scope, first, text[begin:end], encoding, newer=newer)
        if found is None:
            return None
        before, after = place.low - first, last - place.high
        above = _count_same(nodes[first : place.low], found)
        below = _count_same(nodes[place.high : last][::-1], found[above:][::-1])
        if (above, below) == (before, after):
            inner = found[before : len(found) - after]
            return _narrowed(nodes, place, inner) if _keeps_margins(nodes, place, inner) else None
        place = _wider(nodes, place, int(above < before), int(below < after))
    return None


def _keeps_margins(nodes: Sequence[Node], place: Touched, inner: Sequence[Node]) -> bool:
    """Tell whether touched classes that reach beyond the window are indented as before: comments below
    their last member are theirs or not by that."""
    if place.high == len(nodes):
        return True
    margins = {base_scope(node.scope): _margin(node.core) for node in inner if node.kind is Kind.CLASS}
    return all(
        margins.get(base_scope(node.scope)) == _margin(node.core)
        for node in nodes[place.low : place.high]
        if node.kind is Kind.CLASS and is_inside(nodes[place.high], node.scope)
    )


def _wider(nodes: Sequence[Node], place: Touched, above: int, below: int) -> Touched:
    """Return a range with so many nodes more on either side, where there are any."""
    low, high = max(place.low - above, 0), min(place.high + below, len(nodes))
    begin = place.begin - sum(len(node.text) for node in nodes[low : place.low])
    return Touched(low, high, begin, place.end + sum(len(node.text) for node in nodes[place.high : high]))


def _narrowed(nodes: Sequence[Node], place: Touched, inner: list[Node]) -> tuple[Touched, list[Node]]:
    """Leave out what turned out to be unchanged at either end."""
    old = nodes[place.low : place.high]
    above = _count_same(old, inner)
    below = _count_same(old[above:][::-1], inner[above:][::-1])
    begin = place.begin + sum(len(node.text) for node in old[:above])
    end = place.end - sum(len(node.text) for node in old[len(old) - below :])
    return Touched(place.low + above, place.high - below, begin, end), inner[above : len(inner) - below]


def _count_same(old: Sequence[Node], new: Sequence[Node]) -> int:
    """Return how many nodes from the first on are the same in all but uid and number."""
    count = 0
    for one, other in zip(old, new, strict=False):
        if not _is_same(one, other):
            break
        count += 1
    return count


def _with_guards(nodes: Sequence[Node], place: Touched) -> tuple[int, int]:
    """Return the range of nodes to parse: the touched ones and a guard on either side.

    A guard must hold a whole statement: comments alone (TAIL) do not, nor a class header without a member.
    """
    first = max(place.low - 1, 0)
    while first and nodes[first].kind is Kind.TAIL:
        first -= 1
    last = min(place.high + 1, len(nodes))
    while place.high < last < len(nodes) and _needs_next(nodes[last - 1], nodes[last]):
        last += 1
    return first, last


def _needs_next(node: Node, after: Node) -> bool:
    """Tell whether a node alone says too little to end a window with."""
    return node.kind is Kind.TAIL or (node.kind is Kind.CLASS and is_inside(after, node.scope))


def is_inside(node: Node, scope: str) -> bool:
    """Tell whether a node belongs to the class with that scope, at any depth."""
    return node.scope == scope or node.scope.startswith(scope + ".")


def scopes_after(nodes: Sequence[Node]) -> list[str]:
    """Return the scopes a text may stand in that follows the nodes: innermost first, the module last."""
    scope = nodes[-1].scope if nodes else ""
    found = [scope]
    while scope:
        scope = scope.rpartition(".")[0]
        found.append(scope)
    return found


def split_inside(
    nodes: Sequence[Node], scope: str, at: int, text: bytes, encoding: str | None, *, newer: bool = False
) -> list[Node] | None:
    """Split a text that stands in the class `scope` where the node `at` begins; 0 is the file's start.

    None: it changes the classes around it in a way that shows only in the whole file.
    Raises WindowDoesNotParse.
    """
    decoded = decode(text, encoding)
    if decoded is None:
        raise WindowDoesNotParse(is_open=False)
    around = _headers(nodes, scope, at)
    lines = [*(line.encode("ascii", "replace") for line in around), *text.splitlines(keepends=True)]
    seen = lines if at else without_mark(lines)
    pieces = _parse("".join(around) + decoded, seen, at == 0, newer)
    for depth in range(len(around)):
        header = pieces[depth]
        if header.kind is not Kind.CLASS or (header.first, header.end) != (depth, depth + 1):
            return None
    return to_nodes(pieces, lines)[len(around) :]


def _parse(decoded: str, lines: list[bytes], at_start: bool, newer: bool) -> list[Piece]:
    tree = by_ast.parse(decoded)
    if not isinstance(tree, Exception):
        return lay_out(lines, by_ast.statements(tree), at_start=at_start)
    pieces, valid = tolerant.pieces(decoded, lines, at_start=at_start) if newer else ([], False)
    if not valid:
        raise WindowDoesNotParse(is_open="unterminated" in str(tree))
    return pieces


def _headers(nodes: Sequence[Node], scope: str, at: int) -> list[str]:
    """Return a line for each class around a place, outermost first, indented as the real one is."""
    found: list[str] = []
    at = min(at, len(nodes) - 1)
    while scope:
        while at >= 0 and not (nodes[at].kind is Kind.CLASS and nodes[at].scope == scope):
            at -= 1
        margin = _margin(nodes[at].core) if at >= 0 else ""
        scope, _, name = scope.rpartition(".")
        found.append(f"{margin}class {base_of(name)}:\n")
    return found[::-1]


def _margin(core: bytes) -> str:
    """Return the white space before a statement, whose comments above may be indented otherwise."""
    for line in core.splitlines():
        if not is_blank(line) and not is_comment(line):
            return line[: len(line) - len(line.lstrip(b" \t\f"))].decode("ascii")
    return ""


def _is_same(old: Node, new: Node) -> bool:
    return (
        old.text == new.text
        and old.kind is new.kind
        and old.lead_bytes == new.lead_bytes
        and own_base(old) == own_base(new)
        and old.defines == new.defines
    )
