"""What must be true of any merge, however it was made. A result that fails is a conflict, not a result.

G1  Of every line that is not blank, the result holds as many as the two sides' changes together explain:
    what one side added is there, what one side removed is gone, nothing is there twice that is not doubled.
G2  No name is defined more often in one scope than on either side: two definitions of one name that met
    by coming from different nodes are one definition too many.
G3  The result does not use a module's name that one side took away more often than that side does.
G4  An import run that changed has no import left unused: if every side that has it uses it, the result does.
G5  A result that is one side's text, though the other side changed something too, must be what lines say as
    well: where nothing of a change is left to be seen, one opinion is not enough.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from makfs.merge.forest import own_name
from makfs.syntax.node import Kind, Node

_WORD = re.compile(rb"(?<![\w.])[A-Za-z_]\w*")
_UNREAD = re.compile(rb"(?s:\"\"\".*?\"\"\"|'''.*?''')|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#[^\n]*")

Nodes = Sequence[Node]


@dataclass(frozen=True, slots=True)
class Quartet:
    """The changed nodes of three versions and of the result; `rest` yields what is the same in all."""

    base: Nodes
    mine: Nodes
    head: Nodes
    result: Nodes
    rest: Callable[[], Iterable[Node]] = tuple


def lines_add_up(base: bytes, mine: bytes, head: bytes, result: bytes) -> bool:
    """Tell whether G1 holds between four texts."""
    old, my, new, got = (_count(text) for text in (base, mine, head, result))
    for line in old.keys() | my.keys() | new.keys() | got.keys():
        by_mine, by_head = my[line] - old[line], new[line] - old[line]
        bounds = [old[line] + by_mine + by_head]
        if by_mine > 0 and by_head > 0:
            bounds.append(old[line] + max(by_mine, by_head))  # the same line, or two like ones
        elif by_mine < 0 and by_head < 0:
            bounds.append(old[line] + min(by_mine, by_head))
        if not min(bounds) <= got[line] <= max(bounds):
            return False
    return True


def _count(text: bytes) -> Counter[bytes]:
    counts = Counter(line.strip() for line in text.split(b"\n"))
    del counts[b""]
    return counts


def vanished(base: bytes, mine: bytes, head: bytes, result: bytes) -> bool:
    """Tell whether nothing of one side's change is left to be seen, so that G5 asks for a second opinion.

    White space does not count: a side that changed nothing else has nothing to lose.
    """
    old, my, new = base.split(), mine.split(), head.split()
    return old not in (my, new) and my != new and result.split() in (my, new)


def doubled(four: Quartet) -> Node | None:
    """Return a node of the result that defines a name once too often (G2)."""
    limits = _definitions(four.mine) | _definitions(four.head)
    seen: Counter[tuple[str, str]] = Counter()
    for node in four.result:
        for key in _defined(node):
            seen[key] += 1
            if seen[key] > limits[key]:
                return node
    return None


def _definitions(nodes: Iterable[Node]) -> Counter[tuple[str, str]]:
    return Counter(key for node in nodes for key in _defined(node))


def _defined(node: Node) -> set[tuple[str, str]]:
    """Return the names a node defines, each with its scope."""
    if node.kind is Kind.CLASS:
        return {(node.scope.rpartition(".")[0], own_name(node))}
    if node.defines:
        return {(node.scope, name) for name in node.defines}
    return set() if node.name.startswith("#") else {(node.scope, own_name(node))}


def orphaned(four: Quartet) -> bytes | None:
    """Return a name of the module that one side took away and the result uses all the same (G3)."""
    before = _module_names(four.base)
    lost = before - _module_names(four.mine), before - _module_names(four.head)
    if not any(lost):
        return None
    here = _module_names(four.result)
    for gone, remover in zip(lost, (four.mine, four.head), strict=True):
        missing = gone - here
        if missing:
            more = _words(four.result) - _words(remover)
            found = sorted(name for name in missing if more[name])
            if found and (left := set(found) - _module_names(four.rest())):
                return min(left)
    return None


def unused(four: Quartet) -> bytes | None:
    """Return an import that the merge leaves unused (G4)."""
    sides = [(_imported(nodes), _words(nodes)) for nodes in (four.mine, four.head)]
    words = _words(four.result)
    for name in sorted(_imported(four.result)):
        gone = not words[name] and all(used[name] for has, used in sides if name in has)
        if gone and not any(name in _words([node]) for node in four.rest()):
            return name
    return None


def _imported(nodes: Nodes) -> set[bytes]:
    return {name.encode() for node in nodes if node.kind is Kind.IMPORTS for name in node.defines}


def _module_names(nodes: Iterable[Node]) -> set[bytes]:
    return {name.encode() for node in nodes for scope, name in _defined(node) if not scope}


def _words(nodes: Iterable[Node]) -> Counter[bytes]:
    """Count the names that code uses, outside comments, strings and imports; attributes are no names."""
    counts: Counter[bytes] = Counter()
    for node in nodes:
        if node.kind is not Kind.IMPORTS:
            counts.update(_WORD.findall(_UNREAD.sub(b"", node.text)))
    return counts
