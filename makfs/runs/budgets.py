"""What a run may use: at which share of its budget it is warned, paused and stopped.

G1  A step is taken once for each name, and each budget's steps in order: warn, pause, stop. A run is never
    stopped that was not paused before, however fast it uses its budget up: somebody may want to look at it.
G2  Below every threshold nothing is done; what has no limit crosses none.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum

from makfs.errors import BadName


class Step(Enum):
    """What is done to a run that has used so much. In order."""

    NONE = "none"
    WARN = "warn"
    PAUSE = "pause"
    STOP = "stop"


ORDER = tuple(Step)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a run has used, or may use; of what it may use, 0 is no limit."""

    wall_s: float = 0.0  # since its begin, pauses too
    commits: float = 0.0
    refusals: float = 0.0
    tokens: float = 0.0  # as far as the program reports them


NAMES = tuple(each.name for each in fields(Amounts))


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits, and the shares of them at which something is done; a share of 0: never."""

    limits: Amounts = field(default_factory=Amounts)
    warn_at: float = 0.8
    pause_at: float = 1.0
    stop_at: float = 1.25

    @property
    def is_given(self) -> bool:
        """Tell whether anything is limited."""
        return any(getattr(self.limits, name) > 0 for name in NAMES)


@dataclass(frozen=True, slots=True)
class Crossing:
    """A threshold that a run has crossed now."""

    name: str
    step: Step
    used: float
    limit: float

    def __str__(self) -> str:
        what = {"wall_s": "seconds"}.get(self.name, self.name)
        return f"{_number(self.used)} of {_number(self.limit)} {what} are used"


def decide(budget: Budget, used: Amounts, taken: Mapping[str, Step]) -> tuple[Crossing, ...]:
    """Return the thresholds crossed since `taken`: for each name the last step that was taken for it.

    Of several steps of one name that are due at once only the last is returned, but a pause before a stop.
    """
    found: list[Crossing] = []
    for name in NAMES:
        limit = getattr(budget.limits, name)
        amount = getattr(used, name)
        before = taken.get(name, Step.NONE)
        step = _step(budget, amount, limit, before)
        if ORDER.index(step) > ORDER.index(before):
            found.append(Crossing(name, step, amount, limit))
    return tuple(found)


def _step(budget: Budget, amount: float, limit: float, before: Step) -> Step:
    if limit <= 0:
        return Step.NONE
    due = Step.NONE
    for step, share in (
        (Step.WARN, budget.warn_at), (Step.PAUSE, budget.pause_at), (Step.STOP, budget.stop_at),
    ):  # fmt: skip
        if share <= 0 or amount < share * limit:
            continue
        if due is Step.PAUSE and before in (Step.NONE, Step.WARN):
            break  # the stop is due too, and waits for the pause
        due = step
    return due


def with_given(budget: Budget, words: tuple[str, ...]) -> Budget:
    """Return a budget with limits said as NAME=NUMBER in place of its own. Raises BadName."""
    limits = {name: getattr(budget.limits, name) for name in NAMES}
    for word in words:
        name, equals, number = word.partition("=")
        name = "wall_s" if name == "wall" else name
        try:
            amount = float(number)
        except ValueError:
            amount = -1.0
        if name not in NAMES or not equals or not 0 <= amount < float("inf"):
            raise BadName(
                f"{word!a} is no budget; say wall=SECONDS, commits=N, refusals=N or tokens=N (0: no limit)."
            )
        limits[name] = amount
    return Budget(Amounts(**limits), budget.warn_at, budget.pause_at, budget.stop_at)


def _number(value: float) -> str:
    return f"{int(value):,}".replace(",", " ")
