"""MCP servers that a user lends to the program of a run, and the words by which it hears of them.

A8  What is not accepted never gets into a Server: `read_servers` raises ValueError naming the key and
    what is accepted.
A9  No value of a variable is among the words: a program is told the names, and has the values by itself.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from makfs.adapters.table import Adapter

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEYS: Final = ("command", "url", "env")


@dataclass(frozen=True, slots=True)
class Server:
    """One server: a program that is started, or an address."""

    name: str
    command: tuple[str, ...] = ()
    url: str = ""
    env: tuple[str, ...] = ()  # names of the caller's variables that its program may have


def read_servers(tables: object) -> tuple[Server, ...]:
    """Return the servers of the tables below [mcp], or raise ValueError naming table and key (A8)."""
    if not isinstance(tables, dict):
        raise ValueError("mcp is a table; accepted: [mcp.NAME] and keys below it")
    made: list[Server] = []
    for name, table in cast("dict[str, object]", tables).items():
        try:
            made.append(_read(name, table))
        except ValueError as error:
            raise ValueError(f'[mcp."{name}"]: {error}') from None
    return tuple(made)


def _read(name: str, table: object) -> Server:
    if _NAME.fullmatch(name) is None:
        raise ValueError("a name of a-z, 0-9, - and _ is accepted")
    if not isinstance(table, dict):
        raise ValueError(f"says nothing; accepted: the keys {', '.join(_KEYS)}")
    keys = cast("dict[str, object]", table)
    unknown = next((key for key in keys if key not in _KEYS), None)
    if unknown is not None:
        raise ValueError(f"{unknown} is unknown; accepted: {', '.join(_KEYS)}")
    command, env = _texts(keys, "command"), _texts(keys, "env")
    url = keys.get("url", "")
    if not isinstance(url, str) or (url and not url.startswith(("http://", "https://"))):
        raise ValueError(f"url: {url!r:.60} is not accepted; accepted: an address of http or https")
    if bool(command) == bool(url):
        raise ValueError("either command or url says where it is")
    odd = next((each for each in env if _VARIABLE.fullmatch(each) is None), None)
    if odd is not None:
        raise ValueError(f"env: {odd!r} is not the name of a variable")
    if env and url:
        raise ValueError("env is of a program that is started; a server at a url has none")
    return Server(name, command, url, env)


def _texts(keys: Mapping[str, object], key: str) -> tuple[str, ...]:
    value = keys.get(key, [])
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(item, str) and item and "\0" not in item for item in items):
        raise ValueError(f"{key}: {value!r:.60} is not accepted; accepted: a list of words, each in quotes")
    return tuple(map(str, items))


def server_words(adapter: Adapter, servers: Sequence[Server]) -> tuple[str, ...]:
    """Return the words that tell a program of servers, to be put behind its name; none if it takes none."""
    if not servers:
        return ()
    listed = {each.name: _listed(each) for each in servers}
    words = [word.replace("{mcp_json}", _json({"mcpServers": listed})) for word in adapter.mcp]
    for server in servers:
        each = adapter.mcp_command if server.command else adapter.mcp_url
        words += (_filled(word, server) for word in each)
    return tuple(words)


def _filled(word: str, server: Server) -> str:
    filling = {
        "name": server.name, "program_json": _json("".join(server.command[:1])),
        "args_json": _json(list(server.command[1:])), "env_json": _json(list(server.env)),
        "url_json": _json(server.url),
    }  # fmt: skip
    return re.sub(r"\{([a-z_]+)\}", lambda found: filling[found[1]], word)


def takes_servers(adapter: Adapter) -> bool:
    """Tell whether the table says how a program hears of servers."""
    return bool(adapter.mcp or adapter.mcp_command or adapter.mcp_url)


def _listed(server: Server) -> dict[str, Any]:
    """Return a server as most programs' `mcpServers` have it."""
    if server.url:
        return {"type": "http", "url": server.url}
    found: dict[str, Any] = {"command": server.command[0], "args": list(server.command[1:])}
    return found | ({"env": {name: f"${{{name}}}" for name in server.env}} if server.env else {})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)  # also TOML: that has no surrogate pairs
