"""`RemoteEngine`: a model on a server, asked by DSPy's own client (lm15) as fast as it allows and until it answers."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from functools import cached_property
from typing import Any

import dspy
from dspy import lm15
from dspy.clients.call_result import usage_dict
from dspy.clients.capabilities import capabilities, resolve
from dspy.clients.engines import AsyncLM15Engine
from dspy.utils.exceptions import LMError

from tagal_dspy.background import await_in_background, run_in_background
from tagal_dspy.engines.prices import listed
from tagal_dspy.engines.service import is_transient, shared_service
from tagal_dspy.engines.transport import BodyKeepingTransport, kept_body
from tagal_dspy.errors import EngineError, SettingsError
from tagal_dspy.recording import reserve_retry
from tagal_dspy.tokens import count_tokens

TIMEOUT = 300.0
"""Seconds for one try: a long answer of a slow model takes minutes."""
NUM_RETRIES = 10
"""The waits between them make 75 s and more: longer than the minute over which providers count calls."""
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds: the first wait between two tries, doubled at each."""
LONGEST_ASKED_WAIT = 300.0
"""A server that asks to wait longer has a quota that is used up, not a busy minute."""
MAX_CONNECTIONS = 4096
"""In place of lm15's 100: how many calls are made at once is the service's to say."""
SHORTEST_KEY = 8
"""Placeholders such as `none` are words."""
MALFORMED = (TypeError, ValueError, LookupError, AttributeError)
"""What lm15 raises for a reply that is JSON of another shape."""


class _Remote:
    count_tokens = staticmethod(count_tokens)

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        api_base: str | None = None,
        model_type: str = "chat",
        timeout: float = TIMEOUT,
        num_retries: int = NUM_RETRIES,
        concurrency: int | None = None,
    ) -> None:
        if timeout <= 0 or num_retries < 0 or (concurrency is not None and concurrency < 1):
            raise SettingsError(
                f"timeout={timeout}, num_retries={num_retries}, concurrency={concurrency}: "
                "give more than 0 seconds, 0 or more retries and 1 or more calls at once"
            )
        if api_base and set("@?") & set(api_base):
            raise SettingsError("api_base holds a name, a password or a query; leave it out, and give a key as api_key")
        self._state = {"model": model, "model_type": model_type}
        self._timeout, self._num_retries, self._api_key = timeout, num_retries, api_key
        self._describe()
        self._client = AsyncLM15Engine(
            lm15.RouterConfig(
                api_keys={self._provider: api_key} if api_key else None,
                base_urls={self._provider: api_base} if api_base else None,
                transport=BodyKeepingTransport(timeout=2 * timeout, max_connections=MAX_CONNECTIONS),
                providers=tuple(each.definition for each in lm15.registered_providers()),
            ),
            model_type=model_type,
        )
        self.service = shared_service(model, api_base)
        if concurrency is not None:
            self.service.pace.fixed = concurrency

    def _describe(self) -> None:
        """What DSPy knows of the model, and would find out by itself for an engine of its own."""
        plain = dspy.LM(engine="lm15", **self._state)
        try:
            self._provider, known = str(resolve(plain).provider), capabilities(plain)
        except (lm15.LM15Error, LMError) as error:
            raise SettingsError(f"{plain.model!r} cannot be reached: {error}") from error
        self.supports_function_calling, self.supports_reasoning = known.function_calling, known.reasoning
        self.supports_response_schema, self.supported_params = known.response_schema, known.params

    @cached_property
    def context_window(self) -> int | None:
        """Tokens of prompt and answer that the model takes; None where no list has it."""
        return listed(self._state["model"]).get("max_input_tokens")

    async def _answered(self, request: lm15.Request) -> lm15.Response:
        _check_process()
        n_tries = 0
        while True:
            if n_tries:
                reserve_retry()
            n_tries += 1
            try:
                response = await self.service.ask(lambda: self._sent(request), self._timeout)
                return _counted(response, self._provider)
            except lm15.LM15Error as error:
                asked = error.retry_after or 0.0
                if n_tries > self._num_retries or not is_transient(error) or asked > LONGEST_ASKED_WAIT:
                    _tell_tries(error, n_tries)
                    raise
                await self.service.wait(asked + _backoff(n_tries))

    async def _sent(self, request: lm15.Request) -> lm15.Response:
        try:
            with kept_body() as body:
                return await self._client.complete(request)
        except lm15.LM15Error as error:
            _mask_keys(error, self._api_key)
            raise
        except MALFORMED as error:
            response = body.response_without_usage(request.model)
            if response is None:
                raise lm15.ServerError(f"the reply is not a completion: {error}") from error
            return response

    def dump_state(self) -> dict[str, Any]:
        """What a saved program says of its engine: no key, and like DSPy's own no address."""
        return dict(self._state)

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> _Remote:
        """The engine of a saved program, with the key of the environment."""
        return cls(**state)

    def __deepcopy__(self, memo: object) -> _Remote:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).load_state, (self._state,)


class RemoteEngine(_Remote):
    """A model on a server.

    Obeys DSPy's engine contract: one canonical request in, one response out. It makes the retries itself, so its
    `dspy.LM` takes `num_retries=0`. All engines of one model at one address share their `service`: its pace, and what
    is known of the server. Unlike `dspy.LM(engine="lm15")` it does not stream, and there is no cost in the LM's
    history (see `tagal_dspy.engines.cost`).

    Args:
        model: a DSPy model string of a provider that lm15 knows or that is registered, e.g. `openai/gpt-4o-mini`.
        api_key: instead of the one in the environment.
        api_base: address of the server, instead of the provider's.
        model_type: `chat`, or `responses` for OpenAI's Responses API.
        timeout: seconds for one try.
        num_retries: further tries of a call that got no answer; a call that the server refuses (400, 401, 402, 404,
            ...) has none.
        concurrency: calls under way at once, for all engines of the model. Where none gives it, it is found by trying,
            up to 64.

    Raises:
        SettingsError: the model string names no provider that lm15 knows, a number is out of range, or the address
            holds a password.
    """

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request.

        Raises:
            lm15.LM15Error: the server refused it, or did not answer it after all retries.
            ServerDownError: the server has not answered anyone for long.
        """
        return run_in_background(self._answered, request)


class AsyncRemoteEngine(_Remote):
    """The same for asyncio, on whatever event loop it is awaited."""

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request."""
        return await await_in_background(self._answered, request)


_process: int | None = None


def _check_process() -> None:
    """Raise `EngineError` in a fork of a process that has called a server: it has none of its connections."""
    global _process
    _process = _process or os.getpid()
    if _process != os.getpid():
        raise EngineError(
            "this process is a fork of one that has called a model on a server, and has none of its connections; "
            "start it with multiprocessing's 'spawn' method"
        )


def _counted(response: lm15.Response, provider: str) -> lm15.Response:
    """The response with its tokens counted as OpenAI does; DSPy does not know the provider behind an engine of ours."""
    tokens = usage_dict(response, provider)
    usage = replace(
        response.usage,
        input_tokens=tokens.get("prompt_tokens"),
        output_tokens=tokens.get("completion_tokens"),
        total_tokens=tokens.get("total_tokens"),
    )
    return replace(response, usage=usage)


def _backoff(n_tries: int) -> float:
    """Longer each time, and random, so that calls that were refused together do not return together."""
    longest = min(FIRST_WAIT * 2.0 ** (n_tries - 1), LONGEST_WAIT)
    return random.uniform(longest / 2, longest)


def _tell_tries(error: lm15.LM15Error, n_tries: int) -> None:
    tried = f" (tried {n_tries} times)" if n_tries > 1 else ""
    asked = f" (asks to wait {error.retry_after:g} s)" if error.retry_after else ""
    first, blank, advice = error.message.partition("\n\n")
    _reword(error, f"{first}{tried}{asked}{blank}{advice}")


def _mask_keys(error: lm15.LM15Error, api_key: str | None) -> None:
    """Some servers repeat the key that they refuse."""
    in_environment = [value for name, value in os.environ.items() if name.endswith(("_KEY", "_TOKEN"))]
    for key in [api_key or "", *in_environment]:
        if len(key) >= SHORTEST_KEY:
            _reword(error, error.message.replace(key, "…"))


def _reword(error: lm15.LM15Error, message: str) -> None:
    error.message, error.args = message, (message,)
