"""The lock table as it is looked at: nothing here changes anything, not even for a lease that is over. Pure.

K1  What is over at `now_ns` is not shown, counted or valid, swept or not.
K2  `conflicts_of` is empty exactly if nobody's live grant stands against the claims.
K3  A fencing number is valid while its grant lives unstrengthened and covers the address: never after it
    ended, whoever has held the address since.
"""

from collections.abc import Iterable

from makfs.ids import Address, AgentId
from makfs.locks.address import REPOSITORY, lineage
from makfs.locks.book import Book
from makfs.locks.graph import clashing_waiters
from makfs.locks.modes import Mode, at_least, covers_below
from makfs.locks.values import Claim, Conflict, Grant, Waiter, shown


class Looking:
    """What can be asked of a lock table at any time."""

    __slots__ = ("_book", "_fence", "_now_ns", "_ticket")

    def __init__(self) -> None:
        self._book = Book()
        self._now_ns = 0
        self._fence = 0
        self._ticket = 0

    @property
    def fence(self) -> int:
        """Return the newest fencing number."""
        return self._fence

    @property
    def ticket(self) -> int:
        """Return the number of the newest request."""
        return self._ticket

    @property
    def is_held(self) -> bool:
        """Tell whether anybody holds anything."""
        return bool(self._book.held)

    def is_alone(self, agent: AgentId) -> bool:
        """Tell whether nobody but this agent holds anything."""
        held = self._book.held
        return not held or (len(held) == 1 and agent in held)

    def next_due_ns(self) -> int | None:
        """Return when to call `expire` next, None for never. Nothing ends by itself before."""
        return self._book.next_due_ns()

    def holders(self, address: Address = REPOSITORY, *, now_ns: int) -> tuple[Grant, ...]:
        """Return the grants at an address and below it, oldest fencing number first. Cost: all grants."""
        live = self._live(self._book.all_grants(), now_ns)
        return tuple(grant for grant in live if _is_within(address, grant.address))

    def grants_of(self, agent: AgentId, *, now_ns: int) -> tuple[Grant, ...]:
        """Return what an agent holds, oldest fencing number first."""
        return tuple(self._live(self._book.held.get(agent, {}).values(), now_ns))

    def waiters(self, address: Address = REPOSITORY) -> tuple[Waiter, ...]:
        """Return those who wait for the address or something below it, next first. Cost: all waiters."""
        found = [
            each
            for each in self._book.waiting.values()
            if any(_is_within(address, claim.address) for claim in each.waiter.claims)
        ]
        return tuple(each.waiter for each in sorted(found, key=lambda each: each.rank))

    def before(self, ticket: int) -> tuple[Waiter, ...]:
        """Return the waiters of others that a waiter stands behind, next first."""
        waiting = self._book.waiting.get(ticket)
        if waiting is None:
            return ()
        found = {each.rank: each.waiter for each in clashing_waiters(self._book, waiting, before=True)}
        return tuple(found[rank] for rank in sorted(found))

    def conflicts_of(
        self, agent: AgentId, addresses: Iterable[Address], mode: Mode, *, now_ns: int
    ) -> tuple[Conflict, ...]:
        """Return the live grants of others that stand against these claims (K2). Raise BadAddress.

        Cost without conflicts: a look at each address and each above. Waiters do not count.
        """
        book, found = self._book, list[Conflict]()
        for address in addresses:
            if not book.spots.is_unheld(agent, address, mode):
                found += book.conflicts(agent, Claim(address, mode), now_ns)
        return tuple(found)

    def covering(self, agent: AgentId, address: Address, mode: Mode, *, now_ns: int) -> Grant | None:
        """Return a live grant by which the agent has the address in this mode, itself or from above."""
        return next(iter(self._live(self._covering(agent, address, mode), now_ns)), None)

    def objections(
        self, agent: AgentId, fence: int, addresses: Iterable[Address], mode: Mode, *, now_ns: int
    ) -> tuple[str, ...]:
        """Return why work done under a fencing number is not covered by it, a sentence an address, or ().

        K3: the lease of a paused holder is over for good, whether somebody else came in between or not.
        """
        found: list[str] = []
        for address in addresses:
            covering = self._live(self._covering(agent, address, mode), now_ns)
            if any(grant.fence == fence for grant in covering):
                continue
            text = f"Grant {fence} of {agent} does not cover {mode.word} on {shown(address)} any more"
            newer = self._book.conflicts(agent, Claim(address, mode), now_ns)
            if newer:
                text += (
                    f": {newer[-1].grant.agent} holds {newer[-1].grant.claim} with {newer[-1].grant.fence}"
                )
            found.append(text + ".")
        return tuple(found)

    def _covering(self, agent: AgentId, address: Address, mode: Mode) -> list[Grant]:
        held = self._book.held.get(agent, {})
        found: list[Grant] = []
        for above in lineage(address):
            grant = held.get(above)
            covers = at_least if above == address else covers_below
            if grant is not None and covers(grant.mode, mode):
                found.append(grant)
        return found

    def _live(self, grants: Iterable[Grant], now_ns: int) -> list[Grant]:
        live = [self._book.as_of_now(grant) for grant in grants if self._book.end_of(grant) > now_ns]
        return sorted(live, key=lambda grant: (grant.fence, grant.address))


def _is_within(outer: Address, address: Address) -> bool:
    """Tell whether an address is `outer` or below it; everything, resources too, is within the repository."""
    return outer == REPOSITORY or outer in lineage(address)
