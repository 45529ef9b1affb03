"""`makfs refusals`: writes that were not committed, and their bytes."""

import click

from makfs.cli.common import (
    client,
    complete_agent,
    json_option,
    note,
    print_json,
    print_lines,
    terminal_width,
)
from makfs.cli.completing import complete_refusal

EPILOG = """\b
Examples:
  makfs refusals
  makfs refusals show 3
  makfs refusals show 3 --output rescued.py
  makfs refusals apply 3
"""


@click.group(invoke_without_command=True, epilog=EPILOG, short_help="List writes that were refused, and why")
@click.option(
    "-n", "--number", type=click.IntRange(1, 1000), default=30, show_default=True, help="At most so many."
)
@click.option("--agent", metavar="NAME", shell_complete=complete_agent, help="Only refusals of this agent.")
@json_option
@click.pass_context
def refusals(context: click.Context, number: int, agent: str | None, as_json: bool) -> None:
    """List writes that were refused, newest first, each with its reason."""
    if context.invoked_subcommand is not None:
        return
    from makfs.cli.showview import render_refusals
    from makfs.store.model import Refusal
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Refusals

    with client(context) as daemon:
        data = daemon.ask(Refusals(number, agent))
    if as_json:
        print_json(data)
    else:
        print_lines(render_refusals(from_json(list[Refusal], data), width=terminal_width()))
        if not data:
            note("No write was refused." if agent is None else f"No write of {agent} was refused.")


@refusals.command(
    "show", epilog="\b\nExamples:\n  makfs refusals show 3\n  makfs refusals show 3 -o rescued.py"
)
@click.argument("number", type=click.IntRange(1), shell_complete=complete_refusal)
@click.option(
    "-o", "--output", metavar="FILE", help="Write the refused bytes to FILE, '-' for standard output."
)
@json_option
@click.pass_context
def show_refusal(context: click.Context, number: int, output: str | None, as_json: bool) -> None:
    """Show refusal NUMBER: who, why, and what the write would have changed."""
    from makfs.cli.showview import render_refusal
    from makfs.errors import MakfsError
    from makfs.store.model import Refusal
    from makfs.wire.values import from_json
    from makfs.wire.verbs import ShowRefusal

    with client(context) as daemon:
        data = daemon.ask(ShowRefusal(number))
    refusal = from_json(Refusal, data)
    if output is not None:
        try:
            with click.open_file(output, "wb") as file:
                file.write(refusal.mine)
        except OSError as error:
            raise MakfsError(f"{output} cannot be written: {error.strerror}.") from error
    elif as_json:
        print_json(data)
    else:
        print_lines(render_refusal(refusal, width=terminal_width()))


@refusals.command("apply", epilog="\b\nExample:\n  makfs refusals apply 3")
@click.argument("number", type=click.IntRange(1), shell_complete=complete_refusal)
@json_option
@click.pass_context
def apply_refusal(context: click.Context, number: int, as_json: bool) -> None:
    """Try refused write NUMBER again, as its agent, on what the file says now; print what became of it.

    What others changed meanwhile is merged, as in any write. Refused again, it exits with 3.
    """
    from makfs.cli.text import printable
    from makfs.engine.api import Applied
    from makfs.wire.values import from_json
    from makfs.wire.verbs import ApplyRefusal

    with client(context) as daemon:
        data = daemon.ask(ApplyRefusal(number))
    if as_json:
        print_json(data)
        return
    done = from_json(Applied, data)
    if done.seq is None:
        click.echo(f"{printable(done.path)} says so already; nothing was committed.")
    else:
        click.echo(f"commit {done.seq}  {printable(done.path)}{'  (merged)' if done.merged else ''}")
