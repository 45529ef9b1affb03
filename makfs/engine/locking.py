"""Who may write what now, for the rooms of the engine: the lock table, its clock, its waiters, its keeping.

Q1  Every decision is the table's (`makfs.locks`); this room turns what a write needs into claims, waits where
    waiting is allowed, and says why not.
Q2  A waiter is in the table exactly as long as its task waits: given up, cancelled or dead, it leaves.
Q3  What the table grants or ends goes to the store with the next transaction; an explicit claim at once, and
    its place in the queue before it waits.
Q4  A claim never ends silently: its agent's `.makfs/why` tells.

The clock is the boot's, which goes on through a suspend (clock_gettime(2)), moved to read as the wall clock's
time, so that what is stored means the same after a restart.
"""

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import trio

from makfs.engine import reasons
from makfs.engine.held import Held, Needs, NotAdmitted, StillHeld
from makfs.errors import Busy
from makfs.ids import Address, AgentId
from makfs.locks import (
    READ,
    WRITE,
    BadClaim,
    Claim,
    Conflict,
    Decision,
    Event,
    Grant,
    Mode,
    NotHeld,
    Waiter,
    What,
)  # fmt: skip
from makfs.locks.address import RESOURCE
from makfs.locks.recorded import RecordedTable
from makfs.locks.rows import Row, grant_row, waiter_rows
from makfs.locks.values import listed, shown
from makfs.settings import OnWrite
from makfs.store.happened import MOST_NAMED
from makfs.store.protocol import Store

TIED_LEASE_NS = 30_000_000_001  # of what a connection or an open file holds; nobody says so odd a number
ONCE_LEASE_NS = 1_000_000_000  # of what a merge waits for, given back after its commit
_TICK_S = 0.25
_NONE_HELD = "Nothing of it is held. Do something else meanwhile, and ask again."
_SECOND = 1_000_000_000
_OVER = frozenset({What.PROMOTED, What.GAVE_UP, What.CANCELLED})
_ENDED = frozenset({What.RELEASED, What.EXPIRED})
_STRONGER = frozenset({Mode.X, Mode.SIX})  # than read

TOLD = {
    What.GRANTED: "lock-granted", What.PROMOTED: "lock-granted", What.QUEUED: "lock-waiting",
    What.RELEASED: "lock-released", What.EXPIRED: "lock-expired", What.GAVE_UP: "lock-refused",
    What.CANCELLED: "lock-cancelled",
}  # fmt: skip
"""What is recorded among what happened, and as which kind of event."""

Tell = Callable[[AgentId, str], None]


@dataclass(slots=True, eq=False)
class _Waiting:
    """A task that waits for a ticket."""

    over: trio.Event = field(default_factory=trio.Event)
    outcome: Event | None = None


class Locks:
    """The lock table of one mount and all around it that is not pure."""

    def __init__(
        self, store: Store, *, max_waiters: int, priority_for: Callable[[AgentId], int] = lambda _agent: 0
    ) -> None:
        self._store = store
        self._priority_for = priority_for
        self._max_waiters = max_waiters
        self.tell: Tell = lambda _agent, _sentence: None
        self._offset_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._waits: dict[int, _Waiting] = {}
        self._news: trio.Event | None = None
        self._tied: dict[object, tuple[AgentId, tuple[Address, ...]]] = {}
        self._tied_renewed_ns = 0
        self._turns: dict[tuple[AgentId, Address], trio.Lock] = {}
        self._kept_until: dict[tuple[AgentId, Address], int] = {}
        self.patient = False  # who carries out the work of this moment may wait
        self.verdict = ""  # or has waited in vain: why
        self.table, events = RecordedTable.from_rows(store.lock_rows(), now_ns=self.now_ns())
        self.table.record = store.record_lock
        self._happened(events)
        self._end_tied()

    def now_ns(self) -> int:
        """Return the time of all leases."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) + self._offset_ns

    def _end_tied(self) -> None:
        """End what connections and open files of an earlier daemon held, or waited for."""
        now_ns = self.now_ns()
        for waiter in self.table.waiters():
            if waiter.lease_ns == TIED_LEASE_NS:
                self._happened(self.table.cancel(waiter.ticket, now_ns=now_ns))
        for grant in self.table.holders(now_ns=now_ns):
            if grant.lease_ns == TIED_LEASE_NS:
                self.give_back(grant.agent, (grant,))

    # ---- writes

    def admit(self, agent: AgentId, needs: Needs, policy: OnWrite, lease_ns: int) -> None:
        """Let a write happen now, or raise Held or NotAdmitted. Under `lease` it holds what it writes.

        Cost with nothing in the way: a look at each address and each above.
        """
        table, now_ns = self.table, self.now_ns()
        if policy is OnWrite.CLAIM:
            covering = table.covering
            missing = tuple(a for a in needs.writes if covering(agent, a, WRITE, now_ns=now_ns) is None)
            if missing:
                raise NotAdmitted(reasons.unclaimed(agent, missing), missing)
        conflicts = table.conflicts_of(agent, needs.all_writes, WRITE, now_ns=now_ns)
        if needs.touches:
            conflicts += table.conflicts_of(agent, needs.touches, Mode.IX, now_ns=now_ns)
        if conflicts:
            raise self._held(agent, needs, policy, conflicts, ())
        if policy is OnWrite.LEASE and needs.writes:
            self._take_lease(agent, needs, lease_ns, now_ns)

    def _take_lease(self, agent: AgentId, needs: Needs, lease_ns: int, now_ns: int) -> None:
        claims = [
            Claim(address, WRITE) for address in needs.writes if not self._claimed(agent, address, now_ns)
        ]
        if not claims:
            return
        decision = self._request(agent, claims, now_ns=now_ns, lease_ns=lease_ns)
        if decision.what is not What.GRANTED:  # somebody asked before
            raise self._held(agent, needs, OnWrite.LEASE, decision.conflicts, decision.behind)

    def _claimed(self, agent: AgentId, address: Address, now_ns: int) -> bool:
        grant = self.table.covering(agent, address, WRITE, now_ns=now_ns)
        return grant is not None and grant.while_active

    def _request(
        self,
        agent: AgentId,
        claims: Iterable[Claim],
        *,
        now_ns: int,
        lease_ns: int,
        wait_ns: int = 0,
        while_active: bool = False,
    ) -> Decision:
        """Ask the table. What is over ends first: a grant's end must not be kept behind its successor."""
        self._happened(self.table.expire(now_ns=now_ns))
        priority = self._priority_for(agent)
        decision = self.table.request(
            agent, claims, now_ns=now_ns, lease_ns=lease_ns, wait_ns=wait_ns, priority=priority,
            while_active=while_active,
        )  # fmt: skip
        self._happened(decision.events)
        if decision.cycle:
            ring = [f"{each.agent} waits for {each.grant.agent}: {each.claim}" for each in decision.cycle]
            told = {"claims": _told_claims(decision.claims), "ring": ring}
            self._store.events.record("deadlock", agent, time.time_ns(), told)
        return decision

    @staticmethod
    def _held(
        agent: AgentId, needs: Needs, policy: OnWrite, conflicts: Sequence[Conflict], behind: Sequence[Waiter]
    ) -> Held:
        lacking = tuple(dict.fromkeys(each.claim.address for each in conflicts)) or needs.all_writes
        sentence = reasons.holders(conflicts, behind) + "."
        return Held(agent, needs.claims, sentence, lacking, once=policy is OnWrite.MERGE)

    @property
    def is_idle(self) -> bool:
        """Tell whether nobody holds anything."""
        return not self.table.is_held

    def concerns(self, agent: AgentId, address: Address) -> bool:
        """Tell whether others hold the address, or anything above or below it. Cost: a look at each above."""
        table = self.table
        return not table.is_alone(agent) and bool(
            table.conflicts_of(agent, (address,), WRITE, now_ns=self.now_ns())
        )

    @contextmanager
    def asked_by(self, *, patient: bool, verdict: str = "") -> Iterator[None]:
        """Say of the work done inside (E1: it never awaits) whether Held may end it, or has before."""
        self.patient, self.verdict = patient, verdict
        try:
            yield
        finally:
            self.patient, self.verdict = False, ""

    # ---- waiting

    async def wait(self, held: Held, wait_s: float, lease_ns: int) -> tuple[Grant, ...]:
        """Wait until a write that was held up may go on; return what is granted. Raises StillHeld."""
        lease_ns = ONCE_LEASE_NS if held.once else lease_ns
        return await self._wait(held.agent, held.claims, wait_s, lease_ns, while_active=False, held=held)

    async def _wait(
        self,
        agent: AgentId,
        claims: Iterable[Claim],
        wait_s: float,
        lease_ns: int,
        *,
        while_active: bool,
        held: Held | None = None,
    ) -> tuple[Grant, ...]:
        begun_ns = self.now_ns()
        full = len(self._waits) >= self._max_waiters
        wait_ns = 0 if full else max(0, int(wait_s * _SECOND))
        decision = self._request(
            agent, claims, now_ns=begun_ns, lease_ns=lease_ns, wait_ns=wait_ns, while_active=while_active
        )
        if decision.what is What.GRANTED:
            return decision.grants
        if decision.waiter is None:
            crowd = f" {self._max_waiters} operations wait already, so this one did not." if full else ""
            raise StillHeld(reasons.refused(decision, 0.0) + crowd)
        if while_active:
            self._store.write_lazies()
        try:
            outcome = await self._outcome(decision.waiter)
        finally:
            if held is not None:
                held.waited_ns = self.now_ns() - begun_ns
        if outcome.what is What.PROMOTED:
            return outcome.grants
        raise StillHeld(self._in_vain(decision, begun_ns))

    async def _outcome(self, waiter: Waiter) -> Event:
        """Wait for the end of a waiter (Q2)."""
        waiting = self._waits[waiter.ticket] = _Waiting()
        self._wake()
        try:
            await waiting.over.wait()
            assert waiting.outcome is not None
        except trio.Cancelled:
            if waiting.outcome is None:
                self._happened(self.table.cancel(waiter.ticket, now_ns=self.now_ns()))
            elif waiting.outcome.what is What.PROMOTED:
                self.give_back(waiter.agent, waiting.outcome.grants)
            raise
        finally:
            del self._waits[waiter.ticket]
        return waiting.outcome

    def _in_vain(self, decision: Decision, begun_ns: int) -> str:
        """Say who stands in the way at the end of a wait: not always who stood there at its beginning."""
        now_ns = self.now_ns()
        found: tuple[Conflict, ...] = ()
        for claim in decision.claims:
            found += self.table.conflicts_of(decision.agent, (claim.address,), claim.mode, now_ns=now_ns)
        waited_s = (now_ns - begun_ns) / _SECOND
        who = reasons.holders(found) if found else reasons.holders(decision.conflicts, decision.behind)
        return f"{who}. {decision.agent} waited {waited_s:.3g} s."

    def give_back(self, agent: AgentId, grants: Iterable[Grant]) -> None:
        """Release grants, if they are held still."""
        for grant in grants:
            with contextlib.suppress(NotHeld):
                self._happened(self.table.release(agent, (grant.address,), now_ns=self.now_ns()))

    # ---- claims

    async def claim(
        self, agent: AgentId, claims: Sequence[Claim], *, wait_s: float, lease_ns: int
    ) -> tuple[Grant, ...]:
        """Claim a set, all or none; durable when it returns (Q3). Raises Busy, BadClaim, BadAddress."""
        try:
            grants = await self._wait(agent, claims, wait_s, lease_ns, while_active=True)
        except StillHeld as vain:
            raise Busy(f"{agent} was refused {_listed(claims)}: {vain} {_NONE_HELD}") from None
        self._store.write_lazies()
        return grants

    @asynccontextmanager
    async def hold(
        self, agent: AgentId, claims: Sequence[Claim], *, wait_s: float
    ) -> AsyncIterator[tuple[Grant, ...]]:
        """Claim a set until the context ends. Holds of one agent on one resource take turns."""
        deadline = trio.current_time() + wait_s
        async with contextlib.AsyncExitStack() as turns:
            for address in sorted({claim.address for claim in claims}):
                if address.startswith(RESOURCE):
                    await self._turn(turns, agent, address, deadline)
            tied = self._tied_addresses(agent)
            before = {g.address for g in self.table.grants_of(agent, now_ns=self.now_ns())} - tied
            left_s = max(0.0, deadline - trio.current_time())
            grants = await self.claim(agent, claims, wait_s=left_s, lease_ns=TIED_LEASE_NS)
            token = object()
            self._tied[token] = (agent, tuple(grant.address for grant in grants))
            self._wake()
            try:
                yield grants
            finally:
                del self._tied[token]
                kept = before | self._tied_addresses(agent)
                self.give_back(agent, [grant for grant in grants if grant.address not in kept])

    def _tied_addresses(self, agent: AgentId) -> set[Address]:
        return {address for other, those in self._tied.values() if other == agent for address in those}

    async def _turn(
        self, turns: contextlib.AsyncExitStack, agent: AgentId, address: Address, deadline: float
    ) -> None:
        lock = self._turns.setdefault((agent, address), trio.Lock())
        with trio.move_on_at(deadline) as scope:
            try:
                lock.acquire_nowait()
            except trio.WouldBlock:
                await lock.acquire()
        if scope.cancelled_caught:
            raise Busy(f"{agent} itself holds {address} already, in another process.")
        turns.callback(lock.release)

    def release(self, agent: AgentId, addresses: Sequence[Address] | None) -> tuple[Grant, ...]:
        """End grants; with None all of the agent's that no connection or open file holds. Raises NotHeld."""
        now_ns = self.now_ns()
        before = self.table.grants_of(agent, now_ns=now_ns)
        tied = self._tied_addresses(agent) if addresses is None else set[Address]()
        if tied:
            addresses = [grant.address for grant in before if grant.address not in tied]
        self._happened(self.table.release(agent, addresses, now_ns=now_ns))
        self._store.write_lazies()
        return tuple(grant for grant in before if addresses is None or grant.address in addresses)

    def weaken(self, agent: AgentId, addresses: Sequence[Address] | None) -> tuple[Grant, ...]:
        """Keep grants to read, with None all above that. Raises NotHeld, BadClaim, changing nothing."""
        now_ns = self.now_ns()
        self._happened(self.table.expire(now_ns=now_ns))
        held = {grant.address: grant for grant in self.table.grants_of(agent, now_ns=now_ns)}
        if addresses is None:
            addresses = [address for address, grant in held.items() if grant.mode in _STRONGER]
        for address in addresses:
            if address not in held:
                raise NotHeld(f"{agent} does not hold {shown(address)}.")
            if held[address].mode not in _STRONGER:
                raise BadClaim(f"{agent} holds {held[address].claim}, which is not more than read.")
        for address in dict.fromkeys(addresses):
            self._happened(self.table.downgrade(agent, address, READ, now_ns=now_ns))
        self._store.write_lazies()
        left = self.table.grants_of(agent, now_ns=now_ns)
        return tuple(grant for grant in left if grant.address in addresses)

    def renew(
        self, agent: AgentId, addresses: Sequence[Address] | None, lease_ns: int | None
    ) -> tuple[Grant, ...]:
        """Let leases start again. Raises NotHeld, BadClaim."""
        events = self.table.renew(agent, addresses, now_ns=self.now_ns(), lease_ns=lease_ns)
        self._happened(events)
        self._store.write_lazies()
        return tuple(grant for event in events if event.what is What.RENEWED for grant in event.grants)

    def stir(self, agent: AgentId) -> None:
        """Note that the agent did something: its claims last longer."""
        self._happened(self.table.touch(agent, now_ns=self.now_ns()))
        rows: list[Row] = []
        for grant in self.table.grants_of(agent, now_ns=self.now_ns()):
            key = (agent, grant.address)
            if grant.while_active and grant.expires_ns - self._kept_until.get(key, 0) > grant.lease_ns // 4:
                self._kept_until[key] = grant.expires_ns
                rows.append(grant_row(grant))
        if rows:
            self._store.keep_locks(fence=self.table.fence, ticket=self.table.ticket, grants=rows)

    def bury(self, agent: AgentId) -> None:
        """End everything of an agent that is gone."""
        self._happened(self.table.bury(agent, now_ns=self.now_ns()))

    # ---- time and events

    async def run(self) -> None:
        """End what is over and wake who may go on, until cancelled."""
        while True:
            self._news = trio.Event()
            due_ns = self.table.next_due_ns()
            if due_ns is None and not self._tied:
                await self._news.wait()
            else:
                due_s = _TICK_S if due_ns is None else (due_ns - self.now_ns()) / _SECOND
                with trio.move_on_after(min(max(due_s, 0.0), _TICK_S)):
                    await self._news.wait()
            now_ns = self.now_ns()
            if self._tied and now_ns - self._tied_renewed_ns > TIED_LEASE_NS // 3:
                self._renew_tied(now_ns)
            self._happened(self.table.expire(now_ns=now_ns))

    def _renew_tied(self, now_ns: int) -> None:
        self._tied_renewed_ns = now_ns
        for agent, addresses in self._tied.values():
            for address in addresses:
                with contextlib.suppress(NotHeld):
                    self._happened(self.table.renew(agent, (address,), now_ns=now_ns))

    def _wake(self) -> None:
        if self._news is not None:
            self._news.set()

    def _happened(self, events: Iterable[Event]) -> None:
        """Pass on what the table did: to those who wait, to the store, to people (Q3, Q4)."""
        grants: list[Row] = []
        gone: list[tuple[str, str]] = []
        waiters: list[Row] = []
        left: list[int] = []
        for event in events:
            if (kind := TOLD.get(event.what)) is not None:
                self._record(kind, event)
            if event.what is What.REFUSED:
                continue
            if event.what in _ENDED:
                gone += [(grant.agent, grant.address) for grant in event.grants]
                if event.what is What.EXPIRED:
                    self._tell_ended(event.grants)
            else:
                ended = {(agent, address) for agent, address in gone}
                if ended:  # one call may end and grant the same again: the order matters
                    self._keep(grants, gone, waiters, left)
                grants += map(grant_row, event.grants)
                self._kept_until.update({(g.agent, g.address): g.expires_ns for g in event.grants})
            waiter = event.waiter
            if waiter is not None and event.what is What.QUEUED and waiter.while_active:
                waiters += waiter_rows(waiter)
            elif waiter is not None and event.what in _OVER:
                left.append(waiter.ticket)
                self._over(event, waiter)
        self._keep(grants, gone, waiters, left)

    def _record(self, kind: str, event: Event) -> None:
        """Record what the table did among what happened; a lease that only goes on is no news."""
        grants, waiter = event.grants, event.waiter
        if event.what is What.GRANTED:
            grants = tuple(grant for grant in grants if grant.since_ns == event.now_ns)
            if not grants:
                return
        fields: dict[str, Any] = {}
        if grants:
            fields = {
                "claims": _told_claims([grant.claim for grant in grants]), "explicit": grants[0].while_active,
                "fence": grants[-1].fence,
            }  # fmt: skip
        elif waiter is not None:
            fields = {"claims": _told_claims(waiter.claims), "explicit": waiter.while_active}
        if waiter is not None and event.what is not What.QUEUED:
            fields["waited_s"] = round((event.now_ns - waiter.arrived_ns) / _SECOND, 3)
        self._store.events.record(kind, event.agent, event.now_ns, fields)

    def _keep(
        self, grants: list[Row], gone: list[tuple[str, str]], waiters: list[Row], left: list[int]
    ) -> None:
        if grants or gone or waiters or left:
            table = self.table
            self._store.keep_locks(
                fence=table.fence, ticket=table.ticket, grants=grants, gone=gone, waiters=waiters, left=left
            )
            for each in (grants, gone, waiters, left):
                each.clear()
            self._wake()

    def _over(self, event: Event, waiter: Waiter) -> None:
        waiting = self._waits.get(waiter.ticket)
        if waiting is not None:
            waiting.outcome = event
            waiting.over.set()
        elif event.what is What.PROMOTED:  # its task ended with a daemon that was killed
            self.tell(waiter.agent, f"{reasons.clock(event.now_ns)}: you hold {_listed(waiter.claims)} now.")

    def _tell_ended(self, grants: Iterable[Grant]) -> None:
        for grant in grants:
            self._kept_until.pop((grant.agent, grant.address), None)
            if grant.while_active:
                self.tell(grant.agent, reasons.ended(grant))


def _told_claims(claims: Sequence[Claim]) -> list[dict[str, str]]:
    return [{"address": each.address, "mode": each.mode.word} for each in claims[:MOST_NAMED]]


def _listed(claims: Sequence[Claim]) -> str:
    return listed(tuple(claims))
