"""The options of `makfs run` that say how a run is looked after."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from makfs.cli.common import Seconds, note

if TYPE_CHECKING:
    from makfs.wire.runs import Care, RunPlan

F = TypeVar("F", bound=Callable[..., Any])


def care_options(function: F) -> F:
    """Add the options; their values come as keyword arguments, for `care_of`."""
    options = (
        click.option(
            "--restart", metavar="WHEN", default="no", show_default=True,
            help="Start COMMAND again after its end: no, on-failure[:N], always; in 0.1 s, then up to 60 s.",
        ),
        click.option("--timeout", type=Seconds(), metavar="S", help="End the run after so many seconds."),
        click.option(
            "--idle-timeout", type=Seconds(), metavar="S",
            help="End it when for so long nothing was written and the view not used.",
        ),
        click.option("-m", "--memory", metavar="SIZE", help="At most so much memory, as 512m or 2g."),
        click.option(
            "--cpus", type=click.FloatRange(0, min_open=True), metavar="N",
            help="At most so many processors busy.",
        ),
        click.option(
            "--pids", type=click.IntRange(1), metavar="N", help="At most so many processes and threads."
        ),
        click.option(
            "--budget", metavar="NAME=N", multiple=True,
            help="Warn, pause, stop past wall=SECONDS, commits=N, refusals=N, tokens=N. Repeatable.",
        ),
    )  # fmt: skip
    for option in reversed(options):
        function = option(function)
    return function


def care_of(
    context: click.Context,
    *,
    restart: str,
    timeout: float | None,
    idle_timeout: float | None,
    memory: str | None,
    cpus: float | None,
    pids: int | None,
    budget: tuple[str, ...],
) -> "Care":
    """Return what the options say. Raises click.UsageError."""
    from makfs.errors import BadName
    from makfs.runs.limits import Limits, parse_size
    from makfs.runs.restarts import parse_policy
    from makfs.wire.runs import Care

    try:
        parse_policy(restart)
        _check_budget(budget)
        limits = Limits(0 if memory is None else parse_size(memory), cpus or 0.0, pids or 0)
    except BadName as error:
        raise click.UsageError(str(error), context) from None
    return Care(restart, timeout or 0.0, idle_timeout or 0.0, limits, budget)


def _check_budget(words: tuple[str, ...]) -> None:
    """Raise BadName for what is no budget."""
    if not words:
        return
    from makfs.runs.budgets import Budget, with_given

    with_given(Budget(), words)


def say_unenforced(plan: "RunPlan") -> None:
    """Say which limits do not hold as asked."""
    for sentence in plan.unenforced:
        note(sentence)
