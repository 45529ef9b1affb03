"""`makfs publish`, `makfs refresh` and `makfs discard`: what becomes of a snapshot view's edits."""

from typing import TYPE_CHECKING

import click

from makfs.cli.common import client, complete_agent, json_option, print_json

if TYPE_CHECKING:
    from makfs.engine.api import Published
    from makfs.wire.verbs import Discard, Publish, Refresh

PUBLISH_EPILOG = """\b
Examples:
  makfs publish alice
  echo > /mnt/work/alice/.makfs/publish     (the same, from inside)
"""

REFRESH_EPILOG = """\b
Examples:
  makfs refresh alice
  echo > /mnt/work/alice/.makfs/refresh
"""


@click.command(epilog=PUBLISH_EPILOG, short_help="Merge a snapshot view's edits onto head")
@click.argument("name", shell_complete=complete_agent)
@json_option
@click.pass_context
def publish(context: click.Context, name: str, as_json: bool) -> None:
    """Merge all that the snapshot view NAME changed onto head, node by node, in one commit; all or nothing.

    Then the view stands at that commit. If [publish] gate is set, that command must pass first, on the tree
    that would become head.
    """
    from makfs.wire.verbs import Publish

    done = _ask(context, Publish(name), as_json)
    if done is None:
        return
    if done.seq is None:
        click.echo(f"Nothing to publish. {name} stands at commit {done.at}.")
    else:
        click.echo(f"commit {done.seq}: {_listed(done)}")


@click.command(epilog=REFRESH_EPILOG, short_help="Bring a snapshot view to head, its edits kept")
@click.argument("name", shell_complete=complete_agent)
@json_option
@click.pass_context
def refresh(context: click.Context, name: str, as_json: bool) -> None:
    """Let the snapshot view NAME stand at head, with its own edits merged onto it; all or nothing."""
    from makfs.wire.verbs import Refresh

    done = _ask(context, Refresh(name), as_json)
    if done is not None:
        kept = f", with its edits of {_listed(done)}" if done.paths else ""
        click.echo(f"{name} stands at commit {done.at}{kept}.")


@click.command(epilog="\b\nExample:\n  makfs discard alice", short_help="Drop a snapshot view's edits")
@click.argument("name", shell_complete=complete_agent)
@json_option
@click.pass_context
def discard(context: click.Context, name: str, as_json: bool) -> None:
    """Drop all that the snapshot view NAME changed and did not publish, and what git changed in it.

    It stands at head then. Ignored files stay.
    """
    from makfs.wire.verbs import Discard

    done = _ask(context, Discard(name), as_json)
    if done is not None:
        dropped = f" Dropped its edits of {_listed(done)}." if done.paths else ""
        click.echo(f"{name} stands at commit {done.at}.{dropped}")


def _ask(context: click.Context, verb: "Publish | Refresh | Discard", as_json: bool) -> "Published | None":
    """Carry out a verb; return what to tell, None if JSON told it."""
    from makfs.engine.api import Published
    from makfs.wire.values import from_json

    with client(context) as daemon:
        data = daemon.ask(verb)
    if as_json:
        print_json(data)
        return None
    return from_json(Published, data)


def _listed(done: "Published") -> str:
    from makfs.cli.text import printable

    names = ", ".join(printable(path) for path in done.paths[:3])
    return names + (f" and {len(done.paths) - 3} more" if len(done.paths) > 3 else "")
