"""What needs doing now and then: shadows that became ordinary files, write-throughs that are owed."""

import logging
import os
import stat
import time

import trio

from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.data import Data
from makfs.engine.effects import Effects, Outbox
from makfs.engine.held import NotAdmitted
from makfs.engine.inodes import MadeStat, Realm
from makfs.engine.names import Maker, Names
from makfs.engine.needs import needs_of_names
from makfs.engine.procs import Writer
from makfs.engine.views import View
from makfs.errors import MakfsError

log = logging.getLogger(__name__)
_TICK_S = 0.25
_TENDER = Writer(0, "makfs")


class Tender:
    """Publishes and pays."""

    def __init__(
        self, core: Core, corridor: Corridor, names: Names, data: Data, outbox: Outbox | None
    ) -> None:
        self._core = core
        self._data = data
        self._head_before = core.store.head
        self._corridor = corridor
        self._names = names
        self._outbox = outbox

    async def run(self) -> None:
        """Tend until cancelled."""
        while True:
            await trio.sleep(_TICK_S)
            effects = Effects()
            self.publish_shadows(effects, min_age_s=self._core.config.view.shadow_s)
            if self._core.owed:
                self.pay(effects)
            if self._core.stranded:
                self._data.retry_stranded(effects)
            self._thaw(effects)
            self._renew_claims()
            if self._outbox is not None:
                await self._outbox.settle(effects)
            await self._keep_log_short()  # last: a checkpoint takes long, and no view may lag behind for it

    async def _keep_log_short(self) -> None:
        """Let the store move its log into the database, beside commits, when nothing was written lately."""
        head = self._core.store.head
        if head == self._head_before:
            await trio.to_thread.run_sync(self._core.store.maintain)
        self._head_before = head

    def _renew_claims(self) -> None:
        """Let the claims of agents that did something last longer."""
        for view in (*self._core.views.values(), *self._core.standing.values()):
            if view.stirred:
                view.stirred = False
                self._core.locks.stir(view.agent)

    def publish_shadows(self, effects: Effects, *, min_age_s: float) -> None:
        """Make ordinary files of shadows that were closed so long ago."""
        now = time.monotonic()
        for view in list(self._core.views.values()):
            if view.name_operations:  # one may be a rename of such a file, waiting for what another holds
                continue
            for path, closed in list(view.shadows.items()):
                inode = view.by_path.get(path)
                if now - closed < min_age_s or (inode is not None and inode.opens):
                    continue
                try:
                    self._publish(view, path, effects)
                except (OSError, MakfsError) as error:
                    log.info("%s of %s stays private: %s", path, view.agent, error)
                    view.shadows.pop(path, None)

    def _publish(self, view: View, path: str, effects: Effects) -> None:
        assert view.upper is not None
        real = view.upper.at(path)
        st = os.lstat(real)
        maker = Maker(st.st_uid, st.st_gid, _TENDER)
        if self._core.backing.lstat(path) is not None:
            view.shadows.pop(path, None)
            return
        try:
            self._core.gate.names(view, path, needs_of_names([path]))
        except NotAdmitted:  # the name is another's for now: it stays private, and is tried again
            return
        if stat.S_ISLNK(st.st_mode):
            target = os.fsencode(os.readlink(real))
            view.upper.removed(path, Realm.SHADOW)
            inode = view.by_path.get(path)
            if inode is not None:
                view.orphan(inode)
            self._names.symlink(view, path, target, maker, effects)
        else:
            with open(real, "rb", buffering=0) as file:
                data = file.readall()
            self._names.save(view, path, data, MadeStat.like(st), maker, effects, source=real)
            view.upper.removed(path, Realm.SHADOW)
        os.unlink(real)
        view.shadows.pop(path, None)
        inode = view.by_path.get(path)
        if inode is not None:
            inode.realm = Realm.TRACKED

    def _thaw(self, effects: Effects) -> None:
        """Let files that were opened for reading and writing a while ago show the newest version (I4)."""
        if self._outbox is None:
            return
        now = time.monotonic()
        for inode in [inode for inode in self._outbox.still if inode.still_until < now]:
            self._outbox.still.discard(inode)
            effects.inodes.append(inode)

    def pay(self, effects: Effects) -> None:
        """Write through what an earlier failure left owed."""
        core = self._core
        for path in list(core.owed):
            file = core.files.get(path)
            if file is None or file.owed is None:
                core.owed.pop(path, None)
                continue
            revision = core.store.revision(file.path)
            st = core.backing.lstat(path)
            like = MadeStat.like(st if st is not None else os.lstat(core.backing.root))
            if revision is not None:
                like.st_mode = stat.S_IFREG | revision.mode
            self._corridor.through.write(file, file.owed, like, time.time_ns())
            core.note_content(effects, path)
