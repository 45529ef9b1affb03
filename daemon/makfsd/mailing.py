"""The verbs of events, messages and shared artifacts, from the wire to the kernel and back."""

import os
import stat
from pathlib import Path
from typing import assert_never

import trio

from makfs.engine.api import KernelApi
from makfs.engine.mailapi import MailApi
from makfs.engine.newsapi import EventQuery, EventsPage
from makfs.errors import MakfsError
from makfs.ids import PERSON, AgentId
from makfs.messages import Artifact, BadMessage, Outgoing, Priority
from makfs.store.happened import Position
from makfs.wire import mailverbs as verbs
from makfs.wire.errors import WireError
from makfsd.asking import limited

MAX_WAIT_S = 86_400.0
MAX_FILE_BYTES = 1 << 30  # of a file that is read to be shared; what may be shared is less


async def ask_of_mail(kernel: KernelApi, verb: verbs.OfMail) -> object:
    """Carry out a verb that may wait."""
    match verb:
        case verbs.Events():
            return await _events(kernel, verb)
        case verbs.Ask(to, body, timeout_s, priority, by):
            outgoing = Outgoing(to, body, _priority(priority))
            wait_s = min(max(0.0, timeout_s), MAX_WAIT_S)
            return await kernel.mail.ask(kernel.mail.known(by), outgoing, wait_s)
        case verbs.Share(name, file):
            return await _share(kernel.mail, name, file)
        case _:
            return _ask_at_once(kernel.mail, verb)


def _ask_at_once(
    mail: MailApi,
    verb: verbs.Send
    | verbs.AnswerTo
    | verbs.Inbox
    | verbs.Acknowledge
    | verbs.Messages
    | verbs.Unshare
    | verbs.Shared,
) -> object:
    match verb:
        case verbs.Send(to, body, priority, answers, by):
            return mail.send(mail.known(by), Outgoing(to, body, _priority(priority), answers))
        case verbs.AnswerTo(number, body, priority, by):
            return mail.answer(number, body, by, _priority(priority))
        case verbs.Inbox(agent):
            return mail.inbox(mail.known(agent))
        case verbs.Acknowledge(number, agent):
            return mail.acknowledge(mail.known(agent), number)
        case verbs.Messages(limit, before, agent):
            return mail.messages(limited(limit), before, None if agent is None else AgentId(agent))
        case verbs.Unshare(name):
            mail.unshare(PERSON, name)
            return None
        case verbs.Shared():
            return mail.artifacts()
        case _:
            assert_never(verb)


def _priority(word: str) -> Priority:
    try:
        return Priority[word.upper()]
    except KeyError:
        accepted = ", ".join(each.word for each in Priority)
        raise BadMessage(f"{word[:40]!a} is no priority; accepted: {accepted}.") from None


async def _share(mail: MailApi, name: str, file: str) -> Artifact:
    return mail.share(PERSON, name, await trio.to_thread.run_sync(_read, file))


def _read(file: str) -> bytes:
    """Return a regular file's bytes: a pipe could keep the daemon waiting. Raises MakfsError."""
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(fd, "rb") as opened:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_FILE_BYTES:
                raise MakfsError(f"{Path(file).name} is no regular file, or too large to be shared.")
            return opened.read(MAX_FILE_BYTES)
    except OSError as error:
        raise MakfsError(f"{file} cannot be read by makfsd: {error.strerror}.") from error


async def _events(kernel: KernelApi, verb: verbs.Events) -> EventsPage:
    """Return a page of what happened. Raises WireError for what is no position."""
    if verb.since is not None:
        since = _position(verb.since)
    elif verb.since_ns is not None:
        since = _position(await kernel.news.since(verb.since_ns))
    else:
        since = kernel.news.newest
    until = None if verb.until is None else _position(verb.until)
    wait_s = min(max(0.0, verb.wait_s), MAX_WAIT_S)
    query = EventQuery(verb.agents, verb.kinds, verb.paths)
    return await kernel.news.page(since, query, until=until, wait_s=wait_s, first=verb.first)


def _position(text: str) -> Position:
    found = Position.parse(text)
    if found is None:
        raise WireError(f"{text[:40]!a} is no position: write the number of a commit, as 1207, or 1207.3.")
    return found
