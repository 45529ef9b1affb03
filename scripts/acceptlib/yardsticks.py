"""How each yardstick is called, and what of its answer counts.

Each runs in a repository and a mount of its own, and the store is checked afterwards.
"""

import gzip
import json
import shlex
import subprocess
import sys
from collections import Counter
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


LOCK_COMMANDS = (
    "--lock-cmd", 'p={path}; echo "write ${{p#{view}/}}::{func} wait=60" > {view}/.makfs/claim',
    "--unlock-cmd", 'p={path}; echo "${{p#{view}/}}::{func}" > {view}/.makfs/release',
)  # fmt: skip
"""Each writer claims the function before it edits, and releases it after."""


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
    seeds = (1,) if asked.quick else (1, 2, 3, 4, 5)
    runs = [("merge", seed, ()) for seed in seeds]
    runs += [("lease", seed, ()) for seed in seeds]
    runs += [("claims", seed, LOCK_COMMANDS) for seed in seeds]
    for policy, seed, more in runs:
        run = f"{policy}, seed {seed}"
        with place(*VIEWS, on_write="merge" if policy == "merge" else "lease") as here:
            views = [part for view in VIEWS for part in ("--view", str(here.view(view)))]
            command = [sys.executable, asked.tool("storm.py"), *views, "--backing", str(here.repo)]
            command += ["--edits", edits, "--seed", str(seed), *more]
            said = answer(command, f"storm, {run}", here.work)
            said["LOST"] = said["LOST_own"] + said["LOST_shared"]
            yield from zero("storm", run, said, STORM_ZERO)
            if more:
                refused = float(sum(said["refused"].values()))
                yield Figure("storm", run, "writes of holders refused", refused, 0, Bound.IS)
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
RIGHT, WRONG = ("exact", "ast_equal", "reordered"), ("wrong_silent", "unparsable")
RANDOM = "random"  # the stratum drawn at random; the others were added for being hard


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of cases: how many there were of each verdict."""

    verdicts: Counter[str]

    def share(self, *names: str) -> float:
        """Return the part of the cases that got one of these verdicts."""
        return sum(self.verdicts[name] for name in names) / max(1, self.verdicts.total())


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the parts are held against: the least right, the most refused, the most wrong; None: nothing."""

    right: float | None = None
    refused: float | None = None
    wrong: float | None = None


def replay(asked: Asked) -> Iterator[Figure]:
    """Real concurrent edits, through two views; beside them git, which merges whole files by lines."""
    for name in ("python", "other"):
        data = _data(asked, name)
        git = _replayed(
            asked, data, ["--merge-cmd", "git merge-file -p %A %B %T > %O"], f"{name}, git merge-file"
        )
        yield from _rates(git, f"{name}: git merge-file, for comparison", {})
        own = {stratum: Bounds(right=judged.share(*RIGHT)) for stratum, judged in git.items()}
        if name == "python" and not asked.quick:
            own[RANDOM] = Bounds(0.865, 0.12, 0.013)
        for write in WRITES if name == "python" and not asked.quick else WRITES[:1]:
            run = f"{name}: {write}"
            with place("a", "b", "s") as here:
                views = ["--mount", str(here.repo), str(here.view("a")), str(here.view("b"))]
                views += ["--setup-view", str(here.view("s")), "--write", write, "--order", "both"]
                said = _replayed(asked, data, views, run)
                counts = {each: float(said["all"].verdicts[each]) for each in REPLAY_ZERO}
                yield from zero("replay", run, counts, REPLAY_ZERO)
                yield from _rates(said, run, own)
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


def _replayed(asked: Asked, data: Path, options: Sequence[str], what: str) -> dict[str, Judged]:
    """Replay the cases; return what became of each stratum's, and of all. Raises Silent."""
    report = asked.scratch / "cases.jsonl"
    report.unlink(missing_ok=True)
    command = [sys.executable, asked.tool("replay.py"), str(data), *options]
    command += ["--cases", str(report), "--json", str(asked.scratch / "replay.json")]
    printed, complained = call(command, f"replay, {what}", asked.scratch)
    if not report.exists() or not report.stat().st_size:
        raise Silent(f"replay, {what}: {(complained or printed).strip()[-500:]}")
    with gzip.open(data, "rt") as cases:
        strata = [str(json.loads(line)["stratum"]) for line in cases]
    found = {"all": Judged(Counter()), RANDOM: Judged(Counter())}
    for line in report.read_text().splitlines():
        case = json.loads(line)
        found["all"].verdicts[case["v"]] += 1
        if strata[case["i"]] == RANDOM:
            found[RANDOM].verdicts[case["v"]] += 1
    return found


def _rates(said: dict[str, Judged], run: str, bounds: dict[str, Bounds]) -> Iterator[Figure]:
    """Yield what became of the cases drawn at random, and of all."""
    for stratum, words in ((RANDOM, "drawn at random"), ("all", "all")):
        judged, bound = said[stratum], bounds.get(stratum, Bounds())
        yield Figure("replay", run, f"cases, {words}", judged.verdicts.total())
        for name, value, limit, kind in (
            ("right", judged.share(*RIGHT), bound.right, Bound.LEAST),
            ("refused", judged.share("refused"), bound.refused, Bound.MOST),
            ("wrong without a word", judged.share(*WRONG), bound.wrong, Bound.MOST),
        ):
            held = Bound.NONE if limit is None else kind
            yield Figure("replay", run, f"{name}, {words}", value, limit or 0.0, held, part=True)


YARDSTICKS: dict[str, Callable[[Asked], Iterator[Figure]]] = {
    "storm": storm,
    "fsdiff": fsdiff,
    "crashtest": crashtest,
    "workloads": workloads,
    "replay": replay,
}
