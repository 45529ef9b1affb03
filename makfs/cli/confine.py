"""The box that a run's program lives in: bubblewrap's arguments, the environment, secrets masked.

B1  Inside, the repository's path is the agent's view; of the repository itself, of other views, of the
    control socket and of other agents' homes there is no name and no descriptor.
B2  What root owns outside the view and the agent's home cannot be written, though the caller is root; what
    only root may read in /etc (shadow passwords, private keys) cannot be read.
B3  A variable reaches the program only by name: the usual ones, those of [run] env, those its
    adapter names, those of `-e`.
B4  What `mask` returns holds no value given with `-e`, and no word that an option or variable calls secret.
"""

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from makfs.cli import shims
from makfs.cli.find import read_mounts
from makfs.errors import ConfigError, MountError
from makfs.wire.runs import MARK, RunPlan

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt")
USUAL = frozenset({"PATH", "LANG", "LANGUAGE", "TERM", "COLORTERM", "TZ", "USER", "LOGNAME"})
HOMES = ("/makfs/home", "/home/agent")
GUIDE_NAME = "guide.md"
PROFILE_NAME = "profile"
MASK = "***"
_SECRET = r"(?:key|token|secret|passw(?:or)?d|passphrase|credentials?)"
_ASSIGNED = re.compile(rf"(?i)([\w-]*{_SECRET}[\w-]*[=:]\s*)\S.*", re.DOTALL)
_OPTION = re.compile(rf"(?i)--?[\w-]*{_SECRET}")
_BEARER = re.compile(r"(?i)(authorization:\s*|bearer\s+)\S.*", re.DOTALL)

# 127 and 126 as sh(1) has them; `exec`, so that the program is the first process after bwrap's own.
START = (
    'command -v -- "$1" >/dev/null 2>&1 || { '
    'printf "makfs: The command %s was not found in this run.\\n" "$1" >&2; exit 127; }; exec "$@"'
)


@dataclass(frozen=True, slots=True)
class Box:
    """What a run may reach beside its view."""

    network: bool
    own_terminal: bool  # the program gets a session of its own on the terminal that is its input
    newest_bwrap: bool  # has --disable-userns
    shown: tuple[str, ...] = ()  # what the program's own files are, where the system does not have them
    links: tuple[tuple[str, str], ...] = ()  # names it goes by, and where they lead
    filter_fd: int = -1  # of the seccomp filter, -1 if there is none
    has_shims: bool = False  # the run's folder has them (`makfs.cli.shims`)


def arguments(plan: RunPlan, box: Box, guide_fd: int, status_fd: int, command: Sequence[str]) -> list[str]:
    """Return the command line of bwrap(1). Raises ConfigError, MountError."""
    home = inner_home(plan)
    line = ["bwrap", "--unshare-user", "--cap-drop", "ALL", "--die-with-parent"]
    line += ["--disable-userns"] if box.newest_bwrap else []
    line += ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    line += [] if box.network else ["--unshare-net"]
    line += [] if box.own_terminal else ["--new-session"]
    line += ["--json-status-fd", str(status_fd)]
    line += ["--seccomp", str(box.filter_fd)] if box.filter_fd >= 0 else []
    line += [*_system(), *_let_through(plan), *_secrets(os.geteuid())]
    line += ["--proc", "/proc", *_kernel_files(), "--dev", "/dev", "--tmpfs", "/tmp"]
    line += [*_program(plan, box), "--dir", "/var", "--symlink", "../tmp", "/var/tmp"]
    line += ["--dir", "/run", *_name_servers(), *_hidden(plan, box.shown)]
    line += ["--bind", plan.home, home, "--ro-bind-data", str(guide_fd), inner_guide(plan)]
    line += _shims(plan) if box.has_shims else []
    line += ["--bind", plan.view, plan.repo, "--remount-ro", "/", "--chdir", plan.repo, "--"]
    line += ["/usr/bin/setsid", "--ctty"] if box.own_terminal else []
    return [*line, *trampoline(command)]


def trampoline(command: Sequence[str]) -> list[str]:
    """Return a command line that runs `command`, or ends with 127 and a sentence."""
    return ["/bin/sh", "-c", START, "sh", *command]


def bwrap() -> str | None:
    """Return where PATH has bwrap, None if nowhere. To import shutil for its `which` takes 2 ms."""
    paths = (os.path.join(folder, "bwrap") for folder in os.get_exec_path())
    return next((path for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), None)


def inner_home(plan: RunPlan) -> str:
    """Return where the agent's home is inside: not above the repository, not in it."""
    for home in HOMES:
        if not _contains(home, plan.repo) and not _contains(plan.repo, home):
            return home
    raise MountError(f"The repository {plan.repo} leaves no place for a home; move it.")


def inner_guide(plan: RunPlan) -> str:
    """Return where the guide is inside: not in the home, where the agent could lay a link in its place."""
    return os.path.join(os.path.dirname(inner_home(plan)), GUIDE_NAME)


def inner_shims(plan: RunPlan) -> str:
    """Return where the commands that wait their turn are inside."""
    return os.path.join(os.path.dirname(inner_home(plan)), shims.FOLDER)


def _shims(plan: RunPlan) -> list[str]:
    words = ["--ro-bind", os.path.join(plan.folder, shims.FOLDER), inner_shims(plan)]
    profile = os.path.join(plan.folder, PROFILE_NAME)
    return [*words, "--ro-bind", profile, shims.PROFILE] if os.path.exists(profile) else words


def _secrets(uid: int) -> list[str]:
    """Cover what only root may read in /etc, if root runs (B2): by a device that cannot be opened there."""
    words: list[str] = []
    for path, is_dir in _kept_from_others("/etc") if uid == 0 else ():
        words += ["--tmpfs", path] if is_dir else ["--ro-bind", os.devnull, path]
    return words


def _kept_from_others(top: str) -> Iterator[tuple[str, bool]]:
    """Yield files and folders that not everybody may read, and whether it is a folder. Cost: a stat each."""
    with os.scandir(top) as entries:
        for entry in entries:
            if entry.is_symlink():
                continue
            mode = entry.stat(follow_symlinks=False).st_mode
            if not entry.is_dir():
                if not mode & stat.S_IROTH:
                    yield entry.path, False
            elif mode & 0o5 != 0o5:
                yield entry.path, True
            else:
                yield from _kept_from_others(entry.path)


def _contains(top: str, path: str) -> bool:
    return path == top or path.startswith(top.rstrip("/") + "/")


def _system() -> list[str]:
    words: list[str] = []
    for top in SYSTEM:
        if os.path.islink(top):
            words += ["--symlink", os.readlink(top), top]
        elif os.path.isdir(top):
            words += ["--ro-bind", top, top]
    return words


def _let_through(plan: RunPlan) -> list[str]:
    words: list[str] = []
    for path in plan.paths:
        if not os.path.exists(path):
            raise ConfigError(f"[run] paths: {path} is not there; make it, or take it out of makfs.conf.")
        words += ["--ro-bind", path, path]
    return words


def _program(plan: RunPlan, box: Box) -> list[str]:
    """Let through what the program needs of its own; after /tmp, where it may be."""
    words: list[str] = []
    for path in box.shown:
        words += ["--ro-bind", path, path]
    for name, real in box.links:
        if not any(_contains(top, name) for top in plan.paths):
            words += ["--symlink", real, name]
    return words


def _kernel_files() -> list[str]:
    """Make read-only what /proc has beside processes: root may write it without any capability.

    bwrap covers less: it asks whether /proc/sys itself, the directory, may be written.
    """
    words: list[str] = []
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdecimal() or entry.is_symlink():
                continue
            if entry.is_dir() or entry.stat().st_mode & 0o222:
                words += ["--ro-bind-try", entry.path, entry.path]
    return words


def _name_servers() -> list[str]:
    """Return what lets names be looked up where /etc/resolv.conf is a link into /run."""
    real = os.path.realpath("/etc/resolv.conf")
    return ["--ro-bind-try", real, real] if real.startswith("/run/") else []


def served() -> tuple[str, ...]:
    """Return every makfs mount and served repository of this machine."""
    mounts = [mount for mount in read_mounts() if mount.repo is not None]
    return tuple(place for mount in mounts for place in (mount.mountpoint, mount.repo) if place is not None)


def _hidden(plan: RunPlan, own: Sequence[str]) -> list[str]:
    """Cover every makfs mount and served repository below what is let through (B1)."""
    shown = [*SYSTEM, *plan.paths, *own]
    words: list[str] = []
    for place in served():
        if place != plan.repo and any(_contains(top, place) for top in shown):
            words += ["--tmpfs", place]
    return words


def check_view(plan: RunPlan) -> None:
    """Raise MountError unless the view can be entered."""
    try:
        os.stat(plan.view)
        os.listdir(plan.view)
    except OSError as error:
        raise MountError(
            f"The view {plan.view} cannot be entered: {error.strerror}; unmount and mount it again."
        ) from error


def environment(
    plan: RunPlan, agent: str, home: str, guide: str, given: Mapping[str, str], caller: Mapping[str, str]
) -> dict[str, str]:
    """Return the program's variables (B3). `given` are those of `-e`."""
    named = {name: caller[name] for name in plan.env if name in caller}
    usual = {name: value for name, value in caller.items() if name in USUAL or name.startswith("LC_")}
    own = {"HOME": home, "PWD": plan.repo, "MAKFS_AGENT": agent, "MAKFS_GUIDE": guide, MARK: plan.folder}
    return {**usual, **named, **own, **given}


def mask(words: Sequence[str], values: Iterable[str]) -> tuple[str, ...]:
    """Return a command line for people and records (B4)."""
    secret = sorted({value for value in values if len(value) > 3}, key=len, reverse=True)
    masked: list[str] = []
    is_next = False
    for word in words:
        for value in secret:
            word = word.replace(value, MASK)
        if is_next and not word.startswith("-"):
            word = MASK
        is_next = _OPTION.fullmatch(word.partition("=")[0]) is not None and "=" not in word
        masked.append(_BEARER.sub(rf"\1{MASK}", _ASSIGNED.sub(rf"\1{MASK}", word)))
    return tuple(masked)
