"""What a shell completes beside the names of agents. Nothing, where no daemon answers."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from makfs.cli.common import client

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from makfs.wire.verbs import Verb

Completer = Callable[[click.Context, click.Parameter, str], list[Any]]


def one_of(words: Callable[[], list[str]]) -> Completer:
    """Return a completer of words; they are asked for when a shell completes."""
    return lambda _context, _parameter, typed: [word for word in words() if word.startswith(typed)]


def policies() -> list[str]:
    """Return what a write may do."""
    from makfs.settings import OnWrite

    return [policy.value for policy in OnWrite]


def complete_file(_context: click.Context, _parameter: click.Parameter, typed: str) -> "list[CompletionItem]":
    """Let the shell complete the name of a file."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(typed, type="file")]


def complete_folder(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> "list[CompletionItem]":
    """Let the shell complete the name of a folder."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(typed, type="dir")]


def complete_run(context: click.Context, _parameter: click.Parameter, typed: str) -> "list[CompletionItem]":
    """Return numbers of runs, newest first, with their commands."""
    import shlex

    from click.shell_completion import CompletionItem

    from makfs.wire.runverbs import Runs

    rows = _asked(context, Runs(True))
    return [
        CompletionItem(
            str(row["number"]), help=f"{row['agent']}: {shlex.join(map(str, row['command']))}"[:60]
        )
        for row in rows
        if str(row["number"]).startswith(typed)
    ]


def complete_mark(context: click.Context, _parameter: click.Parameter, typed: str) -> list[str]:
    """Return marks."""
    from makfs.wire.verbs import Marks

    return [row["name"] for row in _asked(context, Marks()) if row["name"].startswith(typed)]


def complete_commit(context: click.Context, parameter: click.Parameter, typed: str) -> list[str]:
    """Return what names a commit: marks, and `head`."""
    return [*complete_mark(context, parameter, typed), *(["head"] if "head".startswith(typed) else [])]


def complete_refusal(
    context: click.Context, _parameter: click.Parameter, typed: str
) -> "list[CompletionItem]":
    """Return numbers of refusals, newest first, with their files."""
    from click.shell_completion import CompletionItem

    from makfs.cli.text import printable
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Refusals

    return [
        CompletionItem(str(row["number"]), help=f"{row['agent']}: {printable(from_json(str, row['path']))}")
        for row in _asked(context, Refusals(100, None))
        if str(row["number"]).startswith(typed)
    ]


def _asked(context: click.Context, verb: "Verb") -> list[Any]:
    from makfs.errors import MakfsError

    try:
        with client(context) as daemon:
            rows = daemon.ask(verb)
    except MakfsError:
        return []
    return rows if isinstance(rows, list) else []
