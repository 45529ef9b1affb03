"""Looking at a folder's files before it is renamed, a few at a time: others are served meanwhile.

The rename itself is one step (E1), in which everybody waits; what can be found out before is, and the texts
that the store does not have are written to it.

A1  What was found out counts only while the file has the version and the mode that it had then.
"""

import contextlib
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace

from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.effects import Outbox, Turn
from makfs.engine.inodes import Realm
from makfs.engine.names import state_with_nodes
from makfs.ids import RepoPath
from makfs.store.model import FileState

_AT_ONCE = 16  # files, in a transaction


@dataclass(frozen=True, slots=True)
class Seen:
    """What the journal will say of a file."""

    version: int
    mode: int
    state: FileState
    origin: FileState | None  # None: the store knows the path (J3)


class Ahead:
    """Looks ahead. One instance a mount."""

    def __init__(self, core: Core, corridor: Corridor) -> None:
        self._core = core
        self._corridor = corridor
        self._seen: dict[str, Seen] = {}

    async def look(self, top: str, outbox: Outbox) -> None:
        """Look at all files below a folder. Raises StoreFull; nothing is remembered then."""
        try:
            await self._look_below(top, Turn(outbox))
        except BaseException:
            self.forget(top)
            raise

    async def _look_below(self, top: str, turn: Turn) -> None:
        found: list[str] = []
        for path, st in self._core.backing.walk(top):
            realm = self._core.classifier.realm(path, is_dir=False)
            if stat.S_ISREG(st.st_mode) and realm not in (Realm.GIT, Realm.SCRATCH):
                with contextlib.suppress(OSError):  # gone, or not to be read: the rename will tell
                    self._corridor.refresh(self._core.file(path), turn.effects)
                    self._seen[path] = self._look(path, st.st_mode)
                    found.append(path)
            if len(found) >= _AT_ONCE:
                self._prepare(found)
                found.clear()
            await turn.rest()
        self._prepare(found)
        await turn.end()

    def _prepare(self, paths: Sequence[str]) -> None:
        """Let the store have the texts of files that were looked at."""
        seen = [(path, each) for path in paths if (each := self._seen.get(path)) is not None]
        states = self._core.store.prepare([each.state for _, each in seen])
        for (path, each), state in zip(seen, states, strict=True):
            self._seen[path] = replace(each, state=state, origin=None if each.origin is None else state)

    def of(self, path: str, mode: int) -> Seen:
        """Return what the journal will say of a path that was just compared with the disk (A1)."""
        seen = self._seen.get(path)
        if seen is not None and seen.version == self._core.file(path).version and seen.mode == mode:
            return seen
        return self._look(path, mode)

    def _look(self, path: str, mode: int) -> Seen:
        core = self._core
        state = state_with_nodes(core, path)
        version = core.file(path).version
        known = version > 0 or core.store.revision(RepoPath(path)) is not None
        return Seen(version, mode, state, None if known else state)

    def forget(self, top: str) -> None:
        """Forget what was found below a folder."""
        for path in [path for path in self._seen if path.startswith(top + "/")]:
            del self._seen[path]
