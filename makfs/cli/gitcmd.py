"""`makfs git`: the journal as commits of git. Reads the store itself, beside the daemon if there is one."""

import click

from makfs.cli.common import complete_agent, found, json_option, print_json
from makfs.cli.completing import complete_file

EPILOG = """\b
Examples:
  makfs git export
  git log --oneline refs/makfs/log
  makfs git commit -m "Baskets know their tax" src/basket.py
"""

EXPORT_EPILOG = """\b
Examples:
  makfs git export
  makfs git export --to 1207
  git blame refs/makfs/log -- app.py
"""

COMMIT_EPILOG = """\b
Examples:
  makfs git commit -m "Baskets know their tax"
  makfs git commit -m "Baskets know their tax" src/basket.py
  makfs git commit -m "What alice did" --agent alice
  makfs git commit -m "Baskets know their tax" --per-agent
"""


@click.group("git", epilog=EPILOG, short_help="Export the journal to git, and commit what it changed")
def git() -> None:
    """Export the journal to the repository's git, and commit what it changed."""


@git.command("export", epilog=EXPORT_EPILOG, short_help="Write the journal as commits on refs/makfs/log")
@click.option("--to", type=click.IntRange(1), metavar="SEQ", help="Stop after this commit of the journal.")
@json_option
@click.pass_context
def export_log(context: click.Context, to: int | None, as_json: bool) -> None:
    """Write the journal as git commits on refs/makfs/log: one for each commit, its author the agent.

    Only adds what is new since the last time. No branch and no file of yours is touched.
    """
    from makfs.cli.progress import ProgressBar
    from makfs.cli.text import some
    from makfs.gitlog.export import export
    from makfs.ids import Seq
    from makfs.wire.values import to_json

    place = found(context)
    with ProgressBar() as bar:
        done = export(place.repo, None if to is None else Seq(to), bar)
    if as_json:
        print_json(to_json(done))
    elif done.commits:
        click.echo(f"{some(done.commits, 'commit')} exported; refs/makfs/log is at commit {done.upto}.")
    elif done.tip:
        click.echo(f"Nothing new; refs/makfs/log is at commit {done.upto}.")
    else:
        click.echo("The journal has no commit yet; nothing was exported.")


@git.command("commit", epilog=COMMIT_EPILOG, short_help="Commit with git what agents changed")
@click.argument("paths", metavar="[PATH]...", nargs=-1, shell_complete=complete_file)
@click.option("-m", "--message", metavar="TEXT", required=True, help="What the commit says.")
@click.option(
    "--agent",
    "agents",
    metavar="NAME",
    multiple=True,
    shell_complete=complete_agent,
    help="Only paths that this agent changed; may be given again.",
)
@click.option(
    "--per-agent",
    is_flag=True,
    help="A commit for each agent, its author the agent; more where they took turns in a file.",
)
@click.pass_context
def commit_paths(
    context: click.Context, paths: tuple[str, ...], message: str, agents: tuple[str, ...], per_agent: bool
) -> None:
    """Commit with git, on the current branch, what the journal changed since git's HEAD.

    What lies at each PATH, or below it, is committed as it is now, whoever changed it. You are the author,
    agents are co-authors. Hooks run; whatever else is staged stays staged. The program git does the work.
    """
    from makfs.cli.find import repo_path
    from makfs.gitlog.committing import commit

    place = found(context, paths[0] if paths else None)
    wanted = [repo_path(path, place) for path in paths]
    commit(place.repo, message, wanted, agents, per_agent=per_agent)
