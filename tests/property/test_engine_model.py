"""One view against a plain directory: any history of calls has the same answers and leaves the same bytes.

One process, so that nothing is merged: what it does must be what ext4 or tmpfs does, error numbers included.
"""

import os
import stat
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from makfs.engine.backing import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2
from makfs.ids import RepoPath
from tests.property.engine_kernel import Caches, OpenFile, Process, remove, temporary_folder

NAMES = ["a.py", "b.txt", "c"]
FOLDERS = ["", "d", "e", "d/e"]
PATHS = [f"{folder}/{name}".lstrip("/") for folder in FOLDERS for name in NAMES] + FOLDERS[1:]
FLAGS = [
    os.O_RDONLY,
    os.O_RDWR,
    os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    os.O_WRONLY | os.O_CREAT,
    os.O_RDWR | os.O_CREAT,
    os.O_WRONLY | os.O_CREAT | os.O_APPEND,
]
paths = st.sampled_from(PATHS)
texts = st.one_of(
    st.sampled_from(
        [b"def f():\n    return 1\n", b"def f():\n    return 2\n\n\ndef g():\n    pass\n", b"x = (\n", b""]
    ),
    st.binary(max_size=12),
)


class OneView(RuleBasedStateMachine):
    """Every rule does one thing in the view and in the plain directory."""

    @initialize(old=st.booleans())
    def serve(self, old: bool) -> None:
        self.folder = temporary_folder()
        self.plain = self.folder / "plain"
        for top in (self.plain, self.folder / "repo"):
            (top / "d").mkdir(parents=True)
            (top / "a.py").write_bytes(b"def f():\n    return 0\n\n\ndef g():\n    return 0\n")
            (top / "d" / "b.txt").write_bytes(b"one\ntwo\n")
            os.chmod(top / "d", 0o755)
            os.chmod(top / "a.py", 0o644)
        self.caches = Caches(self.folder / "repo", ("alice",))
        self.caches.be_old(old)
        self.process = Process(self.caches, "alice")
        self.files: list[tuple[OpenFile, int]] = []

    def at(self, path: str) -> str:
        return str(self.plain / path)

    def links(self, *paths: str, last: bool = False) -> bool:
        """Tell whether a path leads through a link: the kernel follows those, this one does not."""
        for path in paths:
            parts = path.split("/")
            ends = range(1, len(parts) + last)
            if any(os.path.islink(self.at("/".join(parts[:end]))) for end in ends):
                return True
        return False

    def both(self, ours: Callable[[], Any], plain: Callable[[], Any]) -> tuple[Any, Any] | None:
        """Do it twice; return both answers, or None if both failed in the same way."""
        failed: OSError | None = None
        expected = None
        try:
            expected = plain()
        except OSError as error:
            failed = error
        if failed is None:
            return ours(), expected
        with pytest.raises(OSError, match=r".") as caught:
            ours()
        assert caught.value.errno == failed.errno, (caught.value, failed)
        return None

    @rule(path=paths, flags=st.sampled_from(FLAGS))
    @precondition(lambda self: len(self.files) < 3)
    def open(self, path: str, flags: int) -> None:
        if self.links(path, last=True) or (os.path.isdir(self.at(path)) and not flags & os.O_ACCMODE):
            return  # for folders FUSE has another call
        opened = self.both(
            lambda: self.process.open(path, flags), lambda: os.open(self.at(path), flags, 0o644)
        )
        if opened is not None:
            self.files.append(opened)

    @rule(data=st.data(), offset=st.integers(0, 40), text=texts)
    @precondition(lambda self: self.files)
    def write(self, data: st.DataObject, offset: int, text: bytes) -> None:
        file, fd = data.draw(st.sampled_from(self.files))
        if file.flags & os.O_ACCMODE == os.O_RDONLY or not text:
            return
        file.write(offset, text)
        if file.flags & os.O_APPEND:
            os.write(fd, text)
        else:
            os.pwrite(fd, text, offset)

    @rule(data=st.data(), size=st.integers(0, 40))
    @precondition(lambda self: self.files)
    def ftruncate(self, data: st.DataObject, size: int) -> None:
        file, fd = data.draw(st.sampled_from(self.files))
        if file.flags & os.O_ACCMODE != os.O_RDONLY:
            file.truncate(size)
            os.ftruncate(fd, size)

    @rule(data=st.data())
    @precondition(lambda self: self.files)
    def read_open_file(self, data: st.DataObject) -> None:
        file, fd = data.draw(st.sampled_from(self.files))
        if file.flags & os.O_ACCMODE != os.O_WRONLY and not self.caches.old:
            assert file.read() == os.pread(fd, 1 << 20, 0)

    @rule(data=st.data(), durably=st.booleans())
    @precondition(lambda self: self.files)
    def flush(self, data: st.DataObject, durably: bool) -> None:
        file, _ = data.draw(st.sampled_from(self.files))
        file.fsync() if durably else file.flush()

    @rule(data=st.data())
    @precondition(lambda self: self.files)
    def close(self, data: st.DataObject) -> None:
        file, fd = data.draw(st.sampled_from(self.files))
        self.files.remove((file, fd))
        os.close(fd)
        file.close()

    @rule(path=paths, text=texts)
    def write_whole(self, path: str, text: bytes) -> None:
        if self.links(path, last=True):
            return
        self.both(
            lambda: self.process.write(path, text),
            lambda: self._plain_write(path, text),
        )

    def _plain_write(self, path: str, text: bytes) -> None:
        with open(self.at(path), "wb") as file:
            file.write(text)

    @rule(path=paths, size=st.integers(0, 40))
    def truncate(self, path: str, size: int) -> None:
        if os.path.isdir(self.at(path)) or self.links(path, last=True):
            return  # the kernel answers EISDIR itself
        self.both(lambda: self.process.truncate(path, size), lambda: os.truncate(self.at(path), size))

    @rule(path=paths, mode=st.sampled_from([0o600, 0o644, 0o755]))
    def chmod(self, path: str, mode: int) -> None:
        if not os.path.isdir(self.at(path)) and not self.links(path, last=True):
            self.both(lambda: self.process.chmod(path, mode), lambda: os.chmod(self.at(path), mode))

    @rule(path=paths)
    def unlink(self, path: str) -> None:
        if self.links(path) or (os.path.isdir(self.at(path)) and not os.path.islink(self.at(path))):
            return  # the kernel sends RMDIR or nothing
        self.both(lambda: self.process.unlink(path), lambda: os.unlink(self.at(path)))

    @rule(path=paths)
    def mkdir(self, path: str) -> None:
        if not self.links(path):
            self.both(lambda: self.process.mkdir(path), lambda: os.mkdir(self.at(path), 0o755))

    @rule(path=paths)
    def rmdir(self, path: str) -> None:
        if self.links(path, last=True):
            return
        if os.path.isdir(self.at(path)) or not os.path.lexists(self.at(path)):
            self.both(lambda: self.process.rmdir(path), lambda: os.rmdir(self.at(path)))

    @rule(path=paths, to=st.sampled_from(["a.py", "nowhere"]))
    def symlink(self, path: str, to: str) -> None:
        if not self.links(path):
            self.both(lambda: self.process.symlink(to, path), lambda: os.symlink(to, self.at(path)))

    @rule(old=paths, new=paths, flags=st.sampled_from([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE]))
    def rename(self, old: str, new: str, flags: int) -> None:
        if old == new or new.startswith(old + "/") or old.startswith(new + "/") or self.links(old, new):
            return  # the kernel answers these itself
        self.both(
            lambda: self.process.rename(old, new, flags),
            lambda: renameat2(self.at(old), self.at(new), flags),
        )

    @rule()
    def forget_caches(self) -> None:
        """Memory was short."""
        self.caches.pages.clear()
        self.caches.attributes.clear()
        self.caches.dentries.clear()

    @rule()
    def remount(self) -> None:
        for file, fd in self.files:
            os.close(fd)
            file.close()
        self.files.clear()
        self.caches.forget_all()
        self.caches.close()
        old = self.caches.old
        self.caches = Caches(self.folder / "repo", ("alice",))
        self.caches.be_old(old)
        self.process = Process(self.caches, "alice")

    @invariant()
    def view_is_the_directory(self) -> None:
        if not hasattr(self, "caches"):
            return
        for view in self.caches.core.views.values():
            view.check()
        self._compare("")

    def _compare(self, folder: str) -> None:
        names = sorted(os.listdir(self.at(folder)))
        assert self.process.names(folder) == names, folder
        for name in names:
            path = f"{folder}/{name}".lstrip("/")
            expected, found = os.lstat(self.at(path)), self.process.stat(path)
            assert stat.S_IFMT(found.st_mode) == stat.S_IFMT(expected.st_mode), path
            if stat.S_ISDIR(expected.st_mode):
                self._compare(path)
            elif stat.S_ISLNK(expected.st_mode):
                assert self.process.readlink(path) == os.readlink(self.at(path))
            else:
                assert (found.st_size, found.st_mode) == (expected.st_size, expected.st_mode), path
                with open(self.at(path), "rb") as file:
                    assert self.process.read(path) == file.read(), path

    def teardown(self) -> None:
        if not hasattr(self, "caches"):
            return
        try:
            for file, fd in self.files:
                os.close(fd)
                file.close()
            self._compare("")
            self._compare_backing()
            self.caches.forget_all()
            assert not self.caches.fs.handles
            left = [inode for inode in self.caches.core.table.by_ino.values() if inode.path != ""]
            assert not left, left
            assert not self.caches.findings()
        finally:
            self.caches.close()
            remove(self.folder)

    def _compare_backing(self) -> None:
        """See that the repository's directory and the journal hold what the view showed."""
        core = self.caches.core
        for top, folders, files in os.walk(self.plain):
            for name in [*folders, *files]:
                path = os.path.relpath(os.path.join(top, name), self.plain)
                at = self.at(path)
                there = core.backing.at(path)
                assert os.lstat(there).st_mode == os.lstat(at).st_mode, path
                if os.path.islink(at):
                    assert os.readlink(there) == os.readlink(at), path
                elif os.path.isfile(at):
                    with open(at, "rb") as one, open(there, "rb") as other:
                        text = one.read()
                        assert other.read() == text, path
                    revision = core.store.revision(RepoPath(path))
                    if revision is not None:
                        assert b"".join(node.text for node in core.store.nodes(RepoPath(path))) == text, path
        recorded = {r.path for r in core.store.below(RepoPath("")) if r.kind.value != "absent"}
        assert all(os.path.lexists(self.at(path)) for path in recorded)


TestOneView = OneView.TestCase
TestOneView.settings = settings(stateful_step_count=25)
