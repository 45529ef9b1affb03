"""LockTable against a naive table once more: five agents with several requests each, all wanting the same.

Where the histories of test_locks_model.py go everywhere, these stay where cycles and long queues are.
"""

import random
from dataclasses import dataclass, field

import pytest

from makfs.ids import Address, AgentId
from makfs.locks import Claim, Event, LockTable, Mode, What
from tests.property.locks_model import Asked, Held, Model

AGENTS = [AgentId(name) for name in ("alice", "bob", "carol", "dave", "erin")]
WANTED = [Address(each) for each in ("b.py", "b.py::f", "d/a.py::C", "d/a.py::C.m", "resource:build")]
AGING_NS = 2


@dataclass
class Crowd:
    """One history, told to both tables."""

    chance: random.Random
    table: LockTable = field(default_factory=lambda: LockTable(aging_ns=AGING_NS))
    model: Model = field(default_factory=lambda: Model(AGING_NS))
    now_ns: int = 1
    cycles: int = 0

    def step(self) -> None:
        self.now_ns += self.chance.choice((0, 0, 0, 0, 1, 2))
        self.model.pass_time(self.now_ns)
        events = list(self.table.expire(now_ns=self.now_ns))
        what = self.chance.random()
        if what < 0.6:
            events += self.request()
        elif what < 0.85 and self.model.held:
            events += self.release(self.chance.choice(self.model.held))
        elif what < 0.9 and self.model.queue:
            events += self.cancel(self.chance.choice(self.model.queue))
        seen = [(event.what, event.agent) for event in events]
        assert sorted(map(str, seen)) == sorted(map(str, self.model.ended)), "L6"
        self.compare()

    def request(self) -> tuple[Event, ...]:
        chance, agent = self.chance, self.chance.choice(AGENTS)
        count = chance.choice((1, 1, 2, 3))
        claims = tuple(
            Claim(chance.choice(WANTED), chance.choice((*Mode, Mode.X, Mode.X, Mode.S))) for _ in range(count)
        )
        lease, wait = chance.choice((10, 30, 60)), chance.choice((0, 30, 60, 60))
        priority = chance.choice((0, 0, 0, 1, 5))
        expected = self.model.request(agent, claims, lease, wait, priority, active=False)
        decision = self.table.request(
            agent, claims, now_ns=self.now_ns, lease_ns=lease, wait_ns=wait, priority=priority
        )
        assert decision.what is expected
        self.cycles += bool(decision.cycle)
        return decision.also

    def release(self, held: Held) -> tuple[Event, ...]:
        self.model.drop(held)
        self.model.settle()
        self.model.ended.append((What.RELEASED, held.agent))
        return self.table.release(held.agent, [held.claim.address], now_ns=self.now_ns)

    def cancel(self, waiter: Asked) -> tuple[Event, ...]:
        self.model.queue.remove(waiter)
        self.model.settle()
        self.model.ended.append((What.CANCELLED, waiter.agent))
        return self.table.cancel(waiter.rank[1], now_ns=self.now_ns)

    def compare(self) -> None:
        self.table.check()
        held = self.table.holders(now_ns=self.now_ns)
        mine = {(g.agent, g.claim, g.lease_ns, g.expires_ns, g.while_active) for g in held}
        queue = [(w.agent, w.claims, w.arrived_ns, w.until_ns) for w in self.table.waiters()]
        assert (mine, queue) == self.model.snapshot()


@pytest.mark.parametrize("seeds", [range(first, first + 10) for first in range(0, 60, 10)], ids=str)
def test_lock_table_equals_a_naive_one_in_a_crowd(seeds: range) -> None:
    cycles = 0
    for seed in seeds:
        crowd = Crowd(random.Random(seed))
        for _ in range(80):
            crowd.step()
        cycles += crowd.cycles
    assert cycles, "a crowd without a deadlock shows little"
