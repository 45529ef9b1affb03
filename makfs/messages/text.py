r"""Messages as text and as JSON: what an agent writes into its outbox, what it finds in its inbox. Pure.

    To: bob, carol          or `all`; without it and `Re:`, the file's name is the recipient
    Priority: high          low, normal, high
    Re: 12                  answers message 12; without `To:` it goes to whoever sent that

    please leave parse() alone

K7  What `as_text` gives has the body as it was written after its first empty line, and a line a header.
K8  `parse` raises BadMessage and nothing else, whatever the bytes.

A shell's `echo 'To: bob\n\nhello'` leaves `\n` as it is in some shells: a text of one line that begins with
one of the headers is read as if it had been understood. What begins with `{` is JSON of the same names.
"""

import json
import re
from collections.abc import Callable
from typing import Any

from makfs.messages.values import BadMessage, Message, Outgoing, Priority

ACCEPTED = "write 'To: NAME', an empty line, and the text; 'Priority:' and 'Re:' may stand beside 'To:'"
_HEADER = re.compile(r"([A-Za-z][A-Za-z-]*):[ \t]*(.*)")
_KNOWN = frozenset({"to", "priority", "re"})
_NAME = re.compile(r"(\d{1,18})-[A-Za-z0-9_.-]+?(\.json)?")
_DRAFT = re.compile(r"\..*|.*\.tmp|.*~", re.DOTALL)
_MOST_RECIPIENTS = 100


def is_draft(name: str) -> bool:
    """Tell whether a file of that name in the outbox waits to be renamed instead of being sent."""
    return _DRAFT.fullmatch(name) is not None


def parse(data: bytes | bytearray, name: str, *, is_whole: bool = True) -> Outgoing | None:
    """Read a message written to the outbox as `name`. Raises BadMessage (K8).

    Of a part, return the message so far, or None as long as its headers may not be complete.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        if not is_whole:
            return None
        raise BadMessage("The message is not UTF-8.") from None
    if text.lstrip().startswith("{"):
        return _of_json(text, is_whole)
    first = _HEADER.match(text)
    if first is not None and first[1].lower() in _KNOWN and r"\n" in text and "\n" not in text.rstrip("\n"):
        text = text.replace(r"\n", "\n")
    given, body, is_complete = _split(text)
    if not is_complete and not is_whole:
        return None
    if is_whole and not body.strip():
        raise BadMessage(f"The message has no text; {ACCEPTED}.")
    return _outgoing(given, body, name)


def _split(text: str) -> tuple[dict[str, str], str, bool]:
    """Return the headers, the body, and whether a part of a text holds all headers."""
    given: dict[str, str] = {}
    rest = text
    while True:
        line, newline, after = rest.partition("\n")
        if not newline and not given and not _HEADER.match(line):
            return given, rest, False
        if not line.strip():
            return given, after, bool(newline)
        header = _HEADER.fullmatch(line.rstrip("\r"))
        key = "" if header is None else header[1].lower()
        if header is None or (key not in _KNOWN | {"from"} and not given):
            return given, rest, bool(newline)
        if key == "from":
            raise BadMessage("'From:' is not the sender's to write: makfs knows whose view it came from.")
        if key not in _KNOWN:
            raise BadMessage(f"There is no header {header[1]!a}; {ACCEPTED}.")
        if key in given:
            raise BadMessage(f"'{header[1]}:' stands twice; several recipients are written 'To: bob, carol'.")
        given[key] = header[2].strip()
        rest = after
        if not newline:
            return given, "", False


def _outgoing(given: dict[str, str], body: str, name: str) -> Outgoing:
    to = given.get("to")
    if to is None and "re" not in given:
        to = name
    recipients = () if to is None else tuple(dict.fromkeys(each.strip() for each in to.split(",")))
    if to is not None and not all(recipients):
        raise BadMessage(f"'To:' names nobody; {ACCEPTED}.")
    return _checked(recipients, body, given.get("priority", "normal"), given.get("re"))


def _checked(to: tuple[str, ...], body: str, priority: str, answers: str | int | None) -> Outgoing:
    if len(to) > _MOST_RECIPIENTS:
        raise BadMessage(f"A message goes to {_MOST_RECIPIENTS} recipients at most; 'To: all' is everybody.")
    number = 0
    if answers is not None:
        text = str(answers).lstrip("#")
        if not (text.isascii() and text.isdigit() and 0 < len(text) < 19 and int(text) > 0):
            raise BadMessage(f"'Re: {str(answers)[:40]}' is not the number of a message.")
        number = int(text)
    try:
        urgency = Priority[priority.strip().upper()]
    except KeyError:
        raise BadMessage(
            f"'Priority: {priority[:40]}' is none; accepted: {', '.join(each.word for each in Priority)}."
        ) from None
    return Outgoing(to, body, urgency, number)


def _of_json(text: str, is_whole: bool) -> Outgoing | None:
    try:
        data = json.loads(text, strict=False)  # an echo may have made its \n a newline
    except (ValueError, RecursionError) as error:
        if not is_whole:
            return None
        raise BadMessage(f"The message begins as JSON and is none: {error}.") from None
    wrong = set(data) - {"to", "body", "priority", "re"}
    if wrong:
        raise BadMessage(f"A message in JSON has no {min(wrong)!a}; it has to, body, priority, re.")
    to, body = data.get("to", []), data.get("body")
    to = [to] if isinstance(to, str) else to
    if not isinstance(to, list) or not all(isinstance(each, str) and each.strip() for each in to):
        raise BadMessage("'to' must be a name or a list of names.")
    if not isinstance(body, str) or not body.strip() or not _is_text(body):
        raise BadMessage("'body' must be a text that is not empty.")
    answers, priority = data.get("re"), data.get("priority", "normal")
    if not isinstance(priority, str) or isinstance(answers, bool) or not isinstance(answers, int | None):
        raise BadMessage("'priority' must be a word, and 're' a number.")
    if not to and not answers:
        raise BadMessage("'to' names nobody, and there is no 're'.")
    recipients = tuple(dict.fromkeys(each.strip() for each in to))
    return _checked(recipients, body, priority, answers or None)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# ---- what is read


def file_name(message: Message) -> str:
    """Return a message's name in an inbox; names sort by arrival."""
    return f"{message.id:010d}-{message.sender}"


def id_of(name: str) -> tuple[int, bool] | None:
    """Return the id that a name in an inbox is of, and whether it asks for JSON; None: it is no such name."""
    found = _NAME.fullmatch(name)
    return None if found is None else (int(found[1]), found[2] is not None)


def as_text(message: Message, iso: Callable[[int], str]) -> bytes:
    """Return what an agent reads; `iso` says a time."""
    lines = [f"From: {message.sender}", f"To: {', '.join(message.to)}", f"Id: {message.id}"]
    lines.append(f"Date: {iso(message.time_ns)}")
    if message.priority is not Priority.NORMAL:
        lines.append(f"Priority: {message.priority.word}")
    if message.re:
        lines.append(f"Re: {message.re}")
    if message.answer_by_ns:
        lines.append(f"Answer-By: {iso(message.answer_by_ns)}")
    body = message.body if message.body.endswith("\n") else message.body + "\n"
    return ("\n".join(lines) + "\n\n" + body).encode()


def as_json(message: Message, iso: Callable[[int], str]) -> bytes:
    """Return what a program reads: one object on one line."""
    return json.dumps(as_object(message, iso)).encode() + b"\n"


def as_object(message: Message, iso: Callable[[int], str]) -> dict[str, Any]:
    """Return the fields of a message's JSON."""
    return {
        "id": message.id,
        "time": iso(message.time_ns),
        "from": message.sender,
        "to": list(message.to),
        "priority": message.priority.word,
        "re": message.re or None,
        "answer_by": iso(message.answer_by_ns) if message.answer_by_ns else None,
        "body": message.body,
    }
