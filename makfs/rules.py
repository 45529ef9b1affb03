"""What makfs.conf says by name: of one agent, of a role, of some paths, of a process resource. Pure."""

import re
from dataclasses import dataclass

from makfs.ids import AgentId
from makfs.settings import Isolation, OnWrite, Reads

_RESOURCE = re.compile(r"[A-Za-z0-9_.@+-]+(?::[A-Za-z0-9_.@+-]+)*", re.ASCII)  # as makfs.locks.address has it
_COMMAND = re.compile(r"[A-Za-z0-9_+][A-Za-z0-9_.+-]{0,63}")
TURN_S = 3600.0


@dataclass(frozen=True, slots=True)
class AgentRule:
    """[agent.NAME]: how one agent is treated; None is as everybody."""

    agent: AgentId
    policy: OnWrite | None = None
    role: str | None = None
    reads: Reads | None = None
    isolation: Isolation | None = None
    priority: int = 0  # of its requests for locks


@dataclass(frozen=True, slots=True)
class RoleRule:
    """[role.NAME]: what agents of a role may write, read and see. Globs as in .gitignore."""

    name: str
    write: tuple[str, ...] = ("**",)  # `GLOB::NAME` too, for a part of a file
    read: tuple[str, ...] = ("**",)
    hide: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PathRule:
    """[path."GLOB"]: how writes to some files are treated."""

    glob: str
    on_write: OnWrite


@dataclass(frozen=True, slots=True)
class ResourceRule:
    """[resource.NAME]: commands of which one runs at a time, whoever starts them under `makfs run`."""

    name: str
    commands: tuple[str, ...] = ()
    wait_s: float = TURN_S  # for one's turn


def check_resource(name: str) -> None:
    """Raise ValueError for what is no name of a process resource."""
    if _RESOURCE.fullmatch(name) is None:
        raise ValueError("a resource is letters, digits and '_.@+-:', as port:8000")


def check_command(name: str) -> None:
    """Raise ValueError for what is not a command's bare name."""
    if _COMMAND.fullmatch(name) is None:
        raise ValueError(f"{name!r} is not the name of a command, without folder and arguments")
