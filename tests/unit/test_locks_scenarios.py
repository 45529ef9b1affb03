"""The stories of tests/scenarios/locks_*.txt, told to a LockTable."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from makfs.ids import Address, AgentId
from makfs.locks import READ, REPOSITORY, WRITE, Claim, Event, LockTable, Mode, What

FOLDER = Path(__file__).parent.parent / "scenarios"
SECOND = 1_000_000_000
WORDS = {"read": READ, "write": WRITE} | {mode.name: mode for mode in Mode}
CLAIMS = re.compile(
    r"(?P<claims>.+?)(?: for (?P<lease>[\d.]+))?(?: waiting (?P<wait>[\d.]+))?"
    r"(?: priority (?P<priority>\d+))?(?P<active> while active)?"
)


@dataclass
class Step:
    where: str
    call: str
    answer: str = ""
    events: list[str] = field(default_factory=list)
    says: list[str] = field(default_factory=list)


def stories() -> Iterator[tuple[str, list[Step]]]:
    for path in sorted(FOLDER.glob("locks_*.txt")):
        title, steps = "", list[Step]()
        for number, line in enumerate([*path.read_text().splitlines(), "=="], 1):
            if line.startswith("=="):
                if steps:
                    yield f"{path.stem}: {title}", steps
                title, steps = line[2:].strip(), []
            elif line.startswith("-> "):
                steps[-1].answer = line[3:]
            elif line.startswith("+ "):
                steps[-1].events.append(line[2:])
            elif line.startswith("says "):
                steps[-1].says.append(line[5:])
            elif line and not line.startswith("#"):
                steps.append(Step(f"{path.name}:{number}", line))


def address(text: str) -> Address:
    return REPOSITORY if text == "the repository" else Address(text)


def told(event: Event) -> str:
    claims = [grant.claim for grant in event.grants] or (
        event.waiter.claims if event.waiter else event.claims
    )
    return f"{event.agent} {event.what.value} {claims[0].address or 'the repository'}"


class Teller:
    """Carries out the lines of one story."""

    def __init__(self) -> None:
        self.table = LockTable()
        self.now_ns = 0
        self.tickets: dict[AgentId, int] = {}

    def tell(self, step: Step) -> tuple[str, tuple[Event, ...], str]:
        """Return what a line answers, which events it causes besides, and what it says."""
        time, _, call = step.call.partition(" ")
        self.now_ns = round(float(time.removeprefix("t=")) * SECOND)
        if call == "time passes":
            return "", self.table.expire(now_ns=self.now_ns), ""
        name, verb, rest = (*call.split(" ", 2), "")[:3]
        agent = AgentId(name)
        if verb == "claims":
            return self.claim(agent, rest)
        return "", self.act(agent, verb, rest), ""

    def act(self, agent: AgentId, verb: str, rest: str) -> tuple[Event, ...]:
        table, now_ns = self.table, self.now_ns
        match verb:
            case "releases":
                return table.release(agent, None if rest == "all" else [address(rest)], now_ns=now_ns)
            case "downgrades":
                where, _, mode = rest.partition(" to ")
                return table.downgrade(agent, address(where), WORDS[mode], now_ns=now_ns)
            case "renews":
                return table.renew(agent, now_ns=now_ns)
            case "works":
                return table.touch(agent, now_ns=now_ns)
            case "dies":
                return table.bury(agent, now_ns=now_ns)
            case "cancels":
                return table.cancel(self.tickets[agent], now_ns=now_ns)
        raise ValueError(verb)

    def claim(self, agent: AgentId, rest: str) -> tuple[str, tuple[Event, ...], str]:
        found = CLAIMS.fullmatch(rest)
        assert found, rest
        pairs = [each.split(" ", 1) for each in found["claims"].split(", ")]
        decision = self.table.request(
            agent,
            [Claim(address(where), WORDS[mode]) for mode, where in pairs],
            now_ns=self.now_ns,
            lease_ns=round(float(found["lease"] or 300) * SECOND),
            wait_ns=round(float(found["wait"] or 0) * SECOND),
            priority=int(found["priority"] or 0),
            while_active=bool(found["active"]),
        )
        if decision.what is What.QUEUED:
            assert decision.waiter is not None
            self.tickets[agent] = decision.waiter.ticket
        return decision.what.value, decision.also, decision.sentence


@pytest.mark.parametrize(("title", "steps"), [pytest.param(*story, id=story[0]) for story in stories()])
def test_lock_table_tells_the_story(title: str, steps: list[Step]) -> None:
    teller = Teller()
    for step in steps:
        answer, events, sentence = teller.tell(step)
        assert answer == step.answer, f"{title}, {step.where}: {step.call}: {sentence}"
        assert [told(event) for event in events] == step.events, f"{title}, {step.where}: {step.call}"
        for part in step.says:
            assert part in sentence, f"{title}, {step.where}: {step.call}"
        teller.table.check()


def test_scenarios_hold_stories_of_refusals_and_of_grants() -> None:
    answers = {step.answer for _, steps in stories() for step in steps}
    assert answers == {"", "granted", "queued", "refused"}
