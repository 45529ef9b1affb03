"""`makfs events`: what happened, a line of JSON each, and what happens."""

from typing import TYPE_CHECKING

import click

from makfs.cli.common import complete_agent, found
from makfs.cli.completing import one_of

if TYPE_CHECKING:
    from makfs.cli.client import Client
    from makfs.wire.mailverbs import Events

KINDS = (  # those of docs/events.md
    "commit", "refusal", "undone", "restored", "published", "refreshed", "discarded",
    "lock-granted", "lock-waiting", "lock-released", "lock-expired", "lock-refused", "lock-cancelled",
    "deadlock", "message-sent", "message-acknowledged",
    "shared", "unshared", "agent-added", "agent-removed", "mark-set", "mark-deleted",
    "mounted", "unmounted", "gc",
    "run-began", "run-ended", "run-frozen", "run-lost", "run-paused", "run-restarted", "run-restarting",
    "run-resumed", "run-stopped", "run-taken-over", "run-view-back", "run-view-gone", "run-warned",
)  # fmt: skip
FOLLOW_S = 60.0  # one question waits so long for news
EPILOG = """\b
Examples:
  makfs events --since 1h
  makfs events --since 1207 --kind commit --path src/
  makfs events -f | jq -r 'select(.kind == "refusal") | .path'
"""


@click.command(epilog=EPILOG, short_help="Tell what happened, a line of JSON each; follow with -f")
@click.option("-f", "--follow", is_flag=True, help="Go on: print what happens, until interrupted.")
@click.option(
    "--since",
    metavar="AT|TIME",
    help="What came after a position (the `at` of an event, a commit's number, 0 for all), or since a time: "
    "10m, 2h, 3d ago, or 2026-11-20T14:00. Default: all; with -f, from now on.",
)
@click.option(
    "--agent", "agents", metavar="NAME", multiple=True, shell_complete=complete_agent, help="Only of these."
)
@click.option(
    "--kind",
    "kinds",
    metavar="KIND",
    multiple=True,
    shell_complete=one_of(lambda: [*KINDS]),
    help="Only these: a kind of docs/events.md, or its first word, as lock for lock-granted and the like.",
)
@click.option(
    "--path", "paths", metavar="PATH", multiple=True, help="Only what names it, or what is below it."
)
@click.pass_context
def events(
    context: click.Context,
    follow: bool,
    since: str | None,
    agents: tuple[str, ...],
    kinds: tuple[str, ...],
    paths: tuple[str, ...],
) -> None:
    """Tell what happened, oldest first: commits, refusals, locks, runs, messages, views, marks.

    One JSON object a line. Its `at` is where it stands: give the last one you saw to --since, and you miss
    nothing. Kinds and fields are listed in docs/events.md. What is not kept any more is said first, by a
    line of kind `cut`.
    """
    from makfs.cli.client import Client
    from makfs.cli.find import repo_path
    from makfs.cli.times import moment_ns
    from makfs.wire.mailverbs import Events

    _check_kinds(kinds)
    place = found(context)
    wanted = tuple(repo_path(path, place) for path in paths)
    at = since if since is not None and _is_position(since) else None
    since_ns = moment_ns(since) if since is not None and at is None else None
    if since is None and not follow:
        at = "0"
    with Client(place.repo) as daemon:
        _tell(daemon, Events(at, since_ns, None, 0.0, True, agents, kinds, wanted), follow=follow)


def _check_kinds(kinds: tuple[str, ...]) -> None:
    """Raise UsageError for a kind that no event has: it would be waited for in vain."""
    words = {kind.partition("-")[0] for kind in KINDS}
    for kind in kinds:
        if kind not in KINDS and kind not in words:
            import difflib

            near = difflib.get_close_matches(kind, [*KINDS, *sorted(words - {*KINDS})])
            hint = f"Is it {' or '.join(near)}? " if near else ""
            raise click.UsageError(f"No event is of the kind {kind!r}. {hint}docs/events.md lists the kinds.")


def _is_position(text: str) -> bool:
    return text.replace(".", "", 1).isdecimal()


def _tell(daemon: "Client", query: "Events", *, follow: bool) -> None:
    """Print pages until the newest event of the first one, or for ever."""
    import dataclasses
    import sys

    from makfs.engine.newsapi import EventsPage

    until: str | None = None
    while True:
        page = daemon.get(query, EventsPage)
        for line in page.lines:
            click.echo(line)
        sys.stdout.flush()
        until = until or page.newest
        if not follow and page.is_end:
            return
        query = dataclasses.replace(
            query,
            since=page.next,
            since_ns=None,
            first=False,
            until=None if follow else until,
            wait_s=FOLLOW_S if follow else 0.0,
        )
