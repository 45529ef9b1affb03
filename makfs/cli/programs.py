"""Finds a program on this machine, and what it needs beside itself to run where little else is to be seen.

P1  What is let through is the program's own: its file, its package, its interpreter; never a folder that a
    home lies in, and nothing of the repository or its views.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass

_SHEBANG = re.compile(rb"#!\s*(\S+)(?:\s+(?:-S\s+)?(\S+))?")
_MOST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Program:
    """A program that was found."""

    path: str  # where PATH has it
    shown: tuple[str, ...] = ()  # files and folders it needs; the system's left out
    links: tuple[tuple[str, str], ...] = ()  # names it goes by, and where they lead


@dataclass(frozen=True, slots=True)
class Grounds:
    """What is seen anyway, and what must not be."""

    seen: tuple[str, ...]
    homes: tuple[str, ...]  # parts of them may be
    hidden: tuple[str, ...]  # the repository, its views


def find(name: str, path: str, grounds: Grounds) -> Program | None:
    """Return a program by its name or absolute path, None if it is not there."""
    found = shutil.which(name, path=path)
    if found is None:
        return None
    found = os.path.abspath(found)
    shown: list[str] = []
    links: list[tuple[str, str]] = []
    _add(found, path, grounds, shown, links, depth=2)
    return Program(found, tuple(dict.fromkeys(shown)), tuple(dict.fromkeys(links)))


def _add(
    name: str, path: str, grounds: Grounds, shown: list[str], links: list[tuple[str, str]], depth: int
) -> None:
    """Add what the program `name` needs; of an interpreter, too, as deep as `depth`."""
    real = os.path.realpath(name)
    if not is_within(real, grounds.seen):
        shown += [each for each in _own(real, grounds) if not is_within(each, grounds.seen)]
    if real != name and not is_within(name, (*grounds.seen, *shown)):
        links.append((name, real))
    interpreter = _interpreter(real, path)
    if interpreter is not None and depth:
        _add(interpreter, path, grounds, shown, links, depth - 1)


def _own(real: str, grounds: Grounds) -> list[str]:
    """Return the package, environment or file that a program is (P1)."""
    head, is_package, _ = real.partition("/node_modules/")
    if is_package and _is_harmless(head + "/node_modules", grounds):
        return [head + "/node_modules"]
    prefix = os.path.dirname(os.path.dirname(real))
    base = _base_of(prefix)
    if base is not None and _is_harmless(prefix, grounds):
        return [prefix, *([base] if _is_harmless(base, grounds) else ())]
    if os.path.basename(real).startswith("python") and _is_harmless(prefix, grounds):
        return [prefix]  # its library is beside it
    return [real] if _is_harmless(real, grounds) else []


def _base_of(prefix: str) -> str | None:
    """Return where the Python of a virtual environment is installed, None if it is none (PEP 405)."""
    try:
        with open(os.path.join(prefix, "pyvenv.cfg"), encoding="utf-8", errors="replace") as file:
            lines = file.read(_MOST_BYTES).splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "home":
            python = os.path.realpath(os.path.join(value.strip(), "python3"))
            return os.path.dirname(os.path.dirname(python))
    return None


def _interpreter(real: str, path: str) -> str | None:
    """Return the program that a script is for."""
    try:
        with open(real, "rb") as file:
            first = _SHEBANG.match(file.read(_MOST_BYTES))
    except OSError:
        return None
    if first is None:
        return None
    name, argument = (os.fsdecode(group) if group else "" for group in first.groups())
    if os.path.basename(name) == "env" and argument:
        found = shutil.which(argument, path=path)
        return None if found is None else os.path.abspath(found)
    return name if name.startswith("/") and os.path.exists(name) else None


def is_within(path: str, tops: Sequence[str]) -> bool:
    """Tell whether a path is one of `tops` or below one."""
    return any(path == top or path.startswith(top.rstrip("/") + "/") for top in tops)


def _is_harmless(path: str, grounds: Grounds) -> bool:
    """Tell whether a path may be let through (P1)."""
    holds = any(is_within(each, (path,)) for each in (*grounds.homes, *grounds.hidden))
    return path.count("/") > 1 and not holds and not is_within(path, grounds.hidden)
