"""The outline of a source file: signatures, first docstring lines, names of constants; no bodies. Pure.

O1  Every line is one of the file's, or the beginning of one, with its number in front; `...` stands where
    something is left out.
O2  What does not parse is outlined by its nodes, each by its first line. Nothing raises.
"""

import ast
import re
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from makfs.syntax import by_ast
from makfs.syntax.decode import BOM, decode, encoding_of
from makfs.syntax.node import Kind
from makfs.syntax.splitting import split_decoded

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_BLOCKS = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.TryStar)
_SUITES = ("body", "handlers", "orelse", "finalbody")
_EOL = re.compile(r"\r\n|\r|\n")
_OPENING = re.compile(r"[rRuUbB]*(\"\"\"|'''|\"|')")
_DEFINES = re.compile(rb"[ \t\f]*(?:async[ \t]+def|def|class)\b")
_SKIPPED = frozenset({Kind.HEADER, Kind.IMPORTS, Kind.TAIL, Kind.EXPR, Kind.STMT})
_DEFINITIONS = frozenset({Kind.FUNC, Kind.METHOD, Kind.CLASS})

Row = tuple[int, str]


def outline(text: bytes) -> bytes:
    """Return a source file's outline, in the file's encoding; empty if the file cannot be read as text.

    Cost: one parse.
    """
    encoding = encoding_of(text)
    decoded = decode(text, encoding)
    if decoded is None or encoding is None:
        return b""
    rows = _parsed(decoded)
    if rows is None:
        rows = [(number, line.decode(encoding, "replace")) for number, line in _first_lines(text, decoded)]
    width = max(4, len(str(rows[-1][0])) if rows else 0)
    return "".join(f"{number:{width}}| {line}\n" for number, line in rows).encode(encoding, "replace")


def _parsed(decoded: str) -> list[Row] | None:
    """Return the rows of a text that parses, else None."""
    tree = by_ast.parse(decoded)
    try:
        return None if isinstance(tree, Exception) else list(_Outline(_EOL.split(decoded)).module(tree))
    except RecursionError:  # thousands of elif
        return None


def _first_lines(text: bytes, decoded: str) -> Iterator[tuple[int, bytes]]:
    """Yield the first line of each node that has a name, or does not parse (O2)."""
    at = 1
    for node in split_decoded(text, decoded).nodes:
        lines = node.text.splitlines()
        if node.kind not in _SKIPPED:
            lead = len(node.text[: node.lead_bytes].splitlines())
            own = [
                (number, line.removeprefix(BOM))
                for number, line in enumerate(lines)
                if number >= lead and line.strip() and not line.lstrip().startswith(b"#")
            ]
            found = own[:1]
            if node.kind in _DEFINITIONS:
                found = [each for each in own if _DEFINES.match(each[1])][:1] or found
            for number, line in found:
                yield at + number, line
        at += len(lines)


@dataclass(frozen=True, slots=True)
class _Outline:
    """Rows of a tree: line numbers from 1, and texts."""

    lines: Sequence[str]

    def module(self, tree: ast.Module) -> Iterator[Row]:
        yield from self._docstring(tree.body)
        yield from self._suite(tree.body)

    def _suite(self, body: Sequence[ast.stmt]) -> Iterator[Row]:
        for node in body:
            if isinstance(node, Definition):
                yield from self._definition(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                yield from self._constant(node)
            elif isinstance(node, _BLOCKS) and _has_definitions(node):
                yield from self._block(node)

    def _definition(self, node: Definition) -> Iterator[Row]:
        last, column = self._colon(node)
        first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
        for number in range(first, last):
            if self._line(number).strip():
                yield number, self._line(number)
        body = node.body
        if body[0].lineno == last:
            yield last, self._line(last)[:column] + " ..."
            return
        yield last, self._line(last)
        yield from self._docstring(body)
        rest = body[1:] if _is_string(body[0]) else body
        inside = [] if isinstance(node, Function) else list(self._suite(rest))
        yield from inside
        if rest and not inside:
            first = min([rest[0].lineno, *(each.lineno for each in getattr(rest[0], "decorator_list", ()))])
            yield first, self._indent(first) + "..."

    def _constant(self, node: ast.Assign | ast.AnnAssign) -> Iterator[Row]:
        """Yield an assignment to names, without its value."""
        targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
        if not any(isinstance(each, ast.Name | ast.Tuple | ast.List) for each in targets):
            return
        if isinstance(node, ast.AnnAssign):
            names = self._between(node, node.annotation)
        else:
            names = self._between(node, targets[-1])
        value = " = ..." if node.value is not None else ""
        yield node.lineno, self._indent(node.lineno) + names + value

    def _block(self, node: ast.stmt) -> Iterator[Row]:
        """Yield the definitions in a block, under the first lines of its parts."""
        yield node.lineno, self._line(node.lineno)
        for name in _SUITES:
            part = getattr(node, name, [])
            for each in part if name == "handlers" else []:
                yield each.lineno, self._line(each.lineno)
                yield from self._suite(each.body)
            if name in ("orelse", "finalbody") and part:
                yield from self._else(part[0])
            if name != "handlers":
                yield from self._suite(part)

    def _else(self, first: ast.stmt) -> Iterator[Row]:
        """Yield the line of `else` or `finally` above a suite; an `elif` is the suite itself."""
        decorators = getattr(first, "decorator_list", ())
        number = min([first.lineno, *(each.lineno for each in decorators)])
        while number > 1:
            if self._line(number).lstrip().startswith(("elif", "else", "finally")):
                if not self._line(number).lstrip().startswith("elif"):
                    yield number, self._line(number)
                return
            number -= 1

    def _docstring(self, body: Sequence[ast.stmt]) -> Iterator[Row]:
        """Yield the first line of a docstring that says something, closed."""
        if not body or not _is_string(body[0]):
            return
        node = body[0]
        raw = self._between(node, node, join="\n").split("\n")
        opening = _OPENING.match(raw[0])
        if opening is None:
            return
        if len(raw) == 1:
            yield node.lineno, self._indent(node.lineno) + raw[0]
            return
        raw[0] = raw[0][opening.end() :]
        for number, line in enumerate(raw, node.lineno):
            said = line.strip()
            if said and said != opening[1]:
                closed = said if said.endswith(opening[1]) else f"{said} ...{opening[1]}"
                yield number, self._indent(node.lineno) + opening[0] + closed
                return

    # ---- places

    def _colon(self, node: Definition) -> tuple[int, int]:
        """Return where a definition's colon is: its line, and the column behind it."""
        lines = iter([line + "\n" for line in self.lines[node.lineno - 1 : node.body[0].lineno]])
        depth = 0
        try:
            for token in tokenize.generate_tokens(lambda: next(lines, "")):
                if token.type == tokenize.OP and token.string in "([{":
                    depth += 1
                elif token.type == tokenize.OP and token.string in ")]}":
                    depth -= 1
                elif token.type == tokenize.OP and token.string == ":" and not depth:
                    return node.lineno + token.start[0] - 1, token.end[1]
        except (tokenize.TokenError, SyntaxError):
            pass
        return node.lineno, len(self._line(node.lineno))

    def _line(self, number: int) -> str:
        return self.lines[number - 1]

    def _indent(self, number: int) -> str:
        line = self._line(number)
        return line[: len(line) - len(line.lstrip())]

    def _between(self, first: ast.AST, last: ast.AST, join: str = " ") -> str:
        """Return the text from one part of a statement to the end of another; `join` stands for line ends."""
        begin, start = _place(first, "")
        end, stop = _place(last, "end_")
        lines = [line.encode("utf-8", "surrogatepass") for line in self.lines[begin - 1 : end]]
        lines[-1] = lines[-1][:stop]
        lines[0] = lines[0][start:]
        texts = [line.decode("utf-8", "surrogatepass") for line in lines]
        return join.join(texts if join == "\n" else [line.strip() for line in texts])


def _place(node: ast.AST, which: str) -> tuple[int, int]:
    """Return the line, and the column in bytes of UTF-8, of a part's beginning or `end_`."""
    return int(getattr(node, f"{which}lineno")), int(getattr(node, f"{which}col_offset"))


def _is_string(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _has_definitions(block: ast.stmt) -> bool:
    """Tell whether a block defines functions or classes that are names of what is around it."""
    for name in _SUITES:
        for each in getattr(block, name, []):
            if isinstance(each, Definition):
                return True
            if isinstance(each, (*_BLOCKS, ast.ExceptHandler)) and _has_definitions(each):  # type: ignore[arg-type]
                return True
    return False
