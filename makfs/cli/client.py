"""One connection to a repository's makfsd: ask a verb, get its value. Blocking, standard library only."""

import contextlib
import os
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from makfs.cli.exits import NotServed, Told
from makfs.errors import MakfsError
from makfs.wire.errors import WireError
from makfs.wire.frames import MAX_REPLY_BYTES, Decoder, Failure, Message, Progress, Reply, Request, encode
from makfs.wire.place import SOCKET_NAME, STATE_DIR
from makfs.wire.values import Json, from_json, to_json

if TYPE_CHECKING:
    from makfs.wire.verbs import Verb

T = TypeVar("T")
OnProgress = Callable[[str, int, int], None]
CHUNK_BYTES = 1 << 20


class Hung(MakfsError):
    """The daemon did not answer in the time it was given."""


class Closed(MakfsError):
    """The daemon ended before it answered."""


class Client:
    """A connection. Use it with `with`."""

    def __init__(self, repo: str) -> None:
        """Connect. Raises NotServed if nobody listens, MakfsError if one may not ask."""
        self.repo = repo
        self._decoder = Decoder(MAX_REPLY_BYTES)
        self._last_id = 0
        self._socket = _connect(repo)
        raw = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
        self.peer_pid: int = struct.unpack("iII", raw)[0]  # 0: in a pid namespace one cannot see

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Return the connection's descriptor: between answers it is readable when the daemon has ended."""
        return self._socket.fileno()

    def ask(
        self, verb: "Verb", on_progress: OnProgress | None = None, timeout_s: float | None = None
    ) -> Json:
        """Return the answer as JSON. Raises Told with the daemon's sentence, Closed, Hung, WireError."""
        self._last_id += 1
        self._socket.settimeout(timeout_s)
        try:
            with contextlib.suppress(BrokenPipeError):  # hung up on: why may have been said before
                self._socket.sendall(encode(Request(self._last_id, verb.verb, to_json(verb))))
            while True:
                match self._receive():
                    case Reply(_, data):
                        return data
                    case Failure(_, _, sentence, number):
                        raise Told(sentence, number)
                    case Progress(_, what, done, total) if on_progress is not None:
                        on_progress(what, done, total)
        except TimeoutError:
            raise Hung(f"The makfsd of {self.repo} did not answer within {timeout_s:g} s.") from None
        except (ConnectionError, EOFError):
            raise Closed(f"The makfsd of {self.repo} ended before it answered.") from None

    def get(self, verb: "Verb", as_type: type[T]) -> T:
        """Return the answer as a value."""
        return from_json(as_type, self.ask(verb))

    def _receive(self) -> Message:
        while (message := self._decoder.take()) is None:
            chunk = self._socket.recv(CHUNK_BYTES)
            if not chunk:
                raise EOFError
            self._decoder.feed(chunk)
        return message


def _connect(repo: str) -> socket.socket:
    """Return a connected socket; through a descriptor of its directory, as unix(7) paths end at 107 bytes."""
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        directory = os.open(os.path.join(repo, STATE_DIR), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            client.connect(f"/proc/self/fd/{directory}/{SOCKET_NAME}")
        finally:
            os.close(directory)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        client.close()
        raise NotServed(f"No makfsd serves {repo}; start one with 'makfs mount {repo} MOUNTPOINT'.") from None
    except PermissionError as error:
        client.close()
        raise Told(
            f"The makfsd of {repo} answers the user who mounted it and root, not uid {os.geteuid()}.",
            error.errno or 0,
        ) from None
    except OSError as error:
        client.close()
        raise Told(f"The makfsd of {repo} cannot be asked: {error.strerror}.", error.errno or 0) from None
    return client


def decode_answer(data: Json, as_type: type[T]) -> T:
    """Return an answer already received as a value. Raises WireError."""
    return from_json(as_type, data)


__all__ = ["Client", "Closed", "Hung", "WireError", "decode_answer"]
