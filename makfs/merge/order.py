"""In which order the merged nodes of one parent stand.

O1  Every node to keep stands exactly once.
O2  If one side left the common order alone, the other side's order stands; if both changed it, in different
    ways, there is no answer.
O3  An added node follows the node it follows on its own side, or ends the list if it does so there; where
    both sides added at one place, head's come first, then mine, so that appends never refuse each other.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

START: Final = "start"
END: Final = "end"


@dataclass(frozen=True, slots=True)
class Meeting:
    """A place where both sides added nodes."""

    head: tuple[int, ...]
    mine: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Order:
    """The merged order, and where both sides added at one place."""

    uids: tuple[int, ...]
    meetings: tuple[Meeting, ...]


def merge_order(
    base: Sequence[int], mine: Sequence[int], head: Sequence[int], keep: Container[int]
) -> Order | None:
    """Return the uids of `mine` and `head` that are in `keep`, in order, or None (O2)."""
    in_mine, in_head = set(mine), set(head)
    common = in_mine.intersection(base, in_head)
    of_base = [uid for uid in base if uid in common]
    of_mine = [uid for uid in mine if uid in common]
    of_head = [uid for uid in head if uid in common]
    if of_mine in (of_base, of_head):
        gaps = _gaps(mine, in_head, keep)
        frame_is_mine, frame, in_guest = False, head, in_mine
    elif of_head == of_base:
        gaps = _gaps(head, in_mine, keep)
        frame_is_mine, frame, in_guest = True, mine, in_head
    else:
        return None
    uids: list[int] = []
    meetings: list[Meeting] = []
    guests, own = gaps.get(START, []), list[int]()
    for uid in frame:
        if uid not in in_guest:
            if uid in keep:
                own.append(uid)
            continue
        _put(uids, meetings, guests, own, frame_is_mine=frame_is_mine)
        guests, own = gaps.get(uid, []), []
        if uid in keep:
            uids.append(uid)
    if guests and END in gaps:
        uids += guests
        guests = []
    _put(uids, meetings, guests or gaps.get(END, []), own, frame_is_mine=frame_is_mine)
    return Order(tuple(uids), tuple(meetings))


def _put(
    uids: list[int], meetings: list[Meeting], guests: list[int], own: list[int], *, frame_is_mine: bool
) -> None:
    """Append what both sides added at one place, head's first. `own`: of the side whose order stands."""
    head, mine = (guests, own) if frame_is_mine else (own, guests)
    uids += head + mine
    if head and mine:
        meetings.append(Meeting(tuple(head), tuple(mine)))


def _gaps(guest: Sequence[int], in_frame: set[int], keep: Container[int]) -> dict[int | str, list[int]]:
    """Return what only `guest` has, by what it follows; what ends the list is at the END."""
    gaps: dict[int | str, list[int]] = {}
    anchor: int | str = START
    for uid in guest:
        if uid in in_frame:
            anchor = uid
        elif uid in keep:
            gaps.setdefault(anchor, []).append(uid)
    if anchor != START and anchor in gaps:
        gaps[END] = gaps.pop(anchor)
    return gaps
