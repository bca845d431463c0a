"""Language models: the embedded llama.cpp engine, and `make_lm` for it and everything DSPy can call."""

from tagal_dspy.engines.local import AsyncLocalEngine, LocalEngine
from tagal_dspy.engines.make_lm import is_local, make_lm
from tagal_dspy.engines.tokens import count_tokens
from tagal_dspy.engines.weights import Weights, cache_dir, find_weights

__all__ = [
    "AsyncLocalEngine",
    "LocalEngine",
    "Weights",
    "cache_dir",
    "count_tokens",
    "find_weights",
    "is_local",
    "make_lm",
]
