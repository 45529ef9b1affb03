"""C1, C2, C3: the control socket, over a real socket, with a small kernel in the same process."""

import errno
import json
import os
import select
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import trio
from makfsd import control
from makfsd.runner import Runner

from makfs.cli.client import Client
from makfs.cli.exits import NotServed, Told
from makfs.config import RunConfig
from makfs.engine.api import AgentStatus, Finding, KernelStatus, NodeRow, Progress, Waits
from makfs.engine.belonging import Belonging
from makfs.engine.mailapi import MailApi
from makfs.errors import Busy, NotFound
from makfs.ids import AgentId, RepoPath, Seq
from makfs.store.model import Collected, Commit, CommitDetail, LogQuery, Refusal
from makfs.wire import verbs
from makfs.wire.place import SOCKET_NAME, STATE_DIR
from tests.unit.small_history import SmallHistory, SmallTasks
from tests.unit.small_locks import SmallLocks
from tests.unit.small_news import small_news


class SmallKernel(SmallLocks):
    """A kernel that keeps agents and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.agents: list[AgentStatus] = []
        self.queries: list[LogQuery] = []
        self.past = SmallHistory()
        self.news = small_news()
        self.work = SmallTasks()
        self.belonging = Belonging()
        self.check_started = trio.Event()
        self.check_cancelled = trio.Event()
        self.hold_check = False

    @property
    def mail(self) -> MailApi:
        raise AssertionError("no test of this kernel writes messages")

    def status(self) -> KernelStatus:
        return KernelStatus("/r\udcff", "/m", 1, "0", 0, Seq(3), tuple(self.agents), (), (), 9)

    def tell(self, agent: AgentId, sentence: str) -> None:
        raise AssertionError(f"{agent} is told {sentence}")

    def add_agent(self, name: str, policy: str | None = None, isolation: str | None = None) -> AgentStatus:
        if any(each.agent == name for each in self.agents):
            raise Busy(f"there is an agent {name} already")
        made = AgentStatus(AgentId(name), f"/m/{name}", policy or "merge", 0, (), 0, 0, 0)
        self.agents.append(made)
        return made

    async def remove_agent(self, name: str, force: bool = False) -> None:
        await trio.lowlevel.checkpoint()
        raise NotFound(f"there is no agent {name}")

    def nodes(self, path: str) -> Sequence[NodeRow]:
        return [NodeRow("func", f"{path}::f", 1, 2, 7)]

    def log(self, query: LogQuery) -> Sequence[Commit]:
        self.queries.append(query)
        return []

    @property
    def history(self) -> SmallHistory:
        return self.past

    @property
    def tasks(self) -> SmallTasks:
        return self.work

    def show(self, seq: Seq) -> CommitDetail:
        raise ZeroDivisionError("a bug")

    def refusals(self, agent: AgentId | None, limit: int) -> Sequence[Refusal]:
        return []

    def waits(self, agent: AgentId) -> Waits:
        return Waits()

    def refusal(self, number: int) -> Refusal:
        mine = b"\xff" * 3_000_000
        return Refusal(number, 0, AgentId("a"), RepoPath("a"), "p", 1, "why", Seq(1), Seq(2), ("a::f",), mine)

    async def gc(
        self, keep: int | None, since_ns: int | None, dry_run: bool, progress: Progress
    ) -> Collected:
        raise NotImplementedError

    async def check(self, progress: Progress) -> Sequence[Finding]:
        for done in range(3):
            await trio.to_thread.run_sync(progress, "reading", done, 3)
        self.check_started.set()
        if self.hold_check:
            try:
                await trio.sleep_forever()
            finally:
                self.check_cancelled.set()
        return [Finding("J1", "x", "odd")]

    async def drain(self, timeout_s: float) -> Sequence[RepoPath]:
        await trio.lowlevel.checkpoint()
        return []


Body = Callable[[SmallKernel], Awaitable[None]]


def serve_while(repo: Path, body: Body, unmount: control.Unmount | None = None) -> None:
    """Serve a small kernel's socket in `repo` while `body` runs."""

    async def never(force: bool, wait_s: float) -> None:
        raise AssertionError

    async def main() -> None:
        kernel = SmallKernel()
        listener = control.listen(repo / STATE_DIR)
        runs = Runner(kernel, repo, Path("/m"), RunConfig())
        desk = control.Desk(kernel, unmount or never, runs)
        async with trio.open_nursery() as nursery:
            await nursery.start(control.serve, desk, listener)
            with trio.fail_after(60):
                await body(kernel)
            nursery.cancel_scope.cancel()

    trio.run(main)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / STATE_DIR).mkdir()
    return tmp_path


def talk(repo: Path, ask: Callable[[Client], Any]) -> Any:
    """Run `ask` with a connected client; blocking, for a thread."""
    with Client(str(repo)) as client:
        return ask(client)


def raw_talk(repo: Path, sent: bytes, frames: int) -> list[dict[str, Any]]:
    """Send bytes; return so many answers; blocking, for a thread."""
    with socket.socket(socket.AF_UNIX) as raw:
        raw.settimeout(60)
        raw.connect(str(repo / STATE_DIR / SOCKET_NAME))
        if sent:  # who is one too many may be hung up on already
            raw.sendall(sent)
        with raw.makefile("rb") as lines:
            return [json.loads(lines.readline()) for _ in range(frames)]


def test_client_gets_values_of_a_running_kernel(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        def ask(client: Client) -> None:
            assert client.peer_pid == os.getpid()
            assert client.get(verbs.AddAgent("a"), AgentStatus).view == "/m/a"
            assert client.get(verbs.Status(), KernelStatus) == kernel.status()
            assert client.get(verbs.Nodes("b\udcff"), list[NodeRow])[0].address == "b\udcff::f"
            assert client.get(verbs.ShowRefusal(3), Refusal) == kernel.refusal(3)
            assert client.ask(verbs.Log(limit=5, agent="a", path="x", before=9)) == []

        await trio.to_thread.run_sync(talk, repo, ask)
        assert kernel.queries == [LogQuery(5, Seq(9), AgentId("a"), RepoPath("x"))]

    serve_while(repo, body)


def test_errors_of_the_kernel_reach_the_client_as_sentences(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        def ask(client: Client) -> None:
            client.ask(verbs.AddAgent("a"))
            cases: list[tuple[verbs.Verb, str, int]] = [
                (verbs.AddAgent("a"), "there is an agent a already", errno.EBUSY),
                (verbs.AddAgent("a/b"), "cannot name an agent", errno.EINVAL),
                (verbs.RemoveAgent("z"), "there is no agent z", errno.ENOENT),
                (verbs.Log(limit=0), "The limit must be from 1 to 1000.", errno.EPROTO),
                (verbs.Show(1), "makfsd failed at this (ZeroDivisionError: a bug)", errno.EIO),
            ]
            for verb, sentence, number in cases:
                with pytest.raises(Told) as caught:
                    client.ask(verb)
                assert sentence in str(caught.value)
                assert caught.value.number == number
            assert client.get(verbs.Status(), KernelStatus).head == 3, "C2: still answering"

        await trio.to_thread.run_sync(talk, repo, ask)

    serve_while(repo, body)


def test_long_work_tells_its_progress_and_then_its_result(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        steps: list[tuple[str, int, int]] = []

        def ask(client: Client) -> None:
            found = client.ask(verbs.Check(), lambda *step: steps.append(step))
            assert found == [{"check": "J1", "where": "x", "sentence": "odd"}]

        await trio.to_thread.run_sync(talk, repo, ask)
        assert steps[-1] == ("reading", 2, 3), "the newest step is never lost"
        assert steps == sorted(steps)

    serve_while(repo, body)


def test_leaving_client_cancels_its_long_work(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        kernel.hold_check = True
        stream = await trio.open_unix_socket(str(repo / STATE_DIR / SOCKET_NAME))
        await stream.send_all(b'{"id":1,"verb":"check"}\n')
        await kernel.check_started.wait()
        assert not kernel.check_cancelled.is_set()
        await stream.aclose()
        await kernel.check_cancelled.wait()

    serve_while(repo, body)


def test_slow_client_delays_nobody(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        lazy = await trio.open_unix_socket(str(repo / STATE_DIR / SOCKET_NAME))
        async with lazy:
            for number in range(40):  # each answer is 4 MB; nothing is read
                await lazy.send_all(b'{"id":%d,"verb":"refusal","args":{"number":1}}\n' % number)
            answer = await trio.to_thread.run_sync(talk, repo, lambda client: client.ask(verbs.Status()))
            assert answer["head"] == 3

    serve_while(repo, body)


def test_bad_input_is_answered_and_survived(repo: Path) -> None:
    lines = [
        b"garbage\n",
        b"\xff\xfe\n",
        b'{"id":5,"verb":"fly"}\n',
        b'{"id":6,"verb":"show","args":{"seq":"x"}}\n',
        b'{"id":7,"verb":"show"}\n',
        b'{"id":8,"ok":true,"data":1}\n',
        b"x" * 3_000_000 + b"\n",
        b'{"id":9,"verb":"status"}\n',
    ]

    async def body(kernel: SmallKernel) -> None:
        answers = await trio.to_thread.run_sync(raw_talk, repo, b"".join(lines), len(lines))
        assert [each["id"] for each in answers] == [0, 0, 5, 6, 7, 8, 0, 9]
        assert [each["ok"] for each in answers] == [False] * 7 + [True]
        sentences = [each["error"]["sentence"] for each in answers[:-1]]
        assert sentences[2].startswith("There is no verb 'fly'; there are agent-add, ")
        assert sentences[3] == "show.seq must be a whole number, not 'x'."
        assert sentences[4] == "show lacks 'seq'."
        assert all(sentence.endswith(".") for sentence in sentences)

    serve_while(repo, body)


def test_client_that_hangs_up_in_the_middle_of_a_line_harms_nobody(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        for part in (b"", b'{"id":1,', b'{"id":1,"verb":"status"}'):
            stream = await trio.open_unix_socket(str(repo / STATE_DIR / SOCKET_NAME))
            await stream.send_all(part)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
        assert (await trio.to_thread.run_sync(talk, repo, lambda client: client.ask(verbs.Status())))[
            "head"
        ] == 3

    serve_while(repo, body)


def test_connections_are_bounded_and_the_next_is_told(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        held = [
            await trio.open_unix_socket(str(repo / STATE_DIR / SOCKET_NAME))
            for _ in range(control.MAX_CONNECTIONS)
        ]
        for stream in held:  # answered: so each is counted
            await stream.send_all(b'{"id":1,"verb":"status"}\n')
            await stream.receive_some()
        (answer,) = await trio.to_thread.run_sync(raw_talk, repo, b"", 1)
        assert answer["error"]["type"] == "Busy"

        def ask_late(client: Client) -> None:
            while not select.select([client], [], [], 60)[0]:
                pass  # answered and hung up on before it has asked
            with pytest.raises(Told, match="already answers 256 clients"):
                client.ask(verbs.Status())

        await trio.to_thread.run_sync(talk, repo, ask_late)
        for stream in held:
            await stream.aclose()

    serve_while(repo, body)


def test_unmount_is_the_supervisors_and_its_refusal_comes_back(repo: Path) -> None:
    asked: list[tuple[bool, float]] = []

    async def unmount(force: bool, wait_s: float) -> None:
        await trio.lowlevel.checkpoint()
        asked.append((force, wait_s))
        if not force:
            raise Busy("/m is in use by vi (pid 3, in /m/a).")

    async def body(kernel: SmallKernel) -> None:
        def ask(client: Client) -> None:
            with pytest.raises(Told, match="in use by vi"):
                client.ask(verbs.Unmount(wait_s=2))
            assert client.ask(verbs.Unmount(force=True)) is None

        await trio.to_thread.run_sync(talk, repo, ask)

    serve_while(repo, body, unmount)
    assert asked == [(False, 2.0), (True, 10.0)]


def test_only_the_own_user_and_root_are_answered() -> None:
    assert control.may_connect(1000, 1000)
    assert control.may_connect(0, 1000)
    assert not control.may_connect(1001, 1000)
    assert not control.may_connect(1000, 0)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can take another user's id")
def test_another_user_is_hung_up_on(repo: Path) -> None:
    async def body(kernel: SmallKernel) -> None:
        (repo / STATE_DIR / SOCKET_NAME).chmod(
            0o666
        )  # as if the mode had failed: the credentials stand alone
        os.chdir(repo / STATE_DIR)  # the directories above may be closed to others
        with trio.socket.socket(socket.AF_UNIX) as stranger:
            os.seteuid(65534)
            try:
                await stranger.connect(SOCKET_NAME)
            finally:
                os.seteuid(0)
            assert await stranger.recv(1) == b""

    here = os.getcwd()
    (repo / STATE_DIR).chmod(0o755)
    try:
        serve_while(repo, body)
    finally:
        os.chdir(here)


def test_socket_is_its_owners_alone_and_replaces_a_dead_one(repo: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(repo / STATE_DIR / SOCKET_NAME))

    async def body(kernel: SmallKernel) -> None:
        await trio.lowlevel.checkpoint()
        assert stat.S_IMODE((repo / STATE_DIR / SOCKET_NAME).stat().st_mode) == 0o600

    serve_while(repo, body)


def test_socket_works_at_paths_longer_than_unix_sockets_allow(tmp_path: Path) -> None:
    repo = tmp_path / ("d" * 120) / ("e" * 120)
    (repo / STATE_DIR).mkdir(parents=True)

    async def body(kernel: SmallKernel) -> None:
        assert (await trio.to_thread.run_sync(talk, repo, lambda client: client.ask(verbs.Status())))[
            "head"
        ] == 3

    serve_while(repo, body)


def test_repository_without_a_daemon_is_told_so(repo: Path) -> None:
    with pytest.raises(NotServed, match=r"No makfsd serves .*; start one with 'makfs mount .* MOUNTPOINT'\."):
        Client(str(repo))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(repo / STATE_DIR / SOCKET_NAME))
    with pytest.raises(NotServed):
        Client(str(repo))
