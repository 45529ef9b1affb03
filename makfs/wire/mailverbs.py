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


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message, of people or `by` an agent: Message. `to` may be `all`."""

    verb: ClassVar[str] = "message-send"
    to: tuple[str, ...]
    body: str
    priority: str = "normal"
    re: int = 0
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """Send a question and wait for the first answer: Answered."""

    verb: ClassVar[str] = "message-ask"
    to: tuple[str, ...]
    body: str
    timeout_s: float
    priority: str = "normal"
    by: str | None = None


@dataclass(frozen=True, slots=True)
class AnswerTo:
    """Answer a message, as the one to whom it went: Message."""

    verb: ClassVar[str] = "message-answer"
    number: int
    body: str
    priority: str = "normal"
    by: str | None = None


@dataclass(frozen=True, slots=True)
class Inbox:
    """List what an agent, or without one people, have not acknowledged: list of Message."""

    verb: ClassVar[str] = "inbox"
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Take a message out of an inbox: whether it was there."""

    verb: ClassVar[str] = "message-ack"
    number: int
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Messages:
    """List messages that are kept, newest first: list of MessageRow."""

    verb: ClassVar[str] = "messages"
    limit: int = 100
    before: int | None = None
    agent: str | None = None


@dataclass(frozen=True, slots=True)
class Share:
    """Share the bytes of a file by name, as people: Artifact. The daemon reads it."""

    verb: ClassVar[str] = "share"
    name: str
    file: str  # absolute


@dataclass(frozen=True, slots=True)
class Unshare:
    """Forget a name and all its versions: null."""

    verb: ClassVar[str] = "unshare"
    name: str


@dataclass(frozen=True, slots=True)
class Shared:
    """List the newest version of every name that is shared: list of Artifact."""

    verb: ClassVar[str] = "shared"


OfMail = (
    Events | Send | Ask | AnswerTo | Inbox | Acknowledge | Messages | Share | Unshare | Shared
)  # fmt: skip
"""These may wait."""
