"""What a request may ask for. Every refusal here is one sentence, and nothing was changed. Pure."""

from collections.abc import Iterable
from typing import Final

from makfs.ids import Address
from makfs.locks.address import lineage
from makfs.locks.modes import Mode, join
from makfs.locks.values import BadClaim, Claim

DAY_NS: Final = 86_400 * 1_000_000_000
MAX_LEASE_NS: Final = DAY_NS
MAX_WAIT_NS: Final = DAY_NS
MAX_PRIORITY: Final = 9
MAX_CLAIMS: Final = 10_000


def checked(claims: Iterable[Claim], lease_ns: int, wait_ns: int, priority: int) -> tuple[Claim, ...]:
    """Return the claims, each address once. Raise BadClaim or BadAddress."""
    asked = tuple(claims)
    check_lease(lease_ns)
    if not 0 <= wait_ns <= MAX_WAIT_NS:
        raise BadClaim(f"A wait of {wait_ns / 1e9:g} s is not accepted: 0 to {MAX_WAIT_NS // 10**9} s are.")
    if not -MAX_PRIORITY <= priority <= MAX_PRIORITY:
        raise BadClaim(f"Priority {priority} is not accepted: -{MAX_PRIORITY} to {MAX_PRIORITY} are.")
    if not 1 <= len(asked) <= MAX_CLAIMS:
        raise BadClaim(f"A request has 1 to {MAX_CLAIMS} claims, not {len(asked)}.")
    for claim in asked:
        lineage(claim.address)
    return asked if len(asked) == 1 else _once_each(asked)


def _once_each(asked: tuple[Claim, ...]) -> tuple[Claim, ...]:
    modes: dict[Address, Mode] = {}
    for claim in asked:
        modes[claim.address] = join(modes.get(claim.address, claim.mode), claim.mode)
    return tuple(Claim(address, mode) for address, mode in modes.items())


def check_lease(lease_ns: int) -> None:
    """Raise BadClaim for a lease that is over when it begins, or longer than a day."""
    if not 0 < lease_ns <= MAX_LEASE_NS:
        raise BadClaim(
            f"A lease of {lease_ns / 1e9:g} s is not accepted: more than 0 s and at most "
            f"{MAX_LEASE_NS // 10**9} s are."
        )
