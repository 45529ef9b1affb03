"""Every door through which a view changes the repository, against every lock another agent may hold.

What is expected is computed from the rules of docs/locks.md: what each step of a door needs, which modes go
together, what each policy says. What a step does is done on a plain directory, too, and compared.
"""

import errno
import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from makfs.cli.client import Client
from makfs.cli.exits import Told
from makfs.wire.verbs import Claim, Locks, Log, Refusals, Release, Why
from tests.mount.doors import (
    CHANGED,
    DOORS,
    EXTERNAL,
    MODES,
    STAMP,
    TEXT,
    Door,
    Expected,
    clash,
    commit_to_git,
    expected,
    furnish,
    git,
)
from tests.mount.hands import eventually
from tests.mount.mounted import Mounted, outcome

pytestmark = pytest.mark.mount

AGENTS = {"lease": "lea", "merge": "meg", "claim": "clara", "claimed": "clara"}
HOLDERS = {"lea": "meg", "meg": "clara", "clara": "lea"}
CONFIG = """
[write]
wait_s = 0
lease_s = 600
[store]
large_bytes = 65536
[view]
shadow_s = 3600
[agent.lea]
policy = "lease"
[agent.clara]
policy = "claim"
"""
KNOWN = TEXT.replace(b"os.sep + name", b"name + os.sep")
HOLDINGS = [None, *((mode, place) for mode in MODES for place in ("node", "file", "folder"))]
Holding = tuple[str, str] | None


def name_of(door: str, policy: str, holding: Holding) -> str:
    words = [*door.split(), policy, *(holding or ("free",))]
    return "_".join("".join(filter(str.isalnum, word)) for word in words)


STASHED = {"": True, "f.py::hello": False, "f.py::bye": True, "f.py": False}  # held -> may it be stashed
"""Another file than git has: its `hello` differs."""


def stash_case(held: str) -> str:
    return name_of("git stash", "merge", ("X", held))


@dataclass
class World:
    """A mount, and what the doors do on a plain directory."""

    mounted: Mounted
    daemon: Client
    native: dict[tuple[str, int], object]

    def everywhere(self, name: str) -> dict[str, Path]:
        views = {agent: self.mounted.mountpoint / agent for agent in self.mounted.agents}
        return {each: path / name for each, path in {**views, "repo": self.mounted.repo}.items()}

    def refused(self, agent: str) -> tuple[int, str]:
        found: Any = self.daemon.ask(Refusals(1, agent))
        return (found[0]["number"], found[0]["path"]) if found else (0, "")


def snapshot(folder: Path) -> object:
    """Return a whole tree but private files: type and mode, group, text or target, what doors change else."""
    found: dict[str, object] = {}
    for at, folders, files in os.walk(folder):
        for each in folders + files:
            if ".tmp." in each or each.endswith("~"):
                continue
            path = f"{at}/{each}"
            st = os.lstat(path)
            more: object = None
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb", buffering=0) as file:
                    more = file.readall(), os.listxattr(file.fileno())
            elif stat.S_ISLNK(st.st_mode):
                more = os.readlink(path)
            found[path.removeprefix(f"{folder}/")] = (st.st_mode, st.st_gid, st.st_mtime == STAMP, more)
    return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Serve a repository with a folder for every case, made before the mount."""
    top = tmp_path_factory.mktemp("doors")
    repo = top / "repo"
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    for door in DOORS:
        for policy in AGENTS:
            for holding in HOLDINGS:
                furnish(repo / name_of(door, policy, holding), door)
    for door in EXTERNAL:
        for holding in HOLDINGS:
            furnish(repo / name_of(door, "external", holding), door)
    for held in STASHED:
        furnish(repo / stash_case(held), "git stash")
    by_git = [name_of("git checkout", policy, each) for policy in AGENTS for each in HOLDINGS]
    commit_to_git(repo, [*by_git, *map(stash_case, STASHED)])
    (top / "makfs.conf").write_text(CONFIG)
    mounted = Mounted(repo, top / "work", tuple(HOLDERS), config=top / "makfs.conf")
    (top / "work").mkdir()
    try:
        mounted.start()
        with Client(str(repo)) as daemon:
            yield World(mounted, daemon, dict(natives(top)))
        mounted.stop()
        assert mounted.findings() == []
    finally:
        mounted.take_away()
    assert not mounted.complaints(), mounted.complaints()[0]


def natives(top: Path) -> Iterator[tuple[tuple[str, int], object]]:
    """Carry out each door on a plain directory; return the tree after each step."""
    for number, (name, door) in enumerate(DOORS.items()):
        folder = top / "native" / str(number)
        furnish(folder, name)
        yield (name, 0), snapshot(folder)
        for count, step in enumerate(door.steps):
            if not step.never:
                step.act(folder)
            yield (name, count + 1), snapshot(folder)


def check(world: World, name: str, policy: str, holding: Holding) -> str:
    """Carry out one case; return what was wrong, empty if nothing was."""
    door, agent = DOORS[name], AGENTS[policy]
    holder = HOLDERS[agent]
    case = name_of(name, policy, holding)

    def addressed(address: str) -> str:
        return f"{case}/{address}"

    own = (
        tuple(dict.fromkeys(each for step in door.steps for each in step.writes))
        if policy == "claimed"
        else ()
    )
    if own:
        world.daemon.ask(Claim(agent, "X", tuple(map(addressed, own)), 0))
    held = None
    if holding is not None:
        held = (getattr(door, holding[1]), holding[0])
        stands = any(clash((address, "X"), held) for address in own)
        try:
            world.daemon.ask(Claim(holder, held[1], (addressed(held[0]),), 0))
            if stands:
                return f"{holder} was granted {held} beside the claim of {agent}"
        except Told as told:
            if not stands:
                return f"{holder} was refused {held}: {told}"
            held = None
    try:
        return judge(world, name, case, agent, policy, expected(door, policy, held, own), own)
    finally:
        world.daemon.ask(Release(agent))
        world.daemon.ask(Release(holder))


def judge(
    world: World, name: str, case: str, agent: str, policy: str, wanted: Expected, own: tuple[str, ...]
) -> str:
    door, places = DOORS[name], world.everywhere(case)
    before = world.refused(agent)
    for done, step in enumerate(door.steps):
        try:
            step.act(places[agent])
            number = 0
        except OSError as error:
            number = error.errno or -1
        if number != (wanted.errno if done == wanted.done else 0):
            got = errno.errorcode.get(number, "done")
            return f"step {done + 1}: {got}, not {errno.errorcode.get(wanted.errno, 'done')}"
        if done == wanted.done:
            break
    return (
        compare(world, name, places, wanted)
        or told(world, case, agent, wanted, before)
        or leased(world, case, agent, policy, wanted, door, own)
    )


def compare(world: World, name: str, places: Mapping[str, Path], wanted: Expected) -> str:
    """Look from all sides whether exactly the steps that were allowed were carried out."""
    after = world.native[name, wanted.done]
    door = DOORS[name]
    if any(step.late for step in door.steps) and wanted.step is None:
        eventually(lambda: snapshot(places["repo"]) == after, f"{name} done")
    for place, folder in places.items():
        if wanted.step is not None and wanted.step.late:
            eventually(lambda at=folder: snapshot(at) == after, f"{name} undone in {place}")  # type: ignore[misc]
        if (seen := snapshot(folder)) != after:
            return f"{place} shows {seen}, not {after}"
    return ""


def told(world: World, case: str, agent: str, wanted: Expected, before: tuple[int, str]) -> str:
    """Look at what is kept, and at what is said."""
    step, (number, path) = wanted.step, world.refused(agent)
    if step is not None and step.late:
        eventually(lambda: world.refused(agent) != before, "a refusal")
        number, path = world.refused(agent)
    if step is None or step.kept is None:
        if number != before[0]:
            return f"refusal {number} of {path} is kept for nothing"
    else:
        if number == before[0] or not path.startswith(case):
            return "no refusal is kept"
        kept = (world.mounted.mountpoint / agent / f".makfs/refused/{number}/file").read_bytes()
        if kept != step.kept:
            return f"refusal {number} keeps {kept!r}, not {step.kept!r}"
    if step is not None:
        why: Any = world.daemon.ask(Why(agent))
        parts = [case, "has not claimed" if wanted.unclaimed else f"{HOLDERS[agent]} holds", "echo 'write "]
        parts += [] if step.kept is None else [f"Refused write {number} to {path}."]
        if missing := [part for part in parts if part not in why]:
            return f"{missing} is not in .makfs/why: {why}"
    return ""


def leased(
    world: World, case: str, agent: str, policy: str, wanted: Expected, door: Door, own: tuple[str, ...]
) -> str:
    """Look at what the agent holds now: its claims, and under `lease` what it wrote."""
    state: Any = world.daemon.ask(Locks(f"{case}/"))
    held = {row["address"] for row in state["grants"] if row["agent"] == agent}
    due = {f"{case}/{each}" for each in own}
    if policy == "lease":
        wrote = [step for step in door.steps[: wanted.done] if not step.dropped]  # layout holds nothing
        due = {f"{case}/{each}" for step in wrote for each in step.writes}
    if state["waiters"]:
        return f"{state['waiters']} wait"
    return "" if held == due else f"{agent} holds {held}, not {due}"


CASES = [
    pytest.param(name, policy, id=f"{policy}: {name}")
    for name in DOORS for policy in AGENTS
]  # fmt: skip


@pytest.mark.parametrize(("name", "policy"), CASES)
def test_door_lets_through_exactly_what_the_rules_allow(world: World, name: str, policy: str) -> None:
    if name == "chown" and os.geteuid() != 0:
        pytest.skip("only root gives files away")
    wrong = {holding: said for holding in HOLDINGS if (said := check(world, name, policy, holding))}
    assert not wrong, "\n".join(f"{holding}: {said}" for holding, said in wrong.items())


def _newest(world: World, path: str) -> Any:
    return world.daemon.ask(Log(1, path=path))[0]


def check_external(world: World, name: str, holding: Holding) -> str:
    """Change something in the repository's own directory while lea may hold something of it."""
    door, case = EXTERNAL[name], name_of(name, "external", holding)
    places = world.everywhere(case)
    (step,) = door.steps
    (places["meg"] / "f.py").write_bytes(KNOWN)  # its nodes are on record from here
    held = None if holding is None else (getattr(door, holding[1]), holding[0])
    if held is not None:
        world.daemon.ask(Claim("lea", held[1], (f"{case}/{held[0]}",), 0))
    try:
        step.act(places["repo"])
        # Before a view looks: what it opens first is known by then, and in nobody's commit.
        eventually(lambda: _newest(world, case)["agent"] == "external", f"{case}: a commit of external's")
        after = snapshot(places["repo"])
        for place, folder in places.items():
            eventually(lambda at=folder: snapshot(at) == after, f"{case} in {place}")  # type: ignore[misc]
        state: Any = world.daemon.ask(Locks(f"{case}/"))
        holds = any(row["agent"] == "lea" for row in state["grants"])
        if held is not None and held[0] and not holds:
            return f"lea lost {held}"
        due = held is not None and any(clash((each, "X"), held) for each in (*step.writes, *step.joins))
        why: Any = world.daemon.ask(Why("lea"))
        told = [line for line in why.splitlines() if f"{case}/" in line and "in the repository" in line]
        return "" if bool(told) is due else f"lea was told {told}, due: {due}"
    finally:
        world.daemon.ask(Release("lea"))


@pytest.mark.parametrize("held", STASHED)
def test_git_stash_takes_back_what_nobody_else_holds_and_leaves_the_rest(world: World, held: str) -> None:
    """Git removes a file to write it anew; where it may not, it writes another one and renames it over."""
    case = stash_case(held)
    if held:
        world.daemon.ask(Claim("lea", "write", (f"{case}/{held}",), 0))
    try:
        said = outcome(lambda: git("stash", "push", "-q")(world.mounted.mountpoint / "meg" / case))
    finally:
        world.daemon.ask(Release("lea"))
    assert said == ("EBUSY" if held else None), "git complains of the file it may not remove"
    for folder in world.everywhere(case).values():
        assert (folder / "f.py").read_bytes() == (CHANGED if STASHED[held] else TEXT)


@pytest.mark.parametrize("name", EXTERNAL)
def test_edit_in_the_repository_is_taken_in_and_whoever_holds_what_it_changed_is_told(
    world: World, name: str
) -> None:
    wrong = {holding: said for holding in HOLDINGS if (said := check_external(world, name, holding))}
    assert not wrong, "\n".join(f"{holding}: {said}" for holding, said in wrong.items())


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_TRUNC, os.O_RDWR])
def test_write_is_refused_as_soon_as_it_is_certain_that_it_will_be(world: World, flags: int) -> None:
    """Not in the kernel's cache, where a refused write could not be rolled back: there at close(2)."""
    case = name_of("read", "merge", ("X", "node"))
    path = world.mounted.mountpoint / "meg" / case / "f.py"
    world.daemon.ask(Claim("lea", "write", (f"{case}/f.py::hello",), 0))
    try:
        fd = os.open(path, flags)
        outcomes = [
            outcome(lambda: os.write(fd, CHANGED[: CHANGED.index(b"def last")])),
            outcome(lambda: os.close(fd)),
        ]
    finally:
        world.daemon.ask(Release("lea"))
    cached = flags == os.O_RDWR
    assert isinstance(outcomes[0], int) is cached
    assert outcomes[1 if cached else 0] == "EBUSY"
    assert path.read_bytes() == TEXT


def test_expectations_tell_refused_from_done() -> None:
    """The table itself: each door can be refused, or is one that never needs anything."""
    never = {"blank lines", "the same again", "read", "made for later", "hard link", "formatted"}
    for name, door in DOORS.items():
        held = ("", "X")
        assert (expected(door, "merge", held, ()).step is None) is (name in never), name
        assert expected(door, "merge", None, ()).step is None, name
