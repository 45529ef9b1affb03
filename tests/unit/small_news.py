"""Events kept in a list, for tests of what only records them."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from makfs.engine.news import News
from makfs.store.happened import Position
from makfs.store.protocol import Store


class SmallEvents:
    """Implements `makfs.store.protocol.Events`."""

    def __init__(self) -> None:
        self.news: Callable[[], None] | None = None
        self.recorded: list[tuple[str, str, Mapping[str, Any]]] = []

    @property
    def newest(self) -> Position:
        return Position(0, len(self.recorded))

    @property
    def is_lazy(self) -> bool:
        return False

    def record(self, kind: str, agent: str, time_ns: int, fields: Mapping[str, Any]) -> None:
        assert time_ns > 0
        self.recorded.append((kind, agent, fields))


class _Store:
    def __init__(self) -> None:
        self.events = SmallEvents()


def small_news() -> News:
    """Return news that can be told and not be read."""
    return News(cast("Store", _Store()))
