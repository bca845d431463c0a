"""Both tables column by column and pair by pair, as few numbers as a picture needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.measures.profile import profile_of
from tagal_dspy.metrics.tables import Matrix
from tagal_dspy.schema import CellColumn, ModelledColumn, Row
from tagal_dspy.task import TableTask

MAX_BARS = 12
N_INTERVALS = 10
MUCH = 0.2
"""Share of the real rows from which one number gets a bar of its own beside the intervals."""

_OTHERS, _MISSING = "(others)", "(missing)"


@dataclass(frozen=True)
class Bars:
    """One column as shares of the rows: of its most frequent values, or of ten equal intervals.

    A number that is very frequent counts in no interval, and has a bar of its own.

    Attributes:
        labels: the value or interval of each bar.
        real: share of the real rows, adding up to 1.
        synthetic: share of the synthetic rows, likewise.
    """

    labels: tuple[str, ...]
    real: tuple[float, ...]
    synthetic: tuple[float, ...]


def bars(column: ModelledColumn, real: pd.Series[Any], synthetic: pd.Series[Any]) -> Bars:
    """The bars of a column, from ready values.

    >>> from tagal_dspy.schema import TableSchema
    >>> frame = pd.DataFrame({"x": ["a", "b", "a", "a"]})
    >>> bars(TableSchema.infer(frame)["x"], frame["x"], pd.Series(["b", "c"]))
    Bars(labels=('a', 'b', 'c'), real=(0.75, 0.25, 0.0), synthetic=(0.0, 0.5, 0.5))
    """
    sides = (real, synthetic)
    if column.is_closed:
        chosen = _frequent(sides)
        labels, codes = list(map(str, chosen)), [pd.Categorical(side, categories=chosen).codes for side in sides]
    elif real.nunique() <= MAX_BARS:
        chosen = sorted(_frequent(sides))
        labels = list(map(column.shown, chosen))
        codes = [pd.Categorical(side, categories=chosen).codes for side in sides]
    else:
        labels, codes = _intervals(column, sides)
    labels += [_OTHERS, _MISSING]
    shares = np.array([_shares(*each, len(labels)) for each in zip(codes, sides, strict=True)])
    kept = [place for place, share in enumerate(shares.sum(axis=0)) if share > 0 or place < len(labels) - 2]
    return Bars(tuple(labels[place] for place in kept), *(tuple(side[kept].tolist()) for side in shares))


def _frequent(sides: tuple[pd.Series[Any], ...]) -> list[Any]:
    """The values that are most frequent on either side."""
    most = pd.concat([side.value_counts(normalize=True) for side in sides], axis=1).max(axis=1)
    return most.sort_index().sort_values(ascending=False, kind="stable").index[:MAX_BARS].tolist()


def _intervals(column: CellColumn, sides: tuple[pd.Series[Any], ...]) -> tuple[list[str], list[Any]]:
    """Labels of the intervals, and in which of them each value is; -1 where it is missing."""
    real = sides[0]
    cuts = {column.shown(cut): cut for cut in _cuts(real)}
    labels = [f"up to {next(iter(cuts))}", *(f"above {cut}" for cut in cuts)]
    codes = [np.where(side.isna(), -1, np.searchsorted([*cuts.values()], side)) for side in sides]
    common = real.mode()[0]
    if (real == common).mean() > MUCH:
        codes = [np.where(side == common, len(labels), code) for side, code in zip(sides, codes, strict=True)]
        labels.append(f"exactly {column.shown(common)}")
    return labels, codes


def _cuts(real: pd.Series[Any]) -> Matrix:
    """Limits between equal intervals; the outermost 1 % of the real values do not decide how wide they are."""
    low, high = np.quantile(real.dropna(), [0.01, 0.99])
    if low == high:
        low, high = real.min(), real.max()
    return np.linspace(low, high, N_INTERVALS + 1)[1:-1]


def _shares(codes: Any, values: pd.Series[Any], n_labels: int) -> Matrix:
    counts = np.bincount(codes[codes >= 0], minlength=n_labels)
    counts[-1] = values.isna().sum()
    counts[-2] = len(values) - counts.sum()
    return counts / len(values)


@dataclass(frozen=True)
class Associations:
    """Cramér's V of each two columns, in [0, 1]; rows and columns of both matrices as in `names`."""

    names: tuple[str, ...]
    real: tuple[tuple[float, ...], ...]
    synthetic: tuple[tuple[float, ...], ...]


def associations(task: TableTask, rows: list[Row]) -> Associations:
    """How strongly each two columns are related, in the training rows and in others; of a table of more than
    `MAX_CROSSED` columns, some of them (see `tagal_dspy.measures.profile`).

    Cramér's V of the columns in levels (quartiles, frequent categories), corrected for what few rows show by chance.
    Source: Bergsma, A bias-correction for Cramér's V and Tschuprow's T (2013).
    """
    profile = profile_of(task)
    places, found = profile.crossed_columns, []
    for tables in (profile.tables, profile.crossed(profile.coded(rows))):
        matrix = np.eye(len(places))
        for i, j in zip(*np.triu_indices(len(places), 1), strict=True):
            matrix[i, j] = matrix[j, i] = _cramers_v(profile.block(tables, places[i], places[j]))
        found.append(tuple(map(tuple, matrix.tolist())))
    return Associations(tuple(task.schema.names[place] for place in places), *found)


def _cramers_v(counts: Matrix) -> float:
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    n, sizes = counts.sum(), np.array(counts.shape)
    if min(sizes) < 2:
        return 0.0
    expected = np.outer(counts.sum(axis=1), counts.sum(axis=0)) / n
    by_chance = np.prod(sizes - 1) / (n - 1)
    strength = max(0.0, float(((counts - expected) ** 2 / expected).sum() / n - by_chance))
    room = float(min(sizes - (sizes - 1) ** 2 / (n - 1))) - 1
    return min(1.0, float(np.sqrt(strength / room))) if room > 0 else 0.0
