"""`makfs run`: start a program in an agent's view, confined to it."""

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from makfs.cli.common import Seconds, complete_agent, found, note
from makfs.cli.supervising import care_options
from makfs.names import task_from

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from makfs.cli.adapting import Start
    from makfs.cli.client import Client
    from makfs.cli.keeper import Job
    from makfs.wire.runbegin import RunBegin
    from makfs.wire.runs import RunPlan

EPILOG = """\b
Examples:
  makfs run alice -- claude -p "mend the tests"
  makfs run alice --cli codex --task "mend the tests"
  makfs run -d -e API_KEY --no-network bob -- ./agent.sh
  makfs run alice -- sh

\b
Exit codes:
  that of COMMAND; 128 + N when signal N ended it
  126, 127  COMMAND could not be run, was not found
  3  the view is in use; COMMAND was not run
"""

GUIDE = """\
# You work in a makfs view

The current directory looks like an ordinary repository. Others edit it now, each in a view of their own.
What you write is committed at once, function by function, and what they write appears here. There is nothing
to pull, push, merge or branch.

- A write that fails (EBUSY, "Device or resource busy", or just so) was refused: another holds or changed
  that part. Nothing was lost. `cat .makfs/why` says who and what to do. Read the file again, redo the edit.
- Before a larger change: `echo 'write PATH::NAME' > .makfs/claim` (a function, a class, or `PATH`).
- Messages: read `.makfs/inbox/*`, then remove them. Send: `echo TEXT > .makfs/outbox/NAME` (or `all`).
- Do not `git stash`, `git checkout` or `git reset`: this directory is not yours alone.
- Only this directory, your home and /tmp can be written.
"""


@dataclass(frozen=True, slots=True)
class How:
    """How a run is joined to its caller."""

    quiet: bool  # in the background
    terminal: bool  # and with a terminal for those who attach
    interactive: bool  # and with an input for them


_COMMAND = "makfs.cli.running_agents.command"  # where the words after `--` are kept


class _RunCommand(click.Command):
    """A command whose own words end at the first `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ctx.meta[_COMMAND] = args[end + 1 :]
        try:
            return super().parse_args(ctx, args[:end])
        except click.UsageError as error:
            said = error.format_message()
            if end < len(args) or (
                not isinstance(error, click.NoSuchOption) and "extra argument" not in said
            ):
                raise
            raise click.UsageError(f"{said.rstrip('.')}. Put '--' between AGENT and COMMAND.", ctx) from None


@click.command(cls=_RunCommand, epilog=EPILOG, short_help="Run a program in an agent's view, confined to it")
@click.argument("agent", metavar="AGENT -- COMMAND [ARG]...", required=False, shell_complete=complete_agent)
@click.option("-d", "--detach", is_flag=True, help="In the background: print the run's number and return.")
@click.option("-i", "--interactive", is_flag=True, help="With -d: keep its input open for `makfs attach`.")
@click.option("-t", "--tty", is_flag=True, help="With -d: give it a terminal, for `makfs attach`.")
@click.option(
    "-e",
    "--env",
    "variables",
    metavar="NAME[=VALUE]",
    multiple=True,
    help="Let a variable through, or set it. Values are not recorded. Repeatable.",
)
@click.option("--cli", metavar="NAME", help="Run this program, as its adapter says (see makfs adapters).")
@click.option(
    "--task",
    metavar="TEXT",
    help="What it is to do, unattended; commits carry its first line. Words after `--` are added.",
)
@click.option("--no-network", "is_offline", is_flag=True, help="Without any network.")
@click.option(
    "--resource",
    "resources",
    metavar="NAME",
    multiple=True,
    help="Hold a process resource while COMMAND runs, as makfs with does. Repeatable.",
)
@click.option(
    "--wait",
    "wait_s",
    type=Seconds(),
    metavar="S",
    help="Wait so many seconds while others hold the resources. Default: wait_s of makfs.conf.",
)
@click.option("--share", is_flag=True, help="Though another run of AGENT goes on in the same view.")
@click.option(
    "--no-confine",
    "is_open",
    is_flag=True,
    help="Without the confinement: COMMAND may read and write whatever you may.",
)
@care_options
@click.option("--print-guide", is_flag=True, help="Print what AGENT is told of makfs, and end.")
@click.pass_context
def run(
    context: click.Context,
    /,
    agent: str | None,
    detach: bool,
    variables: tuple[str, ...],
    is_offline: bool,
    resources: tuple[str, ...],
    wait_s: float | None,
    share: bool,
    is_open: bool,
    print_guide: bool,
    interactive: bool,
    tty: bool,
    cli: str | None,
    task: str | None,
    **care: Any,
) -> int:
    """Run COMMAND in the view of AGENT, which it cannot leave, and record what it did.

    The repository's own path is the view there. COMMAND may read the system and its own HOME, which AGENT
    keeps from run to run; of the repository itself, of other views and of your home it sees nothing. How it
    ended, what it wrote and what it committed is kept: see `makfs ps`, `makfs logs`, `makfs inspect`. When it
    ends, so does all that it started, and AGENT holds nothing any more.

    A program that makfs knows (`makfs adapters`) is told in its own way how to work with others.
    """
    from makfs.cli import adapting
    from makfs.cli.client import Client
    from makfs.cli.confine import SYSTEM, mask, served
    from makfs.cli.find import resource_or_address
    from makfs.cli.supervising import care_of, say_unenforced
    from makfs.wire.runbegin import RunBegin
    from makfs.wire.runs import RunPlan

    if print_guide:
        click.echo(GUIDE, nl=False)
        return 0
    command: list[str] = context.meta[_COMMAND]
    agent = _checked(context, agent, bool(command or (cli and task)), is_apart=tty or interactive)
    if is_open and is_offline:
        raise click.UsageError("--no-network needs the confinement that --no-confine leaves out.", context)
    given = _given(context, variables)
    looked_after = care_of(context, **care)
    if not is_open:
        _need_bwrap()
    place = found(context)
    wanted = adapting.Wanted(tuple(command), cli, task, given, not is_open, served(), SYSTEM)
    start = adapting.start(wanted, os.environ)
    shown, names = mask(start.command, start.secrets), tuple(sorted(start.variables))
    held = tuple(resource_or_address(each, place) for each in resources)
    wish = RunBegin(
        agent, shown, not is_open, not is_offline, names, share, looked_after, start.name, held, wait_s,
        task_from(mask([task or ""], start.secrets)[0]),
    )  # fmt: skip
    with Client(place.repo) as daemon:
        plan = daemon.get(wish, RunPlan)
        say_unenforced(plan)
        if detach:
            _detach(plan)
        how = How(detach, tty, interactive)
        return _keep(daemon, plan, wish, start, how)


def _checked(context: click.Context, agent: str | None, has_command: bool, *, is_apart: bool) -> str:
    """Return the agent, if the command line makes sense. `is_apart`: it has -i or -t."""
    task: str | None = context.params["task"]
    if agent is None or not has_command:
        raise click.UsageError("Name an agent, then '--' and a command, or --cli and --task.", context)
    if task is not None and (is_apart or not task.strip()):
        raise click.UsageError("--task goes with a text, and without -i and -t.", context)
    if is_apart and not context.params["detach"]:
        raise click.UsageError(
            "-i and -t go with -d; in the foreground the program has what you have.", context
        )
    return agent


def _given(context: click.Context, variables: "Sequence[str]") -> dict[str, str]:
    """Return the variables of `-e`."""
    given: dict[str, str] = {}
    for each in variables:
        name, is_set, value = each.partition("=")
        if not name.isidentifier() or not name.isascii():
            raise click.UsageError(f"-e {name!a} is not the name of a variable.", context)
        if is_set:
            given[name] = value
        elif name in os.environ:
            given[name] = os.environ[name]
        else:
            raise click.UsageError(f"-e {name}: no such variable; set it, or say {name}=VALUE.", context)
    return given


def _need_bwrap() -> None:
    from makfs.cli.confine import bwrap
    from makfs.errors import MakfsError

    if bwrap() is None:
        raise MakfsError(
            "There is no bwrap to confine it with: install the package bubblewrap, or say --no-confine."
        )


def _detach(plan: "RunPlan") -> None:
    """Go on in the background; the caller gets the run's number and its prompt back."""
    click.echo(plan.number)
    sys.stdout.flush()
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    os.chdir("/")


def _keep(
    daemon: "Client",
    plan: "RunPlan",
    wish: "RunBegin",
    start: "Start",
    how: How,
) -> int:
    """Run the program to its end, tell the daemon, return the exit code."""
    from makfs.cli import confine
    from makfs.cli.exits import EXIT_COMMAND_FAILED, CommandFailed
    from makfs.cli.keeper import Keeper
    from makfs.errors import MakfsError
    from makfs.wire.runbegin import RunStarted

    confine.check_view(plan)
    is_connected, quiet = True, how.quiet

    def started(leader: int) -> None:
        with contextlib.suppress(MakfsError):  # its end is heard by `lost`
            daemon.ask(RunStarted(plan.number, os.getpid(), leader))

    def lost() -> None:
        nonlocal is_connected
        is_connected = False
        if not quiet:
            note(f"makfsd ended: the view of {wish.agent} is gone. {start.command[0]} goes on.")

    say = None if quiet else note
    keeper = Keeper(_job(plan, wish, start, daemon.fileno(), how), started, lost, say)
    try:
        code = keeper.run()
    except OSError as error:
        raise CommandFailed(f"The run cannot start: {error.strerror}.", EXIT_COMMAND_FAILED) from None
    if wish.confined and not keeper.was_started and not quiet:
        note("bwrap could not make the confinement, as it says above; --no-confine runs without.")
    if is_connected:
        _tell_end(daemon, plan)
    return code


def _tell_end(daemon: "Client", plan: "RunPlan") -> None:
    from makfs.cli.artifacts import keep_diff
    from makfs.errors import MakfsError
    from makfs.wire.runbegin import RunEnd
    from makfs.wire.runs import RunKept

    try:
        record = daemon.get(RunEnd(plan.number), RunKept)
    except MakfsError:
        note(f"makfsd ended before it recorded run {plan.number}; the next one will.")
        return
    if record.log_problem:
        note(f"Not all that {record.agent} wrote could be kept: {record.log_problem}.")
    keep_diff(daemon, record, plan.folder)


def _job(plan: "RunPlan", wish: "RunBegin", start: "Start", connection: int, how: How) -> "Job":
    """Return what to start, confined or not."""
    from makfs.cli import confine, shims
    from makfs.cli.keeper import Job
    from makfs.runs.restarts import parse_policy

    quiet = how.quiet
    terminal = not start.has_task and (how.terminal if quiet else os.isatty(0) and os.isatty(1))
    has_shims = _write_shims(plan, confined=wish.confined)
    home = confine.inner_home(plan) if wish.confined else plan.home
    guide_path = confine.inner_guide(plan) if wish.confined else _written_guide(plan)
    told, given = _told(plan, start, guide_path)
    command = _limited(plan, told)
    variables = confine.environment(plan, wish.agent, home, guide_path, given, os.environ)
    guide, rules = _memory_file(GUIDE.encode()), _sealed() if wish.confined else -1
    if has_shims:
        folder = confine.inner_shims(plan) if wish.confined else os.path.join(plan.folder, shims.FOLDER)
        variables["PATH"] = f"{folder}:{variables.get('PATH', os.defpath)}"

    def line(status: int) -> "Sequence[str]":
        if not wish.confined:
            return confine.trampoline(command)
        shown, links = ((), ()) if start.program is None else (start.program.shown, start.program.links)
        box = confine.Box(wish.network, terminal, _is_newest(), shown, links, rules, has_shims)
        return confine.arguments(plan, box, guide, status, command)

    if not wish.confined:
        variables["PWD"] = plan.view
    return Job(
        line, variables, plan.folder, "/" if wish.confined else plan.view, plan.log_bytes, wish.confined,
        terminal, quiet, connection, tuple(fd for fd in (guide, rules) if fd >= 0 and wish.confined),
        plan.view, parse_policy(wish.care.restart), plan.groups, how.interactive, _input(start),
        start.adapter, start.secrets,
    )  # fmt: skip


def _input(start: "Start") -> int:
    """Return what the program of a task reads: what the caller has there would be taken for a part of it."""
    if not start.has_task:
        return -1
    return os.open(os.devnull, os.O_RDONLY) if start.input is None else _memory_file(start.input.encode())


def _told(plan: "RunPlan", start: "Start", guide_path: str) -> "tuple[Sequence[str], Mapping[str, str]]":
    """Return command line and variables that tell the program of makfs; write into its home what does."""
    if start.adapter is None:
        return start.command, start.variables
    from makfs.adapters.telling import Guide, tell, with_guide
    from makfs.cli import homefile

    told = tell(start.adapter, start.command, Guide(GUIDE, guide_path), start.variables)
    if told.file:
        try:
            homefile.change(plan.home, told.file, lambda before: with_guide(before, GUIDE))
        except homefile.NotWritten as error:
            note(f"{start.adapter.name} is not told of makfs: {error}.")
    words = (*told.words[:1], *start.server_words, *told.words[1:])
    return words, {**told.variables, **start.variables}


def _limited(plan: "RunPlan", command: "Sequence[str]") -> "Sequence[str]":
    """Return the command, run under the limits that no control group holds."""
    import dataclasses

    from makfs.cli.confine import trampoline
    from makfs.runs.limits import by_rlimit

    held = {name: 0 for name in ("memory", "cpu", "pids") if name in plan.enforced}
    names = {"memory": "memory_bytes", "cpu": "cpus", "pids": "pids"}
    left = dataclasses.replace(plan.limits, **{names[name]: zero for name, zero in held.items()})
    prefix = by_rlimit(left, is_root=os.getuid() == 0)
    return [*prefix, *trampoline(command)] if prefix else command


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("makfs")
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _sealed() -> int:
    """Take abstract sockets from this process and its run; return the filter of calls, or -1."""
    import stat

    from makfs.cli import seal
    from makfs.cli.confine import bwrap

    program = bwrap()
    if program is not None and not os.stat(program).st_mode & stat.S_ISUID:
        seal.close_abstract_sockets()
    rules = seal.key_filter(os.uname().machine)
    return _memory_file(rules) if rules else -1


def _write_shims(plan: "RunPlan", *, confined: bool) -> bool:
    """Write the commands that wait their turn into the run's folder; tell whether there are any."""
    from makfs.cli import confine

    if not plan.turns:
        return False
    from makfs.cli import shims

    shims.write(plan.turns, plan.repo if confined else plan.view, os.path.join(plan.folder, shims.FOLDER))
    with contextlib.suppress(OSError):
        text = shims.profile(confine.inner_shims(plan))
        with open(os.path.join(plan.folder, confine.PROFILE_NAME), "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(text)
    return True


def _written_guide(plan: "RunPlan") -> str:
    """Write the guide into the run's folder, which the agent cannot have prepared; return its path."""
    from makfs.cli.confine import GUIDE_NAME

    path = os.path.join(plan.folder, GUIDE_NAME)
    with open(path, "w", encoding="utf-8") as file:
        file.write(GUIDE)
    return path


def _is_newest() -> bool:
    """Tell whether bwrap knows --disable-userns (0.8)."""
    import subprocess

    said = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=False).stdout
    numbers = said.split()[-1].split(".") if said.split() else []
    return [int(each) for each in numbers[:2] if each.isdecimal()] >= [0, 8]
