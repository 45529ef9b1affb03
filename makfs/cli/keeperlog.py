"""What a keeper keeps of its program's output: streams as they were written, a terminal as a transcript.

Q1  Of each stream at most `log_bytes` are kept; what came after is counted, and the log says that it is cut.
Q2  A disk that is full costs what is kept, not the program: it goes on, and `problem` says why.
"""

import codecs
import json
import os
import select
import time
from collections.abc import Callable

from makfs.wire.runs import TIMES_SUFFIX

CUT = b"\n[makfs: output dropped]\n"
Offer = Callable[[bytes], None]


class Log:
    """One stream of a run: kept, passed on, and offered to whoever is attached."""

    def __init__(self, path: str, limit_bytes: int, forward: int | None, offer: Offer | None = None) -> None:
        self._left_bytes = limit_bytes
        self._forward = forward
        self._offer = offer
        self._marked_s = 0.0  # when the time was written down last
        self._kept_bytes = 0
        self.transcript: Transcript | None = None
        self.problem = ""
        self.bytes = 0
        self.dropped_bytes = 0
        self._file = -1
        self._times = -1
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            self._times = os.open(
                path + TIMES_SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            self.problem = error.strerror or str(error)

    def take(self, chunk: bytes) -> bool:
        """Keep a chunk and pass it on; return False when nobody reads any more what is passed on."""
        self.bytes += len(chunk)
        self._keep(chunk)
        if self.transcript is not None:
            self.transcript.take(chunk)
        if self._offer is not None:
            self._offer(chunk)
        if self._forward is not None:
            try:
                write_all(self._forward, chunk)
            except BrokenPipeError:
                return False
        return True

    def _keep(self, chunk: bytes) -> None:
        kept = chunk[: self._left_bytes]
        dropped = len(chunk) - len(kept)
        try:
            if self._file < 0:
                raise OSError(0, self.problem)
            self._mark(bool(kept))
            write_all(self._file, kept + (CUT if dropped and not self.dropped_bytes else b""))
        except OSError as error:
            dropped = len(chunk)
            self.problem = error.strerror or str(error)
        self._left_bytes -= len(kept)
        self._kept_bytes += len(kept)
        self.dropped_bytes += dropped

    def _mark(self, is_kept: bool) -> None:
        """Write down, once a second, when what comes now came; where nothing is kept, that something did."""
        now_s = time.monotonic()
        if self._marked_s and now_s - self._marked_s < 1:
            return
        self._marked_s = now_s
        if is_kept:
            write_all(self._times, f"{time.time_ns()} {self._kept_bytes}\n".encode())
        else:
            os.utime(self._file)

    def close(self) -> None:
        for fd in (self._file, self._times):
            if fd >= 0:
                os.close(fd)
        if self.transcript is not None:
            self.transcript.close()


class Transcript:
    """What a terminal showed and when, as asciicast v2, for `asciinema play`; not what was typed."""

    def __init__(self, path: str, columns: int, rows: int, limit_bytes: int) -> None:
        self._begin = time.monotonic()
        self._left_bytes = limit_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        head = {"version": 2, "width": columns, "height": rows, "timestamp": int(time.time())}
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError:
            self._file = -1
        self._write(json.dumps(head))

    def take(self, chunk: bytes) -> None:
        """Add what the terminal shows now."""
        text = self._decoder.decode(chunk)
        if text:
            self._event("o", text)

    def resize(self, columns: int, rows: int) -> None:
        """Add that the terminal has another size now."""
        self._event("r", f"{columns}x{rows}")

    def _event(self, kind: str, text: str) -> None:
        self._write(json.dumps([round(time.monotonic() - self._begin, 6), kind, text]))

    def _write(self, line: str) -> None:
        data = line.encode() + b"\n"
        if self._file < 0 or self._left_bytes < len(data):
            self._left_bytes = 0  # nothing after a gap: a transcript is whole up to its end
            return
        self._left_bytes -= len(data)
        try:
            write_all(self._file, data)
        except OSError:
            self._left_bytes = 0

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)


def write_all(fd: int, data: bytes) -> None:
    """Write all of it, waiting as long as it takes."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # somebody made it non-blocking
            select.select([], [fd], [])
