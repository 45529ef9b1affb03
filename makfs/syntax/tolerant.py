"""Text that the running Python does not parse: newer syntax, or broken text that has no base.

tree-sitter cuts it; each top-level piece is then judged alone, by the running Python's parser and, where
that fails, by libcst's newer grammar. Pieces nobody accepts are broken, and the text is not valid.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from makfs.syntax import by_ast, by_tree, cst
from makfs.syntax.layout import Piece, lay_out
from makfs.syntax.node import Kind


def pieces(decoded: str, lines: Sequence[bytes], *, at_start: bool = True) -> tuple[list[Piece], bool]:
    """Return the pieces of a text and whether all of them are valid.

    `lines` are the bytes of `decoded`, without a byte order mark.
    """
    found = lay_out(lines, by_tree.statements(decoded), at_start=at_start)
    result: list[Piece] = []
    valid = True
    parts = decoded.encode("utf-8", "surrogatepass").splitlines(keepends=True)
    for subtree in _subtrees(found):
        text = b"".join(parts[subtree[0].first : subtree[-1].end]).decode("utf-8", "surrogatepass")
        if _accepts(text):
            result.extend(_unbroken(piece) for piece in subtree)
            continue
        valid = False
        broken = Piece(subtree[0].first, subtree[0].core, subtree[-1].end, Kind.BROKEN, "", "#broken")
        if result and result[-1].kind is Kind.BROKEN:
            before = result.pop()
            broken = replace(broken, first=before.first, core=before.core)
        result.append(broken)
    return result, valid


def _subtrees(found: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Yield the pieces of each statement at module level, a class with all its members."""
    group: list[Piece] = []
    for piece in found:
        if group and not piece.scope:
            yield group
            group = []
        group.append(piece)
    if group:
        yield group


def _unbroken(piece: Piece) -> Piece:
    """Return a piece that turned out to be valid though tree-sitter did not know it."""
    return replace(piece, kind=Kind.STMT, base="#stmt") if piece.kind is Kind.BROKEN else piece


def _accepts(text: str) -> bool:
    """Tell whether a text at module level is valid for the running Python or for a newer one."""
    error = by_ast.parse(text)
    if not isinstance(error, SyntaxError) or isinstance(error, IndentationError):
        return not isinstance(error, Exception)
    # What every Python refuses for its meaning, a grammar alone lets through.
    if "repeated" in str(error) or "too many" in str(error):
        return False
    return cst.accepts(text)
