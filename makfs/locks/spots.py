"""Who holds and who waits at each address, as packed counters. Pure.

P1  `total` is the sum of `own`; `waiting` is the sum of the needs in `queue`; `queue` is in order of rank.
P2  An address has a spot exactly while something is held or waited for at it or below it.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping

from makfs.ids import Address, AgentId
from makfs.locks.address import lineage
from makfs.locks.modes import CLASH, INTENT, UNIT, Mode, clash_of
from makfs.locks.values import Waiter

Rank = tuple[int, int]
"""Place in every queue, small first: (arrival moved back by priority, ticket)."""


class Waiting:
    """A waiter with what it needs at each address, its own and all above. Never changed once made."""

    __slots__ = ("agent", "needs", "rank", "waiter")

    def __init__(self, waiter: Waiter, rank: Rank) -> None:
        self.waiter = waiter
        self.agent = waiter.agent
        self.rank = rank
        # Its own addresses first: there it is nearly always that somebody is in the way.
        self.needs: tuple[tuple[Address, int, int], ...] = tuple(
            (address, need, clash_of(need)) for address, need in _needs(waiter).items()
        )


def _needs(waiter: Waiter) -> dict[Address, int]:
    needs: dict[Address, int] = {}
    for claim in waiter.claims:
        needs[claim.address] = needs.get(claim.address, 0) | UNIT[claim.mode]
    for claim in waiter.claims:
        for above in reversed(lineage(claim.address)[:-1]):
            needs[above] = needs.get(above, 0) | UNIT[INTENT[claim.mode]]
    return needs


class Spot:
    """One address: what is held at it and below it, what is waited for."""

    __slots__ = ("own", "queue", "total", "waiting")

    def __init__(self) -> None:
        self.total = 0
        self.own: dict[AgentId, int] = {}
        self.waiting = 0
        self.queue: list[tuple[Rank, int, Waiting]] = []


Blocked = tuple[Spot, int]
"""A spot, and the counters of those in its queue who may go on now."""


class Spots(dict[Address, Spot]):
    """The spots in use (P2)."""

    __slots__ = ()

    def is_free(self, agent: AgentId, address: Address, mode: Mode) -> bool:
        """Tell whether nobody else holds or waits for what clashes. Cost: a look at each address above."""
        line = lineage(address)
        clash = CLASH[INTENT[mode]]
        for above in line:
            spot = self.get(above)
            if spot is None:
                return True
            if above == address:
                clash = CLASH[mode]
            if (spot.total - spot.own.get(agent, 0) | spot.waiting) & clash:
                return False
        return True

    def is_unheld(self, agent: AgentId, address: Address, mode: Mode) -> bool:
        """Tell whether nobody else holds what clashes, whoever waits for it."""
        line = lineage(address)
        clash = CLASH[INTENT[mode]]
        for above in line:
            spot = self.get(above)
            if spot is None:
                return True
            if above == address:
                clash = CLASH[mode]
            if (spot.total - spot.own.get(agent, 0)) & clash:
                return False
        return True

    def hold(self, agent: AgentId, address: Address, mode: Mode) -> None:
        """Count a grant in."""
        unit = UNIT[INTENT[mode]]
        for above in lineage(address):
            if above == address:
                unit = UNIT[mode]
            spot = self.get(above)
            if spot is None:
                spot = self[above] = Spot()
            spot.total += unit
            own = spot.own
            own[agent] = own.get(agent, 0) + unit

    def drop(self, agent: AgentId, address: Address, mode: Mode, freed: list[Blocked]) -> None:
        """Count a grant out; append to `freed` where somebody may have waited for it."""
        unit, clash = UNIT[INTENT[mode]], CLASH[INTENT[mode]]
        for above in lineage(address):
            if above == address:
                unit, clash = UNIT[mode], CLASH[mode]
            spot = self[above]
            spot.total -= unit
            left = spot.own[agent] - unit
            if left:
                spot.own[agent] = left
            else:
                del spot.own[agent]
                if not spot.own and not spot.queue:
                    del self[above]
            if spot.waiting & clash:
                freed.append((spot, clash))

    def enqueue(self, waiting: Waiting) -> None:
        """Put a waiter into the queue of each address it needs."""
        for address, need, _ in waiting.needs:
            spot = self.get(address)
            if spot is None:
                spot = self[address] = Spot()
            spot.waiting += need
            insort(spot.queue, (waiting.rank, need, waiting))

    def dequeue(self, waiting: Waiting, freed: list[Blocked]) -> None:
        """Take a waiter out; append to `freed` where somebody may have stood behind it."""
        for address, need, clash in waiting.needs:
            spot = self[address]
            spot.waiting -= need
            del spot.queue[bisect_left(spot.queue, waiting.rank, key=lambda entry: entry[0])]
            if spot.waiting & clash:
                freed.append((spot, clash))
            if not spot.own and not spot.queue:
                del self[address]

    def check(self, expected: Mapping[Address, Mapping[AgentId, int]], waiting: Iterable[Waiting]) -> None:
        """Assert P1 and P2 against counters made anew."""
        queues: dict[Address, list[tuple[Rank, int]]] = {}
        for each in waiting:
            for address, need, _ in each.needs:
                queues.setdefault(address, []).append((each.rank, need))
        assert self.keys() == expected.keys() | queues.keys(), "P2"
        for address, spot in self.items():
            assert spot.own == expected.get(address, {}), "P1: own"
            assert spot.total == sum(spot.own.values()), "P1: total"
            assert [entry[:2] for entry in spot.queue] == sorted(queues.get(address, [])), "P1: queue"
            assert spot.waiting == sum(entry[1] for entry in spot.queue), "P1: waiting"
