"""Names of tracked files and folders: make, remove, rename. Each is one commit, then one change on disk.

M1  Paths, file ids and inodes of all views change in the same step: a file keeps its identity when it moves.
M2  A rename over a file by something its view made a moment ago is an edit of that file (editors save so).
M3  In other views a removed file's inode with staged bytes keeps its path, so that its writer is told.
"""

import contextlib
import dataclasses
import errno
import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass

from makfs.engine.backing import RENAME_EXCHANGE, renameat2
from makfs.engine.core import Core, join, parent_of
from makfs.engine.corridor import NOBODY, Corridor, Edit
from makfs.engine.effects import Effects
from makfs.engine.files import File, PastText, signature
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.procs import Writer
from makfs.engine.views import View
from makfs.errors import Refused
from makfs.ids import RepoPath, Seq
from makfs.store.model import FileChange, FileKind, FileState

REFUSED_SAVE_S = 60.0  # so long a refused rename also refuses the in-place write that clients fall back to


@dataclass(frozen=True, slots=True)
class Maker:
    """Who makes a name: owner of what is made, and the process for the journal."""

    uid: int
    gid: int
    writer: Writer = NOBODY


def oserror(number: int, path: str = "") -> OSError:
    """Return the OSError of an errno."""
    return OSError(number, os.strerror(number), path)


Make = Callable[[str], None]


class Names:
    """Name operations of tracked paths. Plain `def`s (E1)."""

    def __init__(self, core: Core, corridor: Corridor) -> None:
        self.core = core
        self.corridor = corridor

    # ---- make

    def mkdir(self, view: View, path: str, mode: int, maker: Maker, effects: Effects) -> None:
        """Make a folder. Raises FileExistsError at once if there is anything."""
        core = self.core
        if core.backing.lstat(path) is not None or path in view.by_path:
            raise oserror(errno.EEXIST, path)
        change = FileChange(
            RepoPath(path), FileState(FileKind.DIR, stat.S_IMODE(mode)), origin=core.origin(path)
        )
        commit = self.corridor.journal(view.agent, maker.writer, (change,))
        self._on_disk(path, lambda at: os.mkdir(at, stat.S_IMODE(mode)))
        self._own(path, maker)
        os.chmod(core.backing.at(path), stat.S_IMODE(mode))
        self._made(path, commit.seq, view, effects)

    def symlink(self, view: View, path: str, target: bytes, maker: Maker, effects: Effects) -> None:
        """Make a symbolic link."""
        core = self.core
        if core.backing.lstat(path) is not None or path in view.by_path:
            raise oserror(errno.EEXIST, path)
        state = FileState(FileKind.SYMLINK, 0o777, target=target)
        change = FileChange(RepoPath(path), state, origin=core.origin(path))
        commit = self.corridor.journal(view.agent, maker.writer, (change,))
        self._on_disk(path, lambda at: os.symlink(target, os.fsencode(at)))
        self._own(path, maker)
        self._made(path, commit.seq, view, effects)

    def _on_disk(self, path: str, make: "Make") -> None:
        try:
            make(self.core.backing.at(path))
        except FileNotFoundError:
            self.core.backing.make_parents(path)
            make(self.core.backing.at(path))

    def _own(self, path: str, maker: Maker) -> None:
        if os.geteuid() == 0:
            os.lchown(self.core.backing.at(path), maker.uid, maker.gid)

    def _made(self, path: str, seq: Seq, view: View, effects: Effects) -> None:
        file = self.core.file(path)
        file.version, file.deleted_by, file.kept, file.source = seq, 0, 0, None
        file.beliefs.clear()
        view.commits += 1
        self.core.note_name(effects, path, own=view)

    def chmod(self, inode: Inode, mode: int, maker: Maker, effects: Effects) -> None:
        """Change permission bits: a commit for what is at head, noted for what is staged or an orphan."""
        core, path = self.core, inode.path
        bits = stat.S_IMODE(mode)
        if inode.staging is not None and inode.staging.new:
            inode.staging.mode = bits
            return
        if path is None:
            if inode.last_stat is not None:
                made = MadeStat.like(inode.last_stat)
                made.st_mode = stat.S_IFMT(made.st_mode) | bits
                inode.last_stat = made
            return
        st = core.backing.lstat(path)
        if st is None:
            raise oserror(errno.ENOENT, path)
        if stat.S_IMODE(st.st_mode) == bits:
            return
        if stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode):
            self._journal_mode(inode.view, path, bits, maker, effects)
        os.chmod(core.backing.at(path), bits)
        for view in core.views.values():
            other = view.by_path.get(path)
            if other is not None and other.lookups > 0 and other is not inode:
                effects.attributes.append(other.ino)

    def _journal_mode(self, view: View, path: str, bits: int, maker: Maker, effects: Effects) -> None:
        core = self.core
        file = core.file(path)
        self.corridor.refresh(file, effects)
        origin = core.origin(path)
        state = dataclasses.replace(self._state_with_nodes(path), mode=bits)
        change = FileChange(RepoPath(path), state, origin=origin)
        commit = self.corridor.journal(view.agent, maker.writer, (change,), f"mode {bits:o}")
        for key, belief in list(file.beliefs.items()):
            if belief == file.version:
                file.beliefs[key] = int(commit.seq)
        if file.version <= 0:
            file.first = file.version
        file.version = commit.seq
        view.commits += 1

    # ---- remove

    def unlink(self, view: View, path: str, maker: Maker, effects: Effects) -> None:
        """Remove a file or symbolic link; open handles keep its bytes."""
        core = self.core
        inode = view.by_path.get(path)
        st = core.backing.lstat(path)
        if inode is not None and inode.staging is not None and inode.staging.new:
            view.orphan(inode)
            if st is None:
                return
        if st is None:
            raise oserror(errno.ENOENT, path)
        if stat.S_ISDIR(st.st_mode):
            raise oserror(errno.EISDIR, path)
        file = core.file(path)
        self.corridor.refresh(file, effects)
        self._delete(view, path, maker, effects)
        os.unlink(core.backing.at(path))

    def rmdir(self, view: View, path: str, maker: Maker, effects: Effects) -> None:
        """Remove an empty folder. Raises ENOTEMPTY if anything is visible in it."""
        core = self.core
        st = core.backing.lstat(path)
        if st is None:
            raise oserror(errno.ENOENT, path)
        if not stat.S_ISDIR(st.st_mode):
            raise oserror(errno.ENOTDIR, path)
        if core.backing.names(path) or self.private_below(view, path):
            raise oserror(errno.ENOTEMPTY, path)
        self._delete(view, path, maker, effects)
        os.rmdir(core.backing.at(path))
        if view.upper is not None:
            view.upper.dropped_folder(path)

    def private_below(self, view: View, path: str) -> bool:
        """Tell whether the view has staged or private names directly in a folder."""
        if view.upper is not None and view.upper.tops.get(path):
            return True
        return any(
            inode.staging is not None and inode.staging.new and parent_of(inode.path or "") == path
            for inode in view.below(path)
        )

    def _delete(self, view: View, path: str, maker: Maker, effects: Effects) -> None:
        """Journal an absence and take the path from all views."""
        core = self.core
        change = FileChange(RepoPath(path), FileState(FileKind.ABSENT), origin=core.origin(path))
        commit = self.corridor.journal(view.agent, maker.writer, (change,))
        view.commits += 1
        self.gone(view, path, commit.seq, effects)

    def gone(self, view: View, path: str, seq: Seq, effects: Effects, *, moved: bool = False) -> None:
        """Take a path that no longer exists at head from all tables (M1, M3).

        A file that was removed, not `moved`, may be made again a moment later (git and vim replace files so):
        what was read of it stays known.
        """
        core = self.core
        file = core.file(path)
        file.kept = file.version if file.version > 0 else -1
        st = core.backing.lstat(path)
        if moved or st is None or not stat.S_ISREG(st.st_mode):
            file.kept = 0
            file.beliefs.clear()
        file.version, file.signature, file.source = seq, None, None
        file.deleted_by = view.number
        core.note_name(effects, path, own=view)
        for other in core.views.values():
            inode = other.by_path.get(path)
            if inode is None:
                continue
            staged = inode.staging is not None and inode.staging.dirty
            if other is view or not staged:
                self._keep(inode)
                other.orphan(inode)
        core.table.removed(path)

    def _keep(self, inode: Inode) -> None:
        """Keep attributes and bytes of a file about to become an orphan for those who have it open."""
        if inode.path is None or inode.opens == 0 or inode.is_dir:
            return
        at = self.core.backing.at(inode.path)
        with contextlib.suppress(OSError):  # a staged file that is nowhere yet
            inode.orphan_fd = os.open(at, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            made = MadeStat.like(os.fstat(inode.orphan_fd))
            made.st_nlink = 0
            inode.last_stat = made

    # ---- rename

    def rename(self, view: View, old: str, new: str, maker: Maker, effects: Effects) -> None:
        """Rename a tracked path to a name that is free or whose file goes away (rename(2))."""
        core = self.core
        st = core.backing.lstat(old)
        there = core.backing.lstat(new)
        inode = view.by_path.get(old)
        if st is None and (inode is None or inode.staging is None):
            raise oserror(errno.ENOENT, old)
        is_dir = st is not None and stat.S_ISDIR(st.st_mode)
        self._check_target(view, old, new, is_dir, there)
        if inode is not None and inode.staging is not None and (inode.staging.dirty or st is None):
            self._rename_staged(view, inode, old, new, maker, effects)
            return
        assert st is not None
        regular = stat.S_ISREG(st.st_mode) and there is not None and stat.S_ISREG(there.st_mode)
        if regular and self._is_save(view, old):
            self._rename_over(view, old, new, st, maker, effects)
            return
        self._move(view, old, new, is_dir, maker, effects)

    def _check_target(
        self, view: View, old: str, new: str, is_dir: bool, there: os.stat_result | None
    ) -> None:
        if new.startswith(old + "/"):
            raise oserror(errno.EINVAL, new)
        if there is None:
            return
        target_is_dir = stat.S_ISDIR(there.st_mode)
        if is_dir and not target_is_dir:
            raise oserror(errno.ENOTDIR, new)
        if target_is_dir and not is_dir:
            raise oserror(errno.EISDIR, new)
        if target_is_dir and (self.core.backing.names(new) or self.private_below(view, new)):
            raise oserror(errno.ENOTEMPTY, new)

    def _is_save(self, view: View, old: str) -> bool:
        """Tell whether a rename over a file is an editor's save (M2)."""
        source = view.by_path.get(old)
        return source is not None and source.young and source.opens == 0

    def _rename_over(
        self, view: View, old: str, new: str, st: os.stat_result, maker: Maker, effects: Effects
    ) -> None:
        """Commit the source's text as an edit of the target, which keeps its identity."""
        data = self.core.backing.read(old)
        seq = self.save(view, new, data, st, maker, effects, removes=old)
        self.hand_over(view, old, new)
        self.gone(view, old, seq, effects, moved=True)

    def hand_over(self, view: View, old: str, new: str) -> None:
        """Settle which inode the new name has: the kernel has moved the old name's entry there.

        If that entry has no time-out left, the next look finds the inode that the file always had; else the
        old name's inode must be the file now.
        """
        source, target = view.by_path.get(old), view.by_path.get(new)
        if source is None:
            return
        if not source.pinned and not source.opens:
            view.orphan(source)
            return
        if target is not None:
            view.orphan(target)
        view.moved(old, new)
        source.realm = Realm.TRACKED

    def save(
        self,
        view: View,
        path: str,
        data: bytes,
        like: StatLike,
        maker: Maker,
        effects: Effects,
        removes: str | None = None,
    ) -> Seq:
        """Commit bytes that an editor put in the place of a file (or of none). Raises Refused."""
        core = self.core
        there = core.backing.lstat(path)
        if there is not None and not stat.S_ISREG(there.st_mode):
            self.unlink(view, path, maker, effects)  # a link is replaced, not written through
            there = None
        file = core.file(path)
        target = view.by_path.get(path)
        if target is not None:
            self._keep(target)
        pid = maker.writer.pid
        edit = Edit(
            view, path, data, file.belief(view.number, pid), maker.writer, like.st_mtime_ns, like=like,
            take_mode=True, removes=removes, new=there is None,
        )  # fmt: skip
        try:
            landed = self.corridor.put(edit, effects)
        except Refused:
            view.refused_saves[path, pid] = time.monotonic() + REFUSED_SAVE_S
            if target is not None:
                target.drop_orphan_fd()
            raise
        if target is not None and target.opens:  # who has the old file open goes on reading it
            view.orphan(target)
        elif target is not None:
            target.drop_orphan_fd()
        if edit.new:
            core.note_name(effects, path, own=view)
        return landed.seq if landed.seq is not None else core.store.head

    def _rename_staged(
        self, view: View, inode: Inode, old: str, new: str, maker: Maker, effects: Effects
    ) -> None:
        """Rename a file with open, uncommitted bytes: they are committed under the old name first."""
        staging = inode.staging
        assert staging is not None
        if staging.new and self.core.backing.lstat(new) is None:
            self.core.table.renamed(old, new)
            view.moved(old, new)
            return
        self.commit_staged(inode, effects)
        self.rename(view, old, new, maker, effects)

    def commit_staged(self, inode: Inode, effects: Effects) -> None:
        """Commit an inode's staged bytes; set by the room that stages (`engine.data`)."""
        raise NotImplementedError

    def _move(
        self,
        view: View,
        old: str,
        new: str,
        is_dir: bool,
        maker: Maker,
        effects: Effects,
    ) -> None:
        core = self.core
        moved = [old] + ([path for path, _ in core.backing.walk(old)] if is_dir else [])
        moved = [path for path in moved if ".git" not in path.split("/")]
        changes: list[FileChange] = []
        for path in moved:
            self.corridor.refresh(core.file(path), effects)
        for path in moved:
            changes += self._moved_changes(path, new + path[len(old) :], origin_of_target=path == old)
        note = f"rename {old}{'/' if is_dir else ''} -> {new}{'/' if is_dir else ''}"
        commit = self.corridor.journal(view.agent, maker.writer, tuple(changes), note)
        for other in core.views.values():
            if (target := other.by_path.get(new)) is not None:
                self._keep(target)
        os.rename(core.backing.at(old), core.backing.at(new))
        view.commits += 1
        self._names_of_move(view, old, new, effects)
        for path in moved:
            self._file_moved(path, new + path[len(old) :], commit.seq)

    def _moved_changes(self, old: str, new: str, *, origin_of_target: bool) -> list[FileChange]:
        core = self.core
        state = self._state_with_nodes(old)
        origin = core.origin(old)
        return [
            FileChange(RepoPath(old), FileState(FileKind.ABSENT), origin=origin),
            FileChange(
                RepoPath(new), state, moved_from=RepoPath(old),
                origin=core.origin(new) if origin_of_target else None,
            ),
        ]  # fmt: skip

    def _state_with_nodes(self, path: str) -> FileState:
        """Return what stands at a path, with the nodes' identities if the store knows the very text."""
        core = self.core
        state = core.state(path)
        revision = core.store.revision(RepoPath(path))
        if revision is None or revision.kind is not FileKind.FILE or not state.kept:
            return state
        if revision.content_hash != state.content_hash or not revision.kept:
            return state
        return dataclasses.replace(state, nodes=core.store.nodes(RepoPath(path)))

    def _names_of_move(self, view: View, old: str, new: str, effects: Effects) -> None:
        """Move the path, and all below it, in every view's tables (M1)."""
        core = self.core
        for other in core.views.values():
            if (target := other.by_path.get(new)) is not None:
                other.orphan(target)
            other.moved(old, new)
            if other.upper is not None:
                other.upper.renamed_folder(old, new)
        core.table.renamed(old, new)
        core.note_name(effects, old, own=view)
        core.note_name(effects, new, own=view)

    def _file_moved(self, old: str, new: str, seq: Seq) -> None:
        core = self.core
        file = core.files.pop(old)
        revision = core.store.revision(RepoPath(new))
        version = file.version
        file.path, file.version, file.source = RepoPath(new), seq, None
        st = core.backing.lstat(new)
        file.signature = signature(st) if st is not None and stat.S_ISREG(st.st_mode) else None
        for key, belief in list(file.beliefs.items()):
            if belief == version:
                file.beliefs[key] = int(seq)
            elif isinstance(belief, int):
                file.beliefs[key] = self._past(old, belief)
        core.files[new] = file
        core.files[old] = File(RepoPath(old), version=seq, deleted_by=-1)
        assert revision is not None

    def _past(self, path: str, belief: int) -> PastText | None:
        revision = self.core.store.revision(RepoPath(path), Seq(max(belief, 0)))
        return PastText(revision.content_hash) if revision is not None else None

    def exchange(self, view: View, one: str, other: str, maker: Maker, effects: Effects) -> None:
        """Swap two tracked paths (RENAME_EXCHANGE)."""
        core = self.core
        for path in (one, other):
            if core.backing.lstat(path) is None:
                raise oserror(errno.ENOENT, path)
        if one.startswith(other + "/") or other.startswith(one + "/"):
            raise oserror(errno.EINVAL, other)
        swapped = "\x00swap"
        pairs = [(path, other + path[len(one) :]) for path in self._tree(one)]
        pairs += [(path, one + path[len(other) :]) for path in self._tree(other)]
        changes = self._exchanged_changes(pairs)
        commit = self.corridor.journal(view.agent, maker.writer, changes, f"exchange {one} and {other}")
        renameat2(core.backing.at(one), core.backing.at(other), RENAME_EXCHANGE)
        view.commits += 1
        for each in core.views.values():
            for source, target in ((one, swapped), (other, one), (swapped, other)):
                each.moved(source, target)
        core.table.exchanged(one, other)
        for path, _ in pairs:
            core.files.pop(path, None)
        for _, path in pairs:
            core.files[path] = File(RepoPath(path), version=commit.seq)
        core.note_name(effects, one, own=view)
        core.note_name(effects, other, own=view)

    def _tree(self, path: str) -> list[str]:
        return [path, *(below for below, _ in self.core.backing.walk(path) if ".git" not in below.split("/"))]

    def _exchanged_changes(self, pairs: list[tuple[str, str]]) -> tuple[FileChange, ...]:
        targets = {new for _, new in pairs}
        changes = [
            FileChange(
                RepoPath(new), self.core.state(old), moved_from=RepoPath(old), origin=self.core.origin(new)
            )
            for old, new in pairs
        ]
        changes += [
            FileChange(RepoPath(old), FileState(FileKind.ABSENT), origin=self.core.origin(old))
            for old, _ in pairs
            if old not in targets
        ]
        return tuple(changes)


__all__ = ["Maker", "Names", "Realm", "join", "oserror"]
