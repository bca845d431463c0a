"""Whether one program is better than another, from their scores on the same tasks and seeds."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tagal_dspy.errors import DataError

_EXACT_UP_TO = 12
_N_FLIPS = 10_000


@dataclass(frozen=True)
class Comparison:
    """Paired difference of two programs.

    Attributes:
        difference: mean of the first program's scores less the second's.
        low: lower end of the 95 % interval of the difference (Student's t).
        high: its upper end.
        p_value: two-sided, of the sign-flip permutation test: exact up to 12 pairs, else from 10 000 seeded flips.
        n_pairs: how many pairs there were.
    """

    difference: float
    low: float
    high: float
    p_value: float
    n_pairs: int


def compare(a_scores: Sequence[float], b_scores: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compare two programs, score by score.

    Args:
        a_scores: of the first program, one for each task and seed.
        b_scores: of the second, in the same order.
        seed: of the flips.

    Raises:
        DataError: the numbers of scores differ, are below two, or a score is not a number.

    >>> compare([0.5, 0.6, 0.7, 0.6], [0.4, 0.5, 0.5, 0.5]).p_value
    0.125
    """
    a, b = np.asarray(a_scores, dtype=float), np.asarray(b_scores, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or len(a) < 2:
        raise DataError(f"got {a.size} and {b.size} scores; as many of both are needed, pair by pair, and at least 2")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise DataError("some scores are not finite numbers; leave out pairs that could not be scored")
    from scipy.stats import t

    gaps = a - b
    mean = float(gaps.mean())
    reach = float(t.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
    return Comparison(mean, mean - reach, mean + reach, _p_value(gaps, seed), len(gaps))


def _p_value(gaps: np.ndarray, seed: int) -> float:
    if len(gaps) <= _EXACT_UP_TO:
        signs = np.array(list(itertools.product((-1, 1), repeat=len(gaps))))
        extra = 0
    else:
        signs = np.random.default_rng(seed).choice((-1, 1), size=(_N_FLIPS, len(gaps)))
        # The observed signs are one of the possible ones: no p-value is 0.
        extra = 1
    as_great = np.abs((signs * gaps).mean(axis=1)) >= abs(gaps.mean()) - 1e-12
    return float((as_great.sum() + extra) / (len(signs) + extra))
