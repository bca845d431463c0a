"""Columns of dates and times: what is recognised, read, refused and restored."""

from __future__ import annotations

import contextlib
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tables import cells, fits, moments

from tagal_dspy.errors import DataError
from tagal_dspy.schema import CellError, DatetimeColumn, SchemaOverrides, TableSchema
from tagal_dspy.schema.columns.moments import FORMATS, MomentFormat


def inferred(values: object, **override: object) -> DatetimeColumn:
    overrides = SchemaOverrides.model_validate({"columns": {"x": override} if override else {}})
    column = TableSchema.infer(pd.DataFrame({"x": values}), overrides=overrides)["x"]
    assert isinstance(column, DatetimeColumn)
    return column


def day(**changes: object) -> DatetimeColumn:
    values = {"name": "x", "dtype": "object", "format": "%Y-%m-%d", "minimum": "2020-02-01", "maximum": "2024-03-31"}
    return DatetimeColumn.model_validate(values | changes)


def reason(column: DatetimeColumn, text: str | None) -> str:
    with pytest.raises(CellError) as caught:
        column.canonical(text)
    return caught.value.reason


@pytest.mark.parametrize("format", FORMATS)
def test_every_known_format_is_recognised(format: str) -> None:
    stamps = pd.date_range("2021-01-28 03:04:05.000006", periods=40, freq="13h7min11s")
    texts = [MomentFormat(format).write(stamp.to_pydatetime()) for stamp in stamps]
    column = inferred(texts)
    assert column.format == format
    assert column.restore(column.render(pd.Series(texts))).tolist() == texts


@pytest.mark.parametrize(
    ("values", "format"),
    [
        (["2024-02-29", "2023-01-01"], "%Y-%m-%d"),
        (["2024-02-29 10:30", "2023-01-01 00:00"], "%Y-%m-%d %H:%M"),
        (["2024-02-29 10:30:01", "2023-01-01 00:00"], "%Y-%m-%d %H:%M:%S"),
        (["2024-02-29 10:30:01.25", "2023-01-01 00:00"], "%Y-%m-%d %H:%M:%S.%f"),
    ],
)
def test_datetime_dtype_is_written_as_short_as_its_values_allow(values: list[str], format: str) -> None:
    assert inferred(pd.to_datetime(values, format="ISO8601")).format == format


@pytest.mark.parametrize(
    ("values", "format"),
    [
        (["25/12/2024", "01/02/2024"], "%d/%m/%Y"),
        (["12/25/2024", "01/02/2024"], "%m/%d/%Y"),
        (["01/02/2024", "03/04/2024"], "%d/%m/%Y"),
    ],
)
def test_order_of_day_and_month_is_read_off_the_values_and_is_day_first_in_doubt(
    values: list[str], format: str
) -> None:
    assert inferred(values).format == format


def test_format_of_the_user_decides_in_doubt() -> None:
    assert inferred(["01/02/2024", "03/04/2024"], format="%m/%d/%Y").maximum == "03/04/2024"


def test_any_format_of_the_same_parts_may_be_named() -> None:
    column = inferred(["20240229T1030", "20230101T0000"], format="%Y%m%dT%H%M")
    assert column.canonical("20230101T0000") == "20230101T0000"


@pytest.mark.parametrize(
    "values",
    [
        ["2024-02-30", "2024-01-01"],
        ["2024-01-01", "someday"],
        ["2024-01-01", "01/01/2024"],
        ["2024", "2023"],
        ["3:2", "1:0"],
        ["1.5", "2.5"],
    ],
)
def test_texts_without_one_known_format_are_no_dates(values: list[str]) -> None:
    assert TableSchema.infer(pd.DataFrame({"x": values}))["x"].kind == "categorical"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"kind": "datetime"}, "no known format in common; override its `format`"),
        ({"format": "%d %B %Y"}, "format '%d %B %Y' is not supported"),
        ({"format": "%d/%m"}, "format '%d/%m' is not supported"),
        ({"format": "%Y-%m-%d"}, "'yes' is not written as %Y-%m-%d"),
    ],
)
def test_column_said_to_hold_dates_that_it_does_not_is_refused(override: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match="column 'x' is said to hold dates or times, but .*" + message):
        inferred(["yes", "no", "yes"], **override)


COLUMNS: dict[str, object] = {
    "nanoseconds": pd.to_datetime(["2024-02-29 10:00", None, "1999-12-31 23:59"]),
    "seconds": np.array(["2024-02-29T10:00:07", "0999-01-01T00:00:00"], dtype="datetime64[s]"),
    "microseconds": np.array(["2024-02-29T10:00:00.000007", "NaT"], dtype="datetime64[us]"),
    "zone": pd.to_datetime(["2024-02-29 10:00", None]).tz_localize("Europe/Brussels"),
    "offset": pd.to_datetime(["2024-02-29 10:00+02:00", "2024-03-01 10:00+02:00"]),
    "arrow": pd.Series(pd.to_datetime(["2024-02-29", None])).astype("timestamp[us][pyarrow]"),
    "arrow with a zone": pd.Series(pd.to_datetime(["2024-02-29 10:00"]).tz_localize("UTC")).astype(
        "timestamp[us, tz=UTC][pyarrow]"
    ),
    "text": ["2024-02-29", None, "9999-12-31"],
    "string": pd.array(["29.02.2024", None], dtype="string"),
    "date": [date(2024, 2, 29), None, date(1, 1, 1)],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_values_and_dtype_survive_the_way_through_text(name: str) -> None:
    frame = pd.DataFrame({"x": COLUMNS[name]})
    schema = TableSchema.infer(frame)
    assert schema["x"].kind == "datetime"
    pd.testing.assert_frame_equal(schema.to_frame(schema.to_rows(frame)), frame)
    assert schema.to_frame([]).dtypes.tolist() == frame.dtypes.tolist()


def test_hour_that_the_end_of_summer_time_repeats_is_the_later_one() -> None:
    twice = pd.to_datetime(["2024-10-27 00:30", "2024-10-27 01:30"], utc=True).tz_convert("Europe/Brussels")
    schema = TableSchema.infer(pd.DataFrame({"x": twice}))
    assert schema.to_rows(pd.DataFrame({"x": twice})) == [("2024-10-27 02:30",)] * 2
    assert schema.to_frame([("2024-10-27 02:30",)])["x"].tolist() == [twice[1]]


def test_moment_beyond_the_dtype_is_restored_with_a_wider_one() -> None:
    column = day(dtype="datetime64[ns]", maximum="9999-01-01")
    assert column.restore(["9999-01-01"]).dtype == "datetime64[us]"


@pytest.mark.parametrize("text", ["2024-02-29", " 2024-02-29 ", "2024-2-29"])
def test_spellings_of_a_day_have_one_canonical_text(text: str) -> None:
    assert day().canonical(text) == "2024-02-29"


@pytest.mark.parametrize("text", ["2023-02-29", "2024-13-01", "29/02/2024", "2024-02-29 10:00", "soon", "", None])
def test_text_that_is_no_day_is_wrong_type(text: str | None) -> None:
    assert reason(day(), text) == "wrong_type"


@pytest.mark.parametrize("text", ["2020-01-31", "2024-04-01", "0001-01-01"])
def test_day_outside_the_observed_range_is_out_of_range(text: str) -> None:
    assert reason(day(), text) == "out_of_range"


@pytest.mark.parametrize("text", ["2020-02-01", "2024-03-31"])
def test_bounds_belong_to_the_range(text: str) -> None:
    assert day().canonical(text) == text


def test_blank_is_missing_where_the_real_column_has_missing_values() -> None:
    assert day(missing_share=0.1).canonical("") is None


@pytest.mark.parametrize("bounds", [("2019-01-01", "2030-12-31"), (date(2019, 1, 1), date(2030, 12, 31))])
def test_overridden_bounds_replace_the_observed_ones(bounds: tuple[object, object]) -> None:
    column = inferred(["01.02.2024", "29.02.2024"], minimum=bounds[0], maximum=bounds[1])
    assert (column.minimum, column.maximum) == ("01.01.2019", "31.12.2030")


@pytest.mark.parametrize(
    ("bounds", "message"),
    [
        ({"minimum": 3}, "3 is not a date or time"),
        ({"minimum": "soon"}, "soon"),
        ({"minimum": "2025-01-01"}, "cannot lie between 2025-01-01 and 2024-02-29"),
    ],
)
def test_impossible_bounds_are_refused(bounds: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        inferred(["2024-02-01", "2024-02-29"], **bounds)


def test_date_cannot_bound_a_number() -> None:
    overrides = SchemaOverrides.model_validate({"columns": {"x": {"minimum": "2024-01-01"}}})
    with pytest.raises(DataError, match="column 'x' holds numbers, but '2024-01-01' is said to bound them"):
        TableSchema.infer(pd.DataFrame({"x": [1, 2, 3]}), overrides=overrides)


def test_dates_cannot_be_regressed() -> None:
    frame = pd.DataFrame({"y": pd.date_range("2024-01-01", periods=30)})
    with pytest.raises(DataError, match="'y' is said to be numerical, but holds other values"):
        TableSchema.infer(frame, "y", SchemaOverrides(problem="regression"))


@given(st.data())
def test_canonical_text_is_a_fixed_point_and_its_number_says_the_same(data: st.DataObject) -> None:
    column = data.draw(moments())
    text = data.draw(cells(column))
    assert column.canonical(text) == text
    if text is not None and "%f" not in column.format:  # a float does not hold microseconds in the year 9000
        assert column.shown(column.number(text)) == text


@given(moments(), st.text() | st.from_regex(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}( \d\d:\d\d)?", fullmatch=True))
def test_any_text_is_a_moment_that_fits_or_a_cell_error(column: DatetimeColumn, text: str) -> None:
    with contextlib.suppress(CellError):
        assert fits(column, column.canonical(text))


@given(st.data())
def test_numbers_are_in_the_order_of_the_moments(data: st.DataObject) -> None:
    column = data.draw(moments())
    texts = sorted(
        data.draw(st.lists(cells(column).filter(bool), min_size=2)), key=lambda text: column.number(str(text))
    )
    read = [column.moments.read(str(text)) for text in texts]
    assert all(before <= after for before, after in pairwise(read))
    values = column.numbers(pd.Series(texts, dtype=object))
    assert values.tolist() == [column.number(str(text)) for text in texts]
