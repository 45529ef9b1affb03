"""Stories of agents and people on one repository, as text: tests/scenarios/views_*.txt."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from makfs.engine.backing import RENAME_EXCHANGE
from tests.property.engine_kernel import Caches, OpenFile, Process

FOLDER = Path(__file__).parent.parent / "scenarios"
AGENTS = ("alice", "bob", "carol")


@dataclass(frozen=True, slots=True)
class Story:
    """One scenario: its title and its lines."""

    title: str
    lines: tuple[str, ...]


def stories() -> Iterator[Story]:
    """Read the files. A line that starts with # is for people."""
    for file in sorted(FOLDER.glob("views_*.txt")):
        for part in re.split(r"^== ", file.read_text(), flags=re.MULTILINE)[1:]:
            title, *lines = part.strip().splitlines()
            yield Story(title, tuple(line for line in lines if line and not line.startswith("#")))


@dataclass
class Stage:
    """The repository, the processes, and how the last step ended."""

    caches: Caches
    processes: dict[str, Process] = field(default_factory=dict)
    remembered: dict[tuple[str, str], bytes] = field(default_factory=dict)
    open: dict[str, OpenFile] = field(default_factory=dict)
    refused: OSError | None = None

    def step(self, line: str) -> None:
        """Carry out one line."""
        if line.startswith("head "):
            self.look(line[5:])
            return
        if line.startswith("says "):
            why = max(self.caches.core.views.values(), key=lambda view: view.refusals).why
            assert line[5:] in why, why
            return
        self.settled(line)
        who, what, rest = line.split(" ", 2) if line.count(" ") > 1 else (*line.split(" "), "")
        path, _, how = rest.partition(": ")
        try:
            if who == "person":
                self.person(what, path, how)
            else:
                self.agent(who, what, path, how)
        except OSError as error:
            self.refused = error

    def settled(self, line: str) -> None:
        """See that the step before ended as it was told."""
        assert self.refused is None, f"before {line!r}: {self.refused}"

    def person(self, what: str, path: str, how: str) -> None:
        at = self.caches.repo / path
        if what == "removes":
            at.unlink()
        else:
            at.write_bytes(changed(at.read_bytes(), how))
        self.caches.watch()

    def agent(self, who: str, what: str, path: str, how: str) -> None:
        name, _, number = who.partition(".")
        process = self.processes.setdefault(
            who, Process(self.caches, name, AGENTS.index(name) * 10 + int(number or 1))
        )
        if what == "reads":
            self.remembered[who, path] = process.read(path)
        elif what == "removes":
            process.unlink(path)
        elif what == "renames":
            old, new = path.split(" to ")
            process.rename(old, new)
        elif what == "exchanges":
            one, other = path.split(" and ")
            process.rename(one, other, RENAME_EXCHANGE)
        elif what == "makes":
            process.write(path, plain(how))
        elif what == "begins":
            self.open[who] = process.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            self.open[who].write(0, plain(how))
        elif what == "ends":
            self.open.pop(who).close()
        elif what == "updates":
            file = process.open(path, os.O_RDWR)
            text = changed(file.read(), how)
            file.write(0, text)
            file.close()
            self.remembered[who, path] = text
        else:
            text = changed(self.remembered[who, path], how)
            self.write(process, what, path, text)
            self.remembered[who, path] = text

    @staticmethod
    def write(process: Process, what: str, path: str, text: bytes) -> None:
        if what == "saves":
            temporary = f"{path}.tmp.{process.caller.tid}.0123456789ab"
            process.write(temporary, text)
            process.rename(temporary, path)
            return
        if what == "overwrites":
            file = process.open(path, os.O_WRONLY)
            file.write(0, text)
            file.truncate(len(text))
            file.close()
            return
        assert what in ("writes", "remakes", "rewrites"), what
        if what == "remakes":
            process.unlink(path)
        flags = os.O_RDWR if what == "rewrites" else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        process.write(path, text, flags)

    def look(self, line: str) -> None:
        """Compare every view and the repository with what a line says of a file."""
        path, verb, text = line.split(" ", 2)
        for reader in (Process(self.caches, agent, 99) for agent in AGENTS):
            if verb == "is":
                assert path.rpartition("/")[2] not in reader.names(path.rpartition("/")[0])
                continue
            for seen in (reader.read(path), (self.caches.repo / path).read_bytes()):
                assert (text.encode() in seen) is (verb == "has"), f"{line}: {seen!r}"


def plain(text: str) -> bytes:
    return text.replace("\\n", "\n").encode()


def changed(text: bytes, how: str) -> bytes:
    old, new = how.split(" => ")
    assert plain(old) in text, f"{old!r} is not in {text!r}"
    return text.replace(plain(old), plain(new))


@pytest.mark.parametrize("story", list(stories()), ids=lambda story: story.title)
def test_story_goes_as_it_is_told(story: Story, tmp_path: Path) -> None:
    repo = tmp_path / "repo"
    repo.mkdir()
    lines = list(story.lines)
    while lines[0].startswith("make "):
        path, _, text = lines.pop(0)[5:].partition(": ")
        (repo / path).write_bytes(plain(text))
    stage = Stage(Caches(repo, AGENTS))
    stage.caches.watch()
    try:
        for line in lines:
            if line == "-> refused":
                assert stage.refused is not None, "the step before was accepted"
                stage.refused = None
            else:
                stage.step(line)
        stage.settled("the end")
        assert not stage.caches.findings()
        stage.caches.forget_all()
        assert not stage.caches.fs.handles
    finally:
        stage.caches.close()
