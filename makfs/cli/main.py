"""The command line's frame: commands loaded when used, errors as one sentence and an exit code.

Start-up counts: nothing here or in a command's module may import trio, libcst, sqlite3, networkx or asyncio,
and whatever costs more than a millisecond is imported inside the function that needs it.
"""

import gc
import importlib
import os
import re
import sys
from typing import Any, NoReturn

import click

from makfs import __version__
from makfs.cli.exits import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE, exit_code
from makfs.errors import MakfsError

COMMANDS = {
    "mount": "mounting:mount",
    "umount": "mounting:umount",
    "agent": "agents:agent",
    "status": "status:status",
    "log": "history:log",
    "show": "history:show",
    "diff": "diffing:diff",
    "blame": "blaming:blame",
    "cat": "marking:cat",
    "mark": "marking:mark",
    "node": "nodelog:node",
    "nodes": "nodes:nodes",
    "claim": "claims:claim",
    "release": "claims:release",
    "renew": "claims:renew",
    "locks": "claims:locks",
    "with": "holding:hold",
    "why": "claims:why",
    "run": "running_agents:run",
    "adapters": "adapters:adapters",
    "ps": "runs:ps",
    "logs": "logs:logs",
    "attach": "attach:attach",
    "stats": "steering:stats",
    "inspect": "runs:inspect",
    "artifacts": "artifacts:artifacts",
    "pause": "steering:pause",
    "unpause": "steering:unpause",
    "restart": "steering:restart",
    "stop": "runs:stop",
    "kill": "runs:kill",
    "wait": "runs:wait",
    "rm": "runs:rm",
    "send": "messaging:send",
    "ask": "messaging:ask",
    "answer": "messaging:answer",
    "inbox": "messaging:inbox",
    "messages": "messaging:messages",
    "share": "messaging:share",
    "shared": "messaging:shared",
    "events": "happenings:events",
    "undo": "undoing:undo",
    "restore": "undoing:restore",
    "replay": "replaying:replay",
    "gc": "keeping:gc",
    "export": "keeping:export",
    "import": "keeping:import_",
    "publish": "publishing:publish",
    "refresh": "publishing:refresh",
    "discard": "publishing:discard",
    "refusals": "refusals:refusals",
    "git": "gitcmd:git",
    "fsck": "checking:fsck",
    "doctor": "checking:doctor",
    "completion": "completion:completion",
}

OTHERWISE = {  # what git, Docker and flock call it
    "branch": "agent", "commit": "git commit", "exec": "run", "history": "log", "list": "agent ls",
    "lock": "claim", "ls": "agent ls", "merge": "publish", "revert": "undo", "tag": "mark", "top": "stats",
    "unlock": "release", "update": "refresh",
}  # fmt: skip

OBJECTS = 50_000  # made before garbage is looked for; a command makes some 20 000, and no garbage

EPILOG = """\b
Exit codes:
  0  done
  1  it failed, or something was found wrong (fsck, doctor)
  2  the command line is wrong
  3  refused or busy; nothing was changed
  4  no makfsd serves this repository

\b
Start here:
  makfs mount ./repo /mnt/work --agent alice --agent bob
  cd /mnt/work/alice
  makfs log
"""


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command = getattr(importlib.import_module(f"makfs.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is meant; for a word that is none, say which are like it."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = (
                [OTHERWISE[args[0]]] if args[0] in OTHERWISE else difflib.get_close_matches(args[0], COMMANDS)
            )
            if not near:
                raise
            raise click.UsageError(f"{error.format_message()} Is it {' or '.join(near)}?", ctx) from None


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-C",
    "--repo",
    metavar="PATH",
    envvar="MAKFS_REPO",
    show_envvar=True,
    help="The repository, or any directory in it or in its mount. Default: the current directory.",
)
@click.version_option(__version__, message="makfs %(version)s")
@click.pass_context
def command(context: click.Context, repo: str | None) -> None:
    """Let several agents work on one repository at once: a view each, every write a commit of nodes."""
    context.obj = repo
    if os.environ.get("NO_COLOR"):
        context.color = False


def main() -> NoReturn:
    """Entry point of `makfs`. Errors are one sentence on stderr."""
    gc.set_threshold(OBJECTS)
    code = run(sys.argv[1:])
    gc.freeze()  # what is there goes with the process: nobody need look for garbage in it
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line; return its exit code."""
    try:
        code: Any = command.main(arguments, prog_name="makfs", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return EXIT_USAGE
    except click.UsageError as error:
        return complain(_usage_sentence(error), EXIT_USAGE)
    except click.ClickException as error:
        return complain(error.format_message(), EXIT_FAILURE)
    except MakfsError as error:
        return complain(str(error), exit_code(error))
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except OSError as error:
        return _leave(error)
    return code if isinstance(code, int) else 0


def complain(sentence: str, code: int) -> int:
    """Say on stderr what went wrong; return the exit code."""
    sentence = sentence if sentence.rstrip().endswith((".", "?", "!")) else f"{sentence}."
    from makfs.cli.common import terminal_width
    from makfs.cli.text import printable, wrap

    shown = wrap(printable(f"makfs: {sentence}"), terminal_width(sys.stderr))
    click.echo("\n".join(shown), err=True)
    return code


def _usage_sentence(error: click.UsageError) -> str:
    sentence = " ".join(error.format_message().split())
    sentence = re.sub(r"is not a valid integer( range)?\b", "is not a whole number", sentence)
    sentence = re.sub(r"is not a valid float( range)?\b", "is not a number", sentence)
    sentence = re.sub(r"^Invalid value for '\[(.+?)\]'", r"Invalid value for '\1'", sentence)
    path = error.ctx.command_path if error.ctx is not None else "makfs"
    return f"{sentence if sentence.endswith(('.', '?')) else sentence + '.'} See '{path} --help'."


def _leave(error: OSError) -> int:
    """End: quietly after `makfs log | head`, with a sentence where a disk behind stdout is full."""
    try:
        sys.stdout.flush()
    except OSError:  # no second complaint when Python flushes at exit
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
    if isinstance(error, BrokenPipeError):
        return EXIT_FAILURE
    where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
    return complain(f"{where}{error.strerror or error}.", EXIT_FAILURE)
