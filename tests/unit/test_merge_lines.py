"""Line differences and line merges: makfs.merge.lines and makfs.merge.text."""

# ruff: noqa: E501 - a table reads best with one case on one line

import pytest

from makfs.merge import merge_text
from makfs.merge.lines import EXACT_CELLS, ascending, diff_lines, split_lines
from makfs.merge.text import Clash

BASE = b"one\ntwo\nthree\nfour\nfive\nsix\n"


def test_split_lines_ends_lines_at_line_feeds_only() -> None:
    assert split_lines(b"a\r\nb\x0cc\rd\n\ne") == [b"a\r\n", b"b\x0cc\rd\n", b"\n", b"e"]


def test_diff_slides_an_added_function_below_the_equal_lines() -> None:
    old = split_lines(b"def a():\n    x\n\ndef c():\n    y\n")
    new = split_lines(b"def a():\n    x\n\ndef b():\n    z\n\ndef c():\n    y\n")
    (hunk,) = diff_lines(old, new)
    assert b"".join(new[hunk.new_start : hunk.new_end]) == b"def b():\n    z\n\n"


def test_diff_does_not_take_blank_lines_alone_for_something_that_stayed() -> None:
    old = split_lines(b"a\n\nb\n\nc\n")
    new = split_lines(b"x\n\ny\n\nc\n")
    assert len(diff_lines(old, new)) == 1, "D2"


def test_diff_of_two_large_repetitive_texts_is_bounded() -> None:
    side = int(EXACT_CELLS**0.5) + 10
    old, new = [b"a\n", b"b\n"] * side, [b"b\n", b"b\n", b"a\n"] * side
    assert len(diff_lines([b"p\n", *old], [b"q\n", *new])) == 1, "D3: one hunk instead of a long search"


@pytest.mark.parametrize(
    ("values", "longest"),
    [([], 0), ([3, 2, 1], 1), ([1, 2, 3], 3), ([5, 1, 4, 2, 3, 9, 0], 4)],
)
def test_ascending_finds_a_longest_ascending_run(values: list[int], longest: int) -> None:
    found = [values[index] for index in ascending(values)]
    assert len(found) == longest
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("mine", "head", "merged"),
    [
        (b"ONE\ntwo\nthree\nfour\nfive\nsix\n", b"one\ntwo\nthree\nfour\nfive\nSIX\n", b"ONE\ntwo\nthree\nfour\nfive\nSIX\n"),
        (b"one\nthree\nfour\nfive\nsix\n", b"one\ntwo\nthree\nfour\nnew\nfive\nsix\n", b"one\nthree\nfour\nnew\nfive\nsix\n"),
        (b"one\nTWO\nthree\nfour\nfive\nsix\n", b"one\nTWO\nthree\nfour\nFIVE\nsix\n", b"one\nTWO\nthree\nfour\nFIVE\nsix\n"),
        (BASE + b"x\n", BASE + b"x\n", BASE + b"x\n"),
        (BASE[:-1], b"ONE" + BASE[3:], b"ONE" + BASE[3:-1]),
    ],
    ids=["far apart", "deleted and added", "one change alike", "added alike", "final newline"],
)  # fmt: skip
def test_merge_text_takes_changes_that_do_not_touch(mine: bytes, head: bytes, merged: bytes) -> None:
    assert merge_text(BASE, mine, head) == merged
    assert merge_text(BASE, head, mine) == merged


@pytest.mark.parametrize(
    ("mine", "head", "place"),
    [
        (b"one\nTWO\nthree\nfour\nfive\nsix\n", b"one\n2\nthree\nfour\nfive\nsix\n", (1, 2)),
        (b"one\nTWO\nthree\nfour\nfive\nsix\n", b"one\ntwo\nTHREE\nfour\nfive\nsix\n", (1, 3)),
        (b"one\nthree\nfour\nfive\nsix\n", b"one\nTWO\nthree\nfour\nfive\nsix\n", (1, 2)),
        (b"one\nA\ntwo\nthree\nfour\nfive\nsix\n", b"one\nB\ntwo\nthree\nfour\nfive\nsix\n", (1, 1)),
    ],
    ids=["same line", "lines that touch", "deleted and changed", "inserted at one place"],
)
def test_merge_text_names_the_lines_that_clash(mine: bytes, head: bytes, place: tuple[int, int]) -> None:
    clashes = merge_text(BASE, mine, head)
    assert isinstance(clashes, tuple)
    assert [clash.base for clash in clashes] == [place], "T1"


def test_merge_text_never_merges_binary() -> None:
    base, mine, head = b"a\nb\0\nc\nd\ne\n", b"A\nb\0\nc\nd\ne\n", b"a\nb\0\nc\nd\nE\n"
    assert isinstance(merge_text(base, mine, head), tuple), "T3"
    assert merge_text(base, mine, base) == mine
    assert merge_text(base, base, head) == head
    assert merge_text(base, mine, mine) == mine


def test_clash_says_in_words_where_it_is() -> None:
    assert Clash((1, 3), (1, 3), (1, 3)).place == "lines 2 to 3 of the text they started from"
    assert "before line 2" in Clash((1, 1), (1, 2), (1, 2)).place
