"""What must be true of any merge, however it was made. A result that fails is a conflict, not a result.

G1  Of every line that is not blank, the result holds as many as the two sides' changes together explain:
    what one side added is there, what one side removed is gone, nothing is there twice that is not doubled.
G2  No name is defined more often in one scope than on either side: two definitions of one name that met
    by coming from different nodes are one definition too many.
G3  The result does not use a module-level name that one side took away more often than that side does.
G4  A result that is one side's text, though the other side changed something too, must be what lines say as
    well: where nothing of a change is left to be seen, one opinion is not enough.
G5  The result parses if mine and head do.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from makfs.merge.forest import own_name
from makfs.merge.text import merge_text
from makfs.syntax.node import Kind, Node

_WORD = re.compile(rb"(?<![\w.])[A-Za-z_]\w*")
_UNREAD = re.compile(rb"(?s:\"\"\".*?\"\"\"|'''.*?''')|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|#[^\n]*")


def lines_add_up(base: bytes, mine: bytes, head: bytes, result: bytes) -> bool:
    """Tell whether G1 holds between four texts."""
    old, my, new, got = (_count(text) for text in (base, mine, head, result))
    for line in old.keys() | my.keys() | new.keys() | got.keys():
        by_mine, by_head = my[line] - old[line], new[line] - old[line]
        both = old[line] + by_mine + by_head
        if (by_mine > 0) == (by_head > 0):  # both added or both removed: the same change, or two
            low, high = sorted((both, old[line] + (max if by_mine > 0 else min)(by_mine, by_head)))
        else:
            low = high = both
        if not low <= got[line] <= high:
            return False
    return True


def _count(text: bytes) -> Counter[bytes]:
    counts = Counter(line.strip() for line in text.split(b"\n"))
    del counts[b""]
    return counts


def doubled(mine: Iterable[Node], head: Iterable[Node], result: Iterable[Node]) -> Node | None:
    """Return a node of the result that defines a name once too often (G2)."""
    limits = _definitions(mine) | _definitions(head)
    seen: Counter[tuple[str, str]] = Counter()
    for node in result:
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


def orphaned(
    base: Sequence[Node], mine: Sequence[Node], head: Sequence[Node], result: Sequence[Node]
) -> bytes | None:
    """Return a name that one side took away and the result uses more than that side does (G3)."""
    before = _module_names(base)
    lost = [before - _module_names(mine), before - _module_names(head)]
    if not any(lost):
        return None
    here = _module_names(result)
    for gone, remover in zip(lost, (mine, head), strict=True):
        missing = gone - here
        if missing:
            used = _words(result) - _words(remover)
            found = next((name for name in sorted(missing) if used[name] > 0), None)
            if found:
                return found
    return None


def _module_names(nodes: Iterable[Node]) -> set[bytes]:
    return {name.encode() for node in nodes for scope, name in _defined(node) if not scope}


def _words(nodes: Iterable[Node]) -> Counter[bytes]:
    """Count the names that code uses, outside comments, strings and imports; attributes are no names."""
    counts: Counter[bytes] = Counter()
    for node in nodes:
        if node.kind is not Kind.IMPORTS:
            counts.update(_WORD.findall(_UNREAD.sub(b"", node.text)))
    return counts


def swallowed(base: bytes, mine: bytes, head: bytes, result: bytes) -> bool:
    """Tell whether a change has vanished from the result without lines saying so (G4)."""
    if base in (mine, head) or mine == head:
        return False
    words = result.split()
    if words != mine.split() and words != head.split():
        return False
    by_lines = merge_text(base, mine, head)
    return not isinstance(by_lines, bytes) or by_lines.split() != words
