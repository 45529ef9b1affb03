"""What a message is. Values only; times are of the wall clock, in ns since 1970."""

import errno
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from makfs.errors import MakfsError
from makfs.ids import AgentId

ALL = "all"
"""Every agent but the sender."""


class BadMessage(MakfsError):
    """What was written is no message, or can go to nobody. Nothing was sent."""

    errno: ClassVar[int] = errno.EINVAL


class MessageTooLarge(MakfsError):
    """A message or an artifact is larger than the limit. Nothing was sent, or shared."""

    errno: ClassVar[int] = errno.EFBIG


class MailboxFull(MakfsError):
    """Too much is undelivered, or shared, already. Nothing was sent, or shared."""

    errno: ClassVar[int] = errno.EDQUOT


class Priority(IntEnum):
    """How urgent a message is. The numbers are the store's."""

    LOW = 0
    NORMAL = 1
    HIGH = 2

    @property
    def word(self) -> str:
        """Return the word people write."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as its sender wrote it."""

    to: tuple[str, ...]  # agents, or ALL; empty: whoever wrote the message that it answers
    body: str
    priority: Priority = Priority.NORMAL
    re: int = 0  # the id of the message that it answers, 0: none


@dataclass(frozen=True, slots=True)
class Message:
    """A message that was sent."""

    id: int  # from 1; grows by arrival, never used again
    time_ns: int  # never before that of an earlier message
    sender: AgentId
    to: tuple[AgentId, ...]
    priority: Priority
    re: int
    answer_by_ns: int  # until when its sender waits for an answer, 0: it does not
    body: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """One version of something shared by name, without its bytes."""

    name: str
    version: int  # from 1, for each name
    agent: AgentId  # who shared it
    time_ns: int
    content_hash: bytes
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait to be read, and be shared."""

    unread: int  # messages of one agent
    unread_bytes: int
    shared_bytes: int  # newest versions of all names together
