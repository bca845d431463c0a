"""The engine that stands before every language model: calls go through the recorders that are active.

A call is answered from the record, else from DSPy's cache, else it is reserved in every budget, made, counted and
recorded, in this order.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, cast

import dspy
from dspy import lm15
from dspy.utils.callback import BaseCallback

from tagal_dspy.background import on_thread, run_in_background
from tagal_dspy.errors import BudgetError, RunEndedError
from tagal_dspy.recording.call import reserved_call
from tagal_dspy.recording.recorder import Recorder, active_recorders
from tagal_dspy.recording.usage import RecordedAnswer, Usage
from tagal_dspy.tokens import count_tokens

CONNECTION = (
    *("api_key", "api_base", "base_url", "headers", "extra_headers", "timeout", "api_version", "organization"),
    *("azure_ad_token_provider", "project", "extra_query", "custom_llm_provider"),
)
OF_ANOTHER_RUN = (BudgetError, RunEndedError, asyncio.CancelledError)
"""Errors that end the run that made a call, not those that wait for the same answer."""

ABILITIES = ("supports_function_calling", "supports_reasoning", "supports_response_schema", "supported_params")


class _Options(NamedTuple):
    """What DSPy is told of a call, and does not tell engines."""

    rollout_id: int | None = None
    cache: bool | None = None


_options: ContextVar[_Options] = ContextVar("options", default=_Options())  # noqa: B039


class _Place(NamedTuple):
    """A place in a run, and how often each question was asked there."""

    name: str
    asked: Counter[str]

    @contextmanager
    def numbered(self, question: str) -> Iterator[int]:
        """The number of this time a question is asked; a call that fails leaves its number to the next."""
        self.asked[question] += 1
        try:
            yield self.asked[question]
        except BaseException:
            self.asked[question] -= 1
            raise


_place: ContextVar[_Place | None] = ContextVar("place", default=None)


@contextmanager
def at_place(name: str) -> Iterator[None]:
    """Name the calls of this context by their place in a run, such as `3/0/draw`: each is then a draw of its own."""
    token = _place.set(_Place(name, Counter()))
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
        """Answer one request."""
        return run_in_background(self.answered, request)

    async def answered(self, request: lm15.Request) -> lm15.Response:
        """Answer one request; see the module."""
        recorders = active_recorders()
        if not recorders:
            return await self._ask(request)
        content, rollout, place = _hashed(request), _options.get().rollout_id, _place.get()
        if place is None:
            return await self._named(request, recorders, content, f"{content}/{rollout}/", rollout is not None)
        with place.numbered(f"{content}/{rollout}") as number:
            name = f"{content}/{rollout}/{place.name}/{number}"
            return await self._named(request, recorders, content, name, is_draw=True)

    async def _named(
        self, request: lm15.Request, recorders: Sequence[Recorder], content: str, name: str, is_draw: bool
    ) -> lm15.Response:
        """Answer a request that is told apart from others by a name."""
        outermost = recorders[0]
        while True:
            key, future, is_mine = outermost.claim(hashlib.sha256(name.encode()).hexdigest(), is_draw)
            if is_mine:
                return await self._claimed(request, recorders, content, key)
            try:
                answer = await asyncio.shield(asyncio.wrap_future(future))
            except OF_ANOTHER_RUN:
                if future.done() and isinstance(future.exception(), OF_ANOTHER_RUN):
                    continue
                raise
            for recorder in recorders[1:]:
                recorder.count(answer.usage, was_reserved=False)
            return _response(request, answer)

    async def _claimed(
        self, request: lm15.Request, recorders: Sequence[Recorder], content: str, key: str
    ) -> lm15.Response:
        """Answer a request, and whoever waits for the same answer."""
        outermost, options = recorders[0], _options.get()
        may_cache = self._is_cached if options.cache is None else options.cache
        cache_key = {"_fn_identifier": __name__, "request": content, "rollout_id": options.rollout_id}
        try:
            found = await self._found(recorders, key, cache_key if may_cache else None)
            answer, response = await self._made(recorders, key, request) if found is None else (found, None)
            if found is None and may_cache:
                dspy.cache.put(cache_key, {"text": answer.text, "finish_reason": answer.finish_reason})
        except BaseException as error:
            outermost.release(key, error)
            raise
        outermost.fulfil(key, answer)
        return response or _response(request, answer)

    async def _found(
        self, recorders: Sequence[Recorder], key: str, cache_key: dict[str, Any] | None
    ) -> RecordedAnswer | None:
        """The answer in a record or in DSPy's cache, counted and recorded."""
        answer = await _recorded(recorders, key)
        cached = dspy.cache.get(cache_key) if answer is None and cache_key is not None else None
        if cached is not None:
            answer = RecordedAnswer(cached["text"], cached["finish_reason"], Usage())
            await _write(recorders, key, answer)
        return answer

    async def _made(
        self, recorders: Sequence[Recorder], key: str, request: lm15.Request
    ) -> tuple[RecordedAnswer, lm15.Response | None]:
        """The answer of a call that is reserved, made, counted and recorded."""
        with reserved_call(recorders, key, self._lm.model) as call:
            response = await self._ask(request)
            usage = _usage(call.model, request, response, getattr(self, "count_tokens", count_tokens))
            call.settle(usage)
            answer = RecordedAnswer(response.message.text or "", response.finish_reason, usage)
            await _write(recorders, key, answer)
            return answer, response

    async def _ask(self, request: lm15.Request) -> lm15.Response:
        """Make one call."""
        if self._plain is not None:
            with dspy.context(disable_history=True, usage_tracker=None, callbacks=[], send_stream=None):
                return cast(lm15.Response, await self._plain.acall(request))
        other = getattr(self._lm, "_async_engine_spec", None)
        if other is not None:
            return cast(lm15.Response, await other.complete(request))
        return await asyncio.to_thread(self._lm.engine.complete, request)


class AsyncRecordingEngine:
    """The same for asyncio."""

    def __init__(self, engine: RecordingEngine) -> None:
        self._engine = engine

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request."""
        return await self._engine.answered(request)

    def __deepcopy__(self, memo: object) -> AsyncRecordingEngine:
        return self


async def recorded_answer(question: str, ask: Callable[[], str]) -> str:
    """The answer of a person, recorded and replayed like that of a model; it costs nothing.

    Args:
        question: what the person is shown.
        ask: shows it, on a thread of its own.
    """
    recorders = active_recorders()
    key = hashlib.sha256(f"person/{question}/{_place_name()}".encode()).hexdigest()
    answer = await _recorded(recorders, key)
    if answer is None:
        answer = RecordedAnswer(await on_thread(ask), "stop", Usage())
        await _write(recorders, key, answer)
    return answer.text


async def _recorded(recorders: Sequence[Recorder], key: str) -> RecordedAnswer | None:
    """The recorded answer of a call, counted."""
    answer = next((answer for recorder in recorders if (answer := recorder.find(key)) is not None), None)
    if answer is not None:
        for recorder in recorders:
            recorder.count(answer.usage, was_reserved=False)
    return answer


async def _write(recorders: Sequence[Recorder], key: str, answer: RecordedAnswer) -> None:
    for recorder in recorders:
        if recorder.store is not None:
            await asyncio.to_thread(recorder.write, key, _place_name(), answer)


def _place_name() -> str:
    place = _place.get()
    return place.name if place else ""


def _usage(model: str, request: lm15.Request, response: lm15.Response, count: Callable[[str], int]) -> Usage:
    """What a call took as the server says, or as it is counted here where the server says nothing usable."""
    told = response.usage.input_tokens, response.usage.output_tokens
    if all(isinstance(number, int) and number >= 0 for number in told):
        return Usage.of_call(model, *told)
    system = request.system if isinstance(request.system, str) else "".join(part.text for part in request.system or ())
    prompt = sum(count(text) for text in (system, *(message.text or "" for message in request.messages)) if text)
    return Usage.of_call(model, prompt, count(response.message.text or ""), estimated=True)


def _hashed(request: lm15.Request) -> str:
    """Stands for all that is asked."""
    content = json.dumps(dataclasses.asdict(request), default=str, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


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
