"""Messages between agents: what one is, how it is written and read, in which order they are listed. Pure."""

from makfs.messages.order import HEAD_START_NS, listed
from makfs.messages.text import as_json, as_object, as_text, file_name, id_of, is_draft, parse
from makfs.messages.values import (
    ALL,
    Artifact,
    BadMessage,
    Limits,
    MailboxFull,
    Message,
    MessageTooLarge,
    Outgoing,
    Priority,
)

__all__ = [
    "ALL",
    "HEAD_START_NS",
    "Artifact",
    "BadMessage",
    "Limits",
    "MailboxFull",
    "Message",
    "MessageTooLarge",
    "Outgoing",
    "Priority",
    "as_json",
    "as_object",
    "as_text",
    "file_name",
    "id_of",
    "is_draft",
    "listed",
    "parse",
]
