from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError
from tagal_dspy.schema import CategoricalColumn, Column, NumericalColumn, SchemaOverrides, TableSchema


def only(values: object, **override: object) -> Column:
    """The column inferred from some values."""
    overrides = SchemaOverrides.model_validate({"columns": {"x": override} if override else {}})
    return TableSchema.infer(pd.DataFrame({"x": values}), overrides=overrides).columns[0]


def numbers(values: object, **override: object) -> NumericalColumn:
    column = only(values, **override)
    assert isinstance(column, NumericalColumn)
    return column


def categories(values: object, **override: object) -> CategoricalColumn:
    column = only(values, **override)
    assert isinstance(column, CategoricalColumn)
    return column


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, 2, 3], "numerical"),
        ([0.5, None, 1.5, 2.5], "numerical"),
        (pd.Series([1, None, 3, 4], dtype="Int64"), "numerical"),
        ([0, 1, 1], "categorical"),
        (["a", "b"], "categorical"),
        (pd.Series([1, 2, 3]).astype("category"), "categorical"),
        (pd.Series(["a", None], dtype="string"), "categorical"),
        ([True, False], "boolean"),
        ([True, None, False], "boolean"),
        (pd.Series([True, None], dtype="boolean"), "boolean"),
    ],
)
def test_kind_is_read_off_the_values(values: object, kind: str) -> None:
    assert only(values).kind == kind


@pytest.mark.parametrize(
    ("values", "decimals"),
    [
        ([1, 2, 3], 0),
        ([1.0, 2.0, 3.0], 0),
        ([1.5, 2.0, 3.0], 1),
        ([0.1 + 0.2, 0.5, 0.7], 1),
        (np.array([39.1, 18.7, 181.3], dtype="float32"), 1),
        ([0.0001, 0.0005, 0.0009], 4),
        ([1.0004, 2.0003, 3.0002], 4),
        ([0.000001, 0.5, 1000.0], 6),
        ([123456789.25, 1.5, 2.75], 2),
    ],
)
def test_decimals_are_those_of_the_values(values: object, decimals: int) -> None:
    assert numbers(values).decimals == decimals


@pytest.mark.parametrize("factor", [1.0, 1e3, 1e-5])
def test_long_fractions_are_cut_to_four_digits_of_the_spread(factor: float) -> None:
    values = np.random.default_rng(0).normal(size=500) * factor
    spread = numbers(values).text(float(values.std()))
    assert len(spread.replace(".", "").lstrip("0")) in (4, 5)


@pytest.mark.parametrize("values", [[1 / 3, 2 / 3, 10 / 7], [-1 / 3, -2 / 3, -10 / 7]])
def test_bounds_are_cut_as_cells_are_and_come_back_exactly(values: list[float]) -> None:
    column = numbers(values)
    texts = column.render(pd.Series(values))
    assert [column.canonical(text) for text in texts] == texts
    restored = column.restore(texts)
    assert (restored.min(), restored.max()) == (min(values), max(values))


def test_statistics_leave_missing_values_out() -> None:
    column = numbers([1.0, None, 2.0, 6.0])
    assert (column.mean, column.median, column.missing_share) == (3.0, 2.0, 0.25)


def test_shares_are_of_the_values_that_are_present() -> None:
    column = categories(["b", "a", "a", None])
    assert dict(zip(column.categories, column.shares, strict=True)) == {
        "a": pytest.approx(2 / 3),
        "b": pytest.approx(1 / 3),
    }


def test_categories_keep_the_order_of_a_categorical_dtype() -> None:
    column = categories(pd.Categorical(["high", "low"], categories=["low", "mid", "high"]))
    assert (column.categories, column.shares) == (("low", "mid", "high"), (0.5, 0.0, 0.5))


def test_whole_floats_are_categories_without_a_point() -> None:
    assert categories([0.0, 1.0, None]).categories == ("0", "1")


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ([0, 1] * 20, "binary"),
        ([True, False] * 20, "binary"),
        (["a", "b", "c", "d"] * 10, "multiclass"),
        ([1, 2, 3, 4] * 10, "multiclass"),
        ([1.0, 2.0, 3.0, 4.0] * 10, "multiclass"),
        ([1.5, 2.0, 3.0, 4.0] * 10, "regression"),
        (list(range(40)), "regression"),
    ],
)
def test_problem_follows_from_the_target(target: object, problem: str) -> None:
    assert TableSchema.infer(pd.DataFrame({"x": range(40), "y": target}), target="y").problem == problem


def test_class_label_of_numbers_is_categorical() -> None:
    schema = TableSchema.infer(pd.DataFrame({"y": [1, 2, 3] * 5}), target="y")
    assert schema.classes == ("1", "2", "3")


def test_without_a_target_there_is_no_problem_and_no_class() -> None:
    schema = TableSchema.infer(pd.DataFrame({"y": [1, 2, 3]}))
    assert (schema.problem, schema.classes) == ("none", ())


def test_regression_target_has_no_classes() -> None:
    assert TableSchema.infer(pd.DataFrame({"y": np.arange(50)}), target="y").classes == ()


@pytest.mark.parametrize("frame", [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=range(3))])
def test_empty_table_is_refused(frame: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="the table is empty"):
        TableSchema.infer(frame)


def test_all_problems_of_a_table_are_reported_at_once() -> None:
    frame = pd.DataFrame({"a": [None, None], "b": [None, None], "y": [1, 1]})
    overrides = SchemaOverrides.model_validate({"columns": {"z": {"kind": "numerical"}}})
    with pytest.raises(DataError) as caught:
        TableSchema.infer(frame, "y", overrides)
    assert str(caught.value).split("; ", 3) == [
        "column 'a' has no value at all: leave it out with `drop` or `--drop`",
        "column 'b' has no value at all: leave it out with `drop` or `--drop`",
        "the overrides name no column of the table: 'z'",
        "target 'y' has one class only, '1'; at least two are needed",
    ]


def test_repeated_column_name_is_refused() -> None:
    with pytest.raises(DataError, match="column name 'a' occurs 2 times"):
        TableSchema.infer(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_column_name_that_is_not_text_is_refused() -> None:
    with pytest.raises(DataError, match="column name 0 is not text; column name 1 is not text"):
        TableSchema.infer(pd.DataFrame([[1, 2]]), target="1")


def test_target_that_is_no_column_is_refused_with_the_columns() -> None:
    with pytest.raises(DataError, match="target 'z' is not a column; the table has 'a', 'b'"):
        TableSchema.infer(pd.DataFrame({"a": [1, 2], "b": [3, 4]}), target="z")


def test_nested_values_are_refused() -> None:
    with pytest.raises(DataError, match="column 'a' holds lists or objects"):
        TableSchema.infer(pd.DataFrame({"a": [[1], [2, 3]]}))


def test_infinite_values_are_refused() -> None:
    with pytest.raises(DataError, match="column 'x' holds infinite values"):
        numbers([1.0, float("inf"), 2.0])


def test_text_said_to_be_numerical_is_refused() -> None:
    with pytest.raises(DataError, match="column 'x' is said to be numerical, but holds other values"):
        numbers(["1", "two"], kind="numerical")


def test_numbers_in_text_said_to_be_numerical_are_numbers() -> None:
    assert numbers(["1", "22", "3"], kind="numerical").maximum == 22


def test_target_of_numbers_in_text_said_to_be_numerical_is_accepted() -> None:
    overrides = SchemaOverrides.model_validate({"columns": {"y": {"kind": "numerical"}}})
    frame = pd.DataFrame({"y": [str(number / 2) for number in range(9)]})
    assert TableSchema.infer(frame, "y", overrides).problem == "regression"


def test_numbers_said_to_be_categorical_are_categories() -> None:
    assert categories([1000, 1050, 9000], kind="categorical").categories == ("1000", "1050", "9000")


def test_overridden_bounds_replace_the_observed_ones() -> None:
    column = numbers([17, 44, 90], minimum=0, maximum=120)
    assert (column.minimum, column.maximum) == (0, 120)


def test_overridden_bounds_are_rounded_inwards() -> None:
    column = numbers([17, 44, 90], minimum=0.5, maximum=120.5)
    assert (column.minimum, column.maximum) == (1, 120)


@pytest.mark.parametrize("bounds", [{"minimum": 100}, {"maximum": 1}, {"minimum": 3.2, "maximum": 3.8}])
def test_overridden_bounds_without_a_number_between_them_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(DataError, match="column 'x' cannot lie between"):
        numbers([17, 44, 90], **bounds)


@pytest.mark.parametrize("bound", [float("inf"), float("nan")])
def test_overridden_bound_is_finite(bound: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        SchemaOverrides.model_validate({"columns": {"x": {"minimum": bound}}})


def test_constant_with_a_long_fraction_keeps_one_number_in_its_range() -> None:
    column = numbers([1 / 3, 1 / 3], kind="numerical")
    assert column.minimum == column.maximum == pytest.approx(1 / 3, abs=1e-3)


def test_inference_does_not_depend_on_the_index() -> None:
    frame = pd.DataFrame({"a": [3, 1, 2], "b": ["x", "y", "x"]})
    assert TableSchema.infer(frame) == TableSchema.infer(frame.set_axis([7, 7, 7]))


def test_frame_is_left_as_it_was(toy_frame: pd.DataFrame) -> None:
    before = toy_frame.copy(deep=True)
    TableSchema.infer(toy_frame, target="class")
    pd.testing.assert_frame_equal(toy_frame, before)


def test_target_of_a_regression_is_numerical_however_few_values_it_has() -> None:
    schema = TableSchema.infer(pd.DataFrame({"y": [0, 1, 1]}), "y", SchemaOverrides(problem="regression"))
    assert (schema.problem, schema["y"].kind) == ("regression", "numerical")


def test_text_cannot_be_regressed() -> None:
    with pytest.raises(DataError, match="column 'y' is said to be numerical, but holds other values"):
        TableSchema.infer(pd.DataFrame({"y": ["a", "b", "c"]}), "y", SchemaOverrides(problem="regression"))
