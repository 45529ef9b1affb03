"""Outlines: what of a file is shown of it."""

import pytest

from makfs.syntax.outline import outline

FILE = '''\
#!/usr/bin/env python
"""Greetings.

More words.
"""

import os

LIMIT = 12
A, B = 1, 2
x = y = [
    1,
]
table["x"] = 3
size: int = 4; other = 5


# about f
@decorator
@other(
    1,
)

def f(a, b: "dict[str, int]" = {1: 2},
      *, c=lambda: 0) -> None:  # why
    """Do f."""
    def inner(): pass
    return a


async def g(): return 1


class Foo(Bar, metaclass=Meta):
    """
    A foo,
    in lines.
    """

    attr: int
    ä = "x"; b: str = 'b'

    @property
    def run(self):
        \'\'\'Run
        on.
        \'\'\'

    class Inner:
        pass


class One: x = 1


if os.name == "x":
    def h(): ...
elif A:
    @decorator
    def h(a):
        return 2
else:
    class H:
        z = 1
try:
    import z
except ImportError:
    def z():
        return 1
finally:
    def q(): ...
if __name__ == "__main__":
    f()
'''
GOLDEN = '''\
   2| """Greetings. ..."""
   9| LIMIT = ...
  10| A, B = ...
  11| x = y = ...
  15| size: int = ...
  15| other = ...
  19| @decorator
  20| @other(
  21|     1,
  22| )
  24| def f(a, b: "dict[str, int]" = {1: 2},
  25|       *, c=lambda: 0) -> None:  # why
  26|     """Do f."""
  27|     ...
  31| async def g(): ...
  34| class Foo(Bar, metaclass=Meta):
  36|     """A foo, ..."""
  40|     attr: int
  41|     ä = ...
  41|     b: str = ...
  43|     @property
  44|     def run(self):
  45|         \'\'\'Run ...\'\'\'
  49|     class Inner:
  50|         ...
  53| class One: ...
  56| if os.name == "x":
  57|     def h(): ...
  58| elif A:
  59|     @decorator
  60|     def h(a):
  61|         ...
  62| else:
  63|     class H:
  64|         z = ...
  65| try:
  67| except ImportError:
  68|     def z():
  69|         ...
  70| finally:
  71|     def q(): ...
'''


def test_outline_shows_signatures_whole_and_nothing_else() -> None:
    """O1."""
    assert outline(FILE.encode()).decode() == GOLDEN


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_other_line_ends_count_the_same(end: str) -> None:
    assert outline(FILE.replace("\n", end).encode()).decode() == GOLDEN


def test_file_keeps_its_encoding() -> None:
    text = "# coding: latin-1\ndef größe(ä):\n    return ä\n".encode("latin-1")
    assert outline(text) == "   2| def größe(ä):\n   3|     ...\n".encode("latin-1")


def test_text_that_does_not_parse_is_outlined_by_its_nodes() -> None:
    """O2."""
    text = b'"""Doc."""\nimport os\n\nA = 1\n\n\n# about f\n@deco\ndef f(a,\n      b):\n    return a\n'
    text += b"\n\ndef g(:\n    x\n"
    assert outline(text) == b"   4| A = 1\n   9| def f(a,\n  14| def g(:\n"


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\n\n", b"\0", b"\xff\xfe", b"# coding: nonsense\nx = 1\n", b"# nothing\n", b"\xef\xbb\xbf",
        b"(((", b"def", b"class A:", b"@", b"def f(a=[lambda: (", b'"""', b"if x:\n" + b"elif y:\n    pass\n",
        b"if x:\n    def f(): pass\n" + b"elif y:\n    def f(): pass\n" * 3000,
    ],
)  # fmt: skip
def test_outline_never_raises(text: bytes) -> None:
    for line in outline(text).splitlines():
        assert line.partition(b"| ")[0].strip().isdigit()


def test_byte_order_mark_is_no_part_of_a_line() -> None:
    assert outline(b"\xef\xbb\xbfA = 1\n") == b"   1| A = ...\n"
    assert outline(b"\xef\xbb\xbfA = 1\ndef (\n").startswith(b"   1| A = 1\n")
