"""How commits look in a list: a line each, aligned, grouped by day, newest first. Pure."""

import datetime as dt
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click

from makfs.cli.text import columns, fit, fit_address, pad, printable, some
from makfs.store.model import Commit

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
# No red and no yellow: those mean something.
_AGENT_COLOURS = (
    "green",
    "cyan",
    "magenta",
    "blue",
    "bright_green",
    "bright_cyan",
    "bright_magenta",
    "bright_blue",
)

MAX_AGENT = 10  # columns; longer names are cut where the width is limited
MAX_PROGRAM = 14
MAX_TASK = 16
MIN_CHANGED = 24


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of a list of commits; `changed` is None where lines may be as long as they are."""

    seq: int
    agent: int
    program: int
    changed: int | None
    task: int = 0  # 0: none has one


def day_heading(moment: dt.datetime) -> str:
    """Return "Thursday, 19 November 2026", in English whatever the locale: it is parsed and tested."""
    return f"{_DAYS[moment.weekday()]}, {moment.day} {_MONTHS[moment.month - 1]} {moment.year}"


def moment_of(time_ns: int, zone: dt.tzinfo | None) -> dt.datetime:
    """Return a wall clock time in a zone, None for the machine's."""
    return dt.datetime.fromtimestamp(time_ns / 1e9, dt.UTC).astimezone(zone)


def agent_colour(agent: str) -> str:
    """Return the same colour for the same agent in every run."""
    return _AGENT_COLOURS[zlib.crc32(agent.encode("utf-8", "replace")) % len(_AGENT_COLOURS)]


def program_of(program: str, pid: int) -> str:
    """Return "python3 4711", "4711", or "-"."""
    return " ".join(part for part in (printable(program), str(pid) if pid else "") if part) or "-"


def plan(commits: Sequence[Commit], width: int | None) -> Columns:
    """Return the widths for these commits in `width` columns, None for no limit."""
    seq = max([3, *(len(str(each.seq)) for each in commits)])
    agent = max([5, *(columns(printable(each.agent)) for each in commits)])
    program = max([2, *(columns(program_of(each.program, each.pid)) for each in commits)])
    task = max([0, *(columns(printable(each.task)) for each in commits)])
    if width is None:
        return Columns(seq, agent, program, None, task)
    agent, program, task = min(agent, MAX_AGENT), min(program, MAX_PROGRAM), min(task, MAX_TASK)
    rest = width - seq - 8 - agent - program - 8 - (task + 2 if task else 0)
    return Columns(seq, agent, program, max(MIN_CHANGED, rest), task)


def render_log(
    commits: Sequence[Commit], width: int | None, zone: dt.tzinfo | None = None, day: str = ""
) -> Iterator[str]:
    """Return the lines. `day` is the heading that stands already, from an earlier page."""
    widths = plan(commits, width)
    for commit in commits:
        moment = moment_of(commit.time_ns, zone)
        if day_heading(moment) != day:
            if day:
                yield ""
            day = day_heading(moment)
            yield click.style(day, bold=True)
        yield _line(commit, moment, widths)


def _line(commit: Commit, moment: dt.datetime, widths: Columns) -> str:
    limited = widths.changed is not None
    agent, program = printable(commit.agent), program_of(commit.program, commit.pid)
    if limited:
        agent, program = fit(agent, widths.agent), _fit_program(commit, widths.program)
    cells = (
        click.style(pad(str(commit.seq), widths.seq, right=True), fg="yellow"),
        click.style(moment.strftime("%H:%M:%S"), dim=True),
        click.style(pad(agent, widths.agent), fg=agent_colour(commit.agent)),
        click.style(pad(program, widths.program), dim=True),
        *((pad(fit(printable(commit.task), widths.task), widths.task),) if widths.task else ()),
        _colour_address(changed(commit, widths.changed)),
    )
    return "  ".join(cells).rstrip()


def _fit_program(commit: Commit, width: int) -> str:
    """Return program and pid; a long program's name is cut, never the pid."""
    pid = f" {commit.pid}" if commit.pid else ""
    name = fit(printable(commit.program), width - len(pid)) if commit.program else ""
    return (name + pid).strip() or "-"


def changed(commit: Commit, width: int | None) -> str:
    """Return what a commit changed, in `width` columns: the first address, and how much more there is."""
    first = commit.addresses[0] if commit.addresses else commit.paths[0] if commit.paths else ""
    more: list[str] = []
    if len(commit.paths) > 1:
        more.append(f"+{some(len(commit.paths) - 1, 'file')}")
    elif commit.nodes_changed > 1 and commit.addresses:
        more.append(f"+{some(commit.nodes_changed - 1, 'node')}")
    rest = "  ".join(more)
    address = printable(first)
    note = f"({printable(commit.note)})" if commit.note else ""
    if commit.note and not commit.addresses and address in printable(commit.note):
        told = printable(commit.note)  # "rename a -> b": the path again would say nothing
        return told if width is None else fit(told, width)
    if width is None:
        return "  ".join(part for part in (address, rest, note) if part)
    return _squeeze(address, rest, note, width)


def _squeeze(address: str, rest: str, note: str, width: int) -> str:
    """Fit the parts: the note goes first, then the address loses its leading folders."""
    base = columns(address) + (2 + columns(rest) if rest else 0)
    room = width - base - 2
    if note and room >= min(columns(note), 12):
        return "  ".join(part for part in (address, rest, fit(note, room)) if part)
    left = width - (2 + columns(rest) if rest else 0)
    return "  ".join(part for part in (fit_address(address, left), rest) if part)


def _colour_address(text: str) -> str:
    """Make the node's name stand out from its file's."""
    path, separator, rest = text.partition("::")
    if not separator:
        return text
    name, gap, tail = rest.partition("  ")
    return (
        f"{path}{separator}{click.style(name, bold=True)}{gap}{click.style(tail, dim=True) if tail else ''}"
    )
