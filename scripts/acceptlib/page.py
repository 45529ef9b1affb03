"""docs/results.md: a section for each yardstick, each as it was last measured. Pure.

A section that is not measured anew stays as it was, with its own date and commit.
"""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from acceptlib.verdict import Figure, table, verdict

HEAD = """\
# Results

As measured, by `scripts/acceptance` and `scripts/bench`; failures too. Nothing here is typed by hand: each
section says when, on which commit and on what machine. A bound is what makfs is meant to reach; figures
without one are for comparison.

"""
SPEED, POLLED = "speed", "speed, idle processors polled"
ABOUT = {
    "storm": (
        "Eight writers edit the same three Python files at once, each in its own view, in nine ways of "
        "saving. An edit is accepted when its last system call succeeds; what is accepted must be in the "
        "file at the end. `merge` and `lease` are what a write does (on_write); with claims, each writer "
        "claims the function first and releases it after."
    ),
    "fsdiff": (
        "Random file operations run on the mount and on the native file system; results, errors and trees "
        "must be equal, also in a second view, in the repository below, and after remounts."
    ),
    "crashtest": (
        "The daemon is killed with SIGKILL at random moments during writes; what was acknowledged must be "
        "there after the next mount, in the view and in the repository."
    ),
    "workloads": (
        "Real tools (git, editors, compilers, package managers, databases) run in a view and in a native "
        "directory; both must end the same, and the repository below must equal the view."
    ),
    "replay": (
        "Real merges from public projects, replayed as two agents who edit one file at once, in three "
        "ways of saving and both orders. Right: what people made of it then. Wrong without a word: "
        "accepted, and something else. For comparison, git's own line merge on the same cases. Most "
        "cases were drawn at random; the others were added because they are hard."
    ),
    "crew": (
        "Agents at work under `makfs run`, all at once: each edits its own function in a file of its own "
        "and in one that all share, with sed -i, an overwrite or cp, and appends to a list, and builds and "
        "tests after each edit; tests take turns. Then the same while programs, the first process of their "
        "confinement, `makfs run` itself and makfsd are killed with SIGKILL at random. Who is killed is "
        "begun again, half of them by makfs (`--restart`), and must finish; what it held must be free in 2 s."
    ),
    SPEED: (
        "CPU time of the client and the daemon together; every factor is to the native directory in the "
        "same run. On one processor: client and daemon share one, so that no request and no answer has to "
        "wake another, which is dear on a virtual machine. Times are of this machine."
    ),
    POLLED: (
        "Reading once more, in a run of its own, after what `makfs doctor` advises: idle processors are "
        "polled for 0.2 ms, as by the kernel's default, before they are given to the host."
    ),
}


@dataclass(frozen=True, slots=True)
class Circumstances:
    """When and where something was measured."""

    date: str
    commit: str
    machine: str
    quick: bool
    seconds: float

    def sentence(self) -> str:
        """Return the line that opens a section."""
        size = "A quick run, a part of the full one" if self.quick else "The full run"
        return f"{self.date}, commit {self.commit}, {self.machine}. {size}, {self.seconds:.0f} s."


def sections_of(page: str) -> dict[str, str]:
    """Return the sections of an existing page by name."""
    parts = re.split(r"^## (\w+)\n", page, flags=re.MULTILINE)
    return {name: body.strip() + "\n" for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def section(figures: Sequence[Figure], when: Circumstances) -> str:
    """Return the section of one yardstick."""
    name = figures[0].yardstick
    lines = [
        textwrap.fill(ABOUT[name], 108),
        "",
        when.sentence(),
        "",
        f"    {verdict(figures)}",
        "",
        *table(figures),
    ]
    return "\n".join(lines) + "\n"


def speed_section(bench: Mapping[str, Any], name: str = SPEED) -> str:
    """Return the section of what `scripts/bench --json` wrote."""
    machine = bench["machine"]
    where = f"Linux {machine['kernel']}, Python {machine['python']}, {machine['cpus']} processors"
    if (polled := machine.get("guest_halt_poll_ns")) is not None:
        where += f", guest_halt_poll_ns {polled}"
    lines = [textwrap.fill(ABOUT[name], 108), "", f"Commit {bench['commit']}, {where}.", ""]
    if bench.get("failure"):
        lines += [f"    MISSED: {bench['failure']}", ""]
    lines += [
        "| | unit | native | bindfs | makfs | bindfs / native | makfs / native | bound | |",
        "|---|---|" + "---:|" * 6 + "---|",
    ]
    for row in bench["results"]:
        times = "x" if row["goal_is_ratio"] else ""
        goal = "" if row["goal"] is None else f"<= {row['goal']:g}{times}"
        mark = {None: "", True: "ok", False: "**missed**"}[row["reached"]]
        cells = (
            f"{row['section']}: {row['what']}", row["unit"], _number(row["native"]), _number(row["bindfs"]),
            _number(row["makfs"]), _number(row["bindfs_ratio"], "x"), _number(row["ratio"], "x"), goal, mark,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _number(value: float | None, unit: str = "") -> str:
    return "" if value is None else f"{value:.3g}{unit}" if value < 1000 else f"{value:.0f}{unit}"


def page(sections: Mapping[str, str]) -> str:
    """Return the page, its sections in the order of `ABOUT`."""
    return HEAD + "\n".join(f"## {name}\n\n{sections[name]}" for name in ABOUT if name in sections)
