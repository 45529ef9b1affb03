"""Sentences about locks, for refusals and `.makfs/why`. Times are the local time of day."""

import shlex
import time
from collections.abc import Iterable, Sequence

from makfs.locks import Claim, Conflict, Decision, Grant, Waiter
from makfs.locks.values import listed, shown

_SHOWN = 3


def clock(time_ns: int) -> str:
    """Return the time of day."""
    return time.strftime("%H:%M:%S", time.localtime(time_ns / 1e9))


def holder(grant: Grant) -> str:
    """Return who holds what, since when, until when."""
    kind = "a claim; whatever it does renews it" if grant.while_active else "a lease; each write renews it"
    return (
        f"{grant.agent} holds {grant.mode.word} on {shown(grant.address)} since {clock(grant.since_ns)} "
        f"until {clock(grant.expires_ns)} ({kind})"
    )


def holders(conflicts: Iterable[Conflict], behind: Iterable[Waiter] = ()) -> str:
    """Return a sentence that names those who stand against a claim."""
    grants = {(each.grant.agent, each.grant.address): each.grant for each in conflicts}
    texts = [holder(grant) for grant in grants.values()]
    texts += [f"{each.agent} asked before for {listed(each.claims)}" for each in behind]
    return _some(texts)


def refused(decision: Decision, waited_s: float) -> str:
    """Return why a request was not granted: the deadlock, or who is in the way and how long it waited."""
    if decision.cycle:
        return f"{decision.sentence} {way_out(decision)}"
    waited = f" {decision.agent} waited {waited_s:.3g} s." if waited_s >= 0.05 else ""
    return f"{holders(decision.conflicts, decision.behind)}.{waited}"


def way_out(decision: Decision) -> str:
    """Return how the agent that is refused a deadlock lets the others go on."""
    own = tuple(
        dict.fromkeys(step.grant.address for step in decision.cycle if step.grant.agent == decision.agent)
    )
    words = [_word(address) for address in own]
    what = " ".join(words) if all(words) and words else "ADDRESS"
    return f"To let the others go on: echo '{what}' > .makfs/release."


def unclaimed(agent: str, addresses: Sequence[str]) -> str:
    """Return why a write under the policy `claim` is refused."""
    return f"{agent} may write only what it has claimed, and it has not claimed {names(addresses)}."


def how_to_claim(addresses: Sequence[str]) -> str:
    """Return the command that claims addresses, waiting for them."""
    few = [_word(address) for address in addresses if address][:_SHOWN]
    what = " ".join(few) if all(few) and few and len(addresses) <= _SHOWN else "ADDRESS"
    return f"echo 'write {what}' > .makfs/claim"


def _word(address: str) -> str:
    """Return an address as it is written inside single quotes, empty if it cannot be."""
    if shlex.quote(address) == address:
        return address
    return f'"{address}"' if address.isprintable() and not set(address) & set("'\"\\") else ""


def names(addresses: Iterable[str]) -> str:
    """Return addresses for a sentence: "a.py, b.py and 3 more"."""
    told = [shown(address) for address in addresses]  # type: ignore[arg-type]
    few = told[:_SHOWN] + ([f"{len(told) - _SHOWN} more"] if len(told) > _SHOWN else [])
    return " and ".join(filter(None, (", ".join(few[:-1]), few[-1]))) if few else ""


def ended(grant: Grant) -> str:
    """Return that a claim ended by itself."""
    return (
        f"{clock(grant.expires_ns)}: your claim, {Claim(grant.address, grant.mode)}, ended: nothing renewed "
        f"it for {grant.lease_ns / 1e9:g} s. Others may change it now; claim it again before you go on."
    )


def _some(texts: Sequence[str]) -> str:
    more = len(texts) - _SHOWN
    return ", and ".join(texts[:_SHOWN]) + (f", and {more} more" if more > 0 else "")
