"""LockTable grants what it may: the twins of L1, so that a table that grants nothing, or too late, fails.

L2, L3 and L9 by their effect: whoever waits is served, in whatever order the others let go.
"""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from makfs.ids import Address, AgentId
from makfs.locks import READ, WRITE, Claim, LockTable, Mode, What
from tests.property.locks_model import ABOVE, clash

LONG_NS = 1_000_000_000

agents = st.sampled_from([AgentId(name) for name in "abcdefgh"])
claims = st.builds(
    Claim,
    st.sampled_from([Address(address) for address in ABOVE]),
    st.sampled_from([WRITE, WRITE, READ, *Mode]),
)
requests = st.lists(st.tuples(agents, st.lists(claims, min_size=1, max_size=3)), min_size=1, max_size=40)


@given(requests)
def test_try_is_granted_exactly_if_no_grant_of_another_clashes(
    asked: list[tuple[AgentId, list[Claim]]],
) -> None:
    table = LockTable()
    held: list[tuple[AgentId, Claim]] = []
    for agent, wanted in asked:
        free = not any(other != agent and clash(claim, one) for claim in wanted for other, one in held)
        decision = table.request(agent, wanted, now_ns=0, lease_ns=LONG_NS)
        assert (decision.what is What.GRANTED) == free
        if free:
            held += [(agent, claim) for claim in wanted]
    table.check()


@given(requests, st.randoms(use_true_random=False))
def test_every_waiter_is_served_once_in_whatever_order_holders_let_go(
    asked: list[tuple[AgentId, list[Claim]]], chance: Random
) -> None:
    table = LockTable()
    waiting: set[int] = set()
    served: list[int] = []
    for now_ns, (agent, wanted) in enumerate(asked):
        decision = table.request(agent, wanted, now_ns=now_ns, lease_ns=LONG_NS, wait_ns=LONG_NS)
        served += [event.waiter.ticket for event in decision.also if event.waiter]
        if decision.waiter:
            waiting.add(decision.waiter.ticket)
        assert decision.what is not What.REFUSED or decision.cycle, "only a deadlock is refused"
    while table.waiters():
        busy = {waiter.agent for waiter in table.waiters()}
        free = sorted({grant.agent for grant in table.holders(now_ns=0)} - busy)
        assert free, "L3: all that hold something wait"
        events = table.release(chance.choice(free), now_ns=len(asked))
        served += [event.waiter.ticket for event in events if event.what is What.PROMOTED and event.waiter]
        table.check()
    assert sorted(served) == sorted(waiting)


@given(st.lists(st.booleans(), min_size=1, max_size=30), st.integers(0, 5))
def test_writer_is_served_before_whoever_asked_later(reads: list[bool], place: int) -> None:
    table = LockTable()
    table.request(AgentId("holder"), [Claim(Address("b.py::f"), WRITE)], now_ns=0, lease_ns=LONG_NS)
    place = min(place, len(reads))
    for number, is_read in enumerate([*reads[:place], False, *reads[place:]]):
        claim = Claim(Address("b.py::f"), READ if is_read else WRITE)
        table.request(AgentId(f"agent{number}"), [claim], now_ns=number, lease_ns=LONG_NS, wait_ns=LONG_NS)
    order: list[AgentId] = []
    while holders := table.holders(now_ns=99):
        for grant in holders:
            events = table.release(grant.agent, now_ns=99)
            order += [event.agent for event in events if event.what is What.PROMOTED]
    assert order == [f"agent{number}" for number in range(len(reads) + 1)]


@given(st.integers(1, 9), st.integers(0, 12))
def test_priority_is_worth_its_steps_of_waiting_and_not_more(priority: int, later: int) -> None:
    table = LockTable(aging_ns=10)
    claim = [Claim(Address("b.py"), WRITE)]
    for name, now_ns, worth in (("holder", 0, 0), ("patient", 1, 0), ("urgent", 1 + 10 * later, priority)):
        table.request(AgentId(name), claim, now_ns=now_ns, lease_ns=LONG_NS, wait_ns=LONG_NS, priority=worth)
    events = table.release(AgentId("holder"), now_ns=500)
    first = next(event.agent for event in events if event.what is What.PROMOTED)
    assert first == ("urgent" if later < priority else "patient"), "L9"
