"""Which names an agent or a mark may have. Pure; every door that takes a new name asks here."""

import re

from makfs.errors import BadName
from makfs.ids import EXTERNAL, PERSON, AgentId

MAX_NAME = 64
MAX_TASK = 100
_TAKEN: dict[str, str] = {
    EXTERNAL: "it stands for edits made directly in the repository",
    PERSON: "it stands for the commands of people",
    "all": "it stands for all agents, where a message goes to",
}
_NAME = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_-])?", re.ASCII)


def agent_id(text: str) -> AgentId:
    """Return `text` as an agent's name. Raises BadName, whose sentence says what is accepted."""
    why = _objection(text)
    if why is not None:
        raise BadName(
            f"{text[: MAX_NAME + 1]!r} cannot name an agent: {why}; a name is 1 to {MAX_NAME} of the "
            "letters A-Z and a-z, digits, '_', '-' and inner dots."
        )
    return AgentId(text)


def mark_name(text: str) -> str:
    """Return `text` as a mark's name. Raises BadName: it must not read as a commit's number or a range."""
    why = "it stands for the newest commit" if text == "head" else None
    if text.isdecimal():
        why = "it is a number, as commits have"
    elif ".." in text:
        why = "'..' stands between the two ends of a range"
    elif text not in _TAKEN:
        why = why or _objection(text)
    if why is not None:
        raise BadName(
            f"{text[: MAX_NAME + 1]!r} cannot name a mark: {why}; a name is 1 to {MAX_NAME} of the "
            "letters A-Z and a-z, digits, '_', '-' and inner dots."
        )
    return text


def task_name(text: str) -> str:
    """Return `text` as the name of a task, "" for none, without spaces around it. Raises BadName."""
    name = text.strip()
    if name.isprintable() and len(name) <= MAX_TASK:
        return name
    why = f"it has {len(name)} characters" if name.isprintable() else "it has what cannot be printed in it"
    raise BadName(f"{name[:MAX_TASK]!r} cannot name a task: {why}; a name is one line of up to {MAX_TASK}.")


def task_from(text: str) -> str:
    """Return a name for a task that is described at length: what its first line begins with."""
    first = next((line.strip() for line in text.splitlines() if line.strip()), "")
    name = "".join(each if each.isprintable() else " " for each in first)
    return name if len(name) <= MAX_TASK else f"{name[: MAX_TASK - 1].rstrip()}…"


def _objection(text: str) -> str | None:
    """Return what is wrong with the name, most telling first, or None."""
    if text in _TAKEN:
        return _TAKEN[text]
    if _NAME.fullmatch(text):
        return None
    if not text:
        return "it is empty"
    if len(text) > MAX_NAME:
        return f"it has {len(text)} characters"
    if text.startswith("."):
        return "it starts with a dot"
    if text.endswith("."):
        return "it ends with a dot"
    if text.startswith("@"):
        return "names with '@' are frozen trees such as @head"
    wrong = next(char for char in text if not re.match(r"[A-Za-z0-9_.-]", char, re.ASCII))
    return f"it has {wrong!r} in it"
