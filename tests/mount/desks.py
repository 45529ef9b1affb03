"""Tests of locks sit at desks: a mount, and a folder of each test's own in it."""

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from makfs.cli.client import Client
from makfs.wire.verbs import Claim, Locks, Log, Refusals, Release, Verb, Why
from tests.mount.hands import Hand, eventually
from tests.mount.mounted import Mounted

Hands = Callable[[], Hand]
WAIT_S = 60
TEXT = (
    b'"""Words."""\n\nimport os\n\n\ndef hello(name):\n    return f"hello {name}"\n\n\n'
    b'def bye(name):\n    return f"bye {name}"\n\n\ndef last(name):\n    return os.sep + name\n'
)
COMMON = """
[agent.lena]
policy = "lease"
priority = 9
[agent.rita]
reads = "locked"
[agent.dora]
role = "documents"
[role.documents]
write = ["**/docs/**", "*.md", "words.py::hello", "words.py::Help.*"]
read = ["**", "!keys.txt"]
hide = ["secret/", "hidden.txt"]
"""
CONFIGS = {
    "patient": f"[write]\nwait_s = {WAIT_S}\nlease_s = 1\n{COMMON}",
    "brisk": f"[write]\nwait_s = 0.2\nlease_s = 600\n{COMMON}",
    "narrow": f"[write]\nwait_s = {WAIT_S}\n[mount]\nmax_waiters = 3\n",
}
AGENTS = ("alice", "bob", "lena", "rita", "dora")


@dataclass(frozen=True)
class Desk:
    """A mount, and a folder of the test's own in it with words.py, which nobody has read yet."""

    mounted: Mounted
    folder: str

    def at(self, agent: str, name: str = "words.py") -> Path:
        return self.mounted.mountpoint / agent / self.folder / name

    def address(self, inside: str = "", name: str = "words.py") -> str:
        return f"{self.folder}/{name}" + (f"::{inside}" if inside else "")

    def ask(self, verb: Verb) -> Any:
        with Client(str(self.mounted.repo)) as daemon:
            return daemon.ask(verb)

    def claim(self, agent: str, *insides: str, mode: str = "write", lease_s: float | None = None) -> Any:
        """Claim nodes of words.py, or all of it, without waiting; return the grants."""
        addresses = tuple(map(self.address, insides or ("",)))
        return self.ask(Claim(agent, mode, addresses, 0, lease_s))

    def grants(self) -> list[tuple[str, str, int]]:
        rows = self.ask(Locks(f"{self.folder}/"))["grants"]
        return [(row["agent"], row["address"].removeprefix(f"{self.folder}/"), row["fence"]) for row in rows]

    def waiting(self) -> list[str]:
        return [row["agent"] for row in self.ask(Locks(f"{self.folder}/"))["waiters"]]

    def wait_for(self, *agents: str) -> None:
        eventually(lambda: sorted(self.waiting()) == sorted(agents), f"that {agents} wait")

    def why(self, agent: str) -> str:
        """Return what `.makfs/why` says, read through the view."""
        said = (self.mounted.mountpoint / agent / ".makfs/why").read_text()
        assert said == self.ask(Why(agent))
        return said

    def everywhere(self, name: str = "words.py") -> bytes:
        """Return the text that the repository and all views show whose reads do not wait."""
        places = [self.at(agent, name) for agent in self.mounted.agents if agent != "rita"]
        texts = {path.read_bytes() for path in (*places, self.mounted.repo / self.folder / name)}
        assert len(texts) == 1, texts
        return texts.pop()

    def refused(self, agent: str) -> bytes:
        """Return the bytes of an agent's newest refusal."""
        number = self.ask(Refusals(1, agent))[0]["number"]
        return (self.mounted.mountpoint / agent / f".makfs/refused/{number}/file").read_bytes()


def serve(
    top: Path, config: str, agents: tuple[str, ...] = AGENTS, on_write: str = "merge"
) -> Iterator[Mounted]:
    subprocess.run(["git", "init", "-q", str(top / "repo")], check=True)
    (top / "work").mkdir()
    (top / "makfs.conf").write_text(config)
    mounted = Mounted(top / "repo", top / "work", agents, on_write, top / "makfs.conf")
    try:
        mounted.start()
        yield mounted
        mounted.stop()
        assert mounted.findings() == []
    finally:
        mounted.take_away()
    assert not mounted.complaints(), mounted.complaints()[0]


def sit_down(mounted: Mounted, request: pytest.FixtureRequest) -> Desk:
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)[-60:]
    (mounted.repo / name).mkdir()
    (mounted.repo / name / "words.py").write_bytes(TEXT)
    desk = Desk(mounted, name)
    eventually(lambda: desk.ask(Log(1, path=f"{name}/words.py")), "that the watcher saw it")
    return desk


def leave(desk: Desk) -> None:
    for agent in desk.mounted.agents:
        desk.ask(Release(agent))
    eventually(lambda: not desk.waiting(), "an empty queue")


def put(text: bytes, what: bytes, by: bytes) -> bytes:
    assert text.count(what) == 1
    return text.replace(what, by)


HELLO = put(TEXT, b"hello {", b"HELLO {")
BYE = put(TEXT, b"bye {", b"BYE {")
BOTH = put(HELLO, b"bye {", b"BYE {")
