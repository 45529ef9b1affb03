"""What a program's output tells of the tokens it used, read as it comes.

A3  A `Meter` never holds more than MAX_LINE_BYTES of output; a longer line tells nothing.
A4  No output makes a `Meter` raise, or its numbers negative.
A5  What a program says of itself as a whole wins over what its requests add up to.
"""

import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from makfs.adapters.table import Adapter, Rule
from makfs.adapters.tokens import Usage

MAX_LINE_BYTES: Final = 1 << 22
MAX_TEXT_BYTES: Final = 10_000  # of a line that a regular expression is tried on
MAX_ANSWER: Final = 4000  # characters kept
MAX_PARTS: Final = 100_000
_MOST = 1 << 53  # larger numbers are not exact in JSON
_UNITS = {"k": 1e3, "K": 1e3, "m": 1e6, "M": 1e6}


@dataclass(frozen=True, slots=True)
class Reading:
    """What one line tells."""

    usage: Usage | None = None
    part: str | None = None  # the request that `usage` is of; "": one of its own; None: all so far
    answer: str | None = None


def usage_of(adapter: Adapter, line: bytes) -> Reading | None:
    """Return what one line of standard output tells by the adapter's rules, None if nothing."""
    data: Any = None
    for rule in adapter.reads:
        if rule.pattern:
            reading = _of_text(rule, line)
        else:
            if not _may_be(rule, line):
                continue
            data = data if data is not None else _object(line)
            reading = _of_object(rule, data)
        if reading is not None:
            return reading
    return None


class Meter:
    """Adds up what a program's output tells. Give `take` all of its standard output, in any pieces."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._rest = b""
        self._is_skipping = False  # the line is too long
        self._parts: dict[str, Usage] = {}
        self._sum = Usage()
        self._whole: Usage | None = None
        self.answer = ""

    @property
    def usage(self) -> Usage:
        """Return what is known so far (A5)."""
        return self._sum if self._whole is None else self._whole

    def take(self, chunk: bytes) -> bool:
        """Take more output; return whether `usage` has changed."""
        if not self._adapter.reads:
            return False
        before = self.usage
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            if not self._is_skipping:
                self._count(line)
            self._is_skipping = False
        self._is_skipping = self._is_skipping or len(rest) > MAX_LINE_BYTES
        self._rest = b"" if self._is_skipping else rest
        return self.usage != before

    def close(self) -> None:
        """Take the end: the last line may have no end of its own."""
        self.take(b"\n")

    def _count(self, line: bytes) -> None:
        reading = usage_of(self._adapter, line)
        if reading is None:
            return
        if reading.answer is not None:
            self.answer = reading.answer
        if reading.usage is None:
            return
        if reading.part is None:
            self._whole = reading.usage
        elif not reading.part or (reading.part not in self._parts and len(self._parts) >= MAX_PARTS):
            self._sum += reading.usage
        else:
            before = self._parts.get(reading.part, Usage())
            self._parts[reading.part] = reading.usage
            self._sum = _less(self._sum, before) + reading.usage


def _less(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.input_tokens - other.input_tokens,
        one.output_tokens - other.output_tokens,
        one.cached_tokens - other.cached_tokens,
        max(0.0, one.cost_usd - other.cost_usd),
    )


def _may_be(rule: Rule, line: bytes) -> bool:
    """Tell, cheaply, whether a line may be an object that the rule means."""
    if not line.startswith(b"{"):
        return False
    return all(each.rpartition("=")[2].encode() in line for each in rule.when)


def _object(line: bytes) -> object:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return ()


def _of_object(rule: Rule, data: object) -> Reading | None:
    for condition in rule.when:
        path, _, wanted = condition.partition("=")
        if not any(_shown(value) == wanted for value in _find(data, path)):
            return None
    numbers = [paths for paths in (rule.input, rule.output, rule.cached, rule.cost) if paths]
    usage = None
    if any(True for paths in numbers for path in paths for _ in _find(data, path)):
        sums = [
            sum(_amount(value) for path in paths for value in _find(data, path))
            for paths in (rule.input, rule.output, rule.cached, rule.cost)
        ]
        usage = Usage(int(sums[0]), int(sums[1]), int(sums[2]), float(sums[3]))
    part = "" if rule.each else None
    if rule.part:
        part = next((value for value in _find(data, rule.part) if isinstance(value, str)), "")
    said = [value for value in _find(data, rule.answer) if isinstance(value, str)] if rule.answer else []
    answer = said[-1][:MAX_ANSWER] if said else None
    return None if usage is None and answer is None else Reading(usage, part, answer)


def _of_text(rule: Rule, line: bytes) -> Reading | None:
    if len(line) > MAX_TEXT_BYTES:
        return None
    found = _compiled(rule.pattern).search(line.decode(errors="replace"))
    if found is None:
        return None
    groups = {name: value for name, value in found.groupdict().items() if value is not None}
    answer = groups.pop("answer", None)
    sums = [_read_amount(groups.get(name, "")) for name in ("input", "output", "cached", "cost")]
    usage = Usage(int(sums[0]), int(sums[1]), int(sums[2]), sums[3]) if groups else None
    return Reading(usage, "" if rule.each else None, answer)


@functools.lru_cache(maxsize=64)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _find(data: object, path: str) -> Iterator[object]:
    """Yield what stands at a path of keys."""
    return _step(data, path.split("."))


def _step(data: object, steps: Sequence[str]) -> Iterator[object]:
    if not steps:
        yield data
    elif isinstance(data, dict):
        if steps[0] == "*":
            for value in data.values():
                yield from _step(value, steps[1:])
        elif steps[0] in data:
            yield from _step(data[steps[0]], steps[1:])


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""


def _amount(value: object) -> float:
    """Return a number as it counts; what is none, or makes no sense, counts nothing (A4)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return value if 0 <= value <= _MOST else 0


def _read_amount(text: str) -> float:
    """Return the number that 2.3k and the like mean."""
    unit = _UNITS.get(text[-1:], 1.0)
    try:
        return _amount(float(text.rstrip("kKmM").replace(",", "")) * unit)
    except ValueError:
        return 0
