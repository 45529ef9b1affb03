"""Edits made directly in the repository, while it is served: inotify(7) tells, the corridor imports.

X1  An event is only a hint: what counts is the file's signature against the one we left (F2), so our own
    write-through, which raises the same events, costs one lstat(2).
X2  A watch is added to a new folder before it is read, so nothing made in it is missed.
X3  When inotify has dropped events, everything is looked at and the kernel asked to look again.
X4  What was changed between the start and the first watch on its folder is imported once all are watched:
    what is recorded, what a view has looked at, and what came into a folder.
X5  Once a view has opened a file, its signature tells no change that was made before. If an event says that
    it was written, made or moved there, and nothing is recorded of it, it is imported all the same, as the
    version that the view has read.
"""

import errno
import logging
import os
import stat
from dataclasses import dataclass

import trio
from asyncinotify import Inotify, Mask

from makfs.engine.backing import STATE_DIR
from makfs.engine.behind import UNKNOWN
from makfs.engine.core import Core, join, parent_of
from makfs.engine.corridor import Corridor
from makfs.engine.effects import Effects, Outbox, Turn
from makfs.engine.files import File, signature
from makfs.engine.inodes import Realm
from makfs.engine.needs import needs_of_names
from makfs.engine.procs import NOBODY
from makfs.ids import EXTERNAL, RepoPath
from makfs.store.model import FileChange, FileKind, FileState

log = logging.getLogger(__name__)
_MASK = (
    Mask.CLOSE_WRITE | Mask.MOVED_FROM | Mask.MOVED_TO | Mask.CREATE | Mask.DELETE | Mask.ATTRIB
    | Mask.ONLYDIR | Mask.DONT_FOLLOW
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hint:
    """Something may have happened at a path."""

    path: str
    new_folder: bool = False
    made: bool = False  # not there before
    written: bool = False  # its text is new, to us or at all
    unfinished: bool = False  # somebody has just made the file and is going to write it


class Watcher:
    """Watches every tracked folder."""

    def __init__(self, core: Core, corridor: Corridor, outbox: Outbox) -> None:
        self._core = core
        self._corridor = corridor
        self._outbox = outbox
        self._inotify = Inotify(sync_timeout=0)
        self._folders: dict[int, str] = {}
        self._unfinished: set[str] = set()  # made, not closed yet
        self._dropped = False  # inotify's queue was full (X3)
        self._late: list[str] | None = []  # folders that were changed before they were watched (X4)
        self.warning = ""

    async def run(self) -> None:
        """Watch until cancelled."""
        try:
            await trio.to_thread.run_sync(self._watch_tree, "")
            await self.catch_up()
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
            if self._late is not None and (st := self._lstat(folder)) is not None and self._is_recent(st):
                self._late.append(folder)
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
            self._dropped = self._dropped or Mask.Q_OVERFLOW in event.mask
            watch, name = event.watch, event.name
            folder = self._folders.get(watch.wd) if watch is not None else None
            if folder is None or name is None:
                continue
            path = join(folder, str(name))
            hints[path] = self._hint(path, event.mask, hints.get(path, Hint(path)))
        return list(hints.values())

    @staticmethod
    def _hint(path: str, mask: Mask, before: Hint) -> Hint:
        """Return what an event says of a path, with what an earlier one has said."""
        is_dir, made = Mask.ISDIR in mask, Mask.CREATE in mask
        arrived = is_dir and bool(mask & (Mask.CREATE | Mask.MOVED_TO))
        written = not is_dir and bool(mask & (Mask.CREATE | Mask.MOVED_TO | Mask.CLOSE_WRITE))
        return Hint(
            path,
            new_folder=arrived or before.new_folder,
            made=made or before.made,
            written=written or before.written,
            unfinished=made and not is_dir,
        )

    async def _take(self, hints: list[Hint]) -> None:
        """Import what the hints point at; let others run now and then."""
        if self._dropped:
            self._dropped = False
            await self._look_at_everything()
        turn = Turn(self._outbox)
        for hint in hints:
            await self._follow(hint, turn)
            await turn.rest()
        await turn.end()

    async def _follow(self, hint: Hint, turn: Turn) -> None:
        path = hint.path
        if hint.unfinished and self._is_being_made(path):
            self._unfinished.add(path)
            self._core.note_name(turn.effects, path, own=None)
            return
        made = hint.made or path in self._unfinished
        self._unfinished.discard(path)
        if hint.new_folder and self._watched(path):
            self._watch_tree(path)
            for below, _ in self._core.backing.walk(path):
                self._look(below, turn.effects, written=True)
                await turn.rest()
        self._look(path, turn.effects, made=made, written=hint.written)

    def _is_being_made(self, path: str) -> bool:
        """Tell whether CLOSE_WRITE will follow: not for links, hard links and special files."""
        st = self._lstat(path)
        return st is not None and stat.S_ISREG(st.st_mode) and st.st_nlink == 1

    async def _look_at_everything(self) -> None:
        """Compare the whole tree with what is known, and let the kernel ask for all of it again (X3)."""
        core = self._core
        log.warning("inotify dropped events: comparing the whole repository")
        await trio.to_thread.run_sync(self._watch_tree, "")
        paths = {str(revision.path) for revision in core.store.below(RepoPath(""))}
        paths.update(core.files, *(view.by_path for view in core.views.values()))
        paths.update(path for path, _ in core.backing.walk("") if self._watched(path))
        paths.discard("")
        turn = Turn(self._outbox)
        for path in sorted(paths):
            if path in core.files or core.store.revision(RepoPath(path)) is not None:
                self._look(path, turn.effects)
            core.note_content(turn.effects, path)
            core.note_name(turn.effects, path, own=None)
            await turn.rest()
        await turn.end()

    async def catch_up(self) -> None:
        """Import what was changed before it was watched: before the start, or since (X4).

        Cost: one lstat(2) for each path that is recorded, or that a view has looked up already.
        """
        core, late, self._late = self._core, self._late or (), None
        paths = {*core.files, *(path for view in core.views.values() for path in view.by_path)}
        await self._reconcile_all()  # knows all that is recorded from here on; looks at nothing known before
        turn = Turn(self._outbox)
        for path in sorted(paths):
            st = self._lstat(path)
            if st is not None and not self._is_recent(st):
                await turn.rest()
                continue
            if core.store.revision(RepoPath(path)) is not None or (st is not None and not _is_dir(st)):
                self._look(path, turn.effects, made=False)
            core.note_content(turn.effects, path)
            core.note_name(turn.effects, path, own=None, unless_known=st is not None)
            if st is not None and _is_dir(st):
                await self._catch_up_in(path, paths, turn)
        for folder in late:
            await self._catch_up_in(folder, paths, turn)
        await turn.end()

    async def _catch_up_in(self, folder: str, known: set[str], turn: Turn) -> None:
        """Import what came into a folder that was changed, and below that."""
        if folder and not self._watched(folder):
            return
        for name in self._listed(folder):
            path = join(folder, name)
            st = None if path in known else self._lstat(path)
            if st is None or not self._is_recent(st):
                continue
            if not _is_dir(st):
                self._look(path, turn.effects, made=False, written=True)
            self._core.note_name(turn.effects, path, own=None)
            if _is_dir(st):
                await self._catch_up_in(path, known, turn)
            await turn.rest()

    def _lstat(self, path: str) -> os.stat_result | None:
        """Return the attributes; None if nothing is there, or nothing that we may look at."""
        try:
            return self._core.backing.lstat(path)
        except OSError:
            return None

    def _listed(self, folder: str) -> list[str]:
        try:
            return self._core.backing.names(folder)
        except OSError:
            return []  # gone, or not for us to read

    def _is_recent(self, st: os.stat_result) -> bool:
        """Tell whether it was changed since the start, but for its first tick: no view has looked by then."""
        return st.st_ctime_ns > self._core.started_ns

    async def _reconcile_all(self) -> None:
        """Compare every recorded path with the repository: edits made while nobody served it."""
        turn = Turn(self._outbox)
        for revision in self._core.store.below(RepoPath("")):
            if revision.path not in self._core.files:
                self._look(revision.path, turn.effects)
                await turn.rest()
        await turn.end()

    def _look(self, path: str, effects: Effects, *, made: bool = True, written: bool = False) -> None:
        """Compare one path with what we know of it; import a difference.

        `made`: it was not there before. `written`: an event told of its text.
        """
        core = self._core
        realm = core.classifier.realm(path, is_dir=False)
        if realm is Realm.SCRATCH:
            core.note_content(effects, path)
            core.note_name(effects, path, own=None)
        if realm is not Realm.TRACKED and realm is not Realm.SHADOW:
            return
        try:
            st = core.backing.lstat(path)
            if st is not None and stat.S_ISREG(st.st_mode):
                self._look_at_file(path, st, effects, made=made, written=written)
            else:
                self._look_at_other(path, st, effects)
            if st is None or not stat.S_ISDIR(st.st_mode):
                self._look_below(path, effects)
        except OSError as error:  # unreadable, or gone between two looks: nothing to import
            log.info("%s in the repository was not imported: %s", path, error)

    def _look_below(self, path: str, effects: Effects) -> None:
        """Look at all that the journal has below a folder that is gone; no event tells of those."""
        core = self._core
        for revision in core.store.below(RepoPath(path)):
            if revision.path != path and revision.kind is not FileKind.ABSENT:
                self._look_at_other(revision.path, None, effects)

    def _look_at_file(
        self, path: str, now: os.stat_result, effects: Effects, *, made: bool, written: bool
    ) -> None:
        core = self._core
        recorded = core.store.revision(RepoPath(path))
        known = path in core.files
        file = core.file(path)
        if recorded is None and (not known or (written and self._was_opened_since(file, now))):
            before = file.version
            self._arrived(path, effects, made=made)
            file.renumber(before)
        else:
            st = self._corridor.refresh(file, effects)
            recorded = core.store.revision(RepoPath(path))
            if st is not None and recorded is not None and recorded.mode != stat.S_IMODE(st.st_mode):
                self._corridor.behind.import_mode(file, effects)
        if core.classifier.concerns(path):
            core.classifier.reload()

    def _was_opened_since(self, file: File, now: os.stat_result) -> bool:
        """Tell whether a file is known as it is now, and nobody is writing it (X5)."""
        if file.owed is not None or file.signature not in (None, signature(now)):
            return False
        inodes = (view.by_path.get(file.path) for view in self._core.views.values())
        return not any(inode is not None and inode.staging is not None for inode in inodes)

    def _arrived(self, path: str, effects: Effects, *, made: bool) -> None:
        """Record a file that nobody had looked at: made or changed; what it was then is not known."""
        core = self._core
        st = core.backing.lstat(path)  # before it is read: what is written meanwhile is another state (F2)
        self._record(path, core.state(path), effects, FileState(FileKind.ABSENT) if made else UNKNOWN)
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
            core.gate.write(self._corridor.behind.view, path, needs_of_names([path]))
            core.note_name(effects, path, own=None)
            return
        self._record(path, state, effects)

    def _record(self, path: str, state: FileState, effects: Effects, origin: FileState | None = None) -> None:
        core = self._core
        file = core.file(path)
        recorded = core.store.revision(RepoPath(path))
        origin = None if recorded is not None else origin or FileState(FileKind.ABSENT)
        change = FileChange(RepoPath(path), state, origin=origin, write_through=False)
        is_dir = state.kind is FileKind.DIR or (recorded is not None and recorded.kind is FileKind.DIR)
        needs = needs_of_names(folders=[path]) if is_dir else needs_of_names([path])
        core.gate.write(self._corridor.behind.view, path, needs)  # G2: nobody is asked, holders are told
        commit = self._corridor.journal(EXTERNAL, NOBODY, (change,), "edited in the repository")
        file.version, file.source = commit.seq, None
        if state.kind is not FileKind.FILE:
            file.signature = None
        if recorded is None:
            core.left(path, but_dir=state.kind is FileKind.DIR)
        elif recorded.kind is not state.kind:
            core.left(path)
        core.note_content(effects, path)
        core.note_name(effects, path, own=None, unless_known=state.kind is not FileKind.ABSENT)


def _is_dir(st: os.stat_result) -> bool:
    return stat.S_ISDIR(st.st_mode)


__all__ = ["Watcher", "parent_of"]
