"""The top of the mount: one folder a view, `@head`, and the trees of past commits and marks.

A1  A view's number belongs to its agent for ever, so inode numbers are stable across remounts.
A2  A view with open files or staged bytes is never removed, unless by force.
"""

import errno
import stat
import time

from makfs.engine.core import Core
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.names import oserror
from makfs.engine.past import HEAD_NUMBER, Past
from makfs.engine.roles import Role
from makfs.engine.standing import Stands, kept_isolation, view_folder
from makfs.engine.tree import Found
from makfs.engine.upper import Upper
from makfs.engine.views import View
from makfs.errors import Busy, NotFound
from makfs.ids import AgentId
from makfs.names import agent_id
from makfs.settings import Isolation, OnWrite, Reads

ROOT_INO = 1
HEAD = "@head"


class Agents:
    """The views by name."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.past = Past(core)
        self.stands = Stands(core)
        self.by_name: dict[str, View] = {}
        self.root_view = View(0, AgentId(""), core.table, None)
        self.root = Inode(ROOT_INO, self.root_view, "", Realm.ROOT, is_dir=True)
        self.root.lookups = 1
        core.table.by_ino[ROOT_INO] = self.root
        self._head = View(HEAD_NUMBER, AgentId(HEAD), core.table, None)
        core.views[HEAD_NUMBER] = self._head
        self.changed: list[str] = []  # names whose entry at the top changed from outside the mount

    def add(self, name: str, policy: OnWrite | None = None, isolation: Isolation | None = None) -> View:
        """Make a view. Raises BadName, EEXIST, Busy. Cost: a folder for private files; for a snapshot `.git`.

        What a view of that name was it is again, unless `isolation` or makfs.conf says otherwise.
        """
        agent = agent_id(name)
        if name in self.by_name:
            raise oserror(errno.EEXIST, name)
        number = self.core.store.view_number(agent)
        view = View(number, agent, self.core.table, None)
        self._lay(view, isolation)
        config = self.core.config
        view.policy = policy or config.agent_policy(agent)
        view.reads_locked = config.reads_for(agent) is Reads.LOCKED
        rule = config.role_for(agent)
        view.role = None if rule is None else Role(rule)
        self.by_name[name] = view
        (self.core.views if view.stand is None else self.core.standing)[number] = view
        told = {"isolation": "live" if view.stand is None else "snapshot", "on_write": view.policy.value}
        self.core.store.events.record("agent-added", agent, time.time_ns(), told)
        return view

    def _lay(self, view: View, isolation: Isolation | None) -> None:
        """Give a view its private layer, over the repository or over a snapshot. Raises Busy."""
        core, agent = self.core, view.agent
        kept = kept_isolation(core, agent)
        wanted = isolation or core.config.isolation_for(agent) or kept or Isolation.LIVE
        if kept is not None or wanted is Isolation.SNAPSHOT:
            self.stands.open(view)
            if wanted is Isolation.SNAPSHOT:
                return
            try:
                self.stands.forget(view)
            except Busy:
                if isolation is None:  # makfs.conf says so, but work is not thrown away for that
                    return
                raise
            view.stand = None
        upper = view.upper = Upper(view_folder(core, agent), core.backing)
        now = time.monotonic()
        for folder, names in upper.tops.items():
            for each in names:
                path = f"{folder}/{each}" if folder else each
                if core.realm_at(view, path, is_dir=False) is Realm.SHADOW:
                    view.shadows[path] = now

    def view(self, name: str) -> View:
        """Return the view of an agent. Raises NotFound."""
        view = self.by_name.get(name)
        if view is None:
            raise NotFound(f"There is no agent {name}; 'makfs agent ls' lists them.")
        return view

    def remove(self, name: str, *, force: bool = False) -> View:
        """Remove an idle view; its private files stay for the next of that name. Raises ENOENT, Busy."""
        view = self.view(name)
        busy = [
            inode.path or "?" for inode in view.by_path.values() if inode.opens or inode.staging is not None
        ]
        if busy and not force:
            raise Busy(f"{name} has {len(busy)} files open, {busy[0]} among them; close them or use --force.")
        del self.by_name[name]
        self.core.views.pop(view.number, None)
        self.core.standing.pop(view.number, None)
        self.core.locks.bury(view.agent)
        for inode in list(view.by_path.values()):
            inode.staging = None
            view.orphan(inode)
        self.core.store.events.record("agent-removed", view.agent, time.time_ns(), {})
        return view

    def lookup(self, name: str) -> Found | None:
        """Return the top folder of a view or of a read-only tree."""
        if name == HEAD:
            return self._top(self._head, Realm.TRACKED, read_only=True)
        if name.startswith("@"):
            past = self.past.view(name[1:])
            return self._top(past, Realm.PAST, read_only=True) if past is not None else None
        view = self.by_name.get(name)
        if view is None:
            return None
        return self._top(view, Realm.TRACKED if view.stand is None else Realm.SNAP)

    def _top(self, view: View, realm: Realm, *, read_only: bool = False) -> Found:
        inode = view.inode("", realm, is_dir=True)
        st: StatLike | None = self.core.backing.lstat("")
        if view.stand is not None and view.upper is not None:
            st = view.upper.look("", realm)
        if st is None:
            raise oserror(errno.EIO, self.core.backing.root)
        made = MadeStat.like(st)
        if read_only:
            made.st_mode &= ~0o222
        return Found(inode, made, 1.0)

    def root_stat(self) -> StatLike:
        """Return the attributes of the mountpoint."""
        st = self.core.backing.lstat("")
        made = MadeStat.like(st) if st is not None else MadeStat(stat.S_IFDIR | 0o755)
        made.st_nlink = 2 + len(self.by_name)
        return made

    def names(self) -> list[str]:
        """Return what a listing of the mountpoint shows; past trees are reachable, not listed."""
        return [HEAD, *sorted(self.by_name)]
