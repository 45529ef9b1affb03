"""`.makfs/with/NAME`: a process resource, held as long as the file is open for writing.

T1  open(2) waits for its turn. The resource is held until the last descriptor is closed, or until the process
    that opened it ends, however it ends: what that process has left behind does not keep it.
T2  A process does not wait for what it holds already, nor for what is held by one that it was started by: it
    holds along with that one.
"""

from dataclasses import dataclass, field

import trio

from makfs.engine.belonging import Belonging, Proc, ancestry, is_exiting, proc
from makfs.engine.claims import Claims
from makfs.engine.inodes import Inode
from makfs.engine.procs import Caller, Processes
from makfs.errors import MakfsError
from makfs.ids import Address
from makfs.locks import BadAddress, lineage
from makfs.locks.address import resource_address
from makfs.rules import TURN_S, ResourceRule

FOLDER = "with"


@dataclass(slots=True, eq=False)
class _Hold:
    """A resource that is held for the processes of one agent."""

    agent: str
    address: Address
    owner: Proc | None
    handles: int = 1
    over: trio.Event = field(default_factory=trio.Event)

    def let_go(self) -> None:
        """Note that one descriptor less needs it."""
        self.handles -= 1
        if not self.handles:
            self.over.set()


class Turns:
    """The resources of one mount that are held by open files. `run` is its one task."""

    def __init__(
        self, claims: Claims, procs: Processes, runs: Belonging, rules: tuple[ResourceRule, ...]
    ) -> None:
        self._claims = claims
        self._procs = procs
        self._runs = runs
        self._waits = {rule.name: rule.wait_s for rule in rules}
        self._holds: list[_Hold] = []
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Hold what is open until cancelled."""
        async with trio.open_nursery() as self._nursery:
            await trio.sleep_forever()

    def names(self) -> list[str]:
        """Return the resources that makfs.conf speaks of, and those that are held so."""
        held = {str(hold.address).partition(":")[2] for hold in self._holds}
        return sorted(held | set(self._waits))

    async def open(self, inode: Inode, name: str, caller: Caller) -> "Turn":
        """Hold a resource for a process when its turn has come. Raises Busy, NotFound."""
        view, address = inode.view, resource_address(name)
        pid = self._procs.group(caller.tid)
        hold = self._held_above(view.agent, address, pid)
        if hold is None:
            hold = _Hold(view.agent, address, proc(pid))
            wait_s = self._waits.get(name, TURN_S)
            assert self._nursery is not None, "files are opened while the kernel runs"
            try:
                await self._nursery.start(self._keep, hold, wait_s)
            except MakfsError as error:
                view.why = f"Refused .makfs/{FOLDER}/{name}: {error}"
                raise
        elif hold is not _OF_RUN:
            hold.handles += 1
        view.active()
        return Turn(inode, hold, pid, self._procs)

    def _held_above(self, agent: str, address: Address, pid: int) -> _Hold | None:
        """Return what a process holds along with (T2)."""
        run = self._runs.run_of(pid)
        if run is not None and run.agent == agent and address in run.resources:
            return _OF_RUN
        own = [hold for hold in self._holds if hold.agent == agent and hold.address == address]
        above = set(ancestry(pid)) if own else set[Proc]()
        return next((hold for hold in own if hold.owner in above), None)

    async def _keep(
        self, hold: _Hold, wait_s: float, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Hold until it is over. A task of its own: what `hold` opens, it closes in this task."""
        async with self._claims.hold(hold.agent, "write", (hold.address,), wait_s):
            self._holds.append(hold)
            try:
                task_status.started()
                await hold.over.wait()
            finally:
                self._holds.remove(hold)


_OF_RUN = _Hold("", Address(""), None)  # of the run that the process belongs to: nothing to let go


class Turn:
    """An open `.makfs/with/NAME`."""

    def __init__(self, inode: Inode, hold: _Hold, pid: int, procs: Processes) -> None:
        self.inode = inode
        self._hold: _Hold | None = hold
        self._pid = pid
        self._procs = procs

    def read(self, offset: int, size: int) -> bytes:
        """Return nothing: what is held is read from a descriptor that holds nothing."""
        return b""

    async def write(self, offset: int, data: bytes) -> int:
        """Take any bytes for nothing."""
        return len(data)

    def truncate(self, size: int) -> None:
        """Nothing is kept."""

    async def flush(self, tid: int = 0) -> None:
        """Let go if this close is the end of the process that opened it (T1)."""
        if tid and self._procs.group(tid) == self._pid and is_exiting(tid):
            self.close()

    def close(self) -> None:
        """Let go: nobody has it open any more."""
        hold, self._hold = self._hold, None
        if hold is not None and hold is not _OF_RUN:
            hold.let_go()


def is_resource(name: str) -> bool:
    """Tell whether a name can be a resource's."""
    try:
        return lineage(resource_address(name)) != ()
    except BadAddress:
        return False
