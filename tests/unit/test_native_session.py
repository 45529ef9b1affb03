"""The native transport's request loop, on a socket in the device's place and a real repository behind it."""

import errno
import os
import socket
import struct
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from makfs.config import Config
from makfs.engine.kernel import Kernel
from makfs.engine.plain import GIVEN_BYTES
from makfs.errors import MountError
from makfs.vfs.native import abi, negotiate
from makfs.vfs.native.abi import Fopen, Init, NotifyCode, Opcode
from makfs.vfs.native.device import Device, NativeNotifier
from makfs.vfs.native.interrupts import Interrupts
from makfs.vfs.native.serve import handlers
from makfs.vfs.native.session import MOST_WAITING, Session

SILENT = {Opcode.FORGET, Opcode.BATCH_FORGET, Opcode.INTERRUPT, Opcode.NOTIFY_REPLY}
PATIENCE_S = 60


class Client:
    """The kernel's side of the device."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._unique = 0
        self.given: list[tuple[int, bytes]] = []  # files' texts that came unasked, by inode

    async def send(self, opcode: int, node: int = 1, body: bytes = b"") -> int:
        await trio.lowlevel.wait_writable(self._end)
        return self.send_now(opcode, node, body)

    def send_now(self, opcode: int, node: int, body: bytes) -> int:
        """Send a request; who takes requests has not run when this returns."""
        self._unique += 2
        head = abi.IN_HEADER.pack(
            abi.IN_HEADER.size + len(body), opcode, self._unique, node, 0, 0, os.getpid(), 0, 0
        )
        self._end.send(head + body)
        return self._unique

    async def receive(self) -> tuple[int, int, bytes]:
        """Return unique, errno and body of the next reply."""
        while True:
            await trio.lowlevel.wait_readable(self._end)
            reply = self._end.recv(1 << 21)
            length, error, unique = abi.OUT_HEADER.unpack_from(reply)
            assert length == len(reply)
            body = reply[abi.OUT_HEADER.size :]
            if unique:
                return unique, -error, body
            assert error == NotifyCode.STORE
            node, offset, size, _ = abi.NOTIFY_STORE_OUT.unpack_from(body)
            assert (offset, size) == (0, len(body) - abi.NOTIFY_STORE_OUT.size)
            self.given.append((node, body[abi.NOTIFY_STORE_OUT.size :]))

    async def ask(self, opcode: int, node: int = 1, body: bytes = b"") -> tuple[int, bytes]:
        unique = await self.send(opcode, node, body)
        answered, error, reply = await self.receive()
        assert answered == unique
        return error, reply

    async def find(self, node: int, name: bytes) -> int:
        error, reply = await self.ask(Opcode.LOOKUP, node, name + b"\0")
        assert error == 0
        return int(abi.ENTRY_OUT.unpack(reply)[0])


@contextmanager
def a_kernel(repo: Path) -> Iterator[Kernel]:
    kernel = Kernel.open(repo, repo.parent / "mnt", Config(), ["a", "b"], lambda *_: None)
    try:
        yield kernel
    finally:
        kernel.close()


def with_session(
    repo: Path, test: Callable[[Client, Session, Interrupts], Coroutine[Any, Any, None]]
) -> None:
    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        with a_kernel(repo) as kernel, ours, theirs, trio.fail_after(PATIENCE_S):
            device, interrupts = Device(ours.fileno()), Interrupts()
            fs = kernel.attach(NativeNotifier(Device(os.open(os.devnull, os.O_WRONLY))))
            session = Session(device, handlers(fs, interrupts, device), interrupts)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(session.run)
                await test(Client(theirs), session, interrupts)
                nursery.cancel_scope.cancel()

    trio.run(main)


def requests() -> st.SearchStrategy[tuple[int, int, bytes]]:
    words = st.lists(st.sampled_from([0, 1, 2, 3, 7, 0x8000, 1 << 31, (1 << 32) - 1]), max_size=16).map(
        lambda numbers: struct.pack(f"={len(numbers)}I", *numbers)
    )
    tails = st.sampled_from([b"", b"a\0", b"app\0", b"\xff\0x\0", b"\0\0\0", b"a" * 300 + b"\0", b"x"])
    bodies = st.builds(bytes.__add__, words, tails) | st.binary(max_size=120)
    known = [opcode for opcode in Opcode if opcode is not Opcode.SYMLINK]
    opcodes = st.sampled_from(known) | st.integers(0, 70) | st.integers(0, (1 << 32) - 1)
    return st.tuples(opcodes, st.sampled_from([0, 1, 2, (1 << 64) - 1]), bodies)


@given(asked=st.lists(requests(), max_size=30))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
def test_garbage_is_answered_once_and_the_session_goes_on(
    tmp_repo: Path, asked: list[tuple[int, int, bytes]]
) -> None:
    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        for opcode, node, body in asked:
            unique = await client.send(opcode, node, body)
            if opcode in SILENT:
                continue
            answered, error, _ = await client.receive()
            assert answered == unique
            assert 0 <= error < 4096
        assert (await client.ask(Opcode.GETATTR, 1, bytes(16)))[0] == 0

    with_session(tmp_repo, test)


def test_a_request_of_the_wrong_length_is_passed_over(tmp_repo: Path) -> None:
    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        client._end.send(b"\0" * 7)
        client._end.send(abi.IN_HEADER.pack(999, Opcode.LOOKUP, 4, 1, 0, 0, 0, 0, 0))
        assert (await client.ask(Opcode.GETATTR, 1, bytes(16)))[0] == 0

    with_session(tmp_repo, test)


def test_what_is_not_served_is_enosys_so_that_the_kernel_stops_asking(tmp_repo: Path) -> None:
    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        for opcode in (31, 34, 37, 39, 40, 43, 46, 47, 51, 52):  # locks, access, bmap, ioctl, fallocate ...
            assert await client.ask(opcode, 1, bytes(64)) == (errno.ENOSYS, b"")

    with_session(tmp_repo, test)


def test_a_listing_counts_no_look_up_of_what_did_not_fit(tmp_repo: Path) -> None:
    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        view = await client.find(1, b"a")
        _, opened = await client.ask(Opcode.OPENDIR, view, bytes(8))
        handle = abi.OPEN_OUT.unpack(opened)[0]
        seen: list[bytes] = []
        offset, one = 0, abi.DIRENTPLUS.size + 16
        while True:
            room = abi.READ_IN.pack(handle, offset, one, 0, 0, 0, 0)
            error, body = await client.ask(Opcode.READDIRPLUS, view, room)
            assert error == 0
            if not body:
                break
            fields = abi.DIRENTPLUS.unpack_from(body)
            node, offset, size = fields[0], fields[-3], fields[-2]
            assert len(body) == (abi.DIRENTPLUS.size + size + 7) // 8 * 8, "one name in a reply"
            seen.append(body[abi.DIRENTPLUS.size :][:size])
            if seen[-1] in (b".", b".."):
                assert (node, fields[-4]) == (0, view if seen[-1] == b"." else 1), "F3"
                continue
            await client.send(Opcode.FORGET, node, abi.FORGET_IN.pack(1))
            assert (await client.ask(Opcode.GETATTR, node, bytes(16)))[0] == errno.ESTALE, "one look-up each"
        assert seen == [b".", b"..", b".git", b".gitignore", b"README.md", b"app"]

    with_session(tmp_repo, test)


def test_a_listing_may_be_kept_only_while_the_folder_is_as_it_was_listed(
    tmp_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, kept = Fopen.CACHE_DIR, Fopen.CACHE_DIR | Fopen.KEEP_CACHE

    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        folder = await client.find(await client.find(1, b"a"), b"app")

        async def listed() -> int:
            """Open, list and close the folder; return what the kernel was told to do with the listing."""
            _, opened = await client.ask(Opcode.OPENDIR, folder, bytes(8))
            handle, flags, _ = abi.OPEN_OUT.unpack(opened)
            await client.ask(Opcode.READDIRPLUS, folder, abi.READ_IN.pack(handle, 0, 4096, 0, 0, 0, 0))
            await client.ask(Opcode.RELEASEDIR, folder, abi.RELEASE_IN.pack(handle, 0, 0, 0))
            return int(flags)

        monkeypatch.setattr("makfs.vfs.native.folders._RACY_NS", 0)
        assert [await listed(), await listed(), await listed()] == [fresh, kept, kept]
        (tmp_repo / "app" / "new.py").write_bytes(b"")
        os.utime(tmp_repo / "app", ns=(10**18, 10**18))
        assert [await listed(), await listed()] == [fresh, kept]
        create = abi.CREATE_IN.pack(os.O_WRONLY | os.O_CREAT, 0o644, 0, 0) + b"private.py\0"
        await client.ask(Opcode.CREATE, folder, create)
        assert await listed() == 0, "what only this view has is in no stamp"
        monkeypatch.setattr("makfs.vfs.native.folders._RACY_NS", 10**18)
        assert await listed() == 0, "it changed so shortly ago that it may change again unseen"

    with_session(tmp_repo, test)


def test_an_operation_that_waits_delays_no_other(tmp_repo: Path) -> None:
    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        git_a = await client.find(await client.find(1, b"a"), b".git")
        git_b = await client.find(await client.find(1, b"b"), b".git")
        create = abi.CREATE_IN.pack(os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, 0, 0) + b"index.lock\0"
        error, made = await client.ask(Opcode.CREATE, git_a, create)
        assert error == 0
        waiting = await client.send(Opcode.CREATE, git_b, create)
        assert (await client.ask(Opcode.GETATTR, git_b, bytes(16)))[0] == 0
        await client.send(Opcode.UNLINK, git_a, b"index.lock\0")
        both = {unique: error for unique, error, _ in [await client.receive(), await client.receive()]}
        assert both[waiting] == 0
        assert set(both.values()) == {0}
        assert made

    with_session(tmp_repo, test)


def test_a_wait_for_a_lock_file_that_is_interrupted_says_so_and_has_made_nothing(tmp_repo: Path) -> None:
    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        git_a = await client.find(await client.find(1, b"a"), b".git")
        git_b = await client.find(await client.find(1, b"b"), b".git")
        create = abi.CREATE_IN.pack(os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, 0, 0) + b"index.lock\0"
        await client.ask(Opcode.CREATE, git_a, create)
        waiting = await client.send(Opcode.CREATE, git_b, create)
        await client.send(Opcode.INTERRUPT, 0, abi.INTERRUPT_IN.pack(waiting))
        unique, error, _ = await client.receive()
        assert (unique, error) == (waiting, errno.EINTR)
        await client.send(Opcode.INTERRUPT, 0, abi.INTERRUPT_IN.pack(12345))  # of nobody: no answer
        assert (await client.ask(Opcode.UNLINK, git_a, b"index.lock\0"))[0] == 0
        assert (await client.ask(Opcode.LOOKUP, git_b, b"index.lock\0"))[1][:8] == bytes(8), "nothing is left"

    with_session(tmp_repo, test)


def test_with_too_many_waiting_an_open_is_refused_and_a_read_is_served(
    tmp_repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("makfs.vfs.native.session.MOST_WAITING", 3)
    assert MOST_WAITING > 3

    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        view = await client.find(1, b"a")
        git_a, readme = await client.find(view, b".git"), await client.find(view, b"README.md")
        git_b = await client.find(await client.find(1, b"b"), b".git")
        create = abi.CREATE_IN.pack(os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, 0, 0) + b"index.lock\0"
        await client.ask(Opcode.CREATE, git_a, create)
        _, opened = await client.ask(Opcode.OPEN, readme, abi.OPEN_IN.pack(os.O_RDONLY, 0))
        handle = abi.OPEN_OUT.unpack(opened)[0]
        waiting = [await client.send(Opcode.CREATE, git_b, create) for _ in range(3)]
        assert await client.ask(Opcode.CREATE, git_b, create) == (errno.EBUSY, b"")
        assert await client.ask(Opcode.READ, readme, abi.READ_IN.pack(handle, 2, 3, 0, 0, 0, 0)) == (
            0,
            b"app",
        )
        for unique in waiting:
            await client.send(Opcode.INTERRUPT, 0, abi.INTERRUPT_IN.pack(unique))
        assert {(await client.receive())[0] for _ in waiting} == set(waiting)
        assert (await client.ask(Opcode.OPEN, readme, abi.OPEN_IN.pack(os.O_RDONLY, 0)))[0] == 0

    with_session(tmp_repo, test)


def test_a_small_file_is_given_to_the_kernel_when_it_is_first_opened_and_never_while_others_have_it(
    tmp_repo: Path,
) -> None:
    sizes = {"small": 5000, "most": GIVEN_BYTES, "large": GIVEN_BYTES + 1, "empty": 0}
    for name, size in sizes.items():
        (tmp_repo / name).write_bytes(os.urandom(size))

    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        views = [await client.find(1, b"a"), await client.find(1, b"b")]

        async def opened(node: int, flags: int = os.O_RDONLY) -> int:
            error, reply = await client.ask(Opcode.OPEN, node, abi.OPEN_IN.pack(flags, 0))
            assert error == 0
            return int(abi.OPEN_OUT.unpack(reply)[0])

        async def taken() -> list[tuple[int, bytes]]:
            found, client.given = client.given, []
            return found

        for name in sizes:
            node = await client.find(views[0], os.fsencode(name))
            handle = await opened(node)
            text = (tmp_repo / name).read_bytes()
            assert await taken() == ([(node, text)] if name in ("small", "most") else [])
            await client.ask(Opcode.RELEASE, node, abi.RELEASE_IN.pack(handle, 0, 0, 0))
            await opened(node)
            assert await taken() == [], "the kernel has it already"
        node = await client.find(views[1], b"small")
        writer = await opened(node, os.O_RDWR)
        await opened(node)
        assert await taken() == [], "P2: a write or a read of the other may have a page of it"
        await client.ask(Opcode.RELEASE, node, abi.RELEASE_IN.pack(writer, 0, 0, 0))

    with_session(tmp_repo, test)


def test_closing_waits_for_the_next_open_to_be_answered_and_for_nothing_else(tmp_repo: Path) -> None:
    for name in ("one", "two"):
        (tmp_repo / name).write_bytes(b"text")
    read, write = abi.OPEN_IN.pack(os.O_RDONLY, 0), abi.OPEN_IN.pack(os.O_WRONLY, 0)

    async def test(client: Client, session: Session, interrupts: Interrupts) -> None:
        view = await client.find(1, b"a")
        one, two = await client.find(view, b"one"), await client.find(view, b"two")

        async def after_closing(*asked: tuple[Opcode, int, bytes]) -> list[str]:
            """Close `one`, which was read, and ask more at once; return what is answered, in order."""
            error, opened = await client.ask(Opcode.OPEN, one, read)
            assert error == 0
            close = abi.RELEASE_IN.pack(abi.OPEN_OUT.unpack(opened)[0], os.O_RDONLY, 0, 0)
            sent: dict[int, tuple[Opcode, int]] = {}
            for opcode, node, body in ((Opcode.RELEASE, one, close), *asked):
                sent[client.send_now(opcode, node, body)] = opcode, node
            order, still_open = [], []
            for _ in sent:
                unique, error, body = await client.receive()
                assert error == 0
                opcode, node = sent[unique]
                order.append(opcode.name)
                if opcode is Opcode.OPEN:
                    still_open.append((node, abi.OPEN_OUT.unpack(body)[0]))
            for node, number in still_open:
                await client.ask(Opcode.RELEASE, node, abi.RELEASE_IN.pack(number, os.O_WRONLY, 0, 0))
            return order

        look, other = (Opcode.GETATTR, two, bytes(16)), (Opcode.OPEN, two, read)
        assert await after_closing() == ["RELEASE"], "nothing more comes"
        assert await after_closing(other) == ["OPEN", "RELEASE"]
        assert await after_closing(look, other) == ["GETATTR", "OPEN", "RELEASE"]
        assert await after_closing(look) == ["GETATTR", "RELEASE"]
        assert await after_closing((Opcode.OPEN, one, read)) == ["RELEASE", "OPEN"], "S3: the same file"
        assert await after_closing((Opcode.OPEN, two, write)) == ["RELEASE", "OPEN"], "S3: to write"
        assert await after_closing((Opcode.STATFS, 1, b"")) == ["RELEASE", "STATFS"], "S3"

    with_session(tmp_repo, test)


def init(major: int, minor: int, offered: Init) -> memoryview:
    low = offered & 0xFFFF_FFFF
    return memoryview(abi.INIT_IN.pack(major, minor, 4096, low) + struct.pack("=I44x", offered >> 32))


def test_init_takes_what_is_wanted_and_offered() -> None:
    everything = Init(sum(Init))
    agreed = negotiate.agree(init(7, 45, everything))
    assert agreed is not None
    assert agreed.flags == negotiate.WANTED
    assert not agreed.flags & (Init.POSIX_LOCKS | Init.FLOCK_LOCKS), "G1"
    assert not agreed.flags & Init.WRITEBACK_CACHE, "G2"
    reply = abi.INIT_OUT.unpack(agreed.reply())
    assert (reply[0], reply[3] | reply[10] << 32) == (7, negotiate.WANTED)
    few = negotiate.agree(init(7, 31, Init.BIG_WRITES | Init.WRITEBACK_CACHE))
    assert few is not None
    assert few.flags == Init.BIG_WRITES


def test_init_asks_a_newer_kernel_again_and_refuses_an_older_one() -> None:
    assert negotiate.agree(init(8, 0, Init(0))) is None
    for major, minor in ((7, 30), (6, 99)):
        with pytest.raises(MountError):
            negotiate.agree(init(major, minor, Init(0)))
