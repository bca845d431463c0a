"""`LocalEngine`: llama.cpp in this process, started on first use, shared by all who name the same model."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dspy import lm15

from tagal_dspy.engines.lark import allows_free_text, as_lark, literals
from tagal_dspy.engines.llama import LARGEST_CONTEXT, N_SLOTS, SMALLEST_CONTEXT, Model
from tagal_dspy.engines.vocabulary import Vocabulary, small_model
from tagal_dspy.engines.weights import Weights, find_weights
from tagal_dspy.errors import EngineError, SettingsError
from tagal_dspy.settings import PromptStyle
from tagal_dspy.tokens import count_tokens

_LOG = logging.getLogger(__name__)

MAX_TOKENS = {"chat": 2048, "continuation": 256}
"""Of an answer that no grammar ends, by the style of the model: a base model seldom ends a text by itself."""


class LocalEngine:
    """A llama.cpp server inside this process, spoken to without a socket.

    Obeys DSPy's engine contract: one canonical request in, one response out. Per call, `metadata={"tagal": {...}}`
    may hold a `grammar` in GBNF and a number of `branches`: continuations of the one prompt, drawn side by side and
    joined to one answer, so that the prompt is evaluated once. Calls with a grammar are answered by a model with only
    the tokens that their prompts and grammars need, unless the grammar allows free text.

    Args:
        weights: the model file and its style, from `find_weights`.
        n_slots: how many sequences are decoded at once.
        n_context: tokens of context to begin with, shared by the slots.
        trim: whether the vocabulary is cut to what is needed.
    """

    supports_response_schema = True
    supports_function_calling = False
    supports_reasoning = False
    supported_params = frozenset({"temperature", "max_tokens", "top_p", "top_k", "stop", "seed", "response_format"})
    takes_grammar = True
    context_window = LARGEST_CONTEXT
    count_tokens = staticmethod(count_tokens)

    def __init__(
        self, weights: Weights, n_slots: int = N_SLOTS, n_context: int = SMALLEST_CONTEXT, *, trim: bool = True
    ) -> None:
        self.weights = weights
        self.style = weights.style
        self._n_slots, self._n_context, self._trim = n_slots, n_context, trim
        self._models: tuple[Model, SmallModel | None] | None = None
        self._beginning = threading.Lock()

    def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request; a prompt that needs a larger context than is loaded has the model loaded anew."""
        body = self._body(request)
        return _response(request, self._model(request).complete(body))

    def _model(self, request: lm15.Request) -> Model:
        grammar = _extra(request).get("grammar")
        whole, small = self._begun()
        if small is None or grammar is None:
            return whole
        return small.model_for([message["content"] for message in _messages(request)], grammar)

    def _begun(self) -> tuple[Model, SmallModel | None]:
        """The models, made for the first call: prompts can be seen without any of this."""
        with self._beginning:
            if self._models is None:
                # First, because it counts free cores from here on.
                whole = Model(self.weights, self._n_slots, self._n_context)
                self.weights.check()
                self._models = whole, SmallModel(whole) if self._trim else None
            return self._models

    def _body(self, request: lm15.Request) -> dict[str, Any]:
        config, extra = request.config, _extra(request)
        body: dict[str, Any] = {
            "n": extra.get("branches", 1),
            "cache_prompt": True,
            "max_tokens": config.max_tokens or (-1 if "grammar" in extra else MAX_TOKENS[self.style]),
            "temperature": 1.0 if config.temperature is None else config.temperature,
            # llama.cpp cuts the tails of the distribution unless told not to; a table needs its tails.
            "top_k": config.top_k or 0,
            "top_p": 1.0 if config.top_p is None else config.top_p,
            "min_p": 0.0,
        }
        if config.seed is not None:
            body["seed"] = config.seed
        if config.stop:
            body["stop"] = list(config.stop)
        if "grammar" in extra:
            body["grammar"] = as_lark(extra["grammar"])
        elif config.response_format:
            body["json_schema"] = config.response_format.get("schema", {"type": "object"})
        if self.style == "chat":
            body["messages"] = _messages(request)
        else:
            body["prompt"] = "\n\n".join(message["content"] for message in _messages(request))
        return body

    def close(self) -> None:
        """Free the model; the next call loads it again."""
        for model in self._models or ():
            if model is not None:
                model.close()

    def dump_state(self) -> dict[str, Any]:
        """What a saved program says of its engine: the model's name, no path."""
        return {"name": self.weights.name}

    def __deepcopy__(self, memo: object) -> LocalEngine:
        return self


class SmallModel:
    """The model with only the tokens that calls have needed so far; a call that needs others adds them."""

    def __init__(self, whole: Model) -> None:
        self._whole = whole
        self._vocabulary: Vocabulary | None = None
        self._model = Model(whole.weights, whole.n_slots, whole.n_context)
        self._choosing = threading.Lock()
        self._has_said: set[str] = set()
        self._has_failed = False

    def model_for(self, texts: list[str], grammar: str) -> Model:
        """The model that answers these texts under a grammar: the whole one where no other can."""
        if allows_free_text(grammar):
            return self._say("free text needs the whole vocabulary, which takes about twice as long")
        with self._choosing:
            if self._has_failed:
                return self._whole
            try:
                return self._made_for([*texts, *literals(grammar)])
            except (OSError, ValueError, EngineError) as error:
                self._has_failed = True
                return self._say(f"the whole vocabulary is kept, a smaller one cannot be used: {error}")

    def _made_for(self, texts: list[str]) -> Model:
        weights = self._whole.weights
        self._vocabulary = self._vocabulary or Vocabulary(weights.path)
        needs_more = self._vocabulary.add(texts)
        if not self._vocabulary.is_small:
            return self._say("the texts need so many tokens that the whole vocabulary is kept")
        if needs_more or self._model.weights == weights:
            self._model.replace(weights._replace(path=small_model(weights, self._vocabulary), sha256=""))
        return self._model

    def _say(self, why: str) -> Model:
        """Say once why the whole model is used."""
        if why not in self._has_said:
            self._has_said.add(why)
            _LOG.warning("%s: %s", self._whole.weights.name, why)
        return self._whole

    def close(self) -> None:
        """Free the model; the next call loads it again."""
        self._model.close()


class AsyncLocalEngine:
    """The same engine for asyncio: calls wait on threads of their own, not on the loop's few."""

    def __init__(self, engine: LocalEngine) -> None:
        self._engine = engine
        self._threads = ThreadPoolExecutor(max_workers=64, thread_name_prefix="tagal-local")

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """Answer one request; a prompt that needs a larger context than is loaded has the model loaded anew."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._engine.complete, request)

    async def aclose(self) -> None:
        """Leave the shared model alone; it is freed when the process ends."""

    def __deepcopy__(self, memo: object) -> AsyncLocalEngine:
        return self


_engines: dict[tuple[str, bool, PromptStyle], LocalEngine] = {}
_engines_lock = threading.Lock()


def shared_engine(spec: str, *, trim: bool = True, style: PromptStyle | None = None) -> LocalEngine:
    """The one engine of this process for a model and a style; it is freed at exit."""
    weights = find_weights(spec)
    if style == "chat" and weights.style != "chat":
        raise SettingsError(f"style='chat': {weights.name} has no chat template; leave the style out")
    weights = weights._replace(style=style or weights.style)
    key = weights.name, trim, weights.style
    with _engines_lock:
        if key not in _engines:
            engine = _engines[key] = LocalEngine(weights, trim=trim)
            atexit.register(engine.close)
        return _engines[key]


def _extra(request: lm15.Request) -> dict[str, Any]:
    """What a call says to this engine alone."""
    extra: dict[str, Any] = (request.config.extensions or {}).get("metadata", {}).get("tagal", {})
    return extra


def _messages(request: lm15.Request) -> list[dict[str, str]]:
    system = request.system if isinstance(request.system, str) else "".join(part.text for part in request.system or ())
    first = [{"role": "system", "content": system}] if system else []
    return first + [{"role": message.role, "content": message.text or ""} for message in request.messages]


def _response(request: lm15.Request, answer: dict[str, Any]) -> lm15.Response:
    choices = sorted(answer["choices"], key=lambda choice: choice["index"])
    texts = [choice["text"] if "text" in choice else choice["message"]["content"] or "" for choice in choices]
    usage = answer["usage"]
    n_written = _n_written(texts, usage["completion_tokens"])
    return lm15.Response(
        id=None,
        model=request.model,
        message=lm15.Message.assistant([lm15.TextPart(_joined(texts))]),
        finish_reason="length" if any(choice["finish_reason"] == "length" for choice in choices) else "stop",
        usage=lm15.Usage(
            input_tokens=usage["prompt_tokens"],
            output_tokens=n_written,
            total_tokens=usage["prompt_tokens"] + n_written,
            cache_read_tokens=usage.get("prompt_tokens_details", {}).get("cached_tokens", 0),
        ),
    )


def _n_written(texts: list[str], n_first: int) -> int:
    """Tokens of all branches: llama.cpp counts those of the first one, by whose length the others are reckoned."""
    return round(n_first * sum(map(len, texts)) / len(texts[0])) if texts[0] else n_first * len(texts)


def _joined(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else "".join(text if text.endswith("\n") else text + "\n" for text in texts)
