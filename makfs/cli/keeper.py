"""Keeps a run's program: starts it, passes its input, output and signals on, and records how it ended.

K1  The program gets each signal once; the keeper ends when the program has, and its leftovers with it.
K2  Of each stream at most `log_bytes` are kept; what came after is counted, and the log says that it is cut.
K3  The keeper has no thread. Killed, it takes a confined program along (bwrap's --die-with-parent).
"""

import contextlib
import fcntl
import json
import os
import select
import selectors
import signal
import subprocess
import termios
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from makfs.wire.runs import END_NAME, RunEnding
from makfs.wire.values import to_json

CHUNK_BYTES = 1 << 16
LEFT_S = 1.0  # for output that was written before the end
CUT = b"\n[makfs: output dropped]\n"
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_INPUT, _TOLD, _STATUS, _DAEMON = "input", "told", "status", "daemon"


class Log:
    """One stream of a run: passed on and kept, both as far as they go."""

    def __init__(self, path: str, limit_bytes: int, forward: int | None) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._left_bytes = limit_bytes
        self._forward = forward
        self.bytes = 0
        self.dropped_bytes = 0

    def take(self, chunk: bytes) -> bool:
        """Keep a chunk and pass it on; return False when nobody reads any more what is passed on."""
        self.bytes += len(chunk)
        kept = chunk[: self._left_bytes]
        dropped = len(chunk) - len(kept)
        try:
            _write_all(self._file, kept + (CUT if dropped and not self.dropped_bytes else b""))
        except OSError:
            dropped = len(chunk)  # the disk is full; the program goes on
        self._left_bytes -= len(kept)
        self.dropped_bytes += dropped
        if self._forward is not None:
            try:
                _write_all(self._forward, chunk)
            except BrokenPipeError:
                return False
        return True

    def close(self) -> None:
        os.close(self._file)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody made the caller's output non-blocking
            select.select([], [fd], [])


@dataclass(frozen=True, slots=True)
class Job:
    """What to start. `line` is called with the descriptor for bwrap's status, or -1."""

    line: Callable[[int], Sequence[str]]
    variables: Mapping[str, str]
    folder: str
    cwd: str
    log_bytes: int
    confined: bool
    terminal: bool  # standard input and output are one
    quiet: bool  # nothing is passed on: no caller waits
    daemon: int  # the connection: readable when makfsd has ended
    pass_fds: tuple[int, ...]


class Keeper:
    """One program. `run` once."""

    def __init__(self, job: Job, started: Callable[[int], None], lost: Callable[[], None]) -> None:
        self._job = job
        self._started = started
        self._lost = lost
        self._events = selectors.DefaultSelector()
        self._status = b""
        self._leader = 0
        self._pending: list[int] = []
        out, err = (None, None) if job.quiet else (1, 2)
        self._out = Log(os.path.join(job.folder, "stdout"), job.log_bytes, out)
        self._err = Log(os.path.join(job.folder, "stderr"), job.log_bytes, err)
        self._terminal = -1

    @property
    def was_started(self) -> bool:
        """Tell whether the program's processes were ever there."""
        return self._leader != 0

    def run(self) -> int:
        """Start the program, keep it, return its exit code. Raises OSError if bwrap cannot be started."""
        told, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*PASSED_ON, signal.SIGCHLD, signal.SIGWINCH):
            signal.signal(number, _noted)
        child = self._start()
        self._events.register(told, selectors.EVENT_READ, _TOLD)
        if self._job.daemon >= 0:
            self._events.register(self._job.daemon, selectors.EVENT_READ, _DAEMON)
        with self._raw_terminal():
            while child.poll() is None:
                self._turn(child, None)
            self._drain(child)
        code = child.returncode if child.returncode >= 0 else 128 - child.returncode
        if not self._job.confined:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
        self._record(code)
        return code

    def _start(self) -> "subprocess.Popen[bytes]":
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        error_read, error_write = os.pipe2(os.O_CLOEXEC)
        if self._job.terminal:
            self._terminal, program_end = os.openpty()
            self._resize()
            out_write, out_read = program_end, self._terminal
        else:
            out_read, out_write = os.pipe2(os.O_CLOEXEC)
            program_end = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC) if self._job.quiet else 0
        takes = self._job.terminal and not self._job.confined  # confined, setsid(1) does it inside
        child = subprocess.Popen(
            self._job.line(write_end),
            env=dict(self._job.variables),
            cwd=self._job.cwd,
            stdin=program_end,
            stdout=out_write,
            stderr=out_write if self._job.terminal and os.isatty(2) else error_write,
            pass_fds=(*self._job.pass_fds, write_end) if self._job.confined else (),
            start_new_session=True,
            preexec_fn=_take_terminal if takes else None,  # noqa: PLW1509 - there are no threads (K3)
        )
        for fd in {write_end, error_write, out_write, *self._job.pass_fds}:
            os.close(fd)
        if not self._job.confined:
            self._lead(child.pid)
        self._events.register(read_end, selectors.EVENT_READ, _STATUS)
        self._events.register(out_read, selectors.EVENT_READ, self._out)
        self._events.register(error_read, selectors.EVENT_READ, self._err)
        if self._job.terminal:
            self._events.register(0, selectors.EVENT_READ, _INPUT)
        return child

    def _turn(self, child: "subprocess.Popen[bytes]", wait_s: float | None) -> bool:
        """Wait for something and answer it; return whether there was anything of the program's."""
        was_output = False
        for key, _ in self._events.select(wait_s):
            if isinstance(key.data, Log):
                was_output = True
                self._take_output(key.fd, key.data)
            elif key.data == _TOLD:
                self._answer_signals(key.fd)
            elif key.data == _STATUS:
                self._take_status(key.fd)
            elif key.data == _INPUT:
                self._take_input()
            else:
                self._events.unregister(key.fd)
                self._lost()
        if self._pending and self._leader:
            self._pending = [number for number in self._pending if not self._pass_on(number)]
        return was_output

    def _take_output(self, fd: int, to: Log) -> None:
        try:
            chunk = os.read(fd, CHUNK_BYTES)
        except OSError:  # EIO: the other end of a terminal is closed
            chunk = b""
        if not chunk or not to.take(chunk):
            self._events.unregister(fd)
            os.close(fd)  # a program that writes on gets SIGPIPE, as without us

    def _take_input(self) -> None:
        chunk = os.read(0, CHUNK_BYTES)
        if chunk:
            _write_all(self._terminal, chunk)
        else:
            self._events.unregister(0)

    def _take_status(self, fd: int) -> None:
        chunk = os.read(fd, CHUNK_BYTES)
        self._status += chunk
        if not chunk:
            self._events.unregister(fd)
            os.close(fd)
        if not self._leader and b"\n" in self._status:
            self._lead(json.loads(self._status.split(b"\n")[0])["child-pid"])

    def _lead(self, pid: int) -> None:
        self._leader = pid
        self._started(pid)

    def _answer_signals(self, fd: int) -> None:
        for number in os.read(fd, 512):
            if number == signal.SIGWINCH:
                self._resize()
            elif number in PASSED_ON:
                self._pending.append(number)

    def _pass_on(self, number: int) -> bool:
        """Send the program a signal; return False if it is not there yet."""
        if not self._job.confined:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._leader, number)
            return True
        try:
            with open(f"/proc/{self._leader}/task/{self._leader}/children", encoding="ascii") as file:
                pids = file.read().split()
            if pids:
                os.kill(int(pids[0]), number)
        except (FileNotFoundError, ProcessLookupError):
            return True
        return bool(pids)

    def _resize(self) -> None:
        if self._terminal >= 0:
            with contextlib.suppress(OSError):
                size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    @contextlib.contextmanager
    def _raw_terminal(self) -> Iterator[None]:
        """Let every key go to the program while it runs."""
        if not self._job.terminal:
            yield
            return
        before = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)

    def _drain(self, child: "subprocess.Popen[bytes]") -> None:
        """Take what the program wrote before its end; leftovers of a confined one are being killed."""
        deadline = time.monotonic() + LEFT_S
        while any(isinstance(key.data, Log) for key in self._events.get_map().values()):
            left_s = deadline - time.monotonic()
            if left_s <= 0 or (not self._job.confined and not self._turn(child, 0)):
                return
            if self._job.confined:
                self._turn(child, left_s)

    def _record(self, code: int) -> None:
        self._out.close()
        self._err.close()
        dropped = self._out.dropped_bytes + self._err.dropped_bytes
        ending = RunEnding(time.time_ns(), code, self._out.bytes, self._err.bytes, dropped)
        path = os.path.join(self._job.folder, END_NAME)
        with contextlib.suppress(OSError):  # a full disk: the run is recorded as lost
            with open(path + ".new", "w", encoding="ascii") as file:
                json.dump(to_json(ending), file)
            os.replace(path + ".new", path)


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the signal's number is in the wake-up pipe."""


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
