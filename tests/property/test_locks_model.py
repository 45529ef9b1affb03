"""LockTable against a naive table: L1-L7, L9, K1-K3 and R1 over any history of four agents."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from makfs.ids import Address, AgentId
from makfs.locks import Claim, Event, Grant, LockTable, Mode, NotHeld, Wait, What
from tests.property.locks_model import ABOVE, Model, clash, joined

AGENTS = [AgentId(name) for name in ("alice", "bob", "carol", "dave")]
AGING_NS = 2

agents = st.sampled_from(AGENTS)
addresses = st.sampled_from([Address(address) for address in ABOVE])
modes = st.sampled_from([*Mode, Mode.X, Mode.X, Mode.S])
claims = st.builds(Claim, addresses, modes)
sets = st.lists(claims, min_size=1, max_size=3).map(tuple)
steps = st.sampled_from([0, 0, 0, 1, 2, 5])
leases = st.sampled_from([3, 10, 30])
waits = st.sampled_from([0, 4, 20, 50])


class Histories(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.table = LockTable(aging_ns=AGING_NS)
        self.model = Model(AGING_NS)
        self.now_ns = 1
        self.fence = 0
        self.known: dict[tuple[AgentId, Address], tuple[int, Mode]] = {}

    def step(self, step_ns: int) -> int:
        """Let time pass for the model; the real table learns of it by its next call."""
        self.now_ns += step_ns
        self.model.pass_time(self.now_ns)
        return self.now_ns

    def saw(self, events: tuple[Event, ...], *expected: What) -> None:
        """Check that the events are those of the model and of the call itself."""
        quiet = (What.GRANTED, What.QUEUED, What.REFUSED)
        own = [event.what for event in events if event.what in expected]
        assert own.count(expected[0]) == len(expected) if expected else True
        seen = [(event.what, event.agent) for event in events if event.what not in (*quiet, *expected)]
        assert sorted(map(repr, seen)) == sorted(map(repr, self.model.ended)), "L6: events"
        assert all(event.sentence for event in events)

    @rule(
        agent=agents,
        asked=sets,
        step=steps,
        lease=leases,
        wait=waits,
        priority=st.integers(-1, 2),
        on=st.booleans(),
    )
    def request(
        self,
        agent: AgentId,
        asked: tuple[Claim, ...],
        step: int,
        lease: int,
        wait: int,
        priority: int,
        on: bool,
    ) -> None:
        now_ns = self.step(step)
        known = self.model.snapshot()
        expected = self.model.request(agent, asked, lease, wait, priority, on)
        decision = self.table.request(
            agent, asked, now_ns=now_ns, lease_ns=lease, wait_ns=wait, priority=priority, while_active=on
        )
        assert decision.what is expected, decision.sentence
        assert decision.sentence
        if expected is What.REFUSED:
            assert self.model.snapshot() == known, "L3, L5"
            assert decision.conflicts or decision.behind
            assert bool(decision.cycle) <= bool(wait)
            self.is_cycle(agent, decision.cycle)
        if expected is What.GRANTED:
            assert {grant.address for grant in decision.grants} == {claim.address for claim in asked}, "L5"
        self.saw(decision.events)
        self.numbers(decision.grants)
        self.numbers(tuple(grant for event in decision.also for grant in event.grants))

    def is_cycle(self, agent: AgentId, cycle: tuple[Wait, ...]) -> None:
        names = [step.agent for step in cycle]
        if names:
            assert names[0] == agent
            assert [step.grant.agent for step in cycle] == [*names[1:], agent]
            assert all(clash(step.claim, step.grant.claim) for step in cycle)

    def numbers(self, grants: tuple[Grant, ...]) -> None:
        """Check that what is new or stronger has a new number (L4)."""
        for grant in grants:
            known = self.known.get((grant.agent, grant.address))
            assert grant.fence > self.fence or known == (grant.fence, grant.mode), "L4"

    @rule(agent=agents, step=steps, address=addresses)
    def release_one(self, agent: AgentId, step: int, address: Address) -> None:
        now_ns = self.now_ns + step
        held = self.model.find(agent, address)
        if held is None:
            with pytest.raises(NotHeld):
                self.table.release(agent, [address], now_ns=now_ns)
            return
        self.step(step)
        events = self.table.release(agent, [address], now_ns=now_ns)
        if held in self.model.held:
            self.model.drop(held)
            self.model.settle()
            self.saw(events, What.RELEASED)
        else:
            self.saw(events)

    @rule(agent=agents, step=steps)
    def die(self, agent: AgentId, step: int) -> None:
        waits = [each for each in self.model.queue if each.agent == agent]
        self.model.queue = [each for each in self.model.queue if each.agent != agent]
        self.step(step)
        held = [each for each in self.model.held if each.agent == agent]
        self.model.drop(*held)
        self.model.settle()
        self.model.ended += [(What.RELEASED, agent)] * len(held) + [(What.CANCELLED, agent)] * len(waits)
        self.saw(self.table.bury(agent, now_ns=self.now_ns))

    @rule(step=steps)
    def wait(self, step: int) -> None:
        self.saw(self.table.expire(now_ns=self.step(step)))

    @precondition(lambda self: self.model.queue)
    @rule(data=st.data(), step=steps)
    def cancel(self, data: st.DataObject, step: int) -> None:
        waiter = data.draw(st.sampled_from(self.model.queue))
        self.model.queue.remove(waiter)
        self.step(step)
        self.model.settle()
        self.saw(self.table.cancel(waiter.rank[1], now_ns=self.now_ns), What.CANCELLED)

    @rule(agent=agents, step=steps)
    def touch(self, agent: AgentId, step: int) -> None:
        now_ns = self.step(step)
        self.model.touch(agent)
        self.saw(self.table.touch(agent, now_ns=now_ns))

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), step=steps, lease=st.sampled_from([None, 7]))
    def renew(self, data: st.DataObject, step: int, lease: int | None) -> None:
        held = data.draw(st.sampled_from(self.model.held))
        now_ns = self.step(step)
        events = self.table.renew(held.agent, [held.claim.address], now_ns=now_ns, lease_ns=lease)
        if held in self.model.held:
            self.model.lengthen(held, lease or held.lease_ns, False)
            self.saw(events, What.RENEWED)
        else:
            self.saw(events)

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), step=steps, mode=modes)
    def downgrade(self, data: st.DataObject, step: int, mode: Mode) -> None:
        held = data.draw(st.sampled_from(self.model.held))
        if held.claim.mode is mode or joined(held.claim.mode, mode) is not held.claim.mode:
            return
        now_ns = self.step(step)
        events = self.table.downgrade(held.agent, held.claim.address, mode, now_ns=now_ns)
        if held in self.model.held:
            held.claim = Claim(held.claim.address, mode)
            self.model.settle()
            self.saw(events, What.DOWNGRADED)
        else:
            self.saw(events)

    @rule()
    def restart(self) -> None:
        self.table, events = LockTable.from_rows(self.table.to_rows(), now_ns=self.now_ns, aging_ns=AGING_NS)
        assert not events, "R1"

    @rule(agent=agents, claim=claims)
    def look(self, agent: AgentId, claim: Claim) -> None:
        found = self.table.conflicts_of(agent, [claim.address], claim.mode, now_ns=self.now_ns)
        expected = [h for h in self.model.held if h.agent != agent and clash(claim, h.claim)]
        assert {(each.grant.agent, each.grant.claim) for each in found} == {
            (held.agent, held.claim) for held in expected
        }, "K2"

    @invariant()
    def same(self) -> None:
        self.table.check()
        self.fence = self.table.fence
        held = self.table.holders(now_ns=self.now_ns)
        self.known = {(g.agent, g.address): (g.fence, g.mode) for g in held}
        mine = {(g.agent, g.claim, g.lease_ns, g.expires_ns, g.while_active) for g in held}
        queue = [(w.agent, w.claims, w.arrived_ns, w.until_ns) for w in self.table.waiters()]
        assert (mine, queue) == self.model.snapshot()
        assert not any(self.model.may_go(waiter) for waiter in self.model.queue), "L2"


Histories.TestCase.settings = settings(stateful_step_count=40)
test_lock_table_equals_a_naive_one_over_any_history = Histories.TestCase
