"""A kernel without FUSE: processes whose calls go through a dentry, attribute and page cache to the engine.

The caches keep what the engine allows them to keep, for ever, and drop only what they are told to drop, as
Linux does. So a test that reads through them notices an invalidation that was forgotten.
"""

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import trio

from makfs.config import Config, OnWrite, WriteConfig
from makfs.engine.api import Finding
from makfs.engine.effects import Effects
from makfs.engine.external import Watcher
from makfs.engine.filesystem import Caller, Change, Found, Opened
from makfs.engine.inodes import StatLike
from makfs.engine.kernel import Kernel
from makfs.engine.tend import Tender
from makfs.errors import MakfsError

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # hundreds of stores, none worth an fsync
FIRST_TID = 1 << 23  # above any pid_max: nobody has these, so each is a process of its own
ROOT = 1
MERGING = Config(write=WriteConfig(on_write=OnWrite.MERGE))  # nobody waits: each request runs to its end
T = TypeVar("T")


class Silent:
    """A transport whose kernel is told of nothing."""

    def inode(self, ino: int) -> None: ...
    def attributes(self, ino: int) -> None: ...
    def entry(self, parent: int, name: bytes) -> None: ...


def temporary_folder() -> Path:
    """Make a folder in memory. The caller removes it."""
    return Path(tempfile.mkdtemp(prefix="makfs-engine-", dir=MEMORY))


def call(operation: Callable[..., Awaitable[T]], *arguments: object) -> T:
    """Carry out one request to its end. The engine's errors come as OSError, as a system call's would."""
    try:
        return trio.run(operation, *arguments)
    except MakfsError as error:
        raise OSError(error.errno, str(error)) from error


class Caches:
    """What the Linux kernel keeps of one mount, and the requests it makes."""

    def __init__(self, repo: Path, agents: tuple[str, ...], config: Config | None = None) -> None:
        self.repo = repo
        self.kernel = Kernel.open(repo, repo.parent / "mnt", config or MERGING, agents, lambda *_: None)
        self.fs = self.kernel.attach(Notifier(self))
        self.core = self.kernel.core
        self.references: dict[int, int] = {}
        self.dentries: dict[tuple[int, str], int] = {}  # 0: known to be absent
        self.attributes: dict[int, StatLike] = {}
        self.pages: dict[int, bytes] = {}
        self.open_files = 0
        self.told: list[int] = []  # inodes that the engine had dropped
        self.old = False  # before Linux 6.6 a direct write left the pages that it made wrong
        assert self.kernel.outbox is not None
        self.tender = Tender(
            self.core, self.kernel.corridor, self.kernel.names, self.kernel.data, self.kernel.outbox
        )
        self.watcher: Watcher | None = None

    # ---- what the engine tells

    def inode(self, ino: int) -> None:
        """Drop the pages and attributes of an inode."""
        self.pages.pop(ino, None)
        self.attributes.pop(ino, None)

    def be_old(self, old: bool = True) -> None:
        """Be a Linux before 6.6, and let the engine know."""
        self.old, self.kernel.data.drops_pages = old, not old

    def attributes_of(self, ino: int) -> None:
        """Drop the attributes of an inode."""
        self.attributes.pop(ino, None)

    def entry(self, parent: int, name: bytes) -> None:
        """Drop a name from a folder."""
        self.dentries.pop((parent, os.fsdecode(name)), None)

    # ---- look-ups

    def _refer(self, found: Found) -> int:
        ino = found.inode.ino
        self.references[ino] = self.references.get(ino, 0) + 1
        if found.attr_s > 1:
            self.attributes[ino] = found.st
        return ino

    def lookup(self, parent: int, name: str) -> int:
        """Return the inode of a name, 0 if nothing is there."""
        cached = self.dentries.get((parent, name))
        if cached is not None:
            return cached
        try:
            found = self.fs.lookup(parent, name)
        except MakfsError as error:
            raise OSError(error.errno, str(error)) from error
        if found is None:
            if self.fs.absence_s(parent) > 1:
                self.dentries[parent, name] = 0
            return 0
        ino = self._refer(found)
        if found.entry_s > 1:
            self.dentries[parent, name] = ino
        return ino

    def folder(self, view: str, path: str) -> tuple[int, str]:
        """Return the inode of a path's folder and its last name. Raises OSError."""
        *folders, name = [view, *path.split("/")]
        ino = ROOT
        for each in folders:
            ino = self.lookup(ino, each)
            if not ino:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            if not stat.S_ISDIR(self.stat_of(ino).st_mode):
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return ino, name

    def at(self, view: str, path: str) -> int:
        """Return a path's inode. Raises OSError."""
        ino = self.lookup(*self.folder(view, path))
        if not ino:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return ino

    def stat(self, view: str, path: str) -> StatLike:
        """Return a path's attributes."""
        ino = self.at(view, path)
        return self.stat_of(ino)

    def stat_of(self, ino: int) -> StatLike:
        """Return an inode's attributes."""
        if ino not in self.attributes:
            st, attr_s = self.fs.getattr(ino)
            if attr_s <= 1:
                return st
            self.attributes[ino] = st
        return self.attributes[ino]

    # ---- background work of the engine, one step at a time

    def tend(self, *, min_age_s: float = 0.0) -> None:
        """Let one round of the tender pass, shadows so old having come of age."""

        async def step() -> None:
            effects = Effects()
            self.tender.publish_shadows(effects, min_age_s=min_age_s)
            if self.core.owed:
                self.tender.pay(effects)
            self.kernel.data.retry_stranded(effects)
            assert self.kernel.outbox is not None
            await self.kernel.outbox.settle(effects)

        trio.run(step)

    def watch(self) -> None:
        """Take the inotify events that have come, after a first time in which watching begins."""

        async def step() -> None:
            assert self.kernel.outbox is not None
            if self.watcher is None:
                self.watcher = Watcher(self.core, self.kernel.corridor, self.kernel.outbox)
                self.watcher._watch_tree("")
                await self.watcher.catch_up()
            await self.watcher._take(self.watcher._read())

        trio.run(step)

    def findings(self) -> Sequence[Finding]:
        """Return what fsck finds."""
        return trio.run(self.kernel.check, lambda *_: None)

    # ---- the end

    def forget_all(self) -> None:
        """Give every reference back, as an unmount does."""
        self.dentries.clear()
        self.attributes.clear()
        self.pages.clear()
        for ino, count in self.references.items():
            self.fs.forget(ino, count)
        self.references.clear()

    def close(self) -> None:
        """End without a word, as a daemon does that is killed: only what the store holds stays."""
        if self.watcher is not None:
            self.watcher._inotify.close()
        self.kernel.close()


@contextmanager
def one_file(folder: Path, text: bytes, agents: tuple[str, ...] = ("alice", "bob")) -> Iterator[Caches]:
    """Serve a repository of one file, `a.py`, without a mount; for a fixture."""
    repo = folder / "repo"
    repo.mkdir()
    (repo / "a.py").write_bytes(text)
    served = Caches(repo, agents)
    yield served
    served.close()


class Process:
    """A process that works in one view."""

    def __init__(self, caches: Caches, view: str, number: int = 0) -> None:
        self.caches = caches
        self.view = view
        self.caller = Caller(os.getuid(), os.getgid(), FIRST_TID + number)

    def open(self, path: str, flags: int = os.O_RDONLY, mode: int = 0o644) -> "OpenFile":
        """Open or make a file. Raises OSError."""
        caches = self.caches
        parent, name = caches.folder(self.view, path)
        ino = caches.lookup(parent, name)
        if not ino:
            if not flags & os.O_CREAT:
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            found, opened = call(caches.fs.create, parent, name, mode, flags, self.caller)
            caches.dentries.pop((parent, name), None)
            ino = caches._refer(found)
            if found.entry_s > 1:
                caches.dentries[parent, name] = ino
        elif flags & os.O_CREAT and flags & os.O_EXCL:
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        else:
            opened = call(caches.fs.open, ino, flags & ~os.O_CREAT, self.caller)
        if flags & os.O_TRUNC:
            caches.inode(ino)
        caches.open_files += 1
        return OpenFile(self, ino, opened, flags)

    def read(self, path: str) -> bytes:
        """Return a whole file."""
        file = self.open(path)
        try:
            return file.read()
        finally:
            file.close()

    def write(self, path: str, data: bytes, flags: int = os.O_WRONLY | os.O_CREAT | os.O_TRUNC) -> None:
        """Write a whole file in place. Raises OSError if any call fails."""
        file = self.open(path, flags)
        try:
            if data:
                file.write(0, data)
        finally:
            file.close()

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        """Give a path another name."""
        caches = self.caches
        (parent, name), (new_parent, new_name) = caches.folder(self.view, old), caches.folder(self.view, new)
        if not caches.lookup(parent, name):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), old)
        caches.lookup(new_parent, new_name)
        call(caches.fs.rename, parent, name, new_parent, new_name, flags, self.caller)
        moved = caches.dentries.pop((parent, name), None)
        there = caches.dentries.pop((new_parent, new_name), None)
        if moved:
            caches.attributes.pop(moved, None)
            caches.dentries[new_parent, new_name] = moved
        if there and flags:
            caches.dentries[parent, name] = there

    def unlink(self, path: str) -> None:
        """Remove a file."""
        parent, name = self.caches.folder(self.view, path)
        if not self.caches.lookup(parent, name):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        call(self.caches.fs.unlink, parent, name, self.caller)
        self.caches.dentries.pop((parent, name), None)

    def mkdir(self, path: str, mode: int = 0o755) -> None:
        """Make a folder."""
        caches = self.caches
        parent, name = caches.folder(self.view, path)
        if caches.lookup(parent, name):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        found = call(caches.fs.mkdir, parent, name, mode, self.caller)
        caches.dentries.pop((parent, name), None)
        ino = caches._refer(found)
        if found.entry_s > 1:
            caches.dentries[parent, name] = ino

    def rmdir(self, path: str) -> None:
        """Remove a folder."""
        parent, name = self.caches.folder(self.view, path)
        if not self.caches.lookup(parent, name):
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        call(self.caches.fs.rmdir, parent, name, self.caller)
        self.caches.dentries.pop((parent, name), None)

    def symlink(self, target: str, path: str) -> None:
        """Make a symbolic link."""
        caches = self.caches
        parent, name = caches.folder(self.view, path)
        if caches.lookup(parent, name):
            raise OSError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        found = call(caches.fs.symlink, parent, name, os.fsencode(target), self.caller)
        caches.dentries.pop((parent, name), None)
        caches._refer(found)

    def readlink(self, path: str) -> str:
        """Return where a link points."""
        return os.fsdecode(self.caches.fs.readlink(self.caches.at(self.view, path)))

    def truncate(self, path: str, size: int) -> None:
        """Cut or extend a file."""
        ino = self.caches.at(self.view, path)
        self.set(ino, Change(size=size))

    def chmod(self, path: str, mode: int) -> None:
        """Change permission bits."""
        self.set(self.caches.at(self.view, path), Change(mode=mode))

    def set(self, ino: int, change: Change, handle: int | None = None) -> None:
        """Send one SETATTR."""
        caches = self.caches
        caches.attributes.pop(ino, None)
        if change.size is not None:
            caches.pages.pop(ino, None)
        call(caches.fs.setattr, ino, change, handle, self.caller)

    def names(self, path: str = "") -> list[str]:
        """Return a folder's names."""
        caches = self.caches
        return caches.fs.listing(caches.at(self.view, path) if path else caches.lookup(ROOT, self.view))

    def stat(self, path: str) -> StatLike:
        """Return attributes."""
        return self.caches.stat(self.view, path)


class OpenFile:
    """An open file of a process."""

    def __init__(self, process: Process, ino: int, opened: Opened, flags: int) -> None:
        self.process = process
        self.caches = process.caches
        self.ino = ino
        self.flags = flags
        self._opened = opened
        if not opened.keep_cache:
            self.caches.pages.pop(ino, None)

    def read(self) -> bytes:
        """Return everything, from the page cache if the engine allows one."""
        caches = self.caches
        if self._opened.direct_io:
            return self._read_through()
        if len(caches.pages.get(self.ino, b"")) != caches.stat_of(self.ino).st_size:
            caches.pages.pop(self.ino, None)
        if self.ino not in caches.pages:
            caches.pages[self.ino] = self._read_through()
        return caches.pages[self.ino]

    def _read_through(self) -> bytes:
        found = bytearray()
        while piece := self.caches.fs.read(self._opened.handle, len(found), 1 << 17):
            found += piece
        return bytes(found)

    def write(self, offset: int, data: bytes) -> None:
        """Write at an offset; with O_APPEND at the end."""
        caches = self.caches
        if self.flags & os.O_APPEND:
            offset = caches.stat_of(self.ino).st_size
        done = call(caches.fs.write, self._opened.handle, offset, data)
        assert done == len(data)
        caches.attributes.pop(self.ino, None)
        pages = caches.pages.get(self.ino)
        if self._opened.direct_io and not caches.old:
            caches.pages.pop(self.ino, None)
        elif not self._opened.direct_io and pages is not None:
            grown = pages.ljust(offset, b"\0")
            caches.pages[self.ino] = grown[:offset] + data + grown[offset + len(data) :]

    def truncate(self, size: int) -> None:
        """Cut or extend the file."""
        self.process.set(self.ino, Change(size=size), self._opened.handle)

    def flush(self) -> None:
        """Commit, as the close of a duplicate does."""
        call(self.caches.fs.flush, self._opened.handle)

    def fsync(self) -> None:
        """Commit, durably."""
        call(self.caches.fs.fsync, self._opened.handle)

    def close(self) -> None:
        """Send FLUSH, whose error the caller hears, then RELEASE, whose error nobody does."""
        self.caches.open_files -= 1
        try:
            self.flush()
        finally:
            call(self.caches.fs.release, self._opened.handle)


class Notifier:
    """The notifications of `Caches`, under the names that the engine calls."""

    def __init__(self, caches: Caches) -> None:
        self._caches = caches

    def inode(self, ino: int) -> None:
        """Drop the pages and attributes of an inode."""
        self._caches.told.append(ino)
        self._caches.inode(ino)

    def attributes(self, ino: int) -> None:
        """Drop the attributes of an inode."""
        self._caches.attributes_of(ino)

    def entry(self, parent: int, name: bytes) -> None:
        """Drop a name from a folder."""
        self._caches.entry(parent, name)


def remove(folder: Path) -> None:
    """Remove a temporary folder."""
    shutil.rmtree(folder, ignore_errors=True)
