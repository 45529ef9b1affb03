"""A repository served by a real makfsd, for tests: mounted, remounted, looked at from all sides."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

PATIENCE_S = 60  # a machine may be slow; nothing here is timed
PACKAGES = os.pathsep.join(path for path in sys.path if path)
TRANSPORTS = ("native", "pyfuse3")


class Who(TypedDict, total=False):
    """Whose a process is, for Popen."""

    user: int
    group: int
    extra_groups: list[int]


class Mounted:
    """One repository at one mountpoint. The daemon is a child, so its end can be waited for."""

    def __init__(
        self,
        repo: Path,
        mountpoint: Path,
        agents: tuple[str, ...] = ("alice", "bob"),
        on_write: str | None = "merge",  # so that no test waits for a lease it does not ask for
        config: Path | None = None,  # read instead of the repository's makfs.conf
    ) -> None:
        self.on_write = on_write
        self.config = config
        self.repo = repo
        self.mountpoint = mountpoint
        self.agents = agents
        self.daemon: subprocess.Popen[bytes] | None = None
        self.python = sys.executable
        self.who: Who = {}
        self.home = os.environ.get("HOME", "/")

    @property
    def alice(self) -> Path:
        return self.mountpoint / "alice"

    @property
    def bob(self) -> Path:
        return self.mountpoint / "bob"

    def start(self) -> None:
        """Serve; return when the mount answers."""
        read_end, write_end = os.pipe()
        command = [self.python, "-P", "-m", "makfsd", "--foreground", "--ready-fd", str(write_end)]
        command += ["--repo", str(self.repo), "--mount", str(self.mountpoint)]
        command += ["--on-write", self.on_write] if self.on_write else []
        command += ["--config", str(self.config)] if self.config else []
        for agent in self.agents:
            command += ["--agent", agent]
        with open(read_end, encoding="utf-8") as lines:
            try:
                self.daemon = subprocess.Popen(
                    command, pass_fds=[write_end], cwd=self.repo,
                    env={**os.environ, "PYTHONPATH": PACKAGES, "HOME": self.home}, **self.who,
                )  # fmt: skip
            finally:
                os.close(write_end)
            told = [line for line in lines.read().splitlines() if not line.startswith("note: ")]
        assert told == ["ready"], f"makfsd did not start: {told}; {self.complaints()}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the daemon and wait for its end, in order unless it was killed."""
        if self.daemon is None:
            return
        self.daemon.send_signal(number)
        code = self.daemon.wait(PATIENCE_S)
        self.daemon = None
        assert code == (-number if number is signal.SIGKILL else 0), f"makfsd ended with {code}"

    def remount(self) -> None:
        """Unmount and mount again."""
        self.stop()
        assert not os.path.ismount(self.mountpoint)
        self.start()

    def complaints(self) -> list[str]:
        """Return what the log says of errors: a handler that crashed told its caller EIO and went on."""
        log = self.repo / ".makfs" / "makfsd.log"
        if not log.exists():
            return []
        lines = log.read_text(errors="replace").splitlines()
        bad = [
            at
            for at, line in enumerate(lines)
            if (" ERROR " in line or " CRITICAL " in line)
            and "fuse_reply_"
            not in line  # whoever asked was gone when the answer came: the mount was taken away
        ]
        return ["\n".join(lines[at : at + 40]) for at in bad]

    def pause(self) -> None:
        """Stop the daemon, as a machine does that is short of time. Touch the mount only after `go_on`."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it run again."""
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGCONT)

    def findings(self) -> list[object]:
        """Return what fsck finds in the repository, which nobody serves."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "makfsd", "fsck", "--json", str(self.repo)],
            env={**os.environ, "PYTHONPATH": PACKAGES}, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode in (0, 1), done.stderr
        found: list[object] = json.loads(done.stdout)
        return found

    def makfs(self, *arguments: str | Path) -> str:
        """Run the command line on this repository; return what it prints."""
        done = subprocess.run(
            [self.python, "-P", "-m", "makfs.cli", "-C", self.repo, *arguments], cwd=self.repo,
            env={**os.environ, "PYTHONPATH": PACKAGES, "HOME": self.home}, capture_output=True, text=True,
            check=False, **self.who,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def take_away(self) -> None:
        """End whatever is left, also after a test that failed half-way."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            assert self.daemon is not None
            self.daemon.kill()
            self.daemon.wait()
        if self.is_mounted():
            subprocess.run(["fusermount3", "-uz", "--", str(self.mountpoint)], check=False)

    def is_mounted(self) -> bool:
        """Tell whether something is mounted there: a user's mount is not even root's to look into."""
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return any(line.split()[4] == str(self.mountpoint) for line in file)


@contextmanager
def snapshot_and_live(repo: Path, mountpoint: Path) -> Iterator[Mounted]:
    """Serve a repository, alice in a snapshot view and bob in a live one; at the end its store is sound."""
    mountpoint.mkdir()
    mounted = Mounted(repo, mountpoint, agents=("bob",))
    try:
        mounted.start()
        mounted.makfs("agent", "add", "--isolation", "snapshot", "alice")
        mounted.agents = ("alice", "bob")
        yield mounted
        mounted.stop()
        assert mounted.findings() == []
    finally:
        mounted.take_away()


def outcome(call: Callable[[], object]) -> object:
    """Return what a call returns, or the name of its errno."""
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]


def in_child(call: Callable[[], object]) -> str:
    """Return the outcome of a call made by another process, as its repr."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.write(write_end, repr(outcome(call)).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    os.waitpid(child, 0)
    with open(read_end, "rb") as answer:
        return answer.read().decode()


def listing(top: Path) -> dict[str, tuple[int, object]]:
    """Return a whole tree: path -> mode and text, target or None."""
    found: dict[str, tuple[int, object]] = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in sorted(folders + files):
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what: object = None
            if os.path.islink(path):
                what = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    what = file.read()
            found[os.fsdecode(os.path.relpath(path, os.fsencode(top)))] = (st.st_mode, what)
    return found
