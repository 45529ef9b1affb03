"""The tour in README.md: its commands are run, so what stands below them is what they print.

A block ```console holds commands ("$ ", continued by "> ") and their output; a block ```python FILE holds
a file that is there before. All commands run in one shell, in a temporary directory; /mnt/work is a
directory in it.
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNTPOINT, HOME = "/mnt/work", "/home/you"
_BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = (
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DATE"),
    (re.compile(r"^\w+day, \d+ \w+ \d+$", re.MULTILINE), "DAY"),
    (re.compile(r"\b(cp|sed|python3?|cat|bash|pid) \d+"), r"\1 PID"),
    (re.compile(r"\b\d+(\.\d+)? (MiB|KiB|s|ms)\b"), r"N \2"),
    (re.compile(r"\b\d+[smh]( \d+[smh])?\b"), "N"),
    (re.compile(r"\bsed[A-Za-z0-9]{6}\b"), "sedXXXXXX"),
    (re.compile(r" +"), " "),
)


@dataclass(frozen=True, slots=True)
class Step:
    """One command and what stands below it."""

    command: str
    printed: str


def files_of(text: str) -> dict[str, str]:
    """Return the files that the tour starts with, by path."""
    return {path: body for language, path, body in _BLOCK.findall(text) if path and language != "console"}


def steps_of(block: str) -> Iterator[Step]:
    """Yield the steps of one console block."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.split("\n")
        more = 1
        while more < len(lines) and lines[more].startswith("> "):
            more += 1
        command = "\n".join([lines[0], *(line[2:] for line in lines[1:more])])
        yield Step(command, "\n".join(lines[more:]))


def blocks_of(text: str) -> list[str]:
    """Return the console blocks."""
    return [body for language, _, body in _BLOCK.findall(text) if language == "console"]


class Shell:
    """A shell in which the tour is taken."""

    def __init__(self, work: Path, makfs: Path) -> None:
        self._work = work
        self._mountpoint = work / "mnt"
        self._mountpoint.mkdir()
        (work / "bin").mkdir()
        (work / "bin" / "makfs").symlink_to(makfs)
        environment = {**os.environ, "PATH": f"{work / 'bin'}:{os.environ['PATH']}", "TZ": "UTC"}
        environment |= {"LC_ALL": "C.UTF-8", "GIT_CONFIG_GLOBAL": os.devnull}
        self._bash = subprocess.Popen(
            ["bash", "--norc"], cwd=work, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=0,
        )  # fmt: skip

    def run(self, command: str) -> str:
        """Run a command; return what it prints, as it would be at the tour's places."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        self._bash.stdin.write(command.replace(MOUNTPOINT, str(self._mountpoint)) + "\nprintf '\\0\\n'\n")
        printed = ""
        while not printed.endswith("\0\n"):
            line = self._bash.stdout.readline()
            if not line:
                raise RuntimeError(f"the shell ended in: {command}")
            printed += line
        shown = printed.removesuffix("\0\n").replace(str(self._mountpoint), MOUNTPOINT)
        return shown.replace(str(self._work), HOME)

    def close(self) -> None:
        """End the shell, and a mount that is left."""
        self._bash.communicate("exit\n")
        if os.path.ismount(self._mountpoint):
            subprocess.run(["fusermount3", "-u", "-z", "--", str(self._mountpoint)])


def take(text: str, makfs: Path) -> str:
    """Run the tour; return the document with what its commands printed now."""
    work = Path(tempfile.mkdtemp(prefix="makfs-tour-")).resolve()
    for path, body in files_of(text).items():
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text(body)
    git = ["git", "-C", str(work / "repo"), "-c", "user.name=You", "-c", "user.email=you@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run([*git, *command], check=True)
    shell = Shell(work, makfs)
    try:
        for block in blocks_of(text):
            text = text.replace(f"```console\n{block}```", f"```console\n{_taken(shell, block)}```", 1)
    finally:
        shell.close()
        shutil.rmtree(work, ignore_errors=True)
    return text


def _taken(shell: Shell, block: str) -> str:
    parts: list[str] = []
    for step in steps_of(block):
        shown = step.command.replace("\n", "\n> ")
        parts.append(f"$ {shown}\n{shell.run(step.command)}")
    return "".join(parts)


def plain(text: str) -> str:
    """Return a document without what differs from one run to the next."""
    for pattern, word in _VARYING:
        text = pattern.sub(word, text)
    return text
