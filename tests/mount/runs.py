"""A mount whose agents run programs, for tests: what lies outside, and ways to start things inside."""

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.mount.mounted import PACKAGES, PATIENCE_S, Mounted, Who

PYTHON = os.path.realpath(sys.executable)
SECRET = "tiger-lily-4711"
TREASURE = "what lies outside"
LOG_BYTES = 100_000
WAIT_S = 0.2
CONFIG = f"""\
[write]
wait_s = {WAIT_S}
lease_s = 60
[run]
env = ["MAKFS_TEST_LISTED"]
paths = [{json.dumps(sys.base_prefix)}]
log_bytes = {LOG_BYTES}
"""

Process = subprocess.Popen[bytes]


@dataclass
class Place:
    """A served repository and what must stay out of reach."""

    mounted: Mounted
    outside: Path  # a file with TREASURE
    stranger: Process  # a process of nobody's run

    @property
    def repo(self) -> Path:
        return self.mounted.repo

    @property
    def abstract(self) -> str:
        """Return a name for an abstract socket."""
        return f"makfs-test-{self.stranger.pid}"

    def known(self, fd: int) -> dict[str, object]:
        """Return what an attempt to escape knows of the world outside."""
        return {
            "repo": str(self.repo), "mount": str(self.mounted.mountpoint), "outside": str(self.outside),
            "pid": self.stranger.pid, "fd": fd, "home": str(self.outside.parent / "home"),
            "secret": SECRET, "abstract": self.abstract,
        }  # fmt: skip

    def start(self, *words: str, fds: Sequence[int] = (), **more: Any) -> Process:
        """Start the command line in the repository, with a secret in its environment."""
        variables = {name: value for name, value in os.environ.items() if name != "MAKFS_REPO"}
        variables |= {"PYTHONPATH": PACKAGES, "MAKFS_TEST_SECRET": SECRET, "MAKFS_TEST_LISTED": "listed"}
        variables["HOME"] = str(self.outside.parent / "home")
        command = [self.mounted.python, "-P", "-m", "makfs.cli", *words]
        pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | more
        process: Process = subprocess.Popen(
            command, cwd=self.repo, env=variables, pass_fds=fds, stdin=pipes.pop("stdin"),
            stdout=pipes.pop("stdout"), stderr=pipes.pop("stderr"),
            start_new_session=pipes.pop("start_new_session", False), **self.mounted.who,
        )  # fmt: skip
        assert not pipes
        return process

    def makfs(self, *words: str) -> tuple[int, str, str]:
        """Run the command line; return its exit code, output and errors."""
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE_S)
        return process.returncode, out.decode(), err.decode()

    def run(self, *words: str, agent: str = "alice", options: Sequence[str] = ()) -> tuple[int, str, str]:
        """Run a program in an agent's view to its end."""
        return self.makfs("run", *options, agent, "--", *words)

    def detach(self, *words: str, agent: str = "alice", options: Sequence[str] = ()) -> int:
        """Start a program in the background; return the run's number when its processes are known."""
        code, out, err = self.run(*words, agent=agent, options=["-d", *options])
        assert (code, err) == (0, "")
        number = int(out)
        until(lambda: self.record(number)["leader"] is not None or self.record(number)["status"] != "running")
        return number

    def record(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.mounted.makfs("inspect", str(number)))
        return found

    def newest(self) -> dict[str, Any]:
        """Return the record of the newest run."""
        found: list[dict[str, Any]] = json.loads(self.mounted.makfs("ps", "-a", "--json"))
        return found[0]

    def waiting(self) -> list[str]:
        """Return who waits for something."""
        return [each["agent"] for each in json.loads(self.mounted.makfs("locks", "--json"))["waiters"]]

    def held(self) -> list[str]:
        """Return who holds something."""
        return [each["agent"] for each in json.loads(self.mounted.makfs("locks", "--json"))["grants"]]

    def end_all(self) -> None:
        """End what goes on, after a test that failed half-way."""
        for number in self.makfs("ps", "-q")[1].split():
            self.makfs("kill", number)
            self.makfs("wait", number)

    def unharmed(self) -> None:
        """See that nothing outside was touched, and that nothing goes on."""
        assert self.outside.read_text() == TREASURE
        assert self.stranger.poll() is None
        assert self.mounted.is_mounted()
        assert json.loads(self.mounted.makfs("ps", "--json")) == []


@dataclass(frozen=True)
class User:
    """An ordinary user, and a Python that may be run by one."""

    uid: int
    gid: int
    python: str

    @property
    def who(self) -> Who:
        """Return what makes a process this user's."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def own(self, top: Path) -> None:
        """Give a folder to the user, with all in it."""
        os.chown(top, self.uid, self.gid)
        for folder, folders, files in os.walk(top):
            for name in folders + files:
                os.chown(os.path.join(folder, name), self.uid, self.gid, follow_symlinks=False)

    def can(self, *words: str) -> bool:
        """Tell whether the user can run something."""
        try:
            return not subprocess.run(words, capture_output=True, check=False, cwd="/", **self.who).returncode
        except OSError:
            return False


@contextmanager
def place(top: Path, more: str = "", user: "User | None" = None, wait_s: float = WAIT_S) -> Iterator[Place]:
    """Serve a repository in a folder until the block ends, with more settings, as a user if not ourselves."""
    who: Who = {} if user is None else user.who
    repo = top / "repo"
    subprocess.run(["git", "init", "-q", str(repo)], check=True)
    (repo / "app.py").write_text("def f():\n    return 1\n\n\ndef g():\n    return 2\n")
    (repo / "README.md").write_text("# app\n")
    (top / "treasure").write_text(TREASURE)
    (top / "home").mkdir()
    (top / "home" / "key").write_text(TREASURE)
    config = CONFIG if user is None else CONFIG.replace(json.dumps(sys.base_prefix), "")
    config = config.replace(f"wait_s = {WAIT_S}", f"wait_s = {wait_s}")
    (top / "makfs.conf").write_text(config + more)
    (top / "work").mkdir()
    if user is not None:
        user.own(top)
    mounted = Mounted(repo, top / "work", on_write="lease", config=top / "makfs.conf")
    if user is not None:
        mounted.python, mounted.who, mounted.home = user.python, user.who, str(top / "home")
    stranger = subprocess.Popen(["sleep", "3600"], **who)
    try:
        mounted.start()
        yield Place(mounted, top / "treasure", stranger)
        mounted.stop()
    finally:
        stranger.kill()
        stranger.wait()
        mounted.take_away()
    assert not mounted.complaints(), mounted.complaints()[0]


def until(is_so: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    """Return when something is so; fail when it takes too long."""
    deadline = time.monotonic() + patience_s
    while not is_so():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


def line_of(process: Process) -> str:
    """Return the next line that a process writes."""
    assert process.stdout is not None
    assert select.select([process.stdout], [], [], PATIENCE_S)[0]
    return process.stdout.readline().decode().strip()


def alive(marker: str) -> list[int]:
    """Return the processes that have a word of this kind on their command line."""
    found: list[int] = []
    for each in Path("/proc").iterdir():
        try:
            if each.name.isdecimal() and marker.encode() in (each / "cmdline").read_bytes():
                found.append(int(each.name))
        except OSError:
            continue
    return found
