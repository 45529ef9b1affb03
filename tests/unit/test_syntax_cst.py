"""Import runs as items, and signatures that change when their users must look again."""

import pytest

from makfs.syntax import ImportItem, import_items, import_statements, signature_hash, split
from makfs.syntax.by_tree import is_deep
from makfs.syntax.cst import accepts

RUN = (
    b"# top\nfrom __future__ import annotations\n\n# why\nimport os, sys as s\n"
    b"from . import (  # noqa\n    a,\n    b as c,\n)\nfrom ..x.y import *\nimport j; import k.l"
)


def test_import_items_tell_module_name_and_alias() -> None:
    assert import_items(RUN) == (
        ImportItem("__future__", "annotations", None, 0),
        ImportItem("", "os", None, 1),
        ImportItem("", "sys", "s", 1),
        ImportItem(".", "a", None, 2),
        ImportItem(".", "b", "c", 2),
        ImportItem("..x.y", "*", None, 3),
        ImportItem("", "j", None, 4),
        ImportItem("", "k.l", None, 4),
    )


def test_import_items_bind_what_the_splitter_says() -> None:
    items = import_items(RUN)
    assert items is not None
    assert tuple(item.bound for item in items) == split("a.py", RUN).nodes[-1].defines


@pytest.mark.parametrize(
    "text",
    [
        RUN,
        RUN + b"\n",
        RUN.replace(b"\n", b"\r\n"),
        b"\n    # c\n    import a\n    from b import (\n  c)\n",
        b"\xef\xbb\xbfimport a\n",
        b"import a \\\n\n",
        b"\timport a",
    ],
)
def test_import_statements_lose_no_byte(text: bytes) -> None:
    run = import_statements(text)
    assert run
    assert b"".join(statement.lead + statement.core for statement in run) == text


def test_import_statements_tell_the_plain_ones() -> None:
    run = import_statements(RUN)
    assert run is not None
    assert [statement.plain for statement in run] == [True, True, False, True, False]
    assert run[1].lead == b"\n# why\n"


@pytest.mark.parametrize(
    "text", [b"", b"# c\n", b"x = 1\n", b"import a\nx = 1\n", b"import\n", b"import a\0", b"\xff"]
)
def test_import_statements_are_none_of_anything_else(text: bytes) -> None:
    assert import_statements(text) is None
    assert import_items(text) is None


DEF = "@d\ndef f(a: int, *, b=1) -> str:\n    return a\n"
CLASS = "@d\nclass A(B, metaclass=M):\n    '''doc'''\n"


def signature(text: str) -> bytes:
    return signature_hash(split("a.py", text.encode()).nodes[0])


SAME = {
    "another body": (DEF, DEF.replace("return a", "return b")),
    "comments": (DEF, "# c\n" + DEF.replace(":\n", ":  # c\n")),
    "layout": (DEF, DEF.replace("(a: int, *, b=1)", "(\n    a: int,\n    *,\n    b = (1),\n)")),
    "blank lines": (DEF, "\n\n" + DEF),
    "a docstring of a class": (CLASS, CLASS.replace("doc", "other")),
    "members of a class": (CLASS, CLASS + "    x = 1\n"),
    "no docstring": (CLASS, CLASS.replace("    '''doc'''", "    x = 1")),
    "the order of imports": ("import a\nimport b\n", "import b\nimport a  # c\n"),
    "space around a constant": ("X = 1\n", "\nX = 1"),
    "a nested class": ("class A:\n    x = 1\n", "class A:\n\n    y = 1\n"),
}
OTHER = {
    "a name": (DEF, DEF.replace("f(", "g(")),
    "a parameter": (DEF, DEF.replace("a: int", "c: int")),
    "a default": (DEF, DEF.replace("b=1", "b=2")),
    "an annotation": (DEF, DEF.replace("-> str", "-> bytes")),
    "a kind of parameter": (DEF, DEF.replace("*, ", "")),
    "a decorator": (DEF, DEF.replace("@d", "@e")),
    "async": (DEF, DEF.replace("def", "async def")),
    "a base": (CLASS, CLASS.replace("B,", "C,")),
    "a keyword": (CLASS, CLASS.replace("=M", "=N")),
    "an import": ("import a\n", "import b\n"),
    "a value": ("X = 1\n", "X = 2\n"),
    "newer syntax": ("def f[T](a: T): ...\n", "def f[T: int](a: T): ...\n"),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME.keys())
def test_signature_hash_stays_with(one: str, other: str) -> None:
    assert signature(one) == signature(other)
    assert len(signature(one)) == 16


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER.keys())
def test_signature_hash_changes_with(one: str, other: str) -> None:
    assert signature(one) != signature(other)


def test_signature_hash_of_a_method_does_not_hang_on_its_indentation() -> None:
    text = b"class A:\n    def m(self): ...\n"
    wide = text.replace(b"    ", b"\t")
    hashes = [signature_hash(split("a.py", each).nodes[1]) for each in (text, wide)]
    assert hashes[0] == hashes[1]


def test_signature_hash_takes_what_it_cannot_parse() -> None:
    text = b"# coding: latin-1\ndef f(a='\xe9'): ...\n"
    nodes = split("a.py", text).nodes
    assert signature_hash(nodes[1]) != signature_hash(split("a.py", text.replace(b"\xe9", b"\xe8")).nodes[1])
    assert len(signature_hash(split("a.py", b"def f(\n").nodes[0])) == 16


def test_is_deep_keeps_text_from_a_parser_that_would_end_the_process() -> None:
    assert is_deep("(" * 5000 + ")" * 5000)
    assert is_deep("[" * 5000)
    assert is_deep("if a: pass\n" + "elif a: pass\n" * 5000)
    assert not is_deep("x = [" + "1, " * 5000 + "]")
    assert not is_deep("f(g(h(1)))\n" * 1000)
    assert not accepts("(" * 5000 + ")" * 5000)
    assert accepts("type X = int\n")
