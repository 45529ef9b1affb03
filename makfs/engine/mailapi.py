"""What may be asked of messages and shared artifacts, and the answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from makfs.ids import AgentId
from makfs.messages import Artifact, Message, Outgoing, Priority


@dataclass(frozen=True, slots=True)
class MessageRow:
    """A message that is kept, and who has not acknowledged it."""

    message: Message
    unread_by: tuple[AgentId, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, and its first answer if there was one in time."""

    question: Message
    answer: Message | None


class MailApi(Protocol):
    """Messages between agents and people; errors are MakfsError."""

    def known(self, agent: str | None) -> AgentId:
        """Return whose inbox is meant, None: that of people. Raises NotFound."""
        ...

    def send(self, sender: AgentId, outgoing: Outgoing, answer_by_ns: int = 0) -> Message:
        """Send a message to all its recipients, or to none.

        Raises BadMessage, MessageTooLarge, MailboxFull.
        """
        ...

    async def ask(self, sender: AgentId, outgoing: Outgoing, timeout_s: float) -> Answered:
        """Send a question and wait for the first answer, which stays in the inbox. Raises as `send` does."""
        ...

    def answer(self, number: int, body: str, sender: str | None, priority: Priority) -> Message:
        """Answer a message as one to whom it went. Raises BadMessage, NotFound, and as `send` does."""
        ...

    def inbox(self, agent: AgentId) -> Sequence[Message]:
        """Return what an agent has not acknowledged, in the order in which it should be read."""
        ...

    def acknowledge(self, agent: AgentId, number: int) -> bool:
        """Take a message out of an inbox; tell whether it was there."""
        ...

    def messages(self, limit: int, before: int | None, agent: AgentId | None) -> Sequence[MessageRow]:
        """Return messages that are kept, newest first, with who has not acknowledged them."""
        ...

    def share(self, agent: AgentId, name: str, data: bytes) -> Artifact:
        """Share bytes by name. Raises BadName, MessageTooLarge, MailboxFull."""
        ...

    def unshare(self, agent: AgentId, name: str) -> None:
        """Forget a name. Raises NotFound."""
        ...

    def artifacts(self) -> Sequence[Artifact]:
        """Return what is shared, in the order of names."""
        ...

    def artifact(self, name: str) -> Artifact | None:
        """Return the version that a name means: NAME, or NAME@VERSION; None if there is none."""
        ...

    def artifact_bytes(self, artifact: Artifact) -> bytes | None:
        """Return the bytes of a version, None if they are not kept any more."""
        ...
