"""`Ledger`: every call of a run, replayed where it is recorded already, paid from a budget where it is not."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import dspy
from dspy.utils.callback import BaseCallback

from tagal_dspy.errors import BudgetError
from tagal_dspy.runs import Recorded, RunStore, total_usage
from tagal_dspy.settings import Budget

Usage = dict[str, dict[str, int]]
"""Calls and tokens by LM; calls that DSPy answered from its cache are not among them."""

Price = Callable[[str, int, int], float | None]
"""What a call costs: from the name of the LM, its prompt tokens and its completion tokens; None where unknown."""


class Role(dspy.Module):  # type: ignore[misc]
    """A module that a round calls; its predictions can be recorded and restored."""

    def dumped(self, said: dspy.Prediction) -> dict[str, Any]:
        """What to record of a prediction, ready for JSON."""
        return dict(said.items())

    def restored(self, recorded: dict[str, Any], inputs: dict[str, Any]) -> dspy.Prediction:
        """The prediction that was recorded for the same inputs."""
        return dspy.Prediction(**recorded)


def draw_config(rollout_id: int, temperature: float | None) -> dict[str, Any]:
    """What a predictor is told of how to draw: the LM's own temperature where None; at 0 all draws are one."""
    config: dict[str, Any] = {} if temperature is None else {"temperature": temperature}
    return config if temperature == 0 else {**config, "rollout_id": rollout_id}


class Call(NamedTuple):
    """One call of a module that a round waits for.

    Attributes:
        module: what is called.
        inputs: with what.
        key: names the call within its run, the same each time the run is made.
    """

    module: Role
    inputs: dict[str, Any]
    key: str


class Ledger:
    """Makes the calls of one run.

    Args:
        store: where calls are recorded, and found again when the run is resumed; None records nothing.
        budget: what the run may take, recorded calls included.
        price: what a call costs.
    """

    def __init__(self, store: RunStore | None = None, budget: Budget | None = None, price: Price | None = None) -> None:
        self.store = store
        self.usage: Usage = {}
        self.cost: float | None = 0.0
        self.budget = budget or Budget()
        self.price = price or (lambda name, n_in, n_out: None)
        self._lock = threading.Lock()

    def perform(self, call: Call) -> dspy.Prediction:
        """Make a call, or restore what is recorded of it; raises `BudgetError` where the budget is used up."""
        recorded = self._found(call)
        if recorded is not None:
            return call.module.restored(recorded.answer, call.inputs)
        with _watched() as watch:
            said = call.module(**call.inputs)
        self._add(call, said, watch)
        return said

    async def aperform(self, call: Call) -> dspy.Prediction:
        """See `perform`."""
        recorded = self._found(call)
        if recorded is not None:
            return call.module.restored(recorded.answer, call.inputs)
        with _watched() as watch:
            said = await call.module.acall(**call.inputs)
        self._add(call, said, watch)
        return said

    def _found(self, call: Call) -> Recorded | None:
        recorded = self.store.find(call.key) if self.store is not None else None
        if recorded is None:
            self.check()
        else:
            self.spend(recorded.usage, recorded.cost)
        return recorded

    def _add(self, call: Call, said: dspy.Prediction, watch: _Watch) -> None:
        usage = watch.usage
        costs = [self.price(name, used["prompt_tokens"], used["completion_tokens"]) for name, used in usage.items()]
        cost = None if None in costs else sum(each for each in costs if each is not None)
        self.spend(usage, cost)
        if self.store is not None:
            recorded = Recorded(call.module.dumped(said), usage, cost, watch.prompt)
            self.store.add(call.key, type(call.module).__name__, recorded)

    def spend(self, usage: Usage, cost: float | None) -> None:
        """Count what a call took."""
        with self._lock:
            self.usage = total_usage([self.usage, usage])
            self.cost = None if self.cost is None or cost is None else self.cost + cost

    def check(self, n_under_way: int = 0) -> None:
        """Raise `BudgetError` where nothing is left; of calls under way only the number is known."""
        with self._lock:
            calls = n_under_way + sum(used["calls"] for used in self.usage.values())
            tokens = sum(used["prompt_tokens"] + used["completion_tokens"] for used in self.usage.values())
            cost = self.cost
        limits = (("calls", calls, self.budget.max_calls), ("tokens", tokens, self.budget.max_tokens))
        for what, spent, limit in limits:
            if limit is not None and spent >= limit:
                raise BudgetError(f"the budget of {limit} {what} is used up ({spent})")
        if self.budget.max_cost is None:
            return
        if cost is None:
            raise BudgetError("the price of this model is not known, so a limit on the cost cannot be held")
        if cost >= self.budget.max_cost:
            raise BudgetError(f"the budget of {self.budget.max_cost:g} is used up ({cost:.4f})")


class _Watch(BaseCallback):  # type: ignore[misc]
    """Sees what one call asks of LMs, and what that takes."""

    def __init__(self) -> None:
        self.prompt = ""
        self.tracker: Any = None

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Keep the hash of the messages."""
        self.prompt = hashlib.sha256(repr(inputs.get("messages") or inputs).encode()).hexdigest()[:16]

    @property
    def usage(self) -> Usage:
        """Calls and tokens by LM."""
        usage = {}
        for name, entries in self.tracker.usage_data.items():
            counts = {what: sum(entry.get(what) or 0 for entry in entries) for what in _TOKENS}
            usage[name] = {"calls": len(entries), **counts}
        return usage


_TOKENS = ("prompt_tokens", "completion_tokens")


@contextmanager
def _watched() -> Iterator[_Watch]:
    watch = _Watch()
    with dspy.context(callbacks=[*dspy.settings.callbacks, watch]), dspy.track_usage() as watch.tracker:
        yield watch
