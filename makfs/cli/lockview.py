"""How locks look: a tree of what is held or waited for, and lines of what was claimed. Pure.

V1  Every grant and every claim of every waiter has exactly one line, below the lines of what lies above it.
"""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import click

from makfs.cli.find import RESOURCE
from makfs.cli.logview import agent_colour, moment_of
from makfs.cli.text import columns, duration, fit, fit_end, pad, printable
from makfs.engine.api import LockRow, LockState, WaitRow

HEAD = ("ADDRESS", "MODE", "AGENT", "SINCE", "UNTIL", "HOW")
THE_REPOSITORY = "the repository"
MAX_AGENT = 10  # columns; these where the width is limited
MAX_HOW, MIN_HOW = 16, 5  # with less than the first SINCE is left out, then UNTIL
MAX_ADDRESS, MIN_ADDRESS = 32, 12
GAP = "  "

_MODE, _AGENT, _SINCE, _UNTIL, _HOW = range(5)
_PARTS = re.compile(r"#?[^.#]+")


@dataclass(slots=True)
class _Branch:
    """One address, or one above some that have lines."""

    rows: list[tuple[str, ...]] = field(default_factory=list)  # of grants: mode, agent, since, until, how
    queue: list[tuple[str, ...]] = field(default_factory=list)  # of waiters: place, then as above
    below: dict[str, "_Branch"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Line:
    """One line of the tree: its drawing, its name, its cells."""

    drawing: str
    name: str
    cells: tuple[str, ...]


def render_locks(state: LockState, width: int | None) -> Iterator[str]:
    """Return the lines of the tree in `width` columns, None for no limit."""
    top = _tree(state)
    lines = [_Line("", HEAD[0], HEAD[1:])]
    if top.rows or top.queue:
        resources = {name: each for name, each in top.below.items() if name.startswith(RESOURCE)}
        whole = {name: each for name, each in top.below.items() if name not in resources}
        lines += _lines(THE_REPOSITORY, _Branch(top.rows, top.queue, whole), "", "")
        top = _Branch(below=resources)
    for name in _in_order(top):
        lines += _lines(name, top.below[name], "", "")
    yield from _drawn(lines, width)


def nothing_held(address: str | None) -> str:
    """Return the sentence for an empty table."""
    if address is None:
        return "Nobody holds or waits for anything."
    return f"Nobody holds or waits for {_shown(address)} or anything below it."


def render_held(rows: Sequence[LockRow], now_ns: int, zone: dt.tzinfo | None = None) -> Iterator[str]:
    """Return a line for each grant: mode, address, until when by the wall clock."""
    mode_width = max([0, *(len(row.mode) for row in rows)])
    address_width = max([0, *(columns(_shown(row.address)) for row in rows)])
    for row in rows:
        until = moment_of(row.expires_ns, zone).strftime("%H:%M:%S")
        cells = (pad(row.mode, mode_width), pad(_shown(row.address), address_width))
        yield f"{GAP.join(cells)}  until {until} (in {duration(round((row.expires_ns - now_ns) / 1e9))})"


def render_released(rows: Sequence[LockRow]) -> Iterator[str]:
    """Return a line for each grant that was given back."""
    for row in rows:
        yield f"released {row.mode} on {_shown(row.address)}"


def parts_of(address: str) -> tuple[str, ...]:
    """Return an address as what stands one below the other: `a/`, `b.py`, `Class`, `method`."""
    if not address:
        return ()
    path, separator, name = address.rpartition("::")
    if not separator or "/" in name:
        path, name = address, ""
    if path.startswith(RESOURCE) and "/" not in path:
        return (address,)
    folders = [f"{each}/" for each in path.split("/")[:-1]]
    file = path.rpartition("/")[2]
    return (*folders, *([file] if file else []), *_PARTS.findall(name))


def _shown(address: str) -> str:
    return printable(address) or THE_REPOSITORY


def _tree(state: LockState) -> _Branch:
    top = _Branch()
    for grant in state.grants:
        since, until = _short(state.now_ns - grant.since_ns), f"in {_short(grant.expires_ns - state.now_ns)}"
        how = "claim" if grant.explicit else "lease"
        _branch(top, grant.address).rows.append((grant.mode, printable(grant.agent), since, until, how))
    for place, waiter in enumerate(state.waiters, 1):
        for claim in waiter.claims:
            cells = (claim.mode, *_waiter_cells(waiter, state.now_ns))
            _branch(top, claim.address).queue.append((f"{place}.", *cells))
    return top


def _waiter_cells(waiter: WaitRow, now_ns: int) -> tuple[str, ...]:
    since, until = _short(now_ns - waiter.since_ns), f"in {_short(waiter.until_ns - now_ns)}"
    behind = ", ".join(printable(agent) for agent in waiter.behind)
    return (printable(waiter.agent), since, until, f"waits for {behind}" if behind else "is next")


def _branch(top: _Branch, address: str) -> _Branch:
    for part in parts_of(address):
        top = top.below.setdefault(printable(part), _Branch())
    return top


def _in_order(branch: _Branch) -> list[str]:
    """Return the names below: as a listing sorts them, resources at the end."""
    return sorted(branch.below, key=lambda name: (name.startswith(RESOURCE), name))


def _lines(name: str, branch: _Branch, drawing: str, indent: str) -> Iterator[_Line]:
    """Yield the lines of a branch; `indent` stands before everything below its first line."""
    while name.endswith("/") and not (branch.rows or branch.queue) and len(branch.below) == 1:
        (below,) = branch.below
        if not below.endswith("/"):
            break
        name, branch = name + below, branch.below[below]
    names = _in_order(branch)
    beside = indent + ("\u2502  " if names else "   ")  # of lines that belong to this name
    yield _Line(drawing, name, branch.rows[0] if branch.rows else ())
    for row in branch.rows[1:]:
        yield _Line(beside, "", row)
    for place, *cells in branch.queue:
        yield _Line(beside, place, tuple(cells))
    for below in names:
        last = below == names[-1]
        corner, bar = ("\u2514\u2500 ", "   ") if last else ("\u251c\u2500 ", "\u2502  ")
        yield from _lines(below, branch.below[below], indent + corner, indent + bar)


def _short(time_ns: int) -> str:
    """Return a time in two units, without blanks inside: "12s", "2m 3s"."""
    return re.sub(r"(\d+) ([a-z])[a-z]*", r"\1\2", duration(round(time_ns / 1e9)))


def _drawn(lines: Sequence[_Line], width: int | None) -> Iterator[str]:
    """Align the lines, cut to fit."""
    kept = list(range(len(HEAD) - 1))
    widths = [max(columns(line.cells[index]) for line in lines if line.cells) for index in kept]
    address = max(columns(line.drawing + line.name) for line in lines)
    if width is not None:
        widths[_AGENT] = min(widths[_AGENT], MAX_AGENT)
        least = min(address, MAX_ADDRESS) + min(widths[_HOW], MAX_HOW)
        for each in (_SINCE, _UNTIL):
            if least + sum(widths[index] + len(GAP) for index in kept) - widths[_HOW] > width:
                kept.remove(each)
        left = width - sum(widths[index] + len(GAP) for index in kept) + widths[_HOW]
        widths[_HOW] = max(MIN_HOW, min(widths[_HOW], left - min(address, MAX_ADDRESS)))
        address = min(address, max(MIN_ADDRESS, left - widths[_HOW]))
    for line in lines:
        cells = [pad(fit(line.cells[index], widths[index]), widths[index]) for index in kept if line.cells]
        yield _drawn_line(line, address, cells)


def _drawn_line(line: _Line, address: int, cells: Sequence[str]) -> str:
    drawing = fit_end(line.drawing, address)
    name = pad(fit(line.name, address - columns(drawing)), address - columns(drawing) if cells else 0)
    if line.cells == HEAD[1:]:
        return click.style(GAP.join([name, *cells]).rstrip(), bold=True)
    first = (click.style(drawing, dim=True) if drawing else "") + name
    if not cells:
        return first
    mode, agent, *rest = cells
    told = click.style(GAP.join(rest).rstrip(), dim=True)
    return GAP.join([first, mode, click.style(agent, fg=agent_colour(line.cells[_AGENT])), told])
