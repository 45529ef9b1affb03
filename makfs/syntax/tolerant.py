"""Text that the running Python does not parse: newer syntax, or broken text that has no base.

tree-sitter cuts it; each top-level piece is then judged alone, by the running Python's parser and, where
that fails, by libcst's newer grammar. Pieces nobody accepts are broken, and the text is not valid.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from makfs.syntax import by_ast, by_tree, cst
from makfs.syntax.layout import Piece, lay_out
from makfs.syntax.node import Kind
from makfs.syntax.statement import Statement

# What every Python refuses for its meaning, and a grammar alone lets through.
_NEVER = re.compile("too many|unicode error|bytes can only contain|unpacking cannot be used")


def pieces(decoded: str, lines: Sequence[bytes], *, at_start: bool = True) -> tuple[list[Piece], bool]:
    """Return the pieces of a text and whether all of them are valid.

    `lines` are the bytes of `decoded`, without a byte order mark.
    """
    parts = decoded.encode("utf-8", "surrogatepass").splitlines(keepends=True)
    found = lay_out(lines, _statements(decoded, parts), at_start=at_start)
    result: list[Piece] = []
    valid = True
    for subtree in _subtrees(found):
        if _accepts(_text(parts, subtree[0].first, subtree[-1].end)):
            result.extend(_unbroken(piece) for piece in subtree)
            continue
        valid = False
        broken = Piece(subtree[0].first, subtree[0].core, subtree[-1].end, Kind.BROKEN, "", "#broken")
        if result and result[-1].kind is Kind.BROKEN:
            before = result.pop()
            broken = replace(broken, first=before.first, core=before.core)
        result.append(broken)
    return result, valid


def _text(parts: Sequence[bytes], first: int, end: int) -> str:
    return b"".join(parts[first:end]).decode("utf-8", "surrogatepass")


def _statements(decoded: str, parts: Sequence[bytes]) -> list[Statement]:
    """Return tree-sitter's statements, but the running Python's own where it can parse them.

    So text that needs no newer grammar has the same nodes beside text that does and alone.
    """
    found: list[Statement] = []
    for group in _by_lines(by_tree.statements(decoded)):
        first, last = group[0].first, max(statement.last for statement in group)
        tree = by_ast.parse(_text(parts, first, last + 1))
        if isinstance(tree, Exception):
            found += group
        else:
            found += _shifted(by_ast.statements(tree), first, not found)
    return found


def _by_lines(statements: list[Statement]) -> list[list[Statement]]:
    """Group the statements that share a line."""
    groups: list[list[Statement]] = []
    last = -1
    for statement in statements:
        if statement.first > last:
            groups.append([])
        groups[-1].append(statement)
        last = max(last, statement.last)
    return groups


def _shifted(statements: list[Statement], by: int, may_be_docstring: bool) -> list[Statement]:
    """Return the statements of a part of a text as statements of the whole."""
    for index, statement in enumerate(statements):
        _move(statement, by)
        statement.docstring = statement.docstring and may_be_docstring and index == 0
    return statements


def _move(statement: Statement, by: int) -> None:
    statement.first += by
    statement.last += by
    for member in statement.body:
        _move(member, by)


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
    if not isinstance(error, SyntaxError):
        return not isinstance(error, Exception)
    return not _NEVER.search(str(error)) and cst.accepts(text)
