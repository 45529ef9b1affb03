"""Who is who after an edit: uids that stay, and how versions differ."""

import pytest

from makfs.ids import NodeUid
from makfs.syntax import Kind, Op, Source, diff, identify, restore, split
from makfs.syntax.matching import match
from makfs.syntax.window import resplit, touched

BASE = b'''"""Doc."""

import os


LIMIT = 3


def first(a):
    if a:
        return os.path
    return None


class Desk(Base):
    """A desk."""

    open = True

    def ring(self):
        print(self)
        return self.ring

    def close(self):
        self.open = False
        print("closed")


def last():
    return 1
'''


def base(text: bytes = BASE) -> tuple[Source, int]:
    return identify("a.py", None, text, 1)


def uids(source: Source) -> dict[str, int]:
    return {node.qualname: node.uid for node in source.nodes}


def after(text: bytes, prior: bytes = BASE) -> tuple[Source, Source, list[str]]:
    """Return prior, new, and the differences as `op name` or `op name -> name`."""
    before, free = base(prior)
    new, _ = identify("a.py", before, text, free)
    assert new.text == text
    return before, new, told(before, new)


def told(before: Source, new: Source) -> list[str]:
    found: list[str] = []
    for change in diff(before, new):
        old, now = change.before, change.after
        names = [node.qualname for node in (old, now) if node is not None]
        assert (old is None) == (change.op is Op.ADD)
        assert (now is None) == (change.op is Op.DELETE)
        found.append(f"{change.op.value} {' -> '.join(dict.fromkeys(names))}")
    return found


def test_identify_numbers_the_nodes_of_a_new_file() -> None:
    source, free = identify("a.py", None, BASE, 7)
    assert [node.uid for node in source.nodes] == list(range(7, 7 + len(source.nodes)))
    assert free == 7 + len(source.nodes)
    assert [node.text for node in source.nodes] == [node.text for node in split("a.py", BASE).nodes]


def test_identify_returns_the_very_same_source_when_nothing_changed() -> None:
    source, free = base()
    assert identify("a.py", source, BASE, free) == (source, free)
    assert identify("a.py", source, BASE, free)[0] is source
    assert diff(source, source) == ()


def replaced(old: bytes, new: bytes, text: bytes = BASE) -> bytes:
    assert text.count(old) == 1
    return text.replace(old, new)


RING = b"\n    def ring(self):\n        print(self)\n        return self.ring\n"
CLOSE = b'\n    def close(self):\n        self.open = False\n        print("closed")\n'
FIRST = b"\n\ndef first(a):\n    if a:\n        return os.path\n    return None\n"
LAST = b"\n\ndef last():\n    return 1\n"
MORE = b"\n    def more(self): ...\n"
EDITS = {
    "an edit": (replaced(b"return 1", b"return 2"), ["edit last"]),
    "an edit inside a class": (replaced(b'"closed"', b'"shut"'), ["edit Desk.close"]),
    "an edit of a class's header": (replaced(b"(Base)", b"(Other)"), ["edit Desk#header"]),
    "blank lines": (replaced(b"\n\n\nLIMIT", b"\nLIMIT"), ["space LIMIT"]),
    "a lost final newline": (BASE[:-1], ["space last"]),
    "a comment above": (replaced(b"\n\ndef last", b"\n\n# new\ndef last"), ["edit last"]),
    "a detached comment above": (replaced(b"\n\ndef last", b"\n# new\n\ndef last"), ["edit last"]),
    "an addition at the end": (BASE + b"\n\ndef more():\n    pass\n", ["add more"]),
    "an addition at the end of a class": (replaced(CLOSE, CLOSE + MORE), ["add Desk.more"]),
    "an addition between": (replaced(FIRST, FIRST + b"\n\ndef more(): ...\n"), ["add more"]),
    "an addition of the same name": (BASE + b"\n\ndef last(): ...\n", ["add last~2"]),
    "an addition before the same name": (replaced(LAST, b"\n\ndef last(): ...\n" + LAST), ["add last"]),
    "an addition after a missing newline": (BASE[:-1] + b"\n\nx = 1\n", ["add x"]),
    "a deletion": (replaced(FIRST, b""), ["delete first"]),
    "a deletion of a class": (
        BASE[: BASE.index(b"\n\nclass")] + BASE[BASE.index(b"\n\ndef last") :],
        ["delete Desk#header", "delete Desk.open", "delete Desk.ring", "delete Desk.close"],
    ),
    "a renamed function": (replaced(b"def first", b"def begin"), ["rename first -> begin"]),
    "a renamed function that calls itself": (
        BASE.replace(b"ring", b"sound"),
        ["rename Desk.ring -> Desk.sound"],
    ),
    "a renamed and edited function": (
        replaced(b"def first(a):\n    if a:", b"def begin(a):\n    if not a:"),
        ["rename first -> begin"],
    ),
    "a renamed constant": (replaced(b"LIMIT", b"MOST"), ["rename LIMIT -> MOST"]),
    "another function in its place": (
        replaced(FIRST, b"\n\ndef begin(b):\n    for c in b:\n        c()\n"),
        ["add begin", "delete first"],
    ),
    "a renamed class": (replaced(b"class Desk", b"class Table"), ["rename Desk#header -> Table#header"]),
    "a renamed class with an edited method": (
        replaced(b'"closed"', b'"shut"', replaced(b"class Desk", b"class Table")),
        ["rename Desk#header -> Table#header", "edit Desk.close -> Table.close"],
    ),
    "a renamed class with a rewritten method": (
        replaced(CLOSE, b"\n    def close(self): ...\n", replaced(b"class Desk", b"class Table")),
        ["rename Desk#header -> Table#header", "edit Desk.close -> Table.close"],
    ),
    "a function that shares but a few lines": (
        replaced(FIRST, b"\n\ndef begin(b):\n    while b:\n        b = c(b)\n    return None\n"),
        ["add begin", "delete first"],
    ),
    "a method moved out of its class": (
        replaced(CLOSE, b"") + b'\n\ndef close(self):\n    self.open = False\n    print("closed")\n',
        ["rename Desk.close -> close"],
    ),
    "methods in another order": (replaced(RING + CLOSE, CLOSE + RING), ["move Desk.close"]),
    "a function moved up": (
        replaced(FIRST, LAST + FIRST, replaced(LAST, b"")),
        ["move last"],
    ),
    "a moved and edited function": (
        replaced(FIRST, LAST.replace(b"1", b"2") + FIRST, replaced(LAST, b"")),
        ["edit last"],
    ),
    "an import more": (replaced(b"import os\n", b"import os\nimport sys\n"), ["edit #imports"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), EDITS.values(), ids=EDITS.keys())
def test_diff_tells_what_an_edit_did(text: bytes, expected: list[str]) -> None:
    before, new, found = after(text)
    assert found == expected
    whole = split("a.py", text)
    assert [(node.qualname, node.text) for node in new.nodes] == [(n.qualname, n.text) for n in whole.nodes]
    touched = {id(node) for change in diff(before, new) for node in (change.after,)}
    kept = {node.uid: node for node in before.nodes}
    for node in new.nodes:
        if id(node) not in touched and node.qualname == kept[node.uid].qualname:
            assert node == kept[node.uid]


@pytest.mark.parametrize("text", [edit[0] for edit in EDITS.values()], ids=EDITS.keys())
def test_diff_backwards_tells_as_many_changes(text: bytes) -> None:
    before, new, found = after(text)
    assert len(diff(new, before)) == len(found)


def test_identify_keeps_the_members_of_the_second_class_of_a_name_apart() -> None:
    text = b"class A:\n    x = 1\n\n\nclass A:\n    x = 2\n\n    def f(self): ...\n"
    _, _, found = after(replaced(b"x = 2", b"x = 3", text), text)
    assert found == ["edit A~2.x"]
    before, after_removal, _ = after(replaced(b"class A:\n    x = 1\n\n\n", b"", text), text)
    assert uids(after_removal)["A.f"] == uids(before)["A~2.f"]
    assert Op.ADD not in {change.op for change in diff(before, after_removal)}


def test_identify_matches_repeats_by_their_texts() -> None:
    text = b"".join(b"register(%d)\n" % number for number in range(5))
    before, new, found = after(replaced(b"register(2)\n", b"", text), text)
    assert [node.uid for node in new.nodes] == [node.uid for node in before.nodes if b"2" not in node.text]
    assert found == ["delete #expr~3"]
    _, _, found = after(replaced(b"register(2)\n", b"register(9)\nregister(2)\n", text), text)
    assert found == ["add #expr~3"]
    _, _, found = after(replaced(b"register(2)", b"register(7)", text), text)
    assert found == ["edit #expr~3"]

    twice = replaced(b"register(3)", b"register(9)", replaced(b"register(1)", b"register(8)", text))
    _, _, found = after(twice, text)
    assert found == ["edit #expr~2", "edit #expr~4"]


def test_identify_follows_many_renames_at_once() -> None:
    text = b"".join(b"def f%d(a):\n    return a + %d\n\n\n" % (number, number) for number in range(160))
    _, _, found = after(text.replace(b"def f", b"def g"), text)
    assert found == [f"rename f{number} -> g{number}" for number in range(160)]


def test_match_begins_at_the_ends_where_classes_have_one_name() -> None:
    text = b"class A:\n    x = 1\n\n\nclass A:\n    y = 1\n"
    old, new = split("a.py", text).nodes, split("a.py", b"class A:\n    z = 1\n\n\n" + text).nodes
    pairs = match(old, new)
    assert [pairs.get(at) for at in range(len(new))][-2:] == [2, 3]


def test_identify_gives_new_members_to_the_class_they_stand_in() -> None:
    text = b"class A:\n    x = 1\n\n\nclass A:\n    y = 1\n    z = 1\n\n\nq = 1\n"
    _, new, found = after(replaced(b"    z", b"    w = 1\n    z", text), text)
    assert found == ["add A~2.w"]
    assert [node.qualname for node in new.nodes] == [n.qualname for n in split("a.py", new.text).nodes]


def test_identify_does_not_take_a_trivial_body_for_a_rename_of_several() -> None:
    text = b"def a(): ...\n\n\ndef b(): ...\n\n\nx = 1\n"
    _, _, found = after(b"def c(): ...\n\n\nx = 1\n", text)
    assert sorted(found) in (["add c", "delete a", "delete b"], ["delete b", "rename a -> c"])


def test_diff_of_a_file_that_was_not_there_adds_everything() -> None:
    source, _ = base()
    assert [change.op for change in diff(None, source)] == [Op.ADD] * len(source.nodes)
    assert [change.op for change in diff(source, Source((), True))] == [Op.DELETE] * len(source.nodes)


REACHES = {
    "a string left open that a comment closes": (
        b'a = 1\nb = 2\nc = 3\n# """\nd = 4\n',
        b'a = 1\nx = """\nb = 2\nc = 3\n# """\nd = 4\n',
    ),
    "a decorator whose function stands behind a class's last comment": (
        b"@a\ndef f(): ...\n@a\nclass A:\n\tx = 1\n\t# tail\ndef g(): ...\n",
        b"@a\ndef f(): ...\n@a\n\t# tail\ndef g(): ...\n",
    ),
    "a class indented by less, whose tail grows": (
        b"class A:\n    class B:\n        x = 1\n\n        y = 1\n    # tail\nz = 1\n",
        b"class A:\n   class B:\n        x = 1\n\n        y = 1\n    # tail\nz = 1\n",
    ),
    "a carriage return that becomes half an end of line": (b"x = 1\ry = 1\r", b"x = 1\r\ny = 1\r"),
    "a docstring out of a string": (b"import a\n'''s'''\nb = 1\n", b"'''s'''\nb = 1\n"),
    "a run of imports out of two": (b"import a\nx = 1\nimport b\ny = 1\n", b"import a\nimport b\ny = 1\n"),
    "members without their class": (
        b"class A:\n    x = 1\n\n\nclass B:\n    y = 1\n    z = 1\n",
        b"class A:\n    x = 1\n\n\n    y = 1\n    z = 1\n",
    ),
}


@pytest.mark.parametrize(("prior", "text"), REACHES.values(), ids=REACHES.keys())
def test_identify_sees_what_reaches_over_the_neighbours(prior: bytes, text: bytes) -> None:
    for one, other in ((prior, text), (text, prior)):
        _, new, _ = after(other, one)
        whole = split("a.py", other)
        assert new.valid is whole.valid is True
        assert [(n.kind, n.qualname, n.text) for n in new.nodes] == [
            (n.kind, n.qualname, n.text) for n in whole.nodes
        ]


WINDOWS = {
    "an edit": replaced(b"return 1", b"return 2"),
    "a longer function": BASE + b"    # more\n    x = 1\n",
    "an addition": replaced(RING, RING + MORE),
    "a deletion": replaced(FIRST, b""),
    "a method at the end of its class": replaced(CLOSE, CLOSE + MORE),
    "a wider body": replaced(b"    return None\n", b"    return None\n    # of first\n"),
}


@pytest.mark.parametrize("text", WINDOWS.values(), ids=WINDOWS.keys())
def test_resplit_does_not_need_the_whole_file_for(text: bytes) -> None:
    nodes = split("a.py", BASE).nodes
    found = resplit(nodes, text, touched(nodes, text), "utf-8")
    assert found is not None
    place, inner = found
    assert place.high - place.low <= 1
    assert len(inner) <= 1, "what is unchanged is left out"


def test_identify_remembers_the_last_valid_version_of_broken_text() -> None:
    before, free = base()
    torn, free = identify("a.py", before, replaced(b"return None", b"return (None"), free)
    worse, _ = identify("a.py", torn, torn.text.replace(b"import os", b"import os os"), free)
    assert torn.base == worse.base == before.nodes
    assert before.base == ()


def test_identify_keeps_what_was_added_while_the_text_was_broken() -> None:
    before, free = base()
    text = replaced(b"return None", b"return (None", BASE + b"\n\nx = 1\n")
    torn, free = identify("a.py", before, replaced(b"return None", b"return (None"), free)
    more, free = identify("a.py", torn, text, free)
    whole, _ = identify("a.py", more, text.replace(b"(None", b"None"), free)
    assert whole.valid
    assert uids(whole)["x"] == uids(more)["x"]


def test_identify_finds_no_node_inside_another() -> None:
    text = b's = """\nx = 1\n"""\n\n\nx = 1\n\n\ny = 1\n'
    _, new, _ = after(text.replace(b"\n\n\nx = 1\n", b"\n)\n"), text)
    assert not new.valid
    assert new.nodes[0].text == b's = """\nx = 1\n"""\n'

    both = b's = """\nx = 1\n"""\n'
    _, new, _ = after(b"a = 1)\n" + both + b"y = 1\n", b"a = 1\n" + both + b"x = 1\ny = 1\n")
    assert [node.text for node in new.nodes] == [b"a = 1)\n", both, b"y = 1\n"]


def test_identify_keeps_no_node_that_begins_within_an_end_of_line() -> None:
    _, new, _ = after(b"x = (\r\ny = 1\n", b"x = 1\n\ny = 1\n")
    assert not any(node.text.startswith(b"\n") for node in new.nodes)


BREAKS = {
    "an open bracket": (replaced(b"return None", b"return (None"), ["first"]),
    "an open string": (replaced(b"return None", b'return """None'), ["first"]),
    "a stray word": (replaced(b"    open = True", b"    open = = True"), ["Desk.open"]),
    "half a function": (replaced(b"    if a:\n        return os.path\n", b"    if a:\n"), ["first"]),
    "half a class": (replaced(b"class Desk(Base):", b"class Desk(Base"), ["Desk#header"]),
    "two faults": (
        replaced(b"return 1", b"return 1)", replaced(b"return None", b"return (None")),
        ["first", "last"],
    ),
}


@pytest.mark.parametrize(("text", "broken"), BREAKS.values(), ids=BREAKS.keys())
def test_identify_keeps_all_but_the_broken_nodes(text: bytes, broken: list[str]) -> None:
    before, new, _ = after(text)
    assert not new.valid
    was = uids(before)
    holes = [node for node in new.nodes if node.kind is Kind.BROKEN]
    covered = {uid for node in holes for uid in node.covers}
    assert {was[name] for name in broken} <= covered
    alive = {node.uid for node in new.nodes}
    assert not alive & covered, "B3"
    lost = [name for name, uid in was.items() if uid not in alive | covered]
    assert lost == [], "every node is alive or covered"
    assert len(alive & set(was.values())) >= len(was) - max(len(broken), 4)


@pytest.mark.parametrize("text", [each[0] for each in BREAKS.values()], ids=BREAKS.keys())
def test_identify_gives_covered_nodes_back_when_the_text_parses_again(text: bytes) -> None:
    before, free = base()
    torn, free = identify("a.py", before, text, free)
    worse, free = identify("a.py", torn, text.replace(b"import os", b"import os os"), free)
    assert not worse.valid
    for prior in (torn, worse, Source(worse.nodes, worse.valid)):
        whole, _ = identify("a.py", prior, BASE, free)
        assert whole.valid
        assert uids(whole) == uids(before)
        other, _ = identify("a.py", prior, BASE.replace(b"return None", b"return 0"), free)
        assert uids(other) == uids(before)


def test_identify_keeps_a_broken_node_that_is_edited_and_still_broken() -> None:
    before, free = base()
    torn, free = identify("a.py", before, replaced(b"return None", b"return (None"), free)
    again, free = identify("a.py", torn, replaced(b"return None", b"return (None,"), free)
    hole = next(node for node in torn.nodes if node.kind is Kind.BROKEN)
    assert [(node.uid, node.covers) for node in again.nodes if node.kind is Kind.BROKEN] == [
        (hole.uid, hole.covers)
    ]
    assert told(torn, again) == ["edit #broken"]


def test_identify_splits_what_is_whole_beside_what_is_broken() -> None:
    before, free = base()
    torn, free = identify("a.py", before, replaced(b"return None", b"return (None"), free)
    more, _ = identify("a.py", torn, torn.text.replace(b"return 1", b"return 2") + b"\n\nx = 1\n", free)
    assert told(torn, more) == ["edit last", "add x"]
    assert not more.valid


def test_identify_breaks_a_neighbour_when_what_is_missing_was_whole() -> None:
    _, new, _ = after(BASE.replace(b'class Desk(Base):\n    """A desk."""\n', b"x = 1\n"))
    assert not new.valid
    assert Kind.BROKEN in {node.kind for node in new.nodes}
    text = b"if a:\n    x = 1\nelse:\n    y = 1\n"
    _, new, _ = after(b"else:\n    y = 1\n", text)
    assert [node.kind for node in new.nodes] == [Kind.BROKEN]


def test_identify_does_not_lose_identities_in_an_unreadable_file_for_good() -> None:
    source, free = identify("a.py", None, b"x = '\xff'\n", 1)
    assert identify("a.py", source, b"x = '\xfe'\n", free)[0].nodes[0].uid == source.nodes[0].uid
    other, _ = identify("b.bin", identify("b.bin", None, b"\0", 5)[0], b"\0\0", 6)
    assert other.nodes[0].uid == 5


def test_identify_reads_a_file_anew_when_its_coding_line_changes() -> None:
    text = b"# coding: latin-1\n\nx = '\xe9'\n\n\ndef f(): ...\n"
    text += b"\n\ndef g(): ...\n\n\ny = '\xe9'\n"
    _, new, _ = after(text.replace(b"latin-1", b"utf-8"), text)
    assert [node.kind for node in new.nodes] == [Kind.OPAQUE]
    _, new, found = after(text.replace(b"latin-1", b"cp1252"), text)
    assert found == ["edit #header"]
    plain = "# c\n\nimport a\n\n\nx = 1\n\n\ny = 'é'\n".encode()
    _, new, _ = after(plain.replace(b"# c\n", b"# c\n# coding: ascii\n"), plain)
    assert [node.kind for node in new.nodes] == [Kind.OPAQUE]


def test_restore_gives_back_what_was_identified() -> None:
    for text in (BASE, *(each[0] for each in BREAKS.values())):
        _, source, _ = after(text)
        tiles = [(node.uid, node.text) for node in source.nodes]
        again, free = restore("a.py", tiles, 500)
        assert free == 500
        assert [(node.uid, node.text) for node in again.nodes] == tiles
        assert again.valid is source.valid
        known = {node for node in source.nodes if node.kind is not Kind.BROKEN}
        assert known <= set(again.nodes) or text == BREAKS["half a class"][0], "members need their class"


def test_restore_reads_what_was_never_identified() -> None:
    source, free = restore("a.py", [(NodeUid(0), BASE)], 1)
    assert (source, free) == base()


def test_restore_reads_a_class_header_that_has_no_body_of_its_own() -> None:
    text = b"class A:\n    x = 1\n    y = 1\n"
    _, source, _ = after(text.replace(b"y = 1", b"y = (1"), text)
    again, _ = restore("a.py", [(node.uid, node.text) for node in source.nodes], 500)
    assert [(node.kind, node.qualname) for node in again.nodes] == [
        (Kind.CLASS, "A#header"),
        (Kind.ATTR, "A.x"),
        (Kind.BROKEN, "A#broken"),
    ]
