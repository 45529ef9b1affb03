"""What happened, in one order: commits, and after each what happened before the next. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COMMIT = "commit"
CUT = "cut"
MOST_NAMED = 50
"""Of many paths or addresses an event names so many; `paths_total` says how many there are."""


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Where in the order: commit `seq` itself, or what happened as the `place`th after it."""

    seq: int
    place: int = 0

    def __str__(self) -> str:
        return f"{self.seq}.{self.place}" if self.place else str(self.seq)

    @classmethod
    def parse(cls, text: str) -> "Position | None":
        """Return what `str` gave, None if it is no position."""
        seq, dot, place = text.partition(".")
        if not (_is_number(seq) and (not dot or _is_number(place))):
            return None
        return cls(int(seq), int(place) if dot else 0)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 19


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened. What `fields` may hold is in docs/events.md, by kind."""

    at: Position
    time_ns: int  # wall clock
    kind: str
    agent: str  # "" if of nobody
    fields: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[str, ...] = ()  # all that it is about, for whoever filters by path


@dataclass(frozen=True, slots=True)
class HappenedPage:
    """A stretch of what happened, oldest first."""

    happenings: tuple[Happening, ...]
    next: Position  # everything up to here is in this page, or is gone
    cut: Position  # up to here nothing is known any more but that there were commits
    forgotten: Position  # up to here only commits are known
