"""`makfs ps`, `inspect`, `stop`, `kill`, `wait` and `rm`: runs that go on or are over."""

import click

from makfs.cli.common import (
    Seconds,
    client,
    for_each,
    json_option,
    print_json,
    print_lines,
    terminal_width,
)
from makfs.cli.runargs import run_number, run_numbers

STOP_S = 10.0


@click.command(epilog="\b\nExamples:\n  makfs ps\n  makfs ps -a --json", short_help="List runs")
@click.option("-a", "--all", "is_all", is_flag=True, help="Those that are over too.")
@click.option("-q", "--quiet", is_flag=True, help="Only their numbers.")
@json_option
@click.pass_context
def ps(context: click.Context, is_all: bool, quiet: bool, as_json: bool) -> None:
    """List what `makfs run` started and is not over: agents, their runs, the runs' processes.

    ACTIVE is when it last wrote or its view was used. COMMITS and REFUSED are the agent's own in the time of
    the run; WAITED is how many of its writes waited for what others held, and for how long in all. A process
    has the name that the kernel knows.
    """
    import time

    from makfs.cli.psview import render
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runverbs import Runs
    from makfs.wire.values import from_json

    with client(context) as daemon:
        data = daemon.ask(Runs(is_all))
    if as_json:
        print_json(data)
    elif quiet:
        print_lines([str(row["number"]) for row in data])
    else:
        print_lines(render(from_json(list[RunRecord], data), time.time_ns(), terminal_width()))


@click.command(epilog="\b\nExample:\n  makfs inspect 3", short_help="Print the record of a run")
@run_number
@click.pass_context
def inspect(context: click.Context, number: int) -> None:
    """Print the record of run NUMBER as JSON. Times are of the wall clock, in nanoseconds."""
    from makfs.wire.runverbs import ShowRun

    with client(context) as daemon:
        print_json(daemon.ask(ShowRun(number)))


@click.command(epilog="\b\nExamples:\n  makfs stop 3\n  makfs stop --time 60 3 4", short_help="End runs")
@run_numbers
@click.option(
    "-t", "--time", "time_s", type=Seconds(), metavar="S", default=STOP_S, show_default=True,
    help="Wait so many seconds between SIGTERM and SIGKILL.",
)  # fmt: skip
@click.pass_context
def stop(context: click.Context, numbers: tuple[int, ...], time_s: float) -> None:
    """Send each run NUMBER SIGTERM and, if it is not over then, SIGKILL, which ends all that it started.

    It is not started again, whatever --restart said. A paused run goes on for it.
    """
    import signal

    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runverbs import SignalRun, StopRun, WaitRun

    with client(context) as daemon:

        def end(number: int) -> None:
            daemon.ask(StopRun(number))
            if not daemon.get(WaitRun(number, time_s), RunRecord).is_over:
                daemon.ask(SignalRun(number, signal.SIGKILL))
                daemon.ask(WaitRun(number))
            click.echo(number)

        for_each(numbers, end)


@click.command(
    epilog="\b\nExamples:\n  makfs kill 3\n  makfs kill -s USR1 3", short_help="Send runs a signal"
)
@run_numbers
@click.option("-s", "--signal", "name", metavar="SIGNAL", default="KILL", show_default=True, help="Which.")
@click.pass_context
def kill(context: click.Context, numbers: tuple[int, ...], name: str) -> None:
    """Send the program of each run NUMBER a signal. SIGKILL ends all that it started."""
    from makfs.wire.runverbs import SignalRun

    number_of_signal = _signal(context, name)
    with client(context) as daemon:

        def send(number: int) -> None:
            daemon.ask(SignalRun(number, number_of_signal))
            click.echo(number)

        for_each(numbers, send)


def _signal(context: click.Context, name: str) -> int:
    """Return the signal that a name or number means."""
    import signal

    if name.isdecimal() and 0 < int(name) < 65:
        return int(name)
    wanted = name.upper()
    try:
        return signal.Signals[wanted if wanted.startswith("SIG") else f"SIG{wanted}"]
    except KeyError:
        raise click.UsageError(f"There is no signal {name!a}.", context) from None


@click.command(epilog="\b\nExample:\n  makfs wait 3", short_help="Wait for the end of runs")
@run_numbers
@click.pass_context
def wait(context: click.Context, numbers: tuple[int, ...]) -> None:
    """Wait until each run NUMBER is over; print their exit codes, `lost` where nobody saw the end."""
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runverbs import WaitRun

    with client(context) as daemon:

        def await_one(number: int) -> None:
            record = daemon.get(WaitRun(number), RunRecord)
            click.echo(record.status if record.exit_code is None else record.exit_code)

        for_each(numbers, await_one)


@click.command(epilog="\b\nExample:\n  makfs rm 3 4", short_help="Remove the records of runs")
@run_numbers
@click.pass_context
def rm(context: click.Context, numbers: tuple[int, ...]) -> None:
    """Remove the record and the output of each run NUMBER that is over. Commits stay."""
    from makfs.wire.runverbs import RemoveRun

    with client(context) as daemon:

        def remove(number: int) -> None:
            daemon.ask(RemoveRun(number))
            click.echo(number)

        for_each(numbers, remove)
