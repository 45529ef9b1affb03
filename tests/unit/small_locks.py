"""Locks for tests above the kernel: names without levels or leases; who writes shares with nobody."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import trio

from makfs.engine.api import Applied, ClaimRow, LockRow, LockState, Published, Reverted, Undoing, WaitRow
from makfs.errors import Busy, NotFound, Refused
from makfs.ids import Address, AgentId, RepoPath, Seq
from makfs.locks import NotHeld, lineage

PATIENCE_S = 5.0


class SmallLocks:
    """The lock verbs of a kernel, and events a test may wait for."""

    def __init__(self) -> None:
        self.held: list[tuple[object, LockRow]] = []  # with who holds it: an agent, or one hold
        self.waiting: list[WaitRow] = []
        self.asked: list[tuple[float | None, float | None]] = []  # (wait_s, lease_s) of claims and renewals
        self.queued = trio.Event()
        self.left_queue = trio.Event()
        self.hold_ended = trio.Event()
        self._news = trio.Event()

    async def claim(
        self,
        agent: str,
        mode: str,
        addresses: Sequence[str],
        wait_s: float | None = None,
        lease_s: float | None = None,
    ) -> Sequence[LockRow]:
        self.asked.append((wait_s, lease_s))
        return await self._claim(agent, agent, mode, addresses, wait_s, 300 if lease_s is None else lease_s)

    def hold(
        self, agent: str, mode: str, addresses: Sequence[str], wait_s: float | None = None
    ) -> AbstractAsyncContextManager[Sequence[LockRow]]:
        return self._hold(agent, mode, addresses, wait_s)

    @asynccontextmanager
    async def _hold(
        self, agent: str, mode: str, addresses: Sequence[str], wait_s: float | None
    ) -> AsyncIterator[Sequence[LockRow]]:
        owner = object()
        rows = await self._claim(owner, agent, mode, addresses, wait_s, 30)
        try:
            async with trio.open_nursery() as nursery:  # as one that renews would
                nursery.start_soon(trio.sleep_forever)
                yield rows
                nursery.cancel_scope.cancel()
        finally:
            self._end([each for each in self.held if each[0] is owner])
            self.hold_ended.set()

    async def _claim(
        self,
        owner: object,
        agent: str,
        mode: str,
        addresses: Sequence[str],
        wait_s: float | None,
        lease_s: float,
    ) -> Sequence[LockRow]:
        self._known(agent)
        for address in addresses:
            lineage(Address(address))
        deadline = trio.current_time() + (PATIENCE_S if wait_s is None else wait_s)
        while behind := self._against(owner, mode, addresses):
            if trio.current_time() >= deadline:
                raise Busy(f"{agent} was refused {mode} on {addresses[0]}: {behind[0]} holds it.")
            await self._wait(agent, mode, addresses, behind, deadline)
        now = time.time_ns()
        rows = [
            LockRow(
                AgentId(agent),
                address,
                mode,
                len(self.held),
                now,
                now + int(lease_s * 1e9),
                int(lease_s * 1e9),
                True,
            )
            for address in addresses
        ]
        self.held += [(owner, row) for row in rows]
        return rows

    async def _wait(
        self, agent: str, mode: str, addresses: Sequence[str], behind: Sequence[str], deadline: float
    ) -> None:
        claims = tuple(ClaimRow(address, mode) for address in addresses)
        row = WaitRow(1, AgentId(agent), claims, time.time_ns(), time.time_ns(), tuple(behind))
        self.waiting.append(row)
        self.queued.set()
        try:
            with trio.move_on_at(deadline):
                await self._news.wait()
        finally:
            self.waiting.remove(row)
            self.left_queue.set()

    def release(
        self, agent: str, addresses: Sequence[str] | None, *, keep_read: bool = False
    ) -> Sequence[LockRow]:
        return self._end(self._found(agent, addresses))

    def renew(
        self, agent: str, addresses: Sequence[str] | None, lease_s: float | None = None
    ) -> Sequence[LockRow]:
        self.asked.append((None, lease_s))
        return [row for _, row in self._found(agent, addresses)]

    def locks(self, address: str | None = None) -> LockState:
        rows = tuple(row for _, row in self.held if row.address.startswith(address or ""))
        return LockState(time.time_ns(), rows, tuple(self.waiting))

    def why(self, agent: str) -> str:
        self._known(agent)
        return f"No write of {agent} was refused.\n"

    async def publish(self, agent: str) -> Published:
        await trio.lowlevel.checkpoint()
        self._known(agent)
        return Published(Seq(4), (RepoPath("a.py"),), Seq(4))

    async def refresh(self, agent: str) -> Published:
        await trio.lowlevel.checkpoint()
        self._known(agent)
        return Published(None, (RepoPath("a.py"),), Seq(4))

    async def discard(self, agent: str) -> Published:
        await trio.lowlevel.checkpoint()
        raise Busy(f"The view of {agent} is live: what it writes is published at once.")

    async def undo(self, what: Undoing, by: str | None = None) -> Reverted:
        await trio.lowlevel.checkpoint()
        if 99 in what.seqs:
            raise Busy("Nothing was undone. Commit 99 cannot be taken back: a.py::f changed in 100, by bob.")
        return Reverted(Seq(13), (RepoPath("a.py"),))

    async def restore(self, path: str, at: str, by: str | None = None) -> Reverted:
        await trio.lowlevel.checkpoint()
        return Reverted(None, (RepoPath(path),))

    async def apply_refusal(self, number: int) -> Applied:
        await trio.lowlevel.checkpoint()
        if number > 3:
            raise NotFound(f"There is no refusal {number}.")
        if number == 3:
            raise Refused(4, "Refused write 4 to a.py. a.py::f was changed by both sides.")
        return Applied(RepoPath("a.py"), Seq(12) if number == 1 else None, merged=number == 1)

    def _found(self, agent: str, addresses: Sequence[str] | None) -> list[tuple[object, LockRow]]:
        self._known(agent)
        mine = [each for each in self.held if each[0] == agent]
        missing = sorted(set(addresses or ()) - {row.address for _, row in mine})
        if missing or not mine:
            raise NotHeld(f"{agent} does not hold {missing[0] if missing else 'anything'}.")
        return [each for each in mine if addresses is None or each[1].address in addresses]

    def _end(self, ended: list[tuple[object, LockRow]]) -> list[LockRow]:
        self.held = [each for each in self.held if each not in ended]
        self._news.set()
        self._news = trio.Event()
        return [row for _, row in ended]

    def _against(self, owner: object, mode: str, addresses: Sequence[str]) -> list[str]:
        return [
            row.agent
            for holder, row in self.held
            if holder != owner and row.address in addresses and "write" in (mode, row.mode)
        ]

    @staticmethod
    def _known(agent: str) -> None:
        if agent not in ("alice", "bob"):
            raise NotFound(f"There is no agent {agent}.")
