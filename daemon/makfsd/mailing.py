"""The verbs of events, messages and shared artifacts, from the wire to the kernel and back."""

from makfs.engine.api import KernelApi
from makfs.engine.newsapi import EventQuery, EventsPage
from makfs.store.happened import Position
from makfs.wire import mailverbs as verbs
from makfs.wire.errors import WireError

MAX_WAIT_S = 86_400.0


async def ask_of_mail(kernel: KernelApi, verb: verbs.OfMail) -> object:
    """Carry out a verb that may wait."""
    return await _events(kernel, verb)


async def _events(kernel: KernelApi, verb: verbs.Events) -> EventsPage:
    """Return a page of what happened. Raises WireError for what is no position."""
    if verb.since is not None:
        since = _position(verb.since)
    elif verb.since_ns is not None:
        since = _position(await kernel.news.since(verb.since_ns))
    else:
        since = kernel.news.newest
    until = None if verb.until is None else _position(verb.until)
    wait_s = min(max(0.0, verb.wait_s), MAX_WAIT_S)
    query = EventQuery(verb.agents, verb.kinds, verb.paths)
    return await kernel.news.page(since, query, until=until, wait_s=wait_s, first=verb.first)


def _position(text: str) -> Position:
    found = Position.parse(text)
    if found is None:
        raise WireError(f"{text[:40]!a} is no position: write the number of a commit, as 1207, or 1207.3.")
    return found
