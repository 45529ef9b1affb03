"""Several views, several processes each: nothing accepted is lost, all views agree, the past stays true.

Every edit adds a line of its own to one function, so that a text tells which edits are in it.
"""

import contextlib
import errno
import os
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from makfs.engine import files
from makfs.ids import RepoPath
from makfs.store.model import FileKind
from tests.property.engine_kernel import Caches, OpenFile, Process, remove, temporary_folder

AGENTS = ("alice", "bob", "carol")
FUNCTIONS = 6
PATHS = ["a.py", "pkg/b.py", "notes.txt"]
STYLES = ["truncate", "shrink", "shadow", "temporary", "rewrite", "remake"]


def start_text(path: str) -> bytes:
    if path.endswith(".py"):
        return b"\n\n".join(b"def f%d():\n    x = %d\n    return x\n" % (n, n) for n in range(FUNCTIONS))
    return b"".join(b"section %d\nabout %d\n\nend %d\n\n" % (n, n, n) for n in range(FUNCTIONS))


def edited(path: str, text: bytes, function: int, mark: bytes) -> bytes | None:
    """Return the text with a line more after the function's first; None if it has no such function."""
    first = b"def f%d():\n" % function if path.endswith(".py") else b"section %d\n" % function
    at = text.find(first)
    if at < 0:
        return None
    line = b"    mark_%b = 1\n" % mark if path.endswith(".py") else b"mark_%b\n" % mark
    return text[: at + len(first)] + line + text[at + len(first) :]


def marks(text: bytes) -> set[bytes]:
    return {line.strip().split(b" ")[0] for line in text.split(b"\n") if line.strip().startswith(b"mark_")}


def must_be_busy(error: OSError) -> None:
    assert error.errno == errno.EBUSY, error


@dataclass(eq=False)
class Worker:
    """A process and what it remembers of each file."""

    process: Process
    remembers: dict[str, bytes] = field(default_factory=dict)


@dataclass(eq=False)
class Begun:
    """A write that is staged but not closed."""

    worker: Worker
    path: str
    file: OpenFile
    text: bytes
    mark: bytes


class Views(RuleBasedStateMachine):
    """Accepted marks are at head until their file is removed; refused ones are kept and are not."""

    workers: Bundle[Worker] = Bundle("workers")
    begun: Bundle[Begun] = Bundle("begun")

    @initialize(target=workers, hot=st.booleans())
    def serve(self, hot: bool) -> MultipleResults[Worker]:
        self.hot_s, files.HOT_S = files.HOT_S, files.HOT_S if hot else 0.0
        self.folder = temporary_folder()
        self.repo = self.folder / "repo"
        (self.repo / "pkg").mkdir(parents=True)
        for path in PATHS:
            (self.repo / path).write_bytes(start_text(path))
        self.caches = Caches(self.repo, AGENTS)
        self.caches.watch()
        self.accepted: dict[str, set[bytes]] = {path: set() for path in PATHS}
        self.refused: set[bytes] = set()
        self.counter = 0
        self.seen: dict[int, dict[str, bytes]] = {}
        self.open: set[Begun] = set()
        self.clash = False
        return multiple(*(Worker(Process(self.caches, AGENTS[n % 3], n)) for n in range(5)))

    def mark(self) -> bytes:
        self.counter += 1
        return b"%d" % self.counter

    def shares_bytes(self, worker: Worker, path: str) -> bool:
        """Tell whether another process of the view writes the file, which has no nodes: as on any disk."""
        return not path.endswith(".py") and self._workers().index(worker) >= len(AGENTS)

    # ---- edits

    @rule(worker=workers, path=st.sampled_from(PATHS))
    def read(self, worker: Worker, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            worker.remembers[path] = worker.process.read(path)

    @rule(worker=workers, path=st.sampled_from(PATHS), function=st.integers(0, FUNCTIONS - 1),
          style=st.sampled_from(STYLES), fresh=st.booleans())  # fmt: skip
    def edit(self, worker: Worker, path: str, function: int, style: str, fresh: bool) -> None:
        """Change one function of what the process remembers, or of what it reads now, and write it all."""
        if self.shares_bytes(worker, path):
            return
        if fresh or path not in worker.remembers:
            self.read(worker, path)
        text, mark = worker.remembers.get(path, b""), self.mark()
        new = edited(path, text, function, mark)
        busy = {(each.worker.process.view, each.path) for each in self.open}
        if new is None or not self.caches.core.backing.lstat(path) or (worker.process.view, path) in busy:
            return  # two writers of one view overwrite each other, as anywhere: POSIX promises no more
        try:
            getattr(self, f"_{style}")(worker.process, path, new)
        except OSError as error:
            must_be_busy(error)
            self.refused.add(b"mark_" + mark)
            assert not fresh or self.open, "a write of what was just read was refused, and nobody else writes"
        else:
            self.accepted[path].add(b"mark_" + mark)
            worker.remembers[path] = new

    @staticmethod
    def _truncate(process: Process, path: str, text: bytes) -> None:
        process.write(path, text)

    @staticmethod
    def _rewrite(process: Process, path: str, text: bytes) -> None:
        process.write(path, text, os.O_RDWR)

    @staticmethod
    def _shrink(process: Process, path: str, text: bytes) -> None:
        file = process.open(path, os.O_WRONLY | os.O_CREAT)
        try:
            file.write(0, text)
            file.truncate(len(text))
        finally:
            file.close()

    def _shadow(self, process: Process, path: str, text: bytes) -> None:
        self._replace(process, path, text, f"{path}.tmp.{process.caller.tid}.0123456789ab")

    def _temporary(self, process: Process, path: str, text: bytes) -> None:
        self._replace(process, path, text, f"{path}-{process.caller.tid}.new")

    @staticmethod
    def _replace(process: Process, path: str, text: bytes, temporary: str) -> None:
        process.write(temporary, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            process.rename(temporary, path)
        except OSError:
            process.unlink(temporary)
            raise

    @staticmethod
    def _remake(process: Process, path: str, text: bytes) -> None:
        """Git's way of changing a file: remove it and make it again."""
        process.unlink(path)
        process.write(path, text, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    @rule(target=begun, worker=workers, path=st.sampled_from(PATHS), function=st.integers(0, FUNCTIONS - 1))
    def begin(self, worker: Worker, path: str, function: int) -> MultipleResults[Begun] | Begun:
        """Write, but do not close yet."""
        text, mark = worker.remembers.get(path), self.mark()
        new = edited(path, text, function, mark) if text is not None else None
        busy = {(each.worker.process.view, each.path) for each in self.open}
        if new is None or not self.caches.core.backing.lstat(path) or (worker.process.view, path) in busy:
            return multiple()
        if self.shares_bytes(worker, path):
            return multiple()
        file = worker.process.open(path, os.O_WRONLY | os.O_TRUNC)
        try:
            file.write(0, new)
        except OSError as error:  # early: no continuation could be accepted
            must_be_busy(error)
            self.refused.add(b"mark_" + mark)
            with contextlib.suppress(OSError):
                file.close()
            return multiple()
        write = Begun(worker, path, file, new, b"mark_" + mark)
        self.open.add(write)
        return write

    @rule(write=consumes(begun))
    def finish(self, write: Begun) -> None:
        if write not in self.open:
            return
        self.open.remove(write)
        try:
            write.file.close()
        except OSError as error:
            must_be_busy(error)
            self.refused.add(write.mark)
        else:
            if self.caches.core.backing.lstat(write.path):
                self.accepted[write.path].add(write.mark)
                write.worker.remembers[write.path] = write.text

    # ---- a person in the repository's directory

    @rule(
        path=st.sampled_from(PATHS),
        function=st.integers(0, FUNCTIONS - 1),
        replace=st.booleans(),
        told=st.booleans(),
    )
    def edit_directly(self, path: str, function: int, replace: bool, told: bool) -> None:
        """Edit ./repo; inotify may tell of it later only."""
        at, mark = self.repo / path, self.mark()
        if not at.exists():
            return
        new = edited(path, at.read_bytes(), function, mark)
        if new is None:
            return
        if replace:
            (self.folder / "new").write_bytes(new)
            os.replace(self.folder / "new", at)
        else:
            at.write_bytes(new)
        self.accepted[path].add(b"mark_" + mark)
        if told:
            self.caches.watch()

    # ---- names

    @rule(worker=workers, path=st.sampled_from(PATHS), direct=st.booleans())
    def remove_and_make_again(self, worker: Worker, path: str, direct: bool) -> None:
        if self.open:
            return
        if direct:
            (self.repo / path).unlink()
            self.caches.watch()
            (self.repo / path).write_bytes(start_text(path))
            self.caches.watch()
        else:
            worker.process.read(path)
            worker.process.unlink(path)
            worker.process.write(path, start_text(path))
        self.accepted[path].clear()
        for each in self._workers():
            each.remembers.pop(path, None)

    @rule(worker=workers)
    def rename_there_and_back(self, worker: Worker) -> None:
        """Move a file: it keeps its marks, and processes what they believe."""
        if self.open:
            return
        worker.process.rename("pkg/b.py", "c.py")
        worker.process.rename("c.py", "pkg/b.py")

    @rule(worker=workers)
    def rename_the_folder_there_and_back(self, worker: Worker) -> None:
        if not self.open:
            worker.process.rename("pkg", "lib")
            worker.process.rename("lib", "pkg")

    @rule(worker=workers, path=st.sampled_from(PATHS), mode=st.sampled_from([0o644, 0o755]))
    def chmod(self, worker: Worker, path: str, mode: int) -> None:
        worker.process.chmod(path, mode)

    def _workers(self) -> list[Worker]:
        return [value for value in self.names_to_values.values() if isinstance(value, Worker)]

    # ---- time

    @rule()
    def tend(self) -> None:
        self.caches.tend()

    @rule()
    def forget_caches(self) -> None:
        self.caches.pages.clear()
        self.caches.attributes.clear()
        self.caches.dentries.clear()

    # ---- what must hold

    @invariant()
    def nothing_accepted_is_lost(self) -> None:
        if not hasattr(self, "caches"):
            return
        core = self.caches.core
        for view in core.views.values():
            view.check()
        for path in PATHS:
            head = core.backing.read(path)
            assert marks(head) == self.accepted[path], path
            revision = core.store.revision(RepoPath(path))
            file = core.files.get(path)
            if revision is not None and revision.kind is FileKind.FILE and file is not None:
                self.seen.setdefault(int(core.store.head), {})[path] = b"".join(
                    node.text for node in core.store.nodes(RepoPath(path))
                )

    @invariant()
    def every_view_shows_the_head(self) -> None:
        if not hasattr(self, "caches"):
            return
        self.caches.watch()
        staged = {(each.worker.process.view, each.path) for each in self.open}
        for number, agent in enumerate(AGENTS):
            reader = Process(self.caches, agent, 100 + number)
            for path in PATHS:
                if (agent, path) not in staged:
                    assert reader.read(path) == self.caches.core.backing.read(path), (agent, path)
                    assert reader.stat(path).st_size == os.stat(self.repo / path).st_size

    def teardown(self) -> None:
        if not hasattr(self, "caches"):
            return
        try:
            for write in list(self.open):
                self.finish(write)
            self.nothing_accepted_is_lost()
            self.every_view_shows_the_head()
            self._check_the_past()
            self._check_refusals()
            self.caches.forget_all()
            assert not self.caches.fs.handles
            left = [inode for inode in self.caches.core.table.by_ino.values() if inode.path != ""]
            assert not left, left
            assert not self.caches.findings()
        finally:
            files.HOT_S = self.hot_s
            self.caches.close()
            remove(self.folder)

    def _check_the_past(self) -> None:
        """See that a path at a seq is what it was when that seq was the head."""
        store = self.caches.core.store
        for seq, texts in self.seen.items():
            for path, text in texts.items():
                nodes = store.nodes(RepoPath(path), seq)  # type: ignore[arg-type]
                assert b"".join(node.text for node in nodes) == text, (seq, path)

    def _check_refusals(self) -> None:
        """See that each refused mark is in a refusal's bytes."""
        store = self.caches.core.store
        kept = [store.refusal(refusal.number) for refusal in store.refusals(limit=10_000)]
        texts = [refusal.mine for refusal in kept if refusal is not None]
        for mark in self.refused:
            assert any(mark in marks(text) for text in texts), mark


TestViews = Views.TestCase
TestViews.settings = settings(stateful_step_count=30)
