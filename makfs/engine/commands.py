"""Commands written into control files, one a line: `claim` and `release`.

X1  A line is carried out whole or not at all. The first that fails ends the write, and `.makfs/why` tells.
X2  write(2) of a complete line answers when it is carried out; a last line without newline is at flush.
"""

import math
import os
import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from makfs.engine.claims import Claims
from makfs.engine.inodes import Inode
from makfs.errors import MakfsError
from makfs.locks import BadClaim

MOST_BYTES = 1 << 20
"""A longer line is refused."""

_ACCEPTED = "accepted: MODE ADDRESS... [wait=SECONDS] [lease=SECONDS], as write src/app.py::Foo.bar wait=10"
_ALL = ("*", "all")
_KEEP = "keep=read"


@dataclass(frozen=True, slots=True)
class ClaimLine:
    """One line of `claim`. None: as configured."""

    mode: str
    addresses: tuple[str, ...]
    wait_s: float | None = None
    lease_s: float | None = None


def parse_claim(line: str) -> ClaimLine:
    """Read `MODE ADDRESS... [wait=S] [lease=S]`, quoted as for a shell. Raises BadClaim.

    After `--` all words are addresses.
    """
    words = _words(line)
    addresses: list[str] = []
    given: dict[str, float] = {}
    rest = iter(words[1:])
    for word in rest:
        if word == "--":
            addresses += rest
            break
        name, equals, number = word.partition("=")
        if not equals or name not in ("wait", "lease"):
            addresses.append(word)
        elif name in given:
            raise BadClaim(f"{name}= stands twice in one line; {_ACCEPTED}.")
        else:
            given[name] = _seconds(word, number)
    if not addresses:
        raise BadClaim(f"{line.strip()[:200]!r} names no address; {_ACCEPTED}.")
    return ClaimLine(words[0], tuple(addresses), given.get("wait"), given.get("lease"))


@dataclass(frozen=True, slots=True)
class ReleaseLine:
    """One line of `release`. None: all that is held."""

    addresses: tuple[str, ...] | None
    keep_read: bool = False


def parse_release(line: str) -> ReleaseLine:
    """Read `ADDRESS... [keep=read]` or `all [keep=read]`, quoted as for a shell. Raises BadClaim."""
    words = _words(line)
    kept = [word for word in words if word.startswith("keep=")]
    if kept and kept != [_KEEP]:
        raise BadClaim(f"{kept[-1][:60]!r} is not accepted: {_KEEP} is, once in a line.")
    words = [word for word in words if word != _KEEP]
    if len(words) == 1 and words[0] in _ALL:
        return ReleaseLine(None, bool(kept))
    if "*" in words:
        raise BadClaim("'*' releases everything and stands alone in its line.")
    if not words:
        raise BadClaim(f"{line.strip()[:200]!r} names no address; accepted: ADDRESS... or all, [{_KEEP}].")
    return ReleaseLine(tuple(words), bool(kept))


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise BadClaim(
            f"{line.strip()[:200]!r} cannot be read ({error}); quote as for a shell; {_ACCEPTED}."
        ) from None


def _seconds(word: str, number: str) -> float:
    try:
        seconds = float(number)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise BadClaim(f"{word[:60]!r} is no number of seconds; {_ACCEPTED}.")
    return seconds


class Lines:
    """An open control file that takes commands: bytes count in the order they come, wherever they are put."""

    def __init__(
        self,
        inode: Inode,
        name: str,
        carry_out: Callable[[str], Awaitable[None]],
        shown: Callable[[], bytes],
    ) -> None:
        self.inode = inode
        self._view = inode.view
        self._name = name
        self._carry_out = carry_out
        self._shown = shown
        self._text = b""
        self._pending = b""

    def read(self, offset: int, size: int) -> bytes:
        """Return what the file shows, as it was when its start was read last."""
        if offset == 0:
            self._text = self._shown()
        return self._text[offset : offset + size]

    async def write(self, offset: int, data: bytes) -> int:
        """Carry out the lines that are complete (X1, X2).

        Raises Busy, NotFound, BadClaim, BadAddress, NotHeld.
        """
        *lines, self._pending = (self._pending + data).split(b"\n")
        await self._each(lines)
        if len(self._pending) > MOST_BYTES:
            self._pending = b""
            self._view.why = f"A line written to .makfs/{self._name} is longer than {MOST_BYTES} bytes."
            raise BadClaim(self._view.why)
        return len(data)

    def truncate(self, size: int) -> None:
        """Forget a line that is not complete."""
        self._pending = b""

    async def flush(self, tid: int = 0) -> None:
        """Carry out a last line without newline."""
        line, self._pending = self._pending, b""
        await self._each([line])

    def close(self) -> None:
        """Nothing is left."""

    async def _each(self, lines: Sequence[bytes]) -> None:
        done: list[str] = []
        for number, data in enumerate(lines, 1):
            line = os.fsdecode(data).strip()
            if not line:
                continue
            try:
                await self._carry_out(line)
            except MakfsError as error:
                self._pending = b""
                self._view.why = self._failed(number if len(lines) > 1 else 0, line, error, done)
                raise
            self._view.active()
            done.append(line)

    def _failed(self, number: int, line: str, error: MakfsError, done: Sequence[str]) -> str:
        which = f"line {number}, " if number else ""
        quoted = f"{line[:200]!r}: "
        what = "" if str(error).startswith(quoted[:-2]) else quoted  # it may begin so itself
        before = f" Carried out before it: {'; '.join(done)[:1000]!r}." if done else ""
        return f"Refused .makfs/{self._name}: {which}{what}{error}{before}"


def claiming(claims: Claims, inode: Inode, shown: Callable[[], bytes]) -> Lines:
    """Open `claim`."""
    agent = inode.view.agent

    async def carry_out(line: str) -> None:
        asked = parse_claim(line)
        await claims.claim(agent, asked.mode, asked.addresses, asked.wait_s, asked.lease_s)

    return Lines(inode, "claim", carry_out, shown)


def releasing(claims: Claims, inode: Inode, shown: Callable[[], bytes]) -> Lines:
    """Open `release`."""
    agent = inode.view.agent

    async def carry_out(line: str) -> None:
        asked = parse_release(line)
        claims.release(agent, asked.addresses, keep_read=asked.keep_read)

    return Lines(inode, "release", carry_out, shown)
