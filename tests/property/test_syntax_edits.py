"""Random edits, half of them breaking: what identify makes of a text is what the full splitter would.

I2 is checked against the full splitter, the oracle. Its twin is that work is saved and identity kept: an
identify that split everything afresh would pass I2 and fail I1.
"""

from itertools import accumulate, pairwise

from hypothesis import given, note, settings
from hypothesis import strategies as st

from makfs.syntax import Kind, Source, diff, identify, lines, only_space_differs, parses, restore, split
from makfs.syntax.node import Node, Op
from makfs.syntax.window import touched

STATEMENTS = [
    '"""s"""; x = 1\n', 'x = """\nx = 1\n"""\n', '# """\n', '# """\n\n',
    "x = 1\n", "x = 2\n", "y: int = x\n", "x = 1; y = 2\n", "x = \\\n    1\n", "x = 1; \\\ny = 2\n",
    "x = 1 \\\n\n", "x = 1  # \\\n", 'x = """\n\n"""\n', '"""s"""\n', "f(1)\n", "f(2)\n", "\n", "\n\n",
    "# c\n", "# d\n\n", "    # deeper\n", "        # deepest\n", "import os\n",
    "from a import (\n    b,  # c\n    d,\n)\n", "import os; os.x()\n", "def f():\n    pass\n",
    "def f():\n    pass\n    # of f\n", "def g(a):\n    return a\n",
    "@dec\n# why\ndef f():\n    '''d'''\n    return 1\n", "@overload\ndef f(x): ...\n",
    "@overload\ndef f(y): ...\n", "if x:\n    pass\n", "if x:\n    pass\nelse:\n    y = 1\n",
    "try:\n    import q\nexcept E:\n    q = None\n", "if __name__ == '__main__':\n    f()\n",
    "class A:\n    x = 1\n", "class A:\n    '''doc'''\n", "class B: pass\n",
    "class A:\n    def m(self):\n        pass\n\n    def n(self):\n        pass\n",
    "class A:\n    class B:\n        y = 2\n\n        def f(self): ...\n        # of B\n    # of A\n",
    "class A(\n    B\n):\n\n    # c\n    x = 1\n\n    y = 2\n\n# after\n", "class A: x = 1; y = 2\n",
    "class A:\n    @property\n    def p(self): return 1\n\n    @p.setter\n    def p(self, v): pass\n",
    "class A:\n\tdef t(self):\n\t\tpass\n\t# of A\n", "x = 1\r\n", "\r\n", "x = 3\r", "\x0c\n", "é = 'ü'\n",
]  # fmt: skip
SCRAPS = [
    "(", ")", '"""', "'''", '"', "\\", "\n", "\r", "\r\n", "\x0c", "    ", "\t", ";", ":", "@dec\n",
    "if 1:\n", "else:\n", "class A:\n", "def f():\n", "    def m(self):\n        return 1\n", "    pass\n",
    '    """doc"""\n', "#", "\ufeff", "# coding: latin-1\n", "#!/bin/sh\n", "    x = 1\n",
    "async def g(): ...\n", "    @property\n", "x", "\x00", "\u2028",
]  # fmt: skip

EDITS = ["cut", "move", "copy", "indent", "dedent", "scrap", "insert", "node", "bytes"]
MANY = settings(max_examples=settings.default.max_examples * 8 if settings.default else 500)

files = st.lists(st.sampled_from(STATEMENTS), max_size=12).map(lambda parts: "".join(parts).encode())


@st.composite
def edited(draw: st.DrawFn, text: bytes) -> bytes:
    """Draw an edit: lines cut, moved, copied, indented; scraps or statements put in; a node moved."""
    rows = text.splitlines(keepends=True)
    first = draw(st.integers(0, len(rows)))
    last = min(len(rows), first + draw(st.integers(0, 6)))
    target = draw(st.integers(0, len(rows)))
    piece = rows[first:last]
    match draw(
        st.sampled_from(["cut", "move", "copy", "indent", "dedent", "scrap", "insert", "node", "bytes"])
    ):
        case "cut":
            rows[first:last] = []
        case "move":
            rows[first:last] = []
            rows[target:target] = piece
        case "copy":
            rows[target:target] = piece
        case "indent":
            rows[first:last] = [b"    " + row for row in piece]
        case "dedent":
            rows[first:last] = [row.removeprefix(b"   ") for row in piece]
        case "insert":
            rows[first:first] = [draw(st.sampled_from(STATEMENTS)).encode()]
        case "node":
            nodes = [node.text for node in split("a.py", text).nodes]
            if nodes:
                moved = nodes.pop(draw(st.integers(0, len(nodes) - 1)))
                nodes.insert(draw(st.integers(0, len(nodes))), moved)
            rows = nodes
        case "scrap":
            at = draw(st.integers(0, len(text)))
            return text[:at] + draw(st.sampled_from(SCRAPS)).encode() + text[at:]
        case _:
            at = draw(st.integers(0, len(text)))
            return text[:at] + draw(st.binary(max_size=3)) + text[at + draw(st.integers(0, 3)) :]
    return b"".join(rows)


def shape(source: Source) -> list[tuple[object, ...]]:
    """Return all that the full splitter says of a source: everything but identities."""
    return [(n.kind, n.scope, n.name, n.text, n.lead_bytes, n.defines) for n in source.nodes]


def check(source: Source, text: bytes) -> None:
    """Check what holds for every source of a text."""
    assert source.text == text, "N1"
    at = 0
    starts = {0, *accumulate(map(len, text.splitlines(keepends=True)))}
    for node in source.nodes:
        assert node.text, "no node is empty"
        assert at in starts, "N2"
        assert 0 <= node.lead_bytes <= len(node.text)
        at += len(node.text)
    addresses = [node.qualname for node in source.nodes]
    assert len(set(addresses)) == len(addresses), "N3"
    spans = lines(source)
    assert all(one[1] < other[0] for one, other in pairwise(spans))


def check_identities(source: Source, prior: Source, free: int, next_free: int) -> None:
    """Check what holds for every identified source."""
    uids = [node.uid for node in source.nodes]
    covered = [uid for node in source.nodes for uid in node.covers]
    assert 0 not in uids
    assert len({*uids, *covered}) == len(uids) + len(covered), "N3, B3"
    known = {uid for node in (*prior.nodes, *prior.base) for uid in (node.uid, *node.covers)}
    assert all(uid in known or free <= uid < next_free for uid in uids), "I3"
    assert source.valid or any(node.kind in (Kind.BROKEN, Kind.OPAQUE) for node in source.nodes), "B1"


@MANY
@given(st.data())
def test_identify_says_what_the_full_splitter_says_after_any_edits(data: st.DataObject) -> None:
    text = data.draw(files)
    prior, free = identify("a.py", None, text, 1)
    for _ in range(data.draw(st.integers(1, 4))):
        new_text = data.draw(edited(text))
        source, next_free = identify("a.py", prior, new_text, free)
        whole = split("a.py", new_text)
        note(f"{text!r}\n{new_text!r}")
        check(source, new_text)
        check(whole, new_text)
        check_identities(source, prior, free, next_free)
        assert source.valid is whole.valid is parses("a.py", new_text)
        if whole.valid:
            assert shape(source) == shape(whole), "I2"
        if data.draw(st.booleans()):
            prior, free, text = source, next_free, new_text


@MANY
@given(st.data())
def test_identify_keeps_every_node_that_was_not_touched(data: st.DataObject) -> None:
    text = data.draw(files)
    prior, free = identify("a.py", None, text, 1)
    new_text = data.draw(edited(text))
    source, _ = identify("a.py", prior, new_text, free)
    if not prior.nodes or any(node.kind is Kind.OPAQUE for node in (*source.nodes, *prior.nodes)):
        return
    place = touched(prior.nodes, new_text)
    above, below = prior.nodes[: max(place.low - 1, 0)], prior.nodes[place.high + 1 :]
    after = {node.uid: node for node in source.nodes}
    covered = {uid for node in source.nodes for uid in node.covers}
    if prior.valid and source.valid:
        for node in (*above, *below):
            if after.get(node.uid) is None or after[node.uid].text != node.text:
                # Only what reaches over its neighbours changes an untouched node, which then is gone: its
                # text was not given a new uid, unless it stands there more than once.
                again = [each.uid for each in source.nodes if each.text == node.text]
                was = [each.uid for each in prior.nodes if each.text == node.text]
                assert len(was) > 1 or len(again) > 1 or all(uid < free for uid in again), "I1"
    elif prior.valid:
        assert all(node.uid in after or node.uid in covered for node in (*above, *below)), "B2"


@MANY
@given(st.data())
def test_diff_tells_exactly_what_is_different(data: st.DataObject) -> None:
    text = data.draw(files)
    before, free = identify("a.py", None, text, 1)
    after, _ = identify("a.py", before, data.draw(edited(text)), free)
    old, new = ({node.uid: node for node in source.nodes} for source in (before, after))
    changes = diff(before, after)
    nodes = [change.after or change.before for change in changes]
    told = {node.uid: change for node, change in zip(nodes, changes, strict=True) if node}
    assert len(told) == len(changes), "one change for each node"
    for uid in {*old, *new}:
        check_change(told[uid].op if uid in told else None, old.get(uid), new.get(uid))
    assert diff(after, after) == ()


def check_change(op: Op | None, old: Node | None, new: Node | None) -> None:
    """Check that an op is what the two versions of a node say."""
    if old is None or new is None:
        assert op is (Op.ADD if old is None else Op.DELETE)
    elif op is None or op is Op.MOVE:
        assert old.kind is new.kind
        assert only_space_differs(old, new) if op else old.text == new.text
    elif op is Op.SPACE:
        assert old.text != new.text
        assert only_space_differs(old, new)
    elif op is Op.EDIT:
        assert old.kind is not new.kind or not only_space_differs(old, new)
    else:
        assert op is Op.RENAME
        assert old.qualname != new.qualname


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_identify_takes_any_bytes(one: bytes, other: bytes) -> None:
    for path in ("a.py", "a.bin"):
        prior, free = identify(path, None, one, 1)
        check(prior, one)
        source, _ = identify(path, prior, other, free)
        check(source, other)
        diff(prior, source)


@given(st.data())
def test_restore_gives_back_the_tiles_of_any_source(data: st.DataObject) -> None:
    text = data.draw(files)
    prior, free = identify("a.py", None, text, 1)
    source, free = identify("a.py", prior, data.draw(edited(text)), free)
    tiles = [(node.uid, node.text) for node in source.nodes]
    again, _ = restore("a.py", tiles, free)
    assert [(node.uid, node.text) for node in again.nodes] == tiles
    check(again, source.text)
    if source.valid:
        assert shape(again) == shape(source)
