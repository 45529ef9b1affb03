"""scripts/acceptance judges figures and keeps its page: nothing missed or unsaid counts as kept."""

import importlib
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]


def acceptlib(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a module of scripts/acceptlib, which no package contains."""
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    return importlib.import_module(f"acceptlib.{name}")


def figure(lib: Any, value: float | None, bound: float, kind: str, name: str = "figure") -> Any:
    return lib.Figure("storm", "seed 1", name, value, bound, lib.Bound[kind])


@pytest.mark.parametrize(
    ("value", "bound", "kind", "reached"),
    [
        (0, 0, "IS", True),
        (1, 0, "IS", False),
        (None, 0, "IS", False),
        (3.0, 3.0, "MOST", True),
        (3.1, 3.0, "MOST", False),
        (None, 3.0, "MOST", False),
        (0.95, 0.95, "LEAST", True),
        (0.94, 0.95, "LEAST", False),
        (None, 0, "NONE", True),
    ],
)
def test_figure_is_kept_at_its_bound_and_missed_beyond_it_or_when_nothing_was_said(
    value: float | None, bound: float, kind: str, reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert figure(acceptlib("verdict", monkeypatch), value, bound, kind).reached is reached


def test_verdict_names_every_figure_that_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    lib = acceptlib("verdict", monkeypatch)
    kept, missed = figure(lib, 0, 0, "IS", "LOST"), figure(lib, 7, 0, "IS", "TORN")
    assert lib.verdict([kept]).startswith("ok ")
    line = lib.verdict([kept, missed])
    assert line.startswith("MISSED ")
    assert "TORN 7" in line
    assert "LOST" not in line


def test_table_shows_what_missed_on_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    lib = acceptlib("verdict", monkeypatch)
    figures = [
        figure(lib, 0, 0, "IS", "LOST"),
        figure(lib, 0, 0, "IS", "DUP"),
        figure(lib, 7, 0, "IS", "TORN"),
    ]
    lines = list(lib.table(figures))
    assert "| seed 1 | LOST, DUP | 0 | 0 | ok |" in lines
    assert "| seed 1 | TORN | 7 | 0 | **missed** |" in lines


def test_page_keeps_the_sections_that_are_not_measured_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    lib = acceptlib("page", monkeypatch)
    verdict = acceptlib("verdict", monkeypatch)
    when = lib.Circumstances("2026-01-01", "abc", "a machine", True, 3.0)
    first = lib.page({"storm": lib.section([figure(verdict, 0, 0, "IS")], when), "replay": "old words\n"})
    sections = lib.sections_of(first)
    assert set(sections) == {"storm", "replay"}
    assert lib.page(sections) == first
    sections["storm"] = "new words\n"
    second = lib.page(sections)
    assert "new words" in second
    assert "old words" in second
    assert "abc" not in second


def test_results_page_is_one_that_acceptance_wrote(monkeypatch: pytest.MonkeyPatch) -> None:
    lib = acceptlib("page", monkeypatch)
    text = (PROJECT / "docs/results.md").read_text()
    assert lib.page(lib.sections_of(text)) == text
