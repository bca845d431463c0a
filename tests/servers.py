"""A real OpenAI-compatible HTTP server on loopback, answering with a function; and faults it can have."""

from __future__ import annotations

import hashlib
import json
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = tuple[int, dict[str, Any]]
Fault = Callable[["ChatHandler"], None]
"""Writes something that is no answer."""


class ChatHandler(BaseHTTPRequestHandler):
    """Reads a request and writes what `reply` makes of it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    reply: Callable[[dict[str, Any]], Reply | Fault | str]
    stopped: threading.Event

    def do_POST(self) -> None:
        said = type(self).reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        if callable(said):
            said(self)
        else:
            status, answer = (200, completion(said)) if isinstance(said, str) else said
            self.say(status, json.dumps(answer).encode())

    def say(self, status: int, body: bytes, length: int | None = None, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    request_queue_size = 512

    def handle_error(self, *args: object) -> None:
        """Clients that are gone are part of the tests."""


@contextmanager
def chat_server(reply: Callable[[dict[str, Any]], Reply | Fault | str]) -> Iterator[str]:
    """Serve chat completions; `reply` gets the request's body and gives a text, a status and a body, or a fault.

    Yields the address to use as `api_base`.
    """
    stopped = threading.Event()
    handler = type("Handler", (ChatHandler,), {"reply": staticmethod(reply), "stopped": stopped})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def completion(text: str | None, finish_reason: str = "stop", **message: Any) -> dict[str, Any]:
    """The body of a successful chat completion."""
    said = {"role": "assistant", "content": text, **message}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": "x",
        "choices": [{"index": 0, "message": said, "finish_reason": finish_reason}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }


def error(status: int, message: str) -> Reply:
    """An error as OpenAI's API gives it."""
    return status, {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def refused(status: int, **headers: str) -> Fault:
    """An error with headers."""
    return lambda handler: handler.say(status, json.dumps(error(status, "try again")[1]).encode(), **headers)


def in_a_second(handler: ChatHandler) -> None:
    """429, with the moment to come back at. HTTP dates have whole seconds, rounded down."""
    handler.say(429, b"{}", Retry_After=formatdate(time.time() + 1.999, usegmt=True))


def reset(handler: ChatHandler) -> None:
    """The connection is reset."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True


def hang(handler: ChatHandler) -> None:
    """No answer ever."""
    handler.stopped.wait(20)
    handler.close_connection = True


def drip(handler: ChatHandler) -> None:
    """A byte now and then, and never an end: no wait for the next byte is long."""
    handler.say(200, b" ", length=10_000)
    while not handler.stopped.wait(0.1):
        handler.wfile.write(b" ")


def cut(handler: ChatHandler) -> None:
    """Half a body."""
    body = json.dumps(completion("half")).encode()
    handler.say(200, body[: len(body) // 2], length=len(body))
    handler.close_connection = True


FAULTS: dict[str, Fault] = {
    "429": refused(429),
    "429 for a second": refused(429, Retry_After="1"),
    "429 until a moment": in_a_second,
    "500": refused(500),
    "503": refused(503),
    "reset": reset,
    "hang": hang,
    "drip": drip,
    "cut": cut,
    "empty": lambda handler: handler.say(200, b""),
    "garbage": lambda handler: handler.say(200, b"<html>Bad gateway"),
    "no completion": lambda handler: handler.say(200, b"[]"),
}


class Faulty:
    """Answers as `reply` does, but not at once: up to `most` faults come first, by the content of a request.

    Attributes:
        seen: how often each fault was the answer, and how often (`answered`) there was none.
    """

    def __init__(self, reply: Callable[[dict[str, Any]], Reply | str], most: int, seed: int = 0) -> None:
        self._reply, self._most, self._seed = reply, most, seed
        self._left: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self.seen: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any]) -> Reply | Fault | str:
        key = content(body)
        with self._lock:
            left = self._left.setdefault(key, self._faults(key))
            fault = left.pop() if left else None
            self.seen[fault or "answered"] += 1
        return FAULTS[fault] if fault else self._reply(body)

    def _faults(self, key: str) -> list[str]:
        rng = random.Random(f"{self._seed}/{key}")
        return rng.choices(list(FAULTS), k=rng.randint(0, self._most))


def content(body: dict[str, Any]) -> str:
    """Names a request by all that it asks."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
