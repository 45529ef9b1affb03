"""Which repository a command means, and what a path on the command line means inside it.

F1  From the current directory, or the one given with -C, upwards: a makfs mount, or a directory with
    `.makfs`. The mount's own source names its repository, so this works where the repository is not visible.
"""

import os
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from makfs.errors import BadName, NotFound
from makfs.wire.place import STATE_DIR, Mount, mount_of, parse_mounts, path_in_view

if TYPE_CHECKING:
    from makfs.cli.client import Client

RESOURCE = "resource:"
_MOST_PLACES = 3  # that one sentence names


@dataclass(frozen=True, slots=True)
class Found:
    """The repository, and the real directory the search began at."""

    repo: str
    start: str
    mount: Mount | None  # the mount that `start` lies in
    named: bool  # given with -C, not found from the current directory


def read_mounts() -> tuple[Mount, ...]:
    """Return this process's mounts."""
    with open("/proc/self/mountinfo", "rb") as file:
        return parse_mounts(file.read())


def here() -> str:
    """Return the current directory. Raises NotFound where it is gone, or its mount."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise NotFound("The current directory is gone; name the repository with -C.") from None
    except OSError as error:  # a shell stands in a view of a mount that is dead, or was mounted again since
        raise NotFound(
            f"The current directory cannot be asked for ({error.strerror}): what was mounted there is gone. "
            "Enter it anew, with 'cd \"$PWD\"', or name the repository with -C."
        ) from None


def absolute(path: str) -> str:
    """Return a path from the current directory as one from the root. Raises NotFound as `here` does."""
    return path if os.path.isabs(path) else os.path.join(here(), path)


def find(hint: str | None, mounts: tuple[Mount, ...] | None = None) -> Found:
    """Return the repository that is meant. Raises NotFound."""
    start = os.path.realpath(here() if hint is None else absolute(hint))
    mounts = read_mounts() if mounts is None else mounts
    mount = mount_of(start, mounts)
    if mount is not None and mount.repo is not None:
        return Found(mount.repo, start, mount, hint is not None)
    directory = start
    while not os.path.isdir(os.path.join(directory, STATE_DIR)):
        parent = os.path.dirname(directory)
        if parent == directory:
            raise NotFound(f"There is no makfs mount or repository at or above {start}{_elsewhere(mounts)}")
        directory = parent
    return Found(directory, start, None, hint is not None)


def _elsewhere(mounts: tuple[Mount, ...]) -> str:
    """Return how the sentence ends that says that there is no mount here: where there are some."""
    places = sorted({mount.mountpoint for mount in mounts if mount.repo is not None and mount.root == "/"})
    if not places:
        return "; name one with -C, or make one: 'makfs mount REPO MOUNTPOINT'."
    if len(places) == 1:
        return f". There is one at {places[0]}: name it, with 'makfs -C {shlex.quote(places[0])} ...'."
    more = f" and {len(places) - _MOST_PLACES} more" if len(places) > _MOST_PLACES else ""
    return f"; name one with -C. There are mounts at {', '.join(places[:_MOST_PLACES])}{more}."


def repo_path(argument: str, found: Found, mounts: tuple[Mount, ...] | None = None) -> str:
    """Return the path inside the repository that an argument means.

    It may be a path in a view, a path in the repository's directory, or, from anywhere else, a path
    relative to the repository's root. Raises BadName for one that lies outside.
    """
    whole = _whole(argument, found)
    parent = os.path.realpath(os.path.dirname(whole))
    real = os.path.join(parent, os.path.basename(whole)) if os.path.basename(whole) else parent
    mount = mount_of(real, read_mounts() if mounts is None else mounts)
    if mount is not None and mount.repo == found.repo:
        return path_in_view(real, mount)[1]
    if real == found.repo or real.startswith(found.repo.rstrip("/") + "/"):
        return real[len(found.repo.rstrip("/")) :].strip("/")
    if os.path.isabs(argument) or argument.startswith(".."):
        raise BadName(f"{argument} is not in the repository {found.repo}.")
    return os.path.normpath(argument).strip("/")


def _whole(argument: str, found: Found) -> str:
    """Return an argument as a path from the root: from what -C names, else from the current directory."""
    return os.path.normpath(os.path.join(found.start, argument) if found.named else absolute(argument))


def past_of(argument: str, found: Found, mounts: tuple[Mount, ...] | None = None) -> str:
    """Return what names the past tree that a path lies in, `3` of MOUNT/@3/src/app.py; empty if in none."""
    whole = _whole(argument, found)
    parent = os.path.realpath(os.path.dirname(whole))
    mount = mount_of(parent, read_mounts() if mounts is None else mounts)
    if mount is None or mount.repo != found.repo:
        return ""
    view = path_in_view(os.path.join(parent, os.path.basename(whole)), mount)[0]
    return view[1:] if view.startswith("@") else ""


def path_at(argument: str, found: Found, daemon: "Client") -> tuple[str, str]:
    """Return the two halves of `PATH@SEQ`, `PATH@NAME` or `PATH@head`; `PATH` alone is of the newest commit.

    A file whose own name ends so is meant by PATH@head, or by its name where no mark has that one. PATH in a
    past tree is of that tree.
    """
    path, separator, at = argument.rpartition("@")
    if not separator or not path or path.endswith("/") or "/" in at or not at:
        return argument, past_of(argument, found) or "head"
    if at != "head" and not (at.isascii() and at.isdigit()) and os.path.lexists(argument):
        from makfs.store.model import Mark
        from makfs.wire.verbs import Marks

        if at not in [mark.name for mark in daemon.get(Marks(), list[Mark])]:
            return argument, "head"
    return path, at


def repo_address(argument: str, found: Found, mounts: tuple[Mount, ...] | None = None) -> str:
    """Return the address that an argument means.

    It is an address already, from the repository's top, unless it starts with `/`, `./` or `../`: that is a
    path from here. A folder of the repository gets its `/`. What is no address the daemon says.
    Raises BadName for a path that lies outside.
    """
    path, separator, name = argument.rpartition("::")
    if not separator or "/" in name:
        path, separator, name = argument, "", ""
    if path.startswith(RESOURCE) and "/" not in path:
        return argument
    if path in (".", "..") or path.startswith(("/", "./", "../")):
        ending = "/" if path.endswith("/") else ""
        path = repo_path(path, found, mounts)
        path += ending if path else ""
    if path and not separator and not path.endswith("/") and os.path.isdir(os.path.join(found.repo, path)):
        path += "/"
    return path + separator + name


def resource_or_address(argument: str, found: Found) -> str:
    """Return the address of a process resource, unless the argument has :: or / in it: that is an address."""
    is_address = argument.startswith(RESOURCE) or "/" in argument or "::" in argument
    return repo_address(argument, found) if is_address else RESOURCE + argument


def agent_here(found: Found, remedy: str) -> str:
    """Return the agent in whose view the search began. Raises NotFound, whose sentence ends with `remedy`."""
    view = "" if found.mount is None else path_in_view(found.start, found.mount)[0]
    if not view or view.startswith("@"):
        raise NotFound(f"{found.start} is in no agent's view; {remedy}.")
    return view
