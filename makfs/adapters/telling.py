"""How a program is given its task, and told of makfs: as words, a variable, or a file in its home.

A6  The caller's own words stay as they are, in their order; what is added stands behind the program's name.
A7  What somebody else wrote in a file stays, byte for byte; makfs writes between its two marks alone.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from makfs.adapters.table import Adapter

BEGIN: Final = "<!-- makfs run keeps what stands from here -->"
END: Final = "<!-- to here -->"


@dataclass(frozen=True, slots=True)
class Task:
    """A command line for a task."""

    words: tuple[str, ...]
    input: str | None  # what it reads on standard input; None: nothing


@dataclass(frozen=True, slots=True)
class Guide:
    """What an agent is told, and where it can read that."""

    text: str
    path: str


@dataclass(frozen=True, slots=True)
class Told:
    """A command line whose program is told of makfs. At most one of the ways is used."""

    words: tuple[str, ...]
    variables: Mapping[str, str]
    file: str = ""  # below the home: `with_guide` is to be written there


def task_of(adapter: Adapter, task: str, more: Sequence[str], *, unattended: bool) -> Task:
    """Return the words for a task. `more` are the caller's own; generic's program is the first of them."""
    words: list[str] = [] if not adapter.programs else [adapter.programs[0]]
    is_word = False
    for word in adapter.task:
        if word == "{unattended}":
            words += adapter.unattended if unattended else ()
        elif word == "{more}":
            words += more
        else:
            is_word = is_word or "{task}" in word
            words.append(word.replace("{task}", task))
    return Task(tuple(words), None if is_word else task)


def tell(adapter: Adapter, words: Sequence[str], guide: Guide, given: Collection[str]) -> Told:
    """Return the command line that tells the program (A6); `given` are variables the caller has set."""
    own = tuple(words)
    settings = dict(_setting(each, guide) for each in adapter.tell_env)
    if adapter.tell and not _clash(own[1:], adapter.tell_unless):
        return Told((*own[:1], *(_filled(word, guide) for word in adapter.tell), *own[1:]), {})
    if settings and not any(name in given for name in settings):
        return Told(own, settings)
    return Told(own, {}, adapter.tell_file)


def _clash(words: Sequence[str], unless: Sequence[str]) -> bool:
    return any(word.startswith(each) for word in words for each in unless)


def variables(adapter: Adapter) -> dict[str, str]:
    """Return what `set` says."""
    return dict(each.split("=", 1) for each in adapter.set)


def _setting(word: str, guide: Guide) -> tuple[str, str]:
    name, _, value = word.partition("=")
    return name, _filled(value, guide)


def _filled(word: str, guide: Guide) -> str:
    for name, value in (
        ("{guide_json}", json.dumps(guide.text)),
        ("{guide_file}", guide.path),
        ("{guide}", guide.text),
    ):
        if name in word:
            return word.replace(name, value)  # one of them: a text may hold what looks like another
    return word


def with_guide(before: str, guide: str) -> str:
    """Return a file's text with the guide in it, in place of an older one (A7)."""
    block = f"{BEGIN}\n{guide.rstrip()}\n{END}\n"
    begin = before.find(BEGIN)
    end = before.find(END, begin) if begin >= 0 else -1
    if end >= 0:
        return before[:begin] + block + before[end + len(END) :].removeprefix("\n")
    gap = "" if not before or before.endswith("\n\n") else "\n" if before.endswith("\n") else "\n\n"
    return before + gap + block
