"""The corridor every write of a tracked file's text goes through: base, merge, commit, write through.

C1  From the look at the head to the journal there is no await (E1): `put` is a plain `def`.
C2  The journal holds a commit before anything else changes (E2); a crash in between is mended at the next
    mount from the effects that the journal still owes.
C3  What is not committed is kept: a refusal holds the refused bytes, the base and the reason.
C4  A backing file that changed behind us is imported first, never overwritten.
C5  No text reaches the journal but through `_admit`: what a role forbids or another holds stays as it is.
"""

import contextlib
import logging
import os
import stat
import time
from dataclasses import dataclass, replace
from typing import NoReturn

from makfs.engine import reasons
from makfs.engine.behind import Behind
from makfs.engine.core import Core, parent_of
from makfs.engine.edit import Edit
from makfs.engine.effects import Effects
from makfs.engine.files import Belief, File, OwnText
from makfs.engine.foresight import certain_needs
from makfs.engine.gate import Forbidden
from makfs.engine.held import Held, Needs, NotAdmitted
from makfs.engine.inodes import MadeStat
from makfs.engine.merging import hopeless, infer_base, merge
from makfs.engine.needs import needs_of_attributes
from makfs.engine.nodes import Revised, revise
from makfs.engine.procs import NOBODY
from makfs.engine.reformat import lease_less, without_reformatting
from makfs.engine.refusing import refuse
from makfs.engine.through import Through
from makfs.engine.views import View
from makfs.errors import Denied, NotFound, NotKept, Refused
from makfs.ids import EXTERNAL, RepoPath, Seq
from makfs.merge import Conflict, ConflictItem
from makfs.settings import OnWrite
from makfs.store.model import Commit, FileChange, FileKind, FileState
from makfs.syntax import is_source

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Landed:
    """What became of an edit. `seq` is None if the head already said the same."""

    seq: Seq | None
    text: bytes  # the head's text now
    merged: bool  # the text is not the writer's


class Corridor:
    """Carries writes to the journal and to the backing directory."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.through = Through(core)
        self.journal = self.through.journal
        self._external_view = View(0, EXTERNAL, core.table, None)
        self.behind = Behind(core, self.through, self._external_view)
        self.refresh = self.behind.refresh

    # ---- the way in

    def put(self, edit: Edit, effects: Effects) -> Landed:
        """Commit an edit. Raises Refused (kept, C3), StoreFull or OSError (nothing changed)."""
        core, path = self.core, edit.path
        file = core.file(path)
        st = self.refresh(file, effects)
        if st is None:
            return self._put_absent(edit, file, effects)
        if not stat.S_ISREG(st.st_mode):
            refuse(self.core, edit, file, f"{path} is no longer a file.", ())
        if st.st_size > core.config.store.large_bytes:
            return self._put_over_large(edit, file, st, effects)
        head = core.head_text(path)
        result = self._merge(edit, file, head)
        state_mode = stat.S_IMODE(edit.like.st_mode if edit.take_mode and edit.like else st.st_mode)
        if result == head and state_mode == stat.S_IMODE(st.st_mode) and edit.removes is None:
            file.believe(edit.view.number, edit.writer.pid, self._belief(file, edit.data, head))
            if edit.times_set or not is_source(path):
                self._touch(edit, file, effects)
            return Landed(None, head, head != edit.data)
        like = MadeStat.like(edit.like if edit.take_mode and edit.like else st)
        like.st_mode = stat.S_IFREG | state_mode
        if result == head:
            self._admit_whole(edit, file, needs_of_attributes(path, is_dir=False))
            return self._land(edit, file, head, result, like, effects)
        meant = revise(core, file, head, result)
        revised = self._admit(edit, file, head, meant)
        if revised is not meant and revised.source is not None:
            result = revised.source.text
            if result == head:  # nothing is left of it but what was dropped
                file.believe(edit.view.number, edit.writer.pid, OwnText(edit.data))
                return Landed(None, head, merged=True)
        return self._land(edit, file, head, result, like, effects, revised)

    def _put_over_large(self, edit: Edit, file: File, st: os.stat_result, effects: Effects) -> Landed:
        """Replace a file too large to merge: only what the writer has seen (Z1)."""
        core = self.core
        if edit.new or edit.base not in (None, file.version):
            refuse(
                core, edit, file, f"{edit.path} is too large to merge, and it changed since it was read.", ()
            )
        self._admit_whole(edit, file, core.gate.needs(edit, None))
        like = MadeStat.like(edit.like if edit.take_mode and edit.like else st)
        return self._land(edit, file, b"", edit.data, like, effects)

    def _touch(self, edit: Edit, file: File, effects: Effects) -> None:
        """Let a write of the bytes that are there move the mtime: make(1) and its like go by that.

        Source is left alone unless utimensat(2) was called: agents and git take a new mtime for a new text.
        """
        core = self.core
        at = core.backing.at(edit.path)
        os.utime(at, ns=(edit.atime_ns or edit.mtime_ns, edit.mtime_ns), follow_symlinks=False)
        core.adopt(edit.path, os.lstat(at))
        core.note_content(effects, edit.path)

    def _put_absent(self, edit: Edit, file: File, effects: Effects) -> Landed:
        """Commit an edit of a path where nothing is now: a new file, or one deleted meanwhile."""
        core = self.core
        if not edit.new:
            refuse(
                core, edit, file, f"{edit.path} was deleted by another agent while it was being written.", ()
            )
        result, head = edit.data, b""
        if file.deleted_by == edit.view.number and file.kept and self._is_stale(edit, file):
            kept = self._kept_text(file)  # unlink and create again: an edit of what was there
            base = core.belief_text(file, edit.base)
            if kept is not None and base != kept:
                try:
                    if base is None:
                        self._refuse_unknown(edit, file)
                    else:
                        result = self._merge_texts(edit, file, base, kept)
                except Refused:
                    self._restore(edit, file, kept, effects)
                    raise
        self._admit_whole(edit, file, core.gate.needs(edit, None))
        like = MadeStat.like(edit.like) if edit.like else MadeStat(stat.S_IFREG | 0o644)
        return self._land(edit, file, head, result, like, effects)

    # ---- locks and roles

    def _admit(self, edit: Edit, file: File, head: bytes, revised: Revised) -> Revised:
        """Return what of a new text may be committed now (C5). Raises Refused; Held, if the caller may wait.

        A formatter's change to a node that another agent holds is left out, and its agent told.
        """
        gate = self.core.gate
        needs = gate.needs(edit, revised.changes)
        if self.core.policy(edit.view, edit.path) is OnWrite.LEASE:
            needs = lease_less(edit.path, revised.changes, needs)
        try:
            gate.write(edit.view, edit.path, needs)
        except NotAdmitted as lacking:
            kept = without_reformatting(self.core, file, head, revised, lacking.addresses)
            if kept is None:
                self.lacking(edit, file, lacking)
            gate.dropped(edit.view, edit.path, lacking)
            return self._admit(edit, file, head, kept)
        return revised

    def _admit_whole(self, edit: Edit, file: File, needs: Needs) -> None:
        """As `_admit`, for what has no nodes: a file that is made, or too large to look into; a mode."""
        try:
            self.core.gate.write(edit.view, edit.path, needs)
        except NotAdmitted as lacking:
            self.lacking(edit, file, lacking)

    def lacking(self, edit: Edit, file: File, lacking: NotAdmitted) -> NoReturn:
        """Let the caller wait, if that may help and it may; else refuse, keeping the bytes (C3)."""
        locks = self.core.locks
        if isinstance(lacking, Held) and locks.patient:
            raise lacking
        base = self.core.belief_text(file, edit.base)
        why = f"{reasons.names(lacking.addresses)} may not be changed: {locks.verdict or lacking}"
        kind = Denied if isinstance(lacking, Forbidden) else Refused
        refuse(self.core, edit, file, why, lacking.addresses, base, self.core.gate.advice(lacking), kind)

    @staticmethod
    def _others_wrote(edit: Edit, file: File) -> bool:
        """Tell whether another view committed after what the writer had read."""
        if not isinstance(edit.base, int):
            return edit.base is not None
        return file.foreign_since(edit.view.number, edit.base)

    def _is_stale(self, edit: Edit, file: File) -> bool:
        """Tell whether a deleted file is not what the writer had read; of source, by whoever."""
        if is_source(file.path) and isinstance(edit.base, int):
            return edit.base != file.kept
        return self._others_wrote(edit, file)

    def _restore(self, edit: Edit, file: File, kept: bytes, effects: Effects) -> None:
        """Undo a deletion that was half of a refused edit: the other agents' text must not go with it."""
        before = self.core.store.revision(file.path, Seq(max(file.kept, 0)))
        like = MadeStat.like(edit.like) if edit.like else MadeStat(stat.S_IFREG | 0o644)
        if before is not None:
            like.st_mode = stat.S_IFREG | before.mode
        again = replace(edit, data=kept, mtime_ns=time.time_ns(), times_set=False, removes=None)
        self._land(again, file, b"", kept, like, effects)
        file.beliefs[edit.view.number, edit.writer.pid] = edit.base  # its process has not read that
        self.core.note_name(effects, edit.path, own=None)

    def _kept_text(self, file: File) -> bytes | None:
        """Return the text of a deleted file as it was before the deletion."""
        try:
            return b"".join(node.text for node in self.core.store.nodes(file.path, Seq(max(file.kept, 0))))
        except (NotKept, NotFound):
            return None

    # ---- merge

    def _merge(self, edit: Edit, file: File, head: bytes) -> bytes:
        """Return what the head becomes. Raises Refused."""
        mine = edit.data
        if mine == head:
            return head
        if edit.new:  # two agents made the same file: a merge from nothing
            return self._merge_texts(edit, file, b"", head)
        base = self._base_text(edit, file, head)
        return mine if base == head else self._merge_texts(edit, file, base, head)

    def _base_text(self, edit: Edit, file: File, head: bytes) -> bytes:
        """Return the text the writer started from. Raises Refused if it is not known any more."""
        if edit.base == file.version:
            return head
        if not is_source(file.path) and edit.base is not None and not self._others_wrote(edit, file):
            return head  # processes of one view share a file of bytes as they do anywhere else
        if edit.base is None:
            return infer_base(self.core, file, edit.view.agent, edit.data, head)
        base = self.core.belief_text(file, edit.base)
        if base is None:
            self._refuse_unknown(edit, file)
        return base

    def _refuse_unknown(self, edit: Edit, file: File) -> NoReturn:
        """Refuse a write that began from a text which nobody kept."""
        why = f"{file.path} changed in the repository since it was read, and what was read is not kept."
        refuse(self.core, edit, file, why, ())

    def _merge_texts(self, edit: Edit, file: File, base: bytes, head: bytes) -> bytes:
        """Merge three texts. Raises Refused with the conflicts' sentences."""
        merged = merge(self.core, file, base, edit.data, head, edit.base)
        if isinstance(merged, Conflict):
            self._refuse_clashes(edit, file, merged.items, base)
        return merged.text

    def _refuse_clashes(
        self, edit: Edit, file: File, items: tuple[ConflictItem, ...], base: bytes
    ) -> NoReturn:
        sentences = " ".join(item.sentence.rstrip(".") + "." for item in items[:5])
        refuse(self.core, edit, file, sentences, tuple(dict.fromkeys(item.address for item in items)), base)

    def foresee(self, edit: Edit, so_far: bytes) -> None:
        """Refuse a write that is not finished if nothing that may follow could be accepted (G2).

        `so_far` ends where the last write ended: what is behind that in `edit` is an older text, most likely
        to be written over, and says nothing of what its writer means.
        """
        core, path = self.core, edit.path
        file = core.file(path)
        self._foresee_locks(edit, file, so_far)
        if edit.new or edit.base is None or edit.base == file.version:
            return
        if file.owed is None and core.backing.lstat(path) is None:
            refuse(
                self.core, edit, file, f"{path} was deleted by another agent while it was being written.", ()
            )
        base = core.belief_text(file, edit.base)
        head = core.head_text(path)
        if base is not None and base != head:
            items = hopeless(core, file, base, so_far, head, edit.base)
            if items:
                self._refuse_clashes(edit, file, items, base)

    def _foresee_locks(self, edit: Edit, file: File, so_far: bytes) -> None:
        """Wait for, or refuse, what will be changed whatever follows, though the writer may not."""
        core = self.core
        if not core.gate.is_narrow(edit.view, edit.path) or (
            file.owed is None and core.backing.lstat(edit.path) is None
        ):
            return
        base = None if edit.new else core.belief_text(file, edit.base)
        base = core.head_text(edit.path) if base is None else base
        needs = certain_needs(core, file, base, so_far)
        try:
            core.gate.foresee(edit.view, edit.path, needs)
        except NotAdmitted as lacking:
            self.lacking(edit, file, lacking)

    @staticmethod
    def _belief(file: File, mine: bytes, head: bytes) -> Belief:
        return file.version if mine == head else OwnText(mine)

    # ---- commit and write through

    def _land(
        self,
        edit: Edit,
        file: File,
        head: bytes,
        result: bytes,
        like: MadeStat,
        effects: Effects,
        revised: Revised | None = None,
    ) -> Landed:
        """Journal the result, write it through, and note whose caches are wrong now."""
        core = self.core
        if revised is None:
            revised = revise(core, file, head, result)
        state = core.text_state(result, stat.S_IMODE(like.st_mode), revised.texts)
        merged = result != edit.data
        change = FileChange(
            RepoPath(edit.path), state, origin=core.origin(edit.path), edits=revised.edits, merged=merged
        )
        changes = [*self._missing_parents(edit.path), change]
        if edit.removes is not None:
            changes.append(self._absent(edit.removes))
        commit = self.journal(edit.view.agent, edit.writer, tuple(changes))
        mtime_ns = edit.mtime_ns
        if file.signature is not None and not edit.times_set:
            mtime_ns = max(mtime_ns, file.signature[0] + 1)
        like.st_atime_ns = edit.atime_ns if edit.times_set else mtime_ns
        if (now := core.backing.lstat(edit.path)) is not None and now.st_size == len(head):
            core.show_still(edit.path, head, now, file.version)
        self._landed(file, commit, revised)
        file.changed(edit.view.number, time.monotonic())
        overtaken = self.through.write(file, result, like, mtime_ns, edit.xattrs_of)
        if edit.removes is not None:
            self._remove_backing(edit.removes)
        file.believe(edit.view.number, edit.writer.pid, self._belief(file, edit.data, result))
        edit.view.commits += 1
        core.note_content(effects, edit.path, but=edit.view if edit.tells_itself else None)
        if overtaken is not None:
            self.overtaken(file, head, overtaken, effects)
        return Landed(commit.seq, result, merged)

    def _landed(self, file: File, commit: Commit, revised: Revised) -> None:
        if file.version <= 0:
            file.first = file.version
        file.version = commit.seq
        self.core.remember(file, revised.source)
        file.deleted_by = file.kept = 0
        self.core.next_uid = revised.next_uid

    def overtaken(self, file: File, base: bytes, theirs: bytes, effects: Effects) -> None:
        """Merge an edit that somebody made in the repository while ours was on its way (C4)."""
        edit = Edit(self._external_view, file.path, theirs, OwnText(base), NOBODY, time.time_ns())
        with contextlib.suppress(Refused):  # then it is kept as external's refusal
            self.put(edit, effects)

    def _remove_backing(self, path: str) -> None:
        try:
            os.unlink(self.core.backing.at(path))
        except OSError as error:
            log.warning("could not remove %s from the repository: %s", path, error)

    def _missing_parents(self, path: str) -> list[FileChange]:
        """Return the folders that must be made again for a file (somebody removed them meanwhile)."""
        changes: list[FileChange] = []
        folder = parent_of(path)
        while folder and self.core.backing.lstat(folder) is None:
            changes.append(
                FileChange(RepoPath(folder), FileState(FileKind.DIR, 0o755), origin=self.core.origin(folder))
            )
            folder = parent_of(folder)
        if changes:
            self.core.backing.make_parents(path)
        return changes[::-1]

    def _absent(self, path: str) -> FileChange:
        return FileChange(RepoPath(path), FileState(FileKind.ABSENT), origin=self.core.origin(path))
