"""Frames: one JSON object a line, in both directions.

    request   {"id": 7, "verb": "log", "args": {...}}
    reply     {"id": 7, "ok": true, "data": ...}
    failure   {"id": 7, "ok": false, "error": {"type": "Busy", "sentence": "...", "errno": 16}}
    progress  {"id": 7, "progress": {"what": "replaying", "done": 3, "total": 9}}

W3  Any chunking of a byte stream gives the same frames and the same errors, in the same order.
W4  `Decoder.take` raises WireError and nothing else; after it, the next line is read as if nothing had been.
W5  A decoder holds at most `max_frame_bytes` of an unfinished line; a longer one is one WireError.

A request's id is chosen by the client, from 1; a failure with id 0 answers a line nobody could attribute.
"""

import json
from dataclasses import dataclass, field
from typing import Any, assert_never

from makfs.errors import MakfsError
from makfs.wire.errors import WireError
from makfs.wire.values import Json, from_json, to_json

MAX_REQUEST_BYTES = 1 << 20
MAX_REPLY_BYTES = 256 << 20
MAX_ID = (1 << 53) - 1  # the largest that every JSON reader keeps exactly


@dataclass(frozen=True, slots=True)
class Request:
    """A client asks for one verb; `args` is the JSON form of one of `wire.verbs`."""

    id: int
    verb: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """The verb was carried out; `data` is the JSON form of its value."""

    id: int
    data: Json = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The verb was not carried out. `type` is the error's class name, `sentence` is for people."""

    id: int
    type: str
    sentence: str
    errno: int

    @classmethod
    def of(cls, request_id: int, error: MakfsError) -> "Failure":
        """Return the failure that tells of an error."""
        return cls(request_id, type(error).__name__, str(error), error.errno)


@dataclass(frozen=True, slots=True)
class Progress:
    """Long work goes on: `done` of `total` (0: unknown) of `what`."""

    id: int
    what: str
    done: int
    total: int


Message = Request | Reply | Failure | Progress


@dataclass(frozen=True, slots=True)
class _Error:
    """How a failure travels."""

    type: str
    sentence: str
    errno: int


@dataclass(frozen=True, slots=True)
class _Step:
    """How progress travels."""

    what: str
    done: int
    total: int


def encode(message: Message) -> bytes:
    """Return the message as one line. Raises WireError if it holds what JSON cannot."""
    try:
        body = {"id": message.id, **_body(message)}
        text = json.dumps(body, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"The message cannot be written as JSON: {error}.", message.id) from error
    return text.encode("ascii") + b"\n"


def _body(message: Message) -> dict[str, Any]:
    match message:
        case Request():
            return {"verb": message.verb, "args": message.args}
        case Reply():
            return {"ok": True, "data": message.data}
        case Failure():
            told = _Error(message.type, message.sentence, message.errno)
            return {"ok": False, "error": to_json(told)}
        case Progress():
            return {"progress": to_json(_Step(message.what, message.done, message.total))}
        case _:
            assert_never(message)


def decode(line: bytes) -> Message:
    """Return the message of one line, its newline excluded. Raises WireError."""
    try:
        body = json.loads(line.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WireError("The line is not JSON in UTF-8.") from error
    if not isinstance(body, dict):
        raise WireError("A frame must be a JSON object.")
    number = body.get("id")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= MAX_ID:
        raise WireError(f"A frame needs an id, a whole number from 0 to {MAX_ID}.")
    try:
        return _message(number, body)
    except WireError as error:
        raise WireError(str(error), number) from error


def _message(number: int, body: dict[str, Any]) -> Message:
    if "verb" in body:
        args = body.get("args", {})
        if not isinstance(args, dict):
            raise WireError("The args of a request must be an object.")
        return Request(number, from_json(str, body["verb"], "verb"), args)
    if "progress" in body:
        step = from_json(_Step, body["progress"], "progress")
        return Progress(number, step.what, step.done, step.total)
    if body.get("ok") is True:
        return Reply(number, body.get("data"))
    if body.get("ok") is False:
        told = from_json(_Error, body.get("error"), "error")
        return Failure(number, told.type, told.sentence, told.errno)
    raise WireError("A frame must have a verb, a progress, or ok.")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Decoder:
    """Turns a stream of bytes into messages. Feed it chunks, then take until None."""

    def __init__(self, max_frame_bytes: int = MAX_REQUEST_BYTES) -> None:
        self._max = max_frame_bytes
        self._buffer = bytearray()
        self._scanned = 0  # no newline before this offset
        self._skipping = False  # inside a line already reported as too long

    def feed(self, chunk: bytes) -> None:
        """Add received bytes."""
        self._buffer += chunk

    def take(self) -> Message | None:
        """Return the next whole message, None if there is none yet. Raises WireError for a bad line."""
        while True:
            end = self._buffer.find(b"\n", self._scanned)
            if end < 0:
                self._unfinished()
                return None
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
            self._scanned = 0
            if self._skipping:
                self._skipping = False
            elif len(line) > self._max:
                raise self._too_long()
            elif line.strip():
                return decode(line)

    def check(self) -> None:
        """Assert W5, for tests: call after `take` returned None."""
        assert len(self._buffer) <= self._max, "W5"
        assert self._scanned <= len(self._buffer)

    def _unfinished(self) -> None:
        if self._skipping:
            self._buffer.clear()
        elif len(self._buffer) > self._max:
            self._buffer.clear()
            self._scanned, self._skipping = 0, True
            raise self._too_long()
        self._scanned = len(self._buffer)

    def _too_long(self) -> WireError:
        return WireError(f"The line is longer than {self._max} bytes.")
