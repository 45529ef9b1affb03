"""The control files of a view: `.makfs/` at its top, reachable by name, left out of listings of the top.

    agent, why, log      who the view is; what it should know; the newest commits
    locks, queue         who holds and waits for what; this agent's own requests
    claim, release       commands, a line each; reading shows what this agent holds
    task                 what this agent works at: read it, write it
    with/NAME            open for writing: holds a process resource until it is closed (turns.py)
    publish, refresh     in a snapshot view: orders, given by any line (no nodes/ and outline/ there)
    inbox/, outbox/      messages to and from the view's agent; sent: its newest (`mailfiles`)
    shared/NAME          artifacts that anybody shared by name
    refused/N/           a refused write: its `file`, the `reason`, the `diff`
    nodes/PATH/QUALNAME  one node of a source file: read it, write it, as if it were a file
    outline/PATH         the signatures of a source file

Y2  Nothing but messages and artifacts can be made, renamed or removed here; what is bad changes nothing and
    is told in `why`.
Y3  Whoever waits in `claim` keeps nobody from opening it: the kernel locks an inode that is written, so each
    that is opened for writing gives its name to a new one.
"""

import errno
import json
import os
import stat
import time
from typing import NoReturn

from makfs.engine import commands, tasks, telling
from makfs.engine.claims import Claims
from makfs.engine.core import Core
from makfs.engine.corridor import Corridor
from makfs.engine.handles import CommandHandle
from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.mailfiles import FOLDERS, SENT, MailFiles
from makfs.engine.names import oserror
from makfs.engine.nodefiles import NodeFiles
from makfs.engine.orders import ORDERS, Carry, Order, standing
from makfs.engine.patience import Patience
from makfs.engine.procs import Caller
from makfs.engine.sources import Sources
from makfs.engine.tree import Found
from makfs.engine.turns import FOLDER as WITH
from makfs.engine.turns import Turns, is_resource
from makfs.engine.views import View
from makfs.store.model import LogQuery, Refusal

TOP = ".makfs"
_REFUSED, _NODES, _OUTLINE = "refused", "nodes", "outline"
_FILES = ("agent", "claim", "locks", "log", "queue", "release", "task", "why")
_COMMANDS = ("claim", "release", "task", *ORDERS)
_CHANGING = frozenset(_FILES) - {"agent"}
_PARTS = ("diff", "file", "reason")
_MOST_DETACHED = 100
_BITS = 0o666


class Control:
    """Virtual files. Paths inside are those below `.makfs/`."""

    def __init__(
        self, core: Core, claims: Claims, corridor: Corridor, patience: Patience, mail: MailFiles
    ) -> None:
        self.core = core
        self._claims = claims
        self.turns = Turns(claims, core.procs, core.runs, core.config.resources)
        self._sources = Sources(core)
        self._nodes = NodeFiles(core, self._sources, corridor, patience)
        self.mail = mail
        self.orders: dict[str, Carry] = {}  # of snapshot views, by name
        self._detached: dict[Inode, str] = {}  # by inode, the name it had
        self._retrying: set[int] = set()  # threads that were told to look the name up again

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
        text = None if is_dir else self._text(view, _inside(path))
        if not is_dir and text is None:
            return None
        inode = view.inode(path, Realm.CONTROL, is_dir)
        inode.realm = Realm.CONTROL
        made = self.stat(inode, text if inode not in self._nodes.writing else None)
        kept_s = self.mail.believed_s(_inside(path))
        return Found(inode, made, kept_s, kept_s)

    def stat(self, inode: Inode, text: bytes | None = None) -> StatLike:
        """Return attributes; sizes are true, so that readers that trust them read everything."""
        path = self._path(inode)
        since = time.time_ns() if path is not None and _inside(path) in _CHANGING else self.core.started_ns
        made = MadeStat(stat.S_IFREG | 0o444, st_mtime_ns=since, st_ctime_ns=since)
        if (top := self.core.backing.lstat("")) is not None:
            made.st_uid, made.st_gid = top.st_uid, top.st_gid
        if inode in self.mail.writing:
            return self.mail.stat(inode, made, None)
        if inode.is_dir:
            is_open = path is not None and _inside(path) in FOLDERS
            made.st_mode, made.st_nlink = stat.S_IFDIR | (0o755 if is_open else 0o555), 2
            return made
        if path is None:
            made.st_nlink = 0
            return made
        inside = _inside(path)
        made.st_size = len(self.text(inode) if text is None else text)
        if self.mail.is_mine(inside):
            return self.mail.stat(inode, made, inside)
        if inside in _COMMANDS or inside.startswith(WITH + "/"):
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
            return sorted(
                [
                    *_FILES,
                    _REFUSED,
                    SENT,
                    WITH,
                    *FOLDERS,
                    *(ORDERS if inode.view.stand is not None else (_NODES, _OUTLINE)),
                ]
            )
        if inside in FOLDERS:
            return self.mail.names(inode.view, inside)
        if inside == WITH:
            return self.turns.names()
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
        if inside in ("", _REFUSED, WITH, *FOLDERS):
            return True
        first, _, rest = inside.partition("/")
        if first == _REFUSED:
            return self._refusal(view, rest) is not None
        if first not in (_NODES, _OUTLINE) or view.stand is not None:
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
        path = self._path(inode)
        text = None if path is None else self._text(inode.view, _inside(path))
        if text is None:
            raise oserror(errno.ENOENT, path or "")
        return text

    def _text(self, view: View, inside: str) -> bytes | None:
        if inside in _FILES:
            return self._file(view, inside)
        if self.mail.is_mine(inside):
            return self.mail.text(view, inside)
        if inside in ORDERS and view.stand is not None:
            return standing(view)
        first, _, rest = inside.partition("/")
        if first in (_NODES, _OUTLINE):
            return self._of_source(view, first, rest) if view.stand is None else None
        if first == WITH:
            return telling.holder_of(self._claims, rest) if is_resource(rest) else None
        return self._refused(view, rest) if first == _REFUSED else None

    def _refused(self, view: View, inside: str) -> bytes | None:
        number, _, part = inside.partition("/")
        if part not in _PARTS or (refusal := self._refusal(view, number)) is None:
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
            return _bytes(view.told + self.mail.mail.waiting_line(view.agent))
        if name == "task":
            return tasks.told(self.core.tasks, view.agent)
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
                task = {"task": commit.task} if commit.task else {}
                who = {"seq": commit.seq, "agent": commit.agent, "time_ns": commit.time_ns}
                rows.append({**who, **task, "paths": paths})
        return "".join(json.dumps(row) + "\n" for row in rows).encode()

    # ---- writing

    def open(self, inode: Inode, caller: Caller) -> bytes:
        """Open a control file to read it; return its bytes. Raises ENOENT, ESTALE."""
        self._name_again(inode, caller)
        return self.text(inode)

    async def open_command(self, inode: Inode, flags: int, caller: Caller) -> CommandHandle:
        """Open a control file for writing. Raises EPERM for those that only tell, ENOENT, EBUSY, ESTALE."""
        self._name_again(inode, caller)
        view, path = inode.view, self._path(inode)
        inside = "" if path is None else _inside(path)
        if inside == "claim":
            self._detach(inode)
            return commands.claiming(self._claims, inode, lambda: self._file(view, "claim"))
        if inside == "release":
            return commands.releasing(self._claims, inode, lambda: self._file(view, "release"))
        if inside == "task":
            return tasks.TaskFile(inode, self.core.tasks)
        if inside in ORDERS and inside in self.orders:
            self._detach(inode)
            return Order(inode, inside, self.orders[inside])
        if self.mail.is_mine(inside):
            return self.mail.open(inode, inside, flags, caller)
        if _is_node(inside):
            return self._nodes.open(inode, self.source(inode), inside.rpartition("/")[2], flags, caller)
        if (name := turn_of(inode)) and is_resource(name):
            return await self.turns.open(inode, name, caller)
        view.why = f"{path or TOP} only tells; .makfs/claim, release, task and nodes/ are written."
        raise oserror(errno.EPERM, path or "")

    def _detach(self, inode: Inode) -> None:
        """Let the next to open the file have an inode of its own (Y3)."""
        self._detached = {each: path for each, path in self._detached.items() if not each.idle}
        if inode.path is not None and len(self._detached) < _MOST_DETACHED:
            self._detached[inode] = inode.path
            inode.view.orphan(inode)

    def _name_again(self, inode: Inode, caller: Caller) -> None:
        """Send who opens an inode without its name to the one that has it. Raises ESTALE.

        That makes the kernel look the name up again, once: so it is raised once.
        """
        if inode in self._detached and caller.tid not in self._retrying:
            self._retrying.add(caller.tid)
            raise oserror(errno.ESTALE, self._detached[inode])
        self._retrying.discard(caller.tid)

    def _path(self, inode: Inode) -> str | None:
        return inode.path or self._detached.get(inode)

    def truncate(self, inode: Inode) -> None:
        """Cut a file that nobody has open: nothing for a command, EPERM for all else."""
        path = self._path(inode)
        if inode in self.mail.writing:
            return
        if path is not None and _inside(path) not in _COMMANDS and not turn_of(inode):
            inode.view.why = f"{path} is cut only by whoever has it open for writing."
            raise oserror(errno.EPERM, path)

    # ---- messages

    def create(self, folder: Inode, name: str, caller: Caller) -> tuple[Found, CommandHandle]:
        """Make a file where messages and artifacts are written. Raises EPERM."""
        inside = _inside(folder.path or "")
        if inside not in FOLDERS:
            self.refuse_name(folder)
        inode, written = self.mail.create(folder, inside, name, caller)
        return Found(inode, self.stat(inode, b""), 0.0, 0.0), written

    def unlink(self, folder: Inode, name: str) -> None:
        """Acknowledge a message, forget a draft, share no more. Raises EPERM, ENOENT."""
        inside = _inside(folder.path or "")
        if inside not in FOLDERS:
            self.refuse_name(folder)
        self.mail.unlink(folder.view, f"{inside}/{name}")

    def rename(self, folder: Inode, name: str, target: Inode, new_name: str) -> None:
        """Send or share a draft. Raises EXDEV where it takes a copy, EPERM, MakfsError."""
        inside = [
            _inside(each.path or "") if each.realm is Realm.CONTROL else "" for each in (folder, target)
        ]
        if not any(each in FOLDERS for each in inside):
            self.refuse_name(folder if folder.realm is Realm.CONTROL else target)
        if not all(each in FOLDERS for each in inside):
            raise oserror(errno.EXDEV, name)
        self.mail.rename(folder.view, f"{inside[0]}/{name}", f"{inside[1]}/{new_name}")

    def refuse_name(self, folder: Inode) -> NoReturn:
        """Say that no name can be made, moved or removed here (Y2). Raises EPERM."""
        folder.view.why = (
            f"Nothing can be made, renamed or removed in {folder.path or TOP}: what is there is makfs's own."
        )
        raise oserror(errno.EPERM, folder.path or TOP)


def turn_of(inode: Inode) -> str:
    """Return the name of the process resource whose file this is, "" for all other files."""
    path = inode.path
    if inode.realm is not Realm.CONTROL or path is None or not path.startswith(f"{TOP}/{WITH}/"):
        return ""
    return path[len(TOP) + len(WITH) + 2 :]


def _inside(path: str) -> str:
    """Return a control path below `.makfs/`, "" for the top."""
    return path[len(TOP) + 1 :]


def _is_node(inside: str) -> bool:
    return inside.startswith(_NODES + "/")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
