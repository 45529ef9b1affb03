"""Control groups of runs: made beside the daemon's own, for limits, for freezing and for measuring.

F1  A group is made where the kernel lets this user make one, in either version's hierarchy; where it does
    not, nothing is raised and the caller is told which controllers it got.
F2  What `freeze` froze stays so until `thaw`, also what is forked meanwhile.
"""

import contextlib
import logging
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from makfs.runs.limits import Limits, by_group
from makfs.wire.place import parse_mounts

PREFIX = "makfs-run-"

log = logging.getLogger("makfsd.groups")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy and where in it this process is."""

    top: Path
    own: Path
    version: int
    controllers: frozenset[str]  # of version 1: those that are mounted there


@dataclass(frozen=True, slots=True)
class Made:
    """Groups of one run, and the controllers whose limits they hold."""

    folders: tuple[str, ...] = ()
    enforced: tuple[str, ...] = ()


def hierarchies(mounts: bytes, own: str) -> list[Hierarchy]:
    """Return the hierarchies of /proc/self/mountinfo's text and /proc/self/cgroup's. Pure."""
    places = {words[1]: words[2] for words in (line.split(":", 2) for line in own.splitlines())}
    found: list[Hierarchy] = []
    for row in parse_mounts(mounts):
        options = set(row.options.split(","))
        if row.fstype == "cgroup2":
            names, version = "", 2
        elif row.fstype == "cgroup":
            names = next((each for each in places if each and set(each.split(",")) <= options), "?")
            version = 1
        else:
            continue
        path = places.get(names)
        if path is None or not f"{path}/".startswith(row.root.rstrip("/") + "/"):
            continue
        top = Path(row.mountpoint)
        own_folder = top / path[len(row.root.rstrip("/")) :].lstrip("/")
        found.append(Hierarchy(top, own_folder, version, frozenset(names.split(",")) - {""}))
    return found


class Groups:
    """What one daemon makes. Nothing is looked for before it is needed."""

    def __init__(self) -> None:
        self._hierarchies: list[Hierarchy] | None = None
        self._tag = f"{PREFIX}{os.getpid()}-"

    def _found(self) -> list[Hierarchy]:
        if self._hierarchies is None:
            try:
                mounts, own = Path("/proc/self/mountinfo").read_bytes(), Path("/proc/self/cgroup").read_text()
                self._hierarchies = hierarchies(mounts, own)
            except (OSError, ValueError) as error:
                log.info("control groups cannot be looked at: %s", error)
                self._hierarchies = []
        return self._hierarchies

    def limit(self, number: int, limits: Limits) -> Made:
        """Make groups that hold as many of these limits as they can (F1)."""
        wanted = [*limits.wanted]
        folders: list[str] = []
        enforced: list[str] = []
        for each in sorted(self._found(), key=lambda one: -one.version):
            here = [name for name in wanted if each.version == 2 or name in each.controllers]
            folder = self._make(each, here, number) if here else None
            if folder is None:
                continue
            held = [name for name in here if _write_limits(folder, limits, name, each.version)]
            if not held:
                with contextlib.suppress(OSError):
                    folder.rmdir()
                continue
            folders.append(str(folder))
            enforced += held
            wanted = [name for name in wanted if name not in held]
        return Made(tuple(folders), tuple(name for name in limits.wanted if name in enforced))

    def freezer(self, number: int) -> str | None:
        """Make a group that can be frozen; None where none can be made (F1)."""
        for each in sorted(self._found(), key=lambda one: -one.version):
            if each.version == 2 or "freezer" in each.controllers:
                folder = self._make(each, [], number)
                if folder is not None and _switch(folder) is not None:
                    return str(folder)
        return None

    def _make(self, where: Hierarchy, controllers: Sequence[str], number: int) -> Path | None:
        """Make a group in the nearest place that passes these controllers on and may be written."""
        for parent in _above(where):
            if not os.access(parent / "cgroup.procs", os.W_OK) or not os.access(parent, os.W_OK):
                continue
            if where.version == 2 and controllers and not _passes_on(parent, controllers):
                continue
            folder = parent / f"{self._tag}{number}"
            try:
                folder.mkdir(exist_ok=True)
            except OSError:
                continue
            return folder
        return None


def _above(where: Hierarchy) -> Iterable[Path]:
    """Return the own group and, in version 2, those above it: a group with processes passes nothing on."""
    yield where.own
    if where.version == 2:
        for each in where.own.parents:
            if each == where.top.parent:
                return
            yield each


def _passes_on(parent: Path, controllers: Sequence[str]) -> bool:
    """Tell whether children of a group have any of these controllers, turning them on if that is allowed."""
    with contextlib.suppress(OSError):
        if set(controllers) & set((parent / "cgroup.subtree_control").read_text().split()):
            return True
        there = set((parent / "cgroup.controllers").read_text().split())
        for name in there & set(controllers):
            (parent / "cgroup.subtree_control").write_text(f"+{name}")
        return bool(there & set(controllers))
    return False


def _write_limits(folder: Path, limits: Limits, controller: str, version: int) -> bool:
    """Set a limit; tell whether it holds."""
    for file in by_group(limits, controller, version):
        if file.extra and not (folder / file.name).exists():
            continue
        try:
            (folder / file.name).write_text(file.text)
        except OSError as error:
            log.info("%s cannot be set: %s", folder / file.name, error.strerror)
            return False
    return True


def _switch(folder: Path) -> tuple[Path, str, str] | None:
    """Return the file that freezes a group and what to write for on and off."""
    for name, on, off in (("cgroup.freeze", "1", "0"), ("freezer.state", "FROZEN", "THAWED")):
        if (folder / name).exists():
            return folder / name, on, off
    return None


def can_freeze(folders: Sequence[str]) -> str | None:
    """Return the one of these groups that can be frozen."""
    return next((each for each in folders if _switch(Path(each)) is not None), None)


def enter(folder: str, pid: int) -> bool:
    """Move a process into a group; tell whether that went well."""
    try:
        (Path(folder) / "cgroup.procs").write_text(str(pid))
    except OSError:
        return False
    return True


def members(folder: str) -> set[int]:
    """Return the processes of a group, as far as they can be seen."""
    try:
        return {int(each) for each in (Path(folder) / "cgroup.procs").read_text().split()}
    except OSError:
        return set()


def freeze(folder: str) -> bool:
    """Freeze a group (F2); tell whether that is possible."""
    switch = _switch(Path(folder))
    return switch is not None and _put(switch[0], switch[1])


def thaw(folders: Sequence[str]) -> None:
    """Let frozen groups go on."""
    for each in folders:
        switch = _switch(Path(each))
        if switch is not None:
            _put(switch[0], switch[2])


def _put(file: Path, text: str) -> bool:
    try:
        file.write_text(text)
    except OSError as error:
        log.info("%s cannot be written: %s", file, error.strerror)
        return False
    return True


def memory_bytes(folders: Sequence[str]) -> int | None:
    """Return what a run's group counts as its memory, None if none counts it."""
    return _first_number(folders, ("memory.current", "memory.usage_in_bytes"))


def oom_kills(folders: Sequence[str]) -> int:
    """Return how many processes were killed for the limit of memory."""
    return _of_keys(folders, ("memory.events", "memory.oom_control"), "oom_kill") or 0


def cpu_ns(folders: Sequence[str]) -> int | None:
    """Return the time on processors that a group of version 2 counts, None if there is none."""
    used_us = _of_keys(folders, ("cpu.stat",), "usage_usec")
    return None if used_us is None else used_us * 1000


def remove(folders: Sequence[str]) -> bool:
    """Remove groups; tell whether they are gone. One that is not empty yet stays."""
    gone = True
    for each in folders:
        try:
            os.rmdir(each)
        except FileNotFoundError:
            continue
        except OSError:
            gone = False
    return gone


def _first_number(folders: Sequence[str], names: Sequence[str]) -> int | None:
    for folder in folders:
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                return int((Path(folder) / name).read_text())
    return None


def _of_keys(folders: Sequence[str], names: Sequence[str], key: str) -> int | None:
    for folder in folders:
        for name in names:
            with contextlib.suppress(OSError, ValueError):
                for line in (Path(folder) / name).read_text().splitlines():
                    word, _, value = line.partition(" ")
                    if word == key:
                        return int(value)
    return None
