"""Who formats a file changes much of it and works at none of that: it holds only what it has edited."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from makfs.config import Config
from makfs.engine.filesystem import FileSystem
from makfs.engine.kernel import Kernel
from makfs.engine.procs import Caller
from makfs.ids import AgentId
from makfs.settings import OnWrite, WriteConfig
from tests.property.engine_kernel import Silent

ALICE = Caller(os.getuid(), os.getgid(), os.getpid())
OLD = b"def f():\n    return 'f'\n\n\ndef g():\n    return ( 'g' )  # the last\n"
FORMATTED = b'def f():\n    return "f"\n\n\ndef g():\n    return "g"  # the last\n'


@pytest.fixture
def fs(tmp_repo: Path) -> Iterator[FileSystem]:
    (tmp_repo / "f.py").write_bytes(OLD)
    config = Config(write=WriteConfig(on_write=OnWrite.LEASE))
    kernel = Kernel.open(tmp_repo, tmp_repo.parent / "mnt", config, ["a"], lambda *_: None)
    yield kernel.attach(Silent())
    kernel.close()


def held_after(fs: FileSystem, text: bytes) -> set[str]:
    """Return what alice holds once she has saved a text."""

    async def save() -> None:
        folder = fs.lookup(1, "a")
        assert folder is not None
        found = fs.lookup(folder.inode.ino, "f.py")
        assert found is not None
        handle = (await fs.open(found.inode.ino, os.O_WRONLY | os.O_TRUNC, ALICE)).handle
        await fs.write(handle, 0, text)
        await fs.flush(handle)
        await fs.release(handle)

    trio.run(save)
    locks = fs.core.locks
    return {str(grant.address) for grant in locks.table.grants_of(AgentId("a"), now_ns=locks.now_ns())}


def test_formatter_holds_nothing_of_what_it_has_formatted(fs: FileSystem, tmp_repo: Path) -> None:
    assert held_after(fs, FORMATTED) == set()
    assert (tmp_repo / "f.py").read_bytes() == FORMATTED


def test_who_edits_and_formats_in_one_write_holds_what_it_has_edited(fs: FileSystem) -> None:
    assert held_after(fs, FORMATTED.replace(b'"f"', b'"ff"')) == {"f.py::f"}


@pytest.mark.parametrize("more", [b"  # the very last", b"  # The last"])
def test_comment_is_no_layout(fs: FileSystem, more: bytes) -> None:
    assert held_after(fs, FORMATTED.replace(b"  # the last", more)) == {"f.py::g"}
