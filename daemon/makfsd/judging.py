"""What is to be done about runs that take too long, sleep, or use more than their budget. Pure.

J1  A run is ended for its time, or for doing nothing, once that time is over, and not before; what is paused
    does nothing and is not ended for that.
J2  Each step of a budget is taken once (`makfs.runs.budgets`, G1).
J3  A paused run is ended for a budget of time alone: what else it used up it can only end for after somebody
    let it go on.
"""

from dataclasses import dataclass

from makfs.runs.budgets import Amounts, Budget, Crossing, Step, decide
from makfs.wire.runrecord import RunRecord


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be done, and why; `name`: of the budget, "" for a time that is over."""

    step: Step
    says: str
    name: str = ""


def judge(record: RunRecord, budget: Budget, now_ns: int) -> tuple[Verdict, ...]:
    """Return what is to be done about a run that is not over. `now_ns` is of the wall clock."""
    late = _late(record, now_ns)
    if late:
        return (Verdict(Step.STOP, late),)
    taken = {name: Step(step) for name, step in record.taken}
    wall_s = max(0, now_ns - record.begin_ns) / 1e9
    used = Amounts(wall_s, record.commits, record.refusals, record.tokens)
    due = decide(budget, used, taken)
    return tuple(_of(each) for each in due if not (record.paused_ns and _waits(each)))


def _waits(crossing: Crossing) -> bool:
    return crossing.step is Step.STOP and crossing.name != "wall_s"


def _late(record: RunRecord, now_ns: int) -> str:
    care = record.care
    if care.timeout_s and now_ns - record.begin_ns >= care.timeout_s * 1e9:
        return f"its time of {care.timeout_s:g} s (--timeout) is over"
    last_ns = max(record.begin_ns, record.last_activity_ns)
    if care.idle_timeout_s and not record.paused_ns and now_ns - last_ns >= care.idle_timeout_s * 1e9:
        return f"nothing was written and its view not used for {care.idle_timeout_s:g} s (--idle-timeout)"
    return ""


def _of(crossing: Crossing) -> Verdict:
    return Verdict(crossing.step, str(crossing), crossing.name)


def needs_judging(record: RunRecord, budget: Budget) -> bool:
    """Tell whether `judge` can ever say anything."""
    return bool(record.care.timeout_s or record.care.idle_timeout_s or budget.is_given)
