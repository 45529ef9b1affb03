"""The lock table: who may hold an address now, who waits, who is next. Pure; the engine does the waiting.

L1  No two grants of different agents clash, at one address or one above the other. An agent never blocks
    itself.
L2  No wake-up is lost: whoever waits is held up by a grant, or stands behind an older waiter that clashes and
    does not itself wait for something the younger one holds, or would by its grant close a cycle.
L3  No cycle of agents each waiting for what the next holds: the request that would close one is refused,
    naming it, and nothing else changes.
L4  Fencing numbers only grow: a grant that is made or strengthened has a larger one than all before it.
L5  A request is granted whole or not at all. A waiter holds nothing of what it waits for.
L6  After a call at `now_ns` no lease and no waiter's patience is over. Nothing begins or ends without an
    event.
L7  The counters at each address are those of the grants and waiters; an address nobody uses costs nothing.
L8  Equal calls give equal answers, in equal order.
L9  A waiter is passed only by those that do not clash, by those that arrive less than `aging_ns` a step of
    priority later, and by those for whose grants it waits itself: nobody starves.

Order of arrival is rank; a step of priority is worth `aging_ns` of waiting. Whoever asks for what clashes
with an older waiter queues behind it though the address be free, so that readers in turns do not starve a
writer.

Sources: Gray and Reuter, Transaction Processing, 1993, ch. 7-8; Gray and Cheriton, Leases, SOSP 1989.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from typing import Self

from makfs.ids import Address, AgentId
from makfs.locks import graph
from makfs.locks.accepted import check_lease, checked
from makfs.locks.checking import check_book
from makfs.locks.looking import Looking
from makfs.locks.modes import Mode, at_least, join
from makfs.locks.rows import BadRows, Rows, grant_of_row, grant_row, moved, waiter_rows, waiters_of_rows
from makfs.locks.spots import Blocked, Waiting
from makfs.locks.values import BadClaim, Claim, Decision, Event, Grant, NotHeld, Waiter, What, shown


class LockTable(Looking):
    """All grants and waiters of a repository. `now_ns` is of one clock; going back is standing still."""

    __slots__ = ("_aging_ns", "_yielding")

    def __init__(self, *, aging_ns: int = 1_000_000_000) -> None:
        super().__init__()
        self._aging_ns = aging_ns
        self._yielding: set[int] = set()  # tickets held back only because their grant would close a cycle

    # Asking

    def request(
        self,
        agent: AgentId,
        claims: Iterable[Claim],
        *,
        now_ns: int,
        lease_ns: int,
        wait_ns: int = 0,
        priority: int = 0,
        while_active: bool = False,
    ) -> Decision:
        """Ask for a set of claims: all are granted now, or the set waits up to `wait_ns`, or it is refused.

        What the agent holds already is renewed, and strengthened where it must be; leases only get longer.
        `while_active`: any operation of the agent renews (`touch`). Raise BadClaim or BadAddress.
        Cost: a look at each address and each above; more only where somebody clashes.
        """
        asked = checked(claims, lease_ns, wait_ns, priority)
        self._ticket += 1
        also = self._pass_time(now_ns)
        now_ns = self._now_ns
        is_free = self._book.spots.is_free
        for claim in asked:
            if not is_free(agent, claim.address, claim.mode):
                break
        else:
            grants = self._grant(agent, asked, lease_ns, while_active)
            return Decision(What.GRANTED, agent, asked, now_ns, grants, also=tuple(also))
        until_ns = now_ns + wait_ns
        waiter = Waiter(self._ticket, agent, asked, now_ns, until_ns, lease_ns, priority, while_active)
        return self._decide(self._as_waiting(waiter), also)

    def _as_waiting(self, waiter: Waiter) -> Waiting:
        return Waiting(waiter, (waiter.arrived_ns - waiter.priority * self._aging_ns, waiter.ticket))

    def _decide(self, waiting: Waiting, also: list[Event]) -> Decision:
        """Answer a request against which something stands."""
        book, waiter, now_ns = self._book, waiting.waiter, self._now_ns
        agent, asked = waiter.agent, waiter.claims
        if self._may_go(waiting):
            grants = self._grant(agent, asked, waiter.lease_ns, waiter.while_active)
            self._promote(self._in_cycles_through(agent), also)
            return Decision(What.GRANTED, agent, asked, now_ns, grants, also=tuple(also))
        conflicts = tuple(each for claim in asked for each in book.conflicts(agent, claim, now_ns))
        behind = self._behind(waiting)
        cycle = graph.cycle(book, waiting, now_ns) if waiter.until_ns > now_ns else ()
        if cycle or waiter.until_ns <= now_ns:
            self._yielding.discard(waiter.ticket)
            refused = Decision(What.REFUSED, agent, asked, now_ns, (), None, conflicts, behind, cycle)
            return replace(refused, also=tuple(also))
        book.enqueue(waiting)
        self._promote(self._in_cycles_through(agent), also)
        if waiter.ticket in book.waiting:
            return Decision(
                What.QUEUED, agent, asked, now_ns, (), waiter, conflicts, behind, also=tuple(also)
            )
        own = next(event for event in also if event.waiter is waiter)
        also.remove(own)
        return Decision(What.GRANTED, agent, asked, now_ns, own.grants, also=tuple(also))

    def _behind(self, waiting: Waiting) -> tuple[Waiter, ...]:
        """Return the waiters it stands behind, each once, in order of rank."""
        clashing = graph.clashing_waiters(self._book, waiting, before=True)
        before = {other.rank: other.waiter for other in clashing}
        return tuple(before[rank] for rank in sorted(before))

    def _grant(
        self, agent: AgentId, asked: Sequence[Claim], lease_ns: int, while_active: bool
    ) -> tuple[Grant, ...]:
        """Hold what was asked for. Nobody's grant stands against it (L1)."""
        book, now_ns = self._book, self._now_ns
        fence = self._fence + 1
        found: list[Grant] = []
        for claim in asked:
            address, mode = claim.address, claim.mode
            old = book.grant_of(agent, address)
            if old is None:
                grant = Grant(agent, address, mode, fence, now_ns, lease_ns, now_ns + lease_ns, while_active)
                book.put(grant)
                self._fence = fence
            else:
                grant = self._lengthened(old, lease_ns, while_active)
                if not at_least(old.mode, mode):
                    grant = replace(grant, mode=join(old.mode, mode), fence=fence)
                    self._fence = fence
                # A stronger mode frees nobody.
                book.exchange(old, grant, [])
            found.append(grant)
        return tuple(found)

    def _lengthened(self, grant: Grant, lease_ns: int, while_active: bool) -> Grant:
        while_active = while_active or grant.while_active
        longest_ns = max(grant.lease_ns, lease_ns)
        # This is an operation of its agent, too: so no older one ever matters (`Book.end_of`).
        end_ns = self._now_ns + (longest_ns if while_active else lease_ns)
        end_ns = max(self._book.end_of(grant), end_ns)
        return replace(grant, lease_ns=longest_ns, expires_ns=end_ns, while_active=while_active)

    # Ending and renewing

    def release(
        self, agent: AgentId, addresses: Iterable[Address] | None = None, *, now_ns: int
    ) -> tuple[Event, ...]:
        """End the agent's grants on these addresses, or all it has. Raise NotHeld if one is not held."""
        return self._end(self._held(agent, addresses), (), now_ns)

    def bury(self, agent: AgentId, *, now_ns: int) -> tuple[Event, ...]:
        """End all grants and waits of an agent that is gone. Nothing to end is fine."""
        waits = tuple(self._book.queues.get(agent, {}).values())
        return self._end(self._held(agent, None), waits, now_ns)

    def cancel(self, ticket: int, *, now_ns: int) -> tuple[Event, ...]:
        """Take a waiter out of the queue. Raise NotHeld if it waits no longer."""
        waiting = self._book.waiting.get(ticket)
        if waiting is None:
            raise NotHeld(f"No request number {ticket} waits.")
        return self._end((), (waiting,), now_ns)

    def downgrade(self, agent: AgentId, address: Address, mode: Mode, *, now_ns: int) -> tuple[Event, ...]:
        """Weaken a grant to `mode`. Raise NotHeld, or BadClaim if it would not be weaker."""
        (old,) = self._held(agent, (address,))
        if old.mode is mode or not at_least(old.mode, mode):
            raise BadClaim(f"{agent} holds {old.claim}: {mode.word} is not weaker.")
        also = self._pass_time(now_ns)
        if self._book.grant_of(agent, address) is old:
            freed: list[Blocked] = []
            new = replace(old, mode=mode)
            self._book.exchange(old, new, freed)
            also.append(Event(What.DOWNGRADED, agent, self._now_ns, (self._book.as_of_now(new),)))
            self._promote(_candidates(freed), also)
        return tuple(also)

    def renew(
        self,
        agent: AgentId,
        addresses: Iterable[Address] | None = None,
        *,
        now_ns: int,
        lease_ns: int | None = None,
    ) -> tuple[Event, ...]:
        """Let the leases start again, `lease_ns` long or as long as they were, never ending earlier.

        A lease that was over by then is not renewed: its event is EXPIRED. Raise NotHeld or BadClaim.
        """
        grants = self._held(agent, addresses)
        if lease_ns is not None:
            check_lease(lease_ns)
        also = self._pass_time(now_ns)
        renewed: list[Grant] = []
        for old in grants:
            if self._book.grant_of(agent, old.address) is old:
                new = self._lengthened(old, lease_ns or old.lease_ns, old.while_active)
                self._book.exchange(old, new, [])
                renewed.append(new)
        if renewed:
            also.append(Event(What.RENEWED, agent, self._now_ns, tuple(renewed)))
        return tuple(also)

    def touch(self, agent: AgentId, *, now_ns: int) -> tuple[Event, ...]:
        """Note an operation of the agent, renewing its grants made `while_active`. Cost: one assignment."""
        also = self._pass_time(now_ns)
        if agent in self._book.held:
            self._book.active_ns[agent] = self._now_ns
        return tuple(also)

    def expire(self, *, now_ns: int) -> tuple[Event, ...]:
        """End what is over, in the order of time, and grant what becomes free."""
        return tuple(self._pass_time(now_ns))

    def _held(self, agent: AgentId, addresses: Iterable[Address] | None) -> tuple[Grant, ...]:
        held = self._book.held.get(agent, {})
        if addresses is None:
            return tuple(sorted(held.values(), key=lambda grant: (grant.fence, grant.address)))
        wanted = tuple(dict.fromkeys(addresses))
        missing = [address for address in wanted if address not in held]
        if missing:
            raise NotHeld(f"{agent} does not hold {', '.join(map(shown, missing[:3]))}.")
        return tuple(held[address] for address in wanted)

    def _end(self, grants: Sequence[Grant], waits: Sequence[Waiting], now_ns: int) -> tuple[Event, ...]:
        """End waits and grants in one step, then let those go that may."""
        book, also, freed = self._book, list[Event](), list[Blocked]()
        if waits:  # before time passes, which could grant them
            self._now_ns = max(self._now_ns, now_ns)
        for waiting in waits:
            book.dequeue(waiting, freed)
            self._yielding.discard(waiting.waiter.ticket)
            also.append(Event(What.CANCELLED, waiting.agent, self._now_ns, waiter=waiting.waiter))
        also += self._pass_time(now_ns)
        for old in grants:
            grant = book.grant_of(old.agent, old.address)
            if grant is not None and grant.since_ns == old.since_ns:  # else time has ended it just now
                book.drop(grant, freed)
                also.append(Event(What.RELEASED, grant.agent, self._now_ns, (grant,)))
        if freed or self._yielding:
            self._promote(_candidates(freed), also)
        return tuple(also)

    # Time and the queues

    def _pass_time(self, now_ns: int) -> list[Event]:
        """End what is over, instant by instant, each time granting what became free (L6)."""
        if self._now_ns < now_ns:
            self._now_ns = now_ns
        also: list[Event] = []
        due = self._book.due
        if not due or due[0][0] > self._now_ns:
            return also
        while over := self._book.next_over(self._now_ns):
            freed: list[Blocked] = []
            for each in over:
                if isinstance(each, Grant):
                    self._book.drop(each, freed)
                    also.append(Event(What.EXPIRED, each.agent, self._now_ns, (each,)))
                else:
                    self._book.dequeue(each, freed)
                    self._yielding.discard(each.waiter.ticket)
                    also.append(Event(What.GAVE_UP, each.agent, self._now_ns, waiter=each.waiter))
            self._promote(_candidates(freed), also)
        return also

    def _promote(self, candidates: Iterable[Waiting], also: list[Event]) -> None:
        """Grant those of the candidates that may go, oldest first, and those for whom that clears the way."""
        book = self._book
        chosen = {each.rank: each for each in candidates}
        chosen |= {each.rank: each for each in self._held_back()}
        ranks = sorted(chosen)
        while ranks:
            waiting = chosen.pop(heappop(ranks))
            waiter = waiting.waiter
            if not self._may_go(waiting):
                continue
            book.dequeue(waiting, [])  # whoever stood behind it is held up by its grant now
            grants = self._grant(waiter.agent, waiter.claims, waiter.lease_ns, waiter.while_active)
            also.append(Event(What.PROMOTED, waiter.agent, self._now_ns, grants, waiter))
            for each in (*self._in_cycles_through(waiter.agent), *self._held_back()):
                if each.rank not in chosen:
                    chosen[each.rank] = each
                    heappush(ranks, each.rank)

    def _held_back(self) -> list[Waiting]:
        return [self._book.waiting[ticket] for ticket in self._yielding]

    def _in_cycles_through(self, agent: AgentId) -> list[Waiting]:
        """Return the waiters in cycles through an agent who waits for something new, or holds something new.

        A new edge may make an old waiter wait for what somebody behind it holds, who then need not stand
        behind it any more (L2). A cycle of hard edges is not among them (L3).
        """
        book = self._book
        if not graph.may_be_waited_for(book, agent):
            return []
        reached = graph.closure(book, book.queues[agent].values(), soft=True)
        if agent not in reached.hard and agent not in reached.soft:
            return []
        names = {**reached.hard, **reached.soft}
        return [each for name in names for each in book.queues.get(name, {}).values()]

    def _may_go(self, waiting: Waiting) -> bool:
        """Tell whether a request may be granted now; L1, L2, L3 and L9 are decided here."""
        book, agent = self._book, waiting.agent
        ticket = waiting.waiter.ticket
        self._yielding.discard(ticket)
        if graph.is_held_up(book, waiting):
            return False
        if not graph.all_wait_for(book, graph.clashing_waiters(book, waiting, before=True), agent):
            return False
        clashing = [other.agent for other in graph.clashing_waiters(book, waiting)]
        others = [each for each in book.queues.get(agent, {}).values() if each is not waiting]
        if clashing and others:
            # Those it clashes with would wait for it: not for one who waits for them elsewhere.
            reached = graph.closure(book, others, soft=False).hard
            if not reached.keys().isdisjoint(clashing):
                self._yielding.add(ticket)
                return False
        return True

    # Keeping

    def to_rows(self) -> Rows:
        """Return all that must survive a restart, as plain values."""
        book = self._book
        waiters = sorted(book.waiting.values(), key=lambda each: each.waiter.ticket)
        return Rows(
            self._fence,
            self._ticket,
            tuple(grant_row(grant) for grant in self._live(book.all_grants(), self._now_ns)),
            tuple(row for each in waiters for row in waiter_rows(each.waiter)),
        )

    @classmethod
    def from_rows(
        cls, rows: Rows, *, now_ns: int, shift_ns: int = 0, aging_ns: int = 1_000_000_000
    ) -> tuple[Self, tuple[Event, ...]]:
        """Return the table of these rows, and what ended meanwhile. Raise BadRows if they cannot be.

        `shift_ns` is added to every time, for a clock that started anew.
        """
        table = cls(aging_ns=aging_ns)
        grants = sorted(map(grant_of_row, rows.grants), key=lambda grant: (grant.fence, grant.address))
        waiters = waiters_of_rows(rows.waiters)
        table._fence = max([rows.fence, *(grant.fence for grant in grants)])
        table._ticket = max([rows.ticket, *(waiter.ticket for waiter in waiters)])
        for grant in grants:
            table._restore(moved(grant, shift_ns))
        for waiter in waiters:
            table._book.enqueue(table._as_waiting(moved(waiter, shift_ns)))
        also = table._pass_time(now_ns)
        table._promote(table._book.waiting.values(), also)
        if not all(graph.is_acyclic_at(table._book, agent) for agent in table._book.queues):
            raise BadRows("The stored locks hold a deadlock.")
        return table, tuple(also)

    def _restore(self, grant: Grant) -> None:
        book = self._book
        if book.grant_of(grant.agent, grant.address) is not None:
            raise BadRows(f"The stored locks hold two grants of {grant.agent} on {shown(grant.address)}.")
        if not book.spots.is_unheld(grant.agent, grant.address, grant.mode):
            raise BadRows(f"The stored grant {grant.fence}, {grant.claim}, clashes with another.")
        book.put(grant)

    def check(self) -> None:
        """Assert L1 to L3 and L5 to L7. Cost: about the square of what is held and waited for."""
        check_book(self._book, self._now_ns, self._fence)
        for waiting in self._book.waiting.values():
            yielding = set(self._yielding)
            assert not self._may_go(waiting), f"L2: {waiting.waiter}"
            assert self._yielding == yielding, "L2: yielding"


def _candidates(freed: Iterable[Blocked]) -> list[Waiting]:
    """Return the waiters that clashed with what is gone."""
    return [waiting for spot, clash in freed for _, need, waiting in spot.queue if need & clash]
