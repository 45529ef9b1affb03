"""A scripted model that real command line agents talk to, on a network of its own.

    modelserver.py FOLDER    prints its port; ends when its input does

Speaks Anthropic Messages, OpenAI Responses and Chat Completions, and Gemini, streamed.
FOLDER/script.json has, for each agent, the model's turns: {"say": TEXT}, or {"tool": NAME, "arguments": {}};
the number of tool results in a request tells which turn it asks for. {"meet": NAME} in a turn: the answer
waits for the other agent that meets there. Each request is a line of FOLDER/requests.jsonl. The agent is the
first folder of the address.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

SENT, RECEIVED = 100, 7  # tokens of each answer
PATIENCE_S = 60
CLONE_NEWNET = 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
Turn = dict[str, Any]
Json = Any

FOLDER = Path(sys.argv[1]) if __name__ == "__main__" else Path()
LOCK = threading.Lock()
NUMBERS = count(1)
MEETINGS: dict[str, threading.Barrier] = {}


def leave_network() -> None:
    """Go where nothing but loopback is."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        asked = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(any_socket, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | IFF_UP, b""))


class Handler(BaseHTTPRequestHandler):
    """One connection of an agent's program."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
        """Say nothing."""

    def do_GET(self) -> None:
        self.answer({"object": "list", "data": [], "models": []})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"null")
        agent, path = self.path.split("/")[1], self.path.partition("?")[0]
        with LOCK, (FOLDER / "requests.jsonl").open("a") as file:
            file.write(json.dumps({"agent": agent, "path": path, "body": body}) + "\n")
        for ending, (results, reply) in WIRES.items():
            if path.endswith(ending):
                reply(self, turn_of(agent, results(body), body), body)
                return
        self.answer({"input_tokens": SENT})

    def answer(self, data: Json) -> None:
        raw = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def stream(self, events: Iterable[Json], end: bytes = b"") -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for event in events:
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
        self.wfile.write(end)
        self.close_connection = True


def turn_of(agent: str, results: int, body: Json) -> Turn:
    turns: list[Turn] = json.loads((FOLDER / "script.json").read_text())[agent]
    turn: Turn = turns[results] if results < len(turns) else {"say": "done"}
    if not body.get("tools") and "tool" in turn:
        return {"say": "ok"}  # a title for the session, or the like
    if "meet" in turn:
        with LOCK:
            meeting = MEETINGS.setdefault(turn["meet"], threading.Barrier(2))
        meeting.wait(PATIENCE_S)
    return turn


def messages_results(body: Json) -> int:
    parts = (
        part for each in body["messages"] if isinstance(each["content"], list) for part in each["content"]
    )
    return sum(part["type"] == "tool_result" for part in parts)


def messages_reply(handler: Handler, turn: Turn, body: Json) -> None:
    number = next(NUMBERS)
    usage = {"input_tokens": SENT, "output_tokens": RECEIVED}
    block: Json = {"type": "text", "text": ""}
    delta: Json = {"type": "text_delta", "text": turn.get("say")}
    if "tool" in turn:
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": turn["tool"], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(turn["arguments"])}
    message = {
        "id": f"msg_{number}", "type": "message", "role": "assistant", "model": body["model"], "content": [],
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    stop = {"stop_reason": "tool_use" if "tool" in turn else "end_turn", "stop_sequence": None}
    handler.stream(
        [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": block},
            {"type": "content_block_delta", "index": 0, "delta": delta},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": RECEIVED}},
            {"type": "message_stop"},
        ]
    )


def responses_results(body: Json) -> int:
    return sum(str(item.get("type")).endswith("_call_output") for item in body["input"])


def responses_reply(handler: Handler, turn: Turn, body: Json) -> None:
    number = next(NUMBERS)
    text: Json = {"type": "output_text", "text": turn.get("say"), "annotations": []}
    item: Json = {"type": "message", "role": "assistant", "id": f"msg_{number}", "content": [text]}
    if "tool" in turn:
        item = {
            "type": "function_call", "id": f"fc_{number}", "call_id": f"call_{number}", "name": turn["tool"],
            "arguments": json.dumps(turn["arguments"]),
        }  # fmt: skip
    usage = {"input_tokens": SENT, "output_tokens": RECEIVED, "total_tokens": SENT + RECEIVED}
    response = {"id": f"resp_{number}", "object": "response", "model": body["model"], "output": []}
    done = {**response, "status": "completed", "output": [item], "usage": usage}
    handler.stream(
        [
            {"type": "response.created", "response": response},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": done},
        ]
    )


def chat_results(body: Json) -> int:
    return sum(each["role"] == "tool" for each in body["messages"])


def chat_reply(handler: Handler, turn: Turn, body: Json) -> None:
    number = next(NUMBERS)
    message: Json = {"role": "assistant", "content": turn.get("say")}
    if "tool" in turn:
        function = {"name": turn["tool"], "arguments": json.dumps(turn["arguments"])}
        call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
        message["tool_calls"] = [call]
    reason = "tool_calls" if "tool" in turn else "stop"
    usage = {"prompt_tokens": SENT, "completion_tokens": RECEIVED, "total_tokens": SENT + RECEIVED}
    base = {"id": f"chatcmpl-{number}", "created": 1, "model": body["model"]}
    if not body.get("stream"):
        choice = {"index": 0, "message": message, "finish_reason": reason}
        handler.answer({**base, "object": "chat.completion", "choices": [choice], "usage": usage})
        return
    chunk = {**base, "object": "chat.completion.chunk"}
    handler.stream(
        [
            {**chunk, "choices": [{"index": 0, "delta": message, "finish_reason": None}]},
            {**chunk, "choices": [{"index": 0, "delta": {}, "finish_reason": reason}]},
            {**chunk, "choices": [], "usage": usage},
        ],
        end=b"data: [DONE]\n\n",
    )


def gemini_results(body: Json) -> int:
    parts = (part for each in body["contents"] for part in each.get("parts", ()))
    return sum("functionResponse" in part for part in parts)


def gemini_reply(handler: Handler, turn: Turn, body: Json) -> None:
    part: Json = {"text": turn.get("say")}
    if "tool" in turn:
        part = {"functionCall": {"name": turn["tool"], "args": turn["arguments"]}}
    content = {"role": "model", "parts": [part]}
    numbers = {"promptTokenCount": SENT, "candidatesTokenCount": RECEIVED, "totalTokenCount": SENT + RECEIVED}
    candidate = {"content": content, "finishReason": "STOP", "index": 0}
    handler.stream([{"candidates": [candidate], "usageMetadata": numbers, "modelVersion": "scripted"}])


Wire = tuple[Callable[[Json], int], Callable[[Handler, Turn, Json], None]]
WIRES: dict[str, Wire] = {
    "/v1/messages": (messages_results, messages_reply),
    "/responses": (responses_results, responses_reply),
    "/chat/completions": (chat_results, chat_reply),
    ":streamGenerateContent": (gemini_results, gemini_reply),
}


def texts(data: Json) -> Iterator[str]:
    """Yield every text in a request."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for each in data.values() if isinstance(data, dict) else data:
            yield from texts(each)


def main() -> None:
    leave_network()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
