"""The compatibility matrix and its arithmetic: makfs.locks.modes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.locks.modes import (
    CLASH,
    INTENT,
    UNIT,
    Mode,
    at_least,
    clash_of,
    compatible,
    covers_below,
    join,
    modes_of,
)

MATRIX = """
      IS  IX  S   SIX X
IS    +   +   +   +   -
IX    +   +   -   -   -
S     +   -   +   -   -
SIX   +   -   -   -   -
X     -   -   -   -   -
"""

modes = st.sampled_from(Mode)


def test_matrix_is_that_of_gray_and_others() -> None:
    head, *rows = (line.split() for line in MATRIX.strip().splitlines())
    for name, *cells in rows:
        for other, cell in zip(head, cells, strict=True):
            assert compatible(Mode[name], Mode[other]) == (cell == "+"), (name, other)
            assert bool(CLASH[Mode[name]] & UNIT[Mode[other]]) == (cell == "-"), (name, other)


@given(modes, modes, modes)
def test_join_is_the_weakest_mode_as_strong_as_both(one: Mode, other: Mode, third: Mode) -> None:
    both = join(one, other)
    assert both is join(other, one)
    assert join(one, one) is one
    assert join(both, third) is join(one, join(other, third))
    assert at_least(both, one)
    assert at_least(both, other)
    assert compatible(both, third) == (compatible(one, third) and compatible(other, third))


def test_read_and_intent_to_write_are_six() -> None:
    assert join(Mode.S, Mode.IX) is Mode.SIX
    assert not at_least(Mode.S, Mode.IX)
    assert not at_least(Mode.IX, Mode.S)


@given(modes, modes)
def test_what_is_covered_from_above_could_not_be_held_by_another(held: Mode, asked: Mode) -> None:
    if covers_below(held, asked) and asked in (Mode.X, Mode.IX, Mode.SIX):
        assert all(not compatible(held, INTENT[other]) for other in Mode)
    if covers_below(held, asked):
        assert not compatible(held, INTENT[Mode.X])


@given(st.sets(modes))
def test_packed_needs_clash_with_what_any_of_them_clashes_with(chosen: set[Mode]) -> None:
    need = sum(UNIT[mode] for mode in chosen)
    assert set(modes_of(need)) == chosen
    for other in Mode:
        expected = any(not compatible(mode, other) for mode in chosen)
        assert bool(clash_of(need) & UNIT[other]) == expected


@pytest.mark.parametrize(("mode", "word"), [(Mode.S, "read"), (Mode.X, "write")])
def test_people_read_read_and_write(mode: Mode, word: str) -> None:
    assert mode.word == word
