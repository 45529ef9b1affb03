"""A control file that counts as written when whoever opened it has closed it: messages, shared artifacts."""

import contextlib
import os
from collections.abc import Callable
from typing import Protocol

from makfs.engine.inodes import Inode
from makfs.engine.procs import Processes, is_dying
from makfs.errors import MakfsError
from makfs.messages import BadMessage, MessageTooLarge


class Judge(Protocol):
    """Raises what is wrong with bytes already, or with the whole."""

    def __call__(self, data: bytearray, *, is_whole: bool) -> None:
        """Raise MakfsError."""
        ...


class Written:
    """An open file of that kind. Implements `CommandHandle`.

    A shell duplicates descriptors and closes them again, and what it starts closes its own: each close comes
    as a flush. So only a flush of the opener counts, and only if it has the file open nowhere else.
    """

    def __init__(
        self,
        inode: Inode,
        name: str,
        old: bytes,
        procs: Processes,
        tid: int,
        most_bytes: int,
        judge: Judge,
        done: Callable[[bytes], None],
        closed: Callable[[], None],
    ) -> None:
        self.inode = inode
        self.data = bytearray(old)
        self._name = name
        self._procs = procs
        self._opener = procs.group(tid)
        self._most_bytes = most_bytes
        self._judge = judge
        self._done = done
        self._closed = closed
        self._is_changed = self._is_over = False
        self._failure: MakfsError | OSError | None = None

    def read(self, offset: int, size: int) -> bytes:
        """Return what was written so far."""
        return bytes(self.data[offset : offset + size])

    async def write(self, offset: int, data: bytes) -> int:
        """Take bytes; say what is wrong with them as soon as it is certain. Raises MakfsError."""
        if self._failure is not None:
            raise self._failure
        if self._is_over:
            self._fail(
                BadMessage("It was sent when it was closed: what comes later needs a file of its own.")
            )
        end = offset + len(data)
        if end > self._most_bytes:
            sentence = f"It is larger than {self._most_bytes} bytes, the limit in makfs.conf."
            self._fail(MessageTooLarge(sentence))
        if offset > len(self.data):
            self.data += bytes(offset - len(self.data))
        self.data[offset:end] = data
        self._is_changed = True
        try:
            self._judge(self.data, is_whole=False)
        except MakfsError as error:
            self._fail(error)
        return len(data)

    def truncate(self, size: int) -> None:
        """Cut it, or make it longer."""
        size = min(size, self._most_bytes)
        del self.data[size:]
        self.data += bytes(size - len(self.data))

    async def flush(self, tid: int = 0) -> None:
        """Send or share it, if it is closed for good (Y4). Raises MakfsError."""
        if self._failure is not None:
            raise self._failure
        if not self._is_changed or self._is_over:
            return
        if tid and is_dying(tid) and self._procs.group(tid) == self._opener:
            self._drop()
        elif not (tid and self._procs.group(tid) != self._opener) and not self._is_open_elsewhere():
            self._finish()

    def _is_open_elsewhere(self) -> bool:
        """Tell whether the opener has another descriptor of the file. Asks proc(5), never the file."""
        folder = f"/proc/{self._opener}/fd"
        ends = (f"/{self._name}", f"/{self._name} (deleted)")
        with contextlib.suppress(OSError):
            for fd in os.listdir(folder):
                with contextlib.suppress(OSError):
                    if os.readlink(f"{folder}/{fd}").endswith(ends) and self._is_same(fd):
                        return True
        return False

    def _is_same(self, fd: str) -> bool:
        """Tell whether a descriptor is of this very inode; Linux before 5.14 does not tell."""
        with open(f"/proc/{self._opener}/fdinfo/{fd}", encoding="ascii", errors="replace") as file:
            for line in file:
                if line.startswith("ino:"):
                    return int(line.split()[1]) == self.inode.ino
        return True

    def _drop(self) -> None:
        self._is_over = True
        self.inode.view.why = f"{self._name} was not sent: the process that wrote it was killed meanwhile."

    def _finish(self) -> None:
        self._is_over = True
        try:
            self._judge(self.data, is_whole=True)
            self._done(bytes(self.data))
        except (MakfsError, OSError) as error:
            self._fail(error)

    def _fail(self, error: MakfsError | OSError) -> None:
        """Tell, and raise, now and from now on: nothing of it is sent."""
        self._failure = error
        self.inode.view.why = f"Refused {self._name}: {error}"
        raise error

    def close(self) -> None:
        """Send or share what nobody has open any more; an error is told in `.makfs/why` alone."""
        if self._is_changed and not self._is_over and self._failure is None:
            with contextlib.suppress(MakfsError, OSError):
                self._finish()
        self._closed()
