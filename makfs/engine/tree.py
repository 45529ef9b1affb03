"""What names a view shows: its staged files, its private layer, then the repository's head.

The look-up is the hot path: two dict look-ups and one lstat(2) for a committed file.
"""

import os
import stat
from dataclasses import dataclass

from makfs.engine.backing import STATE_DIR
from makfs.engine.core import Core, join
from makfs.engine.data import Data
from makfs.engine.inodes import Inode, Realm, StatLike
from makfs.engine.real import REAL, Real
from makfs.engine.views import View

FOREVER_S = 1e9  # explicit invalidation replaces time-outs
SHARED_S = 1.0  # scratch below: changes without our knowing


@dataclass(slots=True)
class Found:
    """A name's inode and attributes, and for how long the kernel may believe them."""

    inode: Inode
    st: StatLike
    entry_s: float = FOREVER_S
    attr_s: float = FOREVER_S


class Tree:
    """Look-ups and listings of live views."""

    def __init__(self, core: Core, data: Data, real: Real) -> None:
        self.core = core
        self.attributes = data.attributes
        self.real = real

    def lookup(self, folder: Inode, name: str) -> Found | None:
        """Return what a name is, or None if nothing is there."""
        view, parent = folder.view, folder.path
        if parent is None:
            return None
        path = f"{parent}/{name}" if parent else name
        inode = view.by_path.get(path)
        if inode is not None and inode in view.staged:
            return Found(inode, self.attributes.stat(inode), 0.0)
        upper = view.upper
        if folder.realm is Realm.SCRATCH or (upper is not None and upper.tops and upper.has(parent, name)):
            return self._private(folder, path)
        if name == STATE_DIR and not parent:
            return None
        st = self.core.backing.lstat(path)
        if st is None:
            if inode is not None:
                view.orphan(inode)
            return None
        if inode is None:
            found = self._first(folder, path, name, st)
            if found is not None:
                return found
        elif self._plain(folder, inode, st):
            return Found(inode, st)
        return self._shown(folder, path, name, st)

    def _plain(self, folder: Inode, inode: Inode, st: os.stat_result) -> bool:
        """Tell whether `_shown` would say again what it said last: the hot path of listings."""
        if not inode.pinned or inode.shown is not None or self.core.owed:
            return False
        if inode.young_until and inode.young:
            return False
        if folder.realm is not Realm.TRACKED or inode.realm is not Realm.TRACKED:
            return False
        if inode.is_dir and inode.judged != self.core.classifier.generation:
            return False
        return stat.S_IFMT(st.st_mode) == inode.kind

    def _first(self, folder: Inode, path: str, name: str, st: os.stat_result) -> Found | None:
        """Return what `_shown` would say of a tracked name that nobody has looked at yet, else None."""
        view, classifier = folder.view, self.core.classifier
        if folder.realm is not Realm.TRACKED or name == ".git" or self.core.owed:
            return None
        kind = stat.S_IFMT(st.st_mode)
        is_dir = kind == stat.S_IFDIR
        if is_dir and classifier.realm(path, is_dir=True) is not Realm.TRACKED:
            return None
        inode = view.by_path[path] = view.table.create(view, path, Realm.TRACKED, is_dir)
        inode.pinned, inode.kind = True, kind
        if is_dir:
            inode.judged = classifier.generation
        return Found(inode, st)

    def known(self, folder: Inode, name: str) -> Inode | None:
        """Return a name's inode if the kernel has been told all about it and need not be told again.

        None: look it up. What makes the kernel's knowledge wrong is told to it by an invalidation.
        """
        view, parent = folder.view, folder.path
        inode = view.by_path.get(f"{parent}/{name}" if parent else name)
        if inode is None or not inode.pinned or inode.lookups <= 0 or inode.realm is not Realm.TRACKED:
            return None
        if inode.is_dir:  # listing it made the kernel forget its access time, which only a full answer mends
            return None
        if inode.staging is not None or inode.shown is not None or (inode.young_until and inode.young):
            return None
        if view.upper is not None and view.upper.tops and view.upper.has(parent or "", name):
            return None
        return inode

    def _shown(self, folder: Inode, path: str, name: str, st: os.stat_result) -> Found:
        """Return a name of the repository's."""
        view = folder.view
        is_dir = stat.S_ISDIR(st.st_mode)
        realm = folder.realm
        if realm is Realm.TRACKED and (is_dir or name == ".git"):
            realm = self.core.classifier.realm(path, is_dir=is_dir)
        inode = view.inode(path, realm, is_dir)
        if is_dir and inode.realm is realm:
            inode.judged = self.core.classifier.generation
        if realm is Realm.GIT:
            return Found(inode, st, 0.0, 0.0)
        if realm is Realm.SCRATCH:
            return Found(inode, st, SHARED_S, 0.0 if _linked(st) else SHARED_S)
        shown: StatLike = st
        if inode.shown is not None or self.core.owed:
            shown = self.attributes.stat(inode)
        if inode.young:
            return Found(inode, shown, 0.0)
        inode.pinned, inode.kind = True, stat.S_IFMT(st.st_mode)
        return Found(inode, shown)

    def _private(self, folder: Inode, path: str) -> Found | None:
        """Return a name of the private layer, or what a scratch folder shows of the repository."""
        view = folder.view
        upper = view.upper
        real: str | None = self.core.backing.at(path)
        if upper is not None:
            real = upper.resolve(path, Realm.SCRATCH)
        if real is None:
            return None
        try:
            st = os.lstat(real)
        except FileNotFoundError:
            return None
        is_dir = stat.S_ISDIR(st.st_mode)
        realm = self.core.realm_at(view, path, is_dir=is_dir)
        inode = view.inode(path, realm, is_dir)
        private = upper is not None and real.startswith(upper.root)
        inode.realm = realm
        entry_s = 0.0 if realm is Realm.SHADOW else FOREVER_S if private else SHARED_S
        inode.pinned = entry_s > 0
        attr_s = 0.0 if _linked(st) else FOREVER_S if private else SHARED_S
        return Found(inode, st, entry_s, attr_s)

    def standing(self, folder: Inode, name: str) -> Found | None:
        """Return what a name is in a folder of a snapshot view: no commit changes that."""
        view, parent = folder.view, folder.path
        assert view.upper is not None
        if parent is None:
            return None
        path = join(parent, name)
        st = view.upper.look(path, Realm.SNAP)
        if st is None:
            inode = view.by_path.get(path)
            if inode is not None:
                view.orphan(inode)
            return None
        is_dir = stat.S_ISDIR(st.st_mode)
        realm = self.core.realm_at(view, path, is_dir=is_dir)
        inode = view.inode(path, realm, is_dir)
        inode.realm, inode.kind = realm, stat.S_IFMT(st.st_mode)
        if realm is Realm.GIT:
            return Found(inode, st, 0.0, 0.0)
        if realm is Realm.SCRATCH:
            return Found(inode, st, SHARED_S, 0.0 if _linked(st) else SHARED_S)
        return Found(inode, st, FOREVER_S, 0.0 if _linked(st) else FOREVER_S)

    def stat(self, inode: Inode) -> tuple[StatLike, float]:
        """Return an inode's attributes and their time-out. Raises OSError."""
        if inode.staging is not None:
            return self.attributes.stat(inode), FOREVER_S
        if inode.realm in REAL:
            st = self.real.stat(inode)
            elsewhere = inode.realm is Realm.GIT or inode.path is None or _linked(st)  # may it change unseen?
            if elsewhere:
                return st, 0.0
            return st, FOREVER_S if inode.realm is Realm.SNAP else SHARED_S
        return self.attributes.stat(inode), FOREVER_S

    def names(self, inode: Inode) -> list[str]:
        """Return the names in a folder, sorted. Raises OSError."""
        path, view = inode.path, inode.view
        if path is None:
            return []
        if inode.realm is Realm.GIT:
            return sorted(self.core.backing.names(path))
        if inode.realm in (Realm.SCRATCH, Realm.SNAP):
            if view.upper is None:
                return sorted(self.core.backing.names(path))
            return view.upper.names(path, inode.realm)
        found = self.core.backing.names(path)
        upper = view.upper
        if upper is not None and upper.hides:
            found = [name for name in found if not upper.hidden(join(path, name))]
        private = () if upper is None else upper.tops.get(path, ())
        if private or view.staged:
            found = list({*found, *private, *self._staged_names(view, path)})
        found.sort()
        return found

    @staticmethod
    def _staged_names(view: View, path: str) -> list[str]:
        found: list[str] = []
        for inode in view.staged:
            folder, _, name = (inode.path or "").rpartition("/")
            if name and folder == path:
                found.append(name)
        return found


def _linked(st: StatLike) -> bool:
    """Tell whether a file has other names: each is an inode to the kernel, which must ask for news of it."""
    return stat.S_ISREG(st.st_mode) and st.st_nlink > 1
