"""`makfs completion`: the script that makes a shell complete commands, options and agents."""

import click

EPILOG = """\b
Examples:
  makfs completion bash > ~/.local/share/bash-completion/completions/makfs
  makfs completion zsh > ~/.zfunc/_makfs
  makfs completion fish > ~/.config/fish/completions/makfs.fish
"""


@click.command(epilog=EPILOG, short_help="Print a shell's completion script")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    maker = kind(context.find_root().command, {}, "makfs", "_MAKFS_COMPLETE")
    # Not `source()`: click runs the user's bash there, to look at its version.
    click.echo(maker.source_template % maker.source_vars())
