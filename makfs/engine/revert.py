"""The verbs that go back: undo commits, restore paths. Each is one new commit."""

import time
from collections.abc import Callable, Sequence

from makfs.engine.api import Reverted, Undoing
from makfs.engine.effects import Effects
from makfs.engine.filesystem import FileSystem
from makfs.engine.held import Held, NotAdmitted
from makfs.engine.inodes import Realm
from makfs.engine.procs import Writer
from makfs.engine.together import Thing, Together, Want, past_thing
from makfs.engine.undo import plan_undo
from makfs.engine.views import View
from makfs.errors import Busy, NotFound
from makfs.ids import PERSON, AgentId, RepoPath, Seq
from makfs.store.happened import MOST_NAMED
from makfs.store.model import LogQuery

_TOOL = Writer(0, "makfs")
_MOST = 10_000  # commits of one undo


class Revert:
    """Undo and restore, for the agents of one mount and for people."""

    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        self._core = fs.core
        self.together = Together(fs.core, fs.data.corridor, fs.name_room)
        self._person = View(0, PERSON, fs.core.table, None)  # its policy is `merge`: it holds nothing

    async def undo(self, what: Undoing, by: str | None) -> Reverted:
        """Take commits back: those named, or an agent's, or a task's. Raises NotFound, NotKept, Busy."""
        chosen = what.seqs or self._commits_of(what)
        if not chosen:
            whose = f" of {what.agent}" if what.agent is not None else ""
            whose += f" for the task {what.task!a}" if what.task is not None else ""
            raise NotFound(f"There is no commit{whose} to undo.")
        names = ", ".join(map(str, sorted(chosen)[:5])) + (" ..." if len(chosen) > 5 else "")

        def plan(now: Callable[[str], Thing]) -> Sequence[Want]:
            return plan_undo(self._core, chosen, now)

        return await self._commit(plan, f"undo {names}", by)

    async def restore(self, path: str, seq: int, by: str | None) -> Reverted:
        """Make a path, and all below it, what it was after a commit. Raises NotFound, NotKept, Busy."""
        core = self._core
        if not 0 <= seq <= core.store.head:
            raise NotFound(f"There is no commit {seq}; the newest is {core.store.head}.")

        def plan(_now: Callable[[str], Thing]) -> Sequence[Want]:
            wants = [Want(each, past_thing(core, each, Seq(seq))) for each in self._recorded(path)]
            if not any(want.thing.is_there for want in wants) and core.backing.lstat(path) is None:
                raise NotFound(f"{path} was not there after commit {seq}.")
            return wants

        return await self._commit(plan, f"restore {path} as of {seq}", by)

    def _recorded(self, path: str) -> list[str]:
        """Return a path and what the journal knows below it: the rest no commit has changed."""
        below = [str(revision.path) for revision in self._core.store.below(RepoPath(path))]
        known = [path] if path and self._core.store.revision(RepoPath(path)) is not None else []
        return [*known, *below]

    def _commits_of(self, what: Undoing) -> tuple[int, ...]:
        if what.agent is None and what.task is None:
            return ()
        agent = None if what.agent is None else AgentId(what.agent)
        found: list[int] = []
        before: Seq | None = None
        while len(found) < _MOST:
            page = self._core.store.log(LogQuery(limit=500, agent=agent, task=what.task, before=before))
            recent = [commit for commit in page if commit.time_ns >= what.since_ns]
            found += [commit.seq for commit in recent]
            if len(recent) < len(page) or len(page) < 500:
                break
            before = page[-1].seq
        return tuple(found)

    def _view(self, by: str | None) -> View:
        return self._person if by is None else self._fs.agents.view(by)

    async def _commit(
        self, plan: Callable[[Callable[[str], Thing]], Sequence[Want]], note: str, by: str | None
    ) -> Reverted:
        view, together = self._view(by), self.together

        def work(effects: Effects) -> Reverted:
            seen: dict[str, Thing] = {}

            def now(path: str) -> Thing:
                if path not in seen:
                    seen[path] = together.now(path, effects)
                return seen[path]

            wants = [want for want in plan(now) if self._is_tracked(want.path)]
            try:
                seq = together.commit(view, _TOOL, wants, note, effects)
            except NotAdmitted as lacking:
                locks = self._core.locks
                if isinstance(lacking, Held) and locks.patient:
                    raise
                raise Busy(f"Nothing was changed. {locks.verdict or lacking}") from None
            paths = tuple(RepoPath(want.path) for want in wants)
            if seq is not None:
                told = {"seq": seq, "what": note, "paths": paths[:MOST_NAMED], "paths_total": len(paths)}
                kind = "undone" if note.startswith("undo") else "restored"
                self._core.store.events.record(kind, view.agent, time.time_ns(), told)
            return Reverted(seq, paths)

        return await self._fs.patience.carry_out(view, work, self._fs.patience.wait_s)

    def _is_tracked(self, path: str) -> bool:
        st = self._core.backing.lstat(path)
        is_dir = st is not None and self._core.backing.is_dir(path)
        return self._core.classifier.realm(path, is_dir=is_dir) in (Realm.TRACKED, Realm.SHADOW)
