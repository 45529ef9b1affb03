"""The verbs of events, messages and shared artifacts; see `makfs.wire.verbs`."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Events:
    """Return what happened after a position, waiting up to `wait_s` if there is nothing: EventsPage.

    Without `since`: since a wall-clock time, or from now on. `first`: say what is not in the store any more.
    """

    verb: ClassVar[str] = "events"
    since: str | None = None
    since_ns: int | None = None
    until: str | None = None
    wait_s: float = 0.0
    first: bool = False
    agents: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()


OfMail = Events
"""These may wait."""
