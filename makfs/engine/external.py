"""Edits made directly in the repository, while it is served: inotify(7) tells, the corridor imports.

X1  An event is only a hint: what counts is the file's signature against the one we left (F2), so our own
    write-through, which raises the same events, costs one lstat(2).
X2  A watch is added to a new folder before it is read, so nothing made in it is missed.
"""

import errno
import logging
import os
import stat
from dataclasses import dataclass

import trio
from asyncinotify import Inotify, Mask

from makfs.engine.backing import STATE_DIR
from makfs.engine.core import Core, join, parent_of
from makfs.engine.corridor import NOBODY, Corridor
from makfs.engine.effects import Effects, Outbox
from makfs.engine.inodes import Realm
from makfs.ids import EXTERNAL, RepoPath
from makfs.store.model import FileChange, FileKind, FileState

log = logging.getLogger(__name__)
_MASK = (
    Mask.CLOSE_WRITE | Mask.MOVED_FROM | Mask.MOVED_TO | Mask.CREATE | Mask.DELETE | Mask.ATTRIB
    | Mask.ONLYDIR | Mask.DONT_FOLLOW
)  # fmt: skip
_BATCH = 256  # paths looked at between two turns of other tasks


@dataclass(frozen=True, slots=True)
class Hint:
    """Something may have happened at a path."""

    path: str
    new_folder: bool


class Watcher:
    """Watches every tracked folder."""

    def __init__(self, core: Core, corridor: Corridor, outbox: Outbox) -> None:
        self._core = core
        self._corridor = corridor
        self._outbox = outbox
        self._inotify = Inotify(sync_timeout=0)
        self._folders: dict[int, str] = {}
        self.warning = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            await trio.to_thread.run_sync(self._watch_tree, "")
            await self._reconcile_all()
            while True:
                await trio.lowlevel.wait_readable(self._inotify.fd)
                await self._take(self._read())
        finally:
            self._inotify.close()

    def _watch_tree(self, top: str) -> None:
        """Watch a folder and the tracked ones below it (X2)."""
        stack = [top]
        while stack:
            folder = stack.pop()
            if not self._watch(folder):
                continue
            try:
                entries = list(os.scandir(self._core.backing.at(folder)))
            except OSError:
                continue
            for entry in entries:
                path = join(folder, entry.name)
                if entry.is_dir(follow_symlinks=False) and self._watched(path):
                    stack.append(path)

    def _watched(self, path: str) -> bool:
        return path != STATE_DIR and self._core.classifier.realm(path, is_dir=True) is Realm.TRACKED

    def _watch(self, folder: str) -> bool:
        try:
            watch = self._inotify.add_watch(os.fsencode(self._core.backing.at(folder)), _MASK)
        except OSError as error:
            if error.errno == errno.ENOSPC and not self.warning:
                self.warning = (
                    "inotify has no watches left (fs.inotify.max_user_watches), so some edits made directly "
                    "in the repository are noticed only at the next commit of the same file."
                )
                log.warning("%s", self.warning)
            return False
        self._folders[watch.wd] = folder
        return True

    def _read(self) -> list[Hint]:
        hints: dict[str, Hint] = {}
        while (event := self._inotify.sync_get()) is not None:
            watch, name = event.watch, event.name
            folder = self._folders.get(watch.wd) if watch is not None else None
            if folder is None or name is None:
                continue
            path = join(folder, str(name))
            is_dir = Mask.ISDIR in event.mask
            if Mask.CREATE in event.mask and not is_dir:
                continue  # CLOSE_WRITE follows when it is complete; links and special files say ATTRIB
            arrived = is_dir and bool(event.mask & (Mask.CREATE | Mask.MOVED_TO))
            hints[path] = Hint(path, arrived or (path in hints and hints[path].new_folder))
        return list(hints.values())

    async def _take(self, hints: list[Hint]) -> None:
        """Import what the hints point at; let others run now and then."""
        for at in range(0, len(hints), _BATCH):
            effects = Effects()
            for hint in hints[at : at + _BATCH]:
                if hint.new_folder and self._watched(hint.path):
                    self._watch_tree(hint.path)
                    for path, _ in self._core.backing.walk(hint.path):
                        self._look(path, effects)
                self._look(hint.path, effects)
            await self._outbox.settle(effects)

    async def _reconcile_all(self) -> None:
        """Compare every recorded path with the repository: edits made while nobody served it."""
        revisions = [revision.path for revision in self._core.store.below(RepoPath(""))]
        for at in range(0, len(revisions), _BATCH):
            effects = Effects()
            for path in revisions[at : at + _BATCH]:
                if path not in self._core.files:
                    self._look(path, effects)
            await self._outbox.settle(effects)
            await trio.lowlevel.checkpoint()

    def _look(self, path: str, effects: Effects) -> None:
        """Compare one path with what we know of it; import a difference."""
        core = self._core
        realm = core.classifier.realm(path, is_dir=False)
        if realm is not Realm.TRACKED and realm is not Realm.SHADOW:
            return
        try:
            st = core.backing.lstat(path)
            if st is not None and stat.S_ISREG(st.st_mode):
                self._look_at_file(path, effects)
            else:
                self._look_at_other(path, st, effects)
        except OSError as error:  # unreadable, or gone between two looks: nothing to import
            log.info("%s in the repository was not imported: %s", path, error)

    def _look_at_file(self, path: str, effects: Effects) -> None:
        core = self._core
        recorded = core.store.revision(RepoPath(path))
        known = path in core.files
        file = core.file(path)
        if recorded is None and not known:
            self._arrived(path, effects)
        else:
            self._corridor.refresh(file, effects)
        if core.classifier.concerns(path):
            core.classifier.reload()

    def _arrived(self, path: str, effects: Effects) -> None:
        """Record a file that nobody had looked at: it was made or changed, which of the two is not known."""
        self._record(path, self._core.state(path), effects)
        core = self._core
        st = core.backing.lstat(path)
        core.adopt(path, st)

    def _look_at_other(self, path: str, st: os.stat_result | None, effects: Effects) -> None:
        """Folders, links and absences."""
        core = self._core
        recorded = core.store.revision(RepoPath(path))
        state = core.state(path) if st is not None else FileState(FileKind.ABSENT)
        if recorded is not None:
            same = recorded.kind is state.kind and recorded.target == state.target
            if same and (recorded.mode == state.mode or state.kind is not FileKind.DIR):
                return
        elif state.kind is FileKind.ABSENT and path not in core.files:
            core.note_name(effects, path, own=None)
            return
        self._record(path, state, effects)

    def _record(self, path: str, state: FileState, effects: Effects) -> None:
        core = self._core
        file = core.file(path)
        recorded = core.store.revision(RepoPath(path))
        origin = None if recorded is not None else FileState(FileKind.ABSENT)
        change = FileChange(RepoPath(path), state, origin=origin, write_through=False)
        commit = self._corridor.journal(EXTERNAL, NOBODY, (change,), "edited in the repository")
        file.version, file.source = commit.seq, None
        if state.kind is FileKind.ABSENT:
            file.signature = None
            self._take_from_views(path)
        core.note_content(effects, path)
        core.note_name(effects, path, own=None)

    def _take_from_views(self, path: str) -> None:
        for view in self._core.views.values():
            inode = view.by_path.get(path)
            if inode is not None and (inode.staging is None or not inode.staging.dirty):
                view.orphan(inode)


__all__ = ["Watcher", "parent_of"]
