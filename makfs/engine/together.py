"""Changes of several paths in one commit, all or nothing: undo, restore, publish.

T1  One journal entry, so a crash leaves all of it or none (C2); what is not on the disk yet is owed.
T2  What the repository holds of these paths is looked at in the same step: nothing unseen is replaced (C4).
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from makfs.engine.core import Core, parent_of
from makfs.engine.corridor import Corridor
from makfs.engine.effects import Effects
from makfs.engine.held import Needs
from makfs.engine.inodes import MadeStat, StatLike
from makfs.engine.names import Names
from makfs.engine.needs import needs_of_attributes, needs_of_changes, needs_of_names
from makfs.engine.nodes import Revised, revise
from makfs.engine.procs import Writer
from makfs.engine.views import View
from makfs.errors import StoreFull
from makfs.ids import RepoPath, Seq
from makfs.store.model import FileChange, FileKind, FileState


@dataclass(frozen=True, slots=True)
class Thing:
    """What stands, or shall stand, at a path."""

    kind: FileKind
    mode: int = 0
    data: bytes = b""  # of a file; a link's target

    @property
    def is_there(self) -> bool:
        """Tell whether there is anything."""
        return self.kind is not FileKind.ABSENT


NOTHING = Thing(FileKind.ABSENT)


@dataclass(frozen=True, slots=True)
class Want:
    """What a path shall be after the commit; `moved_from` names the path whose file it is."""

    path: str
    thing: Thing
    moved_from: str | None = None


@dataclass(slots=True)
class _Step:
    want: Want
    before: Thing
    st: os.stat_result | None
    revised: Revised | None = None


class Together:
    """Commits several paths at once. Plain `def`s (E1)."""

    def __init__(self, core: Core, corridor: Corridor, names: Names) -> None:
        self.core = core
        self._corridor = corridor
        self._names = names

    def now(self, path: str, effects: Effects) -> Thing:
        """Return what stands at a path at head, edits behind us imported. Raises OSError."""
        core = self.core
        if not core.backing.is_reachable(path):
            return NOTHING
        st = core.backing.lstat(path)
        if st is not None and not stat.S_ISREG(st.st_mode):
            return _thing(core, path, st)
        st = self._corridor.refresh(core.file(path), effects)
        return NOTHING if st is None else _thing(core, path, st)

    def commit(
        self, view: View, writer: Writer, wants: Sequence[Want], note: str, effects: Effects
    ) -> Seq | None:
        """Make the paths what they shall be; None if they are. Raises NotAdmitted, StoreFull, OSError."""
        steps = [step for want in wants if (step := self._step(want, effects)) is not None]
        if not steps:
            return None
        for step in steps:
            self.core.gate.write(view, step.want.path, self._needs(step))
        changes = self._parents(steps) + tuple(self._change(step) for step in steps)
        try:
            commit = self._corridor.journal(view.agent, writer, changes, note)
        except StoreFull as error:
            raise OSError(errno.ENOSPC, str(error)) from error
        view.commits += 1
        self._to_disk(view, steps, commit.seq, effects)
        return commit.seq

    # ---- before the journal

    def _step(self, want: Want, effects: Effects) -> _Step | None:
        """Return what is to be done, None if nothing is."""
        core, path = self.core, want.path
        before = self.now(path, effects)
        if before == want.thing:
            return None
        step = _Step(want, before, core.backing.lstat(path) if before.is_there else None)
        if want.thing.kind is FileKind.FILE:
            head = before.data if before.kind is FileKind.FILE else b""
            step.revised = revise(core, core.file(path), head, want.thing.data)
            core.next_uid = step.revised.next_uid
        return step

    def _needs(self, step: _Step) -> Needs:
        path, before, after = step.want.path, step.before, step.want.thing
        if FileKind.DIR in (before.kind, after.kind):
            return needs_of_names(folders=[path])
        if before.kind is FileKind.FILE and after.kind is FileKind.FILE and step.revised is not None:
            if before.data == after.data:
                return needs_of_attributes(path, is_dir=False)
            return needs_of_changes(path, step.revised.changes)
        return needs_of_names([path])

    def _change(self, step: _Step) -> FileChange:
        core, path, thing = self.core, RepoPath(step.want.path), step.want.thing
        edits = ()
        if thing.kind is FileKind.FILE and step.revised is not None:
            state = core.text_state(thing.data, thing.mode, step.revised.texts)
            edits = step.revised.edits  # type: ignore[assignment]
        elif thing.kind is FileKind.SYMLINK:
            state = FileState(FileKind.SYMLINK, 0o777, target=thing.data)
        else:
            state = FileState(thing.kind, thing.mode)
        moved = None if step.want.moved_from is None else RepoPath(step.want.moved_from)
        origin = core.origin(path)
        if origin is not None and not core.backing.is_reachable(path):
            origin = FileState(FileKind.ABSENT)  # what a link in the way leads to is not this path's
        return FileChange(path, state, origin=origin, edits=edits, moved_from=moved)

    def _parents(self, steps: Iterable[_Step]) -> tuple[FileChange, ...]:
        """Return the folders that must be made and are not asked for."""
        core = self.core
        asked = {step.want.path for step in steps}
        missing: dict[str, None] = {}
        for step in steps:
            folder = parent_of(step.want.path) if step.want.thing.is_there else ""
            while folder and folder not in asked and core.backing.lstat(folder) is None:
                missing[folder] = None
                folder = parent_of(folder)
        return tuple(
            FileChange(RepoPath(path), FileState(FileKind.DIR, 0o755), origin=core.origin(path))
            for path in sorted(missing)
        )

    # ---- after it

    def _to_disk(self, view: View, steps: Sequence[_Step], seq: Seq, effects: Effects) -> None:
        """Bring the repository's directory to the journal: removals from below, then the rest from above."""
        kept = [step for step in steps if step.want.thing.is_there]
        gone = [step for step in steps if not _stays(step)]
        for step in sorted(gone, key=lambda step: step.want.path, reverse=True):
            self._remove(view, step, seq, effects)
        for step in sorted(kept, key=lambda step: step.want.path):
            self._make(view, step, seq, effects)

    def _remove(self, view: View, step: _Step, seq: Seq, effects: Effects) -> None:
        core, path = self.core, step.want.path
        self._names.gone(view, path, seq, effects)
        core.note_name(effects, path, own=None)
        at = core.backing.at(path)
        with contextlib.suppress(FileNotFoundError):
            if step.before.kind is FileKind.DIR:
                with contextlib.suppress(OSError):  # not empty: somebody put something there
                    os.rmdir(at)
            else:
                os.unlink(at)

    def _make(self, view: View, step: _Step, seq: Seq, effects: Effects) -> None:
        core, path, thing = self.core, step.want.path, step.want.thing
        file = core.file(path)
        if thing.kind is FileKind.FILE:
            self._write(view, step, seq, effects)
            return
        at = core.backing.at(path)
        core.backing.make_parents(path)
        if thing.kind is FileKind.SYMLINK:
            os.symlink(thing.data, os.fsencode(at))
        elif step.st is None or not stat.S_ISDIR(step.st.st_mode):
            os.mkdir(at, thing.mode)
        if thing.kind is FileKind.DIR:
            os.chmod(at, thing.mode)
        file.version, file.source, file.deleted_by, file.kept = seq, None, 0, 0
        core.note_name(effects, path, own=None)

    def _write(self, view: View, step: _Step, seq: Seq, effects: Effects) -> None:
        core, path, thing = self.core, step.want.path, step.want.thing
        file = core.file(path)
        was_file = step.before.kind is FileKind.FILE
        like = MadeStat.like(step.st if was_file and step.st is not None else _owner(core))
        like.st_mode = stat.S_IFREG | thing.mode
        mtime_ns = time.time_ns()
        if was_file and file.signature is not None:
            mtime_ns = max(mtime_ns, file.signature[0] + 1)
        like.st_atime_ns = mtime_ns
        if was_file and step.st is not None:
            core.show_still(path, step.before.data, step.st, file.version)
        if file.version <= 0:
            file.first = file.version
        file.version, file.deleted_by, file.kept = seq, 0, 0
        core.remember(file, step.revised.source if step.revised is not None else None)
        file.changed(view.number, time.monotonic())
        overtaken = self._corridor.through.write(file, thing.data, like, mtime_ns)
        core.note_content(effects, path)
        if not was_file:
            core.note_name(effects, path, own=None)
        if overtaken is not None:
            self._corridor.overtaken(file, step.before.data, overtaken, effects)


def _stays(step: _Step) -> bool:
    """Tell whether what is there stays, changed or not; a file does not become a folder."""
    return step.want.thing.kind is step.before.kind or not step.before.is_there


def _owner(core: Core) -> StatLike:
    return os.lstat(core.backing.root)


def _thing(core: Core, path: str, st: os.stat_result) -> Thing:
    mode = stat.S_IMODE(st.st_mode)
    if stat.S_ISDIR(st.st_mode):
        return Thing(FileKind.DIR, mode)
    if stat.S_ISLNK(st.st_mode):
        return Thing(FileKind.SYMLINK, 0o777, os.fsencode(os.readlink(core.backing.at(path))))
    if not stat.S_ISREG(st.st_mode):
        return NOTHING
    return Thing(FileKind.FILE, mode, core.head_text(path))


def past_thing(core: Core, path: str, seq: Seq) -> Thing:
    """Return what stood at a path after a commit. Raises NotKept."""
    revision = core.store.revision(RepoPath(path), seq)
    if revision is None:  # no commit ever touched it (J2)
        st = core.backing.lstat(path) if core.backing.is_reachable(path) else None
        return NOTHING if st is None else _thing(core, path, st)
    if revision.kind is FileKind.FILE:
        data = b"".join(node.text for node in core.store.nodes(RepoPath(path), seq))
        return Thing(FileKind.FILE, revision.mode, data)
    if revision.kind is FileKind.SYMLINK:
        return Thing(FileKind.SYMLINK, 0o777, revision.target)
    return Thing(revision.kind, revision.mode)


__all__ = ["NOTHING", "Thing", "Together", "Want", "past_thing"]
