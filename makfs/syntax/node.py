"""What a node is. Values only; splitting, naming and matching live beside this module.

N1  The texts of a source's nodes, in order, concatenate to the file's bytes.
N2  Every node starts at the start of a line.
N3  No two nodes of a source have the same address; no two have the same uid other than 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from makfs.ids import NodeUid


class Kind(Enum):
    """What a node is made of; the value is what people read in `makfs nodes`."""

    HEADER = "header"  # BOM, shebang, coding line, licence, docstring
    IMPORTS = "imports"  # a run of import statements
    CONST = "const"  # one assignment at module level
    ATTR = "attr"  # one assignment in a class body
    FUNC = "func"
    CLASS = "class"  # decorators, class line, docstring: the class's header
    METHOD = "method"
    BLOCK = "block"  # if/try/for/with/while/match at module or class level
    MAIN = "main"  # if __name__ == "__main__"
    EXPR = "expr"
    STMT = "stmt"
    TAIL = "tail"  # comments and blank lines after the last statement
    BROKEN = "broken"  # text that does not parse; `covers` says what it stands in for
    OPAQUE = "opaque"  # a whole file that is not source


@dataclass(frozen=True, slots=True)
class Node:
    """One piece of a file. `text` is its exact bytes; the first `lead_bytes` of it are the lead
    (blank lines and detached comments above the statement)."""

    kind: Kind
    scope: str  # qualified name of the enclosing class, "" at module level
    name: str  # unique in (file, scope): "run", "run[setter]", "run~2", "#imports", "#header"
    text: bytes
    lead_bytes: int = 0
    uid: NodeUid = NodeUid(0)
    defines: tuple[str, ...] = ()  # names bound by a block or an import run
    covers: tuple[NodeUid, ...] = ()  # broken only: uids it stands in for
    # Broken only: those nodes as they were, to match them when the text parses again.
    covered: tuple["Node", ...] = field(default=(), repr=False, compare=False)

    @property
    def qualname(self) -> str:
        """Return the node's name inside its file: `Class.method`, `Class#header`, `#imports`."""
        if not self.scope:
            return self.name
        return self.scope + self.name if self.name.startswith("#") else f"{self.scope}.{self.name}"

    @property
    def core(self) -> bytes:
        """Return the text without its lead."""
        return self.text[self.lead_bytes :]


@dataclass(frozen=True, slots=True)
class Source:
    """A file as an ordered list of nodes. `valid` tells whether the text parses as a whole."""

    nodes: tuple[Node, ...]
    valid: bool
    # Not valid only: the nodes of the last valid version, () if unknown. Saves parsing the whole file again.
    base: tuple[Node, ...] = field(default=(), repr=False, compare=False)

    @property
    def text(self) -> bytes:
        """Return the file's bytes (N1). Cost: one join."""
        return b"".join(node.text for node in self.nodes)


class Op(Enum):
    """How one node differs between two versions of a file."""

    ADD = "add"
    DELETE = "delete"
    EDIT = "edit"  # text differs in more than blank lines
    SPACE = "space"  # only blank lines of the lead differ
    RENAME = "rename"  # same uid, other name or scope; the text may differ too
    MOVE = "move"  # same text, other place among its siblings


@dataclass(frozen=True, slots=True)
class NodeChange:
    """One node's difference: `before` is None for ADD, `after` is None for DELETE."""

    op: Op
    before: Node | None
    after: Node | None


Change = Sequence[NodeChange]
