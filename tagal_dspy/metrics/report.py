"""What `evaluate` returns: everything that was measured of a synthetic table, ready for JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from tagal_dspy.metrics.calibration import Score
from tagal_dspy.metrics.diversity import Diversity
from tagal_dspy.metrics.fidelity import Neighbourhoods, PairTrend, Supports
from tagal_dspy.metrics.judging import Respelled, Unreadable
from tagal_dspy.metrics.membership import Membership
from tagal_dspy.metrics.privacy import Privacy
from tagal_dspy.metrics.shapes import Associations, Bars


@dataclass(frozen=True)
class Rows:
    """How many rows were compared.

    Attributes:
        synthetic: rows of the synthetic table.
        unreadable: those with a cell that cannot be read, which count in validity alone.
        measured: those that all parts but diversity and validity are measured on: a seeded sample of more than 10 000.
        train: real rows that the synthetic ones could be made from.
        holdout: other real rows, which they are compared with.
        held_out: whether the holdout is a part of the real table, which a generator may have seen all the same.
    """

    synthetic: int
    unreadable: int
    measured: int
    train: int
    holdout: int
    held_out: bool


@dataclass(frozen=True)
class Scored:
    """The score of a table and what it is made of; see `Evaluation`.

    Attributes:
        value: 0 for independent marginals, 1 for as many real rows, on average; at least -1.
        low: with every part at the lower end of its 95 % interval; wider than needed where parts err apart.
        high: likewise at the upper ends.
        parts: `utility` and `fidelity`, raw and calibrated, with floor, ceiling and 95 % interval.
        objectives: the parts and penalties that make the value, higher is better.
    """

    value: float
    low: float
    high: float
    parts: Mapping[str, Score]
    objectives: Mapping[str, float]


class Interval(NamedTuple):
    """A mean and its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of_mean(cls, values: Sequence[float]) -> Interval | None:
        """By Student's t; None for one value.

        >>> Interval.of_mean([1.0, 2.0, 3.0]).value
        2.0
        """
        if len(values) < 2:
            return None
        from scipy.stats import t

        mean, error = float(np.mean(values)), float(np.std(values, ddof=1)) / math.sqrt(len(values))
        half = float(t.ppf(0.975, len(values) - 1)) * error
        return cls(mean, mean - half, mean + half)


@dataclass(frozen=True)
class ColumnFidelity:
    """One column: `similarity` and `validity` in [0, 1], higher is better, and the shares of its values."""

    kind: str
    similarity: float
    validity: float
    bars: Bars


@dataclass(frozen=True)
class TableReport:
    """All that `evaluate` measures. `to_dict` has a key for each attribute, and for each of theirs.

    Attributes:
        table: name of the real table.
        target: the column to predict; None without one.
        problem: `binary`, `multiclass`, `regression` or `none`.
        rows: how many rows were compared.
        unreadable: by column and reason, how many cells of the synthetic table cannot be read, with an example.
        respelled: labels that differ from a real one in their spelling alone, and were taken as that one.
        ignored: columns that only the synthetic table has.
        score: of the synthetic table, between floor and ceiling.
        metric: of utility: `roc_auc`, `r2` for regression, or what was asked for.
        utility: by regime (`tstr`, `trtr`, `combined`: half real, half synthetic) and classifier (`LR`, `RF`, `HGB`),
            and their `mean`, of models tested on the holdout. Empty without a target.
        untrained: why no model could be trained on the synthetic rows; empty where one could.
        columns: by column, fidelity and validity.
        pairs: the columns that are related in the real table, and how well that is kept: 0 to 1, higher is better.
        associations: of all pairs of columns, of some columns of a wide table; to be shown.
        detection: ROC AUC of telling synthetic from real rows; 0.5 is best. None for tables of few rows.
        prdc: precision, recall, density and coverage. None for tables of few rows.
        supports: α-precision, β-recall and authenticity, 0 to 1, higher is better.
        diversity: shares of rows, each `value` beside the `real` table's own.
        privacy: nearness to the real rows.
        membership: what an attacker finds who has the synthetic table. None where nothing can be compared.
        replicates: the score of further tables of the same generator.
        mean_score: the mean of the score and those of the replicates, with the interval of what it would be over many
            tables; None for one table.
        baselines: the score of other tables of the same size, by name.
        seed: of everything random.
    """

    table: str
    target: str | None
    problem: str
    rows: Rows
    unreadable: tuple[Unreadable, ...]
    respelled: tuple[Respelled, ...]
    ignored: tuple[str, ...]
    score: Scored
    metric: str
    utility: Mapping[str, Mapping[str, float]]
    untrained: str
    columns: Mapping[str, ColumnFidelity]
    pairs: tuple[PairTrend, ...]
    associations: Associations
    detection: float | None
    prdc: Neighbourhoods | None
    supports: Supports
    diversity: Diversity
    privacy: Privacy | None
    membership: Membership | None
    replicates: tuple[Scored, ...]
    mean_score: Interval | None
    baselines: Mapping[str, Scored]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for strict JSON: what does not exist is None, never NaN."""
        return dict(plain(self))


def plain(value: Any) -> Any:
    """Dataclasses and named tuples as dicts, sequences as lists, numbers that do not exist as None.

    >>> plain((1, float("nan"), {"a": Bars(("x",), (1.0,), (0.5,))}))
    [1, None, {'a': {'labels': ['x'], 'real': [1.0], 'synthetic': [0.5]}}]
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return value.item() if isinstance(value, np.generic) else value
