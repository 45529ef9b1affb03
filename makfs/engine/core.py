"""What all rooms of the engine share: the tables of one mounted repository. State and look-ups, no policy."""

import logging
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

from makfs.config import Config
from makfs.engine.backing import Backing
from makfs.engine.belonging import Belonging
from makfs.engine.classify import Classifier
from makfs.engine.effects import Effects
from makfs.engine.files import Belief, File, OwnText, PastText, signature
from makfs.engine.gate import Gate
from makfs.engine.inodes import Inode, InodeTable, Realm, Shown, StatLike
from makfs.engine.locking import Locks
from makfs.engine.procs import Processes
from makfs.engine.tasks import Tasks
from makfs.engine.views import View
from makfs.ids import NodeUid, RepoPath
from makfs.settings import OnWrite
from makfs.store.model import FileKind, FileState, NodeText
from makfs.store.protocol import Store
from makfs.syntax.node import Source

log = logging.getLogger(__name__)
_MOST_POLICIES = 10_000
SOURCES_BYTES = 24 << 20  # text whose nodes are kept; the nodes weigh about three times as much


def content_hash(data: bytes) -> bytes:
    """Return the store's name of a content: BLAKE2b, 16 bytes."""
    return blake2b(data, digest_size=16).digest()


def join(folder: str, name: str) -> str:
    """Return the path of a name in a folder."""
    return f"{folder}/{name}" if folder else name


def parent_of(path: str) -> str:
    """Return the folder a path is in, "" for the top."""
    return path.rpartition("/")[0]


@dataclass(slots=True, eq=False)
class Core:
    """The tables. One instance a mount."""

    backing: Backing
    store: Store
    config: Config
    classifier: Classifier
    table: InodeTable
    locks: Locks
    procs: Processes = field(default_factory=Processes)
    runs: Belonging = field(default_factory=Belonging)
    views: dict[int, View] = field(default_factory=dict)  # those that show every commit
    standing: dict[int, View] = field(default_factory=dict)  # snapshot views: commits do not concern them
    files: dict[str, File] = field(default_factory=dict)
    stranded: set[Inode] = field(default_factory=set)  # closed with bytes to commit: no room, or locked
    owed: dict[str, str] = field(default_factory=dict)  # path -> why it is not written through
    next_uid: int = 1
    _policies: dict[str, OnWrite | None] = field(default_factory=dict)  # path -> what its rules say
    _sources: OrderedDict[str, int] = field(
        default_factory=OrderedDict
    )  # path -> bytes, longest unused first
    _sources_bytes: int = 0
    started_ns: int = 0
    gate: Gate = field(init=False)
    tasks: Tasks = field(init=False)

    def __post_init__(self) -> None:
        self.gate = Gate(self)
        self.tasks = Tasks(self)

    # ---- the cache of nodes

    def remember(self, file: File, source: Source | None) -> None:
        """Keep a head's nodes, and forget the longest unused ones beyond a bound."""
        self._sources_bytes -= self._sources.pop(file.path, 0)
        file.source = source
        if source is None:
            return
        size = sum(len(node.text) for node in source.nodes)
        self._sources[file.path] = size
        self._sources_bytes += size
        while self._sources_bytes > SOURCES_BYTES and len(self._sources) > 1:
            path, oldest = self._sources.popitem(last=False)
            self._sources_bytes -= oldest
            if (other := self.files.get(path)) is not None:
                other.source = None

    # ---- look-ups

    def realm_of(self, inode: Inode) -> Realm:
        """Return the inode's realm, decided now if the look-up left it open (files in tracked folders)."""
        if inode.realm is not Realm.TRACKED or inode.judged == self.classifier.generation:
            return inode.realm
        if not inode.is_dir and inode.path is not None:
            inode.realm = self.realm_at(inode.view, inode.path, is_dir=False)
            if inode.realm is Realm.TRACKED and not self.classifier.shadows.is_shadow(
                os.path.basename(inode.path)
            ):
                inode.judged = self.classifier.generation
        return inode.realm

    def realm_at(self, view: View, path: str, *, is_dir: bool) -> Realm:
        """Return the realm of a path in a view. A shadow that became an ordinary file is tracked."""
        realm = self.classifier.realm(path, is_dir=is_dir, by_mkstemp=True)
        if view.stand is not None:
            return view.stand.realm(path, realm)
        if realm is not Realm.SHADOW:
            return realm
        folder, _, name = path.rpartition("/")
        if view.upper is not None and view.upper.has(folder, name):
            return realm
        if not self.classifier.shadows.is_shadow(name) or self.backing.lstat(path) is not None:
            return Realm.TRACKED
        return Realm.SHADOW

    def file(self, path: str) -> File:
        """Return the head file of a path, made on first use."""
        file = self.files.get(path)
        if file is None:
            # An empty journal knows nothing: the first reading of a whole tree asks for every file.
            revision = self.store.revision(RepoPath(path)) if self.store.head else None
            file = self.files[path] = File(RepoPath(path), version=revision.seq if revision else 0)
        return file

    def head_text(self, path: str) -> bytes:
        """Return the committed bytes of a regular file. Raises OSError."""
        file = self.files.get(path)
        if file is not None and file.owed is not None:
            return file.owed
        return self.backing.read(path)

    def belief_text(self, file: File, belief: Belief) -> bytes | None:
        """Return the text a belief stands for, or None when it is not known any more."""
        if isinstance(belief, OwnText):
            return belief.data
        if isinstance(belief, PastText):
            return self.store.text_by_hash(belief.content_hash)
        if belief is None:
            return None
        if belief == file.version and not file.deleted_by:
            return self.head_text(file.path)
        if belief <= 0 and belief != file.first:
            return None
        from makfs.errors import NotFound, NotKept
        from makfs.ids import Seq

        try:
            nodes = self.store.nodes(file.path, Seq(max(0, belief)))
        except (NotKept, NotFound):
            return None
        return b"".join(node.text for node in nodes)

    def mtime_ns(self, path: str) -> int:
        """Return the head's mtime as we last left it, 0 if it is not known."""
        file = self.files.get(path)
        return file.signature[0] if file is not None and file.signature is not None else 0

    def policy(self, view: View, path: str) -> OnWrite:
        """Return what a write to a path does: its rules', or its view's (`Config.policy_for`)."""
        try:
            rule = self._policies[path]
        except KeyError:
            if len(self._policies) >= _MOST_POLICIES:
                self._policies.clear()
            rule = self._policies[path] = self.config.path_policy(RepoPath(path))
        return view.policy if rule is None else rule

    @property
    def lease_ns(self) -> int:
        """Return how long what was written stays its writer's."""
        return int(self.config.write.lease_s * 1e9)

    # ---- states for the journal

    def state(self, path: str) -> FileState:
        """Return what stands at a path of the backing directory, for the journal. Raises OSError."""
        st = self.backing.lstat(path)
        if st is None:
            return FileState(FileKind.ABSENT)
        mode = stat.S_IMODE(st.st_mode)
        if stat.S_ISDIR(st.st_mode):
            return FileState(FileKind.DIR, mode)
        if stat.S_ISLNK(st.st_mode):
            return FileState(FileKind.SYMLINK, mode, target=os.fsencode(os.readlink(self.backing.at(path))))
        if not stat.S_ISREG(st.st_mode):
            return FileState(FileKind.ABSENT)
        if st.st_size > self.config.store.large_bytes:
            return self.large_state(self.backing.at(path), mode)
        return self.text_state(self.head_text(path), mode)

    @staticmethod
    def text_state(data: bytes, mode: int, nodes: tuple[NodeText, ...] | None = None) -> FileState:
        """Return the state of a file with these bytes; unsplit (one node without identity) by default."""
        if nodes is None:
            nodes = (NodeText(NodeUid(0), data),) if data else ()
        return FileState(FileKind.FILE, mode, nodes, content_hash=content_hash(data), size_bytes=len(data))

    @staticmethod
    def large_state(real: str, mode: int) -> FileState:
        """Return the state of a file too large to keep: its hash. Cost: reads it."""
        digest = blake2b(digest_size=16)
        size = 0
        with open(real, "rb", buffering=0) as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
                size += len(chunk)
        return FileState(FileKind.FILE, mode, content_hash=digest.digest(), size_bytes=size, kept=False)

    def origin(self, path: str) -> FileState | None:
        """Return the path's state before its first commit, or None if the store knows the path (J3)."""
        if self.file(path).version > 0 or self.store.revision(RepoPath(path)) is not None:
            return None
        return self.state(path)

    def rebase(self, path: str, now: Callable[[Belief], Belief]) -> None:
        """Say anew, for all views, what is believed and staged of the file at a path.

        For commits that change no text: the versions have other names now.
        """
        file = self.file(path)
        for key, belief in list(file.beliefs.items()):
            file.beliefs[key] = now(belief)
        for view in self.views.values():
            inode = view.by_path.get(path)
            if inode is None:
                continue
            for held in (inode.staging, inode.suspended):
                if held is not None:
                    held.base = now(held.base)
            if inode.shown is not None:
                inode.shown.belief = now(inode.shown.belief)

    # ---- which kernel caches a commit makes wrong

    def note_content(self, effects: Effects, path: str, *, but: View | None = None) -> None:
        """Add every view's cached pages and attributes of a file, but those of one view."""
        for view in self.views.values():
            inode = view.by_path.get(path) if view is not but else None
            if inode is not None and inode.lookups > 0 and inode not in effects.inodes:
                effects.inodes.append(inode)

    def show_still(self, path: str, data: bytes, st: StatLike, version: int) -> None:
        """Let every view go on showing this text until the kernel has been told of the next (I4)."""
        for view in self.views.values():
            inode = view.by_path.get(path)
            if inode is not None and inode.lookups > 0 and inode.shown is None and inode.staging is None:
                inode.shown = Shown(data, st, version)

    def note_name(self, effects: Effects, path: str, *, own: View | None, unless_known: bool = False) -> None:
        """Add the name (or its absence) in every view but `own`, whose kernel side knows already.

        `unless_known`: something is there, and a view that has looked it up since needs not be told; taking
        the name of a folder from the kernel makes getcwd(2) fail in it.
        """
        folder, _, name = path.rpartition("/")
        for view in self.views.values():
            if view is own:
                continue
            known = view.by_path.get(path) if unless_known else None
            if known is not None and known.lookups > 0 and known.is_dir:
                continue
            parent = view.by_path.get(folder)
            if parent is not None and parent.lookups > 0:
                effects.entries.append((view, parent.ino, os.fsencode(name)))
                effects.attributes.append(parent.ino)

    def left(self, path: str, *, but_dir: bool | None = None) -> None:
        """Note that what stood at a path is gone, or something of another kind: its inodes are orphans now.

        With `but_dir` those stay that are folders (True) or are not (False).
        """
        for view in self.views.values():
            inode = view.by_path.get(path)
            if inode is None or inode.is_dir is but_dir:
                continue
            if inode.staging is None or not inode.staging.dirty:
                view.orphan(inode, elsewhere=True)

    def adopt(self, path: str, st: os.stat_result | None) -> None:
        """Note the backing file's state as our own doing (F2)."""
        file = self.files.get(path)
        if file is not None:
            file.signature = signature(st) if st is not None else None
