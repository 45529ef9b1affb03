"""`makfs nodes`: what a file is made of."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, json_option, print_json, print_lines
from makfs.cli.completing import complete_file

if TYPE_CHECKING:
    from makfs.engine.api import NodeRow


@click.command(
    epilog="\b\nExamples:\n  makfs nodes src/app.py\n  makfs nodes --json src/app.py | jq '.[].address'",
    short_help="List the nodes of a file",
)
@click.argument("path", shell_complete=complete_file)
@json_option
@click.pass_context
def nodes(context: click.Context, path: str, as_json: bool) -> None:
    """List the nodes of the file PATH as committed: kind, lines, address.

    PATH is one from here, in a view or in the repository; outside of both, one from the repository's top.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import past_of, repo_path
    from makfs.engine.api import NodeRow
    from makfs.errors import BadName
    from makfs.wire.values import from_json
    from makfs.wire.verbs import Nodes

    place = found(context, path)
    past = past_of(path, place)
    if past not in ("", "head"):
        raise BadName(
            f"{path} is of commit {past}, and 'makfs nodes' tells of the newest; "
            f"'makfs blame --by-node {path}' tells of that one."
        )
    with Client(place.repo) as daemon:
        data = daemon.ask(Nodes(repo_path(path, place)))
    if as_json:
        print_json(data)
    else:
        print_lines(render_nodes(from_json(list[NodeRow], data)))


def render_nodes(rows: "Sequence[NodeRow]") -> Iterator[str]:
    """Return the lines for people. Pure."""
    from makfs.cli.text import columns, pad, printable

    lines = [_lines(row) for row in rows]
    kind_width = max([4, *(columns(row.kind) for row in rows)])
    line_width = max([5, *(len(each) for each in lines)])
    yield click.style(
        f"{pad('KIND', kind_width)}  {pad('LINES', line_width, right=True)}  ADDRESS", bold=True
    )
    for row, where in zip(rows, lines, strict=True):
        path, separator, name = printable(row.address).partition("::")
        address = f"{click.style(path + separator, dim=True)}{name}" if name else path
        yield f"{pad(row.kind, kind_width)}  {pad(where, line_width, right=True)}  {address}"


def _lines(row: "NodeRow") -> str:
    return str(row.first_line) if row.first_line == row.last_line else f"{row.first_line}-{row.last_line}"
