from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import tables
from tagal_dspy.metrics.tables import Encoder, nearest, one_thread, ready
from tagal_dspy.schema import TableSchema


def test_all_problems_of_all_frames_are_told_at_once(real: pd.DataFrame, schema: TableSchema) -> None:
    bad = real.drop(columns="rich").assign(age="old", extra=1).head(1)
    empty = real.head(0)
    with pytest.raises(DataError) as caught:
        ready(schema, synthetic=bad, real=empty)
    assert str(caught.value).splitlines() == [
        "synthetic: the target 'rich' is missing",
        "synthetic: columns that the schema does not have: ['extra']",
        "synthetic: 1 rows; at least 2 are needed",
        "real: 0 rows; at least 2 are needed",
    ]


def test_columns_without_values_and_wrong_values_are_told_column_by_column(
    real: pd.DataFrame, schema: TableSchema
) -> None:
    bad = real.assign(age=["old"] * 399 + [3], wage=np.inf, town=None)
    with pytest.raises(DataError) as caught:
        ready(schema, synthetic=bad)
    assert str(caught.value).splitlines() == [
        "synthetic: column 'age' holds 'old' and 398 more that are not finite numbers",
        "synthetic: column 'wage' holds 'inf' and 399 more that are not finite numbers",
        "synthetic: column 'town' has no value at all",
    ]


def test_something_else_than_a_frame_is_refused(schema: TableSchema) -> None:
    with pytest.raises(DataError, match=r"synthetic: expected a pandas\.DataFrame, got list"):
        ready(schema, synthetic=[1])  # type: ignore[arg-type]


def test_numbers_as_text_and_categories_as_numbers_are_understood() -> None:
    schema = TableSchema.infer(pd.DataFrame({"x": [1.5, 2.5, 3.5], "y": [0, 1, 1]}), target="y")
    (frame,) = ready(schema, synthetic=pd.DataFrame({"y": [1.0, 0.0], "x": ["3.5", "1.5"]}))
    assert frame.to_dict("list") == {"x": [1.5, 3.5], "y": ["0", "1"]}


def test_permuted_rows_become_the_same_frame(real: pd.DataFrame, schema: TableSchema) -> None:
    permuted = real.sample(frac=1, random_state=5)
    pd.testing.assert_frame_equal(*ready(schema, a=real, b=permuted), check_exact=True)


def test_unknown_category_is_all_zero_and_missing_number_takes_the_median() -> None:
    fitted = pd.DataFrame({"x": [0.0, 1.0, 2.0, 10.0], "c": ["a", "b", "b", "b"]})
    schema = TableSchema.infer(fitted)
    encode = Encoder(schema, ready(schema, real=fitted)[0])
    rows = encode(pd.DataFrame({"x": [np.nan], "c": ["new"]}))
    assert rows.tolist() == [[0.15, 0.0, 0.0]]


def test_missing_numbers_of_the_fitted_frame_get_an_indicator() -> None:
    schema = TableSchema.infer(pd.DataFrame({"x": [0.0, 1.0, 2.0, None]}))
    encode = Encoder(schema, pd.DataFrame({"x": [0.0, 1.0, 2.0, np.nan]}))
    assert encode(pd.DataFrame({"x": [np.nan, 2.0]})).tolist() == [[0.5, 1.0], [1.0, 0.0]]


def test_nearest_in_small_blocks_equals_nearest_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    rows, others = rng.random((50, 4)), rng.random((70, 4))
    whole = nearest(rows, others, 3)
    monkeypatch.setattr(tables, "MAX_CELLS", 200)
    np.testing.assert_allclose(nearest(rows, others, 3), whole)
    expected = np.sort(np.linalg.norm(rows[:, None] - others, axis=2), axis=1)[:, :3]
    np.testing.assert_allclose(whole, expected)


def test_there_is_no_second_neighbour_in_one_row() -> None:
    assert nearest(np.zeros((1, 2)), np.zeros((1, 2)), 2).tolist() == [[0.0, np.inf]]


def test_blas_threads_are_given_back_by_the_last_thread_that_took_them() -> None:
    from threadpoolctl import threadpool_info

    def blas() -> set[int]:
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    first, second = one_thread(), one_thread()
    before = blas()
    with ThreadPoolExecutor(1) as elsewhere:
        first.__enter__()
        elsewhere.submit(second.__enter__).result()
        first.__exit__(None, None, None)
        assert blas() == {1}
        elsewhere.submit(second.__exit__, None, None, None).result()
    assert blas() == before
