"""A crew: agents at work under `makfs run`, in peace, and while they and makfsd are killed.

Each edits, builds and tests (acceptlib.scripted), and takes turns at testing. A strike falls when so many
edits were accepted as a seed says, and not at a time. Nobody makes its last edit before the last strike.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from acceptlib.place import MAKFS, PATIENCE_S, Place
from acceptlib.yardsticks import Silent

PYTHON = os.path.realpath(sys.executable)
SOON_S = 2.0  # what a killed agent held is free by then
LOOK_S = 0.02
STARTS = 60  # of one agent, at most
NAMES = ("ada", "ben", "cleo", "dan", "eva", "finn", "gus", "hana")
KINDS = ("program", "leader", "keeper", "makfsd")
CONFIG = """\
[write]
lease_s = 60
claim_s = 600
[run]
paths = [{python}]
[resource.test]
commands = ["runtests"]
[path."list.txt"]
on_write = "merge"
"""
"""Leases and claims are long: what is free soon was freed."""

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done."""

    agents: int = 8
    edits: int = 50  # of each
    strikes: int = 0
    seed: int = 1
    patience_s: float = 1800.0

    @property
    def names(self) -> tuple[str, ...]:
        return NAMES[: self.agents]

    @property
    def title(self) -> str:
        peace = f"{self.agents} agents, {self.edits} edits each"
        return f"{peace}, {self.strikes} kill -9, seed {self.seed}" if self.strikes else peace


def furnish(here: Place, size: Size) -> None:
    """Lay out what the agents work on."""
    tools = here.repo / "tools"
    tools.mkdir()
    script = Path(__file__).with_name("scripted.py").read_text()
    (tools / "agent.py").write_text(script)
    (tools / "runtests").write_text(f"#!{PYTHON} -IS\n{script}")
    (tools / "runtests").chmod(0o755)
    functions = [f"def {name}(done):\n    return done  # {name}\n" for name in size.names]
    for name, text in zip(size.names, functions, strict=True):
        (here.repo / f"{name}.py").write_text(text)
    (here.repo / "shared.py").write_text("\n\n".join(functions))
    (here.repo / "list.txt").touch()
    (here.repo / ".gitignore").write_text("__pycache__/\n")
    (here.work / "out").mkdir()
    here.config.write_text(CONFIG.format(python=json.dumps(sys.base_prefix)))


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# ---- the crew


@dataclass(slots=True)
class Blow:
    """One kill -9 and what came of it."""

    kind: str
    run: int
    freed_s: float | None = None  # None: it was to be started again, and held on rightly


@dataclass
class Crew:
    """Agents, their processes, what befell them."""

    here: Place
    size: Size
    port: int = field(default_factory=free_port)
    runs: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    starts: Counter[str] = field(default_factory=Counter)
    blows: list[Blow] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.runs.values():
            process.kill()
            process.wait()

    @property
    def marker(self) -> str:
        """Return what all processes of the crew have among their variables."""
        return f"CREW={self.here.work.name}"

    def makfs(self, *words: str) -> str:
        """Run a makfs command on the repository. Raises CalledProcessError."""
        command = [str(MAKFS), "-C", str(self.here.repo), *words]
        return subprocess.run(
            command, check=True, stdout=subprocess.PIPE, timeout=PATIENCE_S, text=True
        ).stdout

    def ask(self, *words: str) -> Any:
        """Run a makfs command that answers with JSON."""
        return json.loads(self.makfs(*words, "--json"))

    def locks(self) -> dict[str, list[dict[str, Any]]]:
        """Return who holds and who waits."""
        from makfs.cli.client import Client
        from makfs.wire.verbs import Locks

        with Client(str(self.here.repo)) as daemon:  # what `makfs locks --json` says, without its start
            found: Any = daemon.ask(Locks())
        return dict(found)

    def home(self, name: str) -> Path:
        """Return an agent's home."""
        return self.here.repo / ".makfs" / "agents" / name / "home"

    def accepted(self, name: str) -> list[tuple[str, int]]:
        """Return the edits that an agent's writes were accepted for."""
        lines = read(self.home(name) / "accepted").splitlines()
        return [(line.split()[0], int(line.split()[1])) for line in lines]

    def output(self, name: str) -> Path:
        """Return the file with what an agent's newest run printed."""
        return self.here.work / "out" / f"{name}.{self.starts[name]}"

    def restarts(self, name: str) -> bool:
        """Tell whether makfs itself starts an agent's program again; of the others, this crew does."""
        return bool(self.size.strikes) and NAMES.index(name) % 2 == 1

    def start(self, name: str) -> None:
        """Begin a run."""
        self.starts[name] += 1
        if self.starts[name] > STARTS:
            raise Silent(f"crew: {name} does not finish")
        variables = [
            f"PATH={self.here.repo / 'tools'}:{os.environ['PATH']}",
            f"CREW_PORT={self.port}",
            self.marker,
            *(["CREW_WAITS=1"] if self.size.strikes else []),
        ]
        command = [str(MAKFS), "-C", str(self.here.repo), "run"]
        command += [part for each in variables for part in ("-e", each)]
        command += ["--restart", "on-failure"] if self.restarts(name) else []
        command += [name, "--", PYTHON, "tools/agent.py", str(self.size.edits)]
        key, value = self.marker.split("=")
        with self.output(name).open("wb") as out:
            self.runs[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=self.here.work,
                env={**os.environ, key: value},
            )  # fmt: skip

    def work(self) -> None:
        """Let everybody finish; strike meanwhile."""
        for name in self.size.names:
            self.start(name)
        luck = random.Random(self.size.seed)
        every = 3 * self.size.edits * self.size.agents
        kinds = [KINDS[at % len(KINDS)] for at in range(self.size.strikes)]
        luck.shuffle(kinds)
        for at, kind in zip(sorted(luck.sample(range(every // 2), len(kinds))), kinds, strict=True):
            self.until(lambda at=at: sum(len(self.accepted(name)) for name in self.size.names) >= at)
            self.strike(kind, luck)
        if kinds:
            self.let_finish()
        self.until(lambda: all(self.runs[name].poll() == 0 for name in self.size.names))

    def let_finish(self) -> None:
        """Tell everybody that the last edit may be made."""
        homes = [self.home(name) for name in self.size.names]
        self.until(lambda: all(home.is_dir() for home in homes))
        for home in homes:
            (home / "go").touch()

    def until(self, is_so: Callable[[], bool]) -> None:
        """Begin the runs anew that are over before their work is done, until something is so."""
        deadline = time.monotonic() + self.size.patience_s
        while not is_so():
            for name, process in self.runs.items():
                if process.poll() and self.size.strikes:
                    self.start(name)
            if all(process.poll() is not None for process in self.runs.values()):
                return  # nothing will change any more
            if time.monotonic() > deadline:
                raise Silent("crew: it does not come about")
            time.sleep(LOOK_S)

    def strike(self, kind: str, luck: random.Random) -> None:
        """Kill something."""
        if kind == "makfsd":
            self._strike_daemon()
            return
        victims: list[tuple[Record, int]] = []
        self.until(lambda: bool(victims.extend(self._victims(kind)) or victims))
        if victims:
            self._strike_run(kind, *luck.choice(victims))

    def _victims(self, kind: str) -> Iterator[tuple[Record, int]]:
        """Yield runs that are at work, and the process to kill of each."""
        for row in sorted(self.ask("ps"), key=lambda row: str(row["agent"])):
            if row["status"] == "running" and not row["view_gone"] and row["leader"]:
                pid = row["keeper" if kind == "keeper" else "leader"]["pid"]
                found = child_of(pid) if kind == "program" else pid
                if found is not None and self.is_of(found):
                    yield row, found

    def _strike_run(self, kind: str, row: Record, pid: int) -> None:
        blow = Blow(kind, row["number"])
        began = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if kind == "keeper" or not self.restarts(row["agent"]):
            while any(grant["agent"] == row["agent"] for grant in self.locks()["grants"]):
                if time.monotonic() - began > PATIENCE_S:
                    raise Silent(f"crew: what {row['agent']} held is not freed")
            blow.freed_s = time.monotonic() - began
        self.blows.append(blow)

    def _strike_daemon(self) -> None:
        """Kill makfsd and mount again; who has no run any more holds nothing soon."""
        os.kill(self.ask("status")["pid"], signal.SIGKILL)
        blow = Blow("makfsd", 0)
        began = time.monotonic()
        self.here.umount()
        self.here.mount(*self.size.names)
        self.recoveries.append(time.monotonic() - began)
        began = time.monotonic()
        while {grant["agent"] for grant in self.locks()["grants"]} - {row["agent"] for row in self.ask("ps")}:
            if time.monotonic() - began > PATIENCE_S:
                raise Silent("crew: what agents without a run held is not freed")
        blow.freed_s = time.monotonic() - began
        self.blows.append(blow)

    def is_of(self, pid: int) -> bool:
        """Tell whether a process is this crew's."""
        try:
            return self.marker.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def alive(self) -> list[int]:
        """Return the processes of the crew that are left."""
        return [pid for pid in map(int, filter(str.isdecimal, os.listdir("/proc"))) if self.is_of(pid)]


def read(path: Path) -> str:
    """Return what a file says, "" if it is not there."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def child_of(pid: int) -> int | None:
    """Return the first child of a process: in a run, the program itself."""
    children = read(Path(f"/proc/{pid}/task/{pid}/children")).split()
    return int(children[0]) if children else None
