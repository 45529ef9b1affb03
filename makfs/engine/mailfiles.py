"""Messages and shared artifacts as files of a view: `.makfs/inbox/`, `outbox/`, `shared/` and `sent`.

    inbox/ID-SENDER      a message, whole from the moment it is seen; names sort by arrival, a listing that is
                         not sorted is in the order to read in; `.json` after the name gives JSON; removing it
                         acknowledges it
    outbox/NAME          what is written here is sent when it is closed
    outbox/.NAME         a draft, also NAME.tmp and NAME~: sent when it is renamed to a name without these
    shared/NAME          what anybody shared under a name, the newest version; NAME@3 an older one; what is
                         written here is shared when it is closed, drafts as in the outbox
    sent                 the newest messages of this view's agent, a JSON object a line

Y4  A file that is written is sent, or shared, once: when the process that opened it has closed it everywhere.
    What a killed process had begun to write is not.
Y5  Two that write one name at once do not see each other: a name is no file until it is sent.
"""

import errno
import json
import os
import stat
from collections.abc import Mapping
from typing import NoReturn

from makfs.engine.inodes import Inode, MadeStat, Realm, StatLike
from makfs.engine.mail import Mail, check_artifact
from makfs.engine.names import oserror
from makfs.engine.procs import Caller, Processes
from makfs.engine.telling import iso
from makfs.engine.views import View
from makfs.engine.writing import Written
from makfs.errors import MakfsError
from makfs.messages import BadMessage, as_json, as_object, as_text, file_name, id_of, is_draft, parse

INBOX, OUTBOX, SHARED, SENT = "inbox", "outbox", "shared", "sent"
FOLDERS = (INBOX, OUTBOX, SHARED)
HEADER_BYTES = 8192  # beside a message's own
MOST_DRAFTS = 64
MESSAGE_S = 1.0
_MOST_SENT = 50


class MailFiles:
    """The files of messages. Paths inside are those below `.makfs/`."""

    def __init__(self, mail: Mail, procs: Processes, most_bytes: Mapping[str, int]) -> None:
        self.mail = mail
        self._procs = procs
        self._most_bytes = most_bytes  # of one file in a folder
        self._drafts: dict[tuple[int, str], bytes] = {}  # by view and path inside
        self.writing: dict[Inode, Written] = {}

    # ---- what is there

    def is_mine(self, inside: str) -> bool:
        """Tell whether a control path is one of these."""
        return inside.partition("/")[0] in (*FOLDERS, SENT)

    def text(self, view: View, inside: str) -> bytes | None:
        """Return a file's bytes, None if there is none."""
        if inside == SENT:
            return self._sent(view)
        folder, _, name = inside.partition("/")
        if (draft := self._drafts.get((view.number, inside))) is not None:
            return draft
        if folder == INBOX and (found := id_of(name)) is not None:
            message = self.mail.unread_one(view.agent, found[0])
            if message is None or name.removesuffix(".json") != file_name(message):
                return None
            return (as_json if found[1] else as_text)(message, iso)
        if folder == SHARED and (artifact := self.mail.artifact(name)) is not None:
            return self.mail.artifact_bytes(artifact)
        return None

    def _sent(self, view: View) -> bytes:
        rows = self.mail.sent(view.agent, _MOST_SENT)
        lines = [
            json.dumps({**as_object(row.message, iso), "unread_by": list(row.unread_by)})
            for row in reversed(rows)
        ]
        return "".join(line + "\n" for line in lines).encode()

    def names(self, view: View, inside: str) -> list[str]:
        """Return the names in a folder."""
        if inside == INBOX:
            return [file_name(message) for message in self.mail.inbox(view.agent)]
        drafts = [path for number, path in self._drafts if number == view.number]
        own = [path.partition("/")[2] for path in drafts if path.startswith(inside + "/")]
        shared = [artifact.name for artifact in self.mail.artifacts()] if inside == SHARED else []
        return sorted({*own, *shared})

    def stat(self, inode: Inode, made: MadeStat, inside: str | None) -> StatLike:
        """Fill in what is particular about these files; `made` has the size and the owner."""
        if inode.is_dir:
            made.st_mode = stat.S_IFDIR | 0o755
            return made
        made.st_mode = stat.S_IFREG | (0o444 if inside == SENT else 0o644)
        if (written := self.writing.get(inode)) is not None:
            made.st_size, made.st_nlink = len(written.data), 1
        elif inside is not None:
            folder, _, name = inside.partition("/")
            time_ns = self._time_ns(inode.view, folder, name)
            made.st_atime_ns = made.st_mtime_ns = made.st_ctime_ns = time_ns or made.st_mtime_ns
        return made

    def _time_ns(self, view: View, folder: str, name: str) -> int:
        if folder == INBOX and (found := id_of(name)) is not None:
            message = self.mail.unread_one(view.agent, found[0])
            return 0 if message is None else message.time_ns
        artifact = self.mail.artifact(name) if folder == SHARED else None
        return 0 if artifact is None else artifact.time_ns

    @staticmethod
    def believed_s(inside: str) -> float:
        """Return for how long the kernel may believe a name and its attributes.

        A message never changes. Who removes it here tells the kernel by that; a person who takes it out of
        the inbox, or makfsd's end, does not.
        """
        return MESSAGE_S if inside.startswith(INBOX + "/") else 0.0

    # ---- writing

    def create(self, folder: Inode, inside: str, name: str, caller: Caller) -> tuple[Inode, Written]:
        """Make a file in the outbox or in what is shared (Y5). Raises BadName, EPERM, ENOSPC."""
        view, path = folder.view, f"{inside}/{name}"
        if inside == INBOX or inside not in FOLDERS:
            self._refuse(view, f"Nothing can be made in .makfs/{inside}; write to .makfs/outbox/NAME.")
        inode = view.inode(f"{folder.path}/{name}", Realm.CONTROL, is_dir=False)
        inode.lookups += 1
        if not is_draft(name):
            view.orphan(inode)
        return inode, self._written(inode, path, b"", caller)

    def open(self, inode: Inode, inside: str, flags: int, caller: Caller) -> Written:
        """Open a draft, or something shared, to write it. Raises EPERM."""
        folder, _, name = inside.partition("/")
        if folder == INBOX or inside == SENT or "@" in name:
            self._refuse(inode.view, f".makfs/{inside} is only read.")
        old = b"" if flags & os.O_TRUNC else self.text(inode.view, inside) or b""
        return self._written(inode, inside, old, caller)

    def _written(self, inode: Inode, inside: str, old: bytes, caller: Caller) -> Written:
        view = inode.view
        folder, _, name = inside.partition("/")

        def judge(data: bytearray, *, is_whole: bool) -> None:
            if is_draft(name):
                return
            if folder == OUTBOX:
                outgoing = parse(data, name, is_whole=is_whole)
                if outgoing is not None:
                    self.mail.judge(view.agent, outgoing)
            else:
                check_artifact(name)

        def done(data: bytes) -> None:
            self._finish(view, inside, data)

        def closed() -> None:
            self.writing.pop(inode, None)

        most = self._most_bytes[folder]
        written = Written(inode, f".makfs/{inside}", old, self._procs, caller.tid, most, judge, done, closed)
        self.writing[inode] = written
        return written

    def _finish(self, view: View, inside: str, data: bytes) -> None:
        """Send, share or keep what was written. Raises MakfsError."""
        folder, _, name = inside.partition("/")
        if is_draft(name):
            if len(self._drafts) >= MOST_DRAFTS and (view.number, inside) not in self._drafts:
                raise oserror(errno.ENOSPC, inside)
            self._drafts[view.number, inside] = data
        elif folder == OUTBOX:
            outgoing = parse(data, name)
            assert outgoing is not None, "a whole message is one, or is bad"
            self.mail.send(view.agent, outgoing)
        else:
            self.mail.share(view.agent, name, data)
        view.active()

    # ---- names

    def unlink(self, view: View, inside: str) -> None:
        """Remove a file: a message is acknowledged, a draft forgotten, a name shared no more."""
        folder, _, name = inside.partition("/")
        if self._drafts.pop((view.number, inside), None) is None:
            found = id_of(name) if folder == INBOX else None
            if found is not None and self.text(view, inside) is not None:
                self.mail.acknowledge(view.agent, found[0])
            elif folder == SHARED and (artifact := self.mail.artifact(name)) is not None:
                self._unshare(view, name, artifact.agent)
            else:
                raise oserror(errno.ENOENT, inside)
        view.active()
        gone = view.by_path.get(f".makfs/{inside}")
        if gone is not None:
            view.orphan(gone)

    def _unshare(self, view: View, name: str, owner: str) -> None:
        if owner != view.agent or "@" in name:
            what = f"{owner} shared {name}" if "@" not in name else f"{name} is one version of a name"
            self._refuse(
                view, f"{what}: only who shared a name removes it; a person can, 'makfs share --remove'."
            )
        self.mail.unshare(view.agent, name)

    def rename(self, view: View, old: str, new: str) -> None:
        """Rename a draft, which sends or shares it if its new name is that of none. Raises MakfsError."""
        folder, _, name = new.partition("/")
        data = self._drafts.get((view.number, old))
        if data is None or old.partition("/")[0] != folder or not name:
            raise oserror(errno.EXDEV, old)
        try:
            self._finish(view, new, data)
        except MakfsError as error:
            view.why = f"Refused .makfs/{new}: {error}"
            if isinstance(error, BadMessage):  # mv(1) takes EINVAL for another mistake, and says so
                raise oserror(errno.EBADMSG, new) from None
            raise
        del self._drafts[view.number, old]
        for path in (old, new):
            inode = view.by_path.get(f".makfs/{path}")
            if inode is not None:
                view.orphan(inode)

    @staticmethod
    def _refuse(view: View, sentence: str) -> NoReturn:
        view.why = sentence
        raise oserror(errno.EPERM, sentence)
