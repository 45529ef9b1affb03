"""Grants, waiters and when they end: the state of the lock table and its smallest changes. Pure.

Whatever is written here is decided in `table`; nothing here knows fairness or deadlocks.

B1  An agent has at most one grant on an address.
B2  Everything that ends by itself stands in the heap, at or before its time.
"""

from collections.abc import Iterator
from dataclasses import replace
from heapq import heapify, heappop, heappush

from makfs.ids import Address, AgentId
from makfs.locks.address import lineage
from makfs.locks.modes import CLASH, INTENT, UNIT
from makfs.locks.spots import Blocked, Spots, Waiting
from makfs.locks.values import Claim, Conflict, Grant

Due = tuple[int, int, int, str, str]
"""(time, 0 for a grant and 1 for a waiter, fence or ticket, agent, address)."""


class Book:
    """Who holds what and who waits for what."""

    __slots__ = ("active_ns", "due", "grants", "held", "queues", "spots", "waiting")

    def __init__(self) -> None:
        self.spots = Spots()
        self.held: dict[AgentId, dict[Address, Grant]] = {}
        self.grants = 0  # how many there are
        self.waiting: dict[int, Waiting] = {}  # by ticket
        self.queues: dict[AgentId, dict[int, Waiting]] = {}  # the same by agent
        self.active_ns: dict[AgentId, int] = {}  # of agents that hold something: their last activity
        self.due: list[Due] = []

    # Grants

    def put(self, grant: Grant) -> None:
        """Hold a grant on an address on which its agent has none."""
        held = self.held.setdefault(grant.agent, {})
        assert grant.address not in held, "B1"
        held[grant.address] = grant
        self.grants += 1
        self.spots.hold(grant.agent, grant.address, grant.mode)
        self._remind((grant.expires_ns, 0, grant.fence, grant.agent, grant.address))

    def exchange(self, old: Grant, new: Grant, freed: list[Blocked]) -> None:
        """Replace a grant by one of the same agent and address."""
        self.held[old.agent][old.address] = new
        if new.mode is not old.mode:
            self.spots.hold(new.agent, new.address, new.mode)  # first: an address in use is not made anew
            self.spots.drop(old.agent, old.address, old.mode, freed)
        if new.fence != old.fence:
            self._remind((new.expires_ns, 0, new.fence, new.agent, new.address))

    def drop(self, grant: Grant, freed: list[Blocked]) -> None:
        """End a grant."""
        held = self.held[grant.agent]
        del held[grant.address]
        if not held:
            del self.held[grant.agent]
            self.active_ns.pop(grant.agent, None)
        self.grants -= 1
        self.spots.drop(grant.agent, grant.address, grant.mode, freed)

    def grant_of(self, agent: AgentId, address: Address) -> Grant | None:
        """Return the agent's own grant on the address itself."""
        held = self.held.get(agent)
        return held.get(address) if held else None

    def end_of(self, grant: Grant) -> int:
        """Return when a grant ends unless it is renewed, its agent's activity counted."""
        if not grant.while_active:
            return grant.expires_ns
        return max(grant.expires_ns, self.active_ns.get(grant.agent, 0) + grant.lease_ns)

    def as_of_now(self, grant: Grant) -> Grant:
        """Return a grant with its agent's activity written into `expires_ns`."""
        end_ns = self.end_of(grant)
        return grant if end_ns == grant.expires_ns else replace(grant, expires_ns=end_ns)

    def all_grants(self) -> Iterator[Grant]:
        """Yield all grants, in no particular order."""
        for held in self.held.values():
            yield from held.values()

    def conflicts(self, agent: AgentId, claim: Claim, now_ns: int) -> list[Conflict]:
        """Return the grants of others that stand against a claim. Cost: those grants' agents' grants."""
        found: list[Grant] = []
        for above in lineage(claim.address):
            here = above == claim.address
            clash = CLASH[claim.mode if here else INTENT[claim.mode]]
            spot = self.spots.get(above)
            if spot is None:
                break
            if (spot.total - spot.own.get(agent, 0)) & clash:
                for other, own in spot.own.items():
                    if other != agent and own & clash:
                        found += self._clashing(other, above, clash, below=here)
        live = [self.as_of_now(grant) for grant in found if self.end_of(grant) > now_ns]
        live.sort(key=lambda grant: (grant.fence, grant.address))
        return [Conflict(claim, grant) for grant in live]

    def _clashing(self, agent: AgentId, address: Address, clash: int, *, below: bool) -> Iterator[Grant]:
        held = self.held[agent]
        at = held.get(address)
        if at is not None and UNIT[at.mode] & clash:
            yield at
        if below:
            for grant in held.values():
                is_below = grant.address != address and address in lineage(grant.address)
                if is_below and UNIT[INTENT[grant.mode]] & clash:
                    yield grant

    # Waiters

    def enqueue(self, waiting: Waiting) -> None:
        """Put a waiter into the queues."""
        ticket = waiting.waiter.ticket
        self.waiting[ticket] = waiting
        self.queues.setdefault(waiting.agent, {})[ticket] = waiting
        self.spots.enqueue(waiting)
        self._remind((waiting.waiter.until_ns, 1, ticket, waiting.agent, ""))

    def dequeue(self, waiting: Waiting, freed: list[Blocked]) -> None:
        """Take a waiter out of the queues."""
        ticket = waiting.waiter.ticket
        del self.waiting[ticket]
        mine = self.queues[waiting.agent]
        del mine[ticket]
        if not mine:
            del self.queues[waiting.agent]
        self.spots.dequeue(waiting, freed)

    # Time

    def _remind(self, due: Due) -> None:
        heappush(self.due, due)
        if len(self.due) > 2 * (self.grants + len(self.waiting)) + 64:
            # Most of it is about what ended before its time. Paid for by the pushes since the last one.
            self.due = [each for each in self.due if self._of(each) is not None]
            heapify(self.due)

    def _of(self, due: Due) -> Grant | Waiting | None:
        """Return what an entry of the heap is about, None if that is over or has a newer entry."""
        _, is_waiter, number, agent, address = due
        if is_waiter:
            return self.waiting.get(number)
        grant = self.grant_of(AgentId(agent), Address(address))
        return grant if grant is not None and grant.fence == number else None

    def next_over(self, now_ns: int) -> list[Grant | Waiting]:
        """Return what ended first until `now_ns`, all of one instant; a grant's instant is before a waiter's.

        What is returned must be dropped before the next call. Cost with nothing over: one comparison.
        """
        found: list[Grant | Waiting] = []
        instant = (now_ns, 1)
        while self.due and self.due[0][:2] <= instant:
            due = heappop(self.due)
            each = self._of(due)
            end_ns = self.end_of(each) if isinstance(each, Grant) else due[0]
            if end_ns > due[0]:
                heappush(self.due, (end_ns, *due[1:]))
            elif each is not None:
                found.append(each)
                instant = due[:2]
        return found

    def next_due_ns(self) -> int | None:
        """Return a time before which nothing ends by itself, None if nothing ever does."""
        while self.due and self._of(self.due[0]) is None:
            heappop(self.due)
        return self.due[0][0] if self.due else None
