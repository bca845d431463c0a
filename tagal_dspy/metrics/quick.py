"""A score of a few rows in milliseconds, for choosing between draws inside a loop."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.metrics.tables import Matrix, ready
from tagal_dspy.metrics.utility import Learning, Trial
from tagal_dspy.schema import CategoricalColumn, TableSchema


@dataclass(frozen=True)
class QuickScore:
    """The in-loop score and its parts, all in [0, 1], higher is better; `utility` is nan without a target."""

    score: float
    shapes: float
    trends: float
    utility: float
    reason: str = ""


class QuickScorer:
    """Scores a few rows in milliseconds: what depends on the real rows is computed once.

    Args:
        real: rows to compare with.
        validation: real rows to test a logistic regression on; `real` where None.
        schema: of both.
        n_bins: equally filled bins of a numerical column when pairs are compared.

    Raises:
        DataError: the frames do not fit the schema.
    """

    def __init__(
        self, *, real: pd.DataFrame, validation: pd.DataFrame | None = None, schema: TableSchema, n_bins: int = 5
    ) -> None:
        (self._real,) = ready(schema, real=real)
        self._schema, self._trial = schema, None
        if schema.target is not None:
            held_out = self._real if validation is None else ready(schema, validation=validation)[0]
            self._trial = Trial(schema, held_out, Learning(classifiers=("LR",), seeds=(0,)))
        self._edges: dict[str, Any] = {}
        for column in schema.columns:
            values = self._real[column.name].dropna()
            if isinstance(column, CategoricalColumn):
                self._edges[column.name] = np.unique(values)
            else:
                self._edges[column.name] = np.unique(np.quantile(values, np.arange(1, n_bins) / n_bins))
        self._sorted = {name: np.sort(self._real[name].dropna().to_numpy()) for name in schema.names}
        self._codes = self._coded(self._real)
        self._pairs = list(itertools.combinations(range(len(schema.columns)), 2))
        self._tables = [self._joint(self._codes, i, j) for i, j in self._pairs]

    def __call__(self, synthetic: pd.DataFrame) -> QuickScore:
        """Score a table; an unusable one scores 0 with the reason."""
        try:
            (rows,) = ready(self._schema, synthetic=synthetic, min_rows=1)
        except DataError as error:
            return QuickScore(0.0, 0.0, 0.0, 0.0, str(error))
        codes = self._coded(rows)
        shapes = float(np.mean([self._shape(rows, codes, place) for place in range(len(self._schema.columns))]))
        gaps = [
            np.abs(table - self._joint(codes, i, j)).sum() / 2
            for (i, j), table in zip(self._pairs, self._tables, strict=True)
        ]
        trends = 1 - float(np.mean(gaps)) if gaps else float("nan")
        utility, reason = self._utility(rows)
        return QuickScore(_mean([_mean([shapes, trends]), utility]), shapes, trends, utility, reason)

    def _shape(self, rows: pd.DataFrame, codes: np.ndarray, place: int) -> float:
        column = self._schema.columns[place]
        if isinstance(column, CategoricalColumn):
            size = self._size(place)
            shares = [np.bincount(each[place], minlength=size) / each.shape[1] for each in (self._codes, codes)]
            return 1 - float(np.abs(shares[0] - shares[1]).sum()) / 2
        real, made = self._sorted[column.name], np.sort(rows[column.name].dropna().to_numpy())
        if not len(made):
            return 0.0
        at = np.concatenate([real, made])
        below = [np.searchsorted(each, at, side="right") / len(each) for each in (real, made)]
        return 1 - float(np.abs(below[0] - below[1]).max())

    def _coded(self, frame: pd.DataFrame) -> np.ndarray:
        """A small number for each cell: bin or category, one more for a missing value, one for an unknown category."""
        codes = np.empty((len(self._schema.columns), len(frame)), dtype=np.int64)
        for place, column in enumerate(self._schema.columns):
            values, edges = frame[column.name], self._edges[column.name]
            if isinstance(column, CategoricalColumn):
                known = pd.Categorical(values, categories=edges).codes
                codes[place] = np.where(known < 0, len(edges) + 1, known)
            else:
                codes[place] = np.searchsorted(edges, values.to_numpy(), side="right")
            codes[place, values.isna().to_numpy()] = len(edges) + 2
        return codes

    def _size(self, place: int) -> int:
        return len(self._edges[self._schema.names[place]]) + 3

    def _joint(self, codes: np.ndarray, i: int, j: int) -> Matrix:
        size = self._size(j)
        return np.asarray(np.bincount(codes[i] * size + codes[j], minlength=self._size(i) * size) / codes.shape[1])

    def _utility(self, rows: pd.DataFrame) -> tuple[float, str]:
        if self._trial is None:
            return float("nan"), ""
        found = self._trial.score(rows)
        return float(np.clip(found.value, 0.0, 1.0)), found.reason


def _mean(values: list[float]) -> float:
    return float(np.nanmean(values))


def quick_score(
    *, real: pd.DataFrame, synthetic: pd.DataFrame, validation: pd.DataFrame | None = None, schema: TableSchema
) -> QuickScore:
    """The fast score of one table; `QuickScorer` for many against the same real rows.

    Mean of fidelity (column shapes and pairs of binned columns, by Kolmogorov-Smirnov and total-variation
    complement) and utility of a logistic regression; in [0, 1], higher is better. For choosing between draws, not for
    reporting: it is not calibrated.

    >>> frame = pd.DataFrame({"x": range(40), "y": ["no"] * 20 + ["yes"] * 20})
    >>> quick_score(real=frame, synthetic=frame, schema=TableSchema.infer(frame, target="y")).score
    1.0
    """
    return QuickScorer(real=real, validation=validation, schema=schema)(synthetic)
