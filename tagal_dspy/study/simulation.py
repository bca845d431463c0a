"""Simulated runs: what they cost and how good they are is known, so that studies of them can be judged."""

from __future__ import annotations

import hashlib
import itertools
import math
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from tagal_dspy.optimizers.space import Candidate, Given, Range, Space
from tagal_dspy.settings import MANY_ROWS, Budget, RunSettings
from tagal_dspy.study.objective import Outcome

NOISE = 0.08
"""Standard deviation of the quality of one run, as large as between single runs in arXiv:2509.04152."""

TOKENS_PER_ROW = 50
PROMPT_TOKENS = 600

_EFFECTS: Mapping[str, Mapping[str, float]] = {
    "preset": {"paper": -0.03},
    "method": {"reduced-loop": -0.05, "prompt-refine": 0.02},
    "codec": {"json": -0.02, "sentence": -0.05},
    "column_order": {"categorical-first": -0.01, "numerical-first": -0.01, "target-first": 0.01},
    "info": {"none": -0.03},
    "draws": {"by-class": 0.05},
    "few_shots": {"uniform": -0.02, "neighbours": 0.02, "residual": 0.03, "coreset": 0.01},
}
_GAIN_OF_A_TURN = {"none": 0.0, "eye": -0.03, "measured": 0.015, "grounded": 0.03}


def true_quality(settings: RunSettings) -> float:
    """Expected quality of simulated runs, of the size of an AUC; swings are as large as the paper's.

    >>> round(true_quality(RunSettings(preset="grounded")) - true_quality(RunSettings(preset="paper")), 3)
    0.03
    """
    values = settings.model_dump()
    quality = 0.62 + sum(effects.get(values[name], 0.0) for name, effects in _EFFECTS.items())
    quality += 0.10 * (1 - math.exp(-settings.n_shots / 12)) - 0.35 * (settings.temperature - 0.95) ** 2
    quality -= 0.03 * math.log(max(1.0, (settings.rows_per_draw or MANY_ROWS) / 5))
    turns = settings.n_iter - 1
    gain = _GAIN_OF_A_TURN.get(settings.critic, 0.0)
    gained = gain * (turns if gain < 0 else min(turns, 2)) - 0.01 * max(0, turns - 2)
    return quality + (max(gained, 0.0) if settings.keep == "best" else gained)


def best_quality(space: Space, levels: int = 41) -> float:
    """The highest true quality in a space: coordinate by coordinate, from several starts until nothing improves."""

    def quality(params: dict[str, Any]) -> float:
        return true_quality(space.candidate(Given(params)).settings)

    choices: dict[str, list[Any]] = {
        name: [bound.at(n / (levels - 1)) for n in range(levels)] if isinstance(bound, Range) else list(bound)
        for name, bound in space.bounds.items()
    }
    best = -math.inf
    starts = [{name: each[0] for name, each in choices.items()}, {name: each[-1] for name, each in choices.items()}]
    pair = [name for name in ("critic", "n_iter") if name in choices]
    for start in starts:
        for together in itertools.product(*(sorted(set(choices[name]), key=str) for name in pair)):
            params = {**start, **dict(zip(pair, together, strict=True))}
            for name in [name for name in choices if name not in pair] * 2:
                params[name] = max(choices[name], key=lambda value, name=name: quality({**params, name: value}))  # type: ignore[misc]
            best = max(best, quality(params))
    return best


class SimulatedRuns:
    """An `Evaluate` without any model.

    Args:
        n_rows: rows of a table; they cost calls as draws of that size do.
        noise: standard deviation of quality between runs.
        latency: seconds that a call takes, waited for; calls of a run wait together, up to `concurrency`.
        concurrency: calls that are under way at once.
        rate: calls a second that the simulated server takes from this process; unlimited where None.
        price: of a thousand tokens.
        world: names the noise; in another world the same runs come out otherwise.
    """

    def __init__(
        self,
        n_rows: int = 100,
        *,
        noise: float = NOISE,
        latency: float = 0.0,
        concurrency: int = 16,
        rate: float | None = None,
        price: float = 0.001,
        world: int = 0,
    ) -> None:
        self.n_rows, self.noise, self.latency, self.concurrency = n_rows, noise, latency, concurrency
        self.rate, self.price, self.world = rate, price, world
        self.fingerprint = {"simulated": world, "rows": n_rows, "noise": noise}
        self._lock, self._free_at = threading.Lock(), 0.0

    def __call__(self, candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        """Simulate a run; one that does not fit the budget is cut."""
        calls, tokens = self.taken(candidate.settings)
        cost = tokens * self.price / 1000
        limits = ((calls, budget.max_calls), (tokens, budget.max_tokens), (cost, budget.max_cost))
        if any(limit is not None and taken > limit for taken, limit in limits):
            return Outcome(0.0, cut=True, problem="the budget is used up")
        self._wait(calls)
        named = f"{candidate.settings.model_dump_json()}/{seed}/{self.world}"
        digest = hashlib.sha256(named.encode()).digest()
        luck = np.random.default_rng(int.from_bytes(digest[:8], "big")).normal()
        parts = {"privacy": 0.9, "collisions": 1.0}
        return Outcome(true_quality(candidate.settings) + self.noise * luck, parts, calls, tokens, cost)

    def taken(self, settings: RunSettings) -> tuple[int, int]:
        """Calls and tokens of a run."""
        per_draw = settings.rows_per_draw or MANY_ROWS
        draws = math.ceil(self.n_rows / per_draw) * settings.n_iter
        calls = draws * (2 if settings.critic in ("eye", "grounded") else 1)
        shown = PROMPT_TOKENS + settings.n_shots * TOKENS_PER_ROW
        return calls, calls * (shown + per_draw * TOKENS_PER_ROW)

    def _wait(self, calls: int) -> None:
        until = time.monotonic() + self.latency * math.ceil(calls / self.concurrency)
        if self.rate is not None:
            with self._lock:
                self._free_at = max(self._free_at, time.monotonic()) + calls / self.rate
                until = max(until, self._free_at)
        time.sleep(max(0.0, until - time.monotonic()))
