"""Where `makfs attach` comes in: the socket of a run, in its keeper.

O1  Somebody who is attached and does not read delays nothing: what it is behind is bounded, then dropped,
    and it is told so.
O2  What is typed faster than the program reads it is bounded: no more is taken meanwhile.
"""

import contextlib
import os
import select
import selectors
import socket
import time
from collections.abc import Callable

from makfs.wire.attaching import EXIT, OUT, Parts, pack
from makfs.wire.errors import WireError
from makfs.wire.runs import ATTACH_NAME

MOST_BEHIND_BYTES = 4 << 20
MOST_TYPED_BYTES = 1 << 18
CHUNK_BYTES = 1 << 16
LAST_S = 1.0  # for the last output to reach those who are attached
DROPPED = b"\n[makfs: output dropped]\n"

OnPart = Callable[[bytes, bytes], None]


class Feed:
    """The program's input, as far as it comes from those who are attached."""

    def __init__(self, events: selectors.BaseSelector) -> None:
        self._events = events
        self._fd = -1
        self._waiting = bytearray()
        self._is_last = False
        self.on_room: Callable[[], None] | None = None  # called when it is full no more

    @property
    def is_full(self) -> bool:
        """Tell whether no more is taken now (O2)."""
        return len(self._waiting) > MOST_TYPED_BYTES

    def open(self, fd: int) -> None:
        """Feed this descriptor, which is the feed's from now on."""
        self.close()
        os.set_blocking(fd, False)
        self._fd = fd

    def put(self, data: bytes) -> None:
        """Let the program have it as soon as it reads. Without a descriptor it is dropped."""
        if self._fd >= 0 and not self._is_last:
            self._waiting += data
            self._write(self._fd)

    def end(self) -> None:
        """Close it once all is read."""
        self._is_last = True
        if self._fd >= 0:
            self._write(self._fd)

    def close(self) -> None:
        """Forget the descriptor and what waits for it."""
        if self._fd >= 0:
            with contextlib.suppress(KeyError):
                self._events.unregister(self._fd)
            os.close(self._fd)
        self._fd = -1
        self._is_last = False
        self._waiting.clear()

    def _write(self, fd: int) -> None:
        was_full = self.is_full
        self._write_on(fd)
        if was_full and not self.is_full and self.on_room is not None:
            self.on_room()

    def _write_on(self, fd: int) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(fd, self._waiting[:CHUNK_BYTES])]
        except BlockingIOError:
            pass
        except OSError:  # the program has closed its input
            self.close()
            return
        if self._waiting:
            with contextlib.suppress(KeyError):
                self._events.register(fd, selectors.EVENT_WRITE, self._write)
            return
        with contextlib.suppress(KeyError):
            self._events.unregister(fd)
        if self._is_last:
            self.close()


class _Guest:
    """One `makfs attach`."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.parts = Parts()
        self.owed = bytearray()
        self.is_behind = False  # gets no more before it has what it is owed


class Door:
    """Lets people in and out. Without a socket (a full disk) it lets nobody in."""

    def __init__(self, folder: str, events: selectors.BaseSelector, feed: Feed, on_part: OnPart) -> None:
        self._events = events
        self._feed = feed
        self._on_part = on_part
        self._guests: dict[int, _Guest] = {}
        self._path = os.path.join(folder, ATTACH_NAME)
        self._listener: socket.socket | None = None
        feed.on_room = self.look
        with contextlib.suppress(OSError):
            self._listener = _listen(folder)
            events.register(self._listener, selectors.EVENT_READ, self._welcome)

    def offer(self, kind: bytes, chunk: bytes) -> None:
        """Send output to everybody who is attached (O1)."""
        if not self._guests:
            return
        part = pack(kind, chunk)
        for guest in list(self._guests.values()):
            self._put(guest, part)

    def close(self, exit_code: int) -> None:
        """Tell everybody how it ended, and let nobody in any more."""
        if self._listener is not None:
            self._events.unregister(self._listener)
            self._listener.close()
            with contextlib.suppress(OSError):
                os.unlink(self._path)
        deadline = time.monotonic() + LAST_S
        for guest in list(self._guests.values()):
            guest.owed += pack(EXIT, str(exit_code).encode())
            while guest.owed and self._is_here(guest) and (left_s := deadline - time.monotonic()) > 0:
                self._send(guest)
                if guest.owed:
                    select.select([], [guest.link], [], left_s)
            self._bid_farewell(guest)

    def _is_here(self, guest: _Guest) -> bool:
        return guest.link.fileno() >= 0

    def _welcome(self, _fd: int) -> None:
        assert self._listener is not None
        with contextlib.suppress(OSError):
            link, _ = self._listener.accept()
            link.setblocking(False)
            guest = _Guest(link)
            self._guests[link.fileno()] = guest
            self._events.register(link, selectors.EVENT_READ, self._meet)

    def _meet(self, fd: int) -> None:
        guest = self._guests[fd]
        if guest.owed:
            self._send(guest)
        if not self._is_here(guest) or self._feed.is_full:
            self._watch(guest)
            return
        try:
            chunk = guest.link.recv(CHUNK_BYTES)
            parts = guest.parts.feed(chunk)
        except BlockingIOError:
            return
        except (OSError, WireError):
            self._bid_farewell(guest)
            return
        if not chunk:
            self._bid_farewell(guest)
            return
        for kind, data in parts:
            self._on_part(kind, data)
        if self._feed.is_full:
            self.look()

    def look(self) -> None:
        """Take input from those attached, if there is room for it, or take none."""
        for guest in self._guests.values():
            self._watch(guest)

    def _watch(self, guest: _Guest) -> None:
        if not self._is_here(guest):
            return
        wanted = 0 if self._feed.is_full else selectors.EVENT_READ
        wanted |= selectors.EVENT_WRITE if guest.owed else 0
        with contextlib.suppress(KeyError):
            self._events.unregister(guest.link)
        if wanted:
            self._events.register(guest.link, wanted, self._meet)

    def _put(self, guest: _Guest, part: bytes) -> None:
        if not guest.is_behind and len(guest.owed) + len(part) > MOST_BEHIND_BYTES:
            guest.is_behind = True
            guest.owed += pack(OUT, DROPPED)  # where the gap is
        if guest.is_behind and guest.owed:
            return
        guest.is_behind = False
        guest.owed += part
        self._send(guest)

    def _send(self, guest: _Guest) -> None:
        try:
            while guest.owed:
                del guest.owed[: guest.link.send(guest.owed[:CHUNK_BYTES])]
        except BlockingIOError:
            pass
        except OSError:
            self._bid_farewell(guest)
            return
        self._watch(guest)

    def _bid_farewell(self, guest: _Guest) -> None:
        if not self._is_here(guest):
            return
        with contextlib.suppress(KeyError):
            self._events.unregister(guest.link)
        del self._guests[guest.link.fileno()]
        guest.link.close()


def _listen(folder: str) -> socket.socket:
    """Return the listener; through a descriptor, as unix(7) paths end at 107 bytes."""
    directory = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(f"/proc/self/fd/{directory}/{ATTACH_NAME}")
        listener.listen(8)
    except OSError:
        listener.close()
        raise
    finally:
        os.close(directory)
    return listener
