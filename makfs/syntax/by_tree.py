"""The front end on tree-sitter: takes newer syntax than the running Python's, and broken text as it can.

It accepts much that is not valid, so it never judges; `tolerant` does, piece by piece.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from unicodedata import normalize

import tree_sitter_python
from tree_sitter import Language, Node, Parser

from makfs.syntax import node as nodes
from makfs.syntax.statement import BLOCK_WORDS, Statement, role

_MAX_DEPTH = 200
_LONE_CR = re.compile(rb"\r(?!\n)")
_IMPORTS = frozenset({"import_statement", "import_from_statement", "future_import_statement"})
_DEFINITIONS = frozenset({"function_definition", "class_definition"})
_SIMPLE = frozenset(
    {
        "expression_statement",
        "type_alias_statement",
        "return_statement",
        "delete_statement",
        "raise_statement",
        "pass_statement",
        "break_statement",
        "continue_statement",
        "global_statement",
        "nonlocal_statement",
        "assert_statement",
        "print_statement",
        "exec_statement",
    }
)
_CLOSED = frozenset(
    {*_DEFINITIONS, "lambda", "list_comprehension", "set_comprehension", "dictionary_comprehension"}
    | {"generator_expression"}
)


@cache
def _parser() -> Parser:
    return Parser(Language(tree_sitter_python.language()))


def parse(text: str) -> Node:
    """Return the root of a text's tree. Never fails; broken parts are ERROR nodes."""
    # A lone CR ends a line in Python and does not in this grammar; LF has the same length.
    data = _LONE_CR.sub(b"\n", text.encode("utf-8", "surrogatepass"))
    return _parser().parse(data).root_node


def is_deep(text: str) -> bool:
    """Tell whether a text nests so deeply that a recursive parser might exhaust the machine's stack."""
    cursor = parse(text).walk()
    depth = wide = 0
    while True:
        inside = cursor.node
        if inside is not None and (inside.is_error or inside.type == "if_statement"):
            wide = max(wide, inside.child_count)  # brackets never closed; `elif` after `elif`
        if depth > _MAX_DEPTH or wide > 2 * _MAX_DEPTH:
            return True
        if cursor.goto_first_child():
            depth += 1
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return False
            depth -= 1


def statements(text: str) -> list[Statement]:
    """Return the statements of a text; parts that do not parse are of the kind BROKEN."""
    encoded = text.encode("utf-8", "surrogatepass")
    offsets = [0, *accumulate(map(len, encoded.splitlines(keepends=True)))]
    return _Reader(offsets).suite(parse(text), in_class=False)


class _Reader:
    """Turns tree-sitter's nodes into statements. `offsets`: where each line begins, in UTF-8."""

    def __init__(self, offsets: list[int]) -> None:
        self.offsets = offsets

    def _line(self, byte: int) -> int:
        return bisect_right(self.offsets, byte) - 1

    def suite(self, parent: Node, in_class: bool) -> list[Statement]:
        """Return the statements of a module or of a class's block."""
        children = [child for child in parent.children if _is_code(child) and child.type != ";"]
        found = [self._statement(child, in_class) for child in children]
        if children and _is_string(children[0]):
            found[0].docstring = True
        return found

    def _statement(self, node: Node, in_class: bool) -> Statement:
        kind, base, defines = _describe(node, in_class)
        first = self._line(node.start_byte)
        last = self._line(max(_end(node) - 1, node.start_byte))
        found = Statement(first, last, node.start_byte - self.offsets[first], kind, base, defines)
        inner = _definition(node)
        body = inner.child_by_field_name("body") if inner.type == "class_definition" else None
        if body is not None:
            found.body = self.suite(body, in_class=True)
        return found


def _is_code(node: Node) -> bool:
    """Tell whether a node is more than a comment, a joined line or an empty token."""
    return node.end_byte > node.start_byte and (node.is_error or not node.is_extra)


def _end(node: Node) -> int:
    """Return where a statement's text ends: comments and empty tokens after it are not part of it."""
    while True:
        inner = [child for child in node.children if _is_code(child)]
        if not inner:
            return node.end_byte
        node = inner[-1]


def _definition(node: Node) -> Node:
    if node.type == "decorated_definition":
        return node.child_by_field_name("definition") or node
    return node


def _text(node: Node | None) -> str:
    """Return a node's text; identifiers in it as Python compares them (NFKC)."""
    text = (node.text or b"").decode("utf-8", "replace") if node is not None else ""
    return text if text.isascii() else normalize("NFKC", text)


def _is_string(node: Node) -> bool:
    """Tell whether a statement is a docstring: a string, or strings side by side, without formatting."""
    if node.type != "expression_statement" or node.named_child_count != 1:
        return False
    string: Node | None = node.named_children[0]
    while string is not None and string.type == "parenthesized_expression":
        inner = [child for child in string.named_children if not child.is_extra]
        string = inner[0] if len(inner) == 1 else None
    if string is None:
        return False
    parts = string.named_children if string.type == "concatenated_string" else [string]
    return all(part.is_extra or (part.type == "string" and _is_plain(part)) for part in parts)


def _is_plain(string: Node) -> bool:
    prefix = _text(string.children[0]).rstrip("\"'").lower()
    return not set(prefix) & set("fbt")


def _describe(node: Node, in_class: bool) -> tuple[nodes.Kind, str, tuple[str, ...]]:
    kind = nodes.Kind
    inner = _definition(node)
    if inner.type == "function_definition":
        name = role(_text(inner.child_by_field_name("name")), _decorators(node))
        return kind.METHOD if in_class else kind.FUNC, name, ()
    if inner.type == "class_definition":
        return kind.CLASS, _text(inner.child_by_field_name("name")), ()
    if node.type in _IMPORTS:
        return kind.IMPORTS, "#imports", tuple(_imported(node))
    if node.type in ("expression_statement", "type_alias_statement"):
        return _simple(node, in_class)
    word = node.type.removesuffix("_statement")
    if word in BLOCK_WORDS:
        defines = tuple(dict.fromkeys(_bound(node)))
        if word == "if" and not in_class and _is_main(node):
            return kind.MAIN, "#main", defines
        return kind.BLOCK, f"#{word}", defines
    return (kind.STMT, "#stmt", ()) if node.type in _SIMPLE else (kind.BROKEN, "#broken", ())


def _simple(node: Node, in_class: bool) -> tuple[nodes.Kind, str, tuple[str, ...]]:
    kind = nodes.Kind
    inner = node.named_children[0] if node.named_children else node
    is_assignment = inner.type in ("assignment", "augmented_assignment")
    if not is_assignment and node.type != "type_alias_statement":
        return kind.EXPR, "#expr", ()
    names = tuple(_targets(inner)) if is_assignment else (re.split(r"\W", _text(inner), maxsplit=1)[0],)
    if names:
        return kind.ATTR if in_class else kind.CONST, names[0], names if len(names) > 1 else ()
    return kind.STMT, "#stmt", ()


def _decorators(node: Node) -> list[str]:
    """Return the dotted names of a definition's decorators, without calls."""
    found: list[str] = []
    for child in node.children:
        if child.type == "decorator":
            text = _text(child)[1:].partition("(")[0].partition("#")[0].strip()
            found.append(text if re.fullmatch(r"[\w.]+", text) else "")
    return found


def _imported(node: Node) -> Iterator[str]:
    is_plain = node.type == "import_statement"
    for child in node.children_by_field_name("name"):
        if child.type == "aliased_import":
            yield _text(child.child_by_field_name("alias"))
        else:
            name = "".join(_text(child).split())
            yield name.partition(".")[0] if is_plain else name
    if any(child.type == "wildcard_import" for child in node.children):
        yield "*"


def _targets(node: Node) -> Iterator[str]:
    """Yield the plain names an assignment binds, `a = b = 1` included, in order."""
    inner: Node | None = node
    while inner is not None and inner.type in ("assignment", "augmented_assignment"):
        left = inner.child_by_field_name("left")
        if left is not None:
            yield from _names(left)
        inner = inner.child_by_field_name("right")


def _names(target: Node) -> Iterator[str]:
    """Yield the names bound by a target; attributes and subscripts bind none."""
    waiting = [target]
    while waiting:
        each = waiting.pop()
        if each.type == "identifier" or (each.type == "keyword_identifier"):
            yield _text(each)
        elif each.type not in ("attribute", "subscript", "call"):
            waiting.extend(reversed(each.named_children))


def _bound(node: Node) -> Iterator[str]:
    """Yield the names a block binds in its own scope, in order."""
    waiting = [node]
    while waiting:
        each = waiting.pop()
        if each.type in _DEFINITIONS:
            yield _text(each.child_by_field_name("name"))
        elif each.type in _IMPORTS:
            yield from _imported(each)
        elif each.type not in _CLOSED:
            if each.type == "assignment":
                yield from _targets(each)
            elif each.type in ("augmented_assignment", "for_statement"):
                left = each.child_by_field_name("left")
                yield from _names(left) if left is not None else ()
            elif each.type == "as_pattern_target" and not _is_caught(each):
                yield from _names(each)
            elif each.type == "named_expression":
                yield _text(each.child_by_field_name("name"))
            waiting.extend(reversed(each.named_children))


def _is_caught(target: Node) -> bool:
    """Tell whether a name is an `except ... as name`: it is gone after its clause."""
    pattern = target.parent
    return pattern is not None and pattern.parent is not None and pattern.parent.type.startswith("except")


def _is_main(node: Node) -> bool:
    test = "".join(_text(node.child_by_field_name("condition")).split()).replace("'", '"')
    return test in ('__name__=="__main__"', '"__main__"==__name__', '(__name__=="__main__")')
