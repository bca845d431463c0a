"""Every call of a compilation: held to its budget, recorded, and answered from the record when it is made again."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any

import dspy
from dspy import lm15
from dspy.utils.callback import BaseCallback

from tagal_dspy.engines import make_lm
from tagal_dspy.errors import BudgetError
from tagal_dspy.modules import Ledger, Usage
from tagal_dspy.runs import Recorded

_asked: ContextVar[tuple[str, bool]] = ContextVar("asked")


class Meter(BaseCallback):  # type: ignore[misc]
    """Counts and records the calls of the language models that it was put before with `metered`.

    A call is known by its messages and options, so that the order in which threads make calls does not matter. Calls
    with a `rollout_id` name their draw: the same one has the same answer, and is asked once. Others are told apart by
    their order.

    Args:
        ledger: holds budget, price and record.
        on_spend: called with what all calls so far took and cost, after each of them.

    Attributes:
        is_empty: whether a call was refused because the budget was used up.
    """

    def __init__(self, ledger: Ledger, on_spend: Callable[[Usage, float | None], None] | None = None) -> None:
        self.ledger = ledger
        self._on_spend = on_spend or (lambda usage, cost: None)
        self.is_empty = False
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._n_under_way = 0
        self._answers: dict[str, Future[lm15.Response]] = {}

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Remember what is asked for the engine, which is not told the rollout id."""
        options = {**instance.kwargs, **(inputs.get("kwargs") or {})}
        named = options.get("rollout_id") is not None
        text = json.dumps([instance.model, inputs.get("prompt"), inputs.get("messages"), options], default=str)
        _asked.set((hashlib.sha256(text.encode()).hexdigest(), named))

    def claimed(self, request: lm15.Request) -> tuple[str, Future[lm15.Response], bool]:
        """The key and the answer of a call, and whether the caller has to make it; raises `BudgetError` where it may
        not be made."""
        key, named = _asked.get()
        with self._lock:
            self._counts[key] += 1
            key = key if named else f"{key}/{self._counts[key]}"
            if key in self._answers:
                return key, self._answers[key], False
            recorded = self.ledger.store.find(key) if self.ledger.store is not None else None
            if recorded is None:
                self._begin(key)
            answer = self._answers[key] = Future()
        if recorded is not None:
            self.ledger.spend(recorded.usage, recorded.cost)
            self._on_spend(self.ledger.usage, self.ledger.cost)
            answer.set_result(_response(request, recorded))
        return key, answer, recorded is None

    def _begin(self, key: str) -> None:
        """Which of the calls of several threads a budget still paid is recorded, too: made again, the same ones are."""
        store, budget = self.ledger.store, self.ledger.budget.model_dump()
        try:
            if store is not None and store.fact(f"refused/{key}") == budget:
                raise BudgetError("the budget was used up when this call was first made")
            self.ledger.check(self._n_under_way)
        except BudgetError:
            self.is_empty = True
            if store is not None:
                store.note(f"refused/{key}", budget)
            raise
        self._n_under_way += 1

    def failed(self, key: str, error: BaseException) -> None:
        """Let a call that failed be made again; whoever waits for it sees the error too."""
        with self._lock:
            self._n_under_way -= 1
            self._answers.pop(key).set_exception(error)

    def answered(self, key: str, request: lm15.Request, response: lm15.Response) -> None:
        """Count and record a call that was made."""
        used = {
            "calls": 1,
            "prompt_tokens": response.usage.input_tokens or 0,
            "completion_tokens": response.usage.output_tokens or 0,
        }
        cost = self.ledger.price(request.model, used["prompt_tokens"], used["completion_tokens"])
        usage = {request.model: used}
        with self._lock:
            self._n_under_way -= 1
            self.ledger.spend(usage, cost)
        try:
            if self.ledger.store is not None:
                answer = {"text": response.message.text, "finish_reason": response.finish_reason}
                self.ledger.store.add(key, "call", Recorded(answer, usage, cost, key[:16]))
        finally:
            self._answers[key].set_result(response)
        self._on_spend(self.ledger.usage, self.ledger.cost)


class _Engine:
    def __init__(self, engine: Any, meter: Meter) -> None:
        self._engine, self._meter = engine, meter

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "complete_legacy":
            raise AttributeError(name)
        return getattr(self._engine, name)

    def __deepcopy__(self, memo: object) -> _Engine:
        return self


class MeteredEngine(_Engine):
    """An engine behind a meter; what the engine can do is said by itself."""

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request."""
        key, answer, is_mine = self._meter.claimed(request)
        if is_mine:
            try:
                response = self._engine.complete(request)
            except BaseException as error:
                self._meter.failed(key, error)
                raise
            self._meter.answered(key, request, response)
        return answer.result()


class AsyncMeteredEngine(_Engine):
    """The same for asyncio."""

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """See `MeteredEngine.complete`."""
        key, answer, is_mine = self._meter.claimed(request)
        if is_mine:
            try:
                response = await self._engine.complete(request)
            except BaseException as error:
                self._meter.failed(key, error)
                raise
            self._meter.answered(key, request, response)
        return await asyncio.wrap_future(answer)


def metered(lm: dspy.LM, meter: Meter) -> dspy.LM:
    """A copy of an LM whose calls go through a meter; while it is asked, the meter is a callback of DSPy.

    DSPy's cache is left out: what it answers would not be counted, and another program would come out.
    """
    if isinstance(lm.engine, str):
        lm = make_lm(lm.model, model_type=lm.model_type, **lm.kwargs)
    engine = MeteredEngine(lm.engine, meter)
    others = AsyncMeteredEngine(lm._async_engine_spec, meter) if lm._async_engine_spec is not None else None
    return lm.copy(engine=engine, async_engine=others, cache=False)


def _response(request: lm15.Request, recorded: Recorded) -> lm15.Response:
    [used] = recorded.usage.values()
    n_in, n_out = used["prompt_tokens"], used["completion_tokens"]
    return lm15.Response(
        id=None,
        model=request.model,
        message=lm15.Message.assistant([lm15.TextPart(recorded.answer["text"])]),
        finish_reason=recorded.answer["finish_reason"],
        usage=lm15.Usage(input_tokens=n_in, output_tokens=n_out, total_tokens=n_in + n_out),
    )
