"""What the control socket asks of the runner, and the verbs that ask it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol, assert_never

from makfs.wire import verbs
from makfs.wire.runrecord import RunRecord, RunUse
from makfs.wire.runs import RunPlan


class RunsApi(Protocol):
    """Runs of all agents. Errors are MakfsError; their `str()` is shown to the user as it is."""

    def begin(self, wish: verbs.RunBegin) -> AbstractContextManager[RunPlan]:
        """Begin a run; it is over when the context ends. Raises NotFound, Busy, MountError."""
        ...

    def started(self, number: int, keeper: int, leader: int) -> None:
        """Remember the processes of a run. Raises NotFound."""
        ...

    def end(self, number: int) -> RunRecord:
        """Record the end that the run's folder tells of. Raises NotFound."""
        ...

    async def rows(self, *, ended: bool) -> list[RunRecord]:
        """Return runs with their processes, newest first."""
        ...

    async def measure(self, numbers: Sequence[int]) -> list[RunUse]:
        """Return what runs take, none named: all that go on. Raises NotFound, Busy."""
        ...

    def stop(self, number: int, *, again: bool = False) -> None:
        """Send a run's program SIGTERM; a new start follows, or the run is over. Raises NotFound, Busy."""
        ...

    async def pause(self, number: int, *, on: bool) -> None:
        """Freeze every process of a run, or let them go on. Raises NotFound, Busy."""
        ...

    def record(self, number: int) -> RunRecord:
        """Return one run. Raises NotFound."""
        ...

    def send(self, number: int, signal_number: int) -> None:
        """Send a signal to a run's program; SIGKILL to all of the run. Raises NotFound, Busy, BadName."""
        ...

    def remove(self, number: int) -> None:
        """Remove a record. Raises NotFound, and Busy while the run goes on."""
        ...

    async def wait(self, number: int, wait_s: float | None) -> RunRecord:
        """Return the record when the run is over, or the time. Raises NotFound."""
        ...


def ask_of_runs(runs: RunsApi, verb: verbs.OfRuns) -> object:
    """Carry out a verb that does not wait."""
    match verb:
        case verbs.RunStarted(number, keeper, leader):
            runs.started(number, keeper, leader)
        case verbs.RunEnd(number):
            return runs.end(number)
        case verbs.ShowRun(number):
            return runs.record(number)
        case verbs.SignalRun(number, signal):
            runs.send(number, signal)
        case verbs.StopRun(number, again):
            runs.stop(number, again=again)
        case verbs.RemoveRun(number):
            runs.remove(number)
        case _:
            assert_never(verb)
    return None


async def ask_of_runs_and_wait(runs: RunsApi, verb: verbs.LongOfRuns) -> object:
    """Carry out a verb that may wait."""
    match verb:
        case verbs.Runs(ended):
            return await runs.rows(ended=ended)
        case verbs.MeasureRuns(numbers):
            return await runs.measure(numbers)
        case verbs.PauseRun(number, on):
            await runs.pause(number, on=on)
            return None
        case verbs.WaitRun(number, wait_s):
            return await runs.wait(number, wait_s)
        case _:
            assert_never(verb)
