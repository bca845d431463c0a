"""Language models for tests: scripted by a function, through the engine contract that real models use."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import dspy
from dspy import lm15

Answer = str | Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """What a scripted model is asked.

    Attributes:
        system: the system message.
        turns: role and text of each further message.
        fields: the output fields the last message asks for; empty where the prompt names none.
        extra: what the generator told the engine besides (`grammar`, `branches`); empty for most models.
        seed: of the draw, for engines that take a grammar.
    """

    system: str
    turns: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]
    extra: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None

    @property
    def last(self) -> str:
        """The text of the last message."""
        return self.turns[-1][1]


class ScriptedEngine:
    """Answers with what a function makes of the question; thread-safe, keeps every question in `asked`.

    The function returns the text of the answer, or a value for each output field.
    """

    def __init__(
        self,
        answer: Callable[[Asked], Answer],
        style: str = "chat",
        takes_grammar: bool = False,
        context_window: int | None = None,
    ) -> None:
        self.style, self.takes_grammar, self.context_window = style, takes_grammar, context_window
        self.asked: list[Asked] = []
        self._answer = answer
        self._lock = threading.Lock()

    def complete(self, request: lm15.Request) -> lm15.Response:
        """One answer; tokens are counted as a quarter of the characters."""
        asked = _asked(request)
        with self._lock:
            self.asked.append(asked)
        text = _written(self._answer(asked))
        n_in = (len(asked.system) + sum(len(content) for _, content in asked.turns)) // 4 + 1
        n_out = len(text) // 4 + 1
        return lm15.Response(
            id=None,
            model=request.model,
            message=lm15.Message.assistant([lm15.TextPart(text)]),
            finish_reason="stop",
            usage=lm15.Usage(input_tokens=n_in, output_tokens=n_out, total_tokens=n_in + n_out),
        )

    def close(self) -> None:
        """Nothing to free."""

    def __deepcopy__(self, memo: object) -> ScriptedEngine:
        return self


class AsyncScriptedEngine:
    """The asyncio side of a `ScriptedEngine`."""

    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine

    async def complete(self, request: lm15.Request) -> lm15.Response:
        """One answer, made on a thread, so that it may take its time."""
        return await asyncio.to_thread(self._engine.complete, request)

    async def aclose(self) -> None:
        """Nothing to free."""

    def __deepcopy__(self, memo: object) -> AsyncScriptedEngine:
        return self


def scripted_lm(answer: Callable[[Asked], Answer], *, model: str = "scripted/model", **options: Any) -> dspy.LM:
    """A `dspy.LM` that answers with a function; `lm.engine.asked` holds what it was asked.

    Args:
        answer: from what is asked to the text, or the output fields, of the answer.
        model: name of the model, part of DSPy's cache key.
        options: `style`, `takes_grammar` and `context_window` of the engine; the rest goes to `dspy.LM`.

    >>> lm = scripted_lm(lambda asked: {"answer": "42"}, cache=False)
    >>> with dspy.context(lm=lm):
    ...     dspy.Predict("question -> answer")(question="?").answer
    '42'
    """
    own = {name: options.pop(name) for name in ("style", "takes_grammar", "context_window") if name in options}
    engine = ScriptedEngine(answer, **own)
    options = {"num_retries": 0, **options}
    return dspy.LM(model, engine=engine, async_engine=AsyncScriptedEngine(engine), **options)


def _asked(request: lm15.Request) -> Asked:
    system = request.system if isinstance(request.system, str) else "".join(part.text for part in request.system or ())
    turns = tuple((message.role, message.text or "") for message in request.messages)
    wanted = turns[-1][1].rpartition("Respond with")[2]
    fields = tuple(name for name in re.findall(r"\[\[ ## (\w+) ## \]\]", wanted) if name != "completed")
    extra = (request.config.extensions or {}).get("metadata", {}).get("tagal", {})
    return Asked(system, turns, fields, dict(extra), request.config.seed)


def _written(answer: Answer) -> str:
    if isinstance(answer, str):
        return answer
    parts = [f"[[ ## {name} ## ]]\n{value}" for name, value in answer.items()]
    return "\n\n".join([*parts, "[[ ## completed ## ]]\n"])
