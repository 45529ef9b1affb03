"""Names of nodes inside a file: unique, stable under edits elsewhere, never a line number.

N3  (scope, name) is unique in a file: the first `run` is `run`, the next `run~2`; overloads are numbered
    from 1; the members of the second class `A` have the scope `A~2`.

A *base* is a name before repeats are told apart, a *base scope* the same of a scope.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from makfs.syntax.node import Kind, Node

CLASS_HEADER = "#header"


def base_of(name: str) -> str:
    """Return a name without the number that tells it from its repeats. Inverse of naming."""
    if "~" in name:
        name = name.partition("~")[0]
    if "[overload:" in name:
        name = name.partition(":")[0] + "]"
    return name


def base_scope(scope: str) -> str:
    """Return a scope without the numbers of repeated classes."""
    return ".".join(map(base_of, scope.split("."))) if "~" in scope else scope


@dataclass(slots=True)
class Namer:
    """Gives names to nodes in file order."""

    _seen: dict[tuple[str, str], int] = field(default_factory=dict)
    _scopes: dict[str, str] = field(
        default_factory=lambda: {"": ""}
    )  # base scope -> scope of its newest class

    def name(self, scope: str, kind: Kind, base: str) -> tuple[str, str]:
        """Return (scope, name) of the next node. A class header's base is the class's own name and
        `scope` the base scope around it; its own scope is the class."""
        around = self._scopes.get(scope, scope)
        key = around, base
        count = self._seen[key] = self._seen.get(key, 0) + 1
        name = base
        if base.endswith("[overload]"):
            name = f"{base[:-1]}:{count}]"
        elif count > 1:
            name = f"{base}~{count}"
        if kind is not Kind.CLASS:
            return around, name
        inner = f"{around}.{name}" if around else name
        self._scopes[f"{scope}.{base}" if scope else base] = inner
        return inner, CLASS_HEADER


def outer_scope(node: Node) -> str:
    """Return the scope a node stands in; a class header's own scope is the class."""
    return node.scope.rpartition(".")[0] if node.kind is Kind.CLASS else node.scope


def own_base(node: Node) -> tuple[str, str]:
    """Return (base scope, base) of a node, as `Namer.name` takes them."""
    if node.kind is Kind.CLASS:
        around, _, name = base_scope(node.scope).rpartition(".")
        return around, name
    return base_scope(node.scope), base_of(node.name)


def renumber(nodes: Iterable[Node]) -> list[Node]:
    """Return a file's nodes with their final names; a node whose name stays is the same object."""
    namer = Namer()
    found: list[Node] = []
    for node in nodes:
        around, base = own_base(node)
        scope, name = namer.name(around, node.kind, base)
        is_same = scope == node.scope and name == node.name
        found.append(node if is_same else replace(node, scope=scope, name=name))
    return found


def named_like(old: Sequence[Node], new: Sequence[Node]) -> list[Node] | None:
    """Return `new` with the final names of `old`, which they replace; None if their bases differ."""
    if len(old) != len(new) or any(_key(one) != _key(other) for one, other in zip(old, new, strict=True)):
        return None
    return [replace(node, scope=like.scope, name=like.name) for like, node in zip(old, new, strict=True)]


def are_apart(old: Iterable[Node], new: Iterable[Node], kept: Iterable[Node]) -> bool:
    """Tell whether `new` may take the place of `old` among the kept nodes without any number changing."""
    changed = {*map(_key, old), *map(_key, new)}
    if any(kind is Kind.CLASS for *_, kind in changed):
        return False
    names = {base for _, base, _ in changed}
    return not any(
        node.name in names or "~" in node.scope or (_has_number(node.name) and base_of(node.name) in names)
        for node in kept
    )


def _key(node: Node) -> tuple[str, str, Kind]:
    return (*own_base(node), node.kind)


def _has_number(name: str) -> bool:
    return "~" in name or ":" in name
