"""Merge three texts line by line, as `git merge-file` does; knows nothing of any language.

T1  Lines that only one side changed are that side's; changes that meet or overlap conflict, unless both
    sides made the same one.
T2  The result is made of whole lines of the three texts, in order.
T3  Binary text (a NUL byte) is never merged, except where one side did not change it or both agree.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from makfs.merge.lines import Hunk, Lines, diff_lines, split_lines


@dataclass(frozen=True, slots=True)
class Clash:
    """A place where both sides changed the same lines: half-open line ranges, from 0, in each text."""

    base: tuple[int, int]
    mine: tuple[int, int]
    head: tuple[int, int]

    @property
    def place(self) -> str:
        """Say where the clash is, for people: lines count from 1."""
        first, last = self.base[0] + 1, self.base[1]
        if last < first:
            return f"both sides inserted lines before line {first} of the text they started from"
        return f"lines {first} to {last} of the text they started from"


@dataclass(slots=True)
class _Region:
    """Hunks of both sides that touch, and the lines of `base` they span."""

    start: int
    end: int
    mine: list[Hunk]
    head: list[Hunk]


def is_binary(text: bytes) -> bool:
    """Tell whether the text holds a NUL byte."""
    return b"\0" in text


def merge_text(base: bytes, mine: bytes, head: bytes) -> bytes | tuple[Clash, ...]:
    """Return the merged text, or the places that clash (T1). Never raises."""
    if mine == head or head == base:
        return mine
    if mine == base:
        return head
    lines = split_lines(base), split_lines(mine), split_lines(head)
    if any(map(is_binary, (base, mine, head))):
        return (Clash((0, len(lines[0])), (0, len(lines[1])), (0, len(lines[2]))),)
    merged = merge_lines(*lines)
    return merged if isinstance(merged, tuple) else b"".join(merged)


def merge_lines(base: Lines, mine: Lines, head: Lines) -> list[bytes] | tuple[Clash, ...]:
    """Return the merged lines, or the places that clash."""
    result: list[bytes] = []
    clashes: list[Clash] = []
    at = 0
    shift_mine = shift_head = 0  # index in the side minus index in base, outside hunks
    for region in _regions(diff_lines(base, mine), diff_lines(base, head)):
        result.extend(base[at : region.start])
        at = region.end
        mine_start, head_start = region.start + shift_mine, region.start + shift_head
        shift_mine += _growth(region.mine)
        shift_head += _growth(region.head)
        ends = mine_start, region.end + shift_mine, head_start, region.end + shift_head
        part = _merge_region(region, mine[ends[0] : ends[1]], head[ends[2] : ends[3]])
        if part is None:
            clashes.append(Clash((region.start, region.end), ends[:2], ends[2:]))
        else:
            result.extend(part)
    result.extend(base[at:])
    return tuple(clashes) if clashes else result


def _merge_region(region: _Region, mine: Lines, head: Lines) -> Lines | None:
    """Return the lines of a region that one side changed, or both alike (T1)."""
    if not region.head or mine == head:
        return mine
    return None if region.mine else head


def _growth(hunks: Sequence[Hunk]) -> int:
    return sum(hunk.new_end - hunk.new_start - hunk.old_end + hunk.old_start for hunk in hunks)


def _regions(mine: Sequence[Hunk], head: Sequence[Hunk]) -> list[_Region]:
    """Group hunks that meet: one ends where another begins, or they overlap."""
    marked = [(hunk.old_start, hunk.old_end, 0, hunk) for hunk in mine]
    marked += [(hunk.old_start, hunk.old_end, 1, hunk) for hunk in head]
    regions: list[_Region] = []
    for start, end, side, hunk in sorted(marked, key=lambda item: item[:3]):
        if not regions or start > regions[-1].end:
            regions.append(_Region(start, end, [], []))
        region = regions[-1]
        region.end = max(region.end, end)
        (region.head if side else region.mine).append(hunk)
    return regions
