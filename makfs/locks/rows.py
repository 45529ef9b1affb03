"""Grants and waiters as plain values, one flat row each (a waiter: one a claim), for a store to keep. Pure.

R1  A table made of another's rows answers every call as the other would.
R2  Rows that cannot be are BadRows, never a table that breaks its promise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TypeVar

from makfs.errors import MakfsError
from makfs.ids import Address, AgentId
from makfs.locks.address import BadAddress, lineage
from makfs.locks.modes import Mode
from makfs.locks.values import Claim, Grant, Waiter

Row = Mapping[str, str | int]

_T = TypeVar("_T", Grant, Waiter)


class BadRows(MakfsError):
    """Stored locks are damaged: the sentence says which."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What survives a restart. `fence` and `ticket` are the newest numbers, of grants that are over too."""

    fence: int
    ticket: int
    grants: tuple[Row, ...]
    waiters: tuple[Row, ...]


def grant_row(grant: Grant) -> Row:
    """Return a grant's row; (agent, address) is its key."""
    return {
        "agent": grant.agent,
        "address": grant.address,
        "mode": grant.mode.name,
        "fence": grant.fence,
        "since_ns": grant.since_ns,
        "lease_ns": grant.lease_ns,
        "expires_ns": grant.expires_ns,
        "while_active": int(grant.while_active),
    }


def waiter_rows(waiter: Waiter) -> tuple[Row, ...]:
    """Return a waiter's rows, one a claim; (ticket, address) is their key."""
    return tuple(
        {
            "ticket": waiter.ticket,
            "agent": waiter.agent,
            "address": claim.address,
            "mode": claim.mode.name,
            "arrived_ns": waiter.arrived_ns,
            "until_ns": waiter.until_ns,
            "lease_ns": waiter.lease_ns,
            "priority": waiter.priority,
            "while_active": int(waiter.while_active),
        }
        for claim in waiter.claims
    )


def grant_of_row(row: Row) -> Grant:
    """Return the grant of a row. Raise BadRows."""
    claim = _claim(row)
    fence, since, lease, expires = _numbers(row, "fence", "since_ns", "lease_ns", "expires_ns")
    active = bool(row.get("while_active"))
    return Grant(_agent(row), claim.address, claim.mode, fence, since, lease, expires, active)


def waiters_of_rows(rows: Sequence[Row]) -> list[Waiter]:
    """Return the waiters of rows, by ticket; their claims in the rows' order. Raise BadRows."""
    found: list[Waiter] = []
    for ticket, group in groupby(sorted(rows, key=_ticket), key=_ticket):
        mine = list(group)
        claims = tuple(map(_claim, mine))
        arrived, until, lease, priority = _numbers(mine[0], "arrived_ns", "until_ns", "lease_ns", "priority")
        active = bool(mine[0].get("while_active"))
        found.append(Waiter(ticket, _agent(mine[0]), claims, arrived, until, lease, priority, active))
    return found


def moved(value: _T, shift_ns: int) -> _T:
    """Return a grant or waiter with its times on another clock."""
    if isinstance(value, Grant):
        return replace(value, since_ns=value.since_ns + shift_ns, expires_ns=value.expires_ns + shift_ns)
    return replace(value, arrived_ns=value.arrived_ns + shift_ns, until_ns=value.until_ns + shift_ns)


def _ticket(row: Row) -> int:
    return _numbers(row, "ticket")[0]


def _numbers(row: Row, *names: str) -> list[int]:
    found: list[int] = []
    for name in names:
        value = row.get(name)
        if not isinstance(value, int):
            raise BadRows(f"A stored lock has no number {name}: {dict(row)!a}.")
        found.append(value)
    return found


def _claim(row: Row) -> Claim:
    address, mode = row.get("address"), row.get("mode")
    if not isinstance(address, str) or mode not in Mode.__members__:
        raise BadRows(f"A stored lock has no address or no mode: {dict(row)!a}.")
    try:
        lineage(Address(address))
    except BadAddress as bad:
        raise BadRows(f"A stored lock is damaged: {bad}") from bad
    return Claim(Address(address), Mode[str(mode)])


def _agent(row: Row) -> AgentId:
    agent = row.get("agent")
    if not isinstance(agent, str) or not agent:
        raise BadRows(f"A stored lock has no agent: {dict(row)!a}.")
    return AgentId(agent)
