"""Scripted agents at once under `makfs run`, in peace and killed: the crew of scripts/acceptance, small."""

import importlib
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.mount
PROJECT = Path(__file__).parents[2]
AGENTS = 3


def _missed(monkeypatch: pytest.MonkeyPatch, edits: int, **more: int) -> list[str]:
    """Let a crew work; return which figures missed their bounds, but for times."""
    monkeypatch.syspath_prepend(PROJECT / "scripts")
    crew: Any = importlib.import_module("acceptlib.crew")
    judge: Any = importlib.import_module("acceptlib.crewjudge")
    figures = list(judge.at_work(crew.Size(AGENTS, edits, **more)))
    told = {each.name: each.value for each in figures}
    assert told["writes accepted"] >= AGENTS * edits * 3
    assert told["processes left"] == told["held or waited for at the end"] == 0
    judged = [each for each in figures if each.unit != "s"]
    return [f"{each.name}: {each.value}" for each in judged if not each.reached]


def test_agents_at_once_edit_build_and_test_and_nothing_is_lost_or_unrecorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _missed(monkeypatch, 3) == []


def test_killed_agents_and_a_killed_daemon_lose_nothing_and_are_accounted_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _missed(monkeypatch, 4, strikes=4, seed=1) == []
