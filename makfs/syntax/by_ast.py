"""The front end on the running Python's own parser: the judge of validity and the fast path.

Only line numbers and columns are taken from the tree; bytes are never printed from it.
"""

import ast
import re
import warnings
from collections.abc import Iterable, Iterator

from makfs.syntax.node import Kind
from makfs.syntax.statement import Statement, role

_FILENAME = "<makfs>"
_WARNED = re.compile("escape|literal")

# Parsing somebody's file must not print warnings about that file (bad escapes, `is` with a literal).
for _category in (SyntaxWarning, DeprecationWarning):
    warnings.filterwarnings("ignore", category=_category, module=re.escape(_FILENAME))

_BLOCKS: dict[type[ast.AST], str] = {
    ast.If: "#if",
    ast.For: "#for",
    ast.AsyncFor: "#for",
    ast.While: "#while",
    ast.With: "#with",
    ast.AsyncWith: "#with",
    ast.Try: "#try",
    ast.TryStar: "#try",
    ast.Match: "#match",
}
_ASSIGNMENTS: tuple[type[ast.AST], ...] = (ast.Assign, ast.AnnAssign, ast.AugAssign)
_TYPE_ALIAS: type[ast.AST] | None = getattr(ast, "TypeAlias", None)  # since Python 3.12
if _TYPE_ALIAS is not None:
    _ASSIGNMENTS = (*_ASSIGNMENTS, _TYPE_ALIAS)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SCOPES = (*_FUNCTIONS, ast.ClassDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def parse(text: str) -> ast.Module | Exception:
    """Return the tree, or the error; anything a parser may raise on somebody's bytes is caught here."""
    error = _parse(text)
    if isinstance(error, SyntaxError) and _WARNED.search(str(error)):
        # Where warnings are made errors, the parser raises them as such; the text may still be valid.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _parse(text)
    return error


def _parse(text: str) -> ast.Module | Exception:
    try:
        return ast.parse(text, _FILENAME)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return error


def statements(tree: ast.Module) -> list[Statement]:
    """Return the module's statements.

    A decorator's `@` may stand above the first line, which is where the expression behind it begins; the
    layout moves a statement up over lines that nobody else owns.
    """
    return _suite(tree.body, in_class=False)


def _suite(body: list[ast.stmt], in_class: bool) -> list[Statement]:
    found = [_statement(node, in_class) for node in body]
    if body and _is_string(body[0]):
        found[0].docstring = True
    return found


def _is_string(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _statement(node: ast.stmt, in_class: bool) -> Statement:
    kind, base, defines = _describe(node, in_class)
    first = node.lineno - 1
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)) and node.decorator_list:
        first = node.decorator_list[0].lineno - 1
    last = (node.end_lineno or node.lineno) - 1
    found = Statement(first, last, node.col_offset, kind, base, defines)
    if isinstance(node, ast.ClassDef):
        found.body = _suite(node.body, in_class=True)
    return found


def _describe(node: ast.stmt, in_class: bool) -> tuple[Kind, str, tuple[str, ...]]:
    if isinstance(node, _FUNCTIONS):
        decorators = [_dotted(each) for each in node.decorator_list]
        return Kind.METHOD if in_class else Kind.FUNC, role(node.name, decorators), ()
    if isinstance(node, ast.ClassDef):
        return Kind.CLASS, node.name, ()
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return Kind.IMPORTS, "#imports", tuple(_imported(node))
    if isinstance(node, ast.Expr):
        return Kind.EXPR, "#expr", ()
    names = tuple(_targets(node)) if isinstance(node, _ASSIGNMENTS) else ()
    if names:
        return Kind.ATTR if in_class else Kind.CONST, names[0], names if len(names) > 1 else ()
    word = _BLOCKS.get(type(node))
    if word is None:
        return Kind.STMT, "#stmt", ()
    if isinstance(node, ast.If) and not in_class and _is_main(node.test):
        return Kind.MAIN, "#main", _unique(_bound(node))
    return Kind.BLOCK, word, _unique(_bound(node))


def _dotted(node: ast.expr) -> str:
    """Return a decorator's dotted name without its call, "" for anything else."""
    parts: list[str] = []
    if isinstance(node, ast.Call):
        node = node.func
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    for alias in node.names:
        if alias.asname:
            yield alias.asname
        else:
            yield alias.name if isinstance(node, ast.ImportFrom) else alias.name.partition(".")[0]


def _targets(node: ast.AST) -> Iterator[str]:
    """Yield the plain names an assignment binds, in the order they are written."""
    if isinstance(node, ast.Assign):
        waiting: list[ast.AST] = list(reversed(node.targets))
    else:
        target = getattr(node, "target", None) or getattr(node, "name", None)
        waiting = [target] if isinstance(target, ast.AST) else []
    while waiting:
        each = waiting.pop()
        if isinstance(each, ast.Name):
            yield each.id
        elif isinstance(each, ast.Starred):
            waiting.append(each.value)
        elif isinstance(each, (ast.Tuple, ast.List)):
            waiting.extend(reversed(each.elts))


def _bound(node: ast.AST) -> Iterator[str]:
    """Yield the names a block binds in its own scope, in the order they are written."""
    waiting: list[ast.AST] = [node]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (*_FUNCTIONS, ast.ClassDef)):
            yield each.name
        elif isinstance(each, (ast.Import, ast.ImportFrom)):
            yield from _imported(each)
        elif isinstance(each, ast.Name):
            if isinstance(each.ctx, ast.Store):
                yield each.id
        elif not isinstance(each, (*_SCOPES, *_COMPREHENSIONS)):
            if isinstance(each, (ast.MatchAs, ast.MatchStar)) and each.name:
                yield each.name
            waiting.extend(reversed(list(ast.iter_child_nodes(each))))


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _is_main(test: ast.expr) -> bool:
    """Tell whether a test is `__name__ == "__main__"`, either way round."""
    if not isinstance(test, ast.Compare) or len(test.ops) != 1 or not isinstance(test.ops[0], ast.Eq):
        return False
    sides = [test.left, test.comparators[0]]
    names = [each.id for each in sides if isinstance(each, ast.Name)]
    values = [each.value for each in sides if isinstance(each, ast.Constant)]
    return names == ["__name__"] and values == ["__main__"]
