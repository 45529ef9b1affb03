"""What a crew leaves behind: what its agents noted, held against the files, the journal and the records."""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise

from acceptlib.crew import KINDS, SOON_S, Crew, Record, Size, furnish, read
from acceptlib.place import place
from acceptlib.verdict import Bound, Figure
from acceptlib.yardsticks import Asked, checked

LIST = "list.txt"
TAKEN_IN = "makfs"  # what a killed tool left beside a file is committed 1 s later, perhaps after the run


def crew(asked: Asked) -> Iterator[Figure]:
    """Agents in peace, then agents who are killed."""
    if asked.quick:
        sizes = [Size(3, 6), Size(3, 8, strikes=4)]
    else:
        sizes = [Size(), *(Size(strikes=24, seed=seed) for seed in (1, 2, 3))]
    for size in sizes:
        yield from at_work(size)


def at_work(size: Size) -> Iterator[Figure]:
    """Let one crew work; judge what is left."""
    print(f"acceptance: crew, {size.title}", file=sys.stderr, flush=True)
    with place(mounted=False, on_write="lease") as here, Crew(here, size) as those:
        furnish(here, size)
        here.mount(*size.names)
        began = time.monotonic()
        those.work()
        seconds = time.monotonic() - began
        yield from Judging(those).figures()
        yield Figure("crew", size.title, "time", round(seconds, 1), unit="s")
        yield checked("crew", size.title, here)


class Judging:
    """What a crew has left behind, while it is still mounted."""

    def __init__(self, those: Crew) -> None:
        self._those = those
        self._size = those.size
        self._log: list[Record] = json.loads(those.makfs("log", "-n", "1000000", "--json"))
        self._records: list[Record] = sorted(those.ask("ps", "-a"), key=lambda row: row["number"])

    def figures(self) -> Iterator[Figure]:
        """Yield all that is held against a bound, then what is told for comparison."""
        size, those = self._size, self._those
        unfinished = [name for name in size.names if those.runs[name].poll() != 0]
        for name in unfinished:
            tell(f"{name} did not finish: {read(those.output(name))[-800:]}")
        held = those.locks()
        zeros: dict[str, Sequence[object]] = {
            "agents that did not finish": unfinished,
            "edits lost or doubled": list(self._lost()),
            "views unlike the repository": list(self._unlike()),
            "builds and tests that failed": list(self._failed()),
            "tests that met": list(self._met()),
            "records that are not complete": list(self._incomplete()),
            "commits in no record": list(self._unrecorded()),
            "held or waited for at the end": [*held["grants"], *held["waiters"]],
            "processes left": those.alive(),
        }
        for name, found in zeros.items():
            for each in found[:5]:
                tell(f"{name}: {each}")
            yield Figure("crew", size.title, name, len(found), 0, Bound.IS)
        accepted = sum(len(those.accepted(name)) for name in size.names)
        yield Figure("crew", size.title, "writes accepted", accepted)
        yield Figure("crew", size.title, "tests", len(self._turns()), self._least_tests(), Bound.LEAST)
        yield Figure("crew", size.title, "commits", len(self._log))
        taken_in = sum(commit["program"] == TAKEN_IN for commit in self._log)
        yield Figure("crew", size.title, "of these, files that killed tools left behind", taken_in)
        yield Figure("crew", size.title, "writes refused, and done again", self._refused())
        yield Figure("crew", size.title, "runs", len(self._records))
        yield from self._blows()

    def _refused(self) -> int:
        return sum(record["refusals"] for record in self._records)

    def _least_tests(self) -> int:
        return self._size.agents * self._size.edits if not self._size.strikes else 1

    def _blows(self) -> Iterator[Figure]:
        those, run = self._those, self._size.title
        if not self._size.strikes:
            return
        yield Figure("crew", run, "kill -9", len(those.blows), self._size.strikes, Bound.IS)
        for kind in KINDS:
            mine = [blow for blow in those.blows if blow.kind == kind]
            yield Figure("crew", run, f"kill -9 of {kind}", len(mine))
            freed = [blow.freed_s for blow in mine if blow.freed_s is not None]
            if freed:
                name = f"longest until what the killed held was free, {kind}"
                yield Figure("crew", run, name, round(max(freed), 3), SOON_S, Bound.MOST, unit="s")
        if those.recoveries:
            longest = round(max(those.recoveries), 3)
            yield Figure("crew", run, "longest until mounted again", longest, unit="s")

    def _lost(self) -> Iterator[str]:
        """Yield what is not there once and in order, though it was accepted."""
        wanted = list(range(1, self._size.edits + 1))
        for name in self._size.names:
            noted = Counter(self._those.accepted(name))
            for file in (f"{name}.py", "shared.py", LIST):
                line = rf"{name} (\d+)" if file == LIST else rf'    done.append\("{name} (\d+)"\)'
                text = (self._those.here.repo / file).read_text()
                found = [int(number) for number in re.findall(f"^{line}$", text, re.MULTILINE)]
                if found != wanted:
                    yield f"{file} of {name}: {found}"
                if any(not noted[file, number] for number in wanted):
                    yield f"{name} did not note all edits of {file}"

    def _unlike(self) -> Iterator[str]:
        here = self._those.here
        for path in sorted(here.repo.glob("*.*")):
            for name in self._size.names if path.is_file() else ():
                if (here.view(name) / path.name).read_bytes() != path.read_bytes():
                    yield f"{path.name} of {name}"

    def _failed(self) -> Iterator[str]:
        for path in sorted((self._those.here.work / "out").iterdir()):
            for line in path.read_text(errors="replace").splitlines():
                if line.startswith(("builds: ", "tests: ")):
                    yield f"{path.name}: {line}"

    def _turns(self) -> list[tuple[int, int]]:
        texts = [read(self._those.home(name) / "turns") for name in self._size.names]
        lines = [line.split() for text in texts for line in text.splitlines()]
        return sorted((int(began), int(ended)) for began, ended in lines)

    def _met(self) -> Iterator[str]:
        turns = self._turns()
        for (_, ended), (began, _) in pairwise(turns):
            if began < ended:
                yield f"one began {(ended - began) / 1e6} ms before another ended"

    def _incomplete(self) -> Iterator[str]:
        """Yield what records leave out, or say otherwise than the journal and the files do."""
        numbers = [record["number"] for record in self._records]
        if numbers != list(range(1, len(numbers) + 1)):
            yield f"runs {numbers}"
        for name in self._size.names:
            if not any(record["agent"] == name for record in self._records):
                yield f"{name} has no run"
        lost = {record["number"] for record in self._records if record["status"] == "lost"}
        if lost != {blow.run for blow in self._those.blows if blow.kind == "keeper"}:
            yield f"lost are {sorted(lost)}"
        for record in self._records:
            yield from (f"run {record['number']}: {what}" for what in self._wrong(record))

    def _wrong(self, record: Record) -> Iterator[str]:
        folder = self._those.here.repo / ".makfs" / "runs" / str(record["number"])
        kept = json.loads(read(folder / "record.json") or "{}")
        mine = [each for each in self._log if self._is_of(each, record)]
        if record["status"] not in ("ended", "lost") or kept.get("status") != record["status"]:
            yield f"is {record['status']}, its file says {kept.get('status')}"
        if (record["status"] == "ended") != (record["exit_code"] is not None):
            yield f"is {record['status']} with exit code {record['exit_code']}"
        if not self._size.strikes and record["exit_code"] != 0:
            yield f"ended with {record['exit_code']}"
        if not record["begin_ns"] < record["end_ns"]:
            yield "has no time"
        if record["commits"] != len(mine) or record["nodes"] != sum(each["nodes_changed"] for each in mine):
            yield f"tells {record['commits']} commits, the journal {len(mine)}"
        if mine and (record["first_seq"], record["last_seq"]) != (mine[-1]["seq"], mine[0]["seq"]):
            yield f"tells commits {record['first_seq']} to {record['last_seq']}"
        events = [json.loads(line)["event"] for line in read(folder / "events.jsonl").splitlines()]
        if events[:1] != ["began"] or events[-1:] != [record["status"]]:
            yield f"has the events {events}"
        if record["status"] == "ended" and record["stdout_bytes"] != len(read(folder / "stdout")):
            yield f"tells {record['stdout_bytes']} bytes of output"

    @staticmethod
    def _is_of(commit: Record, record: Record) -> bool:
        is_then = record["begin_ns"] <= commit["time_ns"] <= record["end_ns"]
        return bool(commit["agent"] == record["agent"] and is_then)

    def _unrecorded(self) -> Iterator[str]:
        for commit in self._log:
            if commit["program"] != TAKEN_IN and not any(
                self._is_of(commit, record) for record in self._records
            ):
                yield f"commit {commit['seq']} of {commit['agent']}"


def tell(sentence: str) -> None:
    """Say what was found, for whoever mends it."""
    print(f"crew: {sentence}", file=sys.stderr, flush=True)
