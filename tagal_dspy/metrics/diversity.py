"""How varied and how new the rows are, each rate beside the one that real rows themselves have."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from tagal_dspy.metrics.tables import ready
from tagal_dspy.schema import Row, TableSchema


class Rate(NamedTuple):
    """A share of rows (or categories), and what as many real rows would show."""

    value: float
    real: float


@dataclass(frozen=True)
class Diversity:
    """Shares in [0, 1], each with the real table's own.

    Attributes:
        duplicates: rows equal to an earlier synthetic row; lower is better.
        collisions: rows equal to a real row; its own rate: real rows equal to another real row. Lower is better.
        novelty: rows equal to no real and no earlier synthetic row; higher is better.
        category_coverage: categories of the real table that occur, mean over the columns; higher is better. nan
            without a categorical column.
    """

    duplicates: Rate
    collisions: Rate
    novelty: Rate
    category_coverage: Rate


def diversity(*, real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema) -> Diversity:
    """Duplicates, collisions, novelty and category coverage.

    Rows are equal when their canonical texts are. The real table's own rates are exact expectations over its samples
    of the synthetic table's size (over all its rows where that is larger), so they need no seed.

    Args:
        real: rows that must not be repeated.
        synthetic: rows to judge.
        schema: of both.

    Raises:
        DataError: the frames do not fit the schema, or one has no row.

    >>> real = pd.DataFrame({"x": ["a", "b", "c", "d"]})
    >>> diversity(real=real, synthetic=pd.DataFrame({"x": ["a", "a"]}), schema=TableSchema.infer(real)).duplicates
    Rate(value=0.5, real=0.0)
    """
    frames = (real, synthetic)
    real, synthetic = ready(schema, real=real, synthetic=synthetic, min_rows=1)
    known, made = (Counter(schema.to_rows(frame)) for frame in frames)
    return diversity_of(known, made, real, synthetic, schema)


def diversity_of(
    known: Counter[Row], made: Counter[Row], real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema
) -> Diversity:
    """Diversity, from the canonical rows of both tables and from the same ready."""
    n_real, n_made = len(real), len(synthetic)
    n_sample = min(n_real, n_made)
    repeated = sum(count for count in known.values() if count > 1) / n_real
    return Diversity(
        duplicates=Rate(
            1 - len(made) / n_made, max(0.0, 1 - _expected_distinct(known.values(), n_real, n_sample) / n_sample)
        ),
        collisions=Rate(sum(count for row, count in made.items() if row in known) / n_made, repeated),
        novelty=Rate(sum(row not in known for row in made) / n_made, 1 - repeated),
        category_coverage=_coverage(real, synthetic, schema, n_sample),
    )


def _coverage(real: pd.DataFrame, synthetic: pd.DataFrame, schema: TableSchema, n_sample: int) -> Rate:
    values, own = [], []
    for column in schema.modelled:
        if column.is_closed:
            counts = Counter(real[column.name].dropna())
            found = counts.keys() & set(synthetic[column.name].dropna())
            values.append(len(found) / len(counts))
            own.append(_expected_distinct(counts.values(), len(real), n_sample) / len(counts))
    return Rate(float(np.mean(values)), float(np.mean(own))) if values else Rate(float("nan"), float("nan"))


def _expected_distinct(counts: Iterable[int], n_rows: int, n_sample: int) -> float:
    """How many different values a sample of a table has, drawn without putting back, by how often each occurs."""

    def absent(count: int) -> float:
        return math.prod(max(0, n_rows - n_sample - i) / (n_rows - i) for i in range(count))

    return sum(times * (1 - absent(count)) for count, times in Counter(counts).items())
