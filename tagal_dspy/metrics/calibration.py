"""Scores between a floor and a ceiling that were measured in the same way, at the same number of rows.

A raw figure says little: with 20 rows a perfect generator gets an SDMetrics quality of 0.73 on Adult. The floor is a
table of independent marginals, the ceiling one of real rows, each as long as the table that is judged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.metrics.baselines import marginals
from tagal_dspy.metrics.tables import Matrix, parallel
from tagal_dspy.metrics.utility import some_rows

Measure = Callable[[pd.DataFrame], Matrix]
"""From a table to its value, followed by the values with test rows and classifier seeds resampled, or by none.

Tables measured by the same object are resampled alike, so that what they share cancels out.
"""

MIN_GAP = 0.01
"""Where real rows are hardly better than marginals, a smaller difference would blow noise up to a score."""

LEAST_SEPARATION = 2.0
"""Standard deviations between floor and ceiling."""

_LEAST_SIGNAL = 0.3
"""Standard deviations that may be chance alone: 8 tables of each kind differ in their means by a third of one."""

_TINY = 1e-30
_REACHES = np.geomspace(1e-3, 10.0, 400)
"""How far from a score its interval is looked for, in gaps between floor and ceiling."""


@dataclass(frozen=True)
class Score:
    """A value with all that is needed to read it.

    Attributes:
        raw: as measured.
        floor: the same for independent marginals, mean over the replicates.
        ceiling: the same for real rows, mean over the replicates.
        calibrated: 0 at the floor, 1 at the ceiling; may lie outside.
        low: lower end of the 95 % interval of `calibrated`, see there.
        high: its upper end.
        separation: how many standard deviations of a table the ceiling is better than the floor. Below
            `LEAST_SEPARATION` the two cannot be told apart, and the score means nothing.
    """

    raw: float
    floor: float
    ceiling: float
    calibrated: float
    low: float
    high: float
    separation: float

    @property
    def is_readable(self) -> bool:
        """Whether floor and ceiling can be told apart."""
        return self.separation >= LEAST_SEPARATION

    @property
    def factor_needed(self) -> float | None:
        """How many times as many rows, synthetic and real, would tell them apart, where noise falls as their square
        root; None where real rows are not better than marginals."""
        return (LEAST_SEPARATION / self.separation) ** 2 if self.separation > _LEAST_SIGNAL else None


@dataclass(frozen=True)
class Anchors:
    """What floor and ceiling measure: one row for each replicate, the columns as a `Measure` returns them.

    Attributes:
        floor: of independent marginals.
        ceiling: of real rows.
        pool_share: rows of a table as a share of the real rows it is drawn from.
    """

    floor: Matrix
    ceiling: Matrix
    pool_share: float


def anchors(
    measure: Measure,
    *,
    train: pd.DataFrame,
    n_rows: int,
    n_replicates: int = 8,
    seed: int = 0,
    on_table: Callable[[int], None] = lambda number: None,
) -> Anchors:
    """Measure floor and ceiling for tables of `n_rows` rows.

    Args:
        measure: what to calibrate; it must compare with other real rows than `train`.
        train: real rows that marginals and ceiling tables are drawn from, without putting back where there are enough.
        n_rows: of the table to be judged.
        n_replicates: tables of each kind, at least 2.
        seed: of the tables.
        on_table: called with the number of each table, from 1, before it is measured.

    Raises:
        DataError: too few rows or replicates.
    """
    if n_replicates < 2 or n_rows < 2 or len(train) < 2:
        raise DataError(
            f"calibration got {n_replicates} replicates, {n_rows} rows and {len(train)} real rows; at least 2 of each"
        )
    streams = np.random.default_rng(seed).spawn(2 * n_replicates)
    tables = [marginals(train, n_rows, rng) for rng in streams[:n_replicates]]
    tables += [some_rows(train, n_rows, rng) for rng in streams[n_replicates:]]

    def told() -> Iterator[tuple[pd.DataFrame]]:
        for number, table in enumerate(tables, start=1):
            on_table(number)
            yield (table,)

    measured = np.array(parallel(measure, told()))
    return Anchors(measured[:n_replicates], measured[n_replicates:], n_rows / len(train))


def calibrated(draws: Matrix, between: Anchors) -> Score:
    """The score of a table's draws between floor and ceiling.

    The interval is for the expected score of the table's generator, over splits of the real table: 0 for marginals of
    the training rows, 1 for fresh real rows. It holds every score that a test at 5 % does not refute. What may be off:
    test rows and classifier seeds (resampled alike for table, floor and ceiling), the few replicates and real rows
    that floor and ceiling are known from, and the table itself, which could have come out otherwise: as differently as
    tables of its score do, whose variance lies between those of the floor's and the ceiling's. It is cut at 10 gaps
    from the score, which says that there is hardly a gap.

    >>> between = Anchors(floor=np.array([[0.4], [0.6]]), ceiling=np.array([[0.9], [0.9]]), pool_share=0.1)
    >>> round(calibrated(np.array([0.7]), between).calibrated, 3)
    0.5
    """
    floor, ceiling = between.floor.mean(axis=0), between.ceiling.mean(axis=0)
    gap = float(ceiling[0] - floor[0])
    upwards = 1.0 if gap >= 0 else -1.0
    scale = upwards * max(upwards * gap, MIN_GAP)
    offsets = np.stack([draws - floor, ceiling - floor + (scale - gap)])
    value = float(offsets[0, 0] / scale)
    low, high = (
        value + sign * _REACHES[_first(_refuted(value + sign * _REACHES, offsets, between))] for sign in (-1, 1)
    )
    return Score(
        float(draws[0]), float(floor[0]), float(ceiling[0]), value, float(low), float(high), _separation(between)
    )


def _separation(between: Anchors) -> float:
    """The gap between floor and ceiling in standard deviations of what one table, judged by these test rows, shows."""
    floor, ceiling = between.floor.mean(axis=0), between.ceiling.mean(axis=0)
    gap = (ceiling - floor) * (1.0 if ceiling[0] >= floor[0] else -1.0)
    resampled = gap[1:].var() if len(gap) > 1 else 0.0
    variance = (_variance(between.floor) + _variance(between.ceiling)) / 2 + resampled
    return float(gap[0] / math.sqrt(max(variance, _TINY)))


def _refuted(scores: Matrix, offsets: Matrix, between: Anchors) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which scores are too far from what was measured, by Student's t with Welch's degrees of freedom.

    Args:
        scores: to test.
        offsets: of the table and of the ceiling from the floor, as measured and resampled.
        between: floor and ceiling.
    """
    from scipy.stats import t

    n_replicates, share = len(between.floor), between.pool_share
    of_floor, of_ceiling = _variance(between.floor), _variance(between.ceiling)
    # Tables drawn without putting back share rows, and differ less than new rows would.
    of_ceiling /= max(0.2, 1 - share) if share <= 1 else 1.0
    weight = np.clip(scores, 0.0, 1.0)
    # Each with its part in the table, and in a mean that is off by the number of replicates; that of the ceiling also
    # by the luck of the real rows that all its replicates share.
    floors = of_floor * (1 - weight + (1 - scores) ** 2 / n_replicates)
    ceilings = of_ceiling * (weight + scores**2 * (1 / n_replicates + share))
    away = offsets[0][:, None] - scores * offsets[1][:, None]
    resampled = away[1:].var(axis=0) if len(away) > 1 else np.zeros_like(scores)
    variance = np.maximum(floors + ceilings + resampled, _TINY)
    freedom = (n_replicates - 1) * variance**2 / np.maximum(floors**2 + ceilings**2, _TINY**2)
    return np.asarray(np.abs(away[0]) > t.ppf(0.975, freedom) * np.sqrt(variance))


def _variance(values: Matrix) -> float:
    """Variance between tables that resampled test rows do not bring about: that part is in the resamples already."""
    between = float(values[:, 0].var(ddof=1))
    if values.shape[1] == 1:
        return between
    own = (values[:, 1:] - values[:, 1:].mean(axis=0)).var(axis=1).mean() * len(values) / (len(values) - 1)
    return max(0.0, between - float(own))


def _first(refuted: np.ndarray[Any, np.dtype[np.bool_]]) -> int:
    return int(np.argmax(refuted)) if refuted.any() else len(refuted) - 1


def calibrate(
    measure: Measure,
    *,
    synthetic: pd.DataFrame,
    train: pd.DataFrame,
    n_replicates: int = 8,
    seed: int = 0,
) -> Score:
    """Calibrate one table at its own number of rows; see `anchors` and `calibrated`.

    Args:
        measure: what to calibrate.
        synthetic: the table to judge.
        train: real rows for floor and ceiling.
        n_replicates: tables of each kind.
        seed: of all that is random here.
    """
    between = anchors(measure, train=train, n_rows=len(synthetic), n_replicates=n_replicates, seed=seed)
    return calibrated(measure(synthetic), between)
