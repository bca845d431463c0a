"""Columns of free text: what counts as text, and which texts fit."""

from __future__ import annotations

import contextlib

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import cells, fits, free_text

from tagal_dspy.errors import DataError
from tagal_dspy.schema import CellError, SchemaOverrides, TableSchema, TextColumn
from tagal_dspy.schema.columns.texts import MAX_CHARACTERS

REVIEWS = [f"Row {number}: good, but\nslow to arrive" for number in range(20)]


def inferred(values: object, **override: object) -> TextColumn:
    overrides = SchemaOverrides.model_validate({"columns": {"x": override} if override else {}})
    column = TableSchema.infer(pd.DataFrame({"x": values}), overrides=overrides)["x"]
    assert isinstance(column, TextColumn)
    return column


def reason(text: str | None, **changes: object) -> str:
    column = TextColumn.model_validate({"name": "x", "dtype": "object", "max_length": 20} | changes)
    with pytest.raises(CellError) as caught:
        column.canonical(text)
    return caught.value.reason


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (REVIEWS, "text"),
        ([*REVIEWS, *[None] * 100], "text"),
        (REVIEWS * 3, "categorical"),  # they repeat
        (REVIEWS[:9], "categorical"),  # too few to tell
        ([f"person{number}@example.org" for number in range(20)], "text"),
        ([f"Ann Lee {number}x" for number in range(60)], "text"),  # short, but many names of several words
        ([f"Ann Lee {number}x" for number in range(40)], "categorical"),
        ([f"k{number * 7919 % 1000}x" for number in range(200)], "categorical"),  # codes
        ([("Bergen op Zoom", "Ghent", "Mons")[number % 3] + "x" * (number % 5) for number in range(60)], "categorical"),
    ],
)
def test_values_that_nearly_all_differ_and_are_long_are_text(values: list[str], kind: str) -> None:
    assert TableSchema.infer(pd.DataFrame({"x": values}))["x"].kind == kind


def test_length_and_lines_are_those_of_the_values() -> None:
    column = inferred([*REVIEWS, "x"])
    assert (column.max_length, column.multiline) == (len(REVIEWS[-1]), True)
    assert not inferred([review.replace("\n", " ") for review in REVIEWS]).multiline


@pytest.mark.parametrize("dtype", ["object", "string"])
def test_values_and_dtype_survive_the_way_through_text(dtype: str) -> None:
    frame = pd.DataFrame({"x": pd.Series([*REVIEWS, None], dtype=dtype)})
    schema = TableSchema.infer(frame)
    pd.testing.assert_frame_equal(schema.to_frame(schema.to_rows(frame)), frame)


def test_categories_said_to_be_text_are_restored_as_text() -> None:
    frame = pd.DataFrame({"x": pd.Categorical(["a", "b", "a"])})
    overrides = SchemaOverrides.model_validate({"columns": {"x": {"kind": "text"}}})
    schema = TableSchema.infer(frame, overrides=overrides)
    assert schema.to_frame(schema.to_rows(frame))["x"].tolist() == ["a", "b", "a"]


def test_real_text_is_cleaned_as_a_generated_one_would_be() -> None:
    values = ["  outer blanks\t", "two\r\nlines", "old\rmac", "a\x00 control\x1b", " ", "", *REVIEWS]
    column = inferred(values)
    texts = column.render(pd.Series(values))
    assert texts[:6] == ["outer blanks", "two\nlines", "old\nmac", "a control", None, None]
    assert [column.canonical(text) for text in texts] == texts
    assert column.missing_share == pytest.approx(2 / 26)


def test_long_text_is_cut() -> None:
    column = inferred([f"{number} " + "long " * 200 for number in range(20)])
    assert column.max_length <= MAX_CHARACTERS
    assert len(column.render(pd.Series(["y" * 10_000]))[0] or "") == MAX_CHARACTERS


@pytest.mark.parametrize("text", ["", " \n", None])
def test_blank_is_wrong_type_unless_the_real_column_has_missing_values(text: str | None) -> None:
    assert reason(text) == "wrong_type"
    assert TextColumn(name="x", dtype="object", max_length=5, missing_share=0.1).canonical(text) is None


@pytest.mark.parametrize("text", ["a\x00b", "a\x1b[0m", "a\x7fb", "a\x85b"])
def test_control_characters_are_wrong_type(text: str) -> None:
    assert reason(text, multiline=True) == "wrong_type"


def test_line_feed_is_wrong_type_where_no_real_text_has_one() -> None:
    assert reason("a\nb") == "wrong_type"


def test_text_longer_than_any_real_one_is_out_of_range() -> None:
    assert reason("a" * 21) == "out_of_range"


def test_column_of_blanks_is_no_text() -> None:
    with pytest.raises(DataError, match="column 'x' is said to be text, but all of its values are blank"):
        inferred([" ", "", "\t"], kind="text")


@given(st.data())
def test_canonical_text_is_a_fixed_point(data: st.DataObject) -> None:
    column = data.draw(free_text())
    text = data.draw(cells(column))
    assert column.canonical(text) == text


@given(free_text(), st.text())
def test_any_text_fits_or_is_a_cell_error(column: TextColumn, text: str) -> None:
    with contextlib.suppress(CellError):
        assert fits(column, column.canonical(text))
