"""Claims as agents and people make them: words in, values out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from makfs.engine.api import ClaimRow, LockRow, LockState, WaitRow
from makfs.engine.core import Core
from makfs.engine.views import View
from makfs.errors import NotAllowed, NotFound
from makfs.ids import Address, AgentId, RepoPath
from makfs.locks import READ, REPOSITORY, WRITE, BadAddress, BadClaim, Claim, Grant, Mode, lineage
from makfs.locks.address import RESOURCE, file_address, folder_address

_MODES = {
    "read": READ,
    "write": WRITE,
    **{mode.name.lower(): mode for mode in Mode},
    **{mode.word: mode for mode in Mode},
}


class Claims:
    """Claims of the agents of one mount."""

    def __init__(self, core: Core, views: dict[str, View]) -> None:
        self._core = core
        self._views = views
        self.locks = core.locks

    async def claim(
        self,
        agent: str,
        mode: str,
        addresses: Sequence[str],
        wait_s: float | None = None,
        lease_s: float | None = None,
    ) -> tuple[LockRow, ...]:
        """Claim for an agent; see `KernelApi.claim`."""
        view = self._view(agent)
        claims = self._claims(view, mode, addresses)
        write = self._core.config.write
        lease_ns = _ns(write.claim_s if lease_s is None else lease_s)
        _check_wait(wait_s)
        wait = write.wait_s if wait_s is None else wait_s
        grants = await self.locks.claim(view.agent, claims, wait_s=wait, lease_ns=lease_ns)
        view.active()
        return tuple(map(row_of, grants))

    @asynccontextmanager
    async def hold(
        self, agent: str, mode: str, addresses: Sequence[str], wait_s: float | None = None
    ) -> AsyncIterator[tuple[LockRow, ...]]:
        """Claim until the context ends; see `KernelApi.hold`."""
        view = self._view(agent)
        claims = self._claims(view, mode, addresses)
        _check_wait(wait_s)
        wait = self._core.config.write.wait_s if wait_s is None else wait_s
        async with self.locks.hold(view.agent, claims, wait_s=wait) as grants:
            yield tuple(map(row_of, grants))

    def release(
        self, agent: str, addresses: Sequence[str] | None, *, keep_read: bool = False
    ) -> tuple[LockRow, ...]:
        """End grants; see `KernelApi.release`."""
        view = self._view(agent)
        those = self._addresses(view, addresses)
        end = self.locks.weaken if keep_read else self.locks.release
        return tuple(map(row_of, end(view.agent, those)))

    def renew(
        self, agent: str, addresses: Sequence[str] | None, lease_s: float | None
    ) -> tuple[LockRow, ...]:
        """Let leases start again; see `KernelApi.renew`."""
        view = self._view(agent)
        lease_ns = None if lease_s is None else _ns(lease_s)
        return tuple(map(row_of, self.locks.renew(view.agent, self._addresses(view, addresses), lease_ns)))

    def state(self, address: str | None) -> LockState:
        """Return who holds and who waits."""
        table, now_ns = self.locks.table, self.locks.now_ns()
        at = REPOSITORY if address is None else Address(address)
        lineage(at)
        waiters = []
        for waiter in table.waiters(at):
            conflicts: list[AgentId] = [
                conflict.grant.agent
                for claim in waiter.claims
                for conflict in table.conflicts_of(waiter.agent, (claim.address,), claim.mode, now_ns=now_ns)
            ]
            conflicts += [other.agent for other in table.before(waiter.ticket)]
            claims = tuple(ClaimRow(claim.address, claim.mode.word) for claim in waiter.claims)
            waiters.append(
                WaitRow(
                    waiter.ticket, waiter.agent, claims, waiter.arrived_ns, waiter.until_ns,
                    tuple(dict.fromkeys(conflicts)),
                )
            )  # fmt: skip
        grants = tuple(map(row_of, table.holders(at, now_ns=now_ns)))
        return LockState(now_ns, grants, tuple(waiters))

    # ---- words

    def _view(self, agent: str) -> View:
        view = self._views.get(agent)
        if view is None:
            known = ", ".join(sorted(self._views)) or "there are none"
            raise NotFound(f"There is no agent {agent}; agents: {known}.")
        return view

    def _claims(self, view: View, mode: str, addresses: Sequence[str]) -> tuple[Claim, ...]:
        found = _MODES.get(mode.lower())
        if found is None:
            raise BadClaim(f"{mode[:40]!a} is no way to claim; accepted: read, write.")
        if not addresses:
            raise BadClaim(
                "A claim names at least one address, as src/app.py::Foo.bar or src/ or resource:test."
            )
        claims = tuple(Claim(address, found) for address in self._addresses(view, addresses) or ())
        if view.role is not None and found not in (READ, Mode.IS):
            for claim in claims:
                if not (claim.address.startswith(RESOURCE) or view.role.may_write(claim.address)):
                    raise NotAllowed(
                        f"The role {view.role.name} of {view.agent} does not let it write {claim.address}, "
                        "nor keep others from it; claim it to read."
                    )
        return claims

    def _addresses(self, view: View, addresses: Sequence[str] | None) -> tuple[Address, ...] | None:
        if addresses is None:
            return None
        found = tuple(self._address(text) for text in addresses)
        for address in found:
            if view.role is not None and view.role.hides_address(address):
                raise NotFound(f"There is no {address} in the view of {view.agent}.")
        return found

    def _address(self, text: str) -> Address:
        """Return the address that a person means: a folder need not end with '/'."""
        if text in ("", ".", "/"):
            return REPOSITORY
        address = Address(text)
        lineage(address)
        if "::" in text or text.endswith("/") or text.startswith(RESOURCE):
            return address
        if self._core.backing.is_dir(text):
            return folder_address(RepoPath(text))
        return file_address(RepoPath(text))


def row_of(grant: Grant) -> LockRow:
    """Return a grant as people see it."""
    return LockRow(
        AgentId(grant.agent), grant.address, grant.mode.word, grant.fence, grant.since_ns, grant.expires_ns,
        grant.lease_ns, grant.while_active,
    )  # fmt: skip


def _ns(seconds: float) -> int:
    return int(max(-1.0, min(seconds, 1e9)) * 1e9)


def _check_wait(wait_s: float | None) -> None:
    if wait_s is not None and not 0 <= wait_s <= 86_400:
        raise BadClaim(f"A wait of {wait_s:g} s is not accepted: 0 to 86400 are.")


__all__ = ["BadAddress", "Claims", "row_of"]
