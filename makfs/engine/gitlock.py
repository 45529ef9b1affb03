"""Git's lock files: made by one view, waited for by the others instead of failing.

git gives up at once when `index.lock` is there. Agents share one `.git`, so a bounded wait turns most such
failures into a delay. A lock of the same view fails as always: git's own message is right there.
"""

import errno
import os
import time

import trio

from makfs.engine.core import Core
from makfs.engine.names import oserror
from makfs.engine.views import View

_POLL_S = 0.05  # locks made behind the mount send no event


class GitLocks:
    """Which view made which lock file."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._owners: dict[str, View] = {}
        self._freed = trio.Event()

    async def wait(self, view: View, path: str, flags: int) -> None:
        """Wait while another view holds the lock file; give up after `git_lock_wait_s`, silently."""
        if not path.endswith(".lock") or not flags & os.O_EXCL:
            return
        with trio.move_on_after(self._core.config.view.git_lock_wait_s):
            while self._core.backing.lstat(path) is not None:
                if self._owners.get(path) is view:
                    raise oserror(errno.EEXIST, path)
                with trio.move_on_after(_POLL_S):
                    await self._freed.wait()

    def hides(self, view: View, path: str) -> bool:
        """Tell whether a look-up must not find a lock file: one to wait for.

        Linux looks a name up before it makes it, and would answer EEXIST itself: nothing could wait.
        A lock older than the wait is shown, so that one which a crash left can be seen and removed.
        """
        if not path.endswith(".lock") or self._owners.get(path) is view:
            return False
        st = self._core.backing.lstat(path)
        return st is not None and time.time() - st.st_ctime < self._core.config.view.git_lock_wait_s

    def made(self, view: View, path: str) -> None:
        """Note who made a lock file."""
        if path.endswith(".lock"):
            self._owners[path] = view

    def gone(self, path: str) -> None:
        """Wake those who wait: a lock file was removed or renamed into place."""
        if path.endswith(".lock"):
            self._owners.pop(path, None)
            self._freed.set()
            self._freed = trio.Event()
