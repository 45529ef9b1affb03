"""`makfs fsck` and `makfs doctor`: is the store sound, is the machine fit."""

import sys
from typing import TYPE_CHECKING

import click

from makfs.cli.common import json_option, print_json, print_lines, terminal_width
from makfs.cli.completing import complete_folder
from makfs.cli.exits import EXIT_FAILURE, NotServed, Told
from makfs.errors import MakfsError

if TYPE_CHECKING:
    from makfs.cli.client import OnProgress
    from makfs.wire.values import Json


@click.command(
    epilog="\b\nExamples:\n  makfs fsck ./repo\n  makfs fsck --json ./repo",
    short_help="Check a repository's store",
)
@click.argument("repo", required=False, shell_complete=complete_folder)
@click.option("--repair", is_flag=True, help="Mend what can be mended first; nobody may serve REPO.")
@json_option
@click.pass_context
def fsck(context: click.Context, repo: str | None, repair: bool, as_json: bool) -> int:
    """Check the store of REPO: its invariants, the tree against it, the journal's replay.

    Changes nothing without --repair, which keeps a copy of the store first, says what it did, and never
    touches REPO's own files. Works while the repository is mounted and while it is not.
    """
    from makfs.cli.find import find
    from makfs.cli.progress import ProgressBar
    from makfs.cli.text import printable, some
    from makfs.engine.api import Finding
    from makfs.wire.values import from_json

    place = find(repo if repo is not None else context.find_root().obj)
    with ProgressBar() as bar:
        if repair:
            did = ask_unserved(["keep", "--", place.repo, "repair"], place.repo, bar)
            for sentence in from_json(list[str], did):
                click.echo(printable(sentence), err=as_json)
        data = _check(place.repo, bar)
    findings = from_json(list[Finding], data)
    if as_json:
        print_json(data)
    elif not findings:
        click.echo(f"{printable(place.repo)}: nothing wrong was found.")
    else:
        for each in findings:
            click.echo(f"{click.style(printable(each.check), fg='red')}  {printable(each.where)}")
            click.echo(f"    {printable(each.sentence)}")
        click.echo(f"{printable(place.repo)}: {some(len(findings), 'finding')}.")
    return EXIT_FAILURE if findings else 0


def _check(repo: str, bar: "OnProgress") -> "Json":
    """Let the daemon check, or, where there is none, a process of its own."""
    from makfs.cli.client import Client
    from makfs.wire.verbs import Check

    try:
        daemon = Client(repo)
    except NotServed:
        return ask_unserved(["fsck", "--frames", "--", repo], repo, bar)
    with daemon:
        return daemon.ask(Check(), bar)


def ask_unserved(arguments: "list[str]", repo: str, bar: "OnProgress") -> "Json":
    """Let a makfsd do one thing to a repository that nobody serves, and return its answer. Raises Told."""
    import subprocess

    from makfs.wire.frames import MAX_REPLY_BYTES, Decoder, Failure, Progress, Reply

    decoder = Decoder(MAX_REPLY_BYTES)
    command = [sys.executable, "-P", "-m", "makfsd", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as checker:
        assert checker.stdout is not None
        for line in checker.stdout:
            decoder.feed(line)
            match decoder.take():
                case Progress(_, what, done, total):
                    bar(what, done, total)
                case Reply(_, data):
                    return data
                case Failure(_, _, sentence, number):
                    raise Told(sentence, number)
    raise MakfsError(f"The makfsd for {repo} ended without a result.")


@click.command(
    epilog="\b\nExample:\n  makfs doctor", short_help="Check whether this machine can mount and run agents"
)
@json_option
def doctor(as_json: bool) -> int:
    """Check whether this machine can mount and run agents: FUSE, permissions, versions, limits, namespaces.

    Whatever is not well has a remedy.
    """
    from makfs.cli.doctor import run_checks
    from makfs.cli.text import printable, wrap
    from makfs.wire.values import to_json

    checks = run_checks()
    if as_json:
        print_json(to_json(checks))
    else:
        width = max(len(each.name) for each in checks)
        for each in checks:
            status = str(each.ok.value)
            colour = {"ok": "green", "warn": "yellow", "fail": "red"}.get(status)
            said = [each.sentence, each.remedy] if each.remedy and status != "ok" else [each.sentence]
            lead = f"{status:<4}  {each.name:<{width}}  "
            lines = [
                line for text in said for line in wrap(printable(text), terminal_width(), " " * len(lead))
            ]
            head = f"{click.style(f'{status:<4}', fg=colour)}{lead[4:]}"
            print_lines([head + lines[0][len(lead) :], *lines[1:]])
    return EXIT_FAILURE if any(each.ok.value == "fail" for each in checks) else 0
