"""Programs under `makfs run`: how long `true` takes in a view, what idle runs cost the daemon.

Commands are measured as they are installed: with bytecode, which a run that is not measured writes first.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchlib.machine import PATIENCE_S, Failed, Makfs, process_cpu_s, resident_mb
from benchlib.report import Row, median

SECTION = "runs"
BARE = ("true",)
IDLE = ("sleep", "infinity")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one command took, the daemon's CPU for it included."""

    wall_ms: float
    cpu_ms: float


def measure(makfs: Makfs, rounds: int, runs: int) -> Iterator[Row]:
    """Start a program that does nothing, by itself and confined in a view, by turns; then let runs idle."""
    yield from _start(makfs, rounds)
    yield from _idle(makfs, runs)


def _start(makfs: Makfs, rounds: int) -> Iterator[Row]:
    confined = (*makfs.command, "-C", str(makfs.repo), "run", "a", "--", *BARE)
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    bare: list[Taken] = []
    inside: list[Taken] = []
    with makfs.mounted("a"):
        pid = makfs.pid
        _take(confined, makfs.repo, variables, pid)  # writes bytecode, makes the agent's home
        for _ in range(rounds):
            bare.append(_take(BARE, makfs.repo, variables, pid))
            inside.append(_take(confined, makfs.repo, variables, pid))
    over = [with_us.wall_ms - without.wall_ms for with_us, without in zip(inside, bare, strict=True)]
    for name, choose in (("median", median), ("least", min)):
        yield Row(
            SECTION, f"`true` in a view: {name}", "ms", choose([each.wall_ms for each in inside]),
            native=choose([each.wall_ms for each in bare]),
        )  # fmt: skip
    yield Row(SECTION, "what that is over the bare command: median", "ms", median(over), goal=150)
    yield Row(
        SECTION, "CPU of `true` in a view: median", "ms", median([each.cpu_ms for each in inside]),
        native=median([each.cpu_ms for each in bare]),
    )  # fmt: skip


def _take(command: Sequence[str], folder: Path, variables: Mapping[str, str], daemon: int) -> Taken:
    """Run a command in a folder to its end. Raises Failed."""
    before = process_cpu_s(daemon)
    began = time.perf_counter()
    child = subprocess.Popen(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise Failed(f"{' '.join(command)} ended with {child.returncode}")
    cpu = usage.ru_utime + usage.ru_stime + process_cpu_s(daemon) - before
    return Taken(wall * 1e3, cpu * 1e3)


def _idle(makfs: Makfs, runs: int) -> Iterator[Row]:
    agents = [f"idle{number}" for number in range(runs)]
    here = ("-C", str(makfs.repo))
    with makfs.mounted(*agents):
        pid = makfs.pid
        yield Row(SECTION, f"the daemon with {runs} views", "MB", resident_mb(pid))
        numbers: list[str] = []
        try:
            numbers.extend(_begin(makfs, agent) for agent in agents)  # should one fail, the others end
            keepers = _keepers(makfs, runs)
            yield Row(SECTION, f"the daemon with {runs} idle runs in them", "MB", resident_mb(pid), goal=100)
            yield Row(SECTION, "the keeper of an idle run: median", "MB", median(_shares_mb(keepers)))
        finally:
            if numbers:
                makfs.run(*here, "kill", *numbers)
                makfs.run(*here, "wait", *numbers)


def _begin(makfs: Makfs, agent: str) -> str:
    """Start an idle run in the background; return its number."""
    return makfs.run("-C", str(makfs.repo), "run", "-d", agent, "--", *IDLE).decode().strip()


def _keepers(makfs: Makfs, runs: int) -> list[int]:
    """Return who keeps the runs, as soon as their programs are all there. Raises Failed."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        there = json.loads(makfs.run("-C", str(makfs.repo), "ps", "--json"))
        keepers = [each["keeper"]["pid"] for each in there if each["leader"] is not None]
        if len(keepers) == runs:
            return keepers
    raise Failed(f"of {runs} idle runs {len(keepers)} have begun")


def _shares_mb(pids: Sequence[int]) -> list[float]:
    """Return the memory of processes, of what several share a part each (proc(5), smaps_rollup)."""
    shares: list[float] = []
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        shares += [int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:")]
    return shares
