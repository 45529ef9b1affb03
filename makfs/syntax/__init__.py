"""Bytes of a file to nodes and back: splitting, identity, differences, names. Values only; no files.

A class's header node (Kind.CLASS) has the class itself as its scope and `#header` as its name, so that its
address is `path::Class#header` and its members have the same scope. Comments of a class body below its last
member are a TAIL in the class's scope. Rendering a file is `Source.text`.
"""

from makfs.syntax.change import address, diff, lines, only_space_differs
from makfs.syntax.cst import signature_hash
from makfs.syntax.decode import is_source
from makfs.syntax.identity import identify
from makfs.syntax.imports import ImportItem, ImportStatement, import_items, import_statements
from makfs.syntax.naming import base_of
from makfs.syntax.node import Change, Kind, Node, NodeChange, Op, Source
from makfs.syntax.restoring import restore
from makfs.syntax.splitting import MAX_BYTES, parses, split

__all__ = [
    "MAX_BYTES",
    "Change",
    "ImportItem",
    "ImportStatement",
    "Kind",
    "Node",
    "NodeChange",
    "Op",
    "Source",
    "address",
    "base_of",
    "diff",
    "identify",
    "import_items",
    "import_statements",
    "is_source",
    "lines",
    "only_space_differs",
    "parses",
    "restore",
    "signature_hash",
    "split",
]
