"""In which order the merged nodes of one parent stand.

O1  Every node to keep stands exactly once.
O2  If one side left the common order alone, the other side's order stands; if both changed it, in different
    ways, there is no answer.
O3  An added node follows the node it follows on its own side; where both sides added at one place, head's
    come first, then mine, so that appends never refuse each other.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass


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
        mine_first, frame, in_guest = False, head, in_mine
    elif of_head == of_base:
        gaps = _gaps(head, in_mine, keep)
        mine_first, frame, in_guest = True, mine, in_head
    else:
        return None
    uids: list[int] = []
    meetings: list[Meeting] = []
    guests, own = gaps.get(0, []), list[int]()
    for uid in [*frame, None]:
        if uid is not None and uid not in in_guest:
            if uid in keep:
                own.append(uid)
            continue
        if guests and own:
            meetings.append(
                Meeting(tuple(guests), tuple(own)) if mine_first else Meeting(tuple(own), tuple(guests))
            )
        uids += guests + own if mine_first else own + guests
        if uid is not None:
            guests, own = gaps.get(uid, []), []
            if uid in keep:
                uids.append(uid)
    return Order(tuple(uids), tuple(meetings))


def _gaps(guest: Sequence[int], in_frame: set[int], keep: Container[int]) -> dict[int, list[int]]:
    """Return what only `guest` has, by the uid it follows; 0 stands for the beginning."""
    gaps: dict[int, list[int]] = {}
    anchor = 0
    for uid in guest:
        if uid in in_frame:
            anchor = uid
        elif uid in keep:
            gaps.setdefault(anchor, []).append(uid)
    return gaps
