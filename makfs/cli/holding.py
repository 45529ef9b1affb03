"""`makfs with`: run a command while an agent holds resources."""

import sys

import click

from makfs.cli.common import Seconds, complete_agent, found, note

EPILOG = """\b
Examples:
  makfs with build -- make -j4
  makfs with port:8000 --wait 60 -- python -m http.server 8000
  makfs with --agent alice --timeout 300 test -- pytest -q

\b
Exit codes:
  that of COMMAND; 128 + N when signal N ended it
  124  --timeout was over
  126, 127  COMMAND could not be run, was not found
  3  others hold the resource; COMMAND was not run
"""

_COMMAND = "makfs.cli.holding.command"  # where the words after `--` are kept


class _WithCommand(click.Command):
    """A command whose own words end at the first `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[end + 1 :]
        return super().parse_args(ctx, args[:end])


@click.command(cls=_WithCommand, epilog=EPILOG, short_help="Run a command while holding resources")
@click.argument("resources", metavar="RESOURCE... -- COMMAND [ARG]...", nargs=-1)
@click.option(
    "--agent",
    metavar="NAME",
    shell_complete=complete_agent,
    help="Who holds them. Default: in whose view one is.",
)
@click.option(
    "--wait",
    "wait_s",
    type=Seconds(),
    metavar="S",
    help="Wait so many seconds while others hold them. Default: wait_s of makfs.conf.",
)
@click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(min_open=True),
    metavar="S",
    help="End COMMAND after so many seconds: SIGTERM, and 5 s later SIGKILL.",
)
@click.pass_context
def hold(
    context: click.Context,
    resources: tuple[str, ...],
    agent: str | None,
    wait_s: float | None,
    timeout_s: float | None,
) -> int:
    """Run COMMAND while every RESOURCE is held, all or none, and give them back when it ends.

    RESOURCE is any name: build, test, port:8000. One with :: or / in it is an address (see `makfs claim`).
    Others who ask for it wait, the same agent too. COMMAND finds in MAKFS_HELD what is held, an address a
    line. Signals are passed on. When makfs is killed, the resources are free and COMMAND gets SIGTERM.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import agent_here, resource_or_address
    from makfs.cli.running import run
    from makfs.wire.verbs import Claim

    command: list[str] = context.meta[_COMMAND]
    if not resources:
        raise click.UsageError("Name a resource.", context)
    if not command:
        raise click.UsageError("After the resources stand '--' and a command.", context)
    place = found(context)
    who = agent_here(place, "name the agent with --agent") if agent is None else agent
    addresses = tuple(resource_or_address(each, place) for each in resources)

    def lost() -> None:
        note(f"makfsd ended: {', '.join(addresses)} is not held any more. {command[0]} goes on.")

    with Client(place.repo) as daemon:
        daemon.ask(Claim(who, "write", addresses, wait_s, tied=True))
        sys.stdout.flush()
        return run(command, {"MAKFS_HELD": "\n".join(addresses)}, daemon.fileno(), timeout_s, lost)
