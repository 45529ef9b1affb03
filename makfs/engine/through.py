"""Write-through: the backing directory follows the journal.

T1  An effect is told done only when the disk has it: not while its path is owed, not before the call that
    changes the disk has returned. Until then a crash leaves it to the next mount (`engine.recover`).
T2  A replaced file is looked at before it goes: what somebody wrote there since our last look is returned.
"""

import logging
import stat
import time
from collections.abc import Sequence

from makfs.engine.backing import Replaced
from makfs.engine.core import Core
from makfs.engine.files import File, signature
from makfs.engine.inodes import StatLike
from makfs.engine.procs import Writer
from makfs.ids import AgentId
from makfs.store.model import Commit, CommitDraft, Effect, FileChange

log = logging.getLogger(__name__)


class Through:
    """Carries commits to the disk and keeps account of those that did not get there."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._last: Sequence[Effect] = ()  # of the last commit
        self._unpaid: dict[str, list[int]] = {}  # path -> effects whose write-through failed

    def journal(
        self, agent: AgentId, writer: Writer, changes: tuple[FileChange, ...], note: str = ""
    ) -> Commit:
        """Append one commit and take on its effects; those of the one before are on the disk, or owed.

        Raises StoreFull.
        """
        who = (agent, time.time_ns(), writer.program, writer.pid)
        draft = CommitDraft(*who, changes, note, self._core.tasks.of(agent))
        commit, effects = self._core.store.commit(draft)
        self.settle()
        self._last = effects
        return commit

    def settle(self) -> None:
        """Tell the store which effects are done (T1). Call it when no commit is under way."""
        owed = self._core.owed
        for effect in self._last:
            if effect.path in owed:
                self._unpaid.setdefault(effect.path, []).append(effect.effect)
        self._core.store.effects_done(effect.effect for effect in self._last if effect.path not in owed)
        self._last = ()

    def write(
        self, file: File, data: bytes, like: StatLike, mtime_ns: int, xattrs_of: str = ""
    ) -> bytes | None:
        """Bring the backing file to the head; a failure is noted and tried again later (E4).

        Returns the text that somebody had put there since our last look, if we have replaced one (T2).
        """
        core = self._core
        expected = file.signature
        try:
            done = self._replace(file, data, like, mtime_ns, xattrs_of)
        except OSError as error:
            file.owed = data
            why = f"{file.path} is committed but not written to the repository: {error.strerror}"
            core.owed[file.path] = why
            log.warning("%s", why)
            return None
        if file.owed is not None:
            file.owed = None
            core.owed.pop(file.path, None)
            core.store.effects_done(self._unpaid.pop(file.path, ()))
        file.signature = signature(done.new)
        foreign = done.old is not None and expected is not None and signature(done.old) != expected
        overtaken = _text(done) if foreign else None
        core.backing.discard(done)
        return overtaken

    def _replace(self, file: File, data: bytes, like: StatLike, mtime_ns: int, xattrs_of: str) -> Replaced:
        backing = self._core.backing
        try:
            return backing.replace(file.path, data, like, mtime_ns, xattrs_of)
        except FileNotFoundError:
            backing.make_parents(file.path)
            return backing.replace(file.path, data, like, mtime_ns, xattrs_of)


def _text(replaced: Replaced) -> bytes | None:
    """Return the bytes of the file that was replaced, if it was a regular one."""
    if replaced.old is None or not stat.S_ISREG(replaced.old.st_mode):
        return None
    with open(replaced.old_at, "rb", buffering=0) as file:
        return file.readall()
