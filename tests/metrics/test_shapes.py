from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.metrics.shapes import MAX_BARS, Bars, associations, bars
from tagal_dspy.schema import TableSchema
from tagal_dspy.task import TableTask


def bars_of(real: pd.Series, synthetic: pd.Series) -> Bars:
    return bars(TableSchema.infer(real.to_frame("x"))["x"], real, synthetic)


def test_shares_add_up_with_missing_values_and_values_that_only_one_side_has() -> None:
    real = pd.Series([f"c{i % 30}" for i in range(300)] + [None] * 100, dtype=object)
    found = bars_of(real, pd.Series(["new"] * 10))
    assert len(found.labels) == MAX_BARS + 2
    assert found.labels[0] == "new"
    assert found.labels[-2:] == ("(others)", "(missing)")
    assert found.real[-1] == 0.25
    assert sum(found.real) == pytest.approx(1)
    assert sum(found.synthetic) == pytest.approx(1)


def test_number_that_is_very_frequent_has_a_bar_of_its_own() -> None:
    real = pd.Series([0.0] * 50 + list(np.linspace(1, 99, 50)))
    found = bars_of(real, pd.Series(np.linspace(0.5, 150, 20)))
    assert found.labels[-1] == "exactly 0"
    assert (found.real[-1], found.synthetic[-1]) == (0.5, 0.0)
    assert sum(found.synthetic) == pytest.approx(1)


def test_intervals_are_not_named_twice_where_whole_numbers_lie_close() -> None:
    real = pd.Series([100 + i % 4 for i in range(990)] + list(range(10)))
    found = bars_of(real.astype(float), real.astype(float))
    assert len(set(found.labels)) == len(found.labels)
    assert sum(found.real) == pytest.approx(1)
    assert found.real == found.synthetic


def test_associations_of_copies_are_1_and_of_unrelated_columns_near_0() -> None:
    rng = np.random.default_rng(0)
    a = rng.choice(list("xyz"), 900)
    task = TableTask(pd.DataFrame({"a": a, "copy": a, "other": rng.choice(list("pq"), 900)}))
    unrelated = pd.DataFrame({name: rng.permutation(task.train[name]) for name in ("a", "copy", "other")})
    found = associations(task, task.schema.to_rows(unrelated))
    known, made = np.array(found.real), np.array(found.synthetic)
    assert known[0, 1] == pytest.approx(1)
    assert known[0, 2] < 0.1
    assert made[0, 1] < 0.15
    np.testing.assert_array_equal(known, known.T)
