"""How each yardstick is called, and what of its answer counts.

Each runs in a repository and a mount of its own, and the store is checked afterwards.
"""

import gzip
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acceptlib.place import Place, place, remount_command
from acceptlib.verdict import Bound, Figure, zero

VIEWS = tuple(f"agent{number}" for number in range(1, 9))
WRITES = ("trunc", "rename", "inplace")
_MOST_S = 4 * 3600.0  # a yardstick that hangs is ended


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line asks for."""

    tools: Path
    data: Path
    quick: bool
    scratch: Path  # for the yardsticks' own output

    def tool(self, name: str) -> str:
        """Return the path of a yardstick."""
        return str(self.tools / name)


class Silent(Exception):
    """A yardstick ended without its figures."""


def call(command: Sequence[str], what: str, cwd: Path) -> tuple[str, str]:
    """Run a yardstick; return what it printed. It may fail: its figures tell."""
    print(f"acceptance: {what}", file=sys.stderr, flush=True)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", cwd=cwd, timeout=_MOST_S)
    return done.stdout, done.stderr


def answer(command: Sequence[str], what: str, cwd: Path) -> dict[str, Any]:
    """Run a yardstick that prints one line of JSON. Raises Silent."""
    printed, complained = call([*command, "--json"], what, cwd)
    lines = printed.strip().splitlines()
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise Silent(f"{what}: {(complained or printed).strip()[-500:]}") from None
    return found


def checked(yardstick: str, run: str, here: Place) -> Figure:
    """Unmount and check the store."""
    here.umount()
    found = here.fsck()
    if found:
        print(found, file=sys.stderr)
    return Figure(yardstick, run, "findings of fsck", float(bool(found)), 0, Bound.IS)


# ---- storm


STORM_ZERO = (
    "LOST", "DUP", "PHANTOM", "ORDER", "DIVERGED", "UNPARSABLE", "TORN_READS", "NOBODYS_FUNCTION_GONE",
    "writers_hung",
)  # fmt: skip


def storm(asked: Asked) -> Iterator[Figure]:
    """Eight views, all ways of writing; one run in a plain directory for comparison."""
    edits = "12" if asked.quick else "40"
    with place(mounted=False) as here:
        views = ["--view", str(here.repo), "--writers", str(len(VIEWS))]
        said = answer(
            [sys.executable, asked.tool("storm.py"), *views, "--edits", edits], "storm, plain", here.work
        )
        lost = said["LOST_own"] + said["LOST_shared"]
        run = "plain directory, for comparison"
        yield Figure("storm", run, "accepted edits lost", lost / max(1, said["accepted"]), part=True)
    for seed in (1,) if asked.quick else (1, 2, 3, 4, 5):
        with place(*VIEWS) as here:
            views = [part for view in VIEWS for part in ("--view", str(here.view(view)))]
            command = [sys.executable, asked.tool("storm.py"), *views, "--backing", str(here.repo)]
            command += ["--edits", edits, "--seed", str(seed)]
            said = answer(command, f"storm, seed {seed}", here.work)
            said["LOST"] = said["LOST_own"] + said["LOST_shared"]
            run = f"seed {seed}"
            yield from zero("storm", run, said, STORM_ZERO)
            share = said["accepted"] / said["edits_asked"]
            yield Figure("storm", run, "accepted", share, 0.95, Bound.LEAST, part=True)
            yield Figure(
                "storm",
                run,
                "one edit, median, thinking included",
                said["latency_ms"]["all"]["p50"],
                unit="ms",
            )
            yield checked("storm", run, here)


# ---- fsdiff


def fsdiff(asked: Asked) -> Iterator[Figure]:
    """Random operations, the same on the native file system, in two views and in the repository."""
    seeds, ops = (3, 200) if asked.quick else (100, 500)
    with place("one", "two") as here:
        native, top = here.work / "native", "d"
        native.mkdir()
        (here.view("one") / top).mkdir()
        command = [
            sys.executable, asked.tool("fsdiff.py"), "--ref", str(native),
            "--sut", str(here.view("one") / top), "--also", str(here.view("two") / top),
            "--also", str(here.repo / top), "--seeds", str(seeds),
            "--ops", str(ops), "--content", "mixed", "--keep-going", "--may-refuse", "link=EPERM",
            "--may-refuse", "savedance=EPERM", "--remount-cmd", remount_command(here, ("one", "two")),
        ]  # fmt: skip
        said = answer(command, f"fsdiff, {seeds} seeds of {ops} operations", here.work)
        run = f"{len(said['seeds'])} seeds of {ops} operations"
        refused: dict[str, int] = {}
        for each in said["seeds"]:
            for name, count in each["stats"].get("refused_by", {}).items():
                refused[name] = refused.get(name, 0) + count
            if each["divergence"]:
                print(f"seed {each['seed']}: {json.dumps(each['divergence'])[:600]}", file=sys.stderr)
        unequal = sum(bool(each["divergence"]) for each in said["seeds"])
        yield Figure("fsdiff", run, "seeds that differ", unequal, 0, Bound.IS)
        yield Figure("fsdiff", run, "seeds run", len(said["seeds"]), seeds, Bound.LEAST)
        yield Figure(
            "fsdiff", run, "remounts", sum(each["stats"].get("remounts", 0) for each in said["seeds"])
        )
        for name, count in sorted(refused.items()):
            yield Figure("fsdiff", run, f"refused as documented: {name}", count)
        yield checked("fsdiff", run, here)


# ---- crashtest


CRASH_ZERO = ("LOST", "TORN", "TORN-TRUNC", "BACKING", "DIRTY", "STUCK")


def crashtest(asked: Asked) -> Iterator[Figure]:
    """Kill the daemon in the middle of writes, again and again."""
    rounds = 4 if asked.quick else 50
    with place(mounted=False) as here:
        start = shlex.join([*here.command(["a"]), "--foreground"])
        command = [
            sys.executable, asked.tool("crashtest.py"), "--view", str(here.view("a")),
            "--backing", str(here.repo),
            "--start", f"exec {start}", "--umount", shlex.join(["fusermount3", "-uz", str(here.mountpoint)]),
            "--rounds", str(rounds), "--log", str(here.work / "daemon.log"),
        ]  # fmt: skip
        said = answer(command, f"crashtest, {rounds} rounds", here.work)
        for each in said["examples"]:
            print(json.dumps(each), file=sys.stderr)
        run = f"{said['rounds']} rounds of kill -9"
        yield from zero("crashtest", run, said, CRASH_ZERO)
        yield Figure("crashtest", run, "rounds", said["rounds"], rounds, Bound.LEAST)
        longest = max(said["recover_s"], default=None)
        yield Figure("crashtest", run, "longest recovery", longest, 3.0, Bound.MOST, unit="s")
        yield Figure("crashtest", run, "writes acknowledged", said["acked"])
        yield checked("crashtest", run, here)


# ---- workloads

QUICK_WORK = ("edit_sed_perl", "git_work", "locks", "many_files", "deep_unicode", "search")


def workloads(asked: Asked) -> Iterator[Figure]:
    """Real tools, as on a native directory."""
    with place("a") as here:
        report = here.work / "workloads.json"
        command = ["bash", asked.tool("workloads.sh"), str(here.view("a")), "--backing", str(here.repo)]
        command += ["--json", str(report)]
        if asked.quick:
            command += ["--only", ",".join(QUICK_WORK)]
        printed, complained = call(command, "workloads", here.work)
        if not report.exists():
            raise Silent(f"workloads: {(complained or printed).strip()[-500:]}")
        said = _workloads_said(printed)
        run = "some" if asked.quick else "all"
        for name, why in said.failed:
            print(f"workload {name}: {why}", file=sys.stderr)
        yield Figure("workloads", run, "failed", len(said.failed), 0, Bound.IS)
        yield Figure("workloads", run, "passed", said.passed, 1, Bound.LEAST)
        yield Figure("workloads", run, "skipped, tool missing", said.skipped)
        yield checked("workloads", run, here)


@dataclass(frozen=True, slots=True)
class Worked:
    """What workloads.sh printed."""

    passed: int
    failed: tuple[tuple[str, str], ...]
    skipped: int


def _workloads_said(printed: str) -> Worked:
    lines = [line.split(None, 2) for line in printed.splitlines()]
    failed = tuple((line[1], line[-1]) for line in lines if line and line[0] == "FAIL")
    passed = sum(bool(line) and line[0] == "PASS" for line in lines)
    return Worked(passed, failed, sum(bool(line) and line[0] == "SKIP" for line in lines))


# ---- replay


REPLAY_ZERO = ("lost_edit", "torn", "view_split", "stale_base", "unparsable", "error")


def replay(asked: Asked) -> Iterator[Figure]:
    """Real concurrent edits, through two views; beside them git, which merges whole files by lines."""
    for name, source in (("python", True), ("other", False)):
        data = _data(asked, name)
        git = _replayed(
            asked, data, ["--merge-cmd", "git merge-file -p %A %B %T > %O"], f"{name}, git merge-file"
        )
        git_right = float(git["right_rate"])
        yield from _rates(git, f"{name}: git merge-file, for comparison", None)
        for write in WRITES if source and not asked.quick else WRITES[:1]:
            run = f"{name}: {write}"
            with place("a", "b", "s") as here:
                views = ["--mount", str(here.repo), str(here.view("a")), str(here.view("b"))]
                views += ["--setup-view", str(here.view("s")), "--write", write, "--order", "both"]
                said = _replayed(asked, data, views, run)
                counts = {each: float(said["verdicts"].get(each, 0)) for each in REPLAY_ZERO}
                yield from zero("replay", run, counts, REPLAY_ZERO)
                yield from _rates(said, run, None if source and not asked.quick else git_right)
                yield checked("replay", run, here)


def _data(asked: Asked, name: str) -> Path:
    """Return the cases: all of them, or some from everywhere in the file."""
    whole = asked.data / f"{name}.jsonl.gz"
    if not asked.quick:
        return whole
    some = asked.scratch / whole.name
    with gzip.open(whole, "rb") as cases, gzip.open(some, "wb") as kept:
        lines = cases.readlines()
        kept.writelines(lines[:: max(1, len(lines) // 60)])
    return some


def _replayed(asked: Asked, data: Path, options: Sequence[str], what: str) -> dict[str, Any]:
    report = asked.scratch / "replay.json"
    report.unlink(missing_ok=True)
    command = [sys.executable, asked.tool("replay.py"), str(data), *options, "--json", str(report)]
    printed, complained = call(command, f"replay, {what}", asked.scratch)
    if not report.exists():
        raise Silent(f"replay, {what}: {(complained or printed).strip()[-500:]}")
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def _rates(said: dict[str, Any], run: str, no_worse_than: float | None) -> Iterator[Figure]:
    """Yield what became of the cases. Python has bounds of its own; other languages and samples have git."""
    bounded = "comparison" not in run
    right, refused, wrong = (float(said[f"{each}_rate"]) for each in ("right", "refused", "wrong_silent"))
    kinds = (Bound.LEAST, Bound.MOST, Bound.MOST) if bounded and no_worse_than is None else (Bound.NONE,) * 3
    yield Figure("replay", run, "cases", said["n"])
    if no_worse_than is not None:
        yield Figure("replay", run, "right", right, no_worse_than, Bound.LEAST, part=True)
    else:
        yield Figure("replay", run, "right", right, 0.865, kinds[0], part=True)
    yield Figure("replay", run, "refused", refused, 0.12, kinds[1], part=True)
    yield Figure("replay", run, "wrong without a word", wrong, 0.013, kinds[2], part=True)


YARDSTICKS: dict[str, Callable[[Asked], Iterator[Figure]]] = {
    "storm": storm,
    "fsdiff": fsdiff,
    "crashtest": crashtest,
    "workloads": workloads,
    "replay": replay,
}
