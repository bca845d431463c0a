"""`cost`: what tokens cost, from DSPy's list of prices or from what the user knows."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from tagal_dspy.errors import SettingsError


class Prices(NamedTuple):
    """US dollars per token."""

    prompt: float
    completion: float


def cost(model: str, usage: Mapping[str, int], prices: Prices | None = None) -> float | None:
    """What a call cost.

    Args:
        model: a DSPy model string, or the name of a local model, which costs nothing.
        usage: `prompt_tokens` and `completion_tokens`, as DSPy counts them. Prompt tokens that the provider had in its
            cache are counted in full: the bill is never higher for them.
        prices: what the user pays, instead of the list price.

    Returns:
        US dollars, 0 or more; None where the price is not known.

    Raises:
        SettingsError: a price is negative or not finite.

    >>> cost("openai/gpt-4o-mini", {"prompt_tokens": 1_000_000, "completion_tokens": 0})
    0.15
    >>> cost("hosted_vllm/our-model", {"prompt_tokens": 1000, "completion_tokens": 500}, Prices(1e-6, 2e-6))
    0.002
    >>> cost("hosted_vllm/our-model", {"prompt_tokens": 1000, "completion_tokens": 500})
    """
    prices = prices or list_prices(model)
    if prices is None:
        return None
    _check(prices)
    return usage["prompt_tokens"] * prices.prompt + usage["completion_tokens"] * prices.completion


def pricing(prices: Prices | None = None) -> Callable[[str, int, int], float | None]:
    """What a call costs in US dollars, from the model, its prompt tokens and its completion tokens; see `cost`."""
    if prices is not None:
        _check(prices)
    return lambda model, n_in, n_out: cost(model, {"prompt_tokens": n_in, "completion_tokens": n_out}, prices)


def _check(prices: Prices) -> None:
    if not all(math.isfinite(price) and price >= 0 for price in prices):
        raise SettingsError(f"the prices are {tuple(prices)}; give US dollars per token, 0 or more")


@lru_cache(maxsize=64)
def list_prices(model: str) -> Prices | None:
    """The prices of a model in the list that comes with DSPy; None where it has none. Needs no network."""
    from dspy.clients.model_metadata import rate

    if model.startswith("llamacpp/"):
        return Prices(0.0, 0.0)
    info = listed(model)
    prompt, completion = rate(info, "input_cost_per_token"), rate(info, "output_cost_per_token")
    return None if prompt is None or completion is None else Prices(prompt, completion)


def listed(model: str) -> Mapping[str, Any]:
    """What the list that comes with DSPy says of a model, nothing where it does not have it. Needs no network."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    from dspy.clients.engines import LM15Engine
    from dspy.clients.model_metadata import model_info
    from dspy.lm15 import LM15Error, RouterConfig

    try:
        route = LM15Engine(RouterConfig(env={})).resolve(model)
    except LM15Error:
        return {}
    return model_info(route.provider, route.model) or {}
