"""A storm: writers that edit the same few Python files at once, each in the way of another kind of tool.

Every edit adds one numbered line to a method. An edit counts as made when the last system call of its tool
returned success; one that was refused is done again on what the file says then. So whatever is made and not
in the files at the end was lost by the directory, not by its writer.

`python -m demolib.storm NAME FOLDER EDITS` is one writer: it starts at the first line on its standard input.
"""

import ast
import json
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MODULES = ("orders.py", "stock.py", "bills.py")
SHARED = "everybody"
SHARED_PART = 0.1  # of the edits go to the one method that all of them edit
THINK_S = 0.02  # at most, between reading a file and writing it
TRIES = 20
_LINE = re.compile(r"done\.append\(\"(\w+) (\d+)\"\)")


class Torn(Exception):
    """The method to be edited is not in the file any more: somebody else's write took it away."""


def marker(method: str) -> bytes:
    """Return the line above which a writer adds its lines."""
    return b"        return done  # %s\n" % method.encode()


def line_of(writer: str, number: int) -> bytes:
    """Return the line that one edit adds."""
    return b'        done.append("%s %d")\n' % (writer.encode(), number)


def inserted(text: bytes, method: str, line: bytes) -> bytes:
    """Return the text with a line added to a method. Raises Torn."""
    at = text.find(marker(method))
    if at < 0:
        raise Torn(method)
    return text[:at] + line + text[at:]


# ---- the ways in which tools save a file


def overwrite(path: Path, method: str, line: bytes) -> None:
    """Read, think, open with O_TRUNC, write: most agents and `>`."""
    text = inserted(path.read_bytes(), method, line)
    time.sleep(random.uniform(0, THINK_S))
    path.write_bytes(text)


def overwrite_fsync(path: Path, method: str, line: bytes) -> None:
    """Do the same with fsync(2)."""
    text = inserted(path.read_bytes(), method, line)
    time.sleep(random.uniform(0, THINK_S))
    with path.open("wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def replace(path: Path, method: str, line: bytes) -> None:
    """Write a temporary file and rename it over: editors and careful agents."""
    text = inserted(path.read_bytes(), method, line)
    time.sleep(random.uniform(0, THINK_S))
    temporary = path.with_name(f"{path.name}.tmp.{os.getpid()}")
    try:
        temporary.write_bytes(text)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def in_place(path: Path, method: str, line: bytes) -> None:
    """Write from the first byte that differs, then set the length."""
    before = path.read_bytes()
    text = inserted(before, method, line)
    time.sleep(random.uniform(0, THINK_S))
    at = before.find(marker(method))
    fd = os.open(path, os.O_WRONLY)
    try:
        while at < len(text):
            at += os.pwrite(fd, text[at:], at)
        os.ftruncate(fd, len(text))
    finally:
        os.close(fd)


def append(path: Path, method: str, line: bytes) -> None:
    """Add a function at the end: `>>`."""
    number = re.findall(rb"\d+", line)[-1]
    added = b"\n\ndef %s_%s(done):\n%s    return done\n" % (method.encode(), number, line[4:])
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        os.write(fd, added)
    finally:
        os.close(fd)


def sed(path: Path, method: str, line: bytes) -> None:
    """`sed -i`: a temporary file and a rename, by a process of its own."""
    script = f"/return done  # {method}$/i \\{line.decode().rstrip()}"
    done = subprocess.run(["sed", "-i", script, str(path)], capture_output=True)
    if done.returncode:
        raise OSError(done.stderr.decode("utf-8", "replace").strip())


@dataclass(frozen=True, slots=True)
class Writer:
    """One of the eight."""

    name: str
    way: str
    save: Callable[[Path, str, bytes], None]


WRITERS = (
    Writer("ada", "overwrites the file", overwrite),
    Writer("ben", "renames a new file over it", replace),
    Writer("cleo", "sed -i", sed),
    Writer("dan", "writes in place", in_place),
    Writer("eva", "appends functions", append),
    Writer("finn", "overwrites, with fsync", overwrite_fsync),
    Writer("gus", "renames a new file over it", replace),
    Writer("hana", "overwrites the file", overwrite),
)


# ---- one writer


@dataclass(slots=True)
class Made:
    """What one writer did."""

    numbers: list[int]
    refused: int = 0  # and then done again
    torn: int = 0  # could not be made: the method was gone


def storm(writer: Writer, folder: Path, edits: int) -> Made:
    """Make so many edits."""
    made, parent = Made([]), os.getppid()
    for number in range(1, edits + 1):
        if os.getppid() != parent:
            break  # whoever asked for the edits is gone
        path = folder / random.choice(MODULES)
        shared = writer.save is not append and random.random() < SHARED_PART
        method = SHARED if shared else writer.name
        for _ in range(TRIES):
            try:
                writer.save(path, method, line_of(writer.name, number))
            except Torn:
                made.torn += 1
                break
            except OSError:
                made.refused += 1
                time.sleep(random.uniform(0, THINK_S))
            else:
                made.numbers.append(number)
                break
    return made


def main() -> None:
    """Be one writer."""
    name, folder, edits = sys.argv[1:]
    writer = next(each for each in WRITERS if each.name == name)
    random.seed(f"{name} {edits}")
    if not sys.stdin.readline():
        return
    made = storm(writer, Path(folder), int(edits))
    json.dump({"numbers": made.numbers, "refused": made.refused, "torn": made.torn}, sys.stdout)


# ---- before and after


def module(name: str) -> str:
    """Return a module with a method for each writer."""
    kind = name.removesuffix(".py").capitalize()
    methods = [*(writer.name for writer in WRITERS), SHARED]
    bodies = "".join(f"\n    def {method}(self, done):\n{marker(method).decode()}" for method in methods)
    return f'"""{kind} of a small shop."""\n\nimport os\n\n\nclass {kind}:\n{bodies[1:]}'


def make(folder: Path) -> None:
    """Write the modules."""
    folder.mkdir()
    for name in MODULES:
        (folder / name).write_text(module(name))


@dataclass(frozen=True, slots=True)
class Found:
    """What the files say at the end."""

    lines: frozenset[tuple[str, int]]
    broken: int  # files that are not Python any more


def look(folder: Path) -> Found:
    """Read the files."""
    lines: set[tuple[str, int]] = set()
    broken = 0
    for name in MODULES:
        text = (folder / name).read_text("utf-8", "replace")
        lines.update((writer, int(number)) for writer, number in _LINE.findall(text))
        try:
            ast.parse(text)
        except (SyntaxError, ValueError):
            broken += 1
    return Found(frozenset(lines), broken)


if __name__ == "__main__":
    main()
