"""What a write needs of the locks, and how it learns that it may not have it. Values and errors only."""

from dataclasses import dataclass

from makfs.ids import Address, AgentId
from makfs.locks import WRITE, Claim, Mode


@dataclass(frozen=True, slots=True)
class Needs:
    """What one write changes. Addresses may be of what does not exist yet."""

    writes: tuple[Address, ...] = ()  # changed, made or removed: nobody else may hold them or anything below
    joins: tuple[Address, ...] = ()  # the same, but for the commit alone, whatever the policy
    touches: tuple[Address, ...] = ()  # attributes: nobody else may hold them, or anything above, as a whole

    @property
    def all_writes(self) -> tuple[Address, ...]:
        """Return what must not be another's while the commit happens."""
        return (*self.writes, *self.joins)

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Return what must be granted for it."""
        return tuple(
            [Claim(address, WRITE) for address in self.all_writes]
            + [Claim(address, Mode.IX) for address in self.touches]
        )


class NotAdmitted(Exception):
    """A write may not happen now; nothing was changed."""

    def __init__(self, sentence: str, addresses: tuple[Address, ...]) -> None:
        super().__init__(sentence)
        self.addresses = addresses  # what it lacks


class Held(NotAdmitted):
    """It needs what others hold: whoever asked may wait for `claims`."""

    def __init__(
        self,
        agent: AgentId,
        claims: tuple[Claim, ...],
        sentence: str,
        addresses: tuple[Address, ...],
        *,
        once: bool,
    ) -> None:
        super().__init__(sentence, addresses)
        self.agent = agent
        self.claims = claims
        self.once = once  # what is granted goes back after the commit
        self.waited_ns = 0  # in the queue, set when that is over; 0: it was in none


class StillHeld(Exception):
    """Waiting was in vain: the sentence says why."""
