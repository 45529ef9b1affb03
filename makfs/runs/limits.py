"""Limits of memory, processors and processes: as control groups of either version, or as rlimits.

M1  What `by_group` and `by_rlimit` return holds no looser limit than the one that was asked for.
M2  What a way cannot enforce, its `unenforced` names; it is never left out without a word.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from makfs.errors import BadName

PERIOD_US = 100_000
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
LEAST_BYTES = 4 << 20  # bubblewrap and a shell start in it


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may take; 0: as much as there is."""

    memory_bytes: int = 0
    cpus: float = 0.0
    pids: int = 0

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the controllers that they need, as the kernel calls them."""
        asked = (("memory", self.memory_bytes), ("cpu", self.cpus), ("pids", self.pids))
        return tuple(name for name, value in asked if value)


@dataclass(frozen=True, slots=True)
class File:
    """A control group's file and what to write into it. A file that is `extra` may be absent."""

    name: str
    text: str
    extra: bool = False


def by_group(limits: Limits, controller: str, version: int) -> tuple[File, ...]:
    """Return what to write into a control group for one controller (Linux cgroup-v1, cgroup-v2.rst)."""
    match controller, version:
        case "memory", 2:
            return (File("memory.max", str(limits.memory_bytes)), File("memory.swap.max", "0", extra=True))
        case "memory", _:
            text = str(limits.memory_bytes)
            return (
                File("memory.limit_in_bytes", text),
                File("memory.memsw.limit_in_bytes", text, extra=True),  # after the other: not below it
            )
        case "cpu", 2:
            return (File("cpu.max", f"{_quota_us(limits.cpus)} {PERIOD_US}"),)
        case "cpu", _:
            return (
                File("cpu.cfs_period_us", str(PERIOD_US)),
                File("cpu.cfs_quota_us", str(_quota_us(limits.cpus))),
            )
        case "pids", _:
            return (File("pids.max", str(limits.pids)),)
        case _:
            return ()


def by_rlimit(limits: Limits, *, is_root: bool) -> tuple[str, ...]:
    """Return the command that sets what rlimits can and runs the words after it: prlimit(1), or nothing."""
    words: list[str] = []
    if limits.memory_bytes:
        words.append(f"--as={limits.memory_bytes}")
    if limits.pids and not is_root:
        words.append(f"--nproc={limits.pids}")
    return ("/usr/bin/prlimit", *words, "--") if words else ()


def unenforced(limits: Limits, enforced: Sequence[str], *, is_root: bool) -> tuple[str, ...]:
    """Return, a sentence each, what of the limits does not hold as asked; `enforced`: by control groups."""
    said: list[str] = []
    for name in limits.wanted:
        if name in enforced:
            continue
        if name == "memory":
            said.append(
                "--memory holds for the address space of each process, not for the run as a whole "
                "(RLIMIT_AS): no control group for memory can be made here."
            )
        elif name == "pids" and not is_root:
            said.append(
                "--pids is counted for the user (RLIMIT_NPROC): no control group for pids can be made here."
            )
        else:
            said.append(f"--{name}{'s' * (name == 'cpu')} is NOT enforced: no control group for {name} "
                        "can be made here.")  # fmt: skip
    return tuple(said)


def parse_size(text: str) -> int:
    """Return the bytes of `512m`, `2g`, `1048576`. Raises BadName."""
    number, unit = text.rstrip("bkmgtBKMGT"), ""
    unit = text[len(number) :].lower()
    try:
        amount = float(number) if unit in _UNITS or unit in ("kb", "mb", "gb", "tb") else -1.0
    except ValueError:
        amount = -1.0
    if not 0 < amount < float("inf"):
        raise BadName(f"{text!a} is no size; say for example 512m or 2g.")
    size_bytes = int(amount * _UNITS[unit if unit in _UNITS else unit[0]])
    if size_bytes < LEAST_BYTES:
        raise BadName(f"{text!a} is too little for any program; the least is 4m.")
    return size_bytes


def _quota_us(cpus: float) -> int:
    return max(1000, int(cpus * PERIOD_US))  # the kernel takes no less than 1 ms
