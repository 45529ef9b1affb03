"""How two texts differ, line by line: the smallest steps that turn one list of lines into another.

D1  Replacing every hunk's lines of `old` by its lines of `new` gives `new`; between hunks both are equal.
D2  Hunks ascend and never touch: at least one equal line of `old` that is not blank lies between two of
    them. Blank lines occur everywhere, so a match of blank lines alone says nothing about what stayed.
D3  Cost is bounded for any input: lines that occur once on both sides anchor the comparison (patience diff,
    Cohen 2005), what lies between anchors is compared exactly while it is small, else it is one hunk.
D4  A hunk that may slide (its first line equals the line after it) stands as low as it can, so that an
    addition between two functions is the same hunk whichever side made it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

EXACT_CELLS = 4_000_000  # product of line counts up to which a gap is compared exactly: 0.5 MB of bits
MAX_DEPTH = 24

Lines = Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines `old_start:old_end` of the old text become lines `new_start:new_end` of the new one."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int


@dataclass(frozen=True, slots=True)
class _Window:
    """A part of both texts that is still to be compared."""

    old_start: int
    old_end: int
    new_start: int
    new_end: int
    depth: int = 0


def split_lines(text: bytes) -> list[bytes]:
    """Split at line feeds only, keeping them. A lone carriage return does not end a line here."""
    parts = text.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    if parts[-1]:
        lines.append(parts[-1])
    return lines


def diff_lines(old: Lines, new: Lines) -> tuple[Hunk, ...]:
    """Return the hunks that turn `old` into `new` (D1 to D4)."""
    pairs = _pairs(old, new)
    return _compact(old, new, _hunks(old, new, pairs))


def _trim(old: Lines, new: Lines, part: _Window) -> tuple[int, int]:
    """Return how many lines are equal at the head and at the tail of a window."""
    room = min(part.old_end - part.old_start, part.new_end - part.new_start)
    head = 0
    while head < room and old[part.old_start + head] == new[part.new_start + head]:
        head += 1
    tail = 0
    while tail < room - head and old[part.old_end - 1 - tail] == new[part.new_end - 1 - tail]:
        tail += 1
    return head, tail


def _pairs(old: Lines, new: Lines) -> list[tuple[int, int, int]]:
    """Return runs (old index, new index, length) of lines that stay, ascending on both sides."""
    runs: list[tuple[int, int, int]] = []
    todo = [_Window(0, len(old), 0, len(new))]
    while todo:
        part = todo.pop()
        head, tail = _trim(old, new, part)
        if head:
            runs.append((part.old_start, part.new_start, head))
        if tail:
            runs.append((part.old_end - tail, part.new_end - tail, tail))
        inner = _Window(
            part.old_start + head,
            part.old_end - tail,
            part.new_start + head,
            part.new_end - tail,
            part.depth + 1,
        )
        if inner.old_start == inner.old_end or inner.new_start == inner.new_end:
            continue
        anchors = _anchors(old, new, inner) if inner.depth < MAX_DEPTH else []
        if anchors:
            todo.extend(_between(inner, anchors))
            runs.extend((i, j, 1) for i, j in anchors)
        else:
            runs.extend((i, j, 1) for i, j in _exact(old, new, inner))
    runs.sort()
    return runs


def _between(part: _Window, anchors: Sequence[tuple[int, int]]) -> list[_Window]:
    """Return the windows that lie before, between and after the anchors."""
    windows: list[_Window] = []
    old_at, new_at = part.old_start, part.new_start
    for i, j in [*anchors, (part.old_end, part.new_end)]:
        if old_at < i and new_at < j:
            windows.append(_Window(old_at, i, new_at, j, part.depth))
        old_at, new_at = i + 1, j + 1
    return windows


def _anchors(old: Lines, new: Lines, part: _Window) -> list[tuple[int, int]]:
    """Pair the lines that occur once on both sides, and keep the longest ascending run of pairs."""
    places = _once(new, part.new_start, part.new_end)
    pairs = [
        (i, places[line])
        for line, i in _once(old, part.old_start, part.old_end).items()
        if i >= 0 and places.get(line, -1) >= 0
    ]
    return [pairs[k] for k in ascending([j for _, j in pairs])]


def _once(lines: Lines, start: int, end: int) -> dict[bytes, int]:
    """Map each line to its index, or to -1 when it occurs more than once."""
    places: dict[bytes, int] = {}
    for index in range(start, end):
        line = lines[index]
        places[line] = -1 if line in places else index
    return places


def ascending(values: Sequence[int]) -> list[int]:
    """Return the indices of a longest strictly ascending subsequence (Fredman 1975; n log n)."""
    tails: list[int] = []
    tail_at: list[int] = []
    before: list[int] = []
    for index, value in enumerate(values):
        slot = bisect_left(tails, value)
        before.append(tail_at[slot - 1] if slot else -1)
        if slot == len(tails):
            tails.append(value)
            tail_at.append(index)
        else:
            tails[slot] = value
            tail_at[slot] = index
    chain: list[int] = []
    index = tail_at[-1] if tail_at else -1
    while index >= 0:
        chain.append(index)
        index = before[index]
    chain.reverse()
    return chain


def _exact(old: Lines, new: Lines, part: _Window) -> list[tuple[int, int]]:
    """Return a longest common subsequence, one integer of bits per old line (Hyyro 2004).

    A zero bit in a row marks a new line at which the subsequence grows. Above `EXACT_CELLS` return
    nothing: two large texts of repeated lines are one hunk (D3).
    """
    rows_count, width = part.old_end - part.old_start, part.new_end - part.new_start
    if rows_count * width > EXACT_CELLS:
        return []
    masks: dict[bytes, int] = {}
    for j in range(width):
        line = new[part.new_start + j]
        masks[line] = masks.get(line, 0) | 1 << j
    full = (1 << width) - 1
    row = full
    rows: list[int] = []
    for i in range(part.old_start, part.old_end):
        hit = row & masks.get(old[i], 0)
        row = ((row + hit) | (row - hit)) & full
        rows.append(row)
    pairs: list[tuple[int, int]] = []
    i, j = rows_count - 1, width - 1
    while i >= 0 and j >= 0:
        above = rows[i - 1] if i else full
        if rows[i] >> j & 1:
            j -= 1  # this new line adds nothing
        elif not above >> j & 1:
            i -= 1  # this old line adds nothing
        else:
            pairs.append((part.old_start + i, part.new_start + j))
            i, j = i - 1, j - 1
    pairs.reverse()
    return pairs


def _hunks(old: Lines, new: Lines, runs: Sequence[tuple[int, int, int]]) -> list[list[int]]:
    """Return what lies between the runs, as [old_start, old_end, new_start, new_end]."""
    hunks: list[list[int]] = []
    i = j = 0
    for old_at, new_at, length in [*runs, (len(old), len(new), 0)]:
        if i < old_at or j < new_at:
            hunks.append([i, old_at, j, new_at])
        i, j = old_at + length, new_at + length
    return hunks


def _compact(old: Lines, new: Lines, hunks: list[list[int]]) -> tuple[Hunk, ...]:
    """Slide pure additions and deletions down as far as equal lines allow, then join (D2, D4)."""
    done: list[list[int]] = []
    for index in range(len(hunks) - 1, -1, -1):
        hunk = hunks[index]
        limit = done[-1][0] if done else len(old)
        if hunk[0] == hunk[1]:
            _slide(new, hunk, 2, limit - hunk[1])
        elif hunk[2] == hunk[3]:
            _slide(old, hunk, 0, limit - hunk[1])
        if done and not any(old[at].strip() for at in range(hunk[1], limit)):
            done[-1][0], done[-1][2] = hunk[0], hunk[2]
        else:
            done.append(hunk)
    done.reverse()
    return tuple(Hunk(*hunk) for hunk in done)


def _slide(lines: Lines, hunk: list[int], side: int, room: int) -> None:
    """Move a one-sided hunk down while its first line equals the line after it."""
    steps = 0
    while steps < room and lines[hunk[side] + steps] == lines[hunk[side + 1] + steps]:
        steps += 1
    for place in range(4):
        hunk[place] += steps
