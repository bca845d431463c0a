"""`Account`: what a run has taken of its budget, what is reserved for calls under way, and what is promised."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from tagal_dspy.errors import BudgetError, SettingsError
from tagal_dspy.recording.usage import Usage
from tagal_dspy.settings import Budget

Price = Callable[[str, int, int], float | None]
"""What a call costs: from the name of the model, its prompt tokens and its completion tokens; None where unknown."""


@dataclass(eq=False)
class Promise:
    """Calls that are set aside for one conversation, so that it can be finished.

    Attributes:
        name: of the conversation, the same each time that it is made.
        calls: at most.
        made: begun so far.
    """

    name: str
    calls: int
    made: int = 0

    @property
    def left(self) -> int:
        """Calls that are still set aside."""
        return max(0, self.calls - self.made)


class Account:
    """Holds calls to a budget: each is reserved before it is made, and settled after it. Safe on many threads.

    The number of calls is never exceeded. Tokens and cost are known after a call only, so that they are exceeded by the
    calls under way at most.

    Args:
        budget: what may be taken.
        price: what a call costs.
    """

    def __init__(self, budget: Budget, price: Price) -> None:
        self.budget = budget
        self.usage = Usage()
        self._price = price
        self._n_reserved = 0
        self._promises: list[Promise] = []
        self._waiting: list[Future[None]] = []
        self._lock = threading.Lock()

    @property
    def is_limited(self) -> bool:
        """Whether the budget has any limit."""
        return bool(self.budget.model_dump(exclude_none=True))

    @property
    def n_reserved(self) -> int:
        """Calls under way."""
        return self._n_reserved

    def cost_of(self, model: str, prompt_tokens: int, completion_tokens: int) -> float | None:
        """What a call costs; raises `SettingsError` for an invalid price."""
        cost = self._price(model, prompt_tokens, completion_tokens)
        if cost is not None and not (math.isfinite(cost) and cost >= 0):
            raise SettingsError(f"a call of {model!r} costs {cost}; expected a finite price of 0 or more")
        return cost

    def reserve(self, model: str, promise: Promise | None = None) -> None:
        """Set aside one call, of what is promised or beside it; raises `BudgetError` where the budget forbids it."""
        if self.cost_of(model, 0, 0) is None and self.budget.max_cost is not None:
            raise BudgetError("the price of this model is not known, so a limit on the cost cannot be held")
        with self._lock:
            is_promised = promise is not None and promise.left > 0
            n_held = self._n_reserved + (0 if is_promised else self._n_promised)
            problem = self._problem(1, n_held)
            if problem is not None:
                raise BudgetError(problem)
            self._n_reserved += 1

    def settle(self, usage: Usage) -> None:
        """Count what a reserved call took; a failed call counts as one call."""
        with self._lock:
            self.usage += usage
            self._n_reserved -= 1
        self._wake()

    def add(self, usage: Usage) -> None:
        """Count a call that was made before."""
        with self._lock:
            self.usage += usage

    def promise(self, promise: Promise) -> Future[None] | None:
        """Set aside the calls of a conversation.

        Returns:
            None where they are set aside; where others hold what is missing, a future that is done when some of it may
            be free again.

        Raises:
            BudgetError: there is not enough left, and nobody holds any.
        """
        with self._lock:
            n_held = self._n_reserved + self._n_promised
            problem = self._problem(promise.calls, n_held)
            if problem is None and not (n_held and self._is_too_much(n_held + promise.calls)):
                self._promises.append(promise)
                return None
            if problem is not None and not n_held:
                raise BudgetError(problem)
            waiting: Future[None] = Future()
            self._waiting.append(waiting)
            return waiting

    def keep_no_longer(self, promise: Promise) -> None:
        """Free what is left of a promise."""
        with self._lock:
            self._promises = [each for each in self._promises if each is not promise]
        self._wake()

    @property
    def _n_promised(self) -> int:
        return sum(each.left for each in self._promises)

    def _problem(self, n_calls: int, n_held: int) -> str | None:
        """Why so many more calls cannot be made, beside those that are held."""
        spent, limit = self.usage, self.budget.max_calls
        if limit is not None and spent.calls + n_held + n_calls > limit:
            if spent.calls + n_held == 0:
                return f"the budget of {limit} calls is too small: one conversation takes up to {n_calls}"
            more = f"; one more conversation takes up to {n_calls}" if n_calls > 1 else ""
            return f"the budget of {limit} calls is used up ({spent.calls} made{more})"
        if (most := self.budget.max_tokens) is not None and spent.tokens >= most:
            return f"the budget of {most} tokens is used up ({spent.tokens})"
        if (money := self.budget.max_cost) is not None:
            if spent.cost is None:
                return "the price of this model is not known, so a limit on the cost cannot be held"
            if spent.cost >= money:
                return f"the budget of {money:g} is used up ({spent.cost:.4f})"
        return None

    def _is_too_much(self, n_calls: int) -> bool:
        """Whether so many more calls would exceed tokens or cost, as far as the calls so far tell; before the first has
        ended, whether there is such a limit."""
        spent, limits = self.usage, (self.budget.max_tokens, self.budget.max_cost)
        if limits == (None, None):
            return False
        if not spent.calls:
            return True
        share = 1 + n_calls / spent.calls
        taken = zip((spent.tokens, spent.cost or 0.0), limits, strict=True)
        return any(limit is not None and each * share > limit for each, limit in taken)

    def _wake(self) -> None:
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            if each.set_running_or_notify_cancel():
                each.set_result(None)
