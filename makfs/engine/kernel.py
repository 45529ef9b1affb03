"""One mounted repository: opens the store, holds the rooms, answers the control verbs."""

import logging
import os
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import trio

from makfs import __version__
from makfs.config import Config
from makfs.engine import fsck
from makfs.engine.again import apply
from makfs.engine.agents import Agents
from makfs.engine.api import (
    AgentStatus,
    Applied,
    Finding,
    KernelStatus,
    LockRow,
    LockState,
    NodeRow,
    Progress,
    Published,
    Reverted,
    Undoing,
    Waits,
)  # fmt: skip
from makfs.engine.around import as_isolation, as_policy, exclude_from_git, resident_bytes
from makfs.engine.backing import Backing
from makfs.engine.claims import Claims
from makfs.engine.classify import Classifier
from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.data import Data
from makfs.engine.effects import Effects, Notifier, Outbox
from makfs.engine.external import Watcher
from makfs.engine.filesystem import FileSystem
from makfs.engine.history import History
from makfs.engine.inodes import InodeTable
from makfs.engine.keeping import collect, cut_sentence
from makfs.engine.locking import Locks
from makfs.engine.mail import Mail
from makfs.engine.names import Names
from makfs.engine.news import News
from makfs.engine.nodes import head_source
from makfs.engine.publishing import Publishing
from makfs.engine.recover import recover
from makfs.engine.revert import Revert
from makfs.engine.tend import Tender
from makfs.engine.views import View
from makfs.errors import Busy, MakfsError, MountError, NotFound, NotKept
from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.model import Collected, Commit, CommitDetail, LogQuery, Refusal
from makfs.store.sqlite import SqliteStore
from makfs.syntax import address, lines, split

log = logging.getLogger(__name__)


class Kernel:
    """A repository being served. Implements `makfs.engine.api.KernelApi`."""

    def __init__(self, core: Core, mountpoint: Path, recovered: int) -> None:
        self.core = core
        self.belonging = core.runs
        self.mountpoint = mountpoint
        self.corridor = Corridor(core)
        self.data = Data(core, self.corridor)
        self.names = Names(core, self.corridor)
        self.agents = Agents(core)
        self.claims = Claims(core, self.agents.by_name)
        self.tasks = core.tasks
        self.news = News(core.store)
        self.history = History(core, self._drop_entries)
        core.locks.tell = self.tell
        self.warnings: list[str] = []
        if recovered:
            self.warnings.append(
                f"{recovered} writes that a crash had left undone were finished at the start."
            )
        self.fs: FileSystem | None = None
        self.publishing: Publishing | None = None
        self.outbox: Outbox | None = None
        self._ready = trio.Event()
        self._watcher: Watcher | None = None

    # ---- life

    @classmethod
    def open(
        cls, repo: Path, mountpoint: Path, config: Config, agents: Sequence[str], progress: Progress
    ) -> "Kernel":
        """Open the store, finish what a crash left, make the views. Raises MakfsError."""
        backing = Backing(repo)
        try:
            os.makedirs(backing.scratch_folder, exist_ok=True)
        except OSError as error:
            raise MountError(f"{backing.state} cannot be made: {error.strerror}.") from error
        exclude_from_git(backing)
        store = SqliteStore.open(backing.state, large_bytes=config.store.large_bytes)
        table = InodeTable(store.inode_exceptions(), store.set_inode_exception)
        classifier = Classifier(backing, config.view.scratch, config.shadows)
        locks = Locks(store, max_waiters=config.mount.max_waiters, priority_for=config.priority_for)
        core = Core(backing, store, config, classifier, table, locks)
        core.next_uid = store.next_node_uid()
        core.started_ns = time.time_ns()
        kernel = cls(core, mountpoint, recover(core))
        kernel.news.tell("mounted", mountpoint=str(mountpoint), pid=os.getpid(), version=__version__)
        for name in agents:
            kernel.agents.add(name)
        return kernel

    def attach(self, notifier: Notifier) -> FileSystem:
        """Connect a transport; return the operations it serves."""
        self.outbox = Outbox(notifier)
        self.fs = FileSystem(self.core, self.data, self.names, self.agents, self.outbox)
        self.publishing = Publishing(self.fs, self.agents.stands, self.mountpoint)
        self.fs.control.orders = {"publish": self.publishing.publish, "refresh": self.publishing.refresh}
        self._ready.set()
        return self.fs

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Run the kernel's own tasks until cancelled."""
        task_status.started()
        await self._ready.wait()
        assert self.outbox is not None and self.fs is not None  # noqa: PT018
        self._watcher = Watcher(self.core, self.corridor, self.outbox)
        tender = Tender(self.core, self.corridor, self.names, self.data, self.outbox)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watcher.run)
            nursery.start_soon(tender.run)
            nursery.start_soon(self.core.locks.run)
            nursery.start_soon(self.fs.control.turns.run)
            nursery.start_soon(self.agents.past.run, self._drop_entries)

    async def settle(self, timeout_s: float) -> Sequence[str]:
        """Publish what is private but finished, write through what is owed; return what remains."""
        tender = Tender(self.core, self.corridor, self.names, self.data, self.outbox)
        tender.publish_shadows(Effects(), min_age_s=0.0)
        with trio.move_on_after(timeout_s):
            while self.core.owed:
                tender.pay(Effects())
                await trio.sleep(0.2)
        return list(self.core.owed.values())

    def close(self) -> None:
        """Close the store."""
        if self.outbox is not None:
            self.outbox.close()
        self.corridor.through.settle()
        self.news.tell("unmounted", pid=os.getpid())
        self.core.store.close()

    async def drain(self, timeout_s: float) -> Sequence[RepoPath]:
        """Wait until no write is open; return the paths still open when the time was over."""
        with trio.move_on_after(timeout_s):
            while self._writing():  # noqa: ASYNC110  writers end by closing files: there is no one event
                await trio.sleep(0.02)
        return self._writing()

    def _writing(self) -> list[RepoPath]:
        return [
            inode.path
            for view in self.core.views.values()
            for inode in view.by_path.values()
            if inode.path is not None and inode.staging is not None and inode.staging.dirty
        ]

    # ---- verbs

    @property
    def mail(self) -> Mail:
        """Return messages, and what is shared by name."""
        assert self.fs is not None, "verbs come after `attach`"
        return self.fs.mail

    def status(self) -> KernelStatus:
        """Return the kernel's state."""
        warnings = [*self.warnings]
        if self._watcher is not None and self._watcher.warning:
            warnings.append(self._watcher.warning)
        return KernelStatus(
            repo=self.core.backing.root,
            mountpoint=str(self.mountpoint),
            pid=os.getpid(),
            version=__version__,
            since_ns=self.core.started_ns,
            head=self.core.store.head,
            agents=tuple(self._agent_status(view) for _, view in sorted(self.agents.by_name.items())),
            owed=tuple(self.core.owed.values()),
            warnings=tuple(warnings),
            memory_bytes=resident_bytes(),
        )

    def tell(self, agent: AgentId, sentence: str) -> None:
        """Put a sentence into an agent's `.makfs/why`."""
        view = self.agents.by_name.get(agent)
        if view is not None:
            view.notices.appendleft(sentence)

    def _agent_status(self, view: View) -> AgentStatus:
        staged = sorted(
            inode.path
            for inode in view.by_path.values()
            if inode.path is not None and inode.staging is not None and inode.staging.dirty
        )
        return AgentStatus(
            agent=view.agent,
            view=str(self.mountpoint / view.agent),
            policy=view.policy.value,
            open_files=sum(inode.opens for inode in view.by_path.values()),
            staged=tuple(staged),
            commits=view.commits,
            refusals=view.refusals,
            last_activity_ns=view.last_activity_ns,
            task=self.tasks.of(view.agent),
            **self._standing(view),
        )

    def _standing(self, view: View) -> dict[str, Any]:
        """Return what a status says of a snapshot view alone."""
        if view.stand is None or self.publishing is None:
            return {}
        state = self.publishing.state(view, view.stand)
        return {
            "isolation": "snapshot", "at": view.stand.at, "behind": state.behind,
            "changed": state.changed, "conflicts": state.conflicts,
        }  # fmt: skip

    def add_agent(self, name: str, policy: str | None = None, isolation: str | None = None) -> AgentStatus:
        """Make a view for an agent. Raises BadName, Busy."""
        try:
            view = self.agents.add(
                name,
                None if policy is None else as_policy(policy),
                None if isolation is None else as_isolation(isolation),
            )
        except FileExistsError:
            raise Busy(f"There is an agent {name} already.") from None
        return self._agent_status(view)

    async def remove_agent(self, name: str, force: bool = False) -> None:
        """Remove an idle view. Raises NotFound, Busy."""
        view = self.agents.by_name.get(name)
        if view is not None and force:
            for inode in list(view.by_path.values()):
                self.data.abandon(inode)
        self.agents.remove(name, force=force)
        await self._drop_entries([name])

    async def _drop_entries(self, names: Sequence[str]) -> None:
        """Make the kernel forget entries at the top of the mount, and what is known only through them."""
        if self.outbox is not None:
            top = self.agents.root
            await self.outbox.settle(
                Effects(entries=[(top.view, top.ino, os.fsencode(name)) for name in names])
            )

    def nodes(self, path: str) -> Sequence[NodeRow]:
        """Return a file's nodes as they are at head. Raises NotFound."""
        try:
            text = self.core.head_text(path)
        except OSError as error:
            raise NotFound(f"{path} cannot be read in the repository: {error.strerror}.") from error
        file = self.core.file(path)
        source, _ = head_source(self.core, file, text) if file.version > 0 else (split(path, text), 0)
        return [
            NodeRow(node.kind.value, address(path, node), first, last, int(node.uid))
            for node, (first, last) in zip(source.nodes, lines(source), strict=True)
        ]

    def log(self, query: LogQuery) -> Sequence[Commit]:
        """Return commits, newest first."""
        return self.core.store.log(query)

    def show(self, seq: Seq) -> CommitDetail:
        """Return one commit. Raises NotFound."""
        detail = self.core.store.detail(seq)
        if detail is None:
            raise NotFound(f"There is no commit {seq}; the newest is {self.core.store.head}.")
        if seq <= self.core.store.cut():
            raise NotKept(cut_sentence(seq, self.core.store.cut()))
        return detail

    async def gc(
        self, keep: int | None, since_ns: int | None, dry_run: bool, progress: Progress
    ) -> Collected:
        """Cut history."""
        return await collect(self.core.store, keep, since_ns, dry_run, progress)

    def refusals(self, agent: AgentId | None, limit: int) -> Sequence[Refusal]:
        """Return refusals, newest first."""
        return self.core.store.refusals(agent, limit)

    def refusal(self, number: int) -> Refusal:
        """Return one refusal. Raises NotFound."""
        refusal = self.core.store.refusal(number)
        if refusal is None:
            raise NotFound(f"There is no refusal {number}.")
        return refusal

    def waits(self, agent: AgentId) -> Waits:
        """Return an agent's waits."""
        view = self.agents.by_name.get(agent)
        return Waits() if view is None else Waits(view.waits, view.waited_ns)

    # ---- locks

    async def claim(
        self,
        agent: str,
        mode: str,
        addresses: Sequence[str],
        wait_s: float | None = None,
        lease_s: float | None = None,
    ) -> Sequence[LockRow]:
        """Claim addresses for an agent."""
        return await self.claims.claim(agent, mode, addresses, wait_s, lease_s)

    def hold(
        self, agent: str, mode: str, addresses: Sequence[str], wait_s: float | None = None
    ) -> AbstractAsyncContextManager[Sequence[LockRow]]:
        """Claim, and hold until the context ends."""
        return self.claims.hold(agent, mode, addresses, wait_s)

    def release(
        self, agent: str, addresses: Sequence[str] | None, *, keep_read: bool = False
    ) -> Sequence[LockRow]:
        """End an agent's grants, or weaken them to read."""
        return self.claims.release(agent, addresses, keep_read=keep_read)

    def renew(
        self, agent: str, addresses: Sequence[str] | None, lease_s: float | None = None
    ) -> Sequence[LockRow]:
        """Let an agent's leases start again."""
        return self.claims.renew(agent, addresses, lease_s)

    def locks(self, address: str | None = None) -> LockState:
        """Return who holds and who waits."""
        return self.claims.state(address)

    def why(self, agent: str) -> str:
        """Return what an agent was told last."""
        return self.agents.view(agent).told

    async def apply_refusal(self, number: int) -> Applied:
        """Try a refused write again."""
        refusal = self.refusal(number)
        view = self.agents.by_name.get(refusal.agent)
        if view is None or self.fs is None:
            raise NotFound(f"Refusal {number} is of {refusal.agent}, and there is no such agent now.")
        if view.stand is not None:
            raise Busy(f"The view of {refusal.agent} is a snapshot by now: its writes take no part in head.")
        return await apply(self.fs, view, refusal)

    # ---- going back

    async def undo(self, what: Undoing, by: str | None = None) -> Reverted:
        """Take commits back."""
        return await self._revert().undo(what, by)

    async def restore(self, path: str, at: str, by: str | None = None) -> Reverted:
        """Make a path what it was."""
        return await self._revert().restore(path, int(self.history.seq_of(at)), by)

    def _revert(self) -> Revert:
        assert self.fs is not None, "verbs come after `attach`"
        return Revert(self.fs)

    # ---- snapshot views

    async def publish(self, agent: str) -> Published:
        """Merge a snapshot view's edits onto head."""
        return await self._publishing().publish(agent)

    async def refresh(self, agent: str) -> Published:
        """Let a snapshot view stand at head, its edits kept."""
        return await self._publishing().refresh(agent)

    async def discard(self, agent: str) -> Published:
        """Drop a snapshot view's edits."""
        return await self._publishing().discard(agent)

    def _publishing(self) -> Publishing:
        assert self.publishing is not None, "verbs come after `attach`"
        return self.publishing

    async def check(self, progress: Progress) -> Sequence[Finding]:
        """Check the store and the tree."""
        findings = list(await trio.to_thread.run_sync(fsck.check_store, self.core, progress))
        for found in fsck.tree_findings(self.core, progress):
            findings += found
            await trio.lowlevel.checkpoint()
        return findings


__all__ = ["Kernel", "MakfsError"]
