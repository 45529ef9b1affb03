"""Merge the three texts of one node.

P1  Lead and core are merged apart: a change of blank lines or detached comments above a node never
    conflicts with an edit of the node. Two changes of blank lines alone: head's stand.
P2  A core that both sides changed differently is merged by lines if the policy allows it and the lines do
    not touch; import runs are merged as sets.
P3  A core that one side only laid out anew (same syntax tree, same comments) gives way to the other side's
    edit: layout can be made again by running the formatter, an edit cannot.
P4  Mine equal to an older text of the node that head has replaced since base is a stale copy: head's stands.
"""

import ast
import io
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass

from makfs.merge.imports import merge_imports
from makfs.merge.lines import split_lines
from makfs.merge.result import What
from makfs.merge.text import merge_lines
from makfs.syntax.node import Kind, Node


@dataclass(frozen=True, slots=True)
class Piece:
    """A merged text. `fresh`: it is neither side's own text, so nobody has parsed it yet. `loose`: its lines
    need not be both sides' lines (imports, P3). `stale`: mine was not taken (P4)."""

    text: bytes
    fresh: bool = False
    loose: bool = False
    stale: bool = False


def merge_piece(
    base: Node, mine: Node, head: Node, *, allow_lines: bool, older: Sequence[bytes]
) -> Piece | What:
    """Return the merged text of a node that is in all three versions, or what is wrong."""
    if mine.text == head.text or mine.text == base.text:
        return Piece(head.text)
    if head.text == base.text:
        return Piece(mine.text)
    if mine.text in older or mine.core in older:
        return Piece(head.text, loose=True, stale=True)  # P4
    lead = _merge_lead(*(node.text[: node.lead_bytes] for node in (base, mine, head)))
    core = _merge_core(base, mine, head, allow_lines=allow_lines)
    if isinstance(core, What):
        return core
    if lead is None:
        return What.EDIT_EDIT
    return Piece(lead + core.text, fresh=core.fresh, loose=core.loose)


def _merge_lead(base: bytes, mine: bytes, head: bytes) -> bytes | None:
    if mine in (base, head):
        return head
    if head == base:
        return mine
    if mine.split() == base.split():
        return head  # mine moved blank lines only
    if head.split() == base.split():
        return mine
    merged = merge_lines(*map(split_lines, (base, mine, head)))
    return None if isinstance(merged, tuple) else b"".join(merged)


def _merge_core(base: Node, mine: Node, head: Node, *, allow_lines: bool) -> Piece | What:
    cores = base.core, mine.core, head.core
    old, my, new = cores
    if my in (old, new):
        return Piece(new)
    if new == old:
        return Piece(my)
    if base.kind is Kind.IMPORTS:
        merged = merge_imports(old, my, new)
        return What.IMPORTS if merged is None else Piece(merged, fresh=True, loose=True)
    if allow_lines:
        lines = merge_lines(*map(split_lines, cores))
        if not isinstance(lines, tuple):
            return Piece(b"".join(lines), fresh=True)
    if is_layout(base, mine):
        return Piece(new, loose=True)
    if is_layout(base, head):
        return Piece(my, loose=True)
    return What.EDIT_EDIT


def is_layout(one: Node, other: Node) -> bool:
    """Tell whether two texts of a node differ in layout alone (P3). False where that cannot be told."""
    try:
        return _meaning(one) == _meaning(other)
    except (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError):
        return False


def _meaning(node: Node) -> tuple[str, list[str]]:
    text = node.core.decode()
    body = " pass\n" if node.kind is Kind.CLASS else ""
    if (node.scope and node.kind is not Kind.CLASS) or text[:1] in (" ", "\t"):
        raise ValueError("indented")
    tree = ast.dump(ast.parse(text + body))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return tree, [token.string for token in tokens if token.type == tokenize.COMMENT]
