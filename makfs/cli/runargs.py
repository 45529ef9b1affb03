"""The argument of commands about runs: their numbers."""

import click

from makfs.cli.completing import complete_run

run_number = click.argument("number", type=click.IntRange(1), shell_complete=complete_run)
run_numbers = click.argument(
    "numbers",
    metavar="NUMBER...",
    type=click.IntRange(1),
    nargs=-1,
    required=True,
    shell_complete=complete_run,
)
