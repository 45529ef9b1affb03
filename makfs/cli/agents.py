"""`makfs agent`: make, remove and list views."""

import click

from makfs.cli.common import (
    check_policy,
    client,
    complete_agent,
    for_each,
    json_option,
    print_json,
    print_lines,
)
from makfs.cli.completing import one_of, policies

EPILOG = """\b
Examples:
  makfs agent add carol
  makfs agent ls --json
  makfs agent task carol "mend the tests"
"""


@click.group(epilog=EPILOG, short_help="Make, remove and list agents")
def agent() -> None:
    """Make, remove and list agents, each with its view."""


@agent.command(
    "add",
    epilog="\b\nExamples:\n  makfs agent add carol dave\n  makfs agent add --on-write claim planner\n"
    "  makfs agent add --isolation snapshot erin",
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--on-write", metavar="POLICY", shell_complete=one_of(policies),
    help="What its writes do: lease, merge or claim (see makfs.conf).",
)  # fmt: skip
@click.option(
    "--isolation",
    type=click.Choice(("live", "snapshot")),
    help="live: it shows every commit at once. snapshot: it stands at one commit, with its own edits, until "
    "they are published. Default: what it was, else live.",
)
@json_option
@click.pass_context
def add(
    context: click.Context, names: tuple[str, ...], on_write: str | None, isolation: str | None, as_json: bool
) -> None:
    """Make a view for each NAME; print where it is."""
    from makfs.cli.text import printable
    from makfs.engine.api import AgentStatus
    from makfs.names import agent_id
    from makfs.wire.values import from_json
    from makfs.wire.verbs import AddAgent

    check_policy(on_write)
    for name in names:
        agent_id(name)
    with client(context) as daemon:
        made = [daemon.ask(AddAgent(name, on_write, isolation)) for name in names]
    if as_json:
        print_json(made)
    else:
        print_lines(printable(from_json(AgentStatus, each).view) for each in made)


@agent.command("rm", epilog="\b\nExample:\n  makfs agent rm carol")
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_agent)
@click.option("--force", is_flag=True, help="Though files are open; bytes that are not committed are lost.")
@click.pass_context
def remove(context: click.Context, names: tuple[str, ...], force: bool) -> None:
    """Remove the view of each NAME. Its commits stay.

    So do its private files, ignored ones and a snapshot view's edits: the next of that NAME has them again.
    """
    from makfs.wire.verbs import RemoveAgent

    with client(context) as daemon:
        for_each(names, lambda name: daemon.ask(RemoveAgent(name, force)))


@agent.command("ls", epilog="\b\nExample:\n  makfs agent ls")
@json_option
@click.pass_context
def list_agents(context: click.Context, as_json: bool) -> None:
    """List agents, their views and what their writes do."""
    from makfs.cli.text import printable, table
    from makfs.engine.api import KernelStatus
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Status

    with client(context) as daemon:
        data = daemon.ask(Status())
    if as_json:
        print_json(data["agents"])
        return
    agents = from_json(KernelStatus, data).agents
    rows = [
        (each.agent, each.policy, each.isolation, str(each.commits), printable(each.task) or "-", each.view)
        for each in agents
    ]
    print_lines(table(("AGENT", "ON WRITE", "ISOLATION", "COMMITS", "TASK", "VIEW"), rows, right=(3,)))


@agent.command(
    "task",
    epilog='\b\nExamples:\n  makfs agent task carol "mend the tests"\n  makfs agent task carol\n'
    "  makfs agent task carol --none\n  echo 'mend the tests' > /mnt/work/carol/.makfs/task",
)
@click.argument("name", shell_complete=complete_agent)
@click.argument("task", required=False)
@click.option("--none", "is_none", is_flag=True, help="It works at nothing that has a name.")
@click.pass_context
def set_task(context: click.Context, name: str, task: str | None, is_none: bool) -> None:
    """Say what NAME works at; without TASK, print it.

    Every commit of it carries that name from then on: `makfs log --task`, `makfs blame`, `makfs undo --task`.
    """
    from makfs.cli.text import printable
    from makfs.wire.verbs import SetTask, Task

    if is_none and task is not None:
        raise click.UsageError("Give TASK or --none, not both.")
    with client(context) as daemon:
        if is_none or task is not None:
            daemon.ask(SetTask(name, task or ""))
        elif said := daemon.ask(Task(name)):
            click.echo(printable(str(said)))
