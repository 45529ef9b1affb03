"""`makfs attach`: take part in a run that goes on, see what it writes and type to it."""

import contextlib
import os
import select
import signal
import socket
import sys
from typing import TYPE_CHECKING

import click

from makfs.cli.common import found, note
from makfs.cli.runargs import run_number
from makfs.wire.attaching import END, ERR, EXIT, IN, OUT, SIGNAL, SIZE, Parts, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_BYTES = 1 << 16
DETACHED = 0
END_S = 5.0  # for makfsd to hear of the end of a run


@click.command(
    epilog="\b\nExamples:\n  makfs attach 3\n  makfs attach --detach-keys ctrl-x 3",
    short_help="See what a run writes, type to it",
)
@run_number
@click.option("--no-stdin", is_flag=True, help="Only look on.")
@click.option(
    "--detach-keys", "keys", metavar="KEYS", default="ctrl-p,ctrl-q", show_default=True,
    help="What to type, on a terminal, to leave without ending the program.",
)  # fmt: skip
@click.pass_context
def attach(context: click.Context, number: int, no_stdin: bool, keys: str) -> int:
    """Print what run NUMBER writes from now on, and pass on what is typed, until it is over: its exit code.

    Typing reaches a program that was started with -d and -t or -i. On a terminal of its own it gets every
    key but those that detach; otherwise Ctrl-C is sent to it as a signal. What it wrote before is in
    `makfs logs`.
    """
    from makfs.cli.client import Client
    from makfs.errors import Busy, MakfsError
    from makfs.wire.place import STATE_DIR
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runs import ATTACH_NAME, RUNS_DIR, TERMINAL_NAME
    from makfs.wire.runverbs import ShowRun

    leave = parse_keys(context, keys)
    place = found(context)
    folder = os.path.join(place.repo, STATE_DIR, RUNS_DIR, str(number))
    with Client(place.repo) as daemon:
        if daemon.get(ShowRun(number), RunRecord).is_over:
            raise Busy(f"Run {number} is over; 'makfs logs {number}' prints what it wrote.")
    try:
        link = _connect(folder, ATTACH_NAME)
    except OSError as error:
        raise MakfsError(f"Run {number} lets nobody attach: {error.strerror}.") from None
    has_terminal = os.path.exists(os.path.join(folder, TERMINAL_NAME))
    with link:
        code = _Attached(link, leave, has_terminal=has_terminal, with_input=not no_stdin).run()
    return _ended(place.repo, number) if code is None else code


def _ended(repo: str, number: int) -> int:
    """Return how a run ended whose keeper has hung up before it could say so. Raises MakfsError."""
    from makfs.cli.client import Client
    from makfs.errors import MakfsError
    from makfs.wire.runrecord import RunRecord
    from makfs.wire.runverbs import WaitRun

    with Client(repo) as daemon:
        code = daemon.get(WaitRun(number, END_S), RunRecord).exit_code
    if code is None:
        raise MakfsError("The run's keeper ended without a word; 'makfs ps -a' says what became of it.")
    note(f"Its last output did not get here in time; 'makfs logs {number}' has what was kept.")
    return code


def parse_keys(context: click.Context, text: str) -> bytes:
    """Return the bytes that `ctrl-p,ctrl-q` or `a,b` are on a terminal. Raises UsageError."""
    found_keys = bytearray()
    for word in text.split(","):
        name = word.strip().lower()
        if len(word) == 1 and word.isascii():
            found_keys += word.encode()
        elif name.startswith("ctrl-") and len(name) == 6 and 0x40 <= ord(name[5].upper()) < 0x60:
            found_keys.append(ord(name[5].upper()) & 0x1F)
        else:
            raise click.UsageError(
                f"--detach-keys {text!a}: say letters, or ctrl-LETTER, with commas.", context
            )
    return bytes(found_keys)


class Leaving:
    """Finds the keys to detach in what is typed, and holds back what may become them."""

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def take(self, typed: bytes) -> tuple[bytes, bool]:
        """Return what to pass on, and whether to leave."""
        data = self._held + typed
        place = data.find(self._keys)
        if place >= 0:
            return data[:place], True
        held = next((n for n in range(len(self._keys) - 1, 0, -1) if data.endswith(self._keys[:n])), 0)
        self._held = data[len(data) - held :]
        return data[: len(data) - held], False


class _Attached:
    """One conversation with a keeper."""

    def __init__(self, link: socket.socket, leave: bytes, *, has_terminal: bool, with_input: bool) -> None:
        self._link = link
        self._parts = Parts()
        self._leaving = Leaving(leave)
        self._reads = with_input
        self._is_raw = has_terminal and with_input and os.isatty(0)

    def run(self) -> int | None:
        """Take part until the run is over; return its exit code, DETACHED, None if nobody told."""
        told, wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGWINCH, *(() if self._is_raw else (signal.SIGINT, signal.SIGTERM))):
            signal.signal(number, lambda *_: None)
        with self._raw():
            self._send_size()
            while True:
                readers: list[socket.socket | int] = [self._link, told, *([0] if self._reads else [])]
                ready, _, _ = select.select(readers, [], [])
                if told in ready:
                    for number in os.read(told, 64):
                        if number == signal.SIGWINCH:
                            self._send_size()
                        elif self._reads:
                            self._link.sendall(pack(SIGNAL, str(number).encode()))
                        else:
                            return DETACHED
                if 0 in ready and self._typed():
                    break
                if self._link in ready:
                    is_over, code = self._told()
                    if is_over:
                        return code
        note("Detached; the run goes on.")
        return DETACHED

    def _typed(self) -> bool:
        """Pass on what was typed; tell whether to leave."""
        data = os.read(0, CHUNK_BYTES)
        if not data:
            self._reads = False
            self._link.sendall(pack(END))
            return False
        data, is_leaving = self._leaving.take(data) if self._is_raw else (data, False)
        if data:
            self._link.sendall(pack(IN, data))
        return is_leaving

    def _told(self) -> tuple[bool, int | None]:
        """Print what came; return whether there is no more to come, and the exit code if it was told."""
        from makfs.cli.keeperlog import write_all

        try:
            chunk = self._link.recv(CHUNK_BYTES)
        except ConnectionResetError:  # what was typed was not read any more
            chunk = b""
        for kind, data in self._parts.feed(chunk):
            if kind == EXIT:
                return True, int(data)
            if kind in (OUT, ERR):
                write_all(1 if kind == OUT else 2, data)
        return not chunk, None

    def _send_size(self) -> None:
        with contextlib.suppress(OSError):
            columns, rows = os.get_terminal_size(0)
            self._link.sendall(pack(SIZE, f"{columns}x{rows}".encode()))

    @contextlib.contextmanager
    def _raw(self) -> "Iterator[None]":
        if not self._is_raw:
            yield
            return
        import termios
        import tty

        before = termios.tcgetattr(0)
        tty.setraw(0)
        try:
            yield
        finally:
            termios.tcsetattr(0, termios.TCSADRAIN, before)
            sys.stdout.flush()


def _connect(folder: str, name: str) -> socket.socket:
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        link.connect(f"/proc/self/fd/{directory}/{name}")
    except OSError:
        link.close()
        raise
    finally:
        os.close(directory)
    return link
