"""What happened, for whoever follows it: pages from the store, and a wake-up when there is more.

H5  A follower that is slow, or gone, costs nothing: what it has not read is in the store and nowhere else.
H6  A page ends where the store stood when it was asked: no event comes later and stands before its end.
"""

import json
import time
from collections.abc import Sequence
from datetime import datetime

import trio

from makfs.engine.newsapi import EventQuery, EventsPage
from makfs.store.happened import CUT, HappenedPage, Happening, Position
from makfs.store.protocol import Store

GATHER_S = 0.02  # news come in showers: one page for each
MOST_ROUNDS = 50  # pages of a filter's leavings that one answer reads


class News:
    """Records events and lets them be read."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: set[trio.Event] = set()
        store.events.news = self._wake

    def tell(self, kind: str, agent: str = "", *, time_ns: int = 0, **fields: object) -> None:
        """Record that something happened: a kind of docs/events.md, with its fields. Cost: microseconds.

        `time_ns`: when, if not now.
        """
        self._store.events.record(kind, agent, time_ns or time.time_ns(), fields)

    @property
    def newest(self) -> Position:
        """Return where the newest event stands."""
        return self._store.events.newest

    def _wake(self) -> None:
        for event in self._waiting:
            event.set()
        self._waiting.clear()

    async def since(self, time_ns: int) -> str:
        """Return the position after which everything since a wall-clock time stands."""
        self._store.write_lazies()

        def look() -> Position:
            with self._store.reader() as reader:
                return reader.position_of_time(time_ns)

        return str(await trio.to_thread.run_sync(look))

    async def page(
        self,
        since: Position,
        query: EventQuery,
        *,
        until: Position | None = None,
        wait_s: float = 0.0,
        first: bool = False,
    ) -> EventsPage:
        """Return what happened after `since`; wait up to `wait_s` where there is nothing. Raises StoreFull.

        `first`: say before all else what is not in the store any more.
        """
        deadline = trio.current_time() + wait_s
        lines: tuple[str, ...] = ()
        newest = self.newest
        for _ in range(MOST_ROUNDS):
            more = trio.Event()
            self._waiting.add(more)
            try:
                lines, since, newest = await self._read(since, query, until, first=first)
                if lines or (since >= newest and not await self._wait(more, deadline)):
                    break
            finally:
                self._waiting.discard(more)
        return EventsPage(lines, str(since), str(newest), since >= newest)

    @staticmethod
    async def _wait(more: trio.Event, deadline: float) -> bool:
        """Wait for news until a time; tell whether there are any."""
        with trio.move_on_at(deadline):
            await more.wait()
        if more.is_set():
            await trio.sleep(GATHER_S)
        return more.is_set()

    async def _read(
        self, since: Position, query: EventQuery, until: Position | None, *, first: bool
    ) -> tuple[tuple[str, ...], Position, Position]:
        """Return the lines of one stretch, where it ends, and where the newest event stood (H6)."""
        if self._store.events.is_lazy:
            self._store.write_lazies()
        newest = self._store.events.newest
        if until is not None:
            newest = min(newest, until)
        if since >= newest:
            return (), since, newest

        def read() -> HappenedPage:
            with self._store.reader() as reader:
                return reader.happened(since, newest)

        page = await trio.to_thread.run_sync(read)
        found = [as_line(each) for each in page.happenings if lets_through(query, each)]
        return (*(_cuts(page, since) if first else ()), *found), page.next, newest


def lets_through(query: EventQuery, happening: Happening) -> bool:
    """Tell whether an event is one of those asked for."""
    fields = happening.fields
    return (
        (not query.kinds or any(_is_kind(happening.kind, kind) for kind in query.kinds))
        and (not query.agents or happening.agent in query.agents or _is_among(query.agents, fields.get("to")))
        and (not query.paths or any(_is_below(path, query.paths) for path in happening.paths))
    )


def _is_kind(kind: str, asked: str) -> bool:
    return kind == asked or kind.startswith(asked + "-")


def _is_among(agents: Sequence[str], to: object) -> bool:
    return isinstance(to, list | tuple) and any(agent in to for agent in agents)


def _is_below(path: str, folders: Sequence[str]) -> bool:
    return any(not folder or path == folder or path.startswith(folder + "/") for folder in folders)


def as_line(happening: Happening) -> str:
    """Return an event as one line of JSON, ASCII."""
    return json.dumps(
        {
            "at": str(happening.at), "time": _iso(happening.time_ns), "kind": happening.kind,
            "agent": happening.agent, **happening.fields,
        }
    )  # fmt: skip


def _cuts(page: HappenedPage, since: Position) -> list[str]:
    """Say what is not in the store any more, before the first event that is."""
    lines: list[str] = []
    if since < page.cut:
        sentence = (
            f"What happened before commit {page.cut} is not told: 'makfs gc' cut the history there. "
            "'makfs log' still lists those commits."
        )
        lines.append(json.dumps({"at": str(page.cut), "kind": CUT, "told": "nothing", "sentence": sentence}))
    if since < page.forgotten and page.cut < page.forgotten:
        sentence = f"Up to {page.forgotten} only commits are told: of all else the newest events are kept."
        lines.append(
            json.dumps({"at": str(page.forgotten), "kind": CUT, "told": "commits", "sentence": sentence})
        )
    return lines


def _iso(time_ns: int) -> str:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds).astimezone().replace(microsecond=rest // 1000).isoformat()
