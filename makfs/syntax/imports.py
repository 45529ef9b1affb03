"""An import run as statements and the names they ask for.

The running Python's parser knows imports fully, so no concrete tree is needed: statements are whole lines.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from makfs.syntax import by_ast
from makfs.syntax.decode import decode

_WRAPPER = "class _:\n"


@dataclass(frozen=True, slots=True)
class ImportItem:
    """One name that an import statement asks for.

    `import a.b as c` is ("", "a.b", "c"), `from ..a import b` is ("..a", "b", None), a star is the name "*".
    """

    module: str
    name: str
    alias: str | None
    statement: int  # place in its run of the line or lines it stands on, from 0

    @property
    def bound(self) -> str:
        """Return the name it binds in its scope."""
        return self.alias or (self.name if self.module else self.name.partition(".")[0])


@dataclass(frozen=True, slots=True)
class ImportStatement:
    """The lines of one import statement, or of several that share a line. `lead` is what stands above.

    `plain` tells that the core is one statement and nothing else: no comment, no `;`, no backslash.
    """

    lead: bytes
    core: bytes
    items: tuple[ImportItem, ...]
    plain: bool


def import_statements(text: bytes) -> tuple[ImportStatement, ...] | None:
    """Return the statements of an import run; their leads and cores concatenate to the text exactly.

    None if the text holds anything else. It may be indented, as in a class.
    """
    parsed = _parse(text)
    if parsed is None:
        return None
    body, above = parsed
    lines = text.splitlines(keepends=True)
    found: list[ImportStatement] = []
    end = 0
    for group in _by_line(body):
        first, last = group[0].lineno - 1 - above, (group[-1].end_lineno or 0) - above
        items = tuple(item for node in group for item in _items(node, len(found)))
        lead, core = b"".join(lines[end:first]), b"".join(lines[first:last])
        plain = len(group) == 1 and not any(mark in core for mark in (b"#", b";", b"\\"))
        found.append(ImportStatement(lead, core, items, plain))
        end = last
    rest = b"".join(lines[end:])
    if rest and found:
        last_one = found.pop()
        found.append(ImportStatement(last_one.lead, last_one.core + rest, last_one.items, False))
    return tuple(found)


def import_items(text: bytes) -> tuple[ImportItem, ...] | None:
    """Return the names an import run asks for, in order; None if the text is not imports alone."""
    run = import_statements(text)
    return None if run is None else tuple(item for statement in run for item in statement.items)


def _parse(text: bytes) -> tuple[list[ast.Import | ast.ImportFrom], int] | None:
    """Return the import statements of a text and how many lines were put above it to parse it."""
    decoded = decode(text, "utf-8")
    for above in ("", _WRAPPER):
        tree = by_ast.parse(above + decoded) if decoded is not None else None
        if not isinstance(tree, ast.Module):
            continue
        first = tree.body[0] if tree.body else None
        suite = first.body if above and isinstance(first, ast.ClassDef) and len(tree.body) == 1 else tree.body
        imports = [node for node in suite if isinstance(node, (ast.Import, ast.ImportFrom))]
        return (imports, int(bool(above))) if imports and len(imports) == len(suite) else None
    return None


def _by_line(body: list[ast.Import | ast.ImportFrom]) -> list[list[ast.Import | ast.ImportFrom]]:
    groups: list[list[ast.Import | ast.ImportFrom]] = []
    last = 0
    for node in body:
        if node.lineno > last:
            groups.append([])
        groups[-1].append(node)
        last = node.end_lineno or node.lineno
    return groups


def _items(node: ast.Import | ast.ImportFrom, number: int) -> Iterator[ImportItem]:
    source = "." * node.level + (node.module or "") if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        yield ImportItem(source, alias.name, alias.asname, number)
