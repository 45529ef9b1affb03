"""What a table [adapter.NAME] may say of a command line agent, as makfs ships it or a user writes it.

A1  What is not accepted never gets into an Adapter: `read` raises ValueError naming the key and what is.
A2  Of two tables of one name the later one wins, key by key.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, cast

PLACEHOLDERS: Final = ("task", "guide", "guide_json", "guide_file", "unattended", "more")
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP = re.compile(r"[^.=]+")


@dataclass(frozen=True, slots=True)
class Rule:
    """What one kind of line of a program's output tells. Paths are dotted keys; `*` is every key.

    Its numbers are of the whole program so far; with `part`, of the request that the path's value names (the
    last line of one counts); with `each`, of a request of their own.
    """

    when: tuple[str, ...] = ()  # "PATH=VALUE"; the line is a JSON object in which all of these hold
    pattern: str = ""  # or a regular expression, found in a line that is plain text; groups as below
    part: str = ""
    each: bool = False  # every such line is a request of its own
    input: tuple[str, ...] = ()  # tokens sent, those read from a cache too; summed
    output: tuple[str, ...] = ()  # tokens received
    cached: tuple[str, ...] = ()  # of `input`, those read from a cache
    cost: tuple[str, ...] = ()  # US dollars
    answer: str = ""  # what it says in the end; the last one counts


@dataclass(frozen=True, slots=True)
class Adapter:
    """One command line agent."""

    name: str
    programs: tuple[str, ...] = ()  # names of the command it is recognised by
    install: str = ""  # how to get it, for people
    task: tuple[str, ...] = ()  # its words for a task; where none has {task}, it comes on standard input
    unattended: tuple[str, ...] = ()  # what {unattended} in `task` means in a confined run: nobody is asked
    tell: tuple[str, ...] = ()  # words that tell it of makfs, put behind the program's name
    tell_unless: tuple[str, ...] = ()  # words, or their beginnings, beside which those cannot be
    tell_env: tuple[str, ...] = ()  # or NAME=VALUE that does
    tell_file: str = ""  # or a file below its home that it reads by itself
    mcp: tuple[str, ...] = ()  # words that tell it of MCP servers: of all of them, {mcp_json}
    mcp_command: tuple[str, ...] = ()  # or of each that is a program, {name}, {program_json} ...
    mcp_url: tuple[str, ...] = ()  # and of each that is an address, {name}, {url_json}
    env: tuple[str, ...] = ()  # variables of the caller's that it may have
    set: tuple[str, ...] = ()  # NAME=VALUE it gets, unless the caller says otherwise
    paths: tuple[
        str, ...
    ] = ()  # what it may read of the machine, beside its own program; ~ is the caller's home
    reads: tuple[Rule, ...] = ()  # how its output is read


@dataclass(frozen=True, slots=True)
class Table:
    """The keys that one table sets."""

    name: str
    values: tuple[tuple[str, Any], ...]  # already of the key's type

    def over(self, adapter: Adapter | None) -> Adapter:
        """Return the adapter with these keys (A2); None is one that says nothing."""
        return replace(adapter or Adapter(self.name), **dict(self.values))


def read(name: str, table: object) -> Table:
    """Return what a table sets, or raise ValueError naming the key and what is accepted (A1)."""
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,63}", name) is None:
        raise ValueError("a name of a-z, 0-9, - and _ is accepted")
    return Table(name, _keys(table, _KEYS))


def read_all(tables: object) -> tuple[Table, ...]:
    """Return what the tables below [adapter] set, or raise ValueError naming table and key (A1)."""
    if not isinstance(tables, dict):
        raise ValueError("adapter is a table; accepted: [adapter.NAME] and keys below it")
    made: list[Table] = []
    for name, table in cast("dict[str, object]", tables).items():
        try:
            made.append(read(name, table))
        except ValueError as error:
            raise ValueError(f'[adapter."{name}"]: {error}') from None
    return tuple(made)


def _keys(table: object, accepted: Mapping[str, Callable[[object], object]]) -> tuple[tuple[str, Any], ...]:
    if not isinstance(table, dict) or not table:
        raise ValueError(f"says nothing; accepted: the keys {', '.join(accepted)}")
    values: list[tuple[str, Any]] = []
    for key, value in cast("dict[str, object]", table).items():
        if key not in accepted:
            raise ValueError(f"{key} is unknown; accepted: {', '.join(accepted)}")
        try:
            values.append((key, accepted[key](value)))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return tuple(values)


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError(f"{value!r:.60} is not accepted; accepted: text in quotes")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{value!r:.60} is not accepted; accepted: true, false")
    return value


def _list(check: Callable[[str], str], what: str) -> Callable[[object], tuple[str, ...]]:
    def of(value: object) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise ValueError(f"{value!r:.60} is not accepted; accepted: a list of {what}, each in quotes")
        return tuple(check(_text(item)) for item in cast("list[object]", value))

    return of


def _filled_with(*names: str) -> Callable[[str], str]:
    def check(word: str) -> str:
        for name in _PLACEHOLDER.findall(word):
            if name not in names:
                known = ", ".join(f"{{{each}}}" for each in names)
                raise ValueError(f"{word!r}: {{{name}}} means nothing; accepted: {known}")
        return word

    return check


_word = _filled_with(*PLACEHOLDERS)


def _some(word: str) -> str:
    if not word:
        raise ValueError("an empty word is every word's beginning")
    return word


def _program(name: str) -> str:
    if not name or "/" in name:
        raise ValueError(f"{name!r} is not the name of a program, without its folder")
    return name


def _variable(name: str) -> str:
    if _VARIABLE.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of a variable")
    return name


def _setting(word: str) -> str:
    name, is_set, _ = _word(word).partition("=")
    if not is_set or _VARIABLE.fullmatch(name) is None:
        raise ValueError(f"{word!r} is not accepted; accepted: NAME=VALUE")
    return word


def _path(path: str) -> str:
    below_home = path.startswith("~/") and path[2:].strip("/")
    if not (below_home or (path.startswith("/") and path.strip("/"))) or ".." in path.split("/"):
        raise ValueError(f"{path!r} is not an absolute path below / or ~")
    return path


def _below_home(value: object) -> str:
    path = _text(value)
    if not path or any(step in ("", ".", "..") for step in path.split("/")):
        raise ValueError(f"{path!r} is not a path below the home, like .config/agent.md")
    return path


def _steps(path: str) -> str:
    if not all(_STEP.fullmatch(step) for step in path.split(".")):
        raise ValueError(f"{path!r} is not a path of keys, like usage.input_tokens")
    return path


def _condition(text: str) -> str:
    path, is_one, value = text.partition("=")
    if not is_one or not value:
        raise ValueError(f"{text!r} is not accepted; accepted: PATH=VALUE")
    _steps(path)
    return text


def _pattern(value: object) -> str:
    text = _text(value)
    try:
        names = set(re.compile(text).groupindex)
    except re.error as error:
        raise ValueError(f"{text!r:.60} is not a regular expression: {error}") from None
    known = {"input", "output", "cached", "cost", "answer"}
    if not names or names - known:
        raise ValueError(
            f"{text!r:.60}: its groups are not among (?P<input>), {', '.join(sorted(known - {'input'}))}"
        )
    return text


def _rules(value: object) -> tuple[Rule, ...]:
    if not isinstance(value, list):
        raise ValueError(f"{value!r:.60} is not accepted; accepted: [[adapter.NAME.reads]] tables")
    made: list[Rule] = []
    for table in cast("list[object]", value):
        rule = Rule(**dict(_keys(table, _RULE_KEYS)))
        if bool(rule.when) == bool(rule.pattern):
            raise ValueError("either when or pattern says which lines are meant")
        made.append(rule)
    return tuple(made)


_WORDS = _list(_word, "words")
_PATHS = _list(_steps, "paths")
_RULE_KEYS: Final[Mapping[str, Callable[[object], object]]] = {
    "when": _list(_condition, "PATH=VALUE"),
    "pattern": _pattern,
    "part": lambda value: _steps(_text(value)),
    "each": _flag,
    "input": _PATHS,
    "output": _PATHS,
    "cached": _PATHS,
    "cost": _PATHS,
    "answer": lambda value: _steps(_text(value)),
}
_KEYS: Final[Mapping[str, Callable[[object], object]]] = {
    "programs": _list(_program, "names"),
    "install": _text,
    "task": _WORDS,
    "unattended": _WORDS,
    "tell": _WORDS,
    "tell_unless": _list(_some, "words"),
    "tell_env": _list(_setting, "NAME=VALUE"),
    "tell_file": _below_home,
    "mcp": _list(_filled_with("mcp_json"), "words"),
    "mcp_command": _list(_filled_with("name", "program_json", "args_json", "env_json"), "words"),
    "mcp_url": _list(_filled_with("name", "url_json"), "words"),
    "env": _list(_variable, "names"),
    "set": _list(_setting, "NAME=VALUE"),
    "paths": _list(_path, "paths"),
    "reads": _rules,
}
assert [*_KEYS] == [field.name for field in fields(Adapter)][1:]
assert {*_RULE_KEYS} == {field.name for field in fields(Rule)}
