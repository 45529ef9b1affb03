"""What is done to runs for their time and their budgets, one record after the other."""

from dataclasses import replace

import pytest
from makfsd.judging import Verdict, judge, needs_judging

from makfs.runs.budgets import Amounts, Budget, Step
from makfs.wire.runrecord import RunRecord
from makfs.wire.runs import RUNNING, Care

S = 10**9
BEGIN_NS = 1_000 * S
RUN = RunRecord(1, "alice", ("sh",), RUNNING, False, True, (), BEGIN_NS)
BUDGET = Budget(Amounts(wall_s=100, commits=5, refusals=4, tokens=1000))


def _steps(record: RunRecord, after_s: float = 1.0, budget: Budget = BUDGET) -> list[tuple[str, Step]]:
    return [(each.name, each.step) for each in judge(record, budget, BEGIN_NS + int(after_s * S))]


@pytest.mark.parametrize(
    ("used", "after_s", "due"),
    [
        ({}, 79.9, []),
        ({}, 80, [("wall_s", Step.WARN)]),
        ({"commits": 3}, 1, []),
        ({"commits": 4}, 1, [("commits", Step.WARN)]),
        ({"commits": 5, "tokens": 800}, 1, [("commits", Step.PAUSE), ("tokens", Step.WARN)]),
        ({"refusals": 9}, 1, [("refusals", Step.PAUSE)]),  # J2: not ended unpaused
    ],
)
def test_each_amount_has_its_own_steps(
    used: dict[str, int], after_s: float, due: list[tuple[str, Step]]
) -> None:
    assert _steps(replace(RUN, **used), after_s) == due  # type: ignore[arg-type]


def test_paused_run_is_ended_for_its_time_alone() -> None:
    known = (("commits", "pause"), ("wall_s", "pause"))
    paused = replace(RUN, commits=20, paused_ns=BEGIN_NS + 1, taken=known)
    assert _steps(paused) == [], "J3"
    assert _steps(paused, 125) == [("wall_s", Step.STOP)], "J3"
    assert _steps(replace(paused, paused_ns=0)) == [("commits", Step.STOP)], "J3"


def test_time_that_is_over_ends_a_run_whatever_its_budget_says() -> None:
    late = replace(RUN, care=Care(timeout_s=10), commits=4)
    assert _steps(late, 9.9) == [("commits", Step.WARN)], "J1"
    (verdict,) = judge(late, BUDGET, BEGIN_NS + 10 * S)
    assert verdict == Verdict(Step.STOP, "its time of 10 s (--timeout) is over"), "J1"


def test_idle_time_counts_from_the_last_activity_and_not_in_a_pause() -> None:
    idle = replace(RUN, care=Care(idle_timeout_s=10), last_activity_ns=BEGIN_NS + 5 * S)
    assert _steps(idle, 14.9) == [], "J1"
    assert _steps(idle, 15) == [("", Step.STOP)], "J1"
    assert _steps(replace(idle, paused_ns=1), 60) == [], "J1"


def test_run_without_time_and_budget_is_not_looked_at() -> None:
    assert not needs_judging(RUN, Budget())
    assert needs_judging(RUN, BUDGET)
    assert needs_judging(replace(RUN, care=Care(idle_timeout_s=1)), Budget())
