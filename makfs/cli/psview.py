"""How runs look: a tree of agents, their runs, and the runs' processes. Pure."""

import shlex
from collections.abc import Iterable, Sequence

from makfs.cli.text import ELLIPSIS, columns, duration, fit, printable, size, table
from makfs.wire.runrecord import RunProcess, RunRecord
from makfs.wire.runs import RESTARTING

MOST_COMMAND, LEAST_COMMAND = 40, 12
HEAD = ("RUN", "COMMAND", "STATUS", "FOR", "ACTIVE", "COMMITS", "REFUSED", "WAITED")
_RIGHT = (5, 6, 7)


def render(rows: Iterable[RunRecord], now_ns: int, width: int | None = None) -> list[str]:
    """Return the tree; `now_ns` is of the wall clock. Agents by name, runs newest first.

    In `width` columns, None for no limit, commands are cut as far as that helps.
    """
    cells: list[tuple[str, ...]] = []
    by_agent: dict[str, list[RunRecord]] = {}
    for row in rows:
        by_agent.setdefault(row.agent, []).append(row)
    for agent in sorted(by_agent):
        cells.append((agent, *("",) * (len(HEAD) - 1)))
        for place, row in enumerate(by_agent[agent]):
            is_last = place == len(by_agent[agent]) - 1
            cells.append((("└─ " if is_last else "├─ ") + str(row.number), *_of_run(row, now_ns)))
            cells += _of_processes(row.processes, "   " if is_last else "│  ")
    over = 0 if width is None else max(map(columns, table(HEAD, cells, _RIGHT))) - width
    most = max([columns(HEAD[1]), *(columns(printable(row[1])) for row in cells)])
    most = max(LEAST_COMMAND, most - max(0, over))
    cells = [(row[0], fit(printable(row[1]), most), *row[2:]) for row in cells]
    return [line.rstrip() for line in table(HEAD, cells, _RIGHT)]


def state(row: RunRecord) -> str:
    """Return how a run is, or how it ended."""
    if row.status == "ended":
        said = row.signal or f"exit {row.exit_code}"
        if row.oom_kills:
            return f"{said}, out of memory"
        return f"{said}, stopped by makfsd" if row.why_ended else said
    if row.view_gone and not row.is_over:
        return f"{row.status}, view gone"
    return row.status


def _of_run(row: RunRecord, now_ns: int) -> tuple[str, ...]:
    command = shlex.join(row.command)
    if len(command) > MOST_COMMAND:
        command = command[: MOST_COMMAND - 1] + ELLIPSIS
    said = state(row) + (f" ({row.restarts} restarts)" if row.restarts else "")
    if row.status == RESTARTING:
        said += f" in {duration(max(0, row.next_ns - now_ns) / 1e9)}"
    active = "-"
    if row.last_activity_ns:
        active = duration(max(0, now_ns - row.last_activity_ns) / 1e9) + " ago"
    waited = f"{row.waits}, {duration(row.waited_s)}" if row.waits else "-"
    return (command, said, duration(row.duration_s), active, str(row.commits), str(row.refusals), waited)


def _of_processes(rows: Sequence[RunProcess], indent: str) -> list[tuple[str, ...]]:
    """Return a line for each process, below the one that started it."""
    known = {row.pid for row in rows}
    below: dict[int, list[RunProcess]] = {}
    for row in rows:
        below.setdefault(row.parent if row.parent in known else 0, []).append(row)
    cells: list[tuple[str, ...]] = []

    def add(parent: int, drawn: str) -> None:
        for place, row in enumerate(below.get(parent, ())):
            is_last = place == len(below[parent]) - 1
            what = f"{drawn}{'└─ ' if is_last else '├─ '}{row.pid}"
            used = f"{duration(row.cpu_s)} cpu, {size(row.memory_bytes)}"
            cells.append((what, row.name, _STATES.get(row.state, row.state), used, *("",) * 4))
            add(row.pid, drawn + ("   " if is_last else "│  "))

    add(0, indent)
    return cells


_STATES = {
    "R": "runs",
    "S": "sleeps",
    "D": "waits",
    "T": "stopped",
    "t": "traced",
    "Z": "zombie",
    "I": "idle",
}
