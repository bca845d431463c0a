from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.metrics import privacy
from tagal_dspy.metrics.privacy import excess
from tagal_dspy.schema import TableSchema


def test_copies_of_training_rows_fail(real: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema) -> None:
    found = privacy(synthetic=real.sample(100, random_state=0), train=real, holdout=holdout, schema=schema)
    assert found.train.dcr == 0
    assert found.train.copies == 1.0
    assert found.score == 0.0


def test_fresh_rows_pass_and_are_no_closer_to_train_than_expected(
    real: pd.DataFrame, holdout: pd.DataFrame, fresh: pd.DataFrame, schema: TableSchema
) -> None:
    found = privacy(synthetic=fresh, train=real, holdout=holdout, schema=schema)
    assert found.expected == pytest.approx(400 / 550)
    assert found.closer_to_train == pytest.approx(400 / 550, abs=0.1)
    assert found.score == 1.0


def test_hardly_changed_training_rows_are_closer_to_train(
    real: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    changed = real.assign(wage=real["wage"] + 0.1)
    found = privacy(synthetic=changed, train=real, holdout=holdout, schema=schema)
    assert found.train.copies < 0.1
    assert found.closer_to_train is not None
    assert found.closer_to_train > 0.9
    assert found.train.nndr < 0.2
    assert found.score < 0.4


def test_prompted_rows_are_measured_apart(real: pd.DataFrame, fresh: pd.DataFrame, schema: TableSchema) -> None:
    found = privacy(synthetic=real.head(50), train=real, few_shots=real.head(5), schema=schema)
    assert found.few_shots is not None
    assert (found.few_shots.n_rows, found.train.n_rows) == (5, 400)
    assert found.few_shots.copies == pytest.approx(0.1)
    assert found.holdout is None
    assert found.closer_to_train is None


def test_distances_are_those_to_the_two_closest_rows() -> None:
    train = pd.DataFrame({"x": [0.0, 4.0, 10.0]})
    made = pd.DataFrame({"x": [1.0]})
    found = privacy(synthetic=made, train=train, schema=TableSchema.infer(train)).train
    assert (found.dcr, found.nndr) == pytest.approx((0.1, 1 / 3))


def test_rows_equally_close_to_train_and_holdout_count_as_expected(real: pd.DataFrame, schema: TableSchema) -> None:
    found = privacy(synthetic=real, train=real, holdout=real, schema=schema)
    assert found.closer_to_train == pytest.approx(found.expected)


def test_repeats_among_real_rows_are_no_leak() -> None:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"a": rng.choice(list("xyz"), 900), "b": rng.choice(list("uvw"), 900)})
    schema = TableSchema.infer(rows)
    found = privacy(synthetic=rows.iloc[:100], train=rows.iloc[100:700], holdout=rows.iloc[700:], schema=schema)
    assert found.train.copies == 1.0
    assert found.score == 1.0


def test_every_row_a_copy_is_excess_however_few_the_rows() -> None:
    assert excess(1.0, 0.8, 2) == pytest.approx(1.0)
    assert excess(0.82, 0.8, 10) == 0.0
