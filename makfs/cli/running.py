"""Runs the command of `makfs with`: its signals, its time, its end.

R1  The command gets each signal once: what a terminal sends reaches it anyway, what a process sends to
    makfs is passed on. makfs ends when the command has, and not before.
R2  When makfs is killed, the kernel sends the command SIGTERM (prctl(2), PR_SET_PDEATHSIG); not to a command
    that is setuid, nor to what the command has started.
R3  No thread and no handler: signals are blocked and taken one by one (sigwaitinfo(2)), the end of the
    connection too, which comes as SIGIO (fcntl(2), O_ASYNC).
"""

import ctypes
import fcntl
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence

from makfs.cli.exits import EXIT_COMMAND_FAILED, EXIT_COMMAND_NOT_FOUND, EXIT_TIMEOUT, CommandFailed

KILL_AFTER_S = 5.0
PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
TAKEN = PASSED_ON | {signal.SIGCHLD, signal.SIGIO}
_PR_SET_PDEATHSIG = 1


def run(
    command: Sequence[str],
    variables: Mapping[str, str],
    connection: int,
    timeout_s: float | None,
    lost: Callable[[], None],
) -> int:
    """Run a command with these variables added; return the exit code that tells how it ended.

    `lost` is called once if `connection` ends meanwhile. Call it last in a process: its signals stay blocked.
    Raises CommandFailed.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored by a parent, it would hide how the command ended
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, TAKEN)
    fcntl.fcntl(connection, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(connection, fcntl.F_SETFL, fcntl.fcntl(connection, fcntl.F_GETFL) | os.O_ASYNC)
    child = _start(command, {**os.environ, **variables}, blocked)
    is_late = _wait(child, connection, timeout_s, lost)
    if is_late:
        return EXIT_TIMEOUT
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _start(
    command: Sequence[str], environment: Mapping[str, str], blocked: set[signal.Signals | int]
) -> subprocess.Popen[bytes]:
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # killed before the kernel was told
            os._exit(128 + signal.SIGTERM)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # Python's would swallow one until exec(2)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)

    try:
        # Descriptors are the command's as if it were run without us (a make's job server); ours are CLOEXEC.
        return subprocess.Popen(
            command,
            env=environment,
            close_fds=False,
            preexec_fn=in_child,  # noqa: PLW1509 - there are no threads (R3)
        )
    except (FileNotFoundError, NotADirectoryError):
        raise CommandFailed(f"The command {command[0]} was not found.", EXIT_COMMAND_NOT_FOUND) from None
    except OSError as error:
        sentence = f"The command {command[0]} cannot be run: {error.strerror}."
        raise CommandFailed(sentence, EXIT_COMMAND_FAILED) from None


def _wait(
    child: subprocess.Popen[bytes], connection: int, timeout_s: float | None, lost: Callable[[], None]
) -> bool:
    """Return when the child has ended; tell whether its time was over."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    is_connected, is_late = True, False
    while child.poll() is None:
        if is_connected and select.select([connection], [], [], 0)[0]:  # nothing is sent unasked: it ended
            is_connected = False
            lost()
        told = _take(deadline)
        if told is None:
            child.send_signal(signal.SIGKILL if is_late else signal.SIGTERM)
            child.send_signal(signal.SIGCONT)
            deadline = None if is_late else time.monotonic() + KILL_AFTER_S
            is_late = True
        elif told.si_signo in PASSED_ON and told.si_code <= 0:  # sent by a process (sigaction(2))
            child.send_signal(told.si_signo)
    return is_late


def _take(deadline: float | None) -> signal.struct_siginfo | None:
    """Return the next signal, None when it is `deadline`, of the monotonic clock."""
    if deadline is None:
        return signal.sigwaitinfo(TAKEN)
    return signal.sigtimedwait(TAKEN, max(0.0, deadline - time.monotonic()))
