"""`makfs adapters`: the programs `makfs run` knows."""

from typing import TYPE_CHECKING

import click

from makfs.cli.common import json_option, print_json, print_lines

if TYPE_CHECKING:
    from makfs.adapters.table import Adapter


@click.command(
    epilog="\b\nExamples:\n  makfs adapters\n  makfs adapters --json", short_help="List the agents' programs"
)
@json_option
def adapters(as_json: bool) -> None:
    """List the programs that `makfs run` knows how to tell of makfs and give a task: makfs's own and yours.

    A table [adapter.NAME] in ~/.config/makfs/makfs.conf adds one, or changes one key by key (docs/run.md).
    TOLD is how the program is told; TOKENS whether its output says how many it used.
    """
    import dataclasses
    import shutil

    from makfs.cli import adapting

    own = adapting.users()
    made = [adapting.adapter_of(name, own) for name in adapting.names(own)]
    known = [each for each in made if each is not None]
    paths = {
        each.name: next((path for name in each.programs if (path := shutil.which(name))), None)
        for each in known
    }
    if as_json:
        print_json([{**dataclasses.asdict(each), "found": paths[each.name]} for each in known])
        return
    from makfs.cli.text import table

    rows = [
        (each.name, _told(each), "yes" if _tells(each) else "no", paths[each.name] or _missing(each))
        for each in known
    ]
    print_lines(table(("NAME", "TOLD", "TOKENS", "PROGRAM"), rows))


def _told(adapter: "Adapter") -> str:
    if adapter.tell:
        return adapter.tell[0]
    if adapter.tell_env:
        return adapter.tell_env[0].partition("=")[0]
    return f"~/{adapter.tell_file}" if adapter.tell_file else "MAKFS_GUIDE"


def _tells(adapter: "Adapter") -> bool:
    return any(rule.input or rule.output or rule.pattern for rule in adapter.reads)


def _missing(adapter: "Adapter") -> str:
    if not adapter.programs:
        return "any"
    return f"not found; {adapter.install}" if adapter.install else "not found"
