"""The verbs of snapshot views: publish, refresh, discard; and the gate command before a publish.

B1  Publish is one commit, or nothing, with the locks, roles and reasons of any commit.
B2  The view's edits go only once the journal has them, in the same step, or at the next start (S1).
B3  The kernel keeps nothing of the view past a move: no page, attribute or name.
B4  What a gate command has passed on is what becomes head, to the byte.
"""

import errno
import os
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import trio

from makfs.engine.api import Published
from makfs.engine.core import parent_of
from makfs.engine.effects import Effects
from makfs.engine.filesystem import FileSystem
from makfs.engine.handles import RealHandle
from makfs.engine.held import Held, NotAdmitted
from makfs.engine.inodes import Inode, Realm
from makfs.engine.lower import in_git
from makfs.engine.ownwork import Clash, Piece, Plan, changed_paths, make_plan, own_paths
from makfs.engine.procs import Writer
from makfs.engine.standing import PUBLISHED, Move, Put, Stands
from makfs.engine.together import Thing, Together, past_thing
from makfs.engine.views import Stand, View
from makfs.errors import Busy
from makfs.ids import RepoPath, Seq
from makfs.store.happened import MOST_NAMED
from makfs.store.model import FileKind, LogQuery

_TOOL = Writer(0, "makfs")
_CLOSING_S = 1.0  # the kernel tells of a close(2) a moment after it returned
_SHOWN = 5
_MOST_COMMITS = 1000  # a move over more of them lets the kernel forget everything
_TURNS = 3  # of a gate command that head overtakes
_TAIL_BYTES = 2000
_MOST_PLANNED = 50  # changed files whose conflicts `status` looks for


class _Overtaken(Exception):
    """The head moved while the gate command ran."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a snapshot view stands."""

    behind: int
    changed: tuple[str, ...]
    conflicts: tuple[str, ...]


class Publishing:
    """Carries out the verbs. One instance a mount."""

    def __init__(self, fs: FileSystem, stands: Stands, mountpoint: Path) -> None:
        self._fs, self._core, self._stands = fs, fs.core, stands
        self._mountpoint = mountpoint
        self._together = Together(fs.core, fs.data.corridor, fs.name_room)

    # ---- verbs

    async def publish(self, agent: str) -> Published:
        """Merge all that a snapshot view changed onto head, in one commit, and stand there.

        Raises NotFound; Busy for clashes, for what others hold, for the gate command: nothing is changed.
        """
        view, stand = self._view(agent)
        gate = self._core.config.publish.gate
        async with stand.busy:
            if gate and changed_paths(self._core, view):
                return self._told("published", view, await self._gated(view, stand, gate))
            done = await self._do(view, lambda effects: self._publish(view, stand, effects))
            return self._told("published", view, done)

    async def refresh(self, agent: str) -> Published:
        """Stand at head, keeping what the view changed, merged. Raises NotFound, and Busy for any clash."""
        view, stand = self._view(agent)
        async with stand.busy:
            done = await self._do(view, lambda effects: self._refresh(view, stand, effects))
            return self._told("refreshed", view, done)

    async def discard(self, agent: str) -> Published:
        """Drop all that the view changed, and what git did in it; stand at head. Raises NotFound, Busy."""
        view, stand = self._view(agent)
        async with stand.busy:
            done = await self._do(view, lambda effects: self._discard(view, stand, effects))
            return self._told("discarded", view, done)

    def state(self, view: View, stand: Stand) -> State:
        """Return how far behind a view is, what it changed and which nodes would clash. Cost: reads those."""
        core = self._core
        changed = changed_paths(core, view)
        conflicts: list[str] = []
        if core.store.head > stand.at and len(changed) <= _MOST_PLANNED:
            plan = make_plan(core, view, lambda path: past_thing(core, path, core.store.head))
            conflicts = [address for clash in plan.clashes for address in clash.addresses]
        return State(int(core.store.head - stand.at), tuple(changed), tuple(dict.fromkeys(conflicts)))

    def _told(self, kind: str, view: View, done: Published) -> Published:
        """Record it among what happened."""
        told = {
            "seq": done.seq, "stands_at": done.at,
            "paths": done.paths[:MOST_NAMED], "paths_total": len(done.paths),
        }  # fmt: skip
        self._core.store.events.record(kind, view.agent, time.time_ns(), told)
        return done

    # ---- what they share

    def _view(self, agent: str) -> tuple[View, Stand]:
        view = self._fs.agents.view(agent)
        if view.stand is None:
            raise Busy(f"The view of {agent} is live: what it writes is published at once.")
        if view.stand.frozen:
            self._refuse(view, view.stand.frozen)
        return view, view.stand

    async def _do(self, view: View, work: Callable[[Effects], Published]) -> Published:
        """Wait for files to be closed, and for what others hold; then do it, in one step (E1)."""
        with trio.move_on_after(_CLOSING_S):
            while self._written(view):  # noqa: ASYNC110  there is no one event for all their closes
                await trio.sleep(0.005)
        return await self._fs.patience.carry_out(view, work, self._fs.patience.wait_s)

    def _written(self, view: View) -> str | None:
        """Return a file of the view that somebody has open for writing, None if there is none."""
        for handle in self._fs.handles.values():
            if isinstance(handle, RealHandle) and handle.writable and handle.inode.view is view:
                path = handle.inode.path
                if path is not None and handle.inode.realm is Realm.SNAP and not in_git(path):
                    return path
        return None

    def _check_closed(self, view: View) -> None:
        path = self._written(view)
        if path is not None:
            self._refuse(view, f"{path} is open for writing in the view of {view.agent}: close it first.")

    @staticmethod
    def _refuse(view: View, sentence: str, more: str = "") -> NoReturn:
        """Raise Busy; `.makfs/why` says more."""
        sentence = f"Nothing was changed. {sentence}"
        view.why = f"{sentence}\n{more}" if more else sentence
        view.refusals += 1
        raise Busy(sentence)

    def _plan(self, view: View, effects: Effects) -> Plan:
        """Merge all onto head. Raises Busy naming the clashes."""
        self._check_closed(view)
        seen: dict[str, Thing] = {}

        def now(path: str) -> Thing:
            if path not in seen:
                seen[path] = self._together.now(path, effects)
            return seen[path]

        plan = make_plan(self._core, view, now)
        if plan.clashes:
            self._refuse(view, _told(plan.clashes))
        return plan

    # ---- publish

    def _publish(self, view: View, stand: Stand, effects: Effects, only_at: Seq | None = None) -> Published:
        core = self._core
        plan = self._plan(view, effects)
        if only_at is not None and core.store.head != only_at:
            raise _Overtaken
        wants = plan.wants()
        before = int(core.store.head)
        seq: Seq | None = None
        if wants:
            self._stands.decide(view, Move(before, after=before, everything=True))
            try:
                seq = self._together.commit(view, _TOOL, wants, f"{PUBLISHED} from {stand.at}", effects)
            except NotAdmitted as lacking:
                locks = core.locks
                if isinstance(lacking, Held) and locks.patient:
                    raise
                self._refuse(view, locks.verdict or str(lacking))
            finally:
                if seq is None:
                    seq = self._stands.published_since(view.agent, before)
                if seq is None:
                    self._stands.call_off(view)
        stats = {} if seq is None else self._stats(view, plan.pieces)
        self._move(view, stand, Move(int(seq or core.store.head), everything=True), effects)
        for path, st in stats.items():
            stand.lower.remember(path, st)
        paths = tuple(RepoPath(want.path) for want in wants)
        return Published(seq, paths, stand.at)

    @staticmethod
    def _stats(view: View, pieces: tuple[Piece, ...]) -> dict[str, os.stat_result]:
        """Return the attributes of the files that become head as they are: publishing does not age them."""
        assert view.upper is not None
        found: dict[str, os.stat_result] = {}
        for piece in pieces:
            st = view.upper.lstat(piece.path)
            if st is not None and piece.result == piece.mine and piece.mine.kind is not FileKind.DIR:
                found[piece.path] = st
        return found

    # ---- refresh and discard

    def _refresh(self, view: View, stand: Stand, effects: Effects) -> Published:
        core = self._core
        plan = self._plan(view, effects)
        puts: list[Put] = []
        texts: list[bytes] = []
        drops: list[str] = []
        whiteouts: list[str] = []
        for piece in plan.pieces:
            if piece.result == piece.head:
                drops.append(piece.path)
            elif not piece.result.is_there:
                whiteouts.append(piece.path)
            elif piece.result != piece.mine and piece.result.kind is FileKind.FILE:
                puts.append(Put(len(puts), piece.path, piece.result.mode))
                texts.append(piece.result.data)
        move = Move(int(core.store.head), puts=tuple(puts), drops=tuple(drops), whiteouts=tuple(whiteouts))
        self._stands.decide(view, move, texts)
        self._move(view, stand, move, effects)
        own = tuple(RepoPath(piece.path) for piece in plan.pieces if piece.result != piece.head)
        return Published(None, own, stand.at)

    def _discard(self, view: View, stand: Stand, effects: Effects) -> Published:
        self._check_closed(view)
        dropped = tuple(RepoPath(path) for path in changed_paths(self._core, view))
        move = Move(int(self._core.store.head), everything=True, git=True)
        self._stands.decide(view, move)
        self._move(view, stand, move, effects)
        return Published(None, dropped, stand.at)

    def _move(self, view: View, stand: Stand, move: Move, effects: Effects) -> None:
        """Move a view and tell the kernel (B3)."""
        touched = self._touched(view, stand, move)
        self._stands.carry_out(view, move)
        self._tell(view, touched, effects)

    def _touched(self, view: View, stand: Stand, move: Move) -> frozenset[str] | None:
        """Return the paths that a move may change, None for any: the view's own, and those of commits."""
        behind = move.at - stand.at
        if not 0 <= behind <= _MOST_COMMITS:
            return None
        newer = self._core.store.log(LogQuery(limit=behind, before=Seq(move.at + 1)))
        return frozenset(own_paths(self._core, view)).union(*(commit.paths for commit in newer))

    def _tell(self, view: View, touched: frozenset[str] | None, effects: Effects) -> None:
        """Let the kernel forget what a move changed; let open files go on with what is there now."""
        upper = view.upper
        assert upper is not None
        for inode in list(view.by_path.values()):
            path = inode.path
            if path is None or inode.realm is Realm.CONTROL:
                continue
            if touched is not None and not in_git(path) and path not in touched:
                if inode.is_dir:  # it is as old as its view
                    effects.attributes.append(inode.ino)
                continue
            if inode.realm is not Realm.SNAP:
                continue
            st = upper.look(path, Realm.SNAP)
            if st is None or (path and stat.S_IFMT(st.st_mode) != inode.kind):
                self._name(view, path, effects)
                view.orphan(inode, elsewhere=True)
                effects.attributes.append(inode.ino)
            elif inode.lookups > 0:
                effects.inodes.append(inode)
        for handle in list(self._fs.handles.values()):
            inode = handle.inode
            if isinstance(handle, RealHandle) and inode.view is view and inode.realm is Realm.SNAP:
                self._reopen(inode)

    @staticmethod
    def _name(view: View, path: str, effects: Effects) -> None:
        parent = view.by_path.get(parent_of(path))
        if parent is not None and parent.lookups > 0:
            effects.entries.append((view, parent.ino, os.fsencode(path.rpartition("/")[2])))

    def _reopen(self, inode: Inode) -> None:
        assert inode.view.upper is not None
        if inode.path is None or in_git(inode.path):
            return
        try:
            real = inode.view.upper.resolve(inode.path, Realm.SNAP)
            if real is not None:
                self._fs.real.reopen(inode, real)
        except OSError as error:
            if error.errno not in (errno.EFBIG, errno.ELOOP):
                raise

    # ---- the gate command

    async def _gated(self, view: View, stand: Stand, gate: str) -> Published:
        """Publish what the gate command passes on (B4). Raises Busy with the end of what it said."""

        def prepare(effects: Effects) -> Published:
            done = self._refresh(view, stand, effects)
            stand.frozen = f"{view.agent} may change nothing while its gate command runs ({gate})."
            return done

        def finish(effects: Effects) -> Published:
            return self._publish(view, stand, effects, only_at=stand.at)

        for last in (False,) * (_TURNS - 1) + (True,):
            try:
                await self._do(view, prepare)
                failed = await self._run(view, gate)
                if failed is not None:
                    self._refuse(view, *failed)
                return await self._do(view, finish)
            except _Overtaken:
                if last:
                    self._refuse(view, "Head moved each time the gate command ran. Publish again.")
            finally:
                stand.frozen = ""
        raise AssertionError("the last turn returns or raises")

    async def _run(self, view: View, gate: str) -> tuple[str, str] | None:
        """Run the gate command in the view; return why it fails and what it said, None if it passes."""
        top, limit_s = self._mountpoint / view.agent, self._core.config.publish.gate_s
        command = ["sh", "-c", 'cd -- "$1" && exec sh -c "$2"', "makfs", str(top), gate]
        with tempfile.TemporaryFile(dir=self._core.backing.scratch_folder) as said:
            process = await trio.lowlevel.open_process(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd="/", start_new_session=True
            )
            code: int | None = None
            try:
                with trio.move_on_after(limit_s):
                    code = await process.wait()
            finally:
                if code is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    with trio.CancelScope(shield=True):
                        await process.wait()
            if code == 0:
                return None
            end = said.seek(0, os.SEEK_END)
            said.seek(max(0, end - _TAIL_BYTES))
            tail = said.read().decode("utf-8", "replace").strip()
        what = f"took longer than {limit_s:g} s" if code is None else f"failed with status {code}"
        last = tail.rpartition("\n")[2] or "nothing"
        return f"The gate command {what} ({gate}); the last it said: {last}", tail


def _told(clashes: tuple[Clash, ...]) -> str:
    """Return the sentences of the first clashes, and how many there are."""
    more = f" And {len(clashes) - _SHOWN} more." if len(clashes) > _SHOWN else ""
    sentences = " ".join(clash.sentence for clash in clashes[:_SHOWN])
    places = "1 place" if len(clashes) == 1 else f"{len(clashes)} places"
    return (
        f"It clashes with head in {places}: {sentences}{more} Take your own change of that back, or discard, "
        "and redo it on what head says."
    )
