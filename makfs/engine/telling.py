"""What the control files tell: locks and the queue as JSON for programs, claims and differences for people.

Y1  What a role hides is in none of them.
"""

import difflib
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache

from makfs.engine.api import LockState
from makfs.engine.claims import Claims, row_of
from makfs.engine.core import Core
from makfs.engine.reasons import clock
from makfs.engine.views import View
from makfs.ids import Address
from makfs.locks import Mode, Waiter, lineage
from makfs.locks.address import resource_address
from makfs.locks.modes import INTENT, compatible
from makfs.store.model import Refusal

_MOST_LINES = 20_000
_NO_END = b"\\ No newline at end of file\n"


def locks(claims: Claims, view: View) -> bytes:
    """Return every grant, then every waiter, a JSON line each."""
    state = claims.state(None)
    rows: list[dict[str, object]] = [
        {
            "kind": "grant", "agent": grant.agent, "address": grant.address, "mode": grant.mode,
            "fence": grant.fence, "since": iso(grant.since_ns), "expires": iso(grant.expires_ns),
            "left_s": _left_s(grant.expires_ns, state.now_ns), "lease_s": grant.lease_ns / 1e9,
            "explicit": grant.explicit,
        }
        for grant in state.grants
        if _is_seen(view, grant.address)
    ]  # fmt: skip
    return _lines([*rows, *_waiters(claims, view, state)])


def queue(claims: Claims, view: View) -> bytes:
    """Return the view's own requests that wait, a JSON line each; place 1 is next."""
    return _lines(
        {name: value for name, value in row.items() if name not in ("kind", "agent")}
        for row in _waiters(claims, view, claims.state(None))
        if row["agent"] == view.agent
    )


def held(claims: Claims, view: View) -> bytes:
    """Return what the view's agent holds, a line each: mode, address, until when."""
    book = claims.locks
    rows = map(row_of, book.table.grants_of(view.agent, now_ns=book.now_ns()))
    text = "".join(f"{row.mode} {row.address or '/'} until {clock(row.expires_ns)}\n" for row in rows)
    return text.encode("utf-8", "surrogateescape")


def holder_of(claims: Claims, resource: str) -> bytes:
    """Return who holds a process resource, a line; nothing if nobody does."""
    rows = claims.state(resource_address(resource)).grants
    return "".join(f"{row.agent} since {clock(row.since_ns)}\n" for row in rows).encode()


def _waiters(claims: Claims, view: View, state: LockState) -> list[dict[str, object]]:
    """Return a row a waiter, next first. Its place counts those before it that it must wait for."""
    found: list[dict[str, object]] = []
    waiters = claims.locks.table.waiters()
    spots = [_spots(waiter) for waiter in waiters]
    for at, (row, waiter) in enumerate(zip(state.waiters, waiters, strict=True)):
        before = [
            other.agent
            for other, taken in zip(waiters[:at], spots[:at], strict=True)
            if other.agent != waiter.agent and _clash(spots[at], taken)
        ]
        asked = [
            {"address": claim.address, "mode": claim.mode}
            for claim in row.claims
            if _is_seen(view, claim.address)
        ]
        if asked:
            found.append(
                {
                    "kind": "waiter", "ticket": row.ticket, "agent": row.agent, "claims": asked,
                    "since": iso(row.since_ns), "until": iso(row.until_ns),
                    "left_s": _left_s(row.until_ns, state.now_ns),
                    "behind": list(dict.fromkeys([*row.behind, *before])), "place": len(before) + 1,
                }
            )  # fmt: skip
    return found


def _spots(waiter: Waiter) -> dict[Address, set[Mode]]:
    """Return what a request takes where: intents on all above."""
    taken: dict[Address, set[Mode]] = defaultdict(set)
    for claim in waiter.claims:
        *above, own = lineage(claim.address)
        taken[own].add(claim.mode)
        for address in above:
            taken[address].add(INTENT[claim.mode])
    return taken


def _clash(one: dict[Address, set[Mode]], other: dict[Address, set[Mode]]) -> bool:
    return any(
        not compatible(mine, theirs)
        for address in one.keys() & other.keys()
        for mine in one[address]
        for theirs in other[address]
    )


def _is_seen(view: View, address: str) -> bool:
    return view.role is None or not view.role.hides_address(Address(address))


def iso(time_ns: int) -> str:
    """Return a wall-clock time as ISO 8601, local, with its offset."""
    return datetime.fromtimestamp(time_ns / 1e9).astimezone().isoformat(timespec="milliseconds")


def _left_s(until_ns: int, now_ns: int) -> float:
    return round(max(0, until_ns - now_ns) / 1e9, 3)


def _lines(rows: Iterable[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def refused_diff(core: Core, refusal: Refusal) -> bytes:
    """Return what a refused write would have changed, as a unified diff."""
    base = refusal.base
    if base is None and refusal.base_seq:
        base = core.belief_text(core.file(refusal.path), int(refusal.base_seq))
    if base is None:
        text = (
            f"What refusal {refusal.number} started from is not known; its text is in the file beside this.\n"
        )
        return text.encode()
    return unified(base, refusal.mine, refusal.path.encode("utf-8", "surrogateescape"))


@lru_cache(maxsize=8)
def unified(old: bytes, new: bytes, path: bytes) -> bytes:
    """Return the difference of two texts. Bytes are what they are, in any encoding. Cost: as difflib's."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if len(before) + len(after) > _MOST_LINES:
        return b"The texts are too long to compare here; the refused one is in the file beside this.\n"
    found = difflib.diff_bytes(difflib.unified_diff, before, after, b"a/" + path, b"b/" + path)
    return b"".join(line if line.endswith((b"\n", b"\r")) else line + b"\n" + _NO_END for line in found)
