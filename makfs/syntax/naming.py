"""Names of nodes inside a file: unique, stable under edits elsewhere, never a line number.

N3  (scope, name) is unique in a file: the first `run` is `run`, the next `run~2`; overloads are numbered
    from 1; the members of the second class `A` have the scope `A~2`.

A *base* is a name before repeats are told apart, a *base scope* the same of a scope.
"""

from dataclasses import dataclass, field

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


def own_base(node: Node) -> tuple[str, str]:
    """Return (base scope, base) of a node, as `Namer.name` takes them."""
    if node.kind is Kind.CLASS:
        around, _, name = base_scope(node.scope).rpartition(".")
        return around, name
    return base_scope(node.scope), base_of(node.name)
