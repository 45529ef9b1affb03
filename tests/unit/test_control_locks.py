"""C3, C4: the verbs of locks over a real socket: who waits leaves with its client, who holds lets go."""

import contextlib
import errno
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from makfs.cli.client import Client
from makfs.cli.exits import Told
from makfs.engine.api import Applied, LockRow, LockState
from makfs.wire import verbs
from makfs.wire.frames import encode
from makfs.wire.place import SOCKET_NAME, STATE_DIR
from tests.unit.test_control_socket import SmallKernel, serve_while, talk

BUILD = "resource:build"
TIED = verbs.Claim("alice", "write", (BUILD,), tied=True)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / STATE_DIR).mkdir()
    return tmp_path


async def connect(repo: Path) -> trio.SocketStream:
    return await trio.open_unix_socket(str(repo / STATE_DIR / SOCKET_NAME))


async def ask(stream: trio.SocketStream, verb: verbs.Verb, number: int = 1) -> dict[str, Any]:
    await stream.send_all(encode(verbs.request(number, verb)))
    line = b""
    while not line.endswith(b"\n"):
        line += await stream.receive_some()
    answer: dict[str, Any] = json.loads(line)
    return answer


def test_verbs_of_locks_carry_their_arguments_and_values(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        def talk_of_locks(client: Client) -> None:
            claim = verbs.Claim("alice", "read", ("a.py::f", BUILD), wait_s=0, lease_s=60)
            rows = client.get(claim, list[LockRow])
            assert [(row.address, row.mode, row.lease_ns) for row in rows] == [
                ("a.py::f", "read", 60 * 10**9),
                (BUILD, "read", 60 * 10**9),
            ]
            assert client.get(verbs.Locks(), LockState).grants == tuple(rows)
            assert client.get(verbs.Locks("a.py"), LockState).grants == (rows[0],)
            assert client.get(verbs.Renew("alice", (BUILD,), 7), list[LockRow]) == rows[1:]
            assert client.get(verbs.Release("alice", ("a.py::f",)), list[LockRow]) == rows[:1]
            assert client.get(verbs.Release("alice"), list[LockRow]) == rows[1:]
            assert client.get(verbs.Why("bob"), str) == "No write of bob was refused.\n"
            assert client.get(verbs.ApplyRefusal(1), Applied) == Applied("a.py", 12, True)  # type: ignore[arg-type]

        await trio.to_thread.run_sync(talk, repo, talk_of_locks)
        assert kernel.asked == [(0.0, 60.0), (None, 7.0)]

    serve_while(repo, body)


def test_bad_requests_get_a_sentence_and_change_nothing(repo: Path) -> None:
    cases: list[tuple[verbs.Verb, str, int]] = [
        (verbs.Claim("carol", "write", ("a.py",)), "There is no agent carol.", errno.ENOENT),
        (verbs.Claim("alice", "write", ("/a.py",)), "'/a.py' is not an address: it starts", errno.EINVAL),
        (verbs.Claim("alice", "write", ("a",), lease_s=5, tied=True), "it takes no lease.", errno.EPROTO),
        (verbs.Claim("carol", "write", ("a",), tied=True), "There is no agent carol.", errno.ENOENT),
        (verbs.Release("alice"), "alice does not hold anything.", errno.EINVAL),
        (verbs.Release("alice", ()), "No address was named.", errno.EPROTO),
        (verbs.Renew("alice", ("a.py",)), "alice does not hold a.py.", errno.EINVAL),
        (verbs.ApplyRefusal(3), "Refused write 4 to a.py.", errno.EBUSY),
        (verbs.ApplyRefusal(9), "There is no refusal 9.", errno.ENOENT),
    ]

    async def body(kernel: SmallKernel) -> None:
        def refuse(client: Client) -> None:
            for verb, sentence, number in cases:
                with pytest.raises(Told) as caught:
                    client.ask(verb)
                assert sentence in str(caught.value)
                assert caught.value.number == number, verb

        await trio.to_thread.run_sync(talk, repo, refuse)
        assert kernel.held == []
        assert kernel.waiting == []

    serve_while(repo, body)


def test_claim_waits_until_it_is_granted(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        def release_when_somebody_waits() -> None:
            trio.from_thread.run(kernel.queued.wait)
            talk(repo, lambda client: client.ask(verbs.Release("alice")))

        async with await connect(repo) as stream, trio.open_nursery() as nursery:
            await ask(stream, verbs.Claim("alice", "write", ("a.py",)))
            nursery.start_soon(trio.to_thread.run_sync, release_when_somebody_waits)
            answer = await ask(stream, verbs.Claim("bob", "write", ("a.py",), wait_s=60))
            assert answer["data"][0]["agent"] == "bob"

    serve_while(repo, body)


@pytest.mark.parametrize("tied", [False, True])
def test_leaving_client_leaves_the_queue(tied: bool, repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        async with await connect(repo) as holder:
            await ask(holder, TIED)
            waiter = await connect(repo)
            await waiter.send_all(
                encode(verbs.request(1, verbs.Claim("bob", "write", (BUILD,), 60, tied=tied)))
            )
            await kernel.queued.wait()
            assert not kernel.left_queue.is_set()
            await waiter.aclose()
            await kernel.left_queue.wait()
            assert [row.agent for _, row in kernel.held] == ["alice"]

    serve_while(repo, body)


def hang_up(stream: trio.SocketStream) -> None:
    stream.socket.close()


def reset(stream: trio.SocketStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


def shut_half(stream: trio.SocketStream) -> None:
    stream.socket.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("end", [hang_up, reset, shut_half])
def test_tied_claim_ends_with_its_connection(end: Callable[[trio.SocketStream], None], repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        stream = await connect(repo)
        answer = await ask(stream, TIED)
        assert answer["data"][0]["address"] == BUILD
        assert (await ask(stream, verbs.Status(), 2))["ok"], "other verbs are answered meanwhile"
        assert not kernel.hold_ended.is_set(), "C4"
        end(stream)
        await kernel.hold_ended.wait()
        assert kernel.held == [], "C4"
        stream.socket.close()

    serve_while(repo, body)


def test_tied_claim_ends_though_answers_are_left_unread(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        stream = await connect(repo)
        await ask(stream, TIED)
        for number in range(2, 40):  # 4 MB each: the daemon is stuck in sending
            await stream.send_all(encode(verbs.request(number, verbs.ShowRefusal(1))))
        stream.socket.close()
        await kernel.hold_ended.wait()

    serve_while(repo, body)


def test_tied_claim_ends_with_a_killed_client(repo: Path) -> None:
    code = (
        "import sys, time; from makfs.cli.client import Client; from makfs.wire.verbs import Claim\n"
        f"client = Client(sys.argv[1]); client.ask(Claim('alice', 'write', ({BUILD!r},), tied=True))\n"
        "print(flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    async def body(kernel: SmallKernel) -> None:
        def hold_and_die() -> None:
            with subprocess.Popen(
                [sys.executable, "-c", code, str(repo)], env=environment, stdout=subprocess.PIPE
            ) as client:
                assert client.stdout is not None
                client.stdout.readline()
                client.send_signal(signal.SIGKILL)

        await trio.to_thread.run_sync(hold_and_die)
        await kernel.hold_ended.wait()
        assert kernel.held == []

    serve_while(repo, body)


def test_tied_claim_ends_when_serving_ends(repo: Path) -> None:
    kernels: list[SmallKernel] = []
    with contextlib.ExitStack() as clients:

        async def body(kernel: SmallKernel) -> None:
            kernels.append(kernel)
            client = clients.enter_context(Client(str(repo)))
            await trio.to_thread.run_sync(client.ask, TIED)
            assert len(kernel.held) == 1

        serve_while(repo, body)
        assert kernels[0].held == [], "C4: though the client has not gone"
        assert kernels[0].hold_ended.is_set()


def test_two_tied_claims_of_one_agent_take_turns(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        first, second = await connect(repo), await connect(repo)
        await ask(first, TIED)

        async def leave_when_somebody_waits() -> None:
            await kernel.queued.wait()
            await first.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave_when_somebody_waits)
            assert (await ask(second, TIED))["ok"]
        assert len(kernel.held) == 1
        await second.aclose()

    serve_while(repo, body)
