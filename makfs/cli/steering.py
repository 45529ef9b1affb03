"""`makfs pause`, `unpause`, `restart` and `stats`: runs that go on."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from makfs.cli.common import Seconds, client, for_each, json_option, print_json, print_lines
from makfs.cli.runargs import run_numbers

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.wire.runrecord import RunRecord, RunUse

STOP_S = 10.0
LOOK_S = 0.1
SAMPLE_S = 0.5  # between the two looks that a share of a processor is told from
FOLLOW_S = 2.0


@click.command(epilog="\b\nExample:\n  makfs pause 3", short_help="Freeze runs")
@run_numbers
@click.pass_context
def pause(context: click.Context, numbers: tuple[int, ...]) -> None:
    """Freeze every process of each run NUMBER, until `makfs unpause`.

    What its agent holds it keeps as long as its leases last, which nothing renews meanwhile. The run's time
    goes on (--timeout, --budget wall); --idle-timeout does not.
    """
    _pause(context, numbers, on=True)


@click.command(epilog="\b\nExample:\n  makfs unpause 3", short_help="Let frozen runs go on")
@run_numbers
@click.pass_context
def unpause(context: click.Context, numbers: tuple[int, ...]) -> None:
    """Let each run NUMBER that was paused go on."""
    _pause(context, numbers, on=False)


def _pause(context: click.Context, numbers: Sequence[int], *, on: bool) -> None:
    from makfs.wire.runverbs import PauseRun

    with client(context) as daemon:

        def put(number: int) -> None:
            daemon.ask(PauseRun(number, on))
            click.echo(number)

        for_each(numbers, put)


@click.command(
    epilog="\b\nExamples:\n  makfs restart 3\n  makfs restart --time 60 3",
    short_help="End a run's program and start it again",
)
@run_numbers
@click.option(
    "-t", "--time", "time_s", type=Seconds(), metavar="S", default=STOP_S, show_default=True,
    help="Wait so many seconds between SIGTERM and SIGKILL.",
)  # fmt: skip
@click.pass_context
def restart(context: click.Context, numbers: tuple[int, ...], time_s: float) -> None:
    """Send the program of each run NUMBER SIGTERM, later SIGKILL, and start it again in the same run.

    A run that is over cannot be restarted: the values of its variables were not kept. Use `makfs run`.
    """
    import signal
    import time

    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runverbs import ShowRun, SignalRun, StopRun

    with client(context) as daemon:

        def begin_again(number: int) -> None:
            before = _going(daemon, number).leader
            daemon.ask(StopRun(number, again=True))
            deadline = time.monotonic() + time_s
            while True:
                now = daemon.get(ShowRun(number), RunRecord)
                if now.is_over or (now.leader is not None and now.leader != before):
                    break
                if time.monotonic() >= deadline:
                    daemon.ask(SignalRun(number, signal.SIGKILL))
                    deadline = float("inf")
                time.sleep(LOOK_S)
            click.echo(number)

        for_each(numbers, begin_again)


def _going(daemon: "Client", number: int) -> "RunRecord":
    from makfs.cli.exits import Told
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runverbs import ShowRun

    record = daemon.get(ShowRun(number), RunRecord)
    if record.is_over:
        import errno

        raise Told(
            f"Run {number} is over, and the values of its variables were not kept; start it again with "
            f"'makfs run {record.agent} -- ...'.",
            errno.EBUSY,
        )
    return record


@click.command(
    epilog="\b\nExamples:\n  makfs stats\n  makfs stats -f 3\n  makfs stats --json",
    short_help="Print what runs take",
)
@click.argument("numbers", metavar="[NUMBER]...", type=click.IntRange(1), nargs=-1)
@click.option("-f", "--follow", is_flag=True, help="Again and again, until interrupted.")
@json_option
@click.pass_context
def stats(context: click.Context, numbers: tuple[int, ...], follow: bool, as_json: bool) -> None:
    """Print processor, memory and processes of the runs that go on, or of each run NUMBER, and their commits.

    CPU is of one processor in the last half second, or since the line before with -f. Memory is what a
    control group counts, with `~` the sum of what its processes have resident.
    """
    import time

    from makfs.wire.runrecord import RunUse
    from makfs.wire.runverbs import MeasureRuns
    from makfs.wire.values import from_json

    with client(context) as daemon:
        before = from_json(list[RunUse], daemon.ask(MeasureRuns(numbers)))
        is_first = True
        while True:
            time.sleep(SAMPLE_S if is_first else FOLLOW_S)
            is_first = False
            data = daemon.ask(MeasureRuns(numbers))
            now = from_json(list[RunUse], data)
            shares = shares_of(before, now)
            if as_json:
                print_json([{**row, "cpu_share": shares[row["number"]]} for row in data])
            else:
                print_lines(render(now, shares))
            if not follow:
                return
            before = now


def shares_of(before: "Sequence[RunUse]", now: "Sequence[RunUse]") -> dict[int, float]:
    """Return, by run, the share of one processor that was used between two looks. Pure."""
    earlier = {each.number: each for each in before}
    shares: dict[int, float] = {}
    for each in now:
        old = earlier.get(each.number, each)
        passed_ns = max(1, each.time_ns - old.time_ns)
        shares[each.number] = round(max(0, each.cpu_ns - old.cpu_ns) / passed_ns, 3)
    return shares


def render(rows: "Sequence[RunUse]", shares: Mapping[int, float]) -> list[str]:
    """Return the table. Pure."""
    from makfs.cli.text import size, table

    def memory(row: "RunUse") -> str:
        of = f" / {size(row.memory_limit_bytes)}" if row.memory_limit_bytes else ""
        return f"{'' if row.by_group else '~'}{size(row.memory_bytes)}{of}"

    def pids(row: "RunUse") -> str:
        return f"{row.pids} / {row.pids_limit}" if row.pids_limit else str(row.pids)

    return table(
        ("RUN", "AGENT", "CPU", "MEMORY", "PIDS", "COMMITS", "REFUSED"),
        [
            (str(row.number), row.agent, f"{shares[row.number] * 100:.1f} %", memory(row), pids(row),
             str(row.commits), str(row.refusals))
            for row in rows
        ],
        right=(0, 2, 3, 4, 5, 6),
    )  # fmt: skip
