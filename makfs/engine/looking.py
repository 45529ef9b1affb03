"""What a transport may ask without changing anything: look-ups, attributes, listings."""

import errno
import itertools
import os
from dataclasses import dataclass

from makfs.engine.agents import Agents
from makfs.engine.claims import Claims
from makfs.engine.control import TOP, Control, turn_of
from makfs.engine.core import Core, join
from makfs.engine.data import Data
from makfs.engine.effects import Outbox
from makfs.engine.gitlock import GitLocks
from makfs.engine.handles import OpenFile
from makfs.engine.inodes import ROOT_ID, Inode, Realm, StatLike
from makfs.engine.mail import Mail
from makfs.engine.mailfiles import HEADER_BYTES, OUTBOX, SHARED, MailFiles
from makfs.engine.moves import Moves
from makfs.engine.names import Names, oserror
from makfs.engine.patience import Patience
from makfs.engine.real import REAL, Real
from makfs.engine.roles import Role
from makfs.engine.tree import FOREVER_S, SHARED_S, Found, Tree
from makfs.engine.xattrs import Xattrs

DOTS = (".", "..")  # what a transport lists before all names
SHORT_NAME = 255 // 4  # no encoding makes so few characters too long a name


@dataclass(slots=True)
class Opened:
    """An open file and how the kernel shall cache it."""

    handle: int
    direct_io: bool
    keep_cache: bool


@dataclass(frozen=True, slots=True)
class Change:
    """What setattr(2)-like calls ask for; None leaves a value alone."""

    mode: int | None = None
    uid: int = -1
    gid: int = -1
    size: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None

    @property
    def is_size_only(self) -> bool:
        """Tell whether nothing but the text changes: setting the times to now comes with it."""
        return self.mode is None and self.uid < 0 and self.gid < 0 and self.size is not None


class Looking:
    """The rooms of one mount, and the operations that change nothing."""

    def __init__(self, core: Core, data: Data, names: Names, agents: Agents, outbox: Outbox) -> None:
        self.core = core
        self.data = data
        self.name_room = names
        self.agents = agents
        self.outbox = outbox
        self.real = Real(core)
        self.tree = Tree(core, data, self.real)
        self.past = agents.past
        self.xattrs = Xattrs(core, self.real)
        self.handles: dict[int, OpenFile] = {}
        self.real.handles = self.handles
        self.moves = Moves(core, data, names, self.real, self.handles)
        self.git_locks = GitLocks(core)
        self.patience = Patience(core, outbox)
        config = core.config.messages
        self.mail = Mail(core, agents.by_name)
        files = MailFiles(
            self.mail,
            core.procs,
            {OUTBOX: config.message_bytes + HEADER_BYTES, SHARED: config.artifact_bytes},
        )
        claims = Claims(core, agents.by_name)
        self.control = Control(core, claims, data.corridor, self.patience, files)
        self._next = itertools.count(1)

    # ---- inodes

    def inode(self, ino: int) -> Inode:
        """Return a known inode. Raises ESTALE."""
        try:
            return self.core.table.by_ino[ino]
        except KeyError:
            raise oserror(errno.ESTALE) from None

    def is_turn(self, ino: int) -> bool:
        """Tell whether to open a file for writing is to wait for a process resource."""
        inode = self.core.table.by_ino.get(ino)
        return inode is not None and inode.realm is Realm.CONTROL and bool(turn_of(inode))

    def lookup(self, parent: int, name: str) -> Found | None:
        """Return what a name is and count the kernel's reference; None if nothing is there."""
        folder = self.inode(parent)
        found = self.find(folder, name)
        if found is not None:
            found.inode.lookups += 1
        return found

    def find(self, folder: Inode, name: str) -> Found | None:
        """Return what a name is, or None; counts nothing."""
        realm = folder.realm
        role = folder.view.role
        if role is not None and folder.path is not None and self._is_hidden(role, folder, name):
            return None
        if realm is Realm.TRACKED and len(name) <= SHORT_NAME and (name != TOP or folder.path):
            return self.tree.lookup(folder, name)
        if realm is Realm.ROOT:
            return self.agents.lookup(name)
        if realm is Realm.PAST:
            return self.past.lookup(folder, name)
        if realm is Realm.CONTROL or (name == TOP and not folder.path and folder.view.upper is not None):
            return self.control.lookup(folder, name)
        if len(name.encode("utf-8", "surrogateescape")) > 255:
            raise oserror(errno.ENAMETOOLONG, name)
        if realm is Realm.SNAP:
            return self.tree.standing(folder, name)
        if realm is Realm.GIT and self.git_locks.hides(folder.view, join(folder.path or "", name)):
            return None
        return self.tree.lookup(folder, name)

    def _is_hidden(self, role: Role, folder: Inode, name: str) -> bool:
        """Tell whether a role hides a name, as a file's or as a folder's if it is one."""
        if folder.realm in (Realm.ROOT, Realm.PAST, Realm.CONTROL):
            return False
        path = join(folder.path or "", name)
        return role.hides(path) or (
            role.hides(path, is_dir=True)
            and (folder.view.stand is not None or self.core.backing.is_dir(path))
        )

    def known(self, folder: Inode, name: str) -> Inode | None:
        """Return a listed name's inode if the kernel need not be told about it again, else None."""
        if folder.realm is not Realm.TRACKED or self.core.owed:
            return None
        return self.tree.known(folder, name)

    def absence_s(self, parent: int) -> float:
        """Return for how long the kernel may believe that a name is absent."""
        folder = self.core.table.by_ino.get(parent)
        if folder is None or folder.realm in (Realm.GIT, Realm.ROOT, Realm.CONTROL, Realm.SNAP):
            return 0.0
        return SHARED_S if folder.realm is Realm.SCRATCH else FOREVER_S

    def forget(self, ino: int, count: int) -> None:
        """Give back the kernel's references."""
        inode = self.core.table.by_ino.get(ino)
        if inode is not None:
            inode.lookups -= count
            if inode.lookups <= 0 and inode.realm is not Realm.ROOT:
                inode.view.settle(inode)

    def getattr(self, ino: int) -> tuple[StatLike, float]:
        """Return attributes and their time-out in seconds."""
        inode = self.inode(ino)
        if inode.realm is Realm.ROOT:
            return self.agents.root_stat(), 1.0
        if inode.realm is Realm.PAST:
            return self.past.stat(inode), FOREVER_S
        if inode.realm is Realm.CONTROL:
            return self.control.stat(inode), 0.0
        return self.tree.stat(inode)

    def listing(self, ino: int) -> list[str]:
        """Return the names in a folder."""
        inode = self.inode(ino)
        if inode.realm is Realm.ROOT:
            return self.agents.names()
        if inode.realm is Realm.PAST:
            return self.past.names(inode)
        if inode.realm is Realm.CONTROL:
            return self.control.names(inode)
        role = inode.view.role
        if role is None:
            return self.tree.names(inode)
        return [name for name in self.tree.names(inode) if not self._is_hidden(role, inode, name)]

    def dots(self, folder: Inode) -> tuple[int, int]:
        """Return the inode numbers of `DOTS`, which no listing of names has."""
        path = folder.path
        if not path:
            return folder.ino, ROOT_ID
        above = folder.view.by_path.get(path.rpartition("/")[0])
        return folder.ino, folder.ino if above is None else above.ino

    def readlink(self, ino: int) -> bytes:
        """Return where a symbolic link points."""
        inode = self.inode(ino)
        if inode.path is None:
            raise oserror(errno.ENOENT)
        if inode.realm is Realm.PAST:
            return self.past.target(inode)
        realm = self.core.realm_of(inode)
        real = (
            self.real.path(inode.view, inode.path, realm)
            if realm in REAL
            else self.core.backing.at(inode.path)
        )
        return os.fsencode(os.readlink(real))
