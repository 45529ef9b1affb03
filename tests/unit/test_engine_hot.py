"""Who opens a file that others change keeps to one version, whatever the kernel caches (I4, O1, O2)."""

import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from makfs.config import Config
from makfs.engine.filesystem import FileSystem
from makfs.engine.kernel import Kernel
from makfs.engine.procs import Caller
from makfs.errors import Refused
from makfs.settings import OnWrite, WriteConfig
from tests.property.engine_kernel import Silent

ALICE, BOB = (Caller(os.getuid(), os.getgid(), pid) for pid in (os.getpid(), os.getppid()))
OLD = b"".join(b"def f%d():\n    return %d\n\n\n" % (number, number) for number in range(9)).rstrip() + b"\n"
NEW = OLD.replace(b"return 0", b"return 1000000")
LAST = OLD.replace(b"return 2", b"return 2000000")


@pytest.fixture(params=[OnWrite.MERGE])
def fs(request: pytest.FixtureRequest, tmp_repo: Path) -> Iterator[FileSystem]:
    (tmp_repo / "f.py").write_bytes(OLD + b"\n")
    config = Config(write=WriteConfig(on_write=request.param))
    kernel = Kernel.open(tmp_repo, tmp_repo.parent / "mnt", config, ["a", "b"], lambda *_: None)
    yield kernel.attach(Silent())
    kernel.close()


def find(fs: FileSystem, view: str) -> int:
    folder = fs.lookup(1, view)
    assert folder is not None
    found = fs.lookup(folder.inode.ino, "f.py")
    assert found is not None
    return found.inode.ino


async def save(fs: FileSystem, text: bytes) -> None:
    """Write the whole file in alice's view."""
    opened = await fs.open(find(fs, "a"), os.O_WRONLY | os.O_TRUNC, ALICE)
    await fs.write(opened.handle, 0, text)
    await fs.flush(opened.handle)
    await fs.release(opened.handle)


def test_file_at_rest_is_opened_through_the_cache_to_be_patched(fs: FileSystem) -> None:
    opened = trio.run(fs.open, find(fs, "b"), os.O_RDWR, BOB)
    assert not opened.direct_io


def test_patch_of_a_file_that_another_changes_meanwhile_is_of_the_version_that_was_read(
    fs: FileSystem, tmp_repo: Path
) -> None:
    """The kernel knows the length of one version and asks for bytes when there is another."""

    async def patch() -> None:
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        begin = fs.read(bob, 0, 30)
        await save(fs, NEW)
        text = begin + fs.read(bob, 30, 4096)
        assert text == OLD
        at = text.index(b"8\n", 200)
        await fs.write(bob, at, b"9\n")
        assert fs.read(bob, 0, 4096) == OLD[:at] + b"9\n", "its own from here"
        await fs.write(bob, at + 2, b"\n\n\ndef g():\n    return 1\n")
        await fs.flush(bob)
        await fs.release(bob)

    async def story() -> None:
        await save(fs, OLD)
        assert (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).direct_io
        await patch()

    trio.run(story)
    text = (tmp_repo / "f.py").read_bytes()
    assert text == NEW.removesuffix(b"8\n") + b"9\n\n\n\ndef g():\n    return 1\n"


def test_second_patch_by_one_handle_is_of_what_the_first_made(fs: FileSystem, tmp_repo: Path) -> None:
    async def story() -> None:
        await save(fs, OLD)
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        text = fs.read(bob, 0, 4096)
        at = text.index(b"return 1\n")
        longer = text[:at] + b"return 11111\n" + text[at + 9 :]
        await fs.write(bob, at, longer[at:])
        await fs.flush(bob)
        await save(fs, LAST.replace(b"return 1\n", b"return 11111\n"))
        end = len(longer) - 2
        await fs.write(bob, end, b"9\n")
        await fs.flush(bob)
        await fs.release(bob)

    trio.run(story)
    wanted = LAST.replace(b"return 1\n", b"return 11111\n").removesuffix(b"8\n") + b"9\n"
    assert (tmp_repo / "f.py").read_bytes() == wanted


def test_patch_is_of_what_was_read_though_another_process_of_the_view_wrote(
    fs: FileSystem, tmp_repo: Path
) -> None:
    async def story() -> None:
        await save(fs, OLD)
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        text = fs.read(bob, 0, 4096)
        other = (await fs.open(find(fs, "b"), os.O_WRONLY | os.O_TRUNC, ALICE)).handle
        await fs.write(other, 0, NEW)
        await fs.flush(other)
        await fs.release(other)
        await fs.write(bob, text.index(b"8\n", 200), b"9\n")
        await fs.flush(bob)
        await fs.release(bob)

    trio.run(story)
    assert (tmp_repo / "f.py").read_bytes() == NEW.removesuffix(b"8\n") + b"9\n"


async def seen_while_it_waits(fs: FileSystem, writes: Callable[[], Awaitable[None]]) -> bytes:
    """Return what another process of bob's view reads while one of them waits for alice's lease."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writes)
        await trio.testing.wait_all_tasks_blocked()
        assert len(nursery.child_tasks) == 1, "it waits"
        reader = (await fs.open(find(fs, "b"), os.O_RDONLY, ALICE)).handle
        seen = fs.read(reader, 0, 4096)
        await fs.release(reader)
        nursery.cancel_scope.cancel()
    return seen


@pytest.mark.parametrize("fs", [OnWrite.LEASE], indirect=True)
def test_reader_sees_what_is_committed_while_a_write_of_its_view_waits(fs: FileSystem) -> None:
    """The rest of the text is still to come: a cut one is nobody's version."""

    async def patch() -> None:
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        text = fs.read(bob, 0, 4096)
        at = text.index(b"1000000")
        await fs.write(bob, at, b"77 + 1000000" + text[at + 7 : at + 30])

    async def story() -> None:
        await save(fs, NEW)
        assert await seen_while_it_waits(fs, patch) == NEW

    trio.run(story)


@pytest.mark.parametrize("fs", [OnWrite.LEASE], indirect=True)
def test_reader_sees_what_is_written_while_its_close_waits(fs: FileSystem) -> None:
    """All of it is there, and may be committed at any moment."""
    text = OLD[: OLD.index(b"def f8")].rstrip() + b"\n"

    async def cut() -> None:
        bob = (await fs.open(find(fs, "b"), os.O_WRONLY | os.O_TRUNC, BOB)).handle
        await fs.write(bob, 0, text)
        await fs.flush(bob)

    async def story() -> None:
        await save(fs, OLD.replace(b"return 8", b"return 88"))
        reader = (await fs.open(find(fs, "b"), os.O_RDONLY, BOB)).handle
        fs.read(reader, 0, 4096)
        assert await seen_while_it_waits(fs, cut) == text

    trio.run(story)


def test_who_opens_to_patch_begins_from_the_newest_version_though_a_reader_kept_an_older_one(
    fs: FileSystem,
) -> None:
    async def story() -> None:
        reader = (await fs.open(find(fs, "b"), os.O_RDONLY, BOB)).handle
        async with trio.open_nursery() as nursery:
            nursery.start_soon(save, fs, NEW)
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(fs.release, reader)
            bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        assert fs.read(bob, 0, 4096) == NEW
        await fs.release(bob)

    trio.run(story)


def test_file_that_stood_still_is_shown_anew_once_it_is_closed(fs: FileSystem) -> None:
    async def story() -> None:
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        await save(fs, NEW)
        assert fs.read(bob, 0, 4096) == OLD + b"\n"
        await fs.release(bob)
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        assert fs.read(bob, 0, 4096) == NEW
        await fs.release(bob)

    trio.run(story)


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_RDWR])
def test_slow_reader_of_a_file_at_rest_reads_one_version_and_who_opens_it_meanwhile_waits_for_the_next(
    fs: FileSystem, flags: int
) -> None:
    """A program that reads, is not given the processor for a while, and reads on to the end (I4, W4)."""
    seen: list[bytes] = []

    async def other() -> None:
        handle = (await fs.open(find(fs, "b"), flags, ALICE)).handle
        seen.append(fs.read(handle, 0, 4096))
        await fs.release(handle)

    async def story() -> None:
        reader = (await fs.open(find(fs, "b"), os.O_RDONLY, BOB)).handle
        begin = fs.read(reader, 0, 30)
        await save(fs, NEW)
        assert begin + fs.read(reader, 30, 4096) == OLD + b"\n"
        assert fs.read(reader, len(OLD) + 1, 4096) == b""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
            assert not seen
            await fs.release(reader)
        assert seen == [NEW]

    trio.run(story)


def test_who_has_read_and_closed_a_file_holds_nobody_up_though_another_keeps_it_open(fs: FileSystem) -> None:
    async def story() -> None:
        kept = await fs.open(find(fs, "b"), os.O_RDONLY, BOB)
        inode = fs.inode(find(fs, "b"))
        until = inode.still_until
        await fs.release((await fs.open(find(fs, "b"), os.O_RDONLY, ALICE)).handle)
        assert inode.still_until == until
        await fs.release(kept.handle)
        assert not inode.still_until

    trio.run(story)


def test_who_opens_to_patch_waits_for_another_process_of_its_view_that_patches_an_older_version(
    fs: FileSystem,
) -> None:
    seen: list[bytes] = []

    async def other() -> None:
        handle = (await fs.open(find(fs, "b"), os.O_RDWR, ALICE)).handle
        seen.append(fs.read(handle, 0, 4096))
        await fs.release(handle)

    async def story() -> None:
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        await save(fs, NEW)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await trio.testing.wait_all_tasks_blocked()
            assert fs.read(bob, 0, 4096) == OLD + b"\n"
            assert not seen
            await fs.release(bob)
        assert seen == [NEW]

    trio.run(story)


@pytest.mark.parametrize("fs", [OnWrite.LEASE], indirect=True)
def test_patch_in_several_writes_waits_for_no_node_that_only_the_next_write_mends(
    fs: FileSystem, tmp_repo: Path
) -> None:
    """What is behind the first write is shifted, and looks like a change of what alice holds."""

    async def story() -> None:
        await save(fs, OLD.replace(b"return 5", b"return 55"))
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        text = fs.read(bob, 0, 4096)
        at, middle = text.index(b"0\n"), text.index(b"turn 55")
        longer = text[:at] + b"1000000\n" + text[at + 2 :]
        with trio.fail_after(1):
            await fs.write(bob, at, longer[at:middle])
            await fs.write(bob, middle, longer[middle:])
            await fs.flush(bob)
        await fs.release(bob)

    trio.run(story)
    assert (tmp_repo / "f.py").read_bytes() == NEW.replace(b"return 5", b"return 55")


def test_save_after_a_refused_one_is_of_what_was_read_since_though_a_reader_has_it_open(
    fs: FileSystem, tmp_repo: Path
) -> None:
    """The refused bytes are those of a handle, and go with it (D3)."""
    last = OLD.replace(b"return 0", b"return 1000001")

    async def overwrite(text: bytes) -> None:
        bob = (await fs.open(find(fs, "b"), os.O_RDWR | os.O_TRUNC, BOB)).handle
        await fs.write(bob, 0, text)
        try:
            await fs.flush(bob)
        finally:
            await fs.release(bob)

    async def story() -> None:
        reader = (await fs.open(find(fs, "b"), os.O_RDONLY, BOB)).handle
        await save(fs, NEW)
        with pytest.raises(Refused):
            await overwrite(OLD.replace(b"return 0", b"return 7"))
        again = (await fs.open(find(fs, "b"), os.O_RDONLY, BOB)).handle
        assert fs.read(again, 0, 4096) == NEW
        await fs.release(again)
        await overwrite(last)
        await fs.release(reader)

    trio.run(story)
    assert (tmp_repo / "f.py").read_bytes() == last


def test_reader_beside_a_process_that_patches_sees_no_half_of_it(fs: FileSystem) -> None:
    async def story() -> None:
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        opened = await fs.open(find(fs, "b"), os.O_RDONLY, ALICE)
        await fs.write(bob, OLD.index(b"0\n"), b"1000000\n")
        assert opened.direct_io
        assert fs.read(opened.handle, 0, 4096) == OLD + b"\n"
        for handle in (bob, opened.handle):
            await fs.release(handle)

    trio.run(story)


def test_process_that_patches_reads_what_it_has_written_through_another_handle(fs: FileSystem) -> None:
    async def story() -> None:
        bob = (await fs.open(find(fs, "b"), os.O_RDWR, BOB)).handle
        opened = await fs.open(find(fs, "b"), os.O_RDONLY, BOB)
        await fs.write(bob, OLD.index(b"0\n"), b"1")
        assert fs.read(opened.handle, 0, 4096) == OLD.replace(b"return 0", b"return 1") + b"\n"
        for handle in (bob, opened.handle):
            await fs.release(handle)

    trio.run(story)


def test_reader_of_source_waits_for_who_has_emptied_it_and_is_slow_to_write(fs: FileSystem) -> None:
    """Half of a text is of no use to it (W4)."""
    seen: list[bytes] = []

    async def read() -> None:
        reader = (await fs.open(find(fs, "b"), os.O_RDONLY, ALICE)).handle
        seen.append(fs.read(reader, 0, 4096))
        await fs.release(reader)

    async def story() -> None:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, trio.testing.MockClock)
        bob = (await fs.open(find(fs, "b"), os.O_WRONLY | os.O_TRUNC, BOB)).handle
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(0.5)  # another process had the processor
            await trio.testing.wait_all_tasks_blocked()
            await fs.write(bob, 0, NEW)
            await fs.flush(bob)
        assert seen == [NEW]
        await fs.release(bob)

    trio.run(story, clock=trio.testing.MockClock())


@pytest.mark.parametrize("way", ["written over", "renamed over"])
def test_who_changes_a_file_that_he_reads_himself_does_not_wait_for_himself(
    fs: FileSystem, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """As `perl -pi` does, which closes its input last."""
    monkeypatch.setattr("makfs.engine.effects.READER_S", 3600.0)
    monkeypatch.setattr("makfs.engine.inodes.STILL_S", 3600.0)

    async def change() -> None:
        reading = await fs.open(find(fs, "a"), os.O_RDONLY, ALICE)
        assert fs.read(reading.handle, 0, 1 << 16) == OLD + b"\n"
        folder = fs.lookup(1, "a")
        assert folder is not None
        if way == "written over":
            opened = await fs.open(find(fs, "a"), os.O_RDWR, ALICE)
        else:
            _, opened = await fs.create(folder.inode.ino, "XXabcd", 0o600, os.O_RDWR | os.O_EXCL, ALICE)
        await fs.write(opened.handle, 0, NEW)
        await fs.flush(opened.handle)
        if way == "renamed over":
            await fs.rename(folder.inode.ino, "XXabcd", folder.inode.ino, "f.py", 0, ALICE)
        await fs.release(opened.handle)
        await fs.release(reading.handle)

    async def in_time() -> None:
        with trio.fail_after(60):
            await change()

    trio.run(in_time)
