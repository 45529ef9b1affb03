"""Which adapter a run uses, of those makfs ships and those in the user's makfs.conf; read when it is needed.

AD1  Without --cli a program has an adapter by its name, if PATH or an absolute path leads to it, and not into
     the repository or a view: what an agent wrote is not handed a key because it is called `claude`.
AD2  What an agent can write does not say how a program is started: none comes from the repository's file.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from makfs.errors import ConfigError, MakfsError, NotFound

if TYPE_CHECKING:
    from makfs.adapters.table import Adapter, Table
    from makfs.cli.programs import Program
    from makfs.config import Partial

MOST_BYTES = 1 << 20
MOST_WORD_BYTES = (1 << 17) - 1  # execve(2): MAX_ARG_STRLEN, with the end of the word
FILE_NAME = "makfs.conf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    command: tuple[str, ...]
    cli: str | None
    task: str | None
    given: Mapping[str, str]  # variables
    confined: bool
    hidden: tuple[str, ...]  # the repository, its views
    seen: tuple[str, ...]  # what every program finds


@dataclass(frozen=True, slots=True)
class Start:
    """What a run starts."""

    command: tuple[str, ...]  # the caller's own, or what the adapter makes of a task
    adapter: "Adapter | None" = None
    input: str | None = None  # what stands on standard input, for a task
    has_task: bool = False
    program: "Program | None" = None  # where it was found
    variables: Mapping[str, str] = field(default_factory=dict)  # beside the usual ones
    secrets: tuple[str, ...] = ()  # values that no record may hold
    server_words: tuple[str, ...] = ()  # that tell the program of MCP servers

    @property
    def name(self) -> str:
        """Return the adapter's name, "" if there is none."""
        return "" if self.adapter is None else self.adapter.name


def start(wanted: Wanted, caller: Mapping[str, str]) -> Start:
    """Return what is to be started. `caller` is its environment.

    Raises NotFound, ConfigError, CommandFailed, MakfsError.
    """
    own = users()
    adapter = _named(wanted.cli, own) if wanted.cli is not None else _recognised(wanted.command, own)
    made = Start(wanted.command, adapter) if wanted.task is None else _with_task(wanted, adapter, own)
    path = wanted.given.get("PATH", caller.get("PATH", os.defpath))
    if adapter is not None and adapter.programs:
        made = _found(made, adapter, wanted, path)
    return _with_servers(_furnished(made, wanted.given, caller), caller)


def _with_task(wanted: Wanted, adapter: "Adapter | None", own: "Mapping[str, Table]") -> Start:
    if adapter is None or wanted.task is None:
        raise NotFound(f"--task needs --cli NAME, one of {', '.join(names(own))}.")
    from makfs.adapters.telling import task_of

    if not adapter.task:
        raise ConfigError(f"The adapter {adapter.name} does not say how it is given a task: set `task`.")
    is_own = wanted.cli is None or not adapter.programs  # the program is the first word of the command
    more = wanted.command[1:] if is_own and adapter.programs else wanted.command
    made = task_of(adapter, wanted.task, more, unattended=wanted.confined)
    if not made.words:
        raise NotFound(f"The adapter {adapter.name} has no program of its own; give a command after '--'.")
    if any(len(os.fsencode(word)) > MOST_WORD_BYTES for word in made.words):
        raise MakfsError(
            f"The task is too long for {adapter.name}'s command line; write it into a file and name that."
        )
    words = (wanted.command[0], *made.words[1:]) if is_own else made.words
    return Start(words, adapter, made.input, has_task=True)


def _found(made: Start, adapter: "Adapter", wanted: Wanted, path: str) -> Start:
    """Return the start with its program found, or without an adapter (AD1)."""
    from makfs.cli import programs
    from makfs.cli.exits import EXIT_COMMAND_NOT_FOUND, CommandFailed

    name = made.command[0]
    paths = [os.path.expanduser(each) for each in adapter.paths]
    home = os.path.expanduser("~")
    grounds = programs.Grounds((*wanted.seen, *paths), (home, os.path.realpath(home)), wanted.hidden)
    program = programs.find(name, path, grounds)
    if program is None:
        hint = f"; install it: {adapter.install}." if adapter.install else " in PATH."
        raise CommandFailed(f"The command {name} was not found{hint}", EXIT_COMMAND_NOT_FOUND)
    if wanted.cli is None and programs.is_within(os.path.realpath(program.path), wanted.hidden):
        return replace(made, adapter=None)
    missing = next((each for each in paths if not os.path.exists(each)), None)
    if missing is not None:
        raise ConfigError(
            f'[adapter."{adapter.name}"] paths: {missing} is not there; make it, or take it out.'
        )
    return replace(made, program=replace(program, shown=(*program.shown, *paths)))


def _furnished(made: Start, given: Mapping[str, str], caller: Mapping[str, str]) -> Start:
    """Return the start with its variables; what is `given` on the command line wins."""
    if made.adapter is None:
        return replace(made, variables=given, secrets=tuple(given.values()))
    from makfs.adapters.telling import variables

    through = {name: caller[name] for name in made.adapter.env if name in caller}
    secrets = (value for name, value in through.items() if name.endswith(("KEY", "TOKEN", "PROXY")))
    own = {**variables(made.adapter), **through, **given}
    return replace(made, variables=own, secrets=(*given.values(), *secrets))


def _with_servers(made: Start, caller: Mapping[str, str]) -> Start:
    """Return the start of a program that hears of the user's MCP servers, and has their variables."""
    adapter = made.adapter
    if adapter is None or (partial := _users_file(b"mcp")) is None or not partial.servers:
        return made
    from makfs.adapters.servers import server_words, takes_servers

    if not takes_servers(adapter):
        from makfs.cli.common import note

        listed = ", ".join(server.name for server in partial.servers)
        note(f"{adapter.name} hears of no MCP server ({listed}): its adapter does not say how.")
        return made
    wanted = {name for server in partial.servers for name in server.env}
    through = {name: caller[name] for name in sorted(wanted) if name in caller}
    own = {**through, **made.variables}
    servers = [
        replace(server, env=tuple(name for name in server.env if name in own)) for server in partial.servers
    ]
    secrets = (*made.secrets, *through.values())
    return replace(made, variables=own, secrets=secrets, server_words=server_words(adapter, servers))


def names(own: "Mapping[str, Table]") -> list[str]:
    """Return the adapters there are, makfs's and the user's."""
    shipped = {name.removesuffix(".toml") for name in os.listdir(_folder()) if name.endswith(".toml")}
    return sorted(shipped | own.keys())


def adapter_of(name: str, own: "Mapping[str, Table]") -> "Adapter | None":
    """Return an adapter by its name; what the user says of it wins."""
    shipped = _shipped(name)
    adapter = None if shipped is None else shipped.over(None)
    return own[name].over(adapter) if name in own else adapter


def _named(name: str, own: "Mapping[str, Table]") -> "Adapter":
    adapter = adapter_of(name, own)
    if adapter is not None:
        return adapter
    import difflib

    known = names(own)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}."
    raise NotFound(
        f"There is no adapter {name!a}; {hint} A new one is a table [adapter.NAME] in {user_file()}."
    )


def _recognised(command: Sequence[str], own: "Mapping[str, Table]") -> "Adapter | None":
    program = os.path.basename(command[0]) if command else ""
    if not program or ("/" in command[0] and not command[0].startswith("/")):
        return None
    adapters = (adapter_of(name, own) for name in (program, *own))
    return next((each for each in adapters if each is not None and program in each.programs), None)


def _folder() -> str:
    import makfs.adapters

    return os.path.dirname(makfs.adapters.__file__)


def _shipped(name: str) -> "Table | None":
    if not name.replace("-", "").replace("_", "").isalnum():
        return None
    try:
        with open(os.path.join(_folder(), f"{name}.toml"), "rb") as file:
            raw = file.read()
    except FileNotFoundError:
        return None
    import tomllib

    from makfs.adapters.table import read_all

    return next(table for table in read_all(tomllib.loads(raw.decode())["adapter"]) if table.name == name)


def user_file() -> str:
    """Return the path of the user's makfs.conf, as makfsd has it."""
    top = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(top, "makfs", FILE_NAME)


def users() -> "Mapping[str, Table]":
    """Return the user's own tables, by name. Raises ConfigError."""
    partial = _users_file(b"adapter")
    return {} if partial is None else {table.name: table for table in partial.adapters}


def _users_file(word: bytes) -> "Partial | None":
    """Return what the user's makfs.conf sets, None where a word is not in it. Raises ConfigError."""
    path = user_file()
    try:
        with open(path, "rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error.strerror}.") from error
    if word not in raw:
        return None  # nothing to parse: most users have none
    from makfs.config import parse

    try:
        return parse(raw.decode(), path)
    except UnicodeDecodeError as error:
        raise ConfigError(f"The configuration file {path} is not UTF-8 at byte {error.start}.") from error
