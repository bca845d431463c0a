"""The membership attack, and rows within one cell of a real one."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagal_dspy.metrics.membership import membership, within_one_cell
from tagal_dspy.schema import Row, TableSchema

CELLS = st.tuples(*[st.sampled_from(["a", "b", None])] * 4)


def frame(n: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame({name: rng.choice(list("abcdef"), n) for name in "pqrst"} | {"x": rng.integers(0, 1000, n)})


SCHEMA = TableSchema.infer(frame(2_000, 9))
TRAIN, HOLDOUT, FRESH = (list(SCHEMA.to_rows(frame(n, seed))) for n, seed in ((300, 0), (300, 1), (200, 2)))


def near(rows: list[Row]) -> list[Row]:
    """Rows whose number is another one nearby."""
    return [(*row[:-1], str(min(999, int(row[-1] or 0) + 3))) for row in rows]


def test_rows_that_know_nothing_give_nobody_away() -> None:
    found = membership(SCHEMA, synthetic=FRESH, train=TRAIN, holdout=HOLDOUT)
    assert found.train is not None
    assert found.train.low < 0.5 < found.train.high
    assert found.train.tpr is not None
    assert found.train.tpr < 0.05
    assert found.shown is None


@pytest.mark.parametrize("synthetic", [TRAIN, near(TRAIN)], ids=["copies", "near copies"])
def test_copies_and_near_copies_give_all_away(synthetic: list[Row]) -> None:
    found = membership(SCHEMA, synthetic=synthetic, train=TRAIN, holdout=HOLDOUT)
    assert found.train is not None
    assert found.train.auc > 0.99
    assert found.train.tpr is not None
    assert found.train.tpr > 0.9


def test_shown_rows_are_attacked_apart_from_other_training_rows() -> None:
    found = membership(SCHEMA, synthetic=near(TRAIN[:60]), train=TRAIN, holdout=HOLDOUT, few_shots=TRAIN[:60])
    assert found.shown is not None
    assert found.train is not None
    assert (found.shown.n_members, found.train.n_members) == (60, 240)
    assert found.shown.auc > 0.99
    assert found.train.low < 0.5 < found.train.high


def test_few_rows_that_were_not_used_have_no_rate_at_one_percent() -> None:
    found = membership(SCHEMA, synthetic=FRESH, train=TRAIN, holdout=HOLDOUT[:99])
    assert found.train is not None
    assert found.train.tpr is None


def test_missing_number_is_an_edit_from_every_number() -> None:
    schema = TableSchema.infer(pd.DataFrame({"x": [1.0, None, 3.0] * 10}))
    rows: list[Row] = [("1",), (None,)] * 20
    found = membership(schema, synthetic=[(None,)], train=[(None,)] * 20, holdout=[row for row in rows if row[0]])
    assert found.train is not None
    assert found.train.auc == 1.0


@given(st.lists(CELLS, min_size=1, max_size=12), st.lists(CELLS, min_size=1, max_size=12))
def test_share_within_one_cell_is_that_of_all_comparisons(rows: list[Row], known: list[Row]) -> None:
    expected = [min(sum(a != b for a, b in zip(row, other, strict=True)) for other in known) <= 1 for row in rows]
    assert within_one_cell(rows, known) == pytest.approx(np.mean(expected))


def test_share_within_one_cell_stands_beside_that_of_rows_not_used() -> None:
    found = membership(SCHEMA, synthetic=near(TRAIN[:150]) + FRESH[:150], train=TRAIN, holdout=HOLDOUT)
    assert found.within_one_cell.value == pytest.approx(0.5, abs=0.02)
    assert found.within_one_cell.real < 0.1
