"""What the lock table takes and answers. Values only; times are nanoseconds of one monotonic clock."""

from dataclasses import dataclass
from enum import Enum

from makfs.errors import MakfsError
from makfs.ids import Address, AgentId
from makfs.locks.modes import Mode

_SHOWN = 3  # of a long list, how many a sentence names


class BadClaim(MakfsError):
    """A request, renewal or downgrade asks for what there is not. Nothing was changed."""

    errno = 22


class NotHeld(MakfsError):
    """The agent does not hold, or does not wait for, what it wants to end or renew. Nothing was changed."""

    errno = 22


@dataclass(frozen=True, slots=True)
class Claim:
    """One address in one mode: asked for, or held."""

    address: Address
    mode: Mode

    def __str__(self) -> str:
        return f"{self.mode.word} on {shown(self.address)}"


@dataclass(frozen=True, slots=True)
class Grant:
    """A claim that is held. At most one for an agent and an address."""

    agent: AgentId
    address: Address
    mode: Mode
    fence: int  # larger than that of every grant made or strengthened before
    since_ns: int  # held without a break since then
    lease_ns: int
    expires_ns: int  # the lease is over AT this instant
    while_active: bool  # any operation of its agent renews it; else only writes to it and `renew` do

    @property
    def claim(self) -> Claim:
        """Return what is held."""
        return Claim(self.address, self.mode)


@dataclass(frozen=True, slots=True)
class Waiter:
    """A request in the queue. It holds nothing of what it asks for."""

    ticket: int  # grows; what `cancel` takes
    agent: AgentId
    claims: tuple[Claim, ...]
    arrived_ns: int
    until_ns: int  # gives up AT this instant
    lease_ns: int
    priority: int
    while_active: bool


@dataclass(frozen=True, slots=True)
class Conflict:
    """A claim, and the grant of another agent that stands against it."""

    claim: Claim
    grant: Grant


@dataclass(frozen=True, slots=True)
class Wait:
    """One edge of the waits-for graph: the agent asks for a claim against which the grant stands."""

    agent: AgentId
    claim: Claim
    grant: Grant


class What(Enum):
    """What happened to a claim, a grant or a waiter."""

    GRANTED = "granted"
    QUEUED = "queued"
    REFUSED = "refused"
    PROMOTED = "promoted"  # granted after waiting
    RENEWED = "renewed"
    DOWNGRADED = "downgraded"
    RELEASED = "released"
    EXPIRED = "expired"  # a grant whose lease is over
    CANCELLED = "cancelled"
    GAVE_UP = "gave up"  # a waiter whose patience is over


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; nothing begins or ends without one."""

    what: What
    agent: AgentId
    now_ns: int
    grants: tuple[Grant, ...] = ()
    waiter: Waiter | None = None  # of PROMOTED, CANCELLED, GAVE_UP, QUEUED
    claims: tuple[Claim, ...] = ()  # of REFUSED

    @property
    def sentence(self) -> str:
        """Return what people read."""
        if self.grants:
            claims = tuple(grant.claim for grant in self.grants)
        else:
            claims = self.waiter.claims if self.waiter else self.claims
        text = f"{self.agent}: {self.what.value}: {listed(claims)}"
        if self.what is What.EXPIRED:
            text += f", unrenewed for {seconds(self.grants[0].lease_ns)}"
        elif self.waiter and self.what in (What.PROMOTED, What.CANCELLED, What.GAVE_UP):
            text += f" after {seconds(self.now_ns - self.waiter.arrived_ns)} in the queue"
        return text + "."


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a request: GRANTED with the grants, QUEUED with the waiter, or REFUSED.

    `conflicts` and `behind` say who stands against it, `cycle` why it would never have been granted: each
    waits for the next, the last for the first. `also` is what time and this request did to others.
    """

    what: What
    agent: AgentId
    claims: tuple[Claim, ...]
    now_ns: int
    grants: tuple[Grant, ...] = ()
    waiter: Waiter | None = None
    conflicts: tuple[Conflict, ...] = ()
    behind: tuple[Waiter, ...] = ()
    cycle: tuple[Wait, ...] = ()
    also: tuple[Event, ...] = ()

    @property
    def events(self) -> tuple[Event, ...]:
        """Return all that happened, this request's own event first."""
        own = Event(self.what, self.agent, self.now_ns, self.grants, self.waiter, self.claims)
        return (own, *self.also)

    @property
    def sentence(self) -> str:
        """Return what people read: what became of it, who is in the way, until when."""
        if self.what is What.GRANTED:
            return f"{self.agent} holds {listed(self.claims)}."
        if self.cycle:
            return f"It would be a deadlock: {'; '.join(map(_waits, self.cycle))}."
        verb = "waits for" if self.what is What.QUEUED else "was refused"
        return f"{self.agent} {verb} {listed(self.claims)}: {self._who()}."

    def _who(self) -> str:
        holders = [
            f"{each.grant.agent} holds {each.grant.claim} for another "
            f"{seconds(max(0, each.grant.expires_ns - self.now_ns))}"
            for each in self.conflicts
        ]
        queue = [f"{each.agent} asked before for {listed(each.claims)}" for each in self.behind]
        return _some([*holders, *queue])


def _waits(step: Wait) -> str:
    return f"{step.agent} asks for {step.claim}, while {step.grant.agent} holds {step.grant.claim}"


def shown(address: Address) -> str:
    """Return an address for a sentence: printable, the repository by its name."""
    return repr(address)[1:-1] if address else "the repository"


def seconds(time_ns: int) -> str:
    """Return a time for a sentence."""
    return f"{time_ns / 1e9:.3g} s"


def listed(claims: tuple[Claim, ...]) -> str:
    """Return claims for a sentence."""
    return _some([str(claim) for claim in claims])


def _some(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return ", ".join(texts[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
