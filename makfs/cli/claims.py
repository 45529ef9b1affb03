"""`makfs claim`, `release`, `renew`, `locks` and `why`: who holds what, and why a write was refused."""

from typing import TYPE_CHECKING, TypeVar

import click

from makfs.cli.common import (
    Seconds,
    complete_agent,
    found,
    json_option,
    note,
    print_json,
    print_lines,
    terminal_width,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from makfs.cli.find import Found
    from makfs.wire.verbs import Verb

F = TypeVar("F", bound="Callable[..., object]")

CLAIM_EPILOG = """\b
Examples:
  makfs claim alice src/app.py::Foo.bar
  makfs claim alice --read src/api/ --lease 600
  makfs claim bob resource:port:8000 --wait 60
"""

RELEASE_EPILOG = """\b
Examples:
  makfs release alice src/app.py::Foo.bar
  makfs release alice --all
  makfs release alice --keep-read src/api/
"""

RENEW_EPILOG = """\b
Examples:
  makfs renew alice
  makfs renew alice src/app.py::Foo.bar --lease 600
"""

LOCKS_EPILOG = """\b
Examples:
  makfs locks
  makfs locks src/app.py
  makfs locks --json
"""


def _lease_option(default: str) -> "Callable[[F], F]":
    return click.option(
        "--lease",
        "lease_s",
        type=Seconds(min_open=True),
        metavar="S",
        help=f"Hold so many seconds, unless renewed. Default: {default}.",
    )


def _agent_argument(function: F) -> F:
    return click.argument("agent", shell_complete=complete_agent)(function)


@click.command(epilog=CLAIM_EPILOG, short_help="Hold addresses for an agent")
@_agent_argument
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@click.option(
    "--write/--read", "is_write", default=True, help="Keep others from holding it, or from changing it."
)
@click.option(
    "--wait",
    "wait_s",
    type=Seconds(),
    metavar="S",
    help="Wait so many seconds while others hold it. Default: wait_s of makfs.conf.",
)
@_lease_option("claim_s of makfs.conf")
@json_option
@click.pass_context
def claim(
    context: click.Context,
    agent: str,
    addresses: tuple[str, ...],
    is_write: bool,
    wait_s: float | None,
    lease_s: float | None,
    as_json: bool,
) -> None:
    """Hold every ADDRESS for AGENT, all or none; print what is held and until when.

    With --write, the default, AGENT alone may change it. With --read nobody else may, and others may hold it
    with --read too. It covers all that lies below. Whatever AGENT does in its view renews it.

    ADDRESS is one that `makfs nodes` or `makfs log` prints (file, folder/, file::Class.method), one that
    does not exist yet, or resource:NAME. One that starts with /, ./ or ../ is taken as a path from here.
    """
    from makfs.wire.verbs import Claim

    place = found(context)
    mode = "write" if is_write else "read"
    _tell_held(place, Claim(agent, mode, _addresses(addresses, place), wait_s, lease_s), as_json)


@click.command(epilog=RELEASE_EPILOG, short_help="Give back what an agent holds")
@_agent_argument
@click.argument("addresses", metavar="[ADDRESS...]", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Everything that AGENT holds.")
@click.option(
    "--keep-read", is_flag=True, help="Keep it as with claim --read, without letting anybody write between."
)
@json_option
@click.pass_context
def release(
    context: click.Context,
    agent: str,
    addresses: tuple[str, ...],
    is_all: bool,
    keep_read: bool,
    as_json: bool,
) -> None:
    """Give every ADDRESS back that AGENT holds, or --all; print what was given back, or is kept to read."""
    import time

    from makfs.cli.client import Client
    from makfs.cli.lockview import render_held, render_released
    from makfs.engine.api import LockRow
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Release

    if is_all == bool(addresses):
        raise click.UsageError("Name addresses, or --all, and not both.", context)
    place = found(context)
    with Client(place.repo) as daemon:
        data = daemon.ask(Release(agent, None if is_all else _addresses(addresses, place), keep_read))
    if as_json:
        print_json(data)
        return
    rows = from_json(list[LockRow], data)
    print_lines(render_held(rows, time.time_ns()) if keep_read else render_released(rows))
    if not rows:
        note(f"{agent} held nothing.")


@click.command(epilog=RENEW_EPILOG, short_help="Let claims start again")
@_agent_argument
@click.argument("addresses", metavar="[ADDRESS...]", nargs=-1)
@_lease_option("as long as before")
@json_option
@click.pass_context
def renew(
    context: click.Context, agent: str, addresses: tuple[str, ...], lease_s: float | None, as_json: bool
) -> None:
    """Let the time of what AGENT holds start again, of every ADDRESS or of all; print until when."""
    from makfs.wire.verbs import Renew

    place = found(context)
    _tell_held(place, Renew(agent, _addresses(addresses, place) if addresses else None, lease_s), as_json)


@click.command(epilog=LOCKS_EPILOG, short_help="Show who holds what and who waits")
@click.argument("address", required=False)
@json_option
@click.pass_context
def locks(context: click.Context, address: str | None, as_json: bool) -> None:
    """Show who holds and who waits: everywhere, or at ADDRESS and below it.

    HOW is `claim` for what an agent claimed, `lease` for what a write took. Who waits stands below what it
    waits for, by its place in the queue, with the time at which it gives up.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import repo_address
    from makfs.cli.lockview import nothing_held, render_locks
    from makfs.engine.api import LockState
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Locks

    place = found(context)
    where = None if address is None else repo_address(address, place)
    with Client(place.repo) as daemon:
        data = daemon.ask(Locks(where))
    if as_json:
        print_json(data)
        return
    state = from_json(LockState, data)
    if state.grants or state.waiters:
        print_lines(render_locks(state, terminal_width()))
    else:
        click.echo(nothing_held(where))


@click.command(
    epilog="\b\nExamples:\n  makfs why\n  makfs why bob",
    short_help="Tell why an agent's last write was refused",
)
@click.argument("agent", required=False, shell_complete=complete_agent)
@click.pass_context
def why(context: click.Context, agent: str | None) -> None:
    """Tell what `.makfs/why` in the view of AGENT says: why its last write was refused, what it lost.

    Without AGENT: in whose view one is.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import agent_here
    from makfs.cli.text import printable, wrap
    from makfs.wire.verbs import Why

    place = found(context)
    asked = Why(agent_here(place, "name the agent") if agent is None else agent)
    with Client(place.repo) as daemon:
        text = daemon.get(asked, str)
    for line in text.rstrip("\n").split("\n"):
        print_lines(wrap(printable(line), terminal_width()))


def _addresses(arguments: "Sequence[str]", place: "Found") -> tuple[str, ...]:
    from makfs.cli.find import repo_address

    if "" in arguments:
        raise click.UsageError("An ADDRESS is empty; the whole repository is '.'.")
    return tuple(repo_address(each, place) for each in arguments)


def _tell_held(place: "Found", verb: "Verb", as_json: bool) -> None:
    """Ask for grants and print them."""
    import time

    from makfs.cli.client import Client
    from makfs.cli.lockview import render_held
    from makfs.engine.api import LockRow
    from makfs.wire.values import from_json

    with Client(place.repo) as daemon:
        data = daemon.ask(verb)
    if as_json:
        print_json(data)
    else:
        print_lines(render_held(from_json(list[LockRow], data), time.time_ns()))
        if not data:
            note("Nothing is held.")
