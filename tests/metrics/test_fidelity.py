from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import (
    alpha_precision,
    detection,
    prdc,
    quality,
    tables,
    validity,
)
from tagal_dspy.metrics.baselines import marginals
from tagal_dspy.schema import TableSchema


def collapsed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.dropna().iloc[[0] * len(frame)].reset_index(drop=True)


def test_quality_is_that_of_the_report(real: pd.DataFrame, fresh: pd.DataFrame, schema: TableSchema) -> None:
    from sdmetrics.reports import QualityReport

    kinds = {name: {"sdtype": "numerical" if name in ("age", "wage") else "categorical"} for name in real}
    report = QualityReport()
    with tables.quiet():
        report.generate(
            {"t": real}, {"t": fresh}, {"tables": {"t": {"columns": kinds}}, "relationships": []}, verbose=False
        )
    assert quality(real=real, synthetic=fresh, schema=schema).score == pytest.approx(report.get_score())


def test_quality_falls_from_fresh_rows_to_marginals_to_one_row_repeated(
    real: pd.DataFrame, fresh: pd.DataFrame, schema: TableSchema
) -> None:
    shuffled = marginals(real, len(fresh), np.random.default_rng(0))
    scores = [quality(real=real, synthetic=each, schema=schema).score for each in (fresh, shuffled, collapsed(fresh))]
    assert scores == sorted(scores, reverse=True)
    assert scores[1] - scores[2] > 0.2


def test_constant_column_does_not_hide_the_correlation_it_breaks(real: pd.DataFrame, schema: TableSchema) -> None:
    found = quality(real=real, synthetic=real.assign(wage=30.0), schema=schema)
    (pair,) = [each for each in found.pairs if (each.first, each.second) == ("age", "wage")]
    assert pair.real > 0.8
    assert pair.score == pytest.approx(1 - pair.real / 2)


def test_quality_and_detection_do_not_see_row_order(
    real: pd.DataFrame, fresh: pd.DataFrame, schema: TableSchema
) -> None:
    mixed = fresh.sample(frac=1, random_state=1)
    assert quality(real=real, synthetic=fresh, schema=schema) == quality(real=real, synthetic=mixed, schema=schema)
    assert detection(real=real, synthetic=fresh, schema=schema) == detection(real=real, synthetic=mixed, schema=schema)


def test_invalid_cells_are_counted_by_column(real: pd.DataFrame, fresh: pd.DataFrame, schema: TableSchema) -> None:
    odd = fresh.assign(age=[200] * 30 + [40] * 90, job=["king"] * 60 + ["cook"] * 60)
    found = validity(real=real, synthetic=odd, schema=schema)
    assert (found["age"], found["job"], found["owner"]) == (0.75, 0.5, 1.0)


@pytest.mark.parametrize("measure", [quality, validity, detection, prdc, alpha_precision])
@pytest.mark.parametrize("n_rows", [0, 1])
def test_too_few_rows_are_an_error_and_no_score(
    measure,
    n_rows: int,
    real: pd.DataFrame,
    fresh: pd.DataFrame,
    schema: TableSchema,  # type: ignore[no-untyped-def]
) -> None:
    with pytest.raises(DataError, match=f"synthetic: {n_rows} rows; at least"):
        measure(real=real, synthetic=fresh.head(n_rows), schema=schema)


def test_fresh_rows_are_not_detected_and_shifted_ones_are(
    real: pd.DataFrame, fresh: pd.DataFrame, schema: TableSchema
) -> None:
    assert 0.35 < detection(real=real, synthetic=fresh, schema=schema) < 0.65
    assert detection(real=real, synthetic=fresh.assign(wage=fresh["wage"] + 30), schema=schema) > 0.9


def test_a_category_that_real_rows_never_have_is_detected(
    real: pd.DataFrame, fresh: pd.DataFrame, schema: TableSchema
) -> None:
    assert detection(real=real, synthetic=fresh.assign(town="Spa"), schema=schema) > 0.95


def test_prdc_is_the_definition_done_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_CELLS", 10)
    frame = pd.DataFrame({"x": [0.0, 1.0, 2.0, 10.0]})
    made = pd.DataFrame({"x": [0.5, 0.6, 30.0]})
    found = prdc(real=frame, synthetic=made, schema=TableSchema.infer(frame), k=1)
    # Real reach 1, 1, 1, 8; synthetic reach 0.1, 0.1, 29.4.
    assert (found.precision, found.density, found.coverage) == pytest.approx((2 / 3, 4 / 3, 0.5))
    assert found.recall == pytest.approx(0.75)


def test_copies_are_precise_and_cover_even_where_real_rows_repeat() -> None:
    frame = pd.DataFrame({"c": ["a"] * 20 + ["b"] * 20, "x": [1.0] * 20 + [5.0] * 10 + [6.0] * 10})
    found = prdc(real=frame, synthetic=frame, schema=TableSchema.infer(frame))
    assert (found.precision, found.recall, found.coverage) == (1.0, 1.0, 1.0)


def test_collapse_keeps_precision_and_loses_recall(real: pd.DataFrame, schema: TableSchema) -> None:
    found = prdc(real=real, synthetic=collapsed(real.head(100)), schema=schema)
    assert found.precision == 1.0
    assert found.recall < 0.1
    supports = alpha_precision(real=real, synthetic=collapsed(real.head(100)), schema=schema)
    assert supports.beta_recall < 0.2


def test_fresh_rows_have_the_supports_of_the_real_ones(
    real: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    fresh = alpha_precision(real=real, synthetic=holdout, schema=schema)
    copied = alpha_precision(real=real, synthetic=real, schema=schema)
    assert fresh.alpha_precision > 0.9
    assert copied.beta_recall > fresh.beta_recall
    assert copied.authenticity < 0.1 < fresh.authenticity
