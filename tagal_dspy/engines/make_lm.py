"""`make_lm`: from what a user writes after `--lm` to a `dspy.LM`."""

from __future__ import annotations

import os
from typing import Any

import dspy

from tagal_dspy.engines.local import AsyncLocalEngine, shared_engine
from tagal_dspy.engines.remote import AsyncRemoteEngine, RemoteEngine
from tagal_dspy.errors import SettingsError
from tagal_dspy.settings import PromptStyle

CONNECTION = ("api_key", "model_type", "timeout", "num_retries", "concurrency")
"""Options of the engine, not of the LM."""


def make_lm(
    spec: str = "local",
    *,
    api_base: str | None = None,
    cache: bool = True,
    trim: bool = True,
    style: PromptStyle | None = None,
    **options: Any,
) -> dspy.LM:
    """A DSPy language model.

    Args:
        spec: `local` (the embedded base model), `local:file.gguf`, `local:org/repo/file.gguf` (downloaded from the
            Hugging Face Hub), or a DSPy model string such as `openai/gpt-4o-mini` or `ollama_chat/llama3.1`.
        api_base: address of an OpenAI-compatible server, for DSPy model strings.
        cache: whether DSPy may answer from its cache.
        trim: whether a local model is cut to the tokens that its prompts and rows need, which is about twice as
            fast and draws from the same distribution.
        style: `continuation` makes a local model continue text although it has a chat template; where None, the
            template decides.
        options: passed to `dspy.LM`, e.g. `temperature`, `max_tokens`; of a model on a server also `api_key`,
            `timeout` (seconds for one try), `num_retries` and `concurrency` as in `RemoteEngine`.

    Raises:
        EngineError: the local model is missing, damaged or not installed.
        SettingsError: the model string has no provider or one that cannot be reached, `api_base` is given for a local
            model or `style` for another one, a model without a chat template has the style `chat`, or a number is out
            of range.
    """
    # DSPy would otherwise try to download a price list at the first call.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    if is_local(spec):
        if api_base:
            raise SettingsError(
                "api_base is the address of a server, and a local model has none; leave one of them out"
            )
        engine = shared_engine(spec, trim=trim, style=style)
        name = f"llamacpp/{engine.weights.name}"
        return dspy.LM(
            name, engine=engine, async_engine=AsyncLocalEngine(engine), cache=cache, num_retries=0, **options
        )
    if style is not None:
        raise SettingsError(f"style={style!r} is for local models; {spec!r} is on a server, which chats")
    if "/" not in spec:
        raise SettingsError(
            f"{spec!r} does not name a model; use 'local', 'local:file.gguf' or provider/model, e.g. openai/gpt-4o-mini"
        )
    connection = {name: options.pop(name) for name in CONNECTION if name in options}
    if api_base:
        connection = {"api_base": api_base, "api_key": os.environ.get("OPENAI_API_KEY", "none"), **connection}
    return dspy.LM(
        spec,
        engine=RemoteEngine(spec, **connection),
        async_engine=AsyncRemoteEngine(spec, **connection),
        model_type=connection.get("model_type", "chat"),
        cache=cache,
        num_retries=0,
        **options,
    )


def connect(spec: str, *, api_base: str | None = None, concurrency: int | None = None, trim: bool = True) -> dspy.LM:
    """The model that a spec names, with those options that it takes: a server's, or those of a local model."""
    return make_lm(spec, trim=trim) if is_local(spec) else make_lm(spec, api_base=api_base, concurrency=concurrency)


def is_local(spec: str) -> bool:
    """Whether the spec names a model that runs in this process."""
    return spec == "local" or spec.startswith("local:")
