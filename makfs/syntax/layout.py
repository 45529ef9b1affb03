"""Lines and statements to nodes: who owns which blank line, comment and shared line.

N1  The pieces tile the lines: nothing is lost, nothing is twice.
N2  A piece is a range of whole lines.

Blank lines and detached comments lead the following statement; comments that touch a statement from above
are part of it; comments indented deeper than a compound statement belong to the body above. Statements
that share a line, or are joined by a backslash, are one piece; so is a run of imports.
"""

import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

from makfs.syntax.decode import BOM
from makfs.syntax.node import Kind
from makfs.syntax.statement import COMPOUND, Statement

_SPACE = b" \t\f"
_EOL = (b"", b"\n", b"\r\n", b"\r")
_COMMENT = 0x23


@dataclass(frozen=True, slots=True)
class Piece:
    """A node before it has bytes and a final name: the lines [first, end), the statement from `core` on."""

    first: int
    core: int
    end: int
    kind: Kind
    scope: str  # base scope around it; of a class header, the scope around the class
    base: str
    defines: tuple[str, ...] = ()


def is_blank(line: bytes) -> bool:
    """Tell whether a line holds nothing but space."""
    return line.lstrip(_SPACE) in _EOL


def is_comment(line: bytes) -> bool:
    """Tell whether a line holds a comment alone."""
    rest = line.lstrip(_SPACE)
    return bool(rest) and rest[0] == _COMMENT


def indent(line: bytes) -> int:
    """Return the column of a line's first character, counted as Python's tokenizer does (tabs to 8)."""
    column = 0
    for char in line:
        if char == 0x20:
            column += 1
        elif char == 0x09:
            column += 8 - column % 8
        elif char == 0x0C:
            column = 0
        else:
            break
    return column


def lay_out(lines: Sequence[bytes], statements: list[Statement], *, at_start: bool = True) -> list[Piece]:
    """Return the pieces of a text, in order. `at_start` False: the text is the inside of a file.

    `lines` keep their ends; the first must not begin with a byte order mark.
    """
    layout = _Layout(lines)
    if not at_start:
        for statement in statements[:1]:
            statement.docstring = False
    layout.module(statements, at_start)
    return layout.pieces


def without_mark(lines: list[bytes]) -> list[bytes]:
    """Return the lines as a parser sees them: without a byte order mark."""
    if lines and lines[0].startswith(BOM):
        return [lines[0][len(BOM) :], *lines[1:]]
    return lines


class _Layout:
    """One run over one text; `pieces` grows from top to bottom."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines
        self.pieces: list[Piece] = []

    def module(self, statements: list[Statement], at_start: bool) -> None:
        """Lay out a whole text."""
        begin = 0
        groups = self._groups(statements)
        if at_start:
            if groups and groups[0].docstring:
                begin = groups.pop(0).last + 1
            else:
                begin = self._banner(groups[0].first if groups else len(self.lines))
            if begin:
                self.pieces.append(Piece(0, 0, begin, Kind.HEADER, "", "#header"))
        self._suite(groups, begin, len(self.lines), "")

    def _banner(self, limit: int) -> int:
        """Return the end of a file's first comments: shebang, coding line, licence; 0 if there are none.

        They are the header when a blank line or the end follows; of comments that touch the first
        statement only the shebang and coding lines are.
        """
        at = 0
        while at < limit and is_blank(self.lines[at]):
            at += 1
        begin = at
        while at < limit and is_comment(self.lines[at]):
            at += 1
        if at == begin:
            return 0
        if at == len(self.lines) or (at < limit and is_blank(self.lines[at])):
            return at
        special = 0
        for line in self.lines[: min(2, limit)]:
            if not (line.startswith(b"#!") or (b"coding" in line and is_comment(line))):
                break
            special += 1
        return special

    def _groups(self, statements: list[Statement]) -> list[Statement]:
        """Return the statements with those joined that share a line or are joined by a backslash."""
        groups: list[Statement] = []
        for statement in statements:
            if groups:
                before = groups[-1]
                if statement.first <= before.last:
                    _join(before, statement)
                    self._stretch(before)
                    continue
                statement.first = self._true_first(before.last + 1, statement.first)
            groups.append(statement)
            self._stretch(statement)
        return groups

    def _stretch(self, statement: Statement) -> None:
        """Move `last` over lines that a backslash joins to the statement."""
        while statement.last + 1 < len(self.lines) and self._continues(statement):
            statement.last += 1

    def _continues(self, statement: Statement) -> bool:
        line = self.lines[statement.last].rstrip(b"\r\n")
        if not line.endswith(b"\\") or is_comment(line):
            return False
        if b"#" not in line:
            return True
        text = b"".join(self.lines[statement.first : statement.last + 1]).decode("latin-1")
        try:  # the rare case: is the backslash the end of a comment?
            tokens = list(tokenize.generate_tokens(io.StringIO(text, newline="").readline))
        except (tokenize.TokenError, SyntaxError):
            return True  # the text ends inside a continuation
        end = statement.last - statement.first + 1
        return not any(token.type == tokenize.COMMENT and token.start[0] == end for token in tokens)

    def _true_first(self, begin: int, first: int) -> int:
        """Return where a statement begins when lines of its own stand before it: backslashes, `@(`."""
        for at in range(begin, first):
            if not is_blank(self.lines[at]) and not is_comment(self.lines[at]):
                return at
        return first

    def _suite(self, statements: list[Statement], begin: int, end: int, scope: str) -> None:
        """Lay out one suite of grouped statements over the lines [begin, end)."""
        groups = _runs(statements)
        if groups:
            groups[0].first = self._true_first(begin, groups[0].first)
        for index, group in enumerate(groups):
            limit = groups[index + 1].first if index + 1 < len(groups) else end
            stop = min(group.last + 1, end)
            if group.kind in COMPOUND:
                stop = self._deeper(stop, limit, indent(self.lines[group.first]))
            core = self._core(begin, group.first)
            if group.kind is Kind.CLASS:
                self._class(group, begin, core, stop, scope)
            else:
                piece = Piece(begin, core, stop, group.kind, scope, group.base, group.defines)
                self.pieces.append(piece)
            begin = stop
        if begin < end:
            self.pieces.append(Piece(begin, end, end, Kind.TAIL, scope, "#tail"))

    def _core(self, begin: int, first: int) -> int:
        """Return the first of the comment lines that touch the statement at `first` from above."""
        while first > begin and is_comment(self.lines[first - 1]):
            first -= 1
        return first

    def _deeper(self, stop: int, limit: int, column: int) -> int:
        """Return the end of a compound statement's body with the comments below that belong to it."""
        for at in range(stop, limit):
            line = self.lines[at]
            if is_comment(line):
                if indent(line) <= column:
                    break
                stop = at + 1
        return stop

    def _class(self, group: Statement, begin: int, core: int, stop: int, scope: str) -> None:
        """Lay out a class: its header, then its members; a class on one line is a header alone."""
        members, end = self._header_end(group)
        if end is None:
            end = stop
            members = []
        self.pieces.append(Piece(begin, core, min(end, stop), Kind.CLASS, scope, group.base))
        if end < stop:
            self._suite(members, end, stop, f"{scope}.{group.base}" if scope else group.base)

    def _header_end(self, group: Statement) -> tuple[list[Statement], int | None]:
        """Return a class's members and the line where they may begin, None for a class on one line."""
        members = self._groups(group.body)
        if not members or not self._on_own_line(members[0]):
            return [], None
        if members[0].docstring:
            return members[1:], members[0].last + 1
        end = members[0].first
        while end > group.first and (is_blank(self.lines[end - 1]) or is_comment(self.lines[end - 1])):
            end -= 1
        return members, end

    def _on_own_line(self, statement: Statement) -> bool:
        """Tell whether a class's first member begins a line of its own."""
        line = self.lines[statement.first]
        above = self.lines[statement.first - 1] if statement.first else b""
        if above.rstrip(b"\r\n").endswith(b"\\") and not is_comment(above):
            return False
        return len(line) - len(line.lstrip(_SPACE)) == statement.column


def _runs(groups: list[Statement]) -> list[Statement]:
    """Join neighbouring import statements, whatever blank lines and comments stand between them."""
    runs: list[Statement] = []
    for group in groups:
        if runs and group.kind is Kind.IMPORTS and runs[-1].kind is Kind.IMPORTS:
            _join(runs[-1], group)
        else:
            runs.append(group)
    return runs


def _join(before: Statement, after: Statement) -> None:
    """Make two statements one: they share a line, or both are imports."""
    before.last = max(before.last, after.last)
    defines = [*_names(before), *_names(after)]
    if before.kind is not after.kind and not before.docstring:
        kinds = {before.kind, after.kind}
        before.kind, before.base = (Kind.BROKEN, "#broken") if Kind.BROKEN in kinds else (Kind.STMT, "#stmt")
    before.defines = tuple(dict.fromkeys(defines))


def _names(statement: Statement) -> tuple[str, ...]:
    """Return what a statement binds, a lone assignment's own name included."""
    if statement.defines or statement.base.startswith("#"):
        return statement.defines
    return (statement.base,)
