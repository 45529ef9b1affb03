"""What a parser reports about a file: statements with their lines, kinds and names. No bytes, no nodes.

Both front ends (`by_ast`, `by_tree`) speak this, so that one layout serves both and they agree on every
boundary. Lines are counted from 0 and end at LF, CR or CR LF, as Python's own tokenizer counts them.
"""

from dataclasses import dataclass, field

from makfs.syntax.node import Kind

BLOCK_WORDS = frozenset({"if", "for", "while", "with", "try", "match"})
"""Keywords that open a block; a block's name is `#` and its keyword."""

COMPOUND = frozenset({Kind.FUNC, Kind.METHOD, Kind.CLASS, Kind.BLOCK, Kind.MAIN})
"""Kinds with a body, to which a comment that is indented deeper may belong."""


@dataclass(slots=True)
class Statement:
    """One statement at module or class level. `first` and `last` are lines, decorators included."""

    first: int
    last: int
    column: int  # bytes before the statement on its first line
    kind: Kind
    base: str  # the name before repeats are told apart: "run", "run[setter]", "#if"
    defines: tuple[str, ...] = ()
    docstring: bool = False  # it is the docstring of its module or class
    body: list["Statement"] = field(default_factory=list)  # of a class


def role(name: str, decorators: list[str]) -> str:
    """Return a function's base name with its role: `run[setter]`, `run[overload]`, or `run` alone.

    `decorators` are dotted names without their arguments, as written.
    """
    for decorator in decorators:
        head, _, last = decorator.rpartition(".")
        if last == "overload":
            return f"{name}[overload]"
        if head == name and last in ("setter", "deleter", "getter"):
            return f"{name}[{last}]"
    return name
