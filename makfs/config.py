"""From the text of makfs.conf to the settings in force. Pure: reading the files is the caller's.

C1  What is not accepted never gets into a Config: `parse` raises ConfigError naming file, key and what is.
C2  The nearer file wins, key by key: the repository's, then the user's, then the default. Lists are replaced.
"""

import difflib
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final, TypeVar, cast

from makfs.adapters.servers import Server, read_servers
from makfs.adapters.table import Table, read_all
from makfs.errors import BadName, ConfigError
from makfs.ids import AgentId, RepoPath
from makfs.names import agent_id
from makfs.patterns import ShadowRules, check_glob, compile_globs, compile_shadows
from makfs.rules import TURN_S, AgentRule, PathRule, ResourceRule, RoleRule, check_command, check_resource
from makfs.settings import (
    SECTIONS,
    AllowOther,
    BudgetConfig,
    Isolation,
    MessagesConfig,
    MountConfig,
    OnWrite,
    PublishConfig,
    Reads,
    RunConfig,
    Setting,
    StoreConfig,
    Transport,
    ViewConfig,
    WriteConfig,
    settings,
)

__all__ = [
    "FILE_NAME",
    "AgentRule",
    "AllowOther",
    "BudgetConfig",
    "Config",
    "Isolation",
    "MessagesConfig",
    "MountConfig",
    "OnWrite",
    "Partial",
    "PathRule",
    "PublishConfig",
    "Reads",
    "ResourceRule",
    "RoleRule",
    "RunConfig",
    "StoreConfig",
    "Transport",
    "ViewConfig",
    "WriteConfig",
    "accepted",
    "combine",
    "parse",
]

FILE_NAME: Final = "makfs.conf"
"""The repository's file stands at its top; the user's is ~/.config/makfs/makfs.conf."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings. `Config()` is the defaults."""

    store: StoreConfig = StoreConfig()
    write: WriteConfig = WriteConfig()
    view: ViewConfig = ViewConfig()
    publish: PublishConfig = PublishConfig()
    mount: MountConfig = MountConfig()
    run: RunConfig = RunConfig()
    budget: BudgetConfig = BudgetConfig()
    messages: MessagesConfig = MessagesConfig()
    agents: tuple[AgentRule, ...] = ()
    paths: tuple[PathRule, ...] = ()  # a later one beats an earlier one
    roles: tuple[RoleRule, ...] = ()
    resources: tuple[ResourceRule, ...] = ()

    def policy_for(self, agent: AgentId, path: RepoPath) -> OnWrite:
        """Return what a write does: `always_merge` first, then the path's rule, the agent's, `on_write`."""
        rule = self.path_policy(path)
        return self.agent_policy(agent) if rule is None else rule

    def path_policy(self, path: RepoPath) -> OnWrite | None:
        """Return what a path's own rules say of writes to it, None if there are none."""
        if compile_globs(self.write.always_merge).match_file(path):
            return OnWrite.MERGE
        for path_rule in reversed(self.paths):
            if compile_globs((path_rule.glob,)).match_file(path):
                return path_rule.on_write
        return None

    def agent_policy(self, agent: AgentId) -> OnWrite:
        """Return what an agent's writes do where no path's rule says otherwise."""
        return self._rule(agent).policy or self.write.on_write

    def reads_for(self, agent: AgentId) -> Reads:
        """Return what opening a file to read it does for an agent."""
        return self._rule(agent).reads or self.view.reads

    def priority_for(self, agent: AgentId) -> int:
        """Return how many steps an agent's requests for locks stand before others'."""
        return self._rule(agent).priority

    def isolation_for(self, agent: AgentId) -> Isolation | None:
        """Return what an agent's view shows of what others commit, None if nothing is said."""
        return self._rule(agent).isolation

    def role_for(self, agent: AgentId) -> RoleRule | None:
        """Return the agent's role, None for an agent that may do everything."""
        name = self._rule(agent).role
        return next((role for role in self.roles if role.name == name), None)

    def _rule(self, agent: AgentId) -> AgentRule:
        return next((rule for rule in self.agents if rule.agent == agent), AgentRule(agent))

    @property
    def shadows(self) -> ShadowRules:
        """Return the compiled `shadow_patterns`; compiled once, then looked up."""
        return compile_shadows(self.view.shadow_patterns)


@dataclass(frozen=True, slots=True)
class Given:
    """One key that a file sets."""

    section: str
    key: str
    value: object  # already of the key's type


@dataclass(frozen=True, slots=True)
class Partial:
    """What one file sets."""

    file_name: str
    values: tuple[Given, ...] = ()
    agents: tuple[AgentRule, ...] = ()
    paths: tuple[PathRule, ...] = ()
    roles: tuple[RoleRule, ...] = ()
    resources: tuple[ResourceRule, ...] = ()
    adapters: tuple[Table, ...] = ()  # for `makfs run`; the daemon has no use for them
    servers: tuple[Server, ...] = ()  # likewise


def _check_part(glob: str) -> None:
    check_glob(glob.partition("::")[0])


def _check_path(glob: str) -> None:
    check_glob(glob)
    if "::" in glob:
        raise ValueError(f"{glob!r} is not a path's pattern: only write takes parts of files")


T = TypeVar("T")
_ADAPTER: Final = "adapter"
_SERVER: Final = "mcp"
_PARTS, _PATHS = Setting("", check_item=_check_part), Setting("", check_item=_check_path)
_COMMANDS = Setting("", unit="commands", check_item=check_command)
_TURN = Setting("", unit="seconds", low=0, high=86400)
_RULES: Final[Mapping[str, Mapping[str, tuple[object, Setting]]]] = {
    "agent": {
        "policy": (OnWrite.LEASE, Setting("")),
        "role": ("", Setting("")),
        "reads": (Reads.NEWEST, Setting("")),
        "isolation": (Isolation.LIVE, Setting("")),
        "priority": (0, Setting("", unit="steps", low=-9, high=9)),
    },
    "path": {"on_write": (OnWrite.LEASE, Setting(""))},
    "role": {"write": ((), _PARTS), "read": ((), _PATHS), "hide": ((), _PATHS)},
    "resource": {"commands": ((), _COMMANDS), "wait_s": (TURN_S, _TURN)},
}
"""Tables of tables: the keys of each, by an example of what it accepts."""


def parse(text: str, file_name: str) -> Partial:
    """Return what a makfs.conf sets. Raise ConfigError naming file, key and what is accepted (C1)."""
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file_name}: not TOML: {error}") from None
    values: list[Given] = []
    rules: dict[str, list[Any]] = {section: [] for section in _RULES}
    adapters = _told_of(file_name, read_all, data.pop(_ADAPTER, {}))
    servers = _told_of(file_name, read_servers, data.pop(_SERVER, {}))
    for section, table in data.items():
        if section not in SECTIONS and section not in _RULES:
            known = [*SECTIONS, *_RULES, _ADAPTER, _SERVER]
            raise ConfigError(f"{file_name}: {_unknown(section, '', known)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{file_name}: {section} is a table; accepted: [{section}] and keys below it")
        if section in SECTIONS:
            values += _parse_section(file_name, section, table)
        else:
            made = _MAKERS[section]
            rules[section] += (made(name, **keys) for name, keys in _parse_rules(file_name, section, table))
    agents, paths, roles, resources = (tuple(rules[section]) for section in _RULES)
    return Partial(file_name, tuple(values), agents, paths, roles, resources, adapters, servers)


def combine(defaults: Config, user: Partial | None, repo: Partial | None) -> Config:
    """Return the settings in force (C2). Path rules of both files hold, the repository's last."""
    config = defaults
    for partial in filter(None, (user, repo)):
        for given in partial.values:
            section = replace(getattr(config, given.section), **{given.key: given.value})
            config = replace(config, **{given.section: section})
        named = {rule.agent for rule in partial.agents}
        kept = (rule for rule in config.agents if rule.agent not in named)
        config = replace(config, agents=(*kept, *partial.agents), paths=(*config.paths, *partial.paths))
        roles = {role.name: role for role in (*config.roles, *partial.roles)}
        resources = {rule.name: rule for rule in (*config.resources, *partial.resources)}
        config = replace(config, roles=tuple(roles.values()), resources=tuple(resources.values()))
        for rule in partial.agents:
            if rule.role is not None and rule.role not in roles:
                known = ", ".join(sorted(roles)) or "there are none"
                place = f'{partial.file_name}: [agent."{rule.agent}"]'
                raise ConfigError(f"{place}: there is no [role.{rule.role}]; roles: {known}")
    return config


def _told_of(file_name: str, read: Callable[[object], T], tables: object) -> T:
    """Return what tables say that `makfs run` alone reads."""
    try:
        return read(tables)
    except ValueError as error:
        raise ConfigError(f"{file_name}: {error}") from None


def _parse_section(file_name: str, section: str, table: Mapping[str, object]) -> Iterable[Given]:
    known = settings(section)
    for key, value in table.items():
        if key not in known:
            raise ConfigError(f"{file_name}: {_unknown(key, f'[{section}] ', known)}")
        default = getattr(SECTIONS[section], key)
        try:
            yield Given(section, key, _accept(value, default, known[key]))
        except ValueError as error:
            raise ConfigError(f"{file_name}: [{section}] {key}: {error}") from None


def _parse_rules(
    file_name: str, section: str, table: Mapping[str, object]
) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield the name and the keys of each table of a section of tables, as [agent.NAME], [path."GLOB"]."""
    wanted = _RULES[section]
    for name, keys in table.items():
        place = f'[{section}."{name}"]'
        try:
            _check_rule_name(section, name)
            if not isinstance(keys, dict) or not keys:
                which = "the key" if len(wanted) == 1 else "the keys"
                raise ValueError(f"says nothing; accepted: {which} {', '.join(wanted)}")
            found: dict[str, Any] = {}
            for key, value in keys.items():
                if key not in wanted:
                    raise ValueError(_unknown(key, "", wanted))
                found[key] = _accept(value, *wanted[key])
        except ValueError as error:
            raise ConfigError(f"{file_name}: {place}: {error}") from None
        yield name, found


def _agent_rule(name: str, **keys: Any) -> AgentRule:
    return AgentRule(AgentId(name), **keys)


_MAKERS: Final[Mapping[str, Callable[..., object]]] = {
    "agent": _agent_rule,
    "path": PathRule,
    "role": RoleRule,
    "resource": ResourceRule,
}


def _check_rule_name(section: str, name: str) -> None:
    if section == "path":
        check_glob(name)
        if name.startswith("!"):
            raise ValueError("a path's pattern cannot start with !; give those files a rule of their own")
        return
    if section == "resource":
        check_resource(name)
        return
    try:
        agent_id(name)
    except BadName as error:
        raise ValueError(str(error)) from None


def _accept(value: object, default: object, setting: Setting) -> object:
    """Return the value in the default's type, or raise ValueError saying what is accepted."""
    if isinstance(default, Enum) and isinstance(value, str):
        kind = type(default)
        if value in {choice.value for choice in kind}:
            return kind(value)
    elif isinstance(default, str) and isinstance(value, str):
        return value
    elif isinstance(default, tuple) and isinstance(value, list):
        items = cast("list[object]", value)
        if all(isinstance(item, str) for item in items):
            for item in items:
                if setting.check_item is not None:
                    setting.check_item(cast(str, item))
            return tuple(items)
    elif isinstance(default, int | float) and isinstance(value, int | float) and not isinstance(value, bool):
        right_type = isinstance(default, float) or isinstance(value, int)
        # Written so that nan is out of range.
        if right_type and setting.low <= value <= setting.high:
            return type(default)(value)
    shown = textwrap.shorten(repr(value), 60)
    raise ValueError(f"{shown} is not accepted; accepted: {accepted(default, setting)}")


def accepted(default: object, setting: Setting) -> str:
    """Say what a key accepts, for people."""
    if isinstance(default, Enum):
        return "one of " + ", ".join(f'"{choice.value}"' for choice in type(default))
    if isinstance(default, tuple):
        return f"a list of {setting.unit or 'patterns'}, each in quotes"
    if isinstance(default, str):
        return f"{setting.unit or 'a name'} in quotes"
    whole = "whole number" if isinstance(default, int) else "number"
    return f"a {whole} of {setting.unit} from {setting.low:g} to {setting.high:.10g}"


def _unknown(key: str, place: str, known: Iterable[str]) -> str:
    """Say that a key is unknown, and which one may be meant: here, or in the section it belongs to."""
    here = sorted(known)
    elsewhere = [section for section in SECTIONS if key in settings(section)]
    if elsewhere:
        hint = f"it belongs to [{elsewhere[0]}]"
    elif near := difflib.get_close_matches(key, here, n=1):
        hint = f"did you mean {near[0]}?"
    else:
        hint = f"accepted: {', '.join(here)}"
    return f"{place}{key} is unknown; {hint}"
