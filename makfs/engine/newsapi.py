"""What may be asked of what happened, and the answers."""

from dataclasses import dataclass
from typing import Protocol

from makfs.store.happened import Position


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events are asked for. An empty filter lets everything through."""

    agents: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()  # a kind, or its first word: `lock` for `lock-granted` and the like
    paths: tuple[str, ...] = ()  # a file, or a folder with all below it


@dataclass(frozen=True, slots=True)
class EventsPage:
    """Events as lines of JSON, oldest first, and how to go on."""

    lines: tuple[str, ...]
    next: str  # ask again with this as `since`
    newest: str  # where the newest event stood, or the last one asked for
    is_end: bool  # nothing was left between the two


class NewsApi(Protocol):
    """What happened: to be recorded, and to be read."""

    def tell(self, kind: str, agent: str = "", *, time_ns: int = 0, **fields: object) -> None:
        """Record that something happened: a kind of docs/events.md, with its fields. Cost: microseconds.

        `time_ns`: when, if not now.
        """
        ...

    @property
    def newest(self) -> Position:
        """Return where the newest event stands."""
        ...

    async def since(self, time_ns: int) -> str:
        """Return the position after which everything since a wall-clock time stands."""
        ...

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
        ...
