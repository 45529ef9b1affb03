"""When the program of a run is started again after its end.

X1  `decide` gives equal answers to equal questions: no clock, no chance.
X2  A run that somebody ended is not started again, whatever its policy says.
X3  Between two starts lie at least FIRST_NS, at most LONGEST_NS, and twice as long as before while the
    program keeps ending in less than STEADY_NS.
X4  `on-failure:N` starts a program again N times, and not for an exit code of 0.
"""

from dataclasses import dataclass
from enum import Enum

from makfs.errors import BadName

FIRST_NS = 100_000_000
LONGEST_NS = 60_000_000_000
STEADY_NS = 10_000_000_000  # a program that ran so long is well; the next wait is a short one again


class When(Enum):
    """After which ends a program is started again."""

    NO = "no"
    ON_FAILURE = "on-failure"
    ALWAYS = "always"


class Told(Enum):
    """What somebody said should follow the program's end."""

    NOTHING = "nothing"
    STOP = "stop"
    AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Policy:
    """When to start again; `most`: how often at all, None without end."""

    when: When = When.NO
    most: int | None = None

    def __str__(self) -> str:
        return self.when.value if self.most is None else f"{self.when.value}:{self.most}"


@dataclass(frozen=True, slots=True)
class Ended:
    """One start of a program that is over."""

    exit_code: int
    ran_ns: int
    restarts: int = 0  # by the policy, before this end
    streak: int = 0  # ends in a row that came in less than STEADY_NS, before this one
    told: Told = Told.NOTHING


@dataclass(frozen=True, slots=True)
class Next:
    """When to start again, on the clock of `now_ns`."""

    start_ns: int
    restarts: int
    streak: int


def decide(policy: Policy, ended: Ended, now_ns: int) -> Next | None:
    """Return when to start again, None if the run is over. A start that somebody asked for does not wait."""
    if ended.told is Told.STOP:
        return None
    if ended.told is Told.AGAIN:
        return Next(now_ns, ended.restarts, 0)
    if policy.when is When.NO or (policy.when is When.ON_FAILURE and ended.exit_code == 0):
        return None
    if policy.most is not None and ended.restarts >= policy.most:
        return None
    streak = 0 if ended.ran_ns >= STEADY_NS else ended.streak + 1
    wait_ns = min(LONGEST_NS, FIRST_NS << min(max(0, streak - 1), 32))
    return Next(now_ns + wait_ns, ended.restarts + 1, streak)


def parse_policy(text: str) -> Policy:
    """Return the policy of `no`, `always`, `on-failure` or `on-failure:N`. Raises BadName."""
    name, colon, most = text.partition(":")
    try:
        when = When(name)
        if colon and (when is not When.ON_FAILURE or not (most.isascii() and most.isdecimal())):
            raise ValueError(text)
    except ValueError:
        raise BadName(
            f"{text!a} is no restart policy; there are no, always, on-failure and on-failure:N."
        ) from None
    return Policy(when, int(most) if colon else None)
