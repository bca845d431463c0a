"""Each real cell passes its own column's filter and comes back, in frames of all dtypes and magnitudes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tagal_dspy.schema import NumericalColumn, TableSchema

RNG = np.random.default_rng(0)
N = 300

SKEWED: dict[str, Any] = {
    "normal": RNG.normal(size=N),
    **{f"lognormal {sigma}": RNG.lognormal(0, sigma, N) for sigma in range(1, 7)},
    "p-values": RNG.random(N) ** 8,
    "1e-20": RNG.random(N) * 1e-20,
    "pareto": RNG.pareto(0.5, N),
    "all magnitudes": np.concatenate(
        [10.0 ** RNG.uniform(-300, 300, N // 2), -(10.0 ** RNG.uniform(-300, 300, N // 2))]
    ),
    "far from zero": 1e9 + RNG.random(N),
    "thirds": np.arange(N) / 3,
    "whole and large": RNG.integers(-(2**62), 2**62, N),
}

DTYPES = {
    "float64": st.floats(allow_nan=False, allow_infinity=False, width=64),
    "float32": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "Float64": st.floats(-1e300, 1e300, width=64),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "int8": st.integers(-128, 127),
    "UInt64": st.integers(0, 2**64 - 1) | st.none(),
    "Int64": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "int64[pyarrow]": st.integers(-(2**63), 2**63 - 1) | st.none(),
    "double[pyarrow]": st.floats(allow_nan=False, allow_infinity=False, width=64) | st.none(),
    "bool": st.booleans(),
    "object": st.sampled_from(["a", "b", "NA", " b", "1", "1.0", "é"]) | st.none(),
}


def passed(schema: TableSchema, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame after its rows; each cell must pass the filter of its column."""
    rows = schema.to_rows(frame)
    for row in rows:
        assert [column.canonical(cell) for column, cell in zip(schema.modelled, row, strict=True)] == list(row)
    return schema.to_frame(rows)


@pytest.mark.parametrize("name", SKEWED)
def test_real_numbers_pass_and_stay_distinct_to_the_shown_digits(name: str) -> None:
    frame = pd.DataFrame({"x": SKEWED[name], "y": ["a", "b"] * (len(SKEWED[name]) // 2)})
    schema = TableSchema.infer(frame, "y")
    column = schema["x"]
    assert isinstance(column, NumericalColumn)
    restored = passed(schema, frame)
    assert restored["x"].dtype == frame["x"].dtype
    if not column.digits:
        pd.testing.assert_frame_equal(restored, frame, check_exact=True)
    np.testing.assert_allclose(restored["x"], frame["x"], rtol=5 * 10.0 ** -(column.digits or 17))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_each_cell_of_any_frame_passes_its_own_column(data: st.DataObject) -> None:
    n_rows = data.draw(st.integers(2, 12))
    columns: dict[str, Any] = {"y": ["a", "b"] * 6}
    for place, dtype in enumerate(data.draw(st.lists(st.sampled_from(sorted(DTYPES)), min_size=1, max_size=4))):
        cells = data.draw(st.lists(DTYPES[dtype], min_size=n_rows, max_size=n_rows))
        if any(cell is not None for cell in cells):
            columns[f"x{place}"] = pd.Series(cells, dtype=dtype)
    columns["y"] = columns["y"][:n_rows]
    frame = pd.DataFrame(columns)
    schema = TableSchema.infer(frame, "y")
    kept = [column.name for column in schema.columns if column.kind != "id"]
    restored = passed(schema, frame)
    for name in kept:
        column = schema[name]
        if not (isinstance(column, NumericalColumn) and column.digits):
            pd.testing.assert_series_equal(restored[name], frame[name], check_exact=True)
