"""What the commands share: options, output, the daemon of the repository that is meant."""

import dataclasses
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

import click

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.cli.find import Found

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def json_option(function: F) -> F:
    """Add `--json`: the daemon's own values, lossless, for programs."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(function)


class Seconds(click.FloatRange):
    """A time of at most a day, in seconds; with `min_open`, longer than 0."""

    def __init__(self, *, min_open: bool = False) -> None:
        super().__init__(0, 86400, min_open=min_open)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; `nan` is none, though it is neither below nor above anything."""
        number = super().convert(value, param, ctx)
        if number != number:
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


def check_policy(on_write: str | None) -> None:
    """Raise ConfigError for what is no policy."""
    if on_write is None:
        return
    from makfs.cli.completing import policies
    from makfs.errors import ConfigError

    accepted = policies()
    if on_write not in accepted:
        raise ConfigError(f"--on-write {on_write!a} is no policy; accepted: {', '.join(accepted)}.")


def found(context: click.Context, path: str | None = None) -> "Found":
    """Return the repository that is meant: named, or that of `path`, or of the current directory.

    Raises NotFound.
    """
    import os

    from makfs.cli.find import absolute, find
    from makfs.errors import NotFound

    root = context.find_root()
    hint: str | None = root.params.get("repo") if root.obj is None else root.obj  # a shell completes: no obj
    if hint is None and path is not None:
        try:
            return dataclasses.replace(find(os.path.dirname(os.path.normpath(absolute(path)))), named=False)
        except NotFound:
            pass
    return find(hint)


def client(context: click.Context) -> "Client":
    """Return a connection to its daemon. Raises NotServed."""
    from makfs.cli.client import Client

    return Client(found(context).repo)


def print_json(data: object) -> None:
    """Print JSON in ASCII, indented."""
    click.echo(json.dumps(data, indent=2))


def print_lines(lines: Iterable[str]) -> None:
    """Print lines as they come; colour is dropped by click where stdout is no terminal."""
    for line in lines:
        click.echo(line)


def for_each(items: "Sequence[T]", work: "Callable[[T], object]") -> None:
    """Do `work` for every item, as rm(1): what one is refused is said, and the others are done all the same.

    The exit code is that of the first refusal.
    """
    from makfs.cli.exits import Told, exit_code
    from makfs.cli.main import complain

    first = 0
    for item in items:
        try:
            work(item)
        except Told as error:
            code = complain(str(error), exit_code(error))
            first = first or code
    if first:
        raise click.exceptions.Exit(first)


def note(sentence: str) -> None:
    """Tell people something beside the result, on stderr."""
    from makfs.cli.text import printable

    click.echo(f"makfs: note: {printable(sentence)}", err=True)


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Return the columns to fit output to; None where stdout, or `stream`, is no terminal.

    Programs want it whole.
    """
    if not (stream or sys.stdout).isatty():
        return None
    import shutil

    return shutil.get_terminal_size((80, 24)).columns


def complete_agent(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Return names of agents for shell completion; nothing if no daemon answers."""
    from makfs.engine.api import KernelStatus
    from makfs.errors import MakfsError
    from makfs.wire.verbs import Status

    try:
        with client(context) as daemon:
            status = daemon.get(Status(), KernelStatus)
    except MakfsError:
        return []
    return [each.agent for each in status.agents if each.agent.startswith(typed)]
