"""The tables of what merges and what does not: makfs.merge.merge_file on Python files."""

# ruff: noqa: E501 - a table reads best with one case on one line

import pytest

from makfs.ids import NodeUid
from makfs.merge import Conflict, Merged, What, merge_file, merge_sources
from makfs.syntax import identify

HEADER = '"""A module."""\n\nimport os\n'
F = "\n\ndef f(a):\n    x = a + 1\n    y = x + 2\n    z = y + 3\n    return z\n"
G = "\n\ndef g(b):\n    return os.path.join(b, b)\n"
H = "\n\ndef h(c):\n    for each in c:\n        print(each)\n"
K = "\n\ndef k():\n    return {}\n"
A = "\n\nclass A:\n    one = 1\n\n    def m(self):\n        return self.one\n\n    def n(self):\n        return 2\n"
BASE = HEADER + F + G + A
P1 = "\n\ndef p1():\n    return re.I\n"
P2 = "\n\ndef p2():\n    return re.M\n"
REGEX = "import re\n" + P1 + K + P2 + F
CALL = "def c():\n    x = f(\n        1,\n        2,\n        3,\n        4,\n    )\n"
NEW = "\n    def {0}(self):\n        return '{0}'\n"

CLEAN = {
    "different nodes": (
        BASE,
        BASE.replace("x = a + 1", "x = a + 10"),
        BASE.replace("return 2", "return 22"),
        BASE.replace("x = a + 1", "x = a + 10").replace("return 2", "return 22"),
    ),
    "two functions appended": (HEADER + F, HEADER + F + G, HEADER + F + H, HEADER + F + H + G),
    "two methods appended": (BASE, BASE + NEW.format("p"), BASE + NEW.format("q"), BASE + NEW.format("q") + NEW.format("p")),
    "appended, last one edited": (HEADER + F, HEADER + F + G, HEADER + F.replace("+ 3", "+ 4"), HEADER + F.replace("+ 3", "+ 4") + G),
    "class header and method": (BASE, BASE.replace("class A:", "class A(dict):"), BASE + NEW.format("p"), BASE.replace("class A:", "class A(dict):") + NEW.format("p")),
    "reordered and edited": (BASE, HEADER + G + F + A, BASE.replace("b, b", "b"), HEADER + G.replace("b, b", "b") + F + A),
    "reordered and both appended": (HEADER + F + G, HEADER + G + F + K, HEADER + F + G + H, HEADER + G + F + H + K),
    "blank lines and edit": (BASE, BASE.replace("\n\ndef g", "\n\n\n\ndef g"), BASE.replace("b, b", "b"), BASE.replace("\n\ndef g", "\n\n\n\ndef g").replace("b, b", "b")),
    "blank lines and edit that touch": (BASE, BASE.replace("\n\ndef g", "\n\n\n\ndef g"), BASE.replace("def g(b)", "def g(b=1)"), BASE.replace("\n\ndef g(b)", "\n\n\n\ndef g(b=1)")),
    "blank lines twice": (BASE, BASE.replace("\n\ndef g", "\ndef g"), BASE.replace("\n\ndef g", "\n\n\n\ndef g"), BASE.replace("\n\ndef g", "\n\n\n\ndef g")),
    "the same addition": (HEADER + F, HEADER + F + K, HEADER + F + K, HEADER + F + K),
    "the same addition and more": (HEADER + F, HEADER + F + K + G, HEADER + F + K + H, HEADER + F + K + H + G),
    "the same edit and more": (BASE, BASE.replace("b, b", "b").replace("return 2", "return 3"), BASE.replace("b, b", "b").replace("x = a + 1", "x = 0"), BASE.replace("b, b", "b").replace("return 2", "return 3").replace("x = a + 1", "x = 0")),
    "imports": (BASE, BASE.replace("import os\n", "import os\nimport re\n"), BASE.replace("import os\n", "import abc\nimport os\n"), BASE.replace("import os\n", "import abc\nimport os\nimport re\n")),
    "deleted and others edited": (BASE, HEADER + G + A, BASE.replace("b, b", "b"), HEADER + G.replace("b, b", "b") + A),
    "deleted twice": (BASE + H, HEADER + G + A + H, HEADER + G + A + K + H, HEADER + G + A + K + H),
    "lines apart in one function": (BASE, BASE.replace("x = a + 1", "x = a"), BASE.replace("z = y + 3", "z = y"), BASE.replace("x = a + 1", "x = a").replace("z = y + 3", "z = y")),
    "method moved out, class edited": (BASE, BASE.replace("\n    def n(self):\n        return 2\n", "") + "\n\ndef n(self):\n    return 2\n", BASE.replace("one = 1", "one = 11"), BASE.replace("one = 1", "one = 11").replace("\n    def n(self):\n        return 2\n", "") + "\n\ndef n(self):\n    return 2\n"),
    "formatter and edit elsewhere": (
        BASE + "\n\ndef w( q ):\n    return [ q,q ]\n",
        BASE + "\n\ndef w(q):\n    return [q, q]\n",
        BASE.replace("b, b", "b") + "\n\ndef w( q ):\n    return [ q,q ]\n",
        BASE.replace("b, b", "b") + "\n\ndef w(q):\n    return [q, q]\n",
    ),
    "formatter and edit of one function": (
        "def w( q ):\n    return [ q,q ]\n",
        "def w(q):\n    return [q, q]\n",
        "def w( q ):\n    return [ q,q,1 ]\n",
        "def w( q ):\n    return [ q,q,1 ]\n",
    ),
    "final newline missing": (BASE[:-1], BASE[:-1] + "\n" + K, BASE[:-1].replace("b, b", "b"), BASE.replace("b, b", "b") + K),
    "final newline dropped": (BASE, BASE[:-1].replace("b, b", "b"), BASE.replace("x = a + 1", "x = a"), BASE[:-1].replace("b, b", "b").replace("x = a + 1", "x = a")),
    "final newline dropped and appended": (BASE, BASE[:-1].replace("b, b", "b"), BASE + K, (BASE.replace("b, b", "b") + K)[:-1]),
    "CR LF everywhere": tuple(t.replace("\n", "\r\n") for t in (BASE, BASE + K, BASE + H, BASE + H + K)),
    "CR LF made by one side": (BASE, (BASE + K).replace("\n", "\r\n"), BASE + H, (BASE + H + K).replace("\n", "\r\n")),
    "LF made by head": (BASE.replace("\n", "\r\n"), (BASE + K).replace("\n", "\r\n"), BASE + H, BASE + H + K),
}  # fmt: skip

CONFLICTS = {
    "the end of the file": (BASE, BASE[:-1], BASE + K, What.GUARD),
    "one line": (BASE, BASE.replace("x = a + 1", "x = 1"), BASE.replace("x = a + 1", "x = 2"), What.EDIT_EDIT),
    "lines inserted at one place": (BASE, BASE.replace("    y =", "    p = 1\n    y ="), BASE.replace("    y =", "    q = 1\n    y ="), What.EDIT_EDIT),
    "deleted, moved beside an addition": (HEADER + F + G, HEADER + G, HEADER + G + F + K, What.ORDER),
    "deleted, moved between additions": (HEADER + F + G + H, HEADER + F + H, HEADER + F + H + G + K, What.ORDER),
    "import that both stop using": (REGEX, REGEX.replace("import re\n", "import re\nimport abc\n").replace(P1, ""), REGEX.replace(P2, ""), What.GUARD),
    "nothing left to see": ("X = 1\nY = 2\n", "X = 10\nY = 20\n", "X = 10\nY = 2\n", What.GUARD),
    "brackets that do not pair": (CALL, CALL.replace("f(", "g(f(").replace("    )", "    ))"), CALL.replace("2,", "2,\n    )\n    y = h("), What.GUARD),
    "one name added twice": (HEADER + F, HEADER + F + K, HEADER + F + K.replace("{}", "[]"), What.ADD_ADD),
    "deleted and edited": (BASE, HEADER + G + A, BASE.replace("x = a + 1", "x = 2"), What.DELETE_EDIT),
    "class deleted, member edited": (BASE, HEADER + F + G, BASE.replace("return 2", "return 3"), What.DELETE_EDIT),
    "class deleted, member added": (BASE, HEADER + F + G, BASE + NEW.format("p"), What.DELETE_EDIT),
    "renamed twice": (BASE, BASE.replace("def f(", "def f1("), BASE.replace("def f(", "def f2("), What.RENAME),
    "class renamed twice": (BASE, BASE.replace("class A", "class B"), BASE.replace("class A", "class C"), What.RENAME),
    "renamed and edited": (BASE, BASE.replace("def f(", "def ff("), BASE.replace("z = y + 3", "z = y"), What.RENAME),
    "imports that are no sets": (BASE, BASE.replace("import os", "from os import *"), BASE.replace("import os", "import os\nimport re"), What.IMPORTS),
    "both reordered": (BASE + H, HEADER + G + F + A + H, HEADER + F + A + G + H, What.ORDER),
    "statements added at one place": (HEADER + F, HEADER + "\nsetup(1)\n" + F, HEADER + "\nsetup(2)\n" + F, What.ORDER),
    "added between two deleted": (HEADER + F + G + H, HEADER + F + K + G + H, HEADER + H, What.ORDER),
    "name taken away and used": (BASE, HEADER + F + A, BASE + "\n\ndef u():\n    return g(1)\n", What.GUARD),
    "import taken away and used": (HEADER + F, F.lstrip(), HEADER + F + G, What.GUARD),
    "one name twice by way of a rename": (HEADER + F + G, HEADER + F + G.replace("def g", "def k"), HEADER + F + G + K, What.GUARD),
}  # fmt: skip


@pytest.mark.parametrize("case", CLEAN)
def test_changes_that_do_not_meet_are_both_there(case: str) -> None:
    base, mine, head, merged = (text.encode() for text in CLEAN[case])
    assert merge_file("m.py", base, mine, head) == Merged(merged)


@pytest.mark.parametrize("swap", [False, True], ids=["", "swapped"])
@pytest.mark.parametrize("case", CONFLICTS)
def test_changes_that_meet_are_refused_whoever_comes_first(case: str, swap: bool) -> None:
    base, mine, head, what = CONFLICTS[case]
    if swap:
        mine, head = head, mine
    merged = merge_file("m.py", base.encode(), mine.encode(), head.encode())
    assert isinstance(merged, Conflict)
    assert what in {item.what for item in merged.items}
    assert all(item.address.startswith("m.py") and item.address in item.sentence for item in merged.items)


@pytest.mark.parametrize(
    "case", ["lines apart in one function", "the same edit and more", "imports", "two functions appended"]
)
def test_without_lines_only_one_node_with_two_edits_is_refused(case: str) -> None:
    base, mine, head, _ = (text.encode() for text in CLEAN[case])
    merged = merge_file("m.py", base, mine, head, allow_lines=False)
    assert isinstance(merged, Conflict) == (case == "lines apart in one function")


def test_a_stale_copy_never_reverts_heads_text() -> None:
    old = BASE.replace("b, b", "old")
    head = BASE.replace("b, b", "b, 'new'")
    mine = BASE.replace("b, b", "old").replace("return 2", "return 3")

    def older(address: str) -> list[bytes]:
        return [G.replace("b, b", "old").encode()] if address == "m.py::g" else []

    merged = merge_file("m.py", BASE.encode(), mine.encode(), head.encode(), older=older)
    assert merged == Merged(head.replace("return 2", "return 3").encode(), ("m.py::g",)), "P4"
    assert isinstance(merge_file("m.py", BASE.encode(), mine.encode(), head.encode()), Conflict)
    assert merge_file("m.py", BASE.encode(), old.encode(), BASE.encode(), older=older) == Merged(old.encode())


def test_a_stale_copy_of_a_deleted_node_stays_deleted() -> None:
    mine, head = BASE.replace("b, b", "old"), HEADER + F + A
    older = [G.replace("b, b", "old").encode()]
    merged = merge_file("m.py", BASE.encode(), mine.encode(), head.encode(), older=lambda _: older)
    assert merged == Merged(head.encode(), ("m.py::g",))


def test_sources_that_carry_uids_merge_without_being_read_again() -> None:
    base, uid = identify("m.py", None, BASE.encode(), 1)
    mine, uid = identify("m.py", base, (BASE + K).encode(), uid)
    head, uid = identify("m.py", base, BASE.replace("b, b", "b").encode(), uid)
    asked: list[NodeUid] = []

    def older(node: NodeUid) -> list[bytes]:
        asked.append(node)
        return []

    merged = merge_sources("m.py", base, mine, head, older=older)
    assert merged == Merged((BASE.replace("b, b", "b") + K).encode())
    assert asked == [], "only nodes that both sides changed can be stale"


BROKEN = BASE.replace("def g(b):", "def g(b:")


@pytest.mark.parametrize("allow_lines", [True, False])
def test_a_broken_file_merges_when_the_other_side_is_elsewhere(allow_lines: bool) -> None:
    head = BASE.replace("x = a + 1", "x = 1")
    expected = Merged(BROKEN.replace("x = a + 1", "x = 1").encode())
    assert (
        merge_file("m.py", BASE.encode(), BROKEN.encode(), head.encode(), allow_lines=allow_lines) == expected
    )
    assert (
        merge_file("m.py", BASE.encode(), head.encode(), BROKEN.encode(), allow_lines=allow_lines) == expected
    )


@pytest.mark.parametrize("allow_lines", [True, False])
def test_a_broken_function_against_an_edit_of_it_is_refused(allow_lines: bool) -> None:
    head = BASE.replace("def g(b):", "def g(b=1):")
    merged = merge_file("m.py", BASE.encode(), BROKEN.encode(), head.encode(), allow_lines=allow_lines)
    assert isinstance(merged, Conflict)


def test_a_broken_function_against_an_edit_further_down_is_merged_by_lines_alone() -> None:
    mine, head = BASE.replace("def f(a):", "def f(a:"), BASE.replace("z = y + 3", "z = y")
    expected = mine.replace("z = y + 3", "z = y").encode()
    assert merge_file("m.py", BASE.encode(), mine.encode(), head.encode()) == Merged(expected)
    strict = merge_file("m.py", BASE.encode(), mine.encode(), head.encode(), allow_lines=False)
    assert isinstance(strict, Conflict), "W4"


def test_a_class_that_both_sides_emptied_by_half_is_not_left_without_a_body() -> None:
    base = "class A:\n    def m(self):\n        return 1\n\n    def n(self):\n        return 2\n"
    mine = "class A:\n    def m(self):\n        return 1\n"
    head = "class A:\n    def n(self):\n        return 2\n"
    assert isinstance(merge_file("m.py", base.encode(), mine.encode(), head.encode()), Conflict), "W1"


def test_a_class_that_one_side_indents_anew_does_not_take_members_of_another_indent() -> None:
    mine = (
        BASE.replace("    one = 1", "  one = 1")
        .replace("    def", "  def")
        .replace("        return", "    return")
    )
    merged = merge_file("m.py", BASE.encode(), mine.encode(), (BASE + NEW.format("p")).encode())
    assert isinstance(merged, Conflict), "N2: p would become a function inside n"


@pytest.mark.parametrize("allow_lines", [True, False])
def test_a_file_that_is_not_python_merges_by_lines_if_allowed(allow_lines: bool) -> None:
    merged = merge_file("a.txt", b"a\nb\nc\n", b"A\nb\nc\n", b"a\nb\nC\n", allow_lines=allow_lines)
    assert isinstance(merged, Merged) == allow_lines, "W5"
    assert isinstance(merge_file("a.txt", b"a\n", b"b\n", b"c\n", allow_lines=allow_lines), Conflict)


def test_a_binary_file_is_refused_with_its_name() -> None:
    merged = merge_file("a.bin", b"a\0\nb\nc\n", b"A\0\nb\nc\n", b"a\0\nb\nC\n")
    assert isinstance(merged, Conflict)
    assert merged.items[0].what is What.BINARY
    assert merged.items[0].sentence == "a.bin is binary and was changed by both sides"
