"""`makfs status`: how the kernel and its agents are."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from makfs.cli.common import client, json_option, print_json, print_lines

if TYPE_CHECKING:
    from makfs.engine.api import AgentStatus, KernelStatus

_SHOWN = 10


@click.command(
    epilog="\b\nExamples:\n  makfs status\n  makfs -C ./repo status --json",
    short_help="Tell how the mount and its agents are",
)
@json_option
@click.pass_context
def status(context: click.Context, as_json: bool) -> None:
    """Tell how the mount and its agents are.

    COMMITS and REFUSED count from when the view was made or mounted; OPEN is how many files are open there.
    """
    import time

    from makfs.engine.api import KernelStatus
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Status

    with client(context) as daemon:
        data = daemon.ask(Status())
    if as_json:
        print_json(data)
    else:
        print_lines(render_status(from_json(KernelStatus, data), time.time_ns()))


def render_status(kernel: "KernelStatus", now_ns: int) -> Iterator[str]:
    """Return the lines for people. `now_ns` is wall clock. Pure."""
    from makfs.cli.text import duration, printable, size, table

    yield f"repository  {printable(kernel.repo)}"
    yield f"mount       {printable(kernel.mountpoint)}"
    up = duration((now_ns - kernel.since_ns) / 1e9)
    yield f"makfsd      {kernel.version}, pid {kernel.pid}, up {up}, {size(kernel.memory_bytes)}"
    yield f"newest      commit {kernel.head}" if kernel.head else "newest      no commit yet"
    if kernel.agents:
        yield ""
        head = ("AGENT", "ON WRITE", "COMMITS", "REFUSED", "OPEN", "LAST SEEN")
        lines = table(head, [_row(each, now_ns) for each in kernel.agents], right=(2, 3, 4))
        yield click.style(lines[0], bold=True)
        yield from lines[1:]
    else:
        yield "agents      none yet; 'makfs agent add NAME' makes one"
    for each in kernel.agents:
        if each.staged:
            yield ""
            yield f"{each.agent} has not committed yet:"
            yield from (f"  {printable(path)}" for path in each.staged)
    for each in kernel.agents:
        if each.isolation == "snapshot":
            yield from _snapshot(each)
    for heading, sentences in (("Not yet written through:", kernel.owed), ("Warnings:", kernel.warnings)):
        if sentences:
            yield ""
            yield click.style(heading, bold=True)
            yield from (f"  {printable(sentence)}" for sentence in sentences)


def _snapshot(each: "AgentStatus") -> Iterator[str]:
    """Return what is to be said of a snapshot view."""
    from makfs.cli.text import printable

    behind = f"{each.behind} behind the newest" if each.behind else "the newest"
    count = "1 path" if len(each.changed) == 1 else f"{len(each.changed)} paths"
    changed = f"{count} changed and not published" if each.changed else "nothing changed"
    yield ""
    yield f"{each.agent} is a snapshot of commit {each.at}, {behind}; {changed}{':' if each.changed else '.'}"
    for path in each.changed[:_SHOWN]:
        yield f"  {printable(path)}"
    if len(each.changed) > _SHOWN:
        yield f"  and {len(each.changed) - _SHOWN} more"
    if each.conflicts:
        yield f"Publishing {each.agent} would be refused: head has changed, too,"
        yield from (f"  {printable(address)}" for address in each.conflicts[:_SHOWN])


def _row(each: "AgentStatus", now_ns: int) -> tuple[str, ...]:
    from makfs.cli.text import duration

    seen = f"{duration((now_ns - each.last_activity_ns) / 1e9)} ago" if each.last_activity_ns else "never"
    return (each.agent, each.policy, str(each.commits), str(each.refusals), str(each.open_files), seen)
