"""Places to measure at and how: mounts of makfs and bindfs, CPU time of clients and daemons, opened files."""

import contextlib
import ctypes
import json
import os
import select
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 120.0
_IN_OPEN = 0x20
_IN_ISDIR = 0x40000000
_IN_Q_OVERFLOW = 0x4000
_EVENT = struct.Struct("iIII")


class Failed(Exception):
    """Something that is measured does not work; nothing sensible can be said about its speed."""


def commit_of(checkout: Path) -> str:
    """Return a checkout's commit, marked if it was changed; "unknown" where there is no git."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=10"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


def process_cpu_s(pid: int) -> float:
    """Return the CPU time a process has used, its ended threads too (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


@dataclass(frozen=True, slots=True)
class Place:
    """A directory to measure at, and the daemon (0: none) whose work for it counts too."""

    name: str
    folder: Path
    pid: int = 0

    def cpu_s(self, command: Sequence[str], stdin: Path | None = None) -> float:
        """Run a command here; return its CPU time and the daemon's for it. Raises Failed."""
        with open(stdin or os.devnull, "rb") as given:
            before = process_cpu_s(self.pid) if self.pid else 0.0
            child = subprocess.Popen(command, cwd=self.folder, stdin=given, stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            after = process_cpu_s(self.pid) if self.pid else 0.0
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise Failed(f"{' '.join(command)} ended with {child.returncode} in {self.folder}")
        return usage.ru_utime + usage.ru_stime + after - before


class Makfs:
    """The command under test and one repository it serves."""

    def __init__(self, command: Sequence[str], repo: Path, mountpoint: Path) -> None:
        self.command = tuple(command)
        self.repo = repo
        self.mountpoint = mountpoint
        mountpoint.mkdir(exist_ok=True)

    def run(self, *arguments: str) -> bytes:
        """Run a makfs command; return its output. Raises Failed."""
        done = subprocess.run([*self.command, *arguments], stdout=subprocess.PIPE, timeout=PATIENCE_S)
        if done.returncode != 0:
            raise Failed(f"{' '.join([*self.command, *arguments])} ended with {done.returncode}")
        return done.stdout

    def mount(self, *agents: str, on_write: str | None = None) -> None:
        """Mount with a view for each agent."""
        options = [f"--agent={name}" for name in agents]
        options += [f"--on-write={on_write}"] if on_write else []
        self.run("mount", str(self.repo), str(self.mountpoint), *options)

    def umount(self) -> None:
        """Unmount; the daemon has ended when this returns."""
        self.run("umount", str(self.mountpoint))

    @property
    def pid(self) -> int:
        """Return the daemon's process id."""
        return int(json.loads(self.run("-C", str(self.repo), "status", "--json"))["pid"])

    def place(self, agent: str) -> Place:
        """Return a view as a place to measure at."""
        return Place("makfs", self.mountpoint / agent, self.pid)

    @contextlib.contextmanager
    def mounted(self, *agents: str, on_write: str | None = None) -> Iterator["Makfs"]:
        """Mount for the length of a block."""
        self.mount(*agents, on_write=on_write)
        try:
            yield self
        finally:
            self.umount()


@contextlib.contextmanager
def bindfs(source: Path, mountpoint: Path) -> Iterator[Place | None]:
    """Mount `source` by bindfs for the length of a block; None where it is not installed."""
    program = shutil.which("bindfs")
    if program is None:
        yield None
        return
    mountpoint.mkdir(exist_ok=True)
    daemon = subprocess.Popen([program, "-f", str(source), str(mountpoint)])
    try:
        _wait_mounted(mountpoint, daemon)
        yield Place("bindfs", mountpoint, daemon.pid)
    finally:
        subprocess.run(["fusermount3", "-u", "-z", "--", str(mountpoint)], check=False)
        daemon.wait(PATIENCE_S)


def _wait_mounted(mountpoint: Path, daemon: "subprocess.Popen[bytes]") -> None:
    """Return when something is mounted: the kernel tells pollers of mountinfo (proc(5))."""
    with open("/proc/self/mountinfo", "rb") as mounts:
        changed = select.poll()
        changed.register(mounts, select.POLLPRI | select.POLLERR)
        while not os.path.ismount(mountpoint):
            changed.poll(1000)
            if daemon.poll() is not None:
                raise Failed(f"bindfs ended with {daemon.returncode}")


class Opened:
    """Counts opens of files below a directory, by inotify(7): what a daemon re-reads, it opens first."""

    def __init__(self, folder: Path, but: frozenset[str]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._but = but
        self._fd: int = libc.inotify_init1(os.O_NONBLOCK)
        if self._fd < 0:
            raise Failed(f"inotify: {os.strerror(ctypes.get_errno())}")
        for place, folders, _ in os.walk(folder):
            folders[:] = [name for name in folders if name not in {".git", ".makfs"}]
            if libc.inotify_add_watch(self._fd, os.fsencode(place), _IN_OPEN) < 0:
                raise Failed(f"inotify: {os.strerror(ctypes.get_errno())}: see fs.inotify.max_user_watches")

    def take(self) -> int:
        """Return how many files were opened since the last call."""
        count = 0
        while True:
            try:
                data = os.read(self._fd, 1 << 20)
            except BlockingIOError:
                return count
            at = 0
            while at < len(data):
                _, mask, _, length = _EVENT.unpack_from(data, at)
                if mask & _IN_Q_OVERFLOW:
                    raise Failed("inotify lost count: raise fs.inotify.max_queued_events")
                name = os.fsdecode(data[at + _EVENT.size : at + _EVENT.size + length].rstrip(b"\0"))
                count += bool(mask & _IN_OPEN and not mask & _IN_ISDIR and name not in self._but)
                at += _EVENT.size + length

    def close(self) -> None:
        """Stop counting."""
        os.close(self._fd)


def resident_mb(pid: int) -> float:
    """Return a process's resident memory in MB (proc(5), status)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise Failed(f"process {pid} is gone")
