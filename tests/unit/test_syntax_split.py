"""Where one node ends and the next begins, what each is called, and that no byte is lost."""

import pytest

from makfs.syntax import Kind, Source, address, by_ast, by_tree, is_source, lines, parses, split
from makfs.syntax.decode import decode, encoding_of
from makfs.syntax.layout import lay_out, without_mark
from makfs.syntax.splitting import to_nodes


def texts(text: str) -> list[str]:
    """Return the nodes' texts, and check what holds for every text on the way."""
    source = split("a.py", text.encode())
    assert source.text == text.encode(), "N1"
    assert source.nodes == by_trees(text.encode()).nodes, "both front ends draw the same lines"
    return [node.text.decode() for node in source.nodes]


def by_trees(text: bytes) -> Source:
    """Split with the tolerant front end alone."""
    decoded = decode(text, encoding_of(text))
    assert decoded is not None
    rows = text.splitlines(keepends=True)
    return Source(tuple(to_nodes(lay_out(without_mark(rows), by_tree.statements(decoded)), rows)), True)


def names(text: str) -> list[str]:
    return [node.qualname for node in split("a.py", text.encode()).nodes]


LEADS = {
    "blank lines belong to what follows": ["x = 1\n", "\n\ny = 2\n"],
    "a detached comment belongs to what follows": ["x = 1\n", "# on its own\n\ny = 2\n"],
    "a touching comment belongs to its statement": ["x = 1\n", "# about y\ny = 2\n"],
    "a decorator belongs to its function": ["x = 1\n", "\n@a\n@b(\n    1\n)\ndef f(): ...\n"],
    "a comment between decorators stays there": ["x = 1\n", "@a\n# why\ndef f(): ...\n"],
    "a decorator in brackets begins at its mark": ["x = 1\n", "@(\n    a\n)\ndef f(): ...\n"],
    "a deeper comment belongs to the body above": ["def f():\n    pass\n\n    # of f\n", "\ndef g(): ...\n"],
    "a deeper comment ends at a shallower one": [
        "def f():\n    pass\n    # f\n",
        "# g\n    # g\ndef g(): ...\n",
    ],
    "a deeper comment needs a body": ["x = 1\n", "    # floating\ny = 2\n"],
    "statements that share a line are one": ["x = 1; y = 2\n", "z = 3\n"],
    "a string that ends on another's line joins them": ['x = """\n"""; y = 2\n', "z = 3\n"],
    "a backslash joins lines": ["x = \\\n  1\n", "y = 2\n"],
    "a backslash joins statements": ["x = 1; \\\ny = 2\n", "z = 3\n"],
    "a backslash joins a blank line": ["x = 1 \\\n\n", "y = 2\n"],
    "a backslash in a comment joins nothing": ["x = 1  # \\\n", "y = 2\n"],
    "a backslash above a statement is its own": ["x = 1\n", "\n\\\ny = 2\n"],
    "imports are one run": ["import a\n\n# c\nfrom b import (\n    c,\n)\n", "\nx = 1\n"],
    "a run of imports ends at a statement": ["import a\n", "x = 1\n", "import b\n"],
    "an import that shares a line is no run": ["import a\n", "import b; b.c()\n"],
    "comments after the last statement are the tail": ["def f():\n    pass\n", "\n# end\n"],
    "a licence is the header": ["# licence\n# more\n", "\nimport a\n"],
    "a docstring is the header": ["#!/bin/sh\n\n# c\n'''doc'''\n", "\n# c\nimport a\n"],
    "a shebang is the header": ["#!/bin/sh\n", "# about a\nimport a\n"],
    "a coding line is the header": ["#!/bin/sh\n# coding: utf-8\n", "import a\n"],
    "a comment that touches the first statement is not the header": ["# about a\nimport a\n"],
    "a string after a statement is no docstring": ["import a\n", "'''no doc'''\n"],
    "a byte order mark goes with the first line": ["\ufeff# licence\n", "\nimport a\n"],
    "a byte order mark may touch code": ["\ufeffimport a\n", "x = 1\n"],
    "comments alone are a header": ["# only\n", "\n# comments\n"],
    "blank lines alone are a tail": ["\n\n"],
    "a block is one leaf": [
        "if a:\n    x = 1\nelse:\n\n    def f(): ...\n",
        "try:\n    a\nfinally:\n    b\n",
    ],
    "form feeds are blank": ["x = 1\n", "\f\ny = 2\n"],
    "line separators of other worlds end nothing": ["x = '\u2028\x85\x1c'\n", "y = '\x0b'\n"],
    "lone carriage returns end lines": ["x = 1\r", "\ry = 2\r"],
    "carriage return and newline are one end": ["x = 1\r\n", "\r\ny = 2\r\n"],
    "no newline at the end": ["x = 1\n", "\ndef f():\n    pass"],
    "a class is its header and its members": [
        "@d\nclass A(\n    B\n):\n    '''doc'''\n",
        "\n    # c\n    x = 1\n",
        "\n    def f(self): ...\n",
        "\nx = 1\n",
    ],
    "a class without a docstring ends its header at the colon": ["class A:\n", "\n    # c\n\n    x = 1\n"],
    "a class on one line is a header": ["class A: x = 1; y = 2\n", "x = 1\n"],
    "a class joined by a backslash is a header": ["class A: \\\n  x = 1\n", "x = 1\n"],
    "a docstring that shares its line takes the rest along": [
        "class A:\n    '''d'''; x = 1\n",
        "    y = 2\n",
    ],
    "comments below the last member are the class's tail": [
        "class A:\n",
        "    def f(self):\n        pass\n        # f\n",
        "    # A\n",
        "# module\n\nx = 1\n",
    ],
    "nested classes end where comments say": [
        "class A:\n",
        "    class B:\n",
        "        x = 1\n",
        "        # B\n",
        "    # A\n",
        "\nx = 1\n",
    ],
    "a tab reaches to the eighth column": [
        "class A:\n",
        "\tdef f(self):\n\t\tpass\n",
        "      # A\n",
    ],
    "tabs and spaces are compared as Python does": [
        "class A:\n",
        "\tdef f(self):\n\t\tpass\n        \t# f\n",
    ],
}


@pytest.mark.parametrize("nodes", LEADS.values(), ids=LEADS.keys())
def test_split_gives_each_line_to_its_node(nodes: list[str]) -> None:
    assert texts("".join(nodes)) == nodes


def test_split_counts_the_lead_apart_from_the_statement() -> None:
    node = split("a.py", b"x = 1\n\n# far\n\n# near\n@d\ndef f(): ...\n").nodes[1]
    assert node.text[: node.lead_bytes] == b"\n# far\n\n"
    assert node.core == b"# near\n@d\ndef f(): ...\n"


def test_split_takes_lines_of_the_statement_itself_for_no_lead() -> None:
    assert split("a.py", b"\\\nx = 1\n").nodes[0].lead_bytes == 0
    assert split("a.py", b"x = 1\n@(\n    a\n)\ndef f(): ...\n").nodes[1].lead_bytes == 0


NAMES = {
    "'''d'''\nimport a\nX = 1\ndef f(): ...\nclass A:\n    y = 1\n    def m(self): ...\n    class B: ...\n": [
        "#header", "#imports", "X", "f", "A#header", "A.y", "A.m", "A.B#header",
    ],
    "f = 1\nf = 2\ndef f(): ...\n": ["f", "f~2", "f~3"],
    "class A:\n    x = 1\nclass A:\n    x = 1\n": ["A#header", "A.x", "A~2#header", "A~2.x"],
    "@overload\ndef f(a): ...\n@t.overload\ndef f(b): ...\ndef f(c): ...\n": [
        "f[overload:1]", "f[overload:2]", "f",
    ],
    "class A:\n    @property\n    def p(self): ...\n    @p.setter\n    def p(self, v): ...\n    @p.deleter\n"
    "    def p(self): ...\n": ["A#header", "A.p", "A.p[setter]", "A.p[deleter]"],
    "if a:\n    b = 1\nif c: d()\nfor e in f: ...\nwith g: ...\nwhile h: ...\ntry: i\nfinally: j\n": [
        "#if", "#if~2", "#for", "#with", "#while", "#try",
    ],
    "if __name__ == '__main__':\n    a()\nb()\nassert c\na.b = 1\na[0] = 1\n": [
        "#main", "#expr", "#stmt", "#stmt~2", "#stmt~3",
    ],
    "a, (b, *c) = 1\nd: int\ne += 1\n__all__ = []\n": ["a", "d", "e", "__all__"],
    "import a\nx = 1\nimport b\n# end\n": ["#imports", "x", "#imports~2", "#tail"],
    "class A:\n    import os\n    if x: ...\n    '''s'''\n    # end\n": [
        "A#header", "A#imports", "A#if", "A#expr", "A#tail",
    ],
    "ﬁ = 1\ndef ªb(): ...\n": ["fi", "ab"],
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), NAMES.items())
def test_split_names_every_node_once(text: str, expected: list[str]) -> None:
    assert names(text) == expected
    texts(text)


def test_split_tells_what_imports_blocks_and_lists_of_names_bind() -> None:
    text = b"import a.b, c as d\nfrom e import f as g, h\nx, y = 1\n"
    text += b"try:\n    import z\nexcept E as e:\n    z = w = None\n"
    assert [node.defines for node in split("a.py", text).nodes] == [
        ("a", "d", "g", "h"),
        ("x", "y"),
        ("z", "w"),
    ]
    loop = b"for i, j in k:\n    with l as m, n as (o, p): ...\n    def q():\n        r = 1\n"
    loop += b"    [s for s in t]\n    (u := 1)\n"
    assert split("a.py", loop).nodes[0].defines == ("i", "j", "m", "o", "p", "q", "u")
    match = b"match a:\n    case [b, *c]: d = 1\n    case {'e': f} as g: ...\n"
    assert set(split("a.py", match).nodes[0].defines) == set("bcdfg")


OPAQUE = {
    "not source": ("a.txt", b"x = 1\n", True),
    "a null byte": ("a.py", b"x = 1\0\n", False),
    "not UTF-8": ("a.py", b"x = '\xe9'\n", False),
    "an unknown codec": ("a.py", b"# coding: klingon\n", False),
    "a codec that is no text": ("a.py", b"# coding: hex\n", False),
    "a codec whose newlines are others": ("a.py", b"# coding: utf-7\nx = 1\n", False),
    "a codec with states": ("a.py", b"# coding: iso2022_jp\nx = 1\n", False),
    "a codec that makes newlines": ("a.py", b"# coding: unicode_escape\nx = 1\n", False),
    "a mark that contradicts the coding line": ("a.py", b"\xef\xbb\xbf# coding: latin-1\n", False),
}


@pytest.mark.parametrize(("path", "text", "valid"), OPAQUE.values(), ids=OPAQUE.keys())
def test_split_leaves_what_it_cannot_read_as_one_node(path: str, text: bytes, valid: bool) -> None:
    source = split(path, text)
    assert [(node.kind, node.text) for node in source.nodes] == [(Kind.OPAQUE, text)]
    assert source.valid is valid is parses(path, text)


def test_split_leaves_a_large_file_as_one_node_of_which_nothing_is_known_to_be_wrong() -> None:
    assert split("a.py", b"x = 1\n" * 100, max_bytes=599).nodes[0].kind is Kind.OPAQUE
    assert split("a.py", b"x = (\n" * 100, max_bytes=599).valid
    assert len(split("a.py", b"x = 1\n" * 100, max_bytes=600).nodes) == 100


def test_split_of_nothing_is_nothing() -> None:
    assert split("a.py", b"") == Source((), True)


@pytest.mark.parametrize("coding", ["latin-1", "cp1252", "koi8-r", "utf8", "euc-jp"])
def test_split_reads_the_coding_line(coding: str) -> None:
    text = f"#!/usr/bin/python\n# vim: set fileencoding={coding} :\n".encode() + b"x = '\xb1\xb2'\n" * (
        coding != "utf8"
    )
    assert split("a.py", text).valid
    assert split("a.py", text).text == text


def test_split_takes_a_coding_line_only_from_the_first_two_lines() -> None:
    assert encoding_of(b"\n\n# coding: latin-1\n") == "utf-8"
    assert encoding_of(b"x = 1\n# coding: latin-1\n") == "utf-8"
    assert encoding_of(b"\n# coding: latin-1\n") == "iso8859-1"


NEWER = [
    b"type X = int\n",
    b"def f[T: int](x: T) -> T:\n    return x\n",
    b"class A[T]:\n    x = 1\n\n    def m(self): ...\n",
    b'x = f"{a["b"]}"\n',
    b"def f(): ...\n\n\n@d\n# c\ndef g[T](): ...\n\nx = 1\n",
]


@pytest.mark.parametrize("text", NEWER)
def test_split_takes_newer_syntax_than_its_own_python(text: bytes) -> None:
    source = split("a.py", text)
    assert source.valid
    assert parses("a.py", text)
    assert not {Kind.BROKEN, Kind.STMT} & {node.kind for node in source.nodes}
    assert source.nodes == by_trees(text).nodes


def test_split_reads_beside_newer_syntax_what_tree_sitter_does_not_know() -> None:
    text = "from __future__ import *\n\n\nclass A:\n    @a\n# why\n    def f(self): ...\n\n\n'''no doc'''\n"
    assert names(text + "type X = int\n") == [*names(text), "X"]
    assert names("x = 1\n'''d'''; y = 2\ntype X = int\n") == ["x", "#stmt", "X"]


def test_split_joins_a_decorator_that_tree_sitter_cuts_off_its_function() -> None:
    text = "@a\n    # c\n\ndef f(): ...\n\n\n@a\n\t# c\nclass A: ...\n"
    assert names(text + "type X = int\n") == [*names(text), "X"]


BROKEN = {
    "an open bracket": b"x = (1\n",
    "a stray indent": b"x = 1\n   y = 2\n",
    "a wrong dedent, that tree-sitter lets through": b"if a:\n        x = 1\n    y = 2\n",
    "a default before none, that tree-sitter lets through": b"def f(a=1, b): ...\n",
    "a bad escape, that grammars let through": b"x = '\\N{none such}'\n",
    "a byte that is none, that grammars let through": "x = b'\xe9'\n".encode(),
    "a statement of Python 2, that tree-sitter lets through": b"print 'x'\n",
    "an empty body": b"class A:\n",
    "a mark of a conflict": b"<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> b\n",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_split_of_broken_text_is_not_valid_and_loses_nothing(text: bytes) -> None:
    for whole in (text, b"a = 1\n\n\n" + text, text + b"\n\ndef f():\n    pass\n"):
        source = split("a.py", whole)
        assert not source.valid
        assert not parses("a.py", whole)
        assert source.text == whole
        assert Kind.BROKEN in {node.kind for node in source.nodes}


def test_split_of_broken_text_keeps_what_stands_apart_from_the_fault() -> None:
    text = b"import a\n\n\ndef f():\n    return (\n\n\ndef g():\n    return 1\n\n\nx = 1\n"
    kept = [node.qualname for node in split("a.py", text).nodes if node.kind is not Kind.BROKEN]
    assert "#imports" in kept
    assert "x" in kept


DEEP = {
    "brackets": b"(" * 20_000 + b")" * 20_000,
    "open brackets": b"[" * 20_000,
    "attributes": b"a" + b".b" * 20_000,
    "sums": b"1" + b"+1" * 20_000,
    "negations": b"not " * 20_000 + b"1",
    "elifs": b"if a: pass\n" + b"elif a: pass\n" * 20_000,
    "blocks": b"".join(b" " * depth + b"if a:\n" for depth in range(150)) + b" " * 150 + b"a",
    "newer syntax": b"type X = int\nx = " + b"(" * 5_000 + b")" * 5_000,
}


@pytest.mark.parametrize("text", DEEP.values(), ids=DEEP.keys())
def test_split_survives_deep_nesting(text: bytes) -> None:
    assert split("a.py", text + b"\n").text == text + b"\n"


def test_split_does_not_mind_warnings_about_the_text() -> None:
    assert not isinstance(by_ast.parse(r"x = '\d'"), Exception), "here warnings are errors"
    assert split("a.py", rb"x = '\d'" + b"\ny = 1if 1else 2\n").valid


def test_lines_are_counted_from_one() -> None:
    source = split("a.py", b"import a\r\n\r\n\r\ndef f():\r    pass\nx = 1")
    assert lines(source) == ((1, 1), (2, 5), (6, 6))


def test_address_says_path_and_name() -> None:
    source = split("p/a.py", b"class A:\n    def m(self): ...\n")
    assert [address("p/a.py", node) for node in source.nodes] == ["p/a.py::A#header", "p/a.py::A.m"]
    assert address("a.bin", split("a.bin", b"\0").nodes[0]) == "a.bin"


def test_is_source_goes_by_the_suffix() -> None:
    assert is_source("a/b.py")
    assert is_source("b.pyi")
    assert not is_source("b.pyc")
    assert not is_source("py")


def test_both_front_ends_describe_alike() -> None:
    text = "@a.b(1)\nclass A(B):\n    '''d'''\n    x: int = 1\n    async def m(self): ...\n"
    tree = by_ast.parse(text)
    assert not isinstance(tree, Exception)
    assert by_ast.statements(tree) == by_tree.statements(text)
