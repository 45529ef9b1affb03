"""The waits-for graph over agents, read from the book where it is needed and kept nowhere. Pure.

A *hard* edge leads from an agent that waits to one that holds what it waits for; a *soft* edge to one that
stands before it in a queue for what clashes. A cycle of hard edges is a deadlock. A cycle with a soft edge is
only an order of a queue, and whoever in it holds something is let pass (`table`).

G1  The closure of a set of waiters looks at each place in a queue and each holding at most once a clash.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from makfs.ids import Address, AgentId
from makfs.locks.book import Book
from makfs.locks.spots import Waiting
from makfs.locks.values import Wait


@dataclass(slots=True)
class Closure:
    """Whom a set of waiters waits for, directly or through others; each with the waiter that led there."""

    hard: dict[AgentId, Waiting] = field(default_factory=dict)  # reached by a hard edge
    soft: dict[AgentId, Waiting] = field(default_factory=dict)  # reached by a soft one


def closure(book: Book, start: Iterable[Waiting], *, soft: bool, until: AgentId | None = None) -> Closure:
    """Follow the edges from the waiters, hard ones only unless `soft`; stop when a hard one reaches `until`.

    Cost: G1; nearly always a few looks, in the worst case all waiters and holders of contended addresses.
    """
    found = Closure()
    seen_holders: set[tuple[Address, int]] = set()
    seen_queue: dict[tuple[Address, int], int] = {}
    todo = deque(start)
    while todo and until not in found.hard:
        waiting = todo.popleft()
        for agent in _holders(book, waiting, seen_holders):
            if agent not in found.hard:
                found.hard[agent] = waiting
                if agent not in found.soft:
                    todo.extend(book.queues.get(agent, {}).values())
        if soft:
            for agent in _before(book, waiting, seen_queue):
                if agent not in found.soft:
                    found.soft[agent] = waiting
                    if agent not in found.hard:
                        todo.extend(book.queues[agent].values())
    return found


def _holders(book: Book, waiting: Waiting, seen: set[tuple[Address, int]]) -> Iterator[AgentId]:
    me = waiting.agent
    for address, _, clash in waiting.needs:
        spot = book.spots.get(address)
        if spot is None or not spot.total & clash or (address, clash) in seen:
            continue
        if me not in spot.own:  # else I am left out here, and another may still lead to me
            seen.add((address, clash))
        for agent, own in spot.own.items():
            if own & clash and agent != me:
                yield agent


def _before(book: Book, waiting: Waiting, seen: dict[tuple[Address, int], int]) -> Iterator[AgentId]:
    me = waiting.agent
    for address, _, clash in waiting.needs:
        spot = book.spots.get(address)
        if spot is None or not spot.waiting & clash:
            continue
        place = seen.get((address, clash), 0)
        mine: int | None = None
        for rank, need, other in spot.queue[place:]:
            if rank >= waiting.rank:
                break
            if other.agent == me:
                mine = place if mine is None else mine
            elif need & clash:
                yield other.agent
            place += 1
        seen[address, clash] = place if mine is None else mine  # as above


def is_held_up(book: Book, waiting: Waiting) -> bool:
    """Tell whether another agent holds what clashes."""
    me = waiting.agent
    for address, _, clash in waiting.needs:
        spot = book.spots.get(address)
        if spot is not None and (spot.total - spot.own.get(me, 0)) & clash:
            return True
    return False


def clashing_waiters(book: Book, waiting: Waiting) -> Iterator[Waiting]:
    """Yield the waiters of other agents that clash, by address, and there in order of rank."""
    for address, _, clash in waiting.needs:
        spot = book.spots.get(address)
        if spot is not None and spot.waiting & clash:
            for _, need, other in spot.queue:
                if need & clash and other.agent != waiting.agent:
                    yield other


def may_be_waited_for(book: Book, agent: AgentId) -> bool:
    """Tell whether an agent that waits might be waited for; False is certain. Cost: a look an address."""
    mine = book.queues.get(agent)
    if not mine:
        return False
    return agent in book.held or any(
        spot.queue[-1][0] > waiting.rank and spot.waiting & clash
        for waiting in mine.values()
        for address, _, clash in waiting.needs
        for spot in (book.spots[address],)
    )


def waits_for_what_is_held(book: Book, waiting: Waiting, agent: AgentId) -> bool:
    """Tell whether the waiter's agent waits, through whatever chain, for something the agent holds."""
    if agent not in book.held:
        return False
    start = book.queues[waiting.agent].values()
    return agent in closure(book, start, soft=True, until=agent).hard


def is_acyclic_at(book: Book, agent: AgentId) -> bool:
    """Tell whether no deadlock goes through a waiting agent."""
    return agent not in closure(book, book.queues[agent].values(), soft=False, until=agent).hard


def cycle(book: Book, waiting: Waiting, now_ns: int) -> tuple[Wait, ...]:
    """Return the deadlock that a new waiter would close, beginning with its own wait; () if none."""
    me = waiting.agent
    if me not in book.held:
        return ()
    reached = closure(book, [waiting], soft=False, until=me).hard
    if me not in reached:
        return ()
    steps = [(reached[me], me)]
    while steps[-1][0] is not waiting:
        agent = steps[-1][0].agent
        steps.append((reached[agent], agent))
    return tuple(_edge(book, one, other, now_ns) for one, other in reversed(steps))


def _edge(book: Book, waiting: Waiting, holder: AgentId, now_ns: int) -> Wait:
    found = (
        conflict
        for claim in waiting.waiter.claims
        for conflict in book.conflicts(waiting.agent, claim, now_ns)
        if conflict.grant.agent == holder
    )
    conflict = next(found)
    return Wait(waiting.agent, conflict.claim, conflict.grant)
