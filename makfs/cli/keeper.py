"""Keeps a run's program: starts it, and again, passes its input, output and signals on, records how it ended.

K1  The program gets each signal once; the keeper ends when the run has, and its leftovers with it.
K2  The keeper has no thread. Killed, it takes a confined program along (bwrap's --die-with-parent).
K3  Values of variables stay in the keeper, which is why it is the keeper who starts a program again.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from makfs.cli import leftovers
from makfs.cli.door import Door, Feed
from makfs.cli.keeperlog import Log, Transcript, write_all
from makfs.cli.keeping_live import Live, device_of
from makfs.cli.window import Window, in_child
from makfs.runs.restarts import Ended, Next, Policy, Told, When, decide
from makfs.wire.attaching import END, ERR, IN, OUT, SIGNAL, SIZE
from makfs.wire.runs import TERMINAL_NAME

if TYPE_CHECKING:
    from makfs.adapters.table import Adapter
    from makfs.cli.metering import Metering

CHUNK_BYTES = 1 << 16
LEFT_S = 1.0  # for output that was written before the end
LOOK_S = 0.5  # so often it is looked whether a view is back
GRACE_S = 10.0  # between SIGTERM and SIGKILL for a program whose view is gone
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # while there is no program to pass them on to


@dataclass(frozen=True, slots=True)
class Job:
    """What to start. `line` is called with the descriptor for bwrap's status, or -1."""

    line: Callable[[int], Sequence[str]]
    variables: Mapping[str, str]
    folder: str
    cwd: str
    log_bytes: int
    confined: bool
    terminal: bool  # the program gets one of its own; the caller's, unless quiet, is its other end
    quiet: bool  # nothing is passed on: no caller waits
    daemon: int  # the connection: readable when makfsd has ended
    pass_fds: tuple[int, ...]
    view: str = ""
    policy: Policy = Policy()
    groups: tuple[str, ...] = ()  # control groups to enter
    interactive: bool = False  # quiet, and its input stays open for those who attach
    input_fd: int = -1  # what it reads from its beginning, instead of the caller's input
    adapter: "Adapter | None" = None  # by which its output is read
    secrets: tuple[str, ...] = ()  # values not to be recorded


class Keeper:
    """One run. `run` once."""

    def __init__(
        self,
        job: Job,
        started: Callable[[int], None],
        lost: Callable[[], None],
        say: Callable[[str], None] | None = None,
    ) -> None:
        self._job = job
        self._started = started
        self._lost = lost
        self._say = say
        self._events = selectors.DefaultSelector()
        self._status, self._status_fd = b"", -1
        self._pending: list[int] = []
        self._outputs: dict[int, Log] = {}
        out, err = (None, None) if job.quiet else (1, 2)
        self._live = Live(job.folder)
        self._feed = Feed(self._events)
        self._door = Door(job.folder, self._events, self._feed, self._take_part)
        self._out = Log(
            os.path.join(job.folder, "stdout"), job.log_bytes, out, lambda data: self._door.offer(OUT, data)
        )
        self._err = Log(
            os.path.join(job.folder, "stderr"), job.log_bytes, err, lambda data: self._door.offer(ERR, data)
        )
        self._window = Window(callers=job.terminal and not job.quiet)
        self._metering = _metering(job, self._live)
        self._leader = 0
        self._ever_led = False
        self._device = device_of(job.view)  # of the view that the program is in
        self._is_view_gone = False
        self._kill_at = 0.0  # when a program whose view is gone is killed, 0: it was not told to end
        self._is_told_again = False

    @property
    def was_started(self) -> bool:
        """Tell whether the program's processes were ever there."""
        return self._ever_led

    def run(self) -> int:
        """Keep the program to the end of the run, return its exit code. Raises OSError if it cannot start."""
        told, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*PASSED_ON, signal.SIGCHLD, signal.SIGWINCH, signal.SIGUSR1):
            signal.signal(number, _noted)
        self._events.register(told, selectors.EVENT_READ, self._answer_signals)
        if self._job.daemon >= 0:
            self._events.register(self._job.daemon, selectors.EVENT_READ, self._hear_of_daemon)
        if not self._job.confined:  # what it leaves behind comes to us
            leftovers.adopt()
        with self._window.raw():
            code = self._keep()
        self._pass_news()  # what makfsd did may have ended the program before we heard of it
        self._out.close()
        self._err.close()
        self._live.end(code, self._out, self._err)
        self._door.close(code)
        return code

    def _keep(self) -> int:
        """Start the program as often as the policy and those who ask want it; return its last exit code."""
        now = Next(0, 0, 0)
        while True:
            began_ns = time.monotonic_ns()
            code = self._once(now.restarts)
            told = self._live.wish()
            if self._is_told_again and told is Told.NOTHING:
                told = Told.AGAIN
            ran_ns = time.monotonic_ns() - began_ns
            after = decide(
                self._job.policy, Ended(code, ran_ns, now.restarts, now.streak, told), time.monotonic_ns()
            )
            if after is None:
                return code
            self._live.again(after.restarts, (after.start_ns - time.monotonic_ns()) / 1e9, code, told)
            if not self._wait_for(after):
                return code
            now = after

    def _once(self, restarts: int) -> int:
        """Start the program, wait for its end, return its exit code."""
        self._is_told_again, self._kill_at, self._is_view_gone = False, 0.0, False
        self._leader, self._status = 0, b""
        child = self._start()
        self._live.put(restarts=restarts, next_ns=0)
        while child.poll() is None:
            self._turn(LOOK_S if self._is_view_gone else None)
            if not self._job.confined:
                leftovers.reap(child.pid)
            if self._is_view_gone:
                self._look_for_view()
        self._drain(child)
        self._close_outputs()
        self._close_status()
        if self._metering is not None:
            self._metering.end()
        if not self._job.confined:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            leftovers.end_all()
        self._leader = 0
        self._pending.clear()
        return child.returncode if child.returncode >= 0 else 128 - child.returncode

    def _wait_for(self, after: Next) -> bool:
        """Return True when it is time to start again, False if the run is to end instead."""
        while True:
            left_s = (after.start_ns - time.monotonic_ns()) / 1e9
            if left_s <= 0 and device_of(self._job.view):
                self._device = device_of(self._job.view)
                return True
            self._turn(left_s if left_s > 0 else LOOK_S)
            told = self._live.wish()
            if told is Told.STOP or any(number in _ENDS for number in self._pending):
                return False
            if told is Told.AGAIN:
                after = Next(0, after.restarts, 0)

    def _start(self) -> "subprocess.Popen[bytes]":
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        error_read, error_write = os.pipe2(os.O_CLOEXEC)
        for fd in self._job.pass_fds:
            os.lseek(fd, 0, os.SEEK_SET)  # the one before has read it
        if self._job.terminal:
            out_read, program_end = self._open_terminal()
            out_write = program_end
        else:
            out_read, out_write = os.pipe2(os.O_CLOEXEC)
            program_end = self._input_of_program()
        one = self._job.terminal and (self._job.quiet or os.isatty(2))
        takes = self._job.terminal and not self._job.confined  # confined, setsid(1) does it inside
        try:
            child = subprocess.Popen(
                self._job.line(write_end),
                env=dict(self._job.variables),
                cwd=self._job.cwd,
                stdin=program_end,
                stdout=out_write,
                stderr=out_write if one else error_write,
                pass_fds=(*self._job.pass_fds, write_end) if self._job.confined else (),
                start_new_session=True,
                preexec_fn=in_child(self._job.groups, takes=takes),  # noqa: PLW1509 - there are no threads (K2)
            )
        except subprocess.SubprocessError:
            raise OSError(0, "its control group cannot be entered") from None
        for fd in {write_end, error_write, out_write, program_end} - {0}:
            os.close(fd)
        if not self._job.confined:
            self._lead(child.pid)
        self._status_fd = read_end
        self._events.register(read_end, selectors.EVENT_READ, self._take_status)
        for fd, log in ((out_read, self._out), (error_read, self._err)):
            self._outputs[fd] = log
            self._events.register(fd, selectors.EVENT_READ, self._take_output)
        if self._job.terminal and not self._job.quiet:
            with contextlib.suppress(KeyError):  # of the start before
                self._events.register(0, selectors.EVENT_READ, self._take_input)
        return child

    def _open_terminal(self) -> tuple[int, int]:
        """Return both ends of a new terminal."""
        theirs = self._window.open()
        self._feed.open(os.dup(self._window.fd))
        if self._out.transcript is None:
            path = os.path.join(self._job.folder, TERMINAL_NAME)
            self._out.transcript = Transcript(path, *self._window.size(), self._job.log_bytes)
            self._window.transcript = self._out.transcript
        return self._window.fd, theirs

    def _input_of_program(self) -> int:
        if self._job.input_fd >= 0:
            os.lseek(self._job.input_fd, 0, os.SEEK_SET)  # the one before has read it
            return os.dup(self._job.input_fd)
        if not self._job.quiet:
            return 0
        if not self._job.interactive:
            return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        self._feed.open(ours)
        return theirs

    def _turn(self, wait_s: float | None) -> bool:
        """Wait for something and answer it; return whether there was anything of the program's."""
        was_output = False
        for key, _ in self._events.select(wait_s):
            was_output = was_output or key.fd in self._outputs
            key.data(key.fd)
        if self._pending and self._leader:
            self._pending = [number for number in self._pending if not self._pass_on(number)]
        return was_output

    def _take_output(self, fd: int) -> None:
        try:
            chunk = os.read(fd, CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: the other end of a terminal is closed
            chunk = b""
        if self._metering is not None:
            self._metering.take(chunk, is_error=self._outputs[fd] is self._err)
        if not chunk or not self._outputs[fd].take(chunk):
            self._close_output(fd)  # a program that writes on gets SIGPIPE, as without us

    def _close_output(self, fd: int) -> None:
        del self._outputs[fd]
        self._events.unregister(fd)
        os.close(fd)
        if fd == self._window.fd:
            self._window.fd = -1
            self._feed.close()

    def _close_outputs(self) -> None:
        for fd in list(self._outputs):
            self._close_output(fd)
        self._feed.close()

    def _take_input(self, fd: int) -> None:
        chunk = os.read(fd, CHUNK_BYTES)
        if not chunk:
            self._events.unregister(fd)
        elif self._window.fd >= 0:
            write_all(self._window.fd, chunk)

    def _take_part(self, kind: bytes, data: bytes) -> None:
        """Do what somebody who is attached asks for."""
        if kind == IN:
            self._feed.put(data)
        elif kind == END and not self._job.terminal:
            self._feed.end()
        elif kind == SIZE and self._job.quiet:
            columns, _, rows = data.decode("ascii", "replace").partition("x")
            if columns.isdecimal() and rows.isdecimal():
                self._window.set_size(int(rows), int(columns))
        elif kind == SIGNAL and data.isdigit() and int(data) in PASSED_ON:
            self._pending.append(int(data))

    def _take_status(self, fd: int) -> None:
        chunk = os.read(fd, CHUNK_BYTES)
        self._status += chunk
        if not chunk:
            self._close_status()
        if not self._leader and b"\n" in self._status:
            self._lead(json.loads(self._status.split(b"\n")[0])["child-pid"])

    def _close_status(self) -> None:
        """Hear no more of a start that is over: it would be taken for the next one."""
        if self._status_fd >= 0:
            self._events.unregister(self._status_fd)
            os.close(self._status_fd)
            self._status_fd = -1

    def _lead(self, pid: int) -> None:
        self._leader = pid
        self._ever_led = True
        self._live.lead(pid)
        self._started(pid)

    def _hear_of_daemon(self, fd: int) -> None:
        self._events.unregister(fd)
        self._is_view_gone = self._job.policy.when is not When.NO
        self._live.tell("view gone", "makfsd has ended; the program goes on.")
        self._lost()

    def _look_for_view(self) -> None:
        """End a program that is to be started again in its view, which somebody mounted anew."""
        device = device_of(self._job.view)
        if not self._kill_at and device and device != self._device:
            self._is_told_again = True
            self._live.tell("view back", "The program is ended, and started again in its view.")
            self._kill_at = time.monotonic() + GRACE_S
            self._pass_on(signal.SIGTERM)
        elif self._kill_at and time.monotonic() >= self._kill_at and self._leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._leader, signal.SIGKILL)

    def _answer_signals(self, fd: int) -> None:
        for number in os.read(fd, 512):
            if number == signal.SIGWINCH:
                self._window.follow()
            elif number == signal.SIGUSR1:
                self._pass_news()
            elif number in PASSED_ON:
                self._pending.append(number)

    def _pass_news(self) -> None:
        """Tell the run's caller what makfsd did to it."""
        for sentence in self._live.news():
            if self._say is not None:
                self._say(sentence)

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

    def _drain(self, child: "subprocess.Popen[bytes]") -> None:
        """Take what the program wrote before its end; leftovers of a confined one are being killed."""
        deadline = time.monotonic() + LEFT_S
        while self._outputs:
            left_s = deadline - time.monotonic()
            if left_s <= 0 or (not self._job.confined and not self._turn(0)):
                return
            if self._job.confined:
                self._turn(left_s)


def _noted(_number: int, _frame: object) -> None:
    """Do nothing: the signal's number is in the wake-up pipe."""


def _metering(job: Job, live: Live) -> "Metering | None":
    """Return what reads the output, if there is an adapter that says how."""
    if job.adapter is None:
        return None
    from makfs.cli.metering import Metering

    return Metering(job.adapter, job.secrets, live, job.folder)
