"""The engine that stands before every language model: calls go through the recorders that are active.

A call is answered from the record, else from DSPy's cache, else it is reserved in every budget, made, counted and
recorded, in this order.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

import dspy
from dspy import lm15
from dspy.utils.callback import BaseCallback

from tagal_dspy.background import run_in_background
from tagal_dspy.recording.recorder import Recorder, active_recorders, current_promise
from tagal_dspy.recording.usage import RecordedAnswer, Usage
from tagal_dspy.tokens import count_tokens

CONNECTION = (
    *("api_key", "api_base", "base_url", "headers", "extra_headers", "timeout", "api_version", "organization"),
    *("azure_ad_token_provider", "project", "extra_query", "custom_llm_provider"),
)
ABILITIES = ("supports_function_calling", "supports_reasoning", "supports_response_schema", "supported_params")


class _Options(NamedTuple):
    """What DSPy is told of a call, and does not tell engines."""

    rollout_id: int | None = None
    cache: bool | None = None


_options: ContextVar[_Options] = ContextVar("options", default=_Options())  # noqa: B039
_place: ContextVar[str] = ContextVar("place", default="")


@contextmanager
def at_place(name: str) -> Iterator[None]:
    """Name the calls of this context by their place in a run, such as `3/0/draw`: each is then a draw of its own."""
    token = _place.set(name)
    try:
        yield
    finally:
        _place.reset(token)


def listening_lm(lm: dspy.BaseLM) -> dspy.LM:
    """The same language model with its calls going through the active recorders; itself where they do already."""
    if isinstance(getattr(lm, "engine", None), RecordingEngine):
        return lm
    engine = RecordingEngine(lm)
    pair = {"engine": engine, "async_engine": AsyncRecordingEngine(engine), "cache": False}
    if isinstance(lm, dspy.LM):
        # Settings of the connection are used by the model behind the engine; DSPy refuses them beside one.
        unconnected = lm.copy(**{name: None for name in CONNECTION if name in lm.kwargs})
        listening = unconnected.copy(**pair)
    else:
        listening = dspy.LM(lm.model, num_retries=0, **pair, **lm.kwargs)
    listening.history, listening.dump_state = lm.history, lm.dump_state
    listening.callbacks = [*listening.callbacks, _OptionsListener()]
    return listening


class _OptionsListener(BaseCallback):  # type: ignore[misc]
    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """Remember the options of a call for its engine, which runs in the same context."""
        options = {**instance.kwargs, **(inputs.get("kwargs") or {})}
        _options.set(_Options(options.get("rollout_id"), options.get("cache")))


class RecordingEngine:
    """Answers the calls of one language model through the active recorders.

    What the engine of the model can do is said by that engine.

    Args:
        lm: the model.
    """

    def __init__(self, lm: dspy.BaseLM) -> None:
        self._lm, self._is_cached = lm, lm.cache
        self._inner = getattr(lm, "engine", None)
        # A model that DSPy finds the client of is asked without its cache, retries and callbacks a second time.
        self._plain = lm.copy(cache=False, num_retries=0, callbacks=[]) if self._is_named else None

    @property
    def _is_named(self) -> bool:
        """Whether the model has no engine of its own, but a name that DSPy finds one by."""
        return isinstance(self._inner, (str, type(None)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("complete_legacy", "stream"):
            raise AttributeError(name)
        if not self._is_named:
            return getattr(self._inner, name)
        if name in ABILITIES:
            return getattr(self._lm, name)
        raise AttributeError(name)

    def __deepcopy__(self, memo: object) -> RecordingEngine:
        return self

    def complete(self, request: lm15.Request) -> lm15.Response:
        """RecordedAnswer one request."""
        return run_in_background(self.answered, request)

    async def answered(self, request: lm15.Request) -> lm15.Response:
        """RecordedAnswer one request; see the module."""
        recorders = active_recorders()
        if not recorders:
            return await self._ask(request)
        place, options = _place.get(), _options.get()
        name = hashlib.sha256(f"{_content(request)}/{options.rollout_id}/{place}".encode()).hexdigest()
        outermost, is_draw = recorders[0], bool(place) or options.rollout_id is not None
        key, future, is_mine = outermost.claim(name, is_draw)
        if not is_mine:
            answer = await asyncio.shield(asyncio.wrap_future(future))
            for recorder in recorders[1:]:
                recorder.count(answer.usage, was_reserved=False)
            return _response(request, answer)
        try:
            answer, response = await self._found_or_made(recorders, key, request)
        except BaseException as error:
            outermost.release(key, error)
            raise
        outermost.fulfil(key, answer)
        return response

    async def _found_or_made(
        self, recorders: Sequence[Recorder], key: str, request: lm15.Request
    ) -> tuple[RecordedAnswer, lm15.Response]:
        answer = await _found(recorders, key)
        if answer is None and (cached := self._cached(request)) is not None:
            answer = RecordedAnswer(*cached, Usage())
            await _written(recorders, key, answer)
        return (answer, _response(request, answer)) if answer else await self._made(recorders, key, request)

    async def _made(
        self, recorders: Sequence[Recorder], key: str, request: lm15.Request
    ) -> tuple[RecordedAnswer, lm15.Response]:
        """Make a call that is reserved, count it and record it."""
        call = _Call(recorders, key, self._lm.model)
        call.reserve()
        try:
            token = _retry.set(call.retry)
            try:
                response = await self._ask(request)
            except BaseException:
                call.settle(Usage.of_call(call.model, 0, 0))
                raise
            finally:
                _retry.reset(token)
            usage = _usage(call.model, request, response, getattr(self, "count_tokens", count_tokens))
            call.settle(usage)
            answer = RecordedAnswer(response.message.text or "", response.finish_reason, usage)
            self._keep(request, answer)
            await _written(recorders, key, answer)
            return answer, response
        finally:
            call.end()

    async def _ask(self, request: lm15.Request) -> lm15.Response:
        """Make one call."""
        if self._plain is not None:
            with dspy.context(disable_history=True, usage_tracker=None, callbacks=[], send_stream=None):
                return cast(lm15.Response, await self._plain.acall(request))
        other = getattr(self._lm, "_async_engine_spec", None)
        if other is not None:
            return cast(lm15.Response, await other.complete(request))
        return await asyncio.to_thread(self._lm.engine.complete, request)

    def _cached(self, request: lm15.Request) -> tuple[str, str] | None:
        """Text and finish reason of an answer in DSPy's cache."""
        found = dspy.cache.get(_cache_key(request)) if self._may_cache() else None
        return None if found is None else (str(found["text"]), str(found["finish_reason"]))

    def _keep(self, request: lm15.Request, answer: RecordedAnswer) -> None:
        if self._may_cache():
            dspy.cache.put(_cache_key(request), {"text": answer.text, "finish_reason": answer.finish_reason})

    def _may_cache(self) -> bool:
        said = _options.get().cache
        return self._is_cached if said is None else said


class AsyncRecordingEngine:
    """The same for asyncio."""

    def __init__(self, engine: RecordingEngine) -> None:
        self._engine = engine

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """RecordedAnswer one request."""
        return await self._engine.answered(request)

    def __deepcopy__(self, memo: object) -> AsyncRecordingEngine:
        return self


class _Call:
    """One call, reserved with all recorders of its context."""

    def __init__(self, recorders: Sequence[Recorder], key: str, model: str) -> None:
        self.model = model
        self._recorders, self._key, self._promise = recorders, key, current_promise()
        self._reserved: list[Recorder] = []
        self._begun: list[Recorder] = []

    def reserve(self) -> None:
        """Reserve the call, or none of it where one of the budgets forbids it."""
        try:
            for recorder in self._recorders:
                recorder.reserve(self._key, self.model, is_new=recorder not in self._begun)
                self._reserved.append(recorder)
                self._begun = [*self._begun, *([recorder] if recorder not in self._begun else [])]
        except BaseException:
            self.settle(Usage())
            self.end()
            raise
        if self._promise is not None:
            self._promise.made += 1

    def retry(self) -> None:
        """Count a try that got no answer, and reserve the next one."""
        self.settle(Usage.of_call(self.model, 0, 0))
        self.reserve()

    def settle(self, usage: Usage) -> None:
        """Count what the reserved call took."""
        for recorder in self._reserved:
            recorder.count(usage, was_reserved=True)
        self._reserved = []

    def end(self) -> None:
        """Say that the call has ended."""
        for recorder in self._begun:
            recorder.end()
        self._begun = []


_retry: ContextVar[Callable[[], None] | None] = ContextVar("retry", default=None)


def reserve_retry() -> None:
    """Reserve one more request for the call of this context; for engines that try again by themselves.

    Raises:
        BudgetError: the budget allows no further request.
    """
    retry = _retry.get()
    if retry is not None:
        retry()


async def recorded_answer(question: str, ask: Callable[[], str]) -> str:
    """The answer of a person, recorded and replayed like that of a model; it is no call and costs nothing.

    Args:
        question: what the person is shown.
        ask: shows it, on a thread of its own.
    """
    recorders = active_recorders()
    key = hashlib.sha256(f"person/{question}/{_place.get()}".encode()).hexdigest()
    answer = await _found(recorders, key)
    if answer is None:
        answer = RecordedAnswer(await asyncio.to_thread(ask), "stop", Usage())
        await _written(recorders, key, answer)
    return answer.text


async def _found(recorders: Sequence[Recorder], key: str) -> RecordedAnswer | None:
    """The recorded answer of a call, counted."""
    answer = next((answer for recorder in recorders if (answer := recorder.find(key)) is not None), None)
    if answer is not None:
        for recorder in recorders:
            recorder.count(answer.usage, was_reserved=False)
    return answer


async def _written(recorders: Sequence[Recorder], key: str, answer: RecordedAnswer) -> None:
    for recorder in recorders:
        if recorder.store is not None:
            await asyncio.to_thread(recorder.write, key, _place.get(), answer)


def _usage(model: str, request: lm15.Request, response: lm15.Response, count: Callable[[str], int]) -> Usage:
    """What a call took as the server says, or as it is counted here where the server says nothing usable."""
    told = response.usage.input_tokens, response.usage.output_tokens
    if all(isinstance(number, int) and number >= 0 for number in told):
        return Usage.of_call(model, *told)
    system = request.system if isinstance(request.system, str) else "".join(part.text for part in request.system or ())
    prompt = sum(count(text) for text in (system, *(message.text or "" for message in request.messages)) if text)
    return Usage.of_call(model, prompt, count(response.message.text or ""), estimated=True)


def _cache_key(request: lm15.Request) -> dict[str, object]:
    return {"_fn_identifier": __name__, "request": _content(request), "rollout_id": _options.get().rollout_id}


def _content(request: lm15.Request) -> str:
    """All that is asked."""
    return json.dumps(dataclasses.asdict(request), default=str, sort_keys=True)


def _response(request: lm15.Request, answer: RecordedAnswer) -> lm15.Response:
    """A recorded answer as the server gave it."""
    [counts] = answer.usage.values() or [{"prompt_tokens": None, "completion_tokens": None}]
    return lm15.Response(
        id=None,
        model=request.model,
        message=lm15.Message.assistant([lm15.TextPart(answer.text)]),
        finish_reason=answer.finish_reason,
        usage=lm15.Usage(input_tokens=counts["prompt_tokens"], output_tokens=counts["completion_tokens"]),
    )
