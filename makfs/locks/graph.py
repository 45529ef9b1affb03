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
from makfs.locks.address import lineage
from makfs.locks.book import Book
from makfs.locks.modes import CLASH, INTENT
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
    for waiting, agent, is_hard in _walk(book, start, soft=soft):
        (found.hard if is_hard else found.soft).setdefault(agent, waiting)
        if is_hard and agent == until:
            break
    return found


def _walk(book: Book, start: Iterable[Waiting], *, soft: bool) -> Iterator[tuple[Waiting, AgentId, bool]]:
    """Yield the edges from the waiters and from all they lead to, as (waiter, to whom, whether hard)."""
    reached: set[AgentId] = set()
    seen_holders: set[tuple[Address, int]] = set()
    seen_queue: dict[tuple[Address, int], int] = {}
    todo = deque(start)
    while todo:
        waiting = todo.popleft()
        for agent in _holders(book, waiting, seen_holders):
            yield waiting, agent, True
            if agent not in reached:
                reached.add(agent)
                todo.extend(book.queues.get(agent, {}).values())
        for agent in _before(book, waiting, seen_queue) if soft else ():
            yield waiting, agent, False
            if agent not in reached:
                reached.add(agent)
                todo.extend(book.queues[agent].values())


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


def clashing_waiters(book: Book, waiting: Waiting, *, before: bool = False) -> Iterator[Waiting]:
    """Yield the waiters of other agents that clash, by address and there by rank; or those before it."""
    for address, _, clash in waiting.needs:
        spot = book.spots.get(address)
        if spot is not None and spot.waiting & clash:
            for rank, need, other in spot.queue:
                if before and rank >= waiting.rank:
                    break
                if need & clash and other.agent != waiting.agent:
                    yield other


def is_wanted(book: Book, agent: AgentId) -> bool:
    """Tell whether anybody waits for something the agent holds; its own waiters may count.

    Cost: the agent's grants or all waiters, whichever are fewer.
    """
    held = book.held.get(agent)
    if not held or not book.waiting:
        return False
    if len(held) > len(book.waiting):
        return any(agent in set(_holders(book, each, set())) for each in book.waiting.values())
    for grant in held.values():
        for above in lineage(grant.address):
            clash = CLASH[grant.mode if above == grant.address else INTENT[grant.mode]]
            if book.spots[above].waiting & clash:
                return True
    return False


def may_be_waited_for(book: Book, agent: AgentId) -> bool:
    """Tell whether an agent that waits might be waited for; False is certain. Cost: as `is_wanted`."""
    mine = book.queues.get(agent)
    if not mine:
        return False
    return is_wanted(book, agent) or any(
        spot.queue[-1][0] > waiting.rank and spot.waiting & clash
        for waiting in mine.values()
        for address, _, clash in waiting.needs
        for spot in (book.spots[address],)
    )


def all_wait_for(book: Book, waiters: Iterable[Waiting], agent: AgentId) -> bool:
    """Tell whether the agents of all these waiters wait, through whatever chains, for what the agent holds.

    Cost: G1 for the first; those after it mostly wait for the first themselves.
    """
    known: set[AgentId] = set()
    for waiting in waiters:
        if waiting.agent not in known:
            if not known and not is_wanted(book, agent):
                return False
            steps = _walk(book, book.queues[waiting.agent].values(), soft=True)
            if not any(other in known or (is_hard and other == agent) for _, other, is_hard in steps):
                return False
            known.add(waiting.agent)
    return True


def is_acyclic_at(book: Book, agent: AgentId) -> bool:
    """Tell whether no deadlock goes through a waiting agent."""
    return agent not in closure(book, book.queues[agent].values(), soft=False, until=agent).hard


def cycle(book: Book, waiting: Waiting, now_ns: int) -> tuple[Wait, ...]:
    """Return the deadlock that a new waiter would close, beginning with its own wait; () if none."""
    me = waiting.agent
    if not is_wanted(book, me):
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
