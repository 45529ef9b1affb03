"""Rules about runs: starts again (X1 to X4), budgets (G1, G2), limits (M1, M2), whatever they are asked."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from makfs.runs.budgets import NAMES, ORDER, Amounts, Budget, Step
from makfs.runs.budgets import decide as judge_budget
from makfs.runs.limits import PERIOD_US, Limits, by_group, by_rlimit, unenforced
from makfs.runs.restarts import (
    FIRST_NS,
    LONGEST_NS,
    STEADY_NS,
    Ended,
    Next,
    Policy,
    Told,
    When,
    decide,
    parse_policy,
)

policies = st.one_of(
    st.sampled_from([Policy(), Policy(When.ALWAYS)]),
    st.builds(Policy, st.just(When.ON_FAILURE), st.one_of(st.none(), st.integers(0, 50))),
)
times_ns = st.integers(0, 10**15)
ends = st.builds(
    Ended, st.integers(0, 255), times_ns, st.integers(0, 60), st.integers(0, 200), st.sampled_from(Told)
)
amounts = st.builds(Amounts, *(st.one_of(st.just(0.0), st.floats(0, 1e6)) for _ in NAMES))
shares = st.one_of(st.just(0.0), st.floats(0.1, 3))
budgets = st.builds(Budget, amounts, shares, shares, shares)


@given(policies, ends, times_ns)
def test_told_to_stop_is_the_end_and_told_again_is_a_start_at_once(
    policy: Policy, ended: Ended, now_ns: int
) -> None:
    after = decide(policy, ended, now_ns)
    assert after == decide(policy, ended, now_ns), "X1"
    if ended.told is Told.STOP:
        assert after is None, "X2"
    elif ended.told is Told.AGAIN:
        assert after == Next(now_ns, ended.restarts, 0)
    elif policy.when is When.ALWAYS:
        assert after is not None


@given(policies, ends, times_ns)
def test_wait_is_bounded_and_doubles_while_the_program_ends_soon(
    policy: Policy, ended: Ended, now_ns: int
) -> None:
    after = decide(policy, ended, now_ns)
    if after is None or ended.told is not Told.NOTHING:
        return
    wait_ns = after.start_ns - now_ns
    assert FIRST_NS <= wait_ns <= LONGEST_NS, "X3"
    assert after.restarts == ended.restarts + 1
    if ended.ran_ns >= STEADY_NS:
        assert (wait_ns, after.streak) == (FIRST_NS, 0), "X3"
        return
    later = decide(policy, Ended(ended.exit_code, ended.ran_ns, 0, after.streak), now_ns)
    assert later is None or later.start_ns - now_ns == min(2 * wait_ns, LONGEST_NS), "X3"


@given(st.integers(0, 20), st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_on_failure_starts_again_so_often_and_not_after_success(most: int, codes: list[int]) -> None:
    policy = Policy(When.ON_FAILURE, most)
    restarts, streak = 0, 0
    for code in codes:
        after = decide(policy, Ended(code, 0, restarts, streak), 0)
        if code == 0 or restarts == most:
            assert after is None, "X4"
            return
        assert after is not None, "X4"
        restarts, streak = after.restarts, after.streak
    assert restarts <= most, "X4"


@given(policies)
def test_policy_is_read_as_it_is_written(policy: Policy) -> None:
    assert parse_policy(str(policy)) == policy


@given(budgets, st.lists(amounts, max_size=12))
def test_steps_of_a_budget_come_once_and_in_order(budget: Budget, more: list[Amounts]) -> None:
    taken: dict[str, Step] = {}
    used = dict.fromkeys(NAMES, 0.0)
    for each in more:
        used = {name: used[name] + getattr(each, name) for name in NAMES}  # what is used only grows
        now = Amounts(**used)
        crossed = judge_budget(budget, now, taken)
        for one in crossed:
            assert ORDER.index(one.step) > ORDER.index(taken.get(one.name, Step.NONE)), "G1"
            pauses = budget.pause_at > 0 and one.used >= budget.pause_at * one.limit
            if one.step is Step.STOP and pauses:
                assert taken.get(one.name) is Step.PAUSE, "G1"
            taken[one.name] = one.step
        for one in judge_budget(budget, now, taken):
            assert (taken[one.name], one.step) == (Step.PAUSE, Step.STOP), "G1"
            taken[one.name] = one.step
        assert judge_budget(budget, now, taken) == (), "G1"
        for name in NAMES:
            limit = getattr(budget.limits, name)
            due = [
                step
                for step, at in zip(ORDER[1:], (budget.warn_at, budget.pause_at, budget.stop_at), strict=True)
                if limit > 0 and at > 0 and used[name] >= at * limit
            ]  # fmt: skip
            assert ORDER.index(taken.get(name, Step.NONE)) == max([0, *map(ORDER.index, due)]), "G2"


def test_thresholds_are_crossed_when_they_are_reached() -> None:
    budget = Budget(Amounts(commits=20))
    steps = {
        used: [each.step for each in judge_budget(budget, Amounts(commits=used), {})]
        for used in (15, 16, 19, 20, 24, 25)
    }
    assert steps == {
        15: [], 16: [Step.WARN], 19: [Step.WARN], 20: [Step.PAUSE], 24: [Step.PAUSE], 25: [Step.PAUSE],
    }, "G2"  # fmt: skip
    paused = {"commits": Step.PAUSE}
    assert judge_budget(budget, Amounts(commits=24), paused) == ()
    assert [each.step for each in judge_budget(budget, Amounts(commits=25), paused)] == [Step.STOP]
    never_pauses = Budget(Amounts(commits=20), pause_at=0)
    assert [each.step for each in judge_budget(never_pauses, Amounts(commits=25), {})] == [Step.STOP]


limits = st.builds(
    Limits,
    st.sampled_from([0, 1 << 22, 1 << 40]),
    st.one_of(st.just(0.0), st.floats(0.01, 512)),
    st.integers(0, 9),
)


@given(limits, st.sets(st.sampled_from(["memory", "cpu", "pids"])), st.booleans(), st.sampled_from([1, 2]))
def test_limit_holds_as_asked_or_is_said_not_to(
    asked: Limits, groups: set[str], is_root: bool, version: int
) -> None:
    for name in asked.wanted:
        files = by_group(asked, name, version)
        assert files, "M1"
        if name == "cpu":
            quota = int(files[-1].text.split()[0])
            assert quota <= max(1000, asked.cpus * PERIOD_US), "M1"
        else:
            assert files[0].text == str(asked.memory_bytes if name == "memory" else asked.pids), "M1"
    said = unenforced(asked, sorted(groups), is_root=is_root)
    assert len(said) == len(set(asked.wanted) - groups), "M2"
    words = by_rlimit(asked, is_root=is_root)
    assert (f"--as={asked.memory_bytes}" in words) == bool(asked.memory_bytes), "M1"
    assert all(first != second for first, second in itertools.pairwise(said))
