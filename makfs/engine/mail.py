"""Who may write to whom, who waits for an answer, what is shared: messages for the rooms above the store.

K9  A sender is whoever owns the view, or a person; what the text says about it counts for nothing.
"""

import re
import time
from collections.abc import Mapping, Sequence

import trio

from makfs.engine.core import Core
from makfs.engine.mailapi import Answered, MessageRow
from makfs.engine.views import View
from makfs.errors import BadName, NotFound
from makfs.ids import PERSON, AgentId
from makfs.messages import (
    ALL,
    Artifact,
    BadMessage,
    Limits,
    Message,
    MessageTooLarge,
    Outgoing,
    Priority,
    listed,
)

MAX_NAME = 100
_ARTIFACT = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-])?", re.ASCII)

_HOW_TO_SEND = " A message begins with 'To: NAME' and an empty line, or its file is named after the agent."


class Mail:
    """The messages and artifacts of one mount."""

    def __init__(self, core: Core, views: Mapping[str, View]) -> None:
        self._core = core
        self._post = core.store.post
        self._views = views
        self._asking: dict[int, trio.Event] = {}

    @property
    def limits(self) -> Limits:
        """Return how much may wait to be read, and be shared."""
        config = self._core.config.messages
        return Limits(config.unread, config.unread_bytes, config.shared_bytes)

    # ---- sending

    def judge(self, sender: AgentId, outgoing: Outgoing) -> tuple[AgentId, ...]:
        """Return to whom a message goes. Raises BadMessage."""
        to = outgoing.to
        if outgoing.re:
            first = self._post.message(outgoing.re)
            if first is None or sender not in (first.sender, *first.to):
                raise BadMessage(
                    f"Message {outgoing.re} was not sent to {sender}, or is not kept any more; 'Re:' takes "
                    "the 'Id:' of a message in .makfs/inbox."
                )
            to = to or ((first.sender,) if first.sender != sender else first.to)
        if to == (ALL,):
            others = tuple(view.agent for _, view in sorted(self._views.items()) if view.agent != sender)
            if not others:
                raise BadMessage(f"There is no agent but {sender}: nobody would read it.")
            return others
        for each in to:
            if each not in self._views and each != PERSON:
                names = ", ".join([*sorted(self._views), PERSON, ALL])
                how = "" if sender == PERSON else _HOW_TO_SEND
                raise BadMessage(f"There is no agent {each[:80]!r} to send to; there are {names}.{how}")
        return tuple(AgentId(each) for each in to)

    def send(self, sender: AgentId, outgoing: Outgoing, answer_by_ns: int = 0) -> Message:
        """Send a message to all its recipients, or to none.

        Raises BadMessage, MessageTooLarge, MailboxFull.
        """
        size_bytes, most = len(outgoing.body.encode()), self._core.config.messages.message_bytes
        if size_bytes > most:
            raise MessageTooLarge(
                f"The message has {size_bytes} bytes, more than {most} (message_bytes of makfs.conf): put it "
                "into .makfs/shared/NAME and send the name."
            )
        if not outgoing.body.strip():
            raise BadMessage("The message has no text.")
        draft = Message(
            0, time.time_ns(), sender, self.judge(sender, outgoing), outgoing.priority, outgoing.re,
            answer_by_ns, outgoing.body,
        )  # fmt: skip
        sent = self._post.send(draft, self.limits)
        if (asking := self._asking.get(sent.re)) is not None:
            asking.set()
        return sent

    async def ask(self, sender: AgentId, outgoing: Outgoing, timeout_s: float) -> Answered:
        """Send a question and wait for the first answer, which stays in the inbox. Raises as `send` does."""
        answer_by_ns = time.time_ns() + int(timeout_s * 1e9)
        question = self.send(sender, outgoing, answer_by_ns)
        event = self._asking[question.id] = trio.Event()
        try:
            with trio.move_on_after(timeout_s):
                await event.wait()
        finally:
            del self._asking[question.id]
        return Answered(question, self._post.answer_to(question.id, sender))

    def answer(self, number: int, body: str, sender: str | None, priority: Priority) -> Message:
        """Answer a message as one to whom it went. Raises BadMessage, NotFound, and as `send` does."""
        first = self._post.message(number)
        if first is None:
            raise NotFound(f"There is no message {number}, or it is not kept any more.")
        if sender is None:
            if len(first.to) != 1:
                raise BadMessage(f"Message {number} went to {', '.join(first.to)}: say whose answer this is.")
            sender = first.to[0]
        return self.send(AgentId(sender), Outgoing((), body, priority, number))

    # ---- reading

    def known(self, agent: str | None) -> AgentId:
        """Return whose inbox is meant, None: that of people. Raises NotFound."""
        if agent is None or agent == PERSON:
            return PERSON
        if agent not in self._views:
            raise NotFound(f"There is no agent {agent}; 'makfs agent ls' lists them.")
        return AgentId(agent)

    def inbox(self, agent: AgentId) -> Sequence[Message]:
        """Return what an agent has not acknowledged, in the order in which it should be read."""
        return listed(self._post.unread(agent))

    def unread_one(self, agent: AgentId, number: int) -> Message | None:
        """Return one message of an inbox, or None."""
        return self._post.unread_one(agent, number)

    def sent(self, agent: AgentId, limit: int) -> Sequence[MessageRow]:
        """Return what an agent sent, as far as it is kept, newest first."""
        rows = self.messages(limit * 4, None, agent)
        return [row for row in rows if row.message.sender == agent][:limit]

    def acknowledge(self, agent: AgentId, number: int) -> bool:
        """Take a message out of an inbox; tell whether it was there."""
        return self._post.acknowledge(agent, number, time.time_ns())

    def messages(self, limit: int, before: int | None, agent: AgentId | None) -> Sequence[MessageRow]:
        """Return messages that are kept, newest first, with who has not acknowledged them."""
        post = self._post
        return [
            MessageRow(each, tuple(post.unread_by(each.id))) for each in post.messages(limit, before, agent)
        ]

    def waiting_line(self, agent: AgentId) -> str:
        """Return a sentence about messages that wait, "" if there are none."""
        count = self._post.count_unread(agent)
        if not count:
            return ""
        if count == 1:
            return "A message waits in .makfs/inbox: read it, then remove it.\n"
        return f"{count} messages wait in .makfs/inbox: read them, then remove them.\n"

    # ---- sharing

    def share(self, agent: AgentId, name: str, data: bytes) -> Artifact:
        """Share bytes by name. Raises BadName, MessageTooLarge, MailboxFull."""
        check_artifact(name)
        most = self._core.config.messages.artifact_bytes
        if len(data) > most:
            raise MessageTooLarge(
                f"{name} has {len(data)} bytes, more than {most} (artifact_bytes of makfs.conf): share a "
                "part, or put it into the repository."
            )
        return self._post.share(name, agent, data, time.time_ns(), self.limits)

    def unshare(self, agent: AgentId, name: str) -> None:
        """Forget a name. Raises NotFound."""
        if not self._post.unshare(name, agent, time.time_ns()):
            raise NotFound(f"Nothing is shared as {name[:MAX_NAME]}.")

    def artifacts(self) -> Sequence[Artifact]:
        """Return what is shared, in the order of names."""
        return self._post.artifacts()

    def artifact(self, name: str) -> Artifact | None:
        """Return the version that a name means: NAME, or NAME@VERSION; None if there is none."""
        base, at, version = name.rpartition("@")
        if not at:
            return self._post.artifact(name)
        if not (version.isascii() and version.isdigit() and len(version) < 19):
            return None
        return self._post.artifact(base, int(version))

    def artifact_bytes(self, artifact: Artifact) -> bytes | None:
        """Return the bytes of a version, None if they are not kept any more."""
        return self._post.artifact_bytes(artifact.name, artifact.version)


def check_artifact(name: str) -> None:
    """Raise BadName for what cannot be a shared name."""
    if _ARTIFACT.fullmatch(name) is None:
        raise BadName(
            f"{name[:MAX_NAME]!a} cannot be shared: a name is 1 to {MAX_NAME} of the letters A-Z and a-z, "
            "digits, '_', '-' and inner dots."
        )
