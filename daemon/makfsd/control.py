"""The control socket: who may ask, and one task that answers each connection.

C1  Only the daemon's own user and root are answered (SO_PEERCRED, socket(7)).
C2  Nothing a client sends, or leaves unread, ends anything but its own connection.
C3  Requests of one connection are answered in order. When a client closes, its long verbs are cancelled.
C4  What a client claimed with `tied` is held until its connection ends, however it ends, and no longer.
"""

import contextlib
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import trio

from makfs.engine.api import KernelApi, LockRow, Undoing
from makfs.errors import Busy, MakfsError
from makfs.ids import AgentId, Seq
from makfs.names import agent_id
from makfs.wire import mailverbs, verbs
from makfs.wire.errors import WireError
from makfs.wire.frames import (
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    Decoder,
    Failure,
    Message,
    Progress,
    Reply,
    Request,
    encode,
)
from makfs.wire.place import SOCKET_NAME
from makfs.wire.runs import RunPlan
from makfs.wire.values import from_json, to_json
from makfsd.asking import ask_of_history, ask_of_names, limited
from makfsd.mailing import ask_of_mail
from makfsd.runverbs import RunsApi, ask_of_runs, ask_of_runs_and_wait

MAX_CONNECTIONS = 256  # each run that goes on has one
MAX_WAITING_REQUESTS = 16  # per connection; more stay in the socket's buffer
CHUNK_BYTES = 1 << 16
LAST_WORD_S = 2.0  # for the reply to `unmount`, while everything else is being cancelled

log = logging.getLogger("makfsd.control")

Unmount = Callable[[bool, float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Desk:
    """What the connections ask: the kernel, the supervisor's `unmount(force, wait_s)`, the runner."""

    kernel: KernelApi
    unmount: Unmount
    runs: RunsApi


def listen(state_dir: Path) -> trio.SocketListener:
    """Return a listener at `control.sock` in `state_dir`. Call it with the repository's lock held.

    A socket left by a killed daemon is replaced. Paths may be longer than the 107 bytes of unix(7).
    """
    directory = os.open(state_dir, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{directory}/{SOCKET_NAME}"
        Path(path).unlink(missing_ok=True)
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        os.fchmod(raw.fileno(), 0o600)  # before bind: bind(2) gives the file this mode, with no gap
        raw.bind(path)
        raw.listen(MAX_CONNECTIONS)
    finally:
        os.close(directory)
    return trio.SocketListener(trio.socket.from_stdlib_socket(raw))


async def serve(
    desk: Desk,
    listener: trio.SocketListener,
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Answer connections until cancelled."""
    limiter = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def handle(stream: trio.SocketStream) -> None:
        try:
            await _admit(desk, stream, limiter)
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            log.debug("a client went away")
        except* Exception:  # C2: this is an edge; a bug in one answer must not end the mount
            log.exception("a control connection failed")

    async with trio.open_nursery() as nursery:
        task_status.started()
        await trio.serve_listeners(handle, [listener], handler_nursery=nursery)


def may_connect(peer_uid: int, own_uid: int) -> bool:
    """Tell whether a peer is answered (C1)."""
    return peer_uid in (0, own_uid)


async def _admit(desk: Desk, stream: trio.SocketStream, limiter: trio.CapacityLimiter) -> None:
    async with stream:
        raw = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        _pid, uid, _gid = struct.unpack("iII", raw)
        if not may_connect(uid, os.getuid()):
            log.warning("refused a control connection of uid %d", uid)
            return
        token = object()
        try:
            limiter.acquire_on_behalf_of_nowait(token)
        except trio.WouldBlock:
            full = Busy(f"makfsd already answers {MAX_CONNECTIONS} clients.")
            await stream.send_all(encode(Failure.of(0, full)))
            return
        try:
            await _Connection(desk, stream).run()
        finally:
            limiter.release_on_behalf_of(token)


class _Connection:
    """One client. `run` returns when it has closed and everything it asked is answered or cancelled."""

    def __init__(self, desk: Desk, stream: trio.SocketStream) -> None:
        self._desk = desk
        self._stream = stream
        self._gone = False
        self._tasks: trio.Nursery  # `_listen`, and one task for each tied claim
        self._long: trio.CancelScope | None = None  # around the verb being carried out, if it may wait

    async def run(self) -> None:
        inbox, outbox = trio.open_memory_channel[Message | WireError](MAX_WAITING_REQUESTS)
        async with trio.open_nursery() as self._tasks:
            self._tasks.start_soon(self._listen, inbox)
            async for message in outbox:
                await self._answer(message)
            self._tasks.cancel_scope.cancel()  # C4; `_listen` has returned

    async def _listen(self, inbox: trio.MemorySendChannel[Message | WireError]) -> None:
        decoder = Decoder(MAX_REQUEST_BYTES)
        async with inbox:
            while chunk := await self._stream.receive_some(CHUNK_BYTES):
                decoder.feed(chunk)
                while (message := _take(decoder)) is not None:
                    await inbox.send(message)
        self._gone = True
        if self._long is not None:
            self._long.cancel()

    async def _answer(self, message: Message | WireError) -> None:
        if isinstance(message, WireError):
            await self._send(Failure.of(message.request_id, message))
        elif not isinstance(message, Request):
            wrong = WireError("Only requests are answered here.", message.id)
            await self._send(Failure.of(message.id, wrong))
        else:
            answer = await self._outcome(message)
            if message.verb == verbs.Unmount.verb:
                with trio.move_on_after(LAST_WORD_S, shield=True):
                    await self._send(answer)
            else:
                await self._send(answer)

    async def _outcome(self, request: Request) -> Reply | Failure:
        """Carry the request out. Raises only what ends the connection."""
        try:
            verb = _parse(request)
            return Reply(request.id, await self._carry_out(request.id, verb))
        except MakfsError as error:
            return Failure.of(request.id, error)
        except Exception as error:  # C2
            log.exception("the verb %s failed", ascii(request.verb))
            sentence = f"makfsd failed at this ({type(error).__name__}: {error}); its log has the traceback."
            return Failure.of(request.id, MakfsError(sentence))

    async def _carry_out(self, request_id: int, verb: verbs.Verb) -> object:
        if isinstance(verb, verbs.OfRuns):
            return ask_of_runs(self._desk.runs, verb)
        if not isinstance(verb, verbs.Long | mailverbs.OfMail):
            return _ask(self._desk.kernel, verb)
        answer: object = None
        problem: Exception | None = None
        teller = _Teller(request_id)
        with trio.CancelScope() as self._long:
            if self._gone:
                self._long.cancel()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(teller.pass_on, self._send)
                try:
                    if isinstance(verb, verbs.Claim) and verb.tied:
                        answer = await self._tasks.start(self._hold, verb)
                    elif isinstance(verb, verbs.RunBegin):
                        answer = await self._tasks.start(self._host, verb)
                    elif isinstance(verb, mailverbs.OfMail):
                        answer = await ask_of_mail(self._desk.kernel, verb)
                    else:
                        answer = await _ask_and_wait(self._desk, verb, teller)
                except Exception as error:  # noqa: BLE001 - carried past the nursery, which would wrap it
                    problem = error
                teller.finish()
        if self._long.cancelled_caught:
            raise Busy("The client went away before it was done.")
        self._long = None
        if problem is not None:
            raise problem
        return answer

    async def _hold(
        self,
        claim: verbs.Claim,
        *,
        task_status: trio.TaskStatus[Sequence[LockRow]] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Hold a claim until cancelled (C4). A task of its own: what `hold` opens, it closes in this task."""
        if claim.lease_s is not None:
            raise WireError("A tied claim lasts as long as the connection; it takes no lease.")
        hold = self._desk.kernel.hold(claim.agent, claim.mode, claim.addresses, claim.wait_s)
        async with hold as grants:
            task_status.started(grants)
            await trio.sleep_forever()

    async def _host(
        self, wish: verbs.RunBegin, *, task_status: trio.TaskStatus[RunPlan] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Let a run go on until cancelled, and hold what it asked for as long (C4)."""
        async with contextlib.AsyncExitStack() as held:
            if wish.resources:
                kernel = self._desk.kernel
                await held.enter_async_context(kernel.hold(wish.agent, "write", wish.resources, wish.wait_s))
            with self._desk.runs.begin(wish) as plan:
                task_status.started(plan)
                await trio.sleep_forever()

    async def _send(self, message: Message) -> None:
        frame = await trio.to_thread.run_sync(_frame, message)
        await self._stream.send_all(frame)


class _Teller:
    """Passes on the latest progress of one verb. Called by the kernel, in any thread."""

    def __init__(self, request_id: int) -> None:
        self._id = request_id
        self._token = trio.lowlevel.current_trio_token()
        self._latest: Progress | None = None
        self._news = trio.Event()
        self._done = False

    def __call__(self, what: str, done: int, total: int) -> None:
        self._token.run_sync_soon(self._put, Progress(self._id, what, done, total))

    def finish(self) -> None:
        """Let `pass_on` send what is left and return."""
        self._done = True
        self._news.set()

    def _put(self, step: Progress) -> None:
        self._latest = step
        self._news.set()

    async def pass_on(self, send: Callable[[Message], Awaitable[None]]) -> None:
        """Send the newest step whenever there is one; a slow client misses steps, it delays nothing."""
        while not self._done or self._latest is not None:
            await self._news.wait()
            self._news = trio.Event() if not self._done else self._news
            step, self._latest = self._latest, None
            if step is not None:
                try:
                    await send(step)
                except trio.BrokenResourceError:
                    return  # the client is gone; `_listen` says so too


def _take(decoder: Decoder) -> Message | WireError | None:
    try:
        return decoder.take()
    except WireError as error:
        return error


def _frame(message: Message) -> bytes:
    """Return the bytes to send; an answer that cannot be sent becomes a failure that says so."""
    try:
        if isinstance(message, Reply):
            message = Reply(message.id, to_json(message.data))
        frame = encode(message)
    except WireError as error:
        return encode(Failure.of(message.id, error))
    if len(frame) > MAX_REPLY_BYTES:
        return encode(
            Failure.of(message.id, WireError(f"The answer is larger than {MAX_REPLY_BYTES} bytes."))
        )
    return frame


def _parse(request: Request) -> verbs.Verb:
    if request.verb not in verbs.VERBS:
        raise WireError(f"There is no verb {request.verb!a}; there are {', '.join(sorted(verbs.VERBS))}.")
    return from_json(verbs.VERBS[request.verb], request.args, request.verb)


def _some_or_all(addresses: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if addresses == ():
        raise WireError("No address was named.")
    return addresses


def _ask(kernel: KernelApi, verb: verbs.Quick) -> object:
    """Carry out a verb that does not wait."""
    match verb:
        case verbs.Release() | verbs.Renew() | verbs.Locks() | verbs.Why():
            return _ask_of_locks(kernel, verb)
        case verbs.Status():
            return kernel.status()
        case verbs.AddAgent(name, policy, isolation):
            return kernel.add_agent(agent_id(name), policy, isolation)
        case verbs.Nodes(path):
            return kernel.nodes(path)
        case verbs.SeqOf() | verbs.Marks() | verbs.SetMark() | verbs.Task() | verbs.SetTask():
            return ask_of_names(kernel, verb)
        case verbs.Show(seq):
            return kernel.show(Seq(seq))
        case verbs.Refusals(limit, agent):
            return kernel.refusals(None if agent is None else AgentId(agent), limited(limit))
        case verbs.ShowRefusal(number):
            return kernel.refusal(number)
        case _:
            assert_never(verb)


def _ask_of_locks(kernel: KernelApi, verb: verbs.Release | verbs.Renew | verbs.Locks | verbs.Why) -> object:
    match verb:
        case verbs.Release(agent, addresses, keep_read):
            return kernel.release(agent, _some_or_all(addresses), keep_read=keep_read)
        case verbs.Renew(agent, addresses, lease_s):
            return kernel.renew(agent, _some_or_all(addresses), lease_s)
        case verbs.Locks(address):
            return kernel.locks(address)
        case verbs.Why(agent):
            return kernel.why(agent)
        case _:
            assert_never(verb)


async def _ask_for_commit(
    kernel: KernelApi, verb: verbs.Undo | verbs.Restore | verbs.Publish | verbs.Refresh | verbs.Discard
) -> object:
    """Carry out a verb that makes a commit of many paths, or prepares one."""
    match verb:
        case verbs.Undo(seqs, agent, since_ns, by, task):
            return await kernel.undo(Undoing(seqs, agent, task, since_ns), by)
        case verbs.Restore(path, at, by):
            return await kernel.restore(path, at, by)
        case verbs.Publish(agent):
            return await kernel.publish(agent)
        case verbs.Refresh(agent):
            return await kernel.refresh(agent)
        case verbs.Discard(agent):
            return await kernel.discard(agent)
        case _:
            assert_never(verb)


async def _ask_of_store(kernel: KernelApi, verb: verbs.Check | verbs.Gc, teller: _Teller) -> object:
    """Carry out a verb about the store as a whole."""
    if isinstance(verb, verbs.Check):
        return await kernel.check(teller)
    return await kernel.gc(verb.keep, verb.since_ns, verb.dry_run, teller)


async def _ask_and_wait(desk: Desk, verb: verbs.Long, teller: _Teller) -> object:
    """Carry out a verb that may wait."""
    match verb:
        case verbs.Log() | verbs.Diff() | verbs.Blame() | verbs.NodeLog() | verbs.Cat() | verbs.DeleteMark():
            return await ask_of_history(desk.kernel, verb)
        case verbs.Check() | verbs.Gc():
            return await _ask_of_store(desk.kernel, verb, teller)
        case verbs.Claim(agent, mode, addresses, wait_s, lease_s):
            return await desk.kernel.claim(agent, mode, addresses, wait_s, lease_s)
        case verbs.Undo() | verbs.Restore() | verbs.Publish() | verbs.Refresh() | verbs.Discard():
            return await _ask_for_commit(desk.kernel, verb)
        case verbs.ApplyRefusal(number):
            return await desk.kernel.apply_refusal(number)
        case verbs.RemoveAgent(name, force):
            await desk.kernel.remove_agent(name, force)
            return None
        case verbs.RunBegin():
            raise AssertionError("hosted by a task of its own")
        case verbs.Runs() | verbs.MeasureRuns() | verbs.PauseRun() | verbs.WaitRun():
            return await ask_of_runs_and_wait(desk.runs, verb)
        case verbs.Unmount(force, wait_s):
            await desk.unmount(force, wait_s)
            return None
        case _:
            assert_never(verb)
