"""Language models: the embedded llama.cpp engine, models on servers, and `make_lm` for both."""

from tagal_dspy.caching import cache_dir
from tagal_dspy.engines.local import AsyncLocalEngine, LocalEngine
from tagal_dspy.engines.make_lm import connect, is_local, make_lm
from tagal_dspy.engines.pacing import ServerDownError
from tagal_dspy.engines.prices import Prices, cost, pricing
from tagal_dspy.engines.remote import AsyncRemoteEngine, RemoteEngine
from tagal_dspy.engines.weights import Weights, find_weights
from tagal_dspy.tokens import count_tokens

__all__ = [
    "AsyncLocalEngine",
    "AsyncRemoteEngine",
    "LocalEngine",
    "Prices",
    "RemoteEngine",
    "ServerDownError",
    "Weights",
    "cache_dir",
    "connect",
    "cost",
    "count_tokens",
    "find_weights",
    "is_local",
    "make_lm",
    "pricing",
]
