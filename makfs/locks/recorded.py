"""A lock table that says what it was asked and what it answered, and the same questions asked again. Pure.

D1  The same rows and the same calls give the same answers (L8): so what was decided can be decided again.
D2  A call that changed nothing and answered nothing is not recorded: time that passes, an agent that stirs.
    Stirs are told before the next call that is.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from makfs.ids import Address, AgentId
from makfs.locks.modes import Mode
from makfs.locks.rows import Rows, grant_row, waiter_rows
from makfs.locks.table import LockTable
from makfs.locks.values import Claim, Decision, Event

Outcome = Decision | tuple[Event, ...]
_SNAPSHOT_EVERY = 10_000  # calls: whoever keeps a bounded number of them can begin at the oldest snapshot
START = "start"


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its name is the table's method, or START, whose argument is the table as rows."""

    call: str
    agent: AgentId | None
    now_ns: int
    arguments: Mapping[str, Any]
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True)
class Recorded:
    """A call as it was kept."""

    number: int
    now_ns: int
    call: str
    agent: str
    arguments: Mapping[str, Any]
    outcome: str


class RecordedTable(LockTable):
    """A lock table that passes every call to `record`, if there is one, and before the first the table."""

    __slots__ = ("_since", "_touched", "record")

    def __init__(self, *, aging_ns: int = 1_000_000_000) -> None:
        super().__init__(aging_ns=aging_ns)
        self.record: Callable[[Call], None] | None = None
        self._touched: dict[AgentId, int] = {}
        self._since = _SNAPSHOT_EVERY  # calls since the last snapshot

    def _before(self) -> None:
        """Tell of stirs before the call they came before, and now and then of the whole table."""
        record = self.record
        if record is None or not (self._touched or self._since >= _SNAPSHOT_EVERY):
            return
        for agent, now_ns in self._touched.items():
            record(Call("touch", agent, now_ns, {}, ()))
        self._touched = {}
        if self._since >= _SNAPSHOT_EVERY:
            self._since = 0
            rows = self.to_rows()
            kept = (rows.fence, rows.ticket, list(rows.grants), list(rows.waiters))
            record(Call(START, None, self._now_ns, {"rows": kept}))

    def _note(self, call: str, agent: AgentId | None, outcome: Outcome, **arguments: object) -> None:
        if self.record is not None:
            self.record(Call(call, agent, self._now_ns, arguments, outcome))
            self._since += 1

    def request(
        self,
        agent: AgentId,
        claims: Iterable[Claim],
        *,
        now_ns: int,
        lease_ns: int,
        wait_ns: int = 0,
        priority: int = 0,
        while_active: bool = False,
    ) -> Decision:
        """Ask for a set of claims; see `LockTable.request`."""
        asked = tuple(claims)
        self._before()
        rest = {
            "lease_ns": lease_ns,
            "wait_ns": wait_ns,
            "priority": priority,
            "while_active": while_active,
        }
        done = super().request(
            agent,
            asked,
            now_ns=now_ns,
            lease_ns=lease_ns,
            wait_ns=wait_ns,
            priority=priority,
            while_active=while_active,
        )
        self._note("request", agent, done, claims=asked, **rest)
        return done

    def release(
        self, agent: AgentId, addresses: Iterable[Address] | None = None, *, now_ns: int
    ) -> tuple[Event, ...]:
        """End grants; see `LockTable.release`."""
        those = None if addresses is None else tuple(addresses)
        self._before()
        done = super().release(agent, those, now_ns=now_ns)
        self._note("release", agent, done, addresses=those)
        return done

    def bury(self, agent: AgentId, *, now_ns: int) -> tuple[Event, ...]:
        """End all of an agent; see `LockTable.bury`."""
        self._before()
        done = super().bury(agent, now_ns=now_ns)
        self._note("bury", agent, done)
        return done

    def cancel(self, ticket: int, *, now_ns: int) -> tuple[Event, ...]:
        """Take a waiter out of the queue; see `LockTable.cancel`."""
        self._before()
        done = super().cancel(ticket, now_ns=now_ns)
        self._note("cancel", None, done, ticket=ticket)
        return done

    def downgrade(self, agent: AgentId, address: Address, mode: Mode, *, now_ns: int) -> tuple[Event, ...]:
        """Weaken a grant; see `LockTable.downgrade`."""
        self._before()
        done = super().downgrade(agent, address, mode, now_ns=now_ns)
        self._note("downgrade", agent, done, address=address, mode=mode.name)
        return done

    def renew(
        self,
        agent: AgentId,
        addresses: Iterable[Address] | None = None,
        *,
        now_ns: int,
        lease_ns: int | None = None,
    ) -> tuple[Event, ...]:
        """Let leases start again; see `LockTable.renew`."""
        those = None if addresses is None else tuple(addresses)
        self._before()
        done = super().renew(agent, those, now_ns=now_ns, lease_ns=lease_ns)
        self._note("renew", agent, done, addresses=those, lease_ns=lease_ns)
        return done

    def touch(self, agent: AgentId, *, now_ns: int) -> tuple[Event, ...]:
        """Note an operation of the agent; see `LockTable.touch`."""
        if self._ends_something(now_ns):
            self._before()
        done = super().touch(agent, now_ns=now_ns)
        if done:
            self._note("touch", agent, done)
        elif agent in self._book.held:
            self._touched[agent] = self._now_ns
        return done

    def _ends_something(self, now_ns: int) -> bool:
        due = self._book.due
        return bool(due) and due[0][0] <= max(now_ns, self._now_ns)

    def expire(self, *, now_ns: int) -> tuple[Event, ...]:
        """End what is over; see `LockTable.expire`."""
        if self._ends_something(now_ns):
            self._before()
        done = super().expire(now_ns=now_ns)
        if done:
            self._note("expire", None, done)
        return done


def arguments_json(call: Call) -> str:
    """Return a call's arguments as ASCII JSON."""
    return json.dumps(call.arguments, default=_plain, separators=(",", ":"))


def _plain(value: object) -> object:
    if isinstance(value, Claim):
        return [value.address, value.mode.name]
    raise TypeError(f"no plain form of {value!r}")


def outcome_text(outcome: Outcome | None) -> str:
    """Return what happened in words for people, and a hash of every number in it."""
    if outcome is None:
        return ""
    events = outcome.events if isinstance(outcome, Decision) else outcome
    whole: list[object] = [
        [
            event.what.value,
            event.agent,
            event.now_ns,
            [grant_row(grant) for grant in event.grants],
            [] if event.waiter is None else list(waiter_rows(event.waiter)),
        ]
        for event in events
    ]
    if isinstance(outcome, Decision):
        against = [[str(each.claim), grant_row(each.grant)] for each in outcome.conflicts]
        whole.append(
            [against, [each.ticket for each in outcome.behind], [str(each) for each in outcome.cycle]]
        )
    words = ", ".join(f"{event.agent} {event.what.value}" for event in events[:4])
    digest = hashlib.blake2b(json.dumps(whole, sort_keys=True).encode(), digest_size=8).hexdigest()
    return f"{words} {digest}".strip()


def start(recorded: Recorded) -> LockTable:
    """Return the table a recording begins with. Raise BadRows."""
    table, _ = LockTable.from_rows(_rows(recorded), now_ns=recorded.now_ns)
    return table


def _rows(recorded: Recorded) -> Rows:
    fence, ticket, grants, waiters = recorded.arguments["rows"]
    return Rows(fence, ticket, tuple(grants), tuple(waiters))


def again(table: LockTable, recorded: Recorded) -> str:
    """Ask a table what was asked; return its outcome as it would be kept (D1)."""
    arguments: dict[str, Any] = dict(recorded.arguments)
    now_ns, agent = recorded.now_ns, AgentId(recorded.agent)
    outcome: Outcome
    match recorded.call:
        case "request":
            claims = [Claim(Address(address), Mode[mode]) for address, mode in arguments.pop("claims")]
            outcome = table.request(agent, claims, now_ns=now_ns, **arguments)
        case "release":
            outcome = table.release(agent, arguments["addresses"], now_ns=now_ns)
        case "renew":
            outcome = table.renew(
                agent, arguments["addresses"], now_ns=now_ns, lease_ns=arguments["lease_ns"]
            )
        case "downgrade":
            mode = Mode[arguments["mode"]]
            outcome = table.downgrade(agent, arguments["address"], mode, now_ns=now_ns)
        case "cancel":
            outcome = table.cancel(arguments["ticket"], now_ns=now_ns)
        case "bury":
            outcome = table.bury(agent, now_ns=now_ns)
        case "touch":
            outcome = table.touch(agent, now_ns=now_ns)
        case "expire":
            outcome = table.expire(now_ns=now_ns)
        case other:
            raise ValueError(f"a lock table has no call {other!a}")
    return outcome_text(outcome)


@dataclass(frozen=True, slots=True)
class LocksReplayed:
    """What a replay of lock decisions found."""

    calls: int
    starts: int
    difference: str = ""  # the first, in one sentence


def replay_locks(calls: Sequence[Recorded] | Iterable[Recorded]) -> LocksReplayed:
    """Ask everything again from the first snapshot on, and compare every answer. Raise BadRows."""
    table: LockTable | None = None
    count = starts = 0
    for each in calls:
        if each.call == START:
            starts += 1
            table = start(each)
            continue
        if table is None:
            continue
        count += 1
        try:
            found = again(table, each)
        except (ValueError, KeyError, TypeError) as error:
            return LocksReplayed(count, starts, f"Call {each.number}, {each.call}, cannot be asked: {error}.")
        if found != each.outcome:
            sentence = (
                f"Call {each.number}, {each.call} of {each.agent or 'the clock'}, was answered "
                f"'{each.outcome}' and is now answered '{found}'."
            )
            return LocksReplayed(count, starts, sentence)
    return LocksReplayed(count, starts)


__all__ = ["Call", "LocksReplayed", "Recorded", "RecordedTable", "replay_locks"]
