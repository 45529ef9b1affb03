"""The control files of a view: `.makfs/` at its top, reachable by name, left out of listings of the top.

    agent, why, log      who the view is; what it should know; the newest commits
    locks, queue         who holds and waits for what; this agent's own requests
    claim, release       commands, a line each; reading shows what this agent holds
    refused/N/           a refused write: its `file`, the `reason`, the `diff`
    nodes/PATH/QUALNAME  one node of a source file: read it, write it, as if it were a file
    outline/PATH         the signatures of a source file

Y2  Nothing can be made, renamed or removed here; what is bad changes nothing and is told in `why`.
Y3  Whoever waits in `claim` keeps nobody from opening it: its inode gives up its name first, for the kernel
    locks an inode that is written.
"""

import errno
import json
import os
import stat
import time
from typing import NoReturn

from makfs.engine import commands, telling
from makfs.engine.claims import Claims
from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.handles import CommandHandle
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.names import oserror
from makfs.engine.nodefiles import NodeFiles
from makfs.engine.patience import Patience
from makfs.engine.procs import Caller
from makfs.engine.sources import Sources
from makfs.engine.tree import Found
from makfs.engine.views import View
from makfs.store.model import LogQuery, Refusal

TOP = ".makfs"
_REFUSED, _NODES, _OUTLINE = "refused", "nodes", "outline"
_FILES = ("agent", "claim", "locks", "log", "queue", "release", "why")
_COMMANDS = ("claim", "release")
_PARTS = ("diff", "file", "reason")
_MOST_DETACHED = 100
_BITS = 0o666


class Control:
    """Virtual files. Paths inside are those below `.makfs/`."""

    def __init__(self, core: Core, claims: Claims, corridor: Corridor, patience: Patience) -> None:
        self.core = core
        self._claims = claims
        self._sources = Sources(core)
        self._nodes = NodeFiles(core, self._sources, corridor, patience)
        self._detached: set[Inode] = set()

    # ---- look-up

    def lookup(self, folder: Inode, name: str) -> Found | None:
        """Return a control file, or None."""
        if folder.path is None:
            return None
        if len(os.fsencode(name)) > 255:
            raise oserror(errno.ENAMETOOLONG, name)
        path = f"{folder.path}/{name}" if folder.path else name
        view = folder.view
        is_dir = self._is_dir(view, _inside(path))
        if not is_dir and self._text(view, _inside(path)) is None:
            return None
        inode = view.inode(path, Realm.CONTROL, is_dir)
        inode.realm = Realm.CONTROL
        return Found(inode, self.stat(inode), 0.0, 0.0)

    def stat(self, inode: Inode) -> StatLike:
        """Return attributes; sizes are true, so that readers that trust them read everything."""
        now = time.time_ns()
        made = MadeStat(stat.S_IFREG | 0o444, st_mtime_ns=now, st_ctime_ns=now)
        if (top := self.core.backing.lstat("")) is not None:
            made.st_uid, made.st_gid = top.st_uid, top.st_gid
        if inode.path is None:
            made.st_nlink = 0
            return made
        if inode.is_dir:
            made.st_mode, made.st_nlink = stat.S_IFDIR | 0o555, 2
            return made
        inside = _inside(inode.path)
        made.st_size = len(self.text(inode))
        if inside in _COMMANDS:
            made.st_mode = stat.S_IFREG | 0o644
        elif (source := self.source(inode)) and (like := self.core.backing.lstat(source)) is not None:
            made.st_mode = stat.S_IFREG | stat.S_IMODE(like.st_mode) & (_BITS if _is_node(inside) else 0o444)
            made.st_uid, made.st_gid = like.st_uid, like.st_gid
            made.st_atime_ns, made.st_mtime_ns, made.st_ctime_ns = (
                like.st_atime_ns, like.st_mtime_ns, like.st_ctime_ns
            )  # fmt: skip
        return made

    def source(self, inode: Inode) -> str:
        """Return the path of the file whose node or outline this is, "" for other control files."""
        first, _, path = _inside(inode.path or "").partition("/")
        if first not in (_NODES, _OUTLINE):
            return ""
        return path if first == _OUTLINE else path.rpartition("/")[0]

    def names(self, inode: Inode) -> list[str]:
        """Return the names in a control folder."""
        if inode.path is None:
            return []
        inside = _inside(inode.path)
        if not inside:
            return sorted([*_FILES, _REFUSED, _NODES, _OUTLINE])
        first, _, path = inside.partition("/")
        if first == _NODES and self._sources.is_file(inode.view, path):
            return self._sources.qualnames(inode.view, path)
        if first in (_NODES, _OUTLINE):
            return self._sources.names(inode.view, path)
        if inside == _REFUSED:
            refusals = self.core.store.refusals(inode.view.agent)
            return sorted((str(refusal.number) for refusal in refusals), key=int)
        return list(_PARTS)

    def _is_dir(self, view: View, inside: str) -> bool:
        if inside in ("", _REFUSED):
            return True
        first, _, rest = inside.partition("/")
        if first == _REFUSED:
            return self._refusal(view, rest) is not None
        if first not in (_NODES, _OUTLINE):
            return False
        return self._sources.is_folder(view, rest) or (first == _NODES and self._sources.is_file(view, rest))

    def _refusal(self, view: View, number: str) -> Refusal | None:
        if not (number.isascii() and number.isdigit() and len(number) < 19):
            return None
        refusal = self.core.store.refusal(int(number)) if number == str(int(number)) else None
        return refusal if refusal is not None and refusal.agent == view.agent else None

    # ---- texts

    def text(self, inode: Inode) -> bytes:
        """Return a control file's bytes now. Raises ENOENT."""
        if (writing := self._nodes.writing.get(inode)) is not None:
            return bytes(writing.data)
        text = None if inode.path is None else self._text(inode.view, _inside(inode.path))
        if text is None:
            raise oserror(errno.ENOENT, inode.path or "")
        return text

    def _text(self, view: View, inside: str) -> bytes | None:
        if inside in _FILES:
            return self._file(view, inside)
        first, _, rest = inside.partition("/")
        if first in (_NODES, _OUTLINE):
            return self._of_source(view, first, rest)
        number, _, part = rest.partition("/")
        if first != _REFUSED or part not in _PARTS or (refusal := self._refusal(view, number)) is None:
            return None
        if part == "file":
            return refusal.mine
        if part == "diff":
            return telling.refused_diff(self.core, refusal)
        return _bytes(refusal.reason + "\n")

    def _of_source(self, view: View, first: str, rest: str) -> bytes | None:
        """Return a node or an outline; None if the file, or the node, is not there (any more)."""
        path, _, name = (rest, "", "") if first == _OUTLINE else rest.rpartition("/")
        if not self._sources.is_file(view, path):
            return None
        try:
            if first == _OUTLINE:
                return self._sources.outline(view, path)
            node = self._sources.node(view, path, name)
        except FileNotFoundError:
            return None
        return None if node is None else node.text

    def _file(self, view: View, name: str) -> bytes:
        if name == "agent":
            return f"{view.agent}\n".encode()
        if name == "why":
            return _bytes(view.told)
        if name == "locks":
            return telling.locks(self._claims, view)
        if name == "queue":
            return telling.queue(self._claims, view)
        return self._log(view) if name == "log" else telling.held(self._claims, view)

    def _log(self, view: View) -> bytes:
        rows: list[dict[str, object]] = []
        for commit in self.core.store.log(LogQuery(limit=50)):
            paths = [path for path in commit.paths if view.role is None or not view.role.hides(path)]
            if paths or not commit.paths:
                rows.append(
                    {"seq": commit.seq, "agent": commit.agent, "time_ns": commit.time_ns, "paths": paths}
                )
        return "".join(json.dumps(row) + "\n" for row in rows).encode()

    # ---- writing

    def open_command(self, inode: Inode, flags: int, caller: Caller) -> CommandHandle:
        """Open a control file for writing. Raises EPERM for those that only tell."""
        inside = None if inode.path is None else _inside(inode.path)
        if inside == "claim":
            return commands.claiming(
                self._claims, inode, lambda: self._file(inode.view, "claim"), lambda: self._detach(inode)
            )
        if inside == "release":
            return commands.releasing(self._claims, inode, lambda: self._file(inode.view, "release"))
        if inside is not None and _is_node(inside):
            path, _, name = inside.partition("/")[2].rpartition("/")
            return self._nodes.open(inode, path, name, flags, caller)
        inode.view.why = (
            f"{inode.path} only tells; .makfs/claim, .makfs/release and .makfs/nodes/ are written."
        )
        raise oserror(errno.EPERM, inode.path or "")

    def truncate(self, inode: Inode) -> None:
        """Cut a file that nobody has open: nothing for a command, EPERM for all else."""
        if inode.path is not None and _inside(inode.path) not in _COMMANDS:
            inode.view.why = f"{inode.path} is cut only by whoever has it open for writing."
            raise oserror(errno.EPERM, inode.path)

    def refuse_name(self, folder: Inode) -> NoReturn:
        """Say that no name can be made, moved or removed here (Y2). Raises EPERM."""
        folder.view.why = (
            f"Nothing can be made, renamed or removed in {folder.path or TOP}: makfs makes it up."
        )
        raise oserror(errno.EPERM, folder.path or TOP)

    def _detach(self, inode: Inode) -> None:
        """Let the next to open the file have an inode of its own (Y3)."""
        self._detached = {each for each in self._detached if each.opens}
        if inode.path is None or self.core.locks.is_idle or len(self._detached) >= _MOST_DETACHED:
            return
        self._detached.add(inode)
        inode.view.orphan(inode)


def _inside(path: str) -> str:
    """Return a control path below `.makfs/`, "" for the top."""
    return path[len(TOP) + 1 :]


def _is_node(inside: str) -> bool:
    return inside.startswith(_NODES + "/")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
