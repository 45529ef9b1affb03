"""Whether two texts of a node mean the same to Python and to its reader: what a formatter may change.

M1  Equal are the syntax tree, docstrings as `inspect.cleandoc` shows them, and the comments in order. Layout,
    quotes, parentheses that change nothing and trailing commas may differ.
"""

import ast
import inspect
import io
import tokenize

from makfs.syntax.by_tree import is_deep

_FAILURES = (SyntaxError, ValueError, RecursionError, MemoryError, tokenize.TokenError)
_DOCUMENTED = (ast.Module, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def same_meaning(one: bytes, other: bytes) -> bool:
    """Tell whether two texts of one node are equal but for layout (M1); False if either does not parse.

    Cost: some 10 us a line; asked only where two agents are at the same node.
    """
    if one == other:
        return True
    try:
        return _meaning(one) == _meaning(other)
    except _FAILURES:
        return False


def _meaning(text: bytes) -> tuple[str, list[str]]:
    source = text.decode("utf-8")
    if is_deep(source):
        raise ValueError
    code = [line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if code and code[0][0] in " \t":
        source = "if 1:\n" + source
    try:
        tree = ast.parse(source)
    except SyntaxError:  # a class header, whose members are other nodes
        margin = code[0][: len(code[0]) - len(code[0].lstrip())] if code else ""
        source = source.rstrip("\r\n") + f"\n{margin} pass\n"
        tree = ast.parse(source)
    for node in ast.walk(tree):
        _clean_docstring(node)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return ast.dump(tree), [token.string.rstrip() for token in tokens if token.type == tokenize.COMMENT]


def _clean_docstring(node: ast.AST) -> None:
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
        (first, *_) = node.body
        assert isinstance(first, ast.Expr)
        assert isinstance(first.value, ast.Constant)
        first.value.value = inspect.cleandoc(str(first.value.value)).strip()
