"""How fast and how long to ask a server: `Pace` and `Breaker`. Plain bookkeeping; the time is told to them."""

from __future__ import annotations

import math

from dspy.utils.exceptions import LMError

from tagal_dspy.errors import EngineError

FIRST_LIMIT = 8
CEILING = 64
SLOWER = 2.0
"""Calls that take so many times as long as they used to are a sign that more at once would only wait."""

N_FAILURES = 5
"""Tries in a row without an answer before a server is given up: fewer may be bad luck."""
PATIENCE = 60.0
"""Seconds without an answer before a server is given up: servers that are restarted come back within."""
PATIENCE_AT_FIRST = 5.0
"""The same for a server that was never reached: the address is wrong, more likely than not."""
PAUSE = 30.0
"""Seconds until one call may try again whether a server that was given up is back."""


class ServerDownError(LMError, EngineError):  # type: ignore[misc]
    """The server of a model has not answered for long; calls fail at once until it does."""


class Pace:
    """How many calls may be under way at once: more while all goes well, half as many when the server says stop.

    Up to the first refusal each answer adds one, so that the limit doubles in the time of a call; then all answers of
    that time add one. It does not grow while fewer calls are under way than may be, nor while calls take `SLOWER`
    times as long as they used to (means over as many calls as the limit, of which the smallest is slowly forgotten).
    Refusals of calls that started before the last halving tell nothing new.

    Attributes:
        fixed: hold this many instead, whatever the server says.

    >>> pace = Pace()
    >>> for _ in range(8):
    ...     pace.answered(seconds=0.5, n_busy=pace.limit)
    >>> pace.limit
    16
    >>> pace.refused(started=1.0, now=2.0)
    >>> pace.refused(started=1.5, now=2.1)
    >>> pace.limit
    8
    """

    def __init__(self) -> None:
        self.fixed: int | None = None
        self._limit = float(FIRST_LIMIT)
        self._halved_at = -math.inf
        self._usual = math.inf
        self._slow = False
        self._times: list[float] = []
        self._window = FIRST_LIMIT

    @property
    def limit(self) -> int:
        """How many calls may be under way."""
        return self.fixed or int(self._limit)

    def answered(self, seconds: float, n_busy: int) -> None:
        """Take note of an answer that took `seconds`, with `n_busy` calls under way."""
        self._times.append(seconds)
        if len(self._times) >= self._window:
            mean = sum(self._times) / len(self._times)
            self._usual = min(mean, 1.1 * self._usual)
            self._slow = mean > SLOWER * self._usual
            self._times, self._window = [], self.limit
        if n_busy >= self.limit and not self._slow:
            step = 1.0 if math.isinf(self._halved_at) else 1.0 / self._limit
            self._limit = min(self._limit + step, float(CEILING))

    def refused(self, started: float, now: float) -> None:
        """Take note that a call which started then was refused, or not answered in time."""
        if started > self._halved_at:
            self._limit, self._halved_at = max(self._limit / 2, 1.0), now


class Breaker:
    """Gives up a server that answers no one, so that a run ends with one error and not with one for every call.

    Args:
        name: of model and server, for the error.

    >>> breaker = Breaker("openai/x")
    >>> for now in range(6):
    ...     down = breaker.failed(float(now), "connection refused")
    >>> breaker.check(7.0)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    tagal_dspy.engines.pacing.ServerDownError: openai/x has not answered 6 tries in a row, the last with: ...
    >>> breaker.check(40.0)  # the one call that tries whether the server is back
    >>> breaker.answered()
    >>> breaker.check(40.1)
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._patience = PATIENCE_AT_FIRST
        self._n_failures = 0
        self._failing_since = 0.0
        self._down_until: float | None = None
        self._last = ""

    def check(self, now: float) -> None:
        """Raise `ServerDownError` where the server is given up; one call in `PAUSE` seconds passes."""
        if self._down_until is None:
            return
        if now < self._down_until:
            raise ServerDownError(
                f"{self._name} has not answered {self._n_failures} tries in a row, the last with: {self._last}; "
                "is the server up, and its address right?"
            )
        self._down_until = now + PAUSE

    def answered(self) -> None:
        """Take note of an answer."""
        self._n_failures, self._down_until, self._patience = 0, None, PATIENCE

    def failed(self, now: float, said: str, reached: bool = False) -> bool:
        """Take note of a try without an answer, and of what was said, by the server itself where it was reached.

        Returns:
            Whether the server is now given up.
        """
        if reached:
            self._patience = PATIENCE
        if not self._n_failures:
            self._failing_since = now
        self._n_failures += 1
        self._last = said
        if self._n_failures >= N_FAILURES and now - self._failing_since >= self._patience:
            self._down_until = now + PAUSE
        return self._down_until is not None
