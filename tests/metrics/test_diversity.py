from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import diversity
from tagal_dspy.schema import TableSchema


def test_rates_are_counted_by_canonical_text() -> None:
    real = pd.DataFrame({"x": [1.5, 2.5, 3.5, 4.5], "c": ["a", "a", "b", "c"]})
    made = pd.DataFrame({"x": ["1.50", 1.5, 9.5, 9.5, 2.5], "c": ["a", "a", "z", "z", "b"]})
    found = diversity(real=real, synthetic=made, schema=TableSchema.infer(real))
    assert found.duplicates.value == pytest.approx(2 / 5)
    assert found.collisions.value == pytest.approx(2 / 5)
    assert found.novelty.value == pytest.approx(2 / 5)
    assert found.category_coverage.value == pytest.approx(2 / 3)


def test_own_rates_are_the_mean_over_all_samples_of_the_same_size() -> None:
    values = ["a", "a", "a", "b", "b", "c"]
    real = pd.DataFrame({"x": values})
    found = diversity(real=real, synthetic=pd.DataFrame({"x": ["a", "b", "c"]}), schema=TableSchema.infer(real))
    samples = [len(set(each)) for each in itertools.combinations(values, 3)]
    assert found.duplicates.real == pytest.approx(1 - np.mean(samples) / 3)
    assert found.category_coverage.real == pytest.approx(np.mean(samples) / 3)
    assert found.collisions.real == pytest.approx(5 / 6)
    assert found.novelty.real == pytest.approx(1 / 6)


def test_more_synthetic_rows_than_real_ones_are_compared_with_all_real_rows() -> None:
    real = pd.DataFrame({"x": ["a", "a", "b", "c"]})
    made = pd.DataFrame({"x": ["a"] * 40})
    assert diversity(real=real, synthetic=made, schema=TableSchema.infer(real)).duplicates.real == pytest.approx(0.25)


def test_table_without_categories_has_no_coverage() -> None:
    real = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    assert np.isnan(diversity(real=real, synthetic=real, schema=TableSchema.infer(real)).category_coverage.value)


def test_empty_table_is_an_error(real: pd.DataFrame, schema: TableSchema) -> None:
    with pytest.raises(DataError, match="synthetic: 0 rows; at least 1"):
        diversity(real=real, synthetic=real.head(0), schema=schema)
