"""The lock table by itself: what a claim costs, and how a thousand agents fare that want the same nodes.

Costs are CPU time of this process. Waits are of a simulated clock: they tell of the queues, not the machine.
"""

import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush

from benchlib.report import Row, median, percentile
from makfs.ids import Address, AgentId
from makfs.locks import READ, WRITE, Claim, Event, LockTable, What

SECTION = "locks"
SECOND = 1_000_000_000
PAIRS = 10_000


def measure(rounds: int, agents: int, seed: int) -> Iterator[Row]:
    """Measure single claims beside many grants, then let `agents` contend for ten simulated minutes."""
    for held in (0, 1_000, 100_000):
        goal = 20.0 if held == 1_000 else None  # 50,000 a second
        cost_us = _cost_us(_pairs(_table_with(held)), rounds)
        yield Row(SECTION, f"claim and release one node, {held:,} grants held", "us", cost_us, goal=goal)
    table = _table_with(1_000)
    yield Row(
        SECTION, "look for conflicts of one node, 1,000 grants held", "us", _cost_us(_looks(table), rounds)
    )
    yield Row(
        SECTION, "note an operation of an agent, 1,000 grants held", "us", _cost_us(_touches(table), rounds)
    )
    yield from _contention(agents, seed)


def _table_with(held: int) -> LockTable:
    table = LockTable()
    for number in range(held):
        address = Address(f"pkg{number % 20}/mod{number % 100}.py::C{number}.m")
        agent = AgentId(f"agent{number % 50}")
        table.request(agent, (Claim(address, WRITE),), now_ns=0, lease_ns=3600 * SECOND)
    return table


def _cost_us(work: Callable[[], None], rounds: int) -> float:
    work()
    costs: list[float] = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        costs.append((time.process_time() - started) * 1e6 / PAIRS)
    return median(costs)


NODES = [Address(f"pkg/mod.py::Class.method{number}") for number in range(100)]
ALICE = AgentId("alice")


def _pairs(table: LockTable) -> Callable[[], None]:
    clock = itertools.count(1)

    def work() -> None:
        for number in range(PAIRS):
            address, now_ns = NODES[number % 100], next(clock)
            table.request(ALICE, (Claim(address, WRITE),), now_ns=now_ns, lease_ns=5 * SECOND)
            table.release(ALICE, (address,), now_ns=now_ns)

    return work


def _looks(table: LockTable) -> Callable[[], None]:
    def work() -> None:
        for number in range(PAIRS):
            table.conflicts_of(ALICE, (NODES[number % 100],), WRITE, now_ns=1)

    return work


def _touches(table: LockTable) -> Callable[[], None]:
    agents = [AgentId(f"agent{number}") for number in range(50)]

    def work() -> None:
        for number in range(PAIRS):
            table.touch(agents[number % 50], now_ns=1)

    return work


@dataclass
class Town:
    """Agents that think, claim, hold and release for ever; some take a second node while holding one."""

    agents: int
    chance: random.Random
    table: LockTable = field(default_factory=LockTable)
    clock: list[tuple[int, int, AgentId, str]] = field(default_factory=list)
    ticks: "itertools.count[int]" = field(default_factory=itertools.count)
    waits_s: list[float] = field(default_factory=list)
    grants: dict[AgentId, int] = field(default_factory=dict)
    counts: dict[What, int] = field(default_factory=dict)
    deadlocks: int = 0
    cpu_s: float = 0
    holds_one: set[AgentId] = field(default_factory=set)

    def __post_init__(self) -> None:
        files = [f"pkg{number % 12}/mod{number}.py" for number in range(200)]
        self.nodes = [Address(f"{file}::C.m{number}") for number in range(20) for file in files]
        self.chance.shuffle(self.nodes)
        # Zipf: the n-th most wanted node is wanted 1/n times as often as the first.
        self.weights = list(itertools.accumulate(1 / place for place in range(1, len(self.nodes) + 1)))

    def live(self, until_ns: int) -> None:
        """Let all happen until then."""
        for number in range(self.agents):
            self.later(0, AgentId(f"agent{number}"), "claim", 20)
        while self.clock and self.clock[0][0] <= until_ns:
            now_ns, _, agent, what = heappop(self.clock)
            started = time.process_time()
            events = self.claim(agent, now_ns) if what == "claim" else self.release(agent, now_ns)
            self.cpu_s += time.process_time() - started
            for event in events:
                self.heard(event, now_ns)

    def later(self, now_ns: int, agent: AgentId, what: str, mean_s: float) -> None:
        due_ns = now_ns + round(self.chance.expovariate(1 / mean_s) * SECOND)
        heappush(self.clock, (due_ns, next(self.ticks), agent, what))

    def claim(self, agent: AgentId, now_ns: int) -> tuple[Event, ...]:
        """Ask for one to three nodes, one time in ten for reading or for a whole file."""
        count = self.chance.choice((1, 1, 1, 2, 3))
        nodes = self.chance.choices(self.nodes, cum_weights=self.weights, k=count)
        mode = READ if self.chance.random() < 0.1 else WRITE
        if self.chance.random() < 0.02:
            nodes = [Address(nodes[0].partition("::")[0])]
        decision = self.table.request(
            agent,
            [Claim(node, mode) for node in nodes],
            now_ns=now_ns,
            lease_ns=5 * SECOND,
            wait_ns=3600 * SECOND,
        )
        self.deadlocks += bool(decision.cycle)
        return decision.events

    def release(self, agent: AgentId, now_ns: int) -> tuple[Event, ...]:
        """End all; one agent in a hundred forgets it, and its leases end by themselves."""
        return () if self.chance.random() < 0.01 else self.table.release(agent, now_ns=now_ns)

    def heard(self, event: Event, now_ns: int) -> None:
        agent = event.agent
        self.counts[event.what] = self.counts.get(event.what, 0) + 1
        if event.what in (What.GRANTED, What.PROMOTED):
            arrived_ns = event.waiter.arrived_ns if event.waiter else now_ns
            self.waits_s.append((now_ns - arrived_ns) / SECOND)
            self.grants[agent] = self.grants.get(agent, 0) + 1
            takes_more = agent not in self.holds_one and self.chance.random() < 0.2
            if takes_more:
                self.holds_one.add(agent)
                self.later(now_ns, agent, "claim", 0.5)
            else:
                self.done(agent, now_ns)
        elif event.what is What.REFUSED:
            self.done(agent, now_ns)

    def done(self, agent: AgentId, now_ns: int) -> None:
        """Release in half a second, then think twenty."""
        self.holds_one.discard(agent)
        self.later(now_ns, agent, "release", 0.5)
        self.later(now_ns + 2 * SECOND, agent, "claim", 20)


def _contention(agents: int, seed: int) -> Iterator[Row]:
    town, minutes = Town(agents, random.Random(seed)), 10
    town.live(minutes * 60 * SECOND)
    shares = [town.grants.get(AgentId(f"agent{number}"), 0) for number in range(agents)]
    fair = sum(shares) ** 2 / (agents * sum(share * share for share in shares))
    now_ns = minutes * 60 * SECOND
    oldest_s = max(((now_ns - waiter.arrived_ns) / SECOND for waiter in town.table.waiters()), default=0.0)
    what = f"{agents:,} agents, Zipf"
    calls = sum(town.counts.values())
    yield Row(SECTION, f"{what}: CPU for one event", "us", town.cpu_s * 1e6 / calls)
    yield Row(SECTION, f"{what}: grants in a simulated second", "1/s", len(town.waits_s) / minutes / 60)
    yield Row(SECTION, f"{what}: waited, median", "s", median(town.waits_s))
    yield Row(SECTION, f"{what}: waited, p99", "s", percentile(town.waits_s, 0.99))
    yield Row(SECTION, f"{what}: waited, longest", "s", max(*town.waits_s, oldest_s))
    yield Row(
        SECTION, f"{what}: waited at all", "%", 100 * sum(w > 0 for w in town.waits_s) / len(town.waits_s)
    )
    yield Row(SECTION, f"{what}: deadlocks refused", "", town.deadlocks)
    yield Row(SECTION, f"{what}: leases that ended by themselves", "", town.counts.get(What.EXPIRED, 0))
    yield Row(SECTION, f"{what}: fairness of grants (Jain, 1 is equal)", "", fair)
    yield Row(SECTION, f"{what}: grants of the unluckiest agent", "", min(shares))
    yield Row(SECTION, f"{what}: agents that were never served", "", shares.count(0), goal=0)
