"""The control files of a view: `.makfs/` at its top, reachable by name, left out of listings of the top."""

import errno
import json
import stat
import time

from makfs.engine.core import Core
from makfs.engine.handles import CommandHandle
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.names import oserror
from makfs.engine.procs import Caller
from makfs.engine.tree import Found
from makfs.engine.views import View
from makfs.store.model import LogQuery, Refusal

TOP = ".makfs"
_REFUSED = f"{TOP}/refused"
_PARTS = ("file", "reason")


class Control:
    """Virtual files, read-only."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def lookup(self, folder: Inode, name: str) -> Found | None:
        """Return a control file, or None."""
        path = f"{folder.path}/{name}" if folder.path else name
        view = folder.view
        is_dir = self._is_dir(view, path)
        if not is_dir and self._text(view, path) is None:
            return None
        inode = view.inode(path, Realm.CONTROL, is_dir)
        inode.realm = Realm.CONTROL
        return Found(inode, self.stat(inode), 0.0, 0.0)

    def _is_dir(self, view: View, path: str) -> bool:
        if path in {TOP, _REFUSED}:
            return True
        return (
            path.startswith(_REFUSED + "/") and path.count("/") == 2 and self._refusal(view, path) is not None
        )

    def _refusal(self, view: View, path: str) -> Refusal | None:
        number = path.split("/")[2]
        refusal = self.core.store.refusal(int(number)) if number.isdigit() else None
        return refusal if refusal is not None and refusal.agent == view.agent else None

    def stat(self, inode: Inode) -> StatLike:
        """Return attributes; sizes are true, so that readers that trust them read everything."""
        assert inode.path is not None
        now = time.time_ns()
        if inode.is_dir:
            return MadeStat(stat.S_IFDIR | 0o555, st_nlink=2, st_mtime_ns=now, st_ctime_ns=now)
        text = self._text(inode.view, inode.path) or b""
        return MadeStat(stat.S_IFREG | 0o444, len(text), st_mtime_ns=now, st_ctime_ns=now)

    def open_command(self, inode: Inode, flags: int, caller: Caller) -> CommandHandle:
        """Open a control file for writing. Raises EPERM for those that only tell."""
        raise oserror(errno.EPERM, inode.path or "")

    def names(self, inode: Inode) -> list[str]:
        """Return the names in a control folder."""
        if inode.path == TOP:
            return ["agent", "log", "refused", "why"]
        if inode.path == _REFUSED:
            refusals = self.core.store.refusals(inode.view.agent)
            return sorted((str(refusal.number) for refusal in refusals), key=int)
        return list(_PARTS)

    def text(self, inode: Inode) -> bytes:
        """Return a control file's bytes now."""
        assert inode.path is not None
        text = self._text(inode.view, inode.path)
        if text is None:
            raise oserror(errno.ENOENT, inode.path)
        return text

    def _text(self, view: View, path: str) -> bytes | None:
        name = path[len(TOP) + 1 :]
        if name == "agent":
            return f"{view.agent}\n".encode()
        if name == "why":
            return view.told.encode("utf-8", "surrogateescape")
        if name == "log":
            commits = self.core.store.log(LogQuery(limit=50))
            rows = [{"seq": c.seq, "agent": c.agent, "time_ns": c.time_ns, "paths": c.paths} for c in commits]
            return "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8", "surrogateescape")
        if path.startswith(_REFUSED + "/") and path.count("/") == 3:
            refusal = self._refusal(view, path)
            part = path.split("/")[3]
            if refusal is not None and part in _PARTS:
                return refusal.mine if part == "file" else (refusal.reason + "\n").encode()
        return None
