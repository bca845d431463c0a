from __future__ import annotations

import contextlib

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import cells, fits, numerical, significant

from tagal_dspy.schema import CategoricalColumn, CellError, NumericalColumn


def number(decimals: int = 0, low: float = 0, high: float = 99, **changes: object) -> NumericalColumn:
    values = {"name": "x", "dtype": "int64", "decimals": decimals, "minimum": low, "maximum": high}
    return NumericalColumn.model_validate(values | changes)


def category(*categories: str, **changes: object) -> CategoricalColumn:
    return CategoricalColumn.model_validate({"name": "x", "dtype": "object", "categories": categories} | changes)


def reason(column: NumericalColumn | CategoricalColumn, text: str | None) -> str:
    with pytest.raises(CellError) as caught:
        column.canonical(text)
    return caught.value.reason


@pytest.mark.parametrize(
    ("decimals", "written", "canonical"),
    [
        (0, "7", "7"),
        (0, " 7 ", "7"),
        (0, "007", "7"),
        (0, "+7", "7"),
        (0, "7.0", "7"),
        (0, "7e1", "70"),
        (0, "-0", "0"),
        (1, "7", "7.0"),
        (1, "7.04", "7.0"),
        (2, "-0.001", "0.00"),
    ],
)
def test_spellings_of_a_number_have_one_canonical_text(decimals: int, written: str, canonical: str) -> None:
    assert number(decimals).canonical(written) == canonical


@pytest.mark.parametrize("text", ["", "  ", "seven", "7 years", "1,5", "nan", "inf", "-Infinity", "1e309", "1e9999999"])
def test_text_that_is_no_finite_number_is_wrong_type(text: str) -> None:
    assert reason(number(1), text) == "wrong_type"


@pytest.mark.parametrize("text", ["7.5", "1e-9999999"])
def test_fraction_in_a_column_of_whole_numbers_is_wrong_type(text: str) -> None:
    assert reason(number(), text) == "wrong_type"


@pytest.mark.parametrize("text", ["-1", "100", "1e30", "-1e300", "1e308"])
def test_number_outside_the_observed_range_is_out_of_range(text: str) -> None:
    assert reason(number(), text) == "out_of_range"


@pytest.mark.parametrize("text", ["0", "99"])
def test_bounds_belong_to_the_range(text: str) -> None:
    assert number().canonical(text) == text


@given(st.data())
def test_canonical_text_of_a_number_is_a_fixed_point(data: st.DataObject) -> None:
    column = data.draw(numerical() | significant())
    text = data.draw(cells(column))
    assert column.canonical(text) == text


@given(numerical() | significant(), st.text())
def test_any_text_is_a_number_that_fits_or_a_cell_error(column: NumericalColumn, text: str) -> None:
    with contextlib.suppress(CellError):
        assert fits(column, column.canonical(text))


@pytest.mark.parametrize("text", [None, "", "  "])
def test_blank_is_missing_where_the_real_column_has_missing_values(text: str | None) -> None:
    assert number(missing_share=0.1).canonical(text) is None
    assert category("a", missing_share=0.1).canonical(text) is None


@pytest.mark.parametrize("text", [None, "", "  "])
def test_blank_is_wrong_type_where_the_real_column_is_always_filled(text: str | None) -> None:
    assert (reason(number(), text), reason(category("a"), text)) == ("wrong_type", "wrong_type")


@pytest.mark.parametrize("text", ["Self-emp", " Self-emp ", "self-EMP"])
def test_category_is_understood_without_outer_blanks_and_case(text: str) -> None:
    assert category("Self-emp", "Private").canonical(text) == "Self-emp"


@pytest.mark.parametrize(("text", "meant"), [("m", "m"), ("M", "M"), (" m", "m")])
def test_categories_that_differ_in_case_alone_stay_apart(text: str, meant: str) -> None:
    assert category("m", "M").canonical(text) == meant


def test_spelling_that_could_mean_two_categories_is_unknown() -> None:
    assert reason(category("ab", "AB"), "Ab") == "unknown_category"


def test_category_with_outer_blanks_is_found_with_and_without_them() -> None:
    column = category(" <=50K", " >50K")
    assert [column.canonical(text) for text in (" <=50K", "<=50K")] == [" <=50K", " <=50K"]


def test_text_outside_the_closed_set_is_an_unknown_category() -> None:
    assert reason(category("yes", "no"), "maybe") == "unknown_category"


def test_cell_error_names_the_column_and_shortens_what_came() -> None:
    with pytest.raises(CellError, match=r"'x' has no category 'a{40}'$"):
        category("yes", "no").canonical("a" * 100)


def test_boolean_is_understood_as_json_writes_it() -> None:
    assert category("False", "True", kind="boolean", dtype="bool").canonical("true") == "True"


def test_fixed_column_has_its_one_category_and_is_never_missing() -> None:
    fixed = category("yes", "no", missing_share=0.5, shares=(0.5, 0.5)).among(("no",))
    assert (fixed.categories, fixed.nullable) == (("no",), False)


def test_column_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        number().maximum = 5


@pytest.mark.parametrize(("dtype", "written"), [("uint8", "-3"), ("int8", "300"), ("int64", "1" * 25), ("Int8", "300")])
def test_whole_number_beyond_its_dtype_is_restored_as_a_float(dtype: str, written: str) -> None:
    assert number(dtype=dtype).restore([written]).tolist() == [float(written)]


def test_missing_whole_number_is_restored_as_nullable_integer() -> None:
    restored = number(missing_share=0.5).restore(["3", None])
    assert restored.dtype == "Int64"
    assert restored.isna().tolist() == [False, True]


def test_rendered_numbers_have_the_decimals_of_the_column() -> None:
    assert number(2).render(pd.Series([1, 2.5, -0.001, None])) == ["1.00", "2.50", "0.00", None]


def test_category_that_no_row_has_is_unknown_and_stays_in_the_dtype() -> None:
    column = category("low", "mid", "high", dtype="category[ordered]:object", shares=(0.5, 0.0, 0.5))
    assert column.offered == ("low", "high")
    assert reason(column, "mid") == "unknown_category"
    assert column.restore(["low"]).cat.categories.tolist() == ["low", "mid", "high"]
