"""Reads what a run's program prints by its adapter's rules, for the run's record.

ME1  Tokens of a program that is started again add up.
ME2  No value of a variable that the caller gave, or its adapter calls secret, is in what is written down.
"""

import contextlib
import os
from collections.abc import Sequence

from makfs.adapters.table import Adapter
from makfs.adapters.tokens import Usage
from makfs.adapters.usage import Meter
from makfs.cli.confine import MASK
from makfs.cli.keeping_live import Live
from makfs.wire.runs import ANSWER_NAME


class Metering:
    """Of one run, however often its program is started."""

    def __init__(self, adapter: Adapter, secrets: Sequence[str], live: Live, folder: str) -> None:
        self._adapter = adapter
        self._secrets = [each for each in secrets if len(each) > 3]
        self._live = live
        self._folder = folder
        self._before = Usage()  # by earlier starts
        self._out, self._err = Meter(adapter), Meter(adapter)

    def take(self, chunk: bytes, *, is_error: bool) -> None:
        """Take standard output or error, in any pieces; some tell on the one, some on the other."""
        if (self._err if is_error else self._out).take(chunk):
            self._tell()

    def end(self) -> None:
        """Take the end of one start (ME1)."""
        for meter in (self._out, self._err):
            meter.close()
        self._tell()
        if self._out.answer:
            self._write(self._out.answer)
        self._before += self._out.usage + self._err.usage
        self._out, self._err = Meter(self._adapter), Meter(self._adapter)

    def _tell(self) -> None:
        usage = self._before + self._out.usage + self._err.usage
        self._live.put(usage=usage, tokens=usage.tokens)

    def _write(self, answer: str) -> None:
        for secret in self._secrets:
            answer = answer.replace(secret, MASK)
        with contextlib.suppress(OSError):  # as little as a log on a full disk
            fd = os.open(
                os.path.join(self._folder, ANSWER_NAME),
                os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC,
                0o600,
            )
            with os.fdopen(fd, "w", encoding="utf-8", errors="replace") as file:
                file.write(answer.rstrip("\n") + "\n")
