"""T1, T2: text that is safe and fits; and the progress bar."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makfs.cli.progress import bar_line
from makfs.cli.text import (
    columns,
    duration,
    fit,
    fit_address,
    fit_end,
    pad,
    printable,
    size,
    table,
    wrap,
)

anything = st.text(max_size=40) | st.binary(max_size=20).map(
    lambda raw: raw.decode("utf-8", "surrogateescape")
)


@given(anything)
def test_printable_text_holds_nothing_a_terminal_obeys(text: str) -> None:
    safe = printable(text)
    assert safe.isprintable(), "T1"
    safe.encode("utf-8")


def test_what_is_escaped_can_be_told_apart() -> None:
    assert printable("a\x1b[2J\n\udcff\u202e\U000e0001") == "a\\x1b[2J\\x0a\\xff\\u202e\\U000e0001"
    assert printable("h\u00e9 \u65e5\u672c") == "h\u00e9 \u65e5\u672c"
    assert printable("a\tb\n", keep="\t") == "a\tb\\x0a"


@given(anything.map(printable), st.integers(0, 30))
def test_fitted_text_is_no_wider_than_allowed_and_whole_if_it_may_be(text: str, width: int) -> None:
    for fitted in (fit(text, width), fit_end(text, width), fit_address(text, width)):
        assert columns(fitted) <= width, "T2"
        if columns(text) <= width:
            assert fitted == text


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (40, "a/bb/ccc/request.py::Request.host"),
        (32, "\u2026/ccc/request.py::Request.host"),
        (27, "\u2026/request.py::Request.host"),
        (20, "\u2026st.py::Request.host"),
        (5, "\u2026host"),
    ],
)
def test_long_address_loses_its_leading_folders_first(width: int, expected: str) -> None:
    assert fit_address("a/bb/ccc/request.py::Request.host", width) == expected


@given(text=st.text(), width=st.integers(12, 80), lead=st.sampled_from(["", "Reason:   "]))
def test_wrapped_sentence_fits_and_says_what_it_said(text: str, width: int, lead: str) -> None:
    sentence = printable(" ".join(text.split()))
    lines = wrap(sentence, width, lead)
    assert lines[0].startswith(lead)
    assert " ".join(line[len(lead) :] for line in lines) == sentence
    for line in lines:
        assert columns(line) <= width or " " not in line[len(lead) :], "T2, but for one long word"
    assert all(line[: len(lead)].isspace() for line in lines[1:] if lead)
    assert wrap(sentence, None, lead) == [lead + sentence]


def test_wide_and_combining_characters_count_as_they_show() -> None:
    assert columns("\u65e5\u672c") == 4
    assert columns("e\u0301") == 1
    assert pad("\u65e5", 4) == "\u65e5  "
    assert table(("A", "N"), [("\u65e5", "1"), ("xyz", "22")], right=(1,)) == [
        "A     N",
        "\u65e5    1",
        "xyz  22",
    ]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (7380, "2 h 3 min"), (90000, "1 d 1 h")],
)
def test_durations_have_two_units(seconds: float, expected: str) -> None:
    assert duration(seconds) == expected


@pytest.mark.parametrize(
    ("amount", "expected"),
    [(0, "0 B"), (1023, "1023 B"), (1500, "1.5 KiB"), (143 << 20, "143 MiB"), (1 << 45, "32768 GiB")],
)
def test_sizes_are_for_people(amount: int, expected: str) -> None:
    assert size(amount) == expected


def test_progress_bar_shows_share_and_count() -> None:
    assert bar_line("replaying", 3, 6, 80) == "replaying  [###############...............]   50%  3 of 6"
    assert bar_line("reading", 7, 0, 80) == "reading  7"


@given(anything, st.integers(-5, 10), st.integers(-5, 10), st.integers(10, 100))
def test_progress_bar_never_wraps(what: str, done: int, total: int, width: int) -> None:
    line = bar_line(what, done, total, width)
    assert columns(line) < width
    assert line.isprintable()
