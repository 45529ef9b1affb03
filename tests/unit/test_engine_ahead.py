"""A folder is looked at before it is renamed, others are served meanwhile; the rename is one commit (A1)."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from makfs.config import Config
from makfs.engine.filesystem import Change, FileSystem
from makfs.engine.kernel import Kernel
from makfs.engine.procs import Caller
from makfs.ids import RepoPath
from makfs.settings import OnWrite, WriteConfig
from makfs.store.model import LogQuery
from tests.property.engine_kernel import Silent

ALICE, BOB = (Caller(os.getuid(), os.getgid(), pid) for pid in (os.getpid(), os.getppid()))
FILES = 400


@pytest.fixture
def fs(tmp_repo: Path) -> Iterator[FileSystem]:
    (tmp_repo / "big" / "d").mkdir(parents=True)
    for number in range(FILES):
        (tmp_repo / "big" / "d" / f"f{number}.py").write_text(f"def f():\n    return {number}\n")
    config = Config(write=WriteConfig(on_write=OnWrite.MERGE))
    kernel = Kernel.open(tmp_repo, tmp_repo.parent / "mnt", config, ["a", "b"], lambda *_: None)
    yield kernel.attach(Silent())
    assert not trio.run(kernel.check, lambda *_: None)
    kernel.close()


def find(fs: FileSystem, path: str) -> int:
    ino = 1
    for name in path.split("/"):
        found = fs.lookup(ino, name)
        assert found is not None, path
        ino = found.inode.ino
    return ino


async def save(fs: FileSystem, path: str, text: bytes) -> None:
    """Write a whole file in bob's view."""
    opened = await fs.open(find(fs, f"b/{path}"), os.O_WRONLY | os.O_TRUNC, BOB)
    await fs.write(opened.handle, 0, text)
    await fs.flush(opened.handle)
    await fs.release(opened.handle)


async def rename(fs: FileSystem, old: str, new: str) -> None:
    """Rename at the top of alice's view."""
    top = find(fs, "a")
    await fs.rename(top, old, top, new, 0, ALICE)


def test_another_commits_while_a_large_folder_is_looked_at_and_all_of_it_is_moved(
    fs: FileSystem, tmp_repo: Path
) -> None:
    last = f"d/f{FILES - 1}.py"
    first = "d/f0.py"

    async def story() -> None:
        view = fs.agents.by_name["a"]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rename, fs, "big", "moved")
            while nursery.child_tasks and not view.name_operations:
                await trio.lowlevel.checkpoint()
            await save(fs, f"big/{first}", b"def f():\n    return 'first'\n")  # it was looked at
            await save(fs, f"big/{last}", b"def f():\n    return 'last'\n")

    trio.run(story)
    log = fs.core.store.log(LogQuery(limit=10))
    assert [(commit.agent, commit.note) for commit in log if commit.agent in ("a", "b")] == [
        ("a", "rename big/ -> moved/"), ("b", ""), ("b", ""),
    ]  # fmt: skip
    assert (tmp_repo / "moved" / first).read_bytes() == b"def f():\n    return 'first'\n"
    for path, word in ((first, b"first"), (last, b"last")):
        text = b"".join(node.text for node in fs.core.store.nodes(RepoPath(f"moved/{path}")))
        assert text == b"def f():\n    return '" + word + b"'\n"
    assert not (tmp_repo / "big").exists()
    assert not fs.moves.renames.ahead._seen, "nothing is kept of it"


def test_what_was_found_out_does_not_count_after_a_change_of_text_or_mode(
    fs: FileSystem, tmp_repo: Path
) -> None:
    async def story() -> None:
        ahead = fs.moves.renames.ahead
        await ahead.look("big", fs.outbox)
        path, other = "big/d/f0.py", "big/d/f1.py"
        mode = (tmp_repo / path).stat().st_mode
        assert ahead.of(path, mode) is ahead.of(path, mode), "it was found out"
        before = [ahead.of(path, mode).state.content_hash, ahead.of(other, mode).state.mode]
        await save(fs, path, b"def f():\n    return 'new'\n")
        await fs.setattr(find(fs, f"b/{other}"), Change(mode=0o755), None, BOB)
        assert ahead.of(path, mode).state.content_hash != before[0]
        assert ahead.of(other, (tmp_repo / other).stat().st_mode).state.mode == 0o755 != before[1]
        ahead.forget("big")

    trio.run(story)
