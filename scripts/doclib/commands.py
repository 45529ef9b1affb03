"""docs/cli.md: what every command says about itself."""

from collections.abc import Iterator

import click

from makfs.cli.main import command

WIDTH = 88
HEAD = """\
# Commands

What `makfs --help` and the commands' own `--help` say, in one page; it is made by `scripts/docs cli`, and a
test compares it with the program. From a plain checkout the command is `./scripts/makfs`.

Notes are on standard error; standard output is the result alone. Of several runs or agents that a command
names, those that it cannot do are said, and the others are done. What `--json` prints is lossless: a name
that is not UTF-8 is `{"$name": BASE64}`, the bytes of a text `{"$text": STRING}`, other bytes
`{"$bytes": BASE64}`; times end in `_ns`, since 1970.
"""


def helps(each: click.Command, name: str, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Yield the full name and the help of a command and of those below it."""
    settings = each.context_settings
    with click.Context(each, info_name=name, parent=parent, terminal_width=WIDTH, **settings) as context:
        yield context.command_path, each.get_help(context)
        if isinstance(each, click.Group):
            for below in each.list_commands(context):
                found = each.get_command(context, below)
                assert found is not None
                yield from helps(found, below, context)


def document() -> str:
    """Return the page."""
    parts = [HEAD]
    for name, text in helps(command, "makfs", None):
        parts.append(f"\n## {name}\n\n```text\n{text.rstrip()}\n```\n")
    return "".join(parts)
