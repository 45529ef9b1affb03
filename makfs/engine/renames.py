"""Renames of tracked files and folders. Each is one commit, then one change on disk.

M1  Paths, file ids, head files and inodes of all views change in one step: a file keeps its identity when
    it moves, and who has it open keeps the file.
M2  A rename over a file by something its view made a moment ago is an edit of that file (editors save so).
M5  mv(1) does not replace what its view has not seen: the newest version of another agent.
M4  What was believed and staged of a moved file is still what it was: its versions only have other names.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterable, Sequence

from makfs.engine.ahead import Ahead
from makfs.engine.backing import RENAME_EXCHANGE, STATE_DIR, renameat2
from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.edit import Edit
from makfs.engine.effects import Effects
from makfs.engine.files import Belief, File, PastText, signature
from makfs.engine.inodes import Realm
from makfs.engine.names import Maker, Names, oserror, state_with_nodes
from makfs.engine.refusing import refuse
from makfs.engine.tree import Found
from makfs.engine.views import View
from makfs.errors import NotKept
from makfs.ids import RepoPath, Seq
from makfs.store.model import FileChange, FileKind, FileState, LogQuery

Pair = tuple[str, str]  # old path, new path
_SWAP = "\0swap"  # no file has such a path


class Renames:
    """Renames of tracked paths. Plain `def`s (E1). What the source had staged is committed already."""

    def __init__(self, core: Core, corridor: Corridor, names: Names) -> None:
        self.core = core
        self.corridor = corridor
        self.names = names
        self.ahead = Ahead(core, corridor)

    def rename(self, view: View, old: str, new: str, maker: Maker, effects: Effects) -> None:
        """Rename a path to a name that is free or whose file goes away (rename(2))."""
        core = self.core
        st = core.backing.lstat(old)
        there = core.backing.lstat(new)
        if st is None:
            raise oserror(errno.ENOENT, old)
        is_dir = stat.S_ISDIR(st.st_mode)
        self.check_target(view, old, new, is_dir, there)
        regular = stat.S_ISREG(st.st_mode) and there is not None and stat.S_ISREG(there.st_mode)
        if regular and self._is_save(view, old):
            self._rename_over(view, old, new, st, maker, effects)
        else:
            if regular:
                self._check_seen(view, old, new, maker, effects)
            self._move(view, old, new, maker, effects)

    def _check_seen(self, view: View, old: str, new: str, maker: Maker, effects: Effects) -> None:
        """Refuse to replace a text of another agent's that the view has not seen (M5). Raises Refused."""
        core = self.core
        file = core.file(new)
        self.corridor.refresh(file, effects)
        belief = file.belief(view.number, maker.writer.pid)
        if belief is None or belief == file.version:
            return
        newest = core.store.log(LogQuery(limit=1, path=file.path))
        if not newest or newest[0].agent == view.agent:
            return
        if core.belief_text(file, belief) != core.head_text(new):
            edit = Edit(view, new, core.backing.read(old), belief, maker.writer, 0)
            refuse(core, edit, file, f"{new} would have been replaced by {old}.", ())

    def check_target(
        self, view: View, old: str, new: str, is_dir: bool, there: os.stat_result | None
    ) -> None:
        """Raise what rename(2) raises for a target of the wrong type, or a folder that is not empty."""
        if new.startswith(old + "/"):
            raise oserror(errno.EINVAL, new)
        if there is None:
            return
        target_is_dir = stat.S_ISDIR(there.st_mode)
        if is_dir and not target_is_dir:
            raise oserror(errno.ENOTDIR, new)
        if target_is_dir and old.startswith(new + "/"):
            raise oserror(errno.ENOTEMPTY, new)
        if target_is_dir and not is_dir:
            raise oserror(errno.EISDIR, new)
        if target_is_dir and (self.core.backing.names(new) or self.names.private_below(view, new)):
            raise oserror(errno.ENOTEMPTY, new)

    @staticmethod
    def _is_save(view: View, old: str) -> bool:
        """Tell whether a rename over a file is an editor's save (M2)."""
        source = view.by_path.get(old)
        return source is not None and source.young

    def is_save(self, view: View, old: str, there: Found | None) -> bool:
        """Tell whether a rename will be an edit of the file that is there (M2)."""
        return there is not None and not there.inode.is_dir and self._is_save(view, old)

    def _rename_over(
        self, view: View, old: str, new: str, st: os.stat_result, maker: Maker, effects: Effects
    ) -> None:
        """Commit the source's text as an edit of the target, which keeps its identity."""
        data = self.core.backing.read(old)
        source = self.core.backing.at(old)
        seq = self.names.save(view, new, data, st, maker, effects, source=source, removes=old)
        self.hand_over(view, old, new)
        self.names.gone(view, old, seq, effects, moved=True)

    @staticmethod
    def hand_over(view: View, old: str, new: str) -> None:
        """Settle which inode the new name has: the kernel has moved the old name's entry there.

        If that entry has no time-out left, the next look finds the inode that the file always had; else the
        old name's inode must be the file now, as it must if somebody has it open.
        """
        source, target = view.by_path.get(old), view.by_path.get(new)
        if source is None:
            return
        if not source.pinned and not source.opens:
            view.orphan(source)
            return
        if target is not None:
            view.orphan(target)
        view.moved(old, new, folder=False)
        source.realm = Realm.TRACKED

    # ---- move

    def _move(self, view: View, old: str, new: str, maker: Maker, effects: Effects) -> None:
        core = self.core
        tree = self._tree(old, effects)
        pairs = [(path, new + path[len(old) :]) for path in tree]
        changes: list[FileChange] = []
        for pair in pairs:
            changes += self._moved_changes(*pair, tree[pair[0]], origin_of_target=pair[0] == old)
        slash = "/" if len(pairs) > 1 else ""
        commit = self.corridor.journal(
            view.agent, maker.writer, tuple(changes), f"rename {old}{slash} -> {new}{slash}"
        )
        for other in core.views.values():
            if (target := other.tracked(new)) is not None:
                self.names.keep(target, replaced=True)
        os.rename(core.backing.at(old), core.backing.at(new))
        view.commits += 1
        self._displace(view, old, new, effects)
        self._names_moved(view, [(old, new)], effects, folders=core.backing.is_dir(new))
        self._files_moved(pairs, commit.seq)

    def _tree(self, top: str, effects: Effects) -> dict[str, int]:
        """Return the tracked paths at and below `top` with their modes, each file compared with ours."""
        core = self.core
        found = [(top, os.lstat(core.backing.at(top)))]
        if stat.S_ISDIR(found[0][1].st_mode):  # a link to a folder is not walked into
            found += core.backing.walk(top)
        paths: dict[str, int] = {}
        for path, st in found:
            is_dir = stat.S_ISDIR(st.st_mode)
            if path != top and core.classifier.realm(path, is_dir=is_dir) in (Realm.GIT, Realm.SCRATCH):
                continue
            paths[path] = st.st_mode
            if stat.S_ISREG(st.st_mode):
                self.corridor.refresh(core.file(path), effects)
        return paths

    def _moved_changes(self, old: str, new: str, mode: int, *, origin_of_target: bool) -> list[FileChange]:
        seen = self.ahead.of(old, mode)
        return [
            FileChange(RepoPath(old), FileState(FileKind.ABSENT), origin=seen.origin),
            FileChange(
                RepoPath(new), seen.state, moved_from=RepoPath(old),
                origin=self.core.origin(new) if origin_of_target else None,
            ),
        ]  # fmt: skip

    def _displace(self, view: View, old: str, new: str, effects: Effects) -> None:
        """Take the name from what is at `new` in every view.

        A file that another view is writing keeps it: its writer is merged onto what has come, or told (M3).
        """
        for other in self.core.views.values():
            target = other.tracked(new)
            if target is None:
                continue
            if other is view or target.staging is None or not target.is_staged:
                other.orphan(target, elsewhere=other is not view)
                if other is not view:
                    effects.attributes.append(target.ino)
                continue
            target.staging.base = self._past(new, target.staging.base)
            source = other.by_path.get(old)
            if source is not None and not source.is_staged:  # else: V4
                self.names.keep(source)
                other.orphan(source, elsewhere=True)

    def _names_moved(self, view: View, steps: Sequence[Pair], effects: Effects, *, folders: bool) -> None:
        """Move paths, and all below them, one after another, in every view's tables (M1)."""
        core = self.core
        known = {old: _after(old, steps) for old, _ in steps if old != _SWAP}  # path before -> path now
        for other in core.views.values():
            if folders:
                known |= {path: now for path in other.by_path if (now := _after(path, steps)) != path}
            for old, new in steps:
                for path in _move_in(other, old, new, folder=folders):
                    core.note_name(effects, path, own=view)
            if folders and other.upper is not None:
                other.upper.renamed_folders([_real_step(step) for step in steps])
        core.table.moved(list(known.items()))
        for path in {path for step in steps for path in step if path != _SWAP}:
            core.note_name(effects, path, own=view)

    def _files_moved(self, pairs: Sequence[Pair], seq: Seq) -> None:
        """Let the head files, and what is believed of them, follow their paths (M1, M4)."""
        core = self.core
        taken = [(core.file(old), old, new) for old, new in pairs]
        for _, old, _ in taken:
            core.files[old] = File(RepoPath(old), version=seq, deleted_by=-1)
        for file, old, new in taken:
            version = file.version
            core.remember(file, None)
            file.path, file.version = RepoPath(new), seq
            st = core.backing.lstat(new)
            file.signature = signature(st) if st is not None and stat.S_ISREG(st.st_mode) else None
            core.files[new] = file
            core.rebase(new, self._renaming(old, version, seq))

    def _renaming(self, old: str, version: int, seq: Seq) -> Callable[[Belief], Belief]:
        """Return how a version's name at `old` reads after the move that made `version` into `seq` (M4)."""

        def now(belief: Belief) -> Belief:
            return int(seq) if belief == version else self._past(old, belief)

        return now

    def _past(self, path: str, belief: Belief) -> Belief:
        """Name a version by its text: its number means nothing at another path."""
        if not isinstance(belief, int):
            return belief
        try:
            revision = self.core.store.revision(RepoPath(path), Seq(max(belief, 0)))
        except NotKept:  # history was cut
            return None
        return PastText(revision.content_hash) if revision is not None else None

    # ---- exchange

    def exchange(self, view: View, one: str, other: str, maker: Maker, effects: Effects) -> None:
        """Swap two tracked paths (RENAME_EXCHANGE)."""
        core = self.core
        for path in (one, other):
            if core.backing.lstat(path) is None:
                raise oserror(errno.ENOENT, path)
        if one.startswith(other + "/") or other.startswith(one + "/"):
            raise oserror(errno.EINVAL, other)
        pairs = [(path, other + path[len(one) :]) for path in self._tree(one, effects)]
        pairs += [(path, one + path[len(other) :]) for path in self._tree(other, effects)]
        changes = self._exchanged_changes(pairs)
        commit = self.corridor.journal(view.agent, maker.writer, changes, f"exchange {one} and {other}")
        renameat2(core.backing.at(one), core.backing.at(other), RENAME_EXCHANGE)
        view.commits += 1
        folders = core.backing.is_dir(one) or core.backing.is_dir(other)
        self._names_moved(view, [(one, _SWAP), (other, one), (_SWAP, other)], effects, folders=folders)
        self._files_moved(pairs, commit.seq)

    def _exchanged_changes(self, pairs: Sequence[Pair]) -> tuple[FileChange, ...]:
        core = self.core
        targets = {new for _, new in pairs}
        changes = [
            FileChange(
                RepoPath(new), state_with_nodes(core, old), moved_from=RepoPath(old), origin=core.origin(new)
            )
            for old, new in pairs
        ]
        changes += [
            FileChange(RepoPath(old), FileState(FileKind.ABSENT), origin=core.origin(old))
            for old, _ in pairs
            if old not in targets
        ]
        return tuple(changes)


def _move_in(view: View, old: str, new: str, *, folder: bool) -> list[str]:
    """Move a tracked path in one view, in which either name may be a private file's (`View.moved`)."""
    inode = view.by_path.get(old)
    if inode is not view.tracked(old):
        return []
    if view.by_path.get(new) is not view.tracked(new):
        if inode is not None and not inode.is_staged:  # else: V4
            view.orphan(inode, elsewhere=True)
        return []
    return view.moved(old, new, folder=folder)


def _after(path: str, steps: Iterable[Pair]) -> str:
    """Return where a path is after these renames."""
    for old, new in steps:
        if path == old or path.startswith(old + "/"):
            path = new + path[len(old) :]
    return path


def _real_step(step: Pair) -> Pair:
    """Return the step with a swap name that a private layer can have on disk, where no view has a name."""
    old, new = (STATE_DIR if path == _SWAP else path for path in step)
    return old, new
