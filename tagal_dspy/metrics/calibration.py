"""Scores between a floor and a ceiling that were measured in the same way, at the same number of rows.

A raw figure says little: with 20 rows a perfect generator gets an SDMetrics quality of 0.73 on Adult. The floor is a
table of independent marginals, the ceiling one of real rows, each as long as the table that is judged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.metrics.baselines import marginals
from tagal_dspy.metrics.tables import Matrix
from tagal_dspy.metrics.utility import some_rows

Measure = Callable[[pd.DataFrame], Matrix]
"""From a table to its value, followed by the values with test rows and classifier seeds resampled, or by none.

Tables measured by the same object are resampled alike, so that what they share cancels out.
"""

MIN_GAP = 0.01
"""Where real rows are hardly better than marginals, a smaller difference would blow noise up to a score."""

_N_DRAWS = 1000
_TAILS = (0.025, 0.975)


@dataclass(frozen=True)
class Score:
    """A value with all that is needed to read it.

    Attributes:
        raw: as measured.
        floor: the same for independent marginals, mean over the replicates.
        ceiling: the same for real rows, mean over the replicates.
        calibrated: 0 at the floor, 1 at the ceiling; may lie outside.
        low: lower end of the 95 % interval of `calibrated`.
        high: its upper end.
    """

    raw: float
    floor: float
    ceiling: float
    calibrated: float
    low: float
    high: float


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


def anchors(measure: Measure, *, train: pd.DataFrame, n_rows: int, n_replicates: int = 8, seed: int = 0) -> Anchors:
    """Measure floor and ceiling for tables of `n_rows` rows.

    Args:
        measure: what to calibrate; it must compare with other real rows than `train`.
        train: real rows that marginals and ceiling tables are drawn from, without putting back where there are enough.
        n_rows: of the table to be judged.
        n_replicates: tables of each kind, at least 2.
        seed: of the tables.

    Raises:
        DataError: too few rows or replicates.
    """
    if n_replicates < 2 or n_rows < 2 or len(train) < 2:
        raise DataError(
            f"calibration got {n_replicates} replicates, {n_rows} rows and {len(train)} real rows; at least 2 of each"
        )
    streams = np.random.default_rng(seed).spawn(2 * n_replicates)
    floors = [measure(marginals(train, n_rows, rng)) for rng in streams[:n_replicates]]
    ceilings = [measure(some_rows(train, n_rows, rng)) for rng in streams[n_replicates:]]
    return Anchors(np.array(floors), np.array(ceilings), n_rows / len(train))


def calibrated(draws: Matrix, between: Anchors, *, seed: int = 0) -> Score:
    """The score of a table's draws between floor and ceiling.

    The interval covers the resampled test rows and classifier seeds (taken alike for the table, the floor and the
    ceiling), the few replicates and real rows that floor and ceiling are known from, and that another table of the
    same generator would have come out otherwise: as differently as the replicates do.

    >>> between = Anchors(floor=np.array([[0.4], [0.6]]), ceiling=np.array([[0.9], [0.9]]), pool_share=0.1)
    >>> round(calibrated(np.array([0.7]), between).calibrated, 3)
    0.5
    """
    floor, ceiling = between.floor.mean(axis=0), between.ceiling.mean(axis=0)
    value = float(_between(draws[:1], floor[:1], ceiling[:1])[0])
    rng = np.random.default_rng(seed)
    chosen = rng.integers(1, len(draws), _N_DRAWS) if len(draws) > 1 else np.zeros(_N_DRAWS, dtype=int)
    spreads = _spreads(between)
    n_replicates = len(between.floor)
    # A standard deviation from so few replicates is itself uncertain: this makes normal draws Student's.
    unsure = np.sqrt((n_replicates - 1) / rng.chisquare(n_replicates - 1, (2, _N_DRAWS)))
    table, floors, ceilings = rng.normal(size=(3, _N_DRAWS))
    like_real = (rng.random(_N_DRAWS) < np.clip(value, 0.0, 1.0)).astype(int)
    # The means are off by the number of replicates, and by the luck of the real rows that all of them share.
    of_mean = np.sqrt(1 / n_replicates + between.pool_share)
    drawn = _between(
        draws[chosen] + table * (unsure.T * spreads)[np.arange(_N_DRAWS), like_real],
        floor[chosen] + floors * unsure[0] * spreads[0] * of_mean,
        ceiling[chosen] + ceilings * unsure[1] * spreads[1] * of_mean,
    )
    low, high = np.quantile(drawn, _TAILS)
    return Score(
        float(draws[0]), float(floor[0]), float(ceiling[0]), value, float(min(low, value)), float(max(high, value))
    )


def _spreads(between: Anchors) -> Matrix:
    """Standard deviations of floor and ceiling tables of one program."""
    spreads = np.array([each[:, 0].std(ddof=1) for each in (between.floor, between.ceiling)])
    # Tables drawn without putting back share rows, and differ less than new rows would.
    spreads[1] /= np.sqrt(max(0.2, 1 - between.pool_share))
    return spreads


def _between(values: Matrix, floor: Matrix, ceiling: Matrix) -> Matrix:
    gap = ceiling - floor
    # The first entry is the measured one: it says which way is up, also for measures where lower is better.
    upwards = np.sign(gap.mean()) or 1.0
    return np.asarray((values - floor) / (upwards * np.maximum(upwards * gap, MIN_GAP)))


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
    return calibrated(measure(synthetic), between, seed=seed)
