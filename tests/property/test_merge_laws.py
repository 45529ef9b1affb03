"""Laws of every merge, whatever the texts: makfs.merge."""

import ast
import random
from collections import Counter

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from makfs.merge import Conflict, Merged, merge_file, merge_sources, merge_text
from makfs.merge.lines import diff_lines, split_lines
from makfs.syntax import identify, parses

LINE = st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n", b"\n", b"    e\n"])
TEXT = st.lists(LINE, max_size=14).map(b"".join)
SCRAP = st.sampled_from(
    b"def f():\n|    pass\n|class A:\n|    x = 1\n|import os\n|from a import b, c\n|\n|# c\n|@|\xff|\r\n|\r|"
    b'    def m(self):\n|        return 1\n|"""d"""\n|(\n|)\n|x = \\\n|\0|\x0c\n|if x:\n|y = 2|\t\n|'
    b"\xef\xbb\xbf|# -*- coding: latin-1 -*-\n".split(b"|")
)
SCRAPS = st.lists(SCRAP, max_size=10).map(b"".join)
ANYTHING = st.one_of(SCRAPS, st.binary(max_size=30))
NAMES = "abcdefgh"


@st.composite
def module_texts(draw: st.DrawFn) -> dict[str, str]:
    """Draw the functions and classes of a module, by name."""
    names = draw(st.lists(st.sampled_from(NAMES), unique=True, min_size=1, max_size=6))
    return {name: draw(bodies(name)) for name in names}


@st.composite
def bodies(draw: st.DrawFn, name: str) -> str:
    """Draw a definition of one name; nothing in it could be taken for another's, renamed."""
    lines = draw(st.lists(st.integers(0, 9), min_size=1, max_size=4))
    if draw(st.booleans()):
        return f"def {name}():\n" + "".join(f"    v = '{name}{line}'\n" for line in lines)
    members = (f"    def {name}{at}(self):\n        return '{name}{line}'\n" for at, line in enumerate(lines))
    return f"class {name.upper()}:\n" + "".join(members)


@st.composite
def edits(draw: st.DrawFn, base: dict[str, str]) -> dict[str, str]:
    """Draw another version of a module: definitions changed, removed, added and moved."""
    side = dict(base)
    for name in draw(st.lists(st.sampled_from(sorted(base)), unique=True, max_size=3)):
        if draw(st.integers(0, 3)):
            side[name] = draw(bodies(name))
        else:
            del side[name]
    for name in draw(
        st.lists(
            st.sampled_from([name for name in NAMES if name not in base] or ["z"]), unique=True, max_size=2
        )
    ):
        side[name] = draw(bodies(name))
    order = draw(st.permutations(sorted(side))) if not draw(st.integers(0, 4)) else list(side)
    return {name: side[name] for name in order}


def render(module: dict[str, str]) -> bytes:
    return "\n\n".join(module.values()).encode()


@given(base=TEXT, mine=TEXT)
def test_a_diff_turns_one_text_into_the_other_in_hunks_that_never_touch(base: bytes, mine: bytes) -> None:
    old, new = split_lines(base), split_lines(mine)
    result: list[bytes] = []
    at = 0
    for hunk in diff_lines(old, new):
        assert not at or any(line.strip() for line in old[at : hunk.old_start]), "D2"
        assert hunk.old_start < hunk.old_end or hunk.new_start < hunk.new_end
        result += old[at : hunk.old_start] + new[hunk.new_start : hunk.new_end]
        at = hunk.old_end
    assert result + old[at:] == new, "D1"


@given(base=TEXT, mine=TEXT, head=TEXT)
def test_a_line_merge_does_not_ask_who_came_first(base: bytes, mine: bytes, head: bytes) -> None:
    one, other = merge_text(base, mine, head), merge_text(base, head, mine)
    assert isinstance(one, bytes) == isinstance(other, bytes)
    assert one == other or isinstance(one, tuple), "T1"


@given(base=ANYTHING, mine=ANYTHING, head=ANYTHING, allow_lines=st.booleans())
@example(base=b"def f():\n  x", mine=b"def f():\n\tx", head=b"", allow_lines=False)
@settings(max_examples=400, deadline=None)
def test_a_merge_never_raises_and_what_parsed_still_parses(
    base: bytes, mine: bytes, head: bytes, allow_lines: bool
) -> None:
    merged = merge_file("m.py", base, mine, head, allow_lines=allow_lines)
    if isinstance(merged, Conflict):
        assert merged.items, "a refusal says why"
    elif parses("m.py", mine) and parses("m.py", head):
        assert parses("m.py", merged.text), "W1"


@given(base=ANYTHING, mine=ANYTHING, path=st.sampled_from(["m.py", "m.txt"]), allow_lines=st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_side_that_changed_nothing_yields(base: bytes, mine: bytes, path: str, allow_lines: bool) -> None:
    assert merge_file(path, base, mine, base, allow_lines=allow_lines) == Merged(mine), "W2"
    assert merge_file(path, base, base, mine, allow_lines=allow_lines) == Merged(mine), "W2"
    assert merge_file(path, base, mine, mine, allow_lines=allow_lines) == Merged(mine), "W2"


@given(st.data())
@settings(max_examples=250, deadline=None)
def test_a_merge_of_modules_holds_both_sides_changes_and_nothing_twice(data: st.DataObject) -> None:
    base = data.draw(module_texts())
    mine, head = data.draw(edits(base)), data.draw(edits(base))
    merged = merge_file("m.py", render(base), render(mine), render(head))
    if isinstance(merged, Conflict):
        return
    tree = ast.parse(merged.text)
    names = Counter(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef))
    assert not [name for name, count in names.items() if count > 1], "G2"
    text = merged.text.decode()
    for side, other in ((mine, head), (head, mine)):
        for name in side.keys() | base.keys():
            if side.get(name) != base.get(name) and other.get(name) == base.get(name):
                shown = (name in names) or (name.upper() in names)
                assert shown == (name in side), "a change of one side alone is there"
                assert name not in side or side[name] in text


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_merge_of_modules_is_the_same_for_either_order_but_for_the_place_of_additions(
    data: st.DataObject,
) -> None:
    base = data.draw(module_texts())
    mine, head = render(data.draw(edits(base))), render(data.draw(edits(base)))
    one = merge_file("m.py", render(base), mine, head)
    other = merge_file("m.py", render(base), head, mine)
    if isinstance(one, Conflict) or isinstance(other, Conflict):
        assert type(one) is type(other), "refused in one order, refused in both"
        return
    assert Counter(one.text.split()) == Counter(other.text.split())


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_without_lines_nothing_merges_that_lines_alone_could(data: st.DataObject) -> None:
    base = data.draw(module_texts())
    mine, head = render(data.draw(edits(base))), render(data.draw(edits(base)))
    strict = merge_file("m.py", render(base), mine, head, allow_lines=False)
    if isinstance(strict, Merged):
        assert merge_file("m.py", render(base), mine, head) == strict


@given(seed=st.integers(0, 10_000), writers=st.integers(2, 8))
@settings(max_examples=25, deadline=None)
def test_a_storm_of_writers_loses_nothing_and_keeps_each_ones_order(seed: int, writers: int) -> None:
    """Writers act on copies they read some commits ago; each inserts into its own function or appends."""
    rng = random.Random(seed)
    text = "import os\n" + "".join(
        f"\n\ndef f{who}(log):\n    # insert {who}\n    return log\n" for who in range(writers)
    )
    head, uid = identify("m.py", None, text.encode(), 1)
    seen = [head] * writers
    done: list[list[int]] = [[] for _ in range(writers)]
    appended: list[tuple[int, int]] = []
    for edit in range(4 * writers):
        who = rng.randrange(writers)
        base = seen[who]
        if rng.random() < 0.3:
            mine = base.text + b"\n\ndef x%d_%d(log):\n    return log\n" % (who, edit)
            appended.append((who, edit))
        else:
            mark = b"    # insert %d\n" % who
            mine = base.text.replace(mark, b"    log.append('E:%d:%d')\n" % (who, edit) + mark)
            done[who].append(edit)
        draft, uid = identify("m.py", base, mine, uid)
        merged = merge_sources("m.py", base, draft, head)
        assert isinstance(merged, Merged), "writers in functions of their own never meet"
        head, uid = identify("m.py", head, merged.text, uid)
        seen[who] = head  # a write is read back; the others keep their old copies
        if rng.random() < 0.3:
            seen[rng.randrange(writers)] = head
    final = head.text.decode()
    for who, wanted in enumerate(done):
        own = [int(line.split(":")[2][:-2]) for line in final.split("\n") if f"'E:{who}:" in line]
        assert own == wanted, "all there, once, in the order of their acceptance"
    for who, edit in appended:
        assert final.count(f"def x{who}_{edit}(") == 1
    ast.parse(final)


@given(left=st.integers(0, 9), right=st.integers(0, 9), allow_lines=st.booleans())
def test_two_lines_at_one_place_of_a_shared_function_are_refused(
    left: int, right: int, allow_lines: bool
) -> None:
    assume(left != right)
    base = b"def shared(log):\n    # insert\n    return log\n"
    mine, head = (base.replace(b"    #", b"    log.append(%d)\n    #" % each) for each in (left, right))
    assert isinstance(merge_file("m.py", base, mine, head, allow_lines=allow_lines), Conflict)
