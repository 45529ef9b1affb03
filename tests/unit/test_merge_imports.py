"""Import runs as sets: makfs.merge.imports and makfs.merge.alias."""

# ruff: noqa: E501 - a table reads best with one case on one line

import pytest

from makfs.merge.alias import rewrite_names
from makfs.merge.imports import merge_imports

CLEAN = {
    "different modules": ("import os\n", "import os\nimport re\n", "import os\nimport sys\n", "import os\nimport sys\nimport re\n"),
    "one module, two names": ("from a import x\n", "from a import x, y\n", "from a import w, x\n", "from a import w, x, y\n"),
    "same addition twice": ("import os\n", "import os\nimport re\n", "import os\nimport re\n", "import os\nimport re\n"),
    "removed and added": ("from a import x, y\n", "from a import x\n", "from a import x, y, z\n", "from a import x, z\n"),
    "future stays first": ("import os\n", "import os\nimport re\n", "from __future__ import annotations\n\nimport os\nimport sys\n", "from __future__ import annotations\n\nimport os\nimport sys\nimport re\n"),
    "future comes first": ("import os\n", "from __future__ import annotations\nimport os\nimport re\n", "import abc\nimport os\nimport sys\n", "from __future__ import annotations\nimport abc\nimport os\nimport sys\nimport re\n"),
    "one name per line": ("from a import (\n    b,\n    d,\n)\n", "from a import (\n    b,\n    c,\n    d,\n)\n", "from a import (\n    b,\n    d,\n    e,\n)\n", "from a import (\n    b,\n    c,\n    d,\n    e,\n)\n"),
    "comments stay": ("from a import (\n    b,  # noqa\n    d,\n)\n", "from a import (\n    b,  # noqa\n    c,\n    d,\n)\n", "from a import (\n    b,  # noqa\n    c2,\n    d,\n)\n", "from a import (\n    b,  # noqa\n    c,\n    c2,\n    d,\n)\n"),
    "a comment on one side": ("from a import x\n", "from a import x, y  # why\n", "from a import w, x\n", "from a import w, x, y  # why\n"),
    "an alias": ("from a import b\n", "from a import b, c as d\n", "from a import b, e\n", "from a import b, c as d, e\n"),
    "two statements of one module": ("from a import b\nfrom a import d\n", "from a import b\nfrom a import c, d\n", "from a import b, x\nfrom a import d\n", "from a import b, x\nfrom a import c, d\n"),
    "both sorted anew": ("import b\nimport a\nimport c\n", "import a\nimport b\nimport c\nimport m\n", "import c\nimport b\nimport a\n", "import c\nimport b\nimport a\nimport m\n"),
    "submodules of one package": ("import a.b\n", "import a.b\nimport a.c\n", "import a.b\nimport a.d\n", "import a.b\nimport a.d\nimport a.c\n"),
}  # fmt: skip

REFUSED = {
    "star": ("import os\n", "from a import *\nimport os\n", "import os\nimport re\n"),
    "one name, two modules": ("import os\n", "import os\nfrom a import x\n", "import os\nfrom b import x\n"),
    "moved and taken away": (
        "from a import x, y\n",
        "from b import x\nfrom a import y\n",
        "from a import y, z\n",
    ),
    "a second statement on the line": ("import os\n", "import os; import re\n", "import os\nimport sys\n"),
    "module taken away, name added": (
        "import os\nfrom a import x\n",
        "import os\n",
        "import os\nfrom a import x, y\n",
    ),
    "comments that would be lost": (
        "from a import x\n",
        "from a import x, y  # why\n",
        "from a import w, x  # who\n",
    ),
    "not imports": ("import os\n", "import os\nx = 1\n", "import os\nimport sys\n"),
}


@pytest.mark.parametrize("case", CLEAN)
def test_imports_are_united_as_sets(case: str) -> None:
    base, mine, head, merged = (text.encode() for text in CLEAN[case])
    assert merge_imports(base, mine, head) == merged, "I1, I3"


@pytest.mark.parametrize("case", REFUSED)
def test_imports_that_are_no_sets_are_refused_whoever_comes_first(case: str) -> None:
    base, mine, head = (text.encode() for text in REFUSED[case])
    assert merge_imports(base, mine, head) is None, "I2, I4"
    assert merge_imports(base, head, mine) is None, "I2, I4"


@pytest.mark.parametrize(
    ("statement", "wanted", "result"),
    [
        ("from a import c\n", ["b", "c"], "from a import b, c\n"),
        ("from a import z, b\n", ["z", "b", "k"], "from a import z, b, k\n"),
        ("from a import B, c\n", ["B", "c", "a"], "from a import B, a, c\n"),
        ("from a import A, Z, b\n", ["A", "Z", "b", "C"], "from a import A, C, Z, b\n"),
        ("from a import (b, c,)  # why\n", ["b"], "from a import (b,)  # why\n"),
        ("from a import (\n    b,  # one\n    c,  # two\n)\n", ["b", "bb", "c"],
         "from a import (\n    b,  # one\n    bb,\n    c,  # two\n)\n"),
        ("from a import b\r\n", ["b", "c"], "from a import b, c\r\n"),
    ],
)  # fmt: skip
def test_names_are_put_where_the_list_s_own_order_has_them(
    statement: str, wanted: list[str], result: str
) -> None:
    names = [(name, "") for name in wanted]
    assert rewrite_names(statement.encode(), names) == result.encode(), "A1, A2"


@pytest.mark.parametrize("statement", ["import a\n", "from a import *\n", "x = 1\n", "from a import (\n", ""])
def test_only_a_plain_from_import_is_rewritten(statement: str) -> None:
    assert rewrite_names(statement.encode(), [("b", "")]) is None
