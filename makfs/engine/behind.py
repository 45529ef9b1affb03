"""Files that somebody changed in the repository's directory itself, behind us.

B1  What is found changed becomes a commit of `external` before anything else is made of it; nothing of it is
    overwritten or refused (`gate`, G2).
"""

import logging
import os
import stat
import time
from dataclasses import replace

from makfs.engine.core import Core
from makfs.engine.effects import Effects
from makfs.engine.files import File, signature
from makfs.engine.needs import needs_of_changes
from makfs.engine.nodes import revise
from makfs.engine.procs import NOBODY
from makfs.engine.through import Through
from makfs.engine.views import View
from makfs.errors import NotFound, NotKept
from makfs.ids import EXTERNAL
from makfs.store.model import FileChange, FileKind, FileState

log = logging.getLogger(__name__)
UNKNOWN = FileState(FileKind.FILE, 0o644, content_hash=bytes(16), kept=False)
"""A file that was there and is not known: changed behind us before anybody had read it."""


class Behind:
    """Compares files with what we know of them. Plain `def`s (E1)."""

    def __init__(self, core: Core, through: Through, external: View) -> None:
        self.core = core
        self._through = through
        self.view = external

    def refresh(self, file: File, effects: Effects) -> os.stat_result | None:
        """Import what changed in the backing directory behind us (B1); return the file's attributes now."""
        core = self.core
        st = core.backing.lstat(file.path)
        if file.owed is not None:
            return st
        now = signature(st) if st is not None and stat.S_ISREG(st.st_mode) else None
        if file.signature == now and (now is not None or file.version <= 0 or file.deleted_by):
            return st
        if file.version <= 0:
            if file.signature is not None:
                self._import_unrecorded(file, st, effects)
            file.signature = now
            return st
        self._import(file, st, effects)
        file.signature = now
        return st

    def _import_unrecorded(self, file: File, st: os.stat_result | None, effects: Effects) -> None:
        """Book a change of a file that nobody had changed through us: what it was is not known any more."""
        known = file.version
        file.version -= 1
        file.source = None
        log.info("%s changed in the repository (was version %d)", file.path, known)
        self._external(file, UNKNOWN, effects)

    def _import(self, file: File, st: os.stat_result | None, effects: Effects) -> None:
        """Compare a recorded file with the backing directory; journal the difference as `external`'s."""
        core = self.core
        revision = core.store.revision(file.path)
        assert revision is not None
        if st is None and revision.kind is FileKind.ABSENT:
            return
        if st is not None and not stat.S_ISREG(st.st_mode):
            now = core.state(file.path)
            if (now.kind, now.target) == (revision.kind, revision.target):
                return
        if st is not None and stat.S_ISREG(st.st_mode) and revision.kind is FileKind.FILE:
            same_mode = stat.S_IMODE(st.st_mode) == revision.mode
            if same_mode and st.st_size == revision.size_bytes:
                now = core.state(file.path)
                if now.content_hash == revision.content_hash:
                    return
        self._external(file, None, effects)

    def import_mode(self, file: File, effects: Effects) -> None:
        """Book a change of the mode alone, which leaves the signature (F2) as it was."""
        if file.owed is None:
            self._external(file, None, effects)

    def _external(self, file: File, origin: FileState | None, effects: Effects) -> None:
        core = self.core
        state = core.state(file.path)
        before_it = core.store.revision(file.path)
        kind = before_it.kind if before_it is not None else FileKind.FILE
        edits, texts, revised = (), state.nodes, None
        if state.kind is FileKind.FILE and state.kept and file.version > 0:
            before = self._kept_before(file)
            if before is not None:
                revised = revise(core, file, before, b"".join(node.text for node in state.nodes))
                edits, texts = revised.edits, revised.texts  # type: ignore[assignment]
                file.source, core.next_uid = revised.source, revised.next_uid
        else:
            file.source = None
        state = replace(state, nodes=texts) if texts else state
        changes = revised.changes if revised is not None else None
        core.gate.write(self.view, file.path, needs_of_changes(file.path, changes))  # G2
        change = FileChange(file.path, state, origin=origin, edits=edits, write_through=False)
        commit = self._through.journal(EXTERNAL, NOBODY, (change,), "edited in the repository")
        if file.version <= 0:
            file.first = file.version
        file.version = commit.seq
        file.changed(self.view.number, time.monotonic())
        core.note_content(effects, file.path)
        if state.kind is not FileKind.FILE or kind is not FileKind.FILE:
            core.left(file.path)
            core.note_name(effects, file.path, own=None)

    def _kept_before(self, file: File) -> bytes | None:
        try:
            return b"".join(node.text for node in self.core.store.nodes(file.path))
        except (NotKept, NotFound):
            return None
