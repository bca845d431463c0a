"""`Service`: a model at an address, as all its callers in this process see it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from dspy import lm15

from tagal_dspy.engines.pacing import FIRST_LIMIT, Breaker, Pace
from tagal_dspy.recording import check_run_goes_on

Answer = TypeVar("Answer")


class Service:
    """Lets requests through in turn, at a pace that the server bears, and counts them. For one event loop.

    Args:
        name: of model and server, for errors.

    Attributes:
        pace: how many calls may be under way.
        outcomes: how many requests were `answered`, or ended otherwise, by lm15's code: `rate_limit`, `server`,
            `timeout`, `transport`, ... or `cancelled`. Their sum is the number of requests made, and of those that
            lm15 would not make (`unsupported_feature`, `not_configured`).
    """

    def __init__(self, name: str) -> None:
        self.pace = Pace()
        self.outcomes: Counter[str] = Counter()
        self._breaker = Breaker(name)
        self._down = asyncio.Event()
        self._slots: anyio.CapacityLimiter | None = None

    async def ask(self, send: Callable[[], Awaitable[Answer]], timeout: float) -> Answer:
        """Make one request when it is its turn (first come, first served), and learn from what comes of it.

        Raises:
            lm15.LM15Error: what came of it; `lm15.TimeoutError` after `timeout` seconds.
            ServerDownError: the server is given up for now.
        """
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(FIRST_LIMIT)
        self._slots.total_tokens = self.pace.limit
        async with self._slots:
            check_run_goes_on()
            started = time.monotonic()
            self._breaker.check(started)
            outcome = "cancelled"
            try:
                answer = await _in_time(send, timeout)
                outcome = "answered"
                self._answered(time.monotonic() - started, self._slots.borrowed_tokens)
                return answer
            except lm15.LM15Error as error:
                outcome = error.code or "unknown"
                self._failed(error, started)
                raise
            finally:
                self.outcomes[outcome] += 1
                self._slots.total_tokens = self.pace.limit

    async def wait(self, seconds: float) -> None:
        """Wait before another try, no longer than until the server is given up."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._down.wait(), seconds)

    def _answered(self, seconds: float, n_busy: int) -> None:
        self.pace.answered(seconds, n_busy)
        self._breaker.answered()
        self._down.clear()

    def _failed(self, error: lm15.LM15Error, started: float) -> None:
        now = time.monotonic()
        if isinstance(error, (lm15.RateLimitError, lm15.TimeoutError)) or error.status in (503, 529):
            self.pace.refused(started, now)
        # A server that says "not so fast" is there.
        if is_transient(error) and not isinstance(error, lm15.RateLimitError):
            said = " ".join(str(error).split("\n\n")[0].split())
            if self._breaker.failed(now, said, reached=error.status is not None):
                self._down.set()


def is_transient(error: lm15.LM15Error) -> bool:
    """Whether the same request may be answered later. A reply that is not JSON is the failure of something between."""
    return isinstance(error, lm15.RETRYABLE_ERRORS) or (type(error) is lm15.ProviderError and error.status == 200)


_services: dict[tuple[str, str | None], Service] = {}
_services_lock = threading.Lock()


def shared_service(model: str, address: str | None) -> Service:
    """The one service of this process for a model and an address."""
    with _services_lock:
        name = f"{model} at {address}" if address else model
        return _services.setdefault((model, address), Service(name))


async def _in_time(send: Callable[[], Awaitable[Answer]], seconds: float) -> Answer:
    # lm15 times each byte; a server that sends one now and then would never be done. Not by a cancel scope of anyio:
    # it cancels again and again, also the closing of the connection.
    try:
        return await asyncio.wait_for(send(), seconds)
    except lm15.LM15Error:
        raise
    except asyncio.TimeoutError as error:
        raise lm15.TimeoutError(f"no answer within {seconds:g} s") from error
