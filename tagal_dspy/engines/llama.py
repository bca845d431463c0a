"""`Model`: weights that llama.cpp serves in this process, with as many threads as other processes leave cores free."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from dspy import lm15

from tagal_dspy.engines.cores import FreeCores
from tagal_dspy.engines.weights import INSTALL_HINT, Weights
from tagal_dspy.errors import EngineError, PromptTooLongError

N_SLOTS = 16
"""Sequences decoded at once. On two old cores 16 slots decode about twice as many tokens a second as one."""

SMALLEST_CONTEXT = 8192
LARGEST_CONTEXT = 131072

SECONDS_BETWEEN_LOOKS = 10.0
"""How often free cores are counted while a model is at work."""

MARGINS = -0.6, 0.8
"""How far the free cores must be from the number of threads before it changes: one core that others keep half busy
would else change it at every look."""


_loading = threading.Lock()
_replaced: list[Any] = []
"""Servers whose weights are no longer in use. llama.cpp keeps one tokenizer for grammars, of the vocabulary it was last
asked for, and knows a vocabulary by its address alone. A model that took the place of a freed one would get the other's
tokenizer: wrong tokens, or the end of the process. So models are freed when the tokenizer is of another one."""
atexit.register(_replaced.clear)


class Model:
    """A model that llama.cpp serves in this process, loaded on first use.

    It is loaded again where a prompt needs more context, and where other processes leave more or fewer cores free than
    it has threads: llama.cpp's threads wait for each other at every step, so that two threads and one busy core are
    five times slower than one thread. Calls under way end first, since two models at work would wait for each other.

    Args:
        weights: the model file and its style.
        n_slots: how many sequences are decoded at once.
        n_context: tokens of context to begin with, shared by the slots.
    """

    def __init__(self, weights: Weights, n_slots: int = N_SLOTS, n_context: int = SMALLEST_CONTEXT) -> None:
        self.weights, self.n_slots, self.n_context = weights, n_slots, n_context
        self._cores = FreeCores()
        self._n_threads = 0
        self._server: Any = None
        self._was_started = False
        self._beginning = threading.Lock()
        self._n_calls = 0
        self._call_ended = threading.Condition()

    def complete(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a completion, or to a chat where the body has messages."""
        while True:
            with self._serving() as (server, n_context):
                answer = server.handle_chat_completions(body) if "messages" in body else server.handle_completions(body)
            problem = answer.get("error")
            if problem is None:
                return cast("dict[str, Any]", answer)
            if "context" not in str(problem.get("type", "")) + str(problem.get("message", "")).lower():
                raise lm15.InvalidRequestError(f"{self.weights.name}: {problem.get('message', problem)}")
            self._enlarge(n_context, problem.get("n_prompt_tokens"))

    def start(self) -> None:
        """Load the model unless it is loaded; raises `EngineError`."""
        with self._beginning:
            self._load()

    def replace(self, weights: Weights) -> None:
        """Load other weights in place of those in use; raises `EngineError`."""
        with self._beginning:
            self._reload(weights)

    def close(self) -> None:
        """Free the model, at the latest when another is loaded; the next call loads it again."""
        with self._beginning, _loading:
            _replaced.append(self._server)
            self._server = None

    @contextmanager
    def _serving(self) -> Iterator[tuple[Any, int]]:
        """The server and its context for one call."""
        with self._beginning:
            self._follow_free_cores()
            self._load()
            server, n_context = self._server, self.n_context
            with self._call_ended:
                self._n_calls += 1
        try:
            yield server, n_context
        finally:
            with self._call_ended:
                self._n_calls -= 1
                self._call_ended.notify_all()

    def _follow_free_cores(self) -> None:
        if self._server is None or self._cores.seconds < SECONDS_BETWEEN_LOOKS:
            return
        n_free = self._cores.count()
        down, up = MARGINS
        if not self._n_threads + down <= max(n_free, 1.0) <= self._n_threads + up:
            self._n_threads = _whole(n_free)
            self._reload(self.weights)

    def _load(self) -> None:
        if self._server is None:
            with _loading:
                self._server = self._started()

    def _reload(self, weights: Weights) -> None:
        """Load weights in place of those in use, when the calls under way have ended."""
        with self._call_ended:
            self._call_ended.wait_for(lambda: self._n_calls == 0)
        with _loading:
            if weights != self.weights:
                _replaced.append(self._server)
            self._server, self.weights = None, weights
            self._server = self._started()

    def _started(self) -> Any:
        self._n_threads = self._n_threads or _whole(self._cores.count())
        server = _start(self.weights, self.n_slots, self.n_context, self._n_threads)
        if _replaced or self._was_started:
            _make_tokenizer(server)
            _replaced.clear()
        self._was_started = True
        return server

    def _enlarge(self, n_context: int, n_prompt: int | None) -> None:
        """Load a context that holds the prompt; raises `PromptTooLongError` at the limit."""
        with self._beginning:
            if self.n_context > n_context:
                return  # another call did so meanwhile
            if n_context >= LARGEST_CONTEXT:
                size = f"{n_prompt} tokens" if n_prompt else "the prompt and its rows"
                raise PromptTooLongError(
                    f"{size} do not fit the {n_context} tokens of {self.weights.name}; use fewer few-shots (--shots), "
                    "fewer rows a draw, or a model with a larger context"
                )
            while self.n_context <= max(n_context, 2 * (n_prompt or 0)):
                self.n_context *= 2
            self._reload(self.weights)


def _whole(n_free: float) -> int:
    """Threads for so many free cores."""
    return max(1, round(n_free))


def _make_tokenizer(server: Any) -> None:
    """Have llama.cpp make its tokenizer for grammars of this server's vocabulary."""
    server.handle_completions({"prompt": [0], "max_tokens": 1, "grammar": "%llguidance {}\nstart: /.*/\n"})


def _start(weights: Weights, n_slots: int, n_context: int, n_threads: int) -> Any:
    try:
        import xllamacpp
    except ImportError as error:
        raise EngineError(f"local models need xllamacpp; {INSTALL_HINT}") from error
    params = xllamacpp.CommonParams()
    params.model.path = str(weights.path)
    params.n_ctx = n_context
    params.n_parallel = n_slots
    # With a cache of its own for each, active slots that are not neighbours are decoded one after the other: 8 of 16
    # took 225 ms a step instead of 80. All 16 would take 131 instead of 142.
    params.kv_unified = True
    # llama.cpp would keep up to 8 GiB of old prompts for later; here hardly any prompt comes again.
    params.cache_ram_mib = 0
    # Without it models with sliding windows evaluate every prompt anew, however it begins.
    params.swa_full = True
    params.warmup = False
    params.verbosity = -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = n_threads
    try:
        return xllamacpp.Server(params)
    except RuntimeError as error:
        raise EngineError(
            f"{weights.path} cannot be loaded; is it an intact GGUF model, and is there memory for it?"
        ) from error
