"""The concrete-syntax room: signatures as hashes, and the last word on newer grammars. One node at a time.

Importing libcst takes 150 ms and parsing with it is slow, so it is imported when first needed and is never
given a whole file. Its parser recurses on the machine's stack: text that nests too deeply would end the
process, and is refused here (`is_deep`).
"""

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from makfs.syntax.by_tree import is_deep
from makfs.syntax.decode import BOM
from makfs.syntax.node import Kind, Node

if TYPE_CHECKING:
    import libcst

MAX_BYTES = 100_000
"""Larger texts are not parsed here."""

_WRAPPER = "class _:\n"


def accepts(text: str) -> bool:
    """Tell whether libcst's grammar, newer than the running Python's may be, accepts a text."""
    return _module(text) is not None


def signature_hash(node: Node) -> bytes:
    """Return 16 bytes that change when those who use the node must look again.

    Of a function: decorators, parameters, annotations and defaults, not the body; of a class header the
    bases and keywords; of imports the names. Of anything else, or what does not parse: all of it.
    Layout and comments do not count.
    """
    parts = [node.kind.value, node.name]
    if node.kind in (Kind.FUNC, Kind.METHOD, Kind.CLASS):
        signature = _signature(node.core)
        if signature is None and node.kind is Kind.CLASS:
            signature = _signature(_with_body(node.core))
        parts += [node.core.decode("latin-1")] if signature is None else signature
    elif node.kind is Kind.IMPORTS:
        parts += sorted(node.defines)
    else:
        parts.append(node.core.strip().decode("latin-1"))
    return hashlib.blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).digest()


def _with_body(core: bytes) -> bytes:
    """Return a class header, whose members are other nodes, with a body to parse it by."""
    margin = core[: len(core) - len(core.lstrip(b" \t"))]
    return core.rstrip(b"\r\n") + b"\n" + margin + b" pass\n"


def _signature(text: bytes) -> list[str] | None:
    """Return the tokens of a definition without its body."""
    import libcst as cst

    _, body = _suite(text)
    if len(body) != 1 or not isinstance(body[0], (cst.FunctionDef, cst.ClassDef)):
        return None
    return list(_tokens(body[0].with_changes(body=cst.SimpleStatementSuite(body=[cst.Pass()]))))


def _tokens(node: "libcst.CSTNode") -> Iterator[str]:
    """Yield what a tree says, without space, comments, parentheses and commas."""
    import libcst as cst

    skipped = (
        cst.BaseParenthesizableWhitespace,
        cst.TrailingWhitespace,
        cst.EmptyLine,
        cst.Comma,
        cst.LeftParen,
        cst.RightParen,
    )
    waiting: list[cst.CSTNode] = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, skipped):
            continue
        yield type(each).__name__
        value = getattr(each, "value", None)
        if isinstance(value, str):
            yield value
        waiting.extend(reversed(each.children))


def _suite(text: bytes) -> "tuple[libcst.Module | None, list[libcst.BaseStatement]]":
    """Return the statements of a node's text, from whatever depth of indentation it comes."""
    try:
        decoded = text.removeprefix(BOM).decode()
    except UnicodeDecodeError:
        return None, []
    return _indented(decoded) if _is_indented(decoded) else _flat(decoded)


def _is_indented(text: str) -> bool:
    for line in text.split("\n"):
        if line.strip() and not line.lstrip().startswith("#"):
            return line[0] in " \t"
    return False


def _flat(text: str) -> "tuple[libcst.Module | None, list[libcst.BaseStatement]]":

    module = _module(text)
    if module is None:
        return None, []
    return module, list(module.body)


def _indented(text: str) -> "tuple[libcst.Module | None, list[libcst.BaseStatement]]":
    import libcst as cst

    module = _module(_WRAPPER + text)
    if module is None or len(module.body) != 1 or not isinstance(module.body[0], cst.ClassDef):
        return None, []
    suite = module.body[0].body
    if not isinstance(suite, cst.IndentedBlock):
        return None, []
    return module, list(suite.body)


def _module(text: str) -> "libcst.Module | None":
    import libcst as cst

    if len(text) > MAX_BYTES or is_deep(text):
        return None
    try:
        return cst.parse_module(text)
    except (cst.ParserSyntaxError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
