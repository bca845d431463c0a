"""What a server said, byte by byte: lm15 refuses a whole completion where its usage is not of numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from dspy import lm15


@dataclass
class Body:
    """The last body that was read for a call."""

    content: bytes = b""

    def response_without_usage(self, model: str) -> lm15.Response | None:
        """The completion in the body, as if the server had not said what it took; None where there is none."""
        try:
            said = json.loads(self.content)
            said.pop("usage")
            return lm15.response_from_openai_chat(said, model=model)
        except (ValueError, TypeError, LookupError, AttributeError, lm15.LM15Error):
            return None


_body: ContextVar[Body | None] = ContextVar("body", default=None)


@contextmanager
def kept_body() -> Iterator[Body]:
    """Keep what is read for the calls of this context."""
    body = Body()
    token = _body.set(body)
    try:
        yield body
    finally:
        _body.reset(token)


class BodyKeepingTransport:
    """lm15's own asynchronous transport, which also keeps the body of each reply for `kept_body`.

    Args:
        timeout: seconds between two bytes.
        max_connections: at once.
    """

    def __init__(self, *, timeout: float, max_connections: int) -> None:
        # lm15 has no public name for its transport but as that of its models.
        transport = type(lm15.AsyncOpenAIChatLM(api_key="none").transport)
        limits = {"read_timeout": timeout, "write_timeout": timeout, "pool_timeout": None}
        self._inner = transport(**limits, max_connections=max_connections)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._inner, name)

    def stream(self, request: Any) -> _Exchange:
        """Send a request; see lm15's transport."""
        return _Exchange(self._inner.stream(request))


class _Exchange:
    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __aenter__(self) -> Any:
        reply, body = await self._inner.__aenter__(), _body.get()
        read = reply.read

        async def read_and_keep() -> bytes:
            content: bytes = await read()
            if body is not None:
                body.content = content
            return content

        reply.read = read_and_keep
        return reply

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)
