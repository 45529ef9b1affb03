"""A scripted agent, and the test that agents run one at a time. Copied into the repository they work on.

`agent.py EDITS` makes edits of its own in three files, with this tool or that, and builds and
tests after each. What the last system call of a write accepted is noted in the agent's home; begun again, it
goes on from there. `runtests` sees that nobody else tests meanwhile, by a port that only one can have, and
that all noted edits are in the view. Only the standard library: it runs inside `makfs run`.
"""

import errno
import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

NAME = os.environ["MAKFS_AGENT"]
HOME = Path(os.environ["HOME"])
MARK = f"    return done  # {NAME}\n"
OWN, SHARED, LIST = f"{NAME}.py", "shared.py", "list.txt"
TRIES = 200
AGAIN_S = 0.05
LOOK_S = 0.02
GONE = 3  # exit code: the view cannot be used any more
MET = 9  # exit code: somebody else was testing


class Refused(Exception):
    """The write was refused; it can be done again."""


class Gone(Exception):
    """Something is wrong with the view, not with the write."""


def note(name: str, line: str) -> None:
    """Add a line to a file of the agent's home, in one write."""
    fd = os.open(HOME / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def noted(file: str) -> list[int]:
    """Return the numbers of the edits of a file that were accepted."""
    try:
        lines = (HOME / "accepted").read_text().splitlines()
    except FileNotFoundError:
        return []
    return [int(line.split()[1]) for line in lines if line.split()[0] == file]


# ---- the tools


def _run(*command: str, text: str | None = None) -> None:
    done = subprocess.run(command, capture_output=True, text=True, input=text)
    if done.returncode:
        raise (Refused if os.strerror(errno.EBUSY) in done.stderr else Gone)(done.stderr.strip())


def sed(file: str, number: int) -> None:
    """`sed -i`: a temporary file and a rename."""
    _run("sed", "-i", f"/return done  # {NAME}$/i \\{line_of(number).rstrip()}", file)


def overwrite(file: str, number: int) -> None:
    """Read, open with O_TRUNC, write."""
    path = Path(file)
    text = path.read_text()
    path.write_text(text.replace(MARK, line_of(number) + MARK))


def copy(file: str, number: int) -> None:
    """Work on a copy and `cp` it over the file."""
    draft = Path("/tmp") / file  # the run's own
    draft.write_text(Path(file).read_text().replace(MARK, line_of(number) + MARK))
    _run("cp", str(draft), file)


def append(file: str, number: int) -> None:
    """`>>`."""
    with open(file, "ab") as out:
        out.write(f"{NAME} {number}\n".encode())


TOOLS = (sed, overwrite, copy)


def line_of(number: int) -> str:
    """Return the line that an edit adds to a function."""
    return f'    done.append("{NAME} {number}")\n'


# ---- the agent


def edit(file: str, number: int, tool: Callable[[str, int], None], counts: Counter[str]) -> None:
    """Make one edit, again when it was refused. Raises Gone, OSError."""
    wanted = f"{NAME} {number}\n" if file == LIST else line_of(number)
    for _ in range(TRIES):
        if wanted not in Path(file).read_text():  # it may be there: accepted, and killed before it was noted
            try:
                tool(file, number)
            except (Refused, OSError) as error:
                if isinstance(error, OSError) and error.errno != errno.EBUSY:
                    raise
                counts["refused"] += 1
                time.sleep(AGAIN_S)
                continue
        note("accepted", f"{file} {number}")
        return
    raise Gone(f"{file} was refused {TRIES} times")


def check(what: str, command: list[str], counts: Counter[str]) -> None:
    """Build or test. Raises Gone if that failed because of the view."""
    done = subprocess.run(command, capture_output=True, text=True)
    counts[what] += 1
    if done.returncode:
        Path(OWN).read_text()  # OSError: the mount has ended
        counts[f"failed {what}"] += 1
        print(f"{what}: {done.returncode}: {(done.stdout + done.stderr)[-600:]}", file=sys.stderr, flush=True)


def await_go() -> None:
    """Return when the agent may finish: who is to be killed is still at work then."""
    while "CREW_WAITS" in os.environ and not (HOME / "go").exists():
        time.sleep(LOOK_S)


def work(edits: int) -> int:
    """Do what is not done yet, the last edit when one may. Return the exit code."""
    counts: Counter[str] = Counter()
    try:
        Path(".makfs/claim").write_text(f"write {SHARED}::{NAME} wait=60\n")
        for number in range(1 + min(len(noted(file)) for file in (OWN, SHARED, LIST)), edits + 1):
            if number == edits:
                await_go()
            for at, file in enumerate((OWN, SHARED)):
                if number not in noted(file):
                    edit(file, number, TOOLS[(number + at) % len(TOOLS)], counts)
            if number not in noted(LIST):
                edit(LIST, number, append, counts)
            check("builds", [sys.executable, "-m", "compileall", "-q", "."], counts)
            check("tests", ["runtests"], counts)
    except (Gone, OSError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return GONE
    print(json.dumps(counts))
    return int(any(name.startswith("failed") for name in counts))


# ---- the test


def test() -> int:
    """Be alone, and find every edit that was accepted."""
    with socket.socket() as alone:
        try:
            alone.bind(("127.0.0.1", int(os.environ["CREW_PORT"])))
        except OSError as error:
            print(f"somebody else is testing: {error}", file=sys.stderr)
            return MET
        began = time.monotonic_ns()
        accepted = {file: noted(file) for file in (OWN, SHARED)}
        for file, numbers in accepted.items():
            names: dict[str, Callable[[list[str]], list[str]]] = {}
            exec(Path(file).read_text(), names)
            found = names[NAME]([])
            if found[: len(numbers)] != [f"{NAME} {number}" for number in numbers]:
                print(f"{file}: {len(numbers)} edits were accepted, there are {found}", file=sys.stderr)
                return 1
        note("turns", f"{began} {time.monotonic_ns()}")
    return 0


if __name__ == "__main__":
    sys.exit(test() if Path(sys.argv[0]).name == "runtests" else work(int(sys.argv[1])))
