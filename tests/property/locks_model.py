"""A naive lock table: lists, no counters, no heap, everything looked at each time. The real one's oracle.

It says when two claims clash by the words of the design alone: the same address in modes that do not go
together, or one address above the other and the upper mode not going with the intention of the lower.
"""

from dataclasses import dataclass, field

import networkx as nx

from makfs.ids import Address, AgentId
from makfs.locks import Claim, Mode, What

TOGETHER = {  # Gray, Lorie, Putzolu and Traiger 1976, table 1
    ("IS", "IS"), ("IS", "IX"), ("IS", "S"), ("IS", "SIX"), ("IX", "IX"), ("S", "S"),
}  # fmt: skip
INTENTION = {"IS": "IS", "S": "IS", "IX": "IX", "SIX": "IX", "X": "IX"}
ABOVE = {  # by address, all above it
    "": [],
    "d/": [""],
    "d/a.py": ["", "d/"],
    "d/a.py::C": ["", "d/", "d/a.py"],
    "d/a.py::C#header": ["", "d/", "d/a.py", "d/a.py::C"],
    "d/a.py::C.m": ["", "d/", "d/a.py", "d/a.py::C"],
    "b.py": [""],
    "b.py::f": ["", "b.py"],
    "resource:build": [],
}
JOINED: dict[frozenset[str], str] = {frozenset(("S", "IX")): "SIX"}
HeldRow = tuple[AgentId, Claim, int, int, bool]
AskedRow = tuple[AgentId, tuple[Claim, ...], int, int]
STRENGTH = ["IS", "IX", "S", "SIX", "X"]


def together(one: str, other: str) -> bool:
    return (one, other) in TOGETHER or (other, one) in TOGETHER


def clash(one: Claim, other: Claim) -> bool:
    """Tell whether two agents may not have both."""
    if one.address == other.address:
        return not together(one.mode.name, other.mode.name)
    if one.address in ABOVE[other.address]:
        return not together(one.mode.name, INTENTION[other.mode.name])
    if other.address in ABOVE[one.address]:
        return not together(other.mode.name, INTENTION[one.mode.name])
    return False


def joined(one: Mode, other: Mode) -> Mode:
    names = frozenset((one.name, other.name))
    return Mode[JOINED.get(names) or max(names, key=STRENGTH.index)]


@dataclass(eq=False)
class Held:
    agent: AgentId
    claim: Claim
    lease_ns: int
    expires_ns: int
    while_active: bool


@dataclass(eq=False)
class Asked:
    agent: AgentId
    claims: tuple[Claim, ...]
    arrived_ns: int
    until_ns: int
    lease_ns: int
    while_active: bool
    rank: tuple[int, int]


@dataclass
class Model:
    aging_ns: int
    now_ns: int = 0
    ticket: int = 0
    held: list[Held] = field(default_factory=list)
    queue: list[Asked] = field(default_factory=list)
    active_ns: dict[AgentId, int] = field(default_factory=dict)
    ended: list[tuple[What, AgentId]] = field(default_factory=list)  # since the last call

    def hard(self, waiter: Asked) -> set[AgentId]:
        return {
            held.agent
            for held in self.held
            if held.agent != waiter.agent and any(clash(claim, held.claim) for claim in waiter.claims)
        }

    def clashing(self, waiter: Asked) -> list[Asked]:
        return [
            other
            for other in self.queue
            if other.agent != waiter.agent and any(clash(a, b) for a in waiter.claims for b in other.claims)
        ]

    def graph(self, waiters: list[Asked], *, soft: bool) -> "nx.DiGraph[AgentId]":
        graph: nx.DiGraph[AgentId] = nx.DiGraph()
        graph.add_nodes_from(waiter.agent for waiter in waiters)
        for waiter in waiters:
            graph.add_edges_from((waiter.agent, holder) for holder in self.hard(waiter))
            if soft:
                before = [other for other in self.clashing(waiter) if other.rank < waiter.rank]
                graph.add_edges_from((waiter.agent, other.agent) for other in before)
        return graph

    def waits_for_held(self, agent: AgentId, holder: AgentId) -> bool:
        """Tell whether a chain from the agent ends with a waiter for something the holder holds."""
        graph = self.graph(self.queue, soft=True)
        chain = nx.descendants(graph, agent) | {agent}
        return any(waiter.agent in chain and holder in self.hard(waiter) for waiter in self.queue)

    def may_go(self, waiter: Asked) -> bool:
        if self.hard(waiter):
            return False
        clashing = self.clashing(waiter)
        before = [other for other in clashing if other.rank < waiter.rank]
        if not all(self.waits_for_held(other.agent, waiter.agent) for other in before):
            return False
        mine = [other for other in self.queue if other.agent == waiter.agent and other is not waiter]
        graph = self.graph([other for other in self.queue if other is not waiter], soft=False)
        reached = nx.descendants(graph, waiter.agent) if mine else set()
        return not any(other.agent in reached for other in clashing)

    def closes_cycle(self, waiter: Asked) -> bool:
        graph = self.graph([*self.queue, waiter], soft=False)
        return any(
            waiter.agent in cycle for cycle in nx.strongly_connected_components(graph) if len(cycle) > 1
        )

    def grant(self, waiter: Asked) -> None:
        for claim in waiter.claims:
            end_ns = self.now_ns + waiter.lease_ns
            old = self.find(waiter.agent, claim.address)
            if old is None:
                new = Held(waiter.agent, claim, waiter.lease_ns, end_ns, waiter.while_active)
                self.held.append(new)
            else:
                old.claim = Claim(claim.address, joined(old.claim.mode, claim.mode))
                self.lengthen(old, waiter.lease_ns, waiter.while_active)

    def lengthen(self, held: Held, lease_ns: int, while_active: bool) -> None:
        end_ns = self.end_of(held)
        held.while_active = held.while_active or while_active
        longest_ns = max(held.lease_ns, lease_ns)
        held.expires_ns = max(end_ns, self.now_ns + (longest_ns if held.while_active else lease_ns))
        held.lease_ns = longest_ns

    def find(self, agent: AgentId, address: Address) -> Held | None:
        return next((h for h in self.held if h.agent == agent and h.claim.address == address), None)

    def settle(self) -> None:
        """Let go the oldest that may, again and again."""
        while True:
            ready = [waiter for waiter in self.queue if self.may_go(waiter)]
            if not ready:
                return
            waiter = min(ready, key=lambda each: each.rank)
            self.queue.remove(waiter)
            self.grant(waiter)
            self.ended.append((What.PROMOTED, waiter.agent))

    def pass_time(self, now_ns: int) -> None:
        self.ended = []
        self.now_ns = max(self.now_ns, now_ns)
        while True:
            over: list[tuple[int, int, Held | Asked]] = [
                (end, 0, held) for held in self.held if (end := self.end_of(held)) <= self.now_ns
            ]
            over += [(each.until_ns, 1, each) for each in self.queue if each.until_ns <= self.now_ns]
            if not over:
                return
            first = min(each[:2] for each in over)
            for _, _, each in [one for one in over if one[:2] == first]:
                if isinstance(each, Held):
                    self.drop(each)
                    self.ended.append((What.EXPIRED, each.agent))
                else:
                    self.queue.remove(each)
                    self.ended.append((What.GAVE_UP, each.agent))
            self.settle()

    def request(
        self, agent: AgentId, claims: tuple[Claim, ...], lease: int, wait: int, priority: int, active: bool
    ) -> What:
        self.ticket += 1
        merged: dict[Address, Mode] = {}
        for claim in claims:
            merged[claim.address] = joined(merged.get(claim.address, claim.mode), claim.mode)
        asked = tuple(Claim(address, mode) for address, mode in merged.items())
        rank = (self.now_ns - priority * self.aging_ns, self.ticket)
        waiter = Asked(agent, asked, self.now_ns, self.now_ns + wait, lease, active, rank)
        if self.may_go(waiter):
            self.grant(waiter)
            self.settle()
            return What.GRANTED
        if not wait or self.closes_cycle(waiter):
            return What.REFUSED
        self.queue.append(waiter)
        self.settle()
        if waiter in self.queue:
            return What.QUEUED
        self.ended.remove((What.PROMOTED, agent))
        return What.GRANTED

    def snapshot(self) -> tuple[set[HeldRow], list[AskedRow]]:
        held: set[HeldRow] = {
            (h.agent, h.claim, h.lease_ns, self.end_of(h), h.while_active) for h in self.held
        }
        queue = sorted(self.queue, key=lambda each: each.rank)
        return held, [(each.agent, each.claims, each.arrived_ns, each.until_ns) for each in queue]

    def touch(self, agent: AgentId) -> None:
        if any(held.agent == agent for held in self.held):
            self.active_ns[agent] = self.now_ns

    def end_of(self, held: Held) -> int:
        """Return when a lease ends: an agent's activity counts as long as it holds something."""
        active_ns = self.active_ns.get(held.agent, 0) + held.lease_ns
        return max(held.expires_ns, active_ns) if held.while_active else held.expires_ns

    def drop(self, *gone: Held) -> None:
        self.held = [held for held in self.held if held not in gone]
        left = {held.agent for held in self.held}
        self.active_ns = {agent: time for agent, time in self.active_ns.items() if agent in left}
