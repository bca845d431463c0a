"""Columns of dates and times."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import model_validator

from tagal_dspy.errors import DataError
from tagal_dspy.gbnf import boxes, digits_between, literal, one_of
from tagal_dspy.schema.columns.base import CellCheck, CellColumn, CellError, ColumnOverride, Floats, Spelling
from tagal_dspy.schema.columns.categorical import listed, named_values
from tagal_dspy.schema.columns.moments import PARTS, MomentFormat, fitting, recognised, shortest, split_format
from tagal_dspy.schema.columns.storage import are_times, is_moments, is_textual, moments_in, moments_stored

_EPOCH = datetime(1970, 1, 1)

Range = tuple[int, int]

_BOUNDS: dict[str, Range] = {
    "year": (1, 9999),
    "month": (1, 12),
    "day": (1, 31),
    "hour": (0, 23),
    "minute": (0, 59),
    "second": (0, 59),
    "microsecond": (0, 999_999),
}
_LONG, _SHORT = (1, 3, 5, 7, 8, 10, 12), (4, 6, 9, 11)


class DatetimeColumn(CellColumn):
    """Dates, times of day or both, written in one format, within the observed range.

    In a time zone, the text is the local time; the hour that the end of summer time repeats is the later one.
    """

    kind: Literal["datetime"] = "datetime"
    format: str
    minimum: str
    maximum: str

    @classmethod
    def of(cls, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
        """The fields of a column that the values, and what is known better, make; raises `DataError`."""
        said = f"column {values.name!r} is said to hold dates or times"
        text = override.format or moment_format(values)
        if text is None:
            raise DataError(f"{said}, but they have no known format in common; override its `format`")
        try:
            known = MomentFormat(text)
            moments = moments_of(values, known)
            bounds = [None if each is None else _moment(each, known) for each in (override.minimum, override.maximum)]
        except ValueError as error:
            raise DataError(f"{said}, but {error}") from error
        present = moments[~np.isnat(moments)]
        first, last = (
            known.write(observed.item() if bound is None else bound)
            for observed, bound in zip((present.min(), present.max()), bounds, strict=True)
        )
        if known.read(first) > known.read(last):
            raise DataError(f"column {values.name!r} cannot lie between {first} and {last}; override both bounds")
        return {"format": text, "minimum": first, "maximum": last}

    @model_validator(mode="after")
    def _range_is_in_the_format(self) -> DatetimeColumn:
        if self.number(self.minimum) > self.number(self.maximum):
            raise ValueError(f"the range of {self.name!r} is empty: {self.minimum} to {self.maximum}")
        return self

    @cached_property
    def moments(self) -> MomentFormat:
        """The format, ready to read and write."""
        return MomentFormat(self.format)

    @cached_property
    def range(self) -> tuple[datetime, datetime]:
        """The first and the last moment."""
        return self.moments.read(self.minimum), self.moments.read(self.maximum)

    @property
    def longest(self) -> int:
        """Characters of a canonical text at most."""
        return 40

    def number(self, text: str) -> float:
        """Seconds since 1970, for comparisons.

        >>> days = {"minimum": "2024-01-01", "maximum": "2024-12-31", "format": "%Y-%m-%d"}
        >>> DatetimeColumn(name="day", dtype="object", **days).number("2024-02-29")
        1709164800.0
        """
        return ((self.moments.read(text) - _EPOCH) // timedelta(microseconds=1)) / 1e6

    def numbers(self, values: pd.Series[Any]) -> Floats:
        """Seconds since 1970 of real values."""
        moments = moments_of(self.present(values), self.moments)
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)

    @property
    def bounds(self) -> tuple[float, float]:
        """The range of what `number` gives."""
        return self.number(self.minimum), self.number(self.maximum)

    def shown(self, number: float) -> str:
        """Seconds since 1970 as canonical text."""
        # To the last digit that is written: a float of seconds is not exact.
        unit = 1000 if "3f" in self.moments.parts else 1
        return self.moments.write(_EPOCH + timedelta(microseconds=round(number * 1e6 / unit) * unit))

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        codes, unique = pd.factorize(moments_of(self.present(values), self.moments))
        texts = [self.moments.write(moment) for moment in unique.astype("datetime64[us]").tolist()]
        return [texts[code] if code >= 0 else None for code in codes.tolist()]

    def canonical(self, text: str | None) -> str | None:
        """Canonical form of what an LM wrote; raises `CellError`."""
        stripped = self.missing_or(text)
        if stripped is None:
            return None
        try:
            moment = self.moments.read(stripped)
        except ValueError:
            shown = f"{self.name!r} is {stripped[:40]!r}, not a moment written as {self.format}"
            raise CellError("wrong_type", shown) from None
        written, (first, last) = self.moments.write(moment), self.range
        if not first <= moment <= last:
            shown = f"{self.minimum} to {self.maximum}"
            raise CellError("out_of_range", f"{self.name!r} is {stripped[:40]}, outside {shown}", written)
        return written

    def restore(self, texts: Sequence[str | None]) -> pd.Series[Any]:
        """Values of the original dtype, from canonical texts."""
        if not is_moments(self.dtype):
            return self.written(texts)
        return moments_stored([None if text is None else self.moments.read(text) for text in texts], self.dtype)

    def rule(self, spelling: Spelling) -> str:
        """The grammar of a cell that is not missing."""
        return spelling.plain(self.name, moment_rule(self), is_number=False)

    def narrowed(self, checks: Sequence[CellCheck]) -> CellColumn | None:
        """The first and the last moment that may meet the checks; one that just may not is left to the filter."""
        if any(check.is_list for check in checks):
            return listed(self, [self.shown(value) for value in named_values(checks)], checks)
        above = [value for check in checks for value in check.values if check.operator in (">", ">=")]
        below = [value for check in checks for value in check.values if check.operator in ("<", "<=")]
        low, high = max([self.number(self.minimum), *above]), min([self.number(self.maximum), *below])
        return self.changed(minimum=self.shown(low), maximum=self.shown(high)) if low <= high else None

    def comparable(self, value: str | Decimal | bool, *, ordered: bool) -> float:
        """Seconds; a date or time in ISO form will do, whatever the column's format."""
        try:
            return self.number(str(value))
        except ValueError:
            pass
        try:
            return self.number(self.moments.write(datetime.fromisoformat(str(value))))
        except ValueError:
            raise ValueError(f"holds moments; write one like '{self.minimum}'") from None

    def key(self, text: str) -> float:
        """What a canonical text is compared as."""
        return self.number(text)

    @property
    def ordered_as(self) -> str:
        """Dates and times, or times of day; moments in different time zones are not compared."""
        zone = re.search(r"(?:datetime64\[\w+, |tz=)([^]]+)", self.dtype)
        return ("dates" if "year" in self.moments.fields else "times of day") + (f" in {zone[1]}" if zone else "")

    def findings(self, values: pd.Series[Any]) -> Iterator[str]:
        """How values are read that could be read otherwise, or do not come out as they are: phrases for people."""
        yield from super().findings(values)
        others = [text for text in formats_of(self.present(values)) if text != self.format]
        if others:
            yield f"read as {self.format}; it could be {others[0]}, which you can set as the format"

    def summary(self) -> str:
        """The values in a few words."""
        return f"a moment from {self.minimum} to {self.maximum}"

    def described(self) -> str:
        """The values in words, for a prompt."""
        fields = self.moments.fields
        said = " and ".join(word for field, word in (("year", "date"), ("hour", "time")) if field in fields)
        return f"{said} written as {self.format}, from {self.minimum} to {self.maximum}"

    def sdtype(self) -> dict[str, Any]:
        """The column in the metadata of SDV."""
        bounds = {"range_min": self.minimum, "range_max": self.maximum, "range_is_nullable": self.nullable}
        return {"sdtype": "datetime", "datetime_format": self.format, **bounds}


def _moment(bound: float | str, format: MomentFormat) -> datetime:
    if not isinstance(bound, str):
        raise ValueError(f"{bound} is not a date or time")
    try:
        return format.read(bound)
    except ValueError:
        return datetime.fromisoformat(bound).replace(tzinfo=None)


def moment_format(values: pd.Series[Any]) -> str | None:
    """The one format of all values, if they are dates or times."""
    if is_moments(values):
        moments = moments_in(values)
        format = shortest(moments[~np.isnat(moments)])
        return format.removeprefix("%Y-%m-%d").lstrip() or "%H:%M" if are_times(values) else format
    return recognised(np.array([str(value) for value in values.dropna().unique()], dtype=object))


def formats_of(values: pd.Series[Any]) -> list[str]:
    """All known formats that texts could be in, the likeliest first; none for values of another kind."""
    if is_moments(values) or not is_textual(values):
        return []
    found = fitting(np.array([str(value) for value in values.dropna().unique()], dtype=object))
    return [text for text in found if "%-H" not in text]


def moments_of(values: pd.Series[Any], format: MomentFormat) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """The moments of real values in microseconds, local time where they have a zone; NaT where they are missing."""
    if is_moments(values):
        return moments_in(values)
    codes, unique = pd.factorize(values)
    known = format.read_all(np.array([str(value) for value in unique], dtype=object))
    return np.append(known, np.datetime64("NaT"))[codes]


def moment_rule(column: DatetimeColumn) -> str:
    """GBNF of every moment of the column's range in its format: no 30 February, leap days in leap years alone.

    >>> range = {"format": "%H:%M", "minimum": "09:30", "maximum": "11:59"}
    >>> print(moment_rule(DatetimeColumn(name="at", dtype="object", **range)))
    "0" "9" ":" [3-5] [0-9] | "1" [0-1] ":" [0-5] [0-9]
    """
    fields = column.moments.fields
    low, high = ([getattr(bound, field) for field in fields] for bound in column.range)
    if "microsecond" in fields and "%3f" in column.format:  # whole milliseconds
        low[-1], high[-1] = low[-1] // 1000 * 1000, high[-1] // 1000 * 1000 + 999
    alternatives = []
    for box in boxes(low, high, [_BOUNDS[field] for field in fields]):
        for valid in _on_the_calendar(dict(zip(fields, box, strict=True))):
            alternatives += [_written(column.moments, half) for half in _halves(column.moments, valid)]
    return " | ".join(alternatives)


def _on_the_calendar(box: dict[str, Range]) -> Iterator[dict[str, Sequence[int]]]:
    """The numbers of each field, split where how many days there are depends on month and year."""
    numbers = {field: range(first, last + 1) for field, (first, last) in box.items()}
    if "day" not in box:
        yield dict(numbers)
        return
    leap_years = [year for year in numbers["year"] if calendar.isleap(year)]
    for years, months, n_days in (
        (numbers["year"], _LONG, range(1, 32)),
        (numbers["year"], _SHORT, range(1, 31)),
        (numbers["year"], (2,), range(1, 29)),
        (leap_years, (2,), range(29, 30)),
    ):
        valid: dict[str, Sequence[int]] = {
            **numbers,
            "year": years,
            "month": [month for month in numbers["month"] if month in months],
            "day": [day for day in numbers["day"] if day in n_days],
        }
        if all(map(len, valid.values())):
            yield valid


def _halves(format: MomentFormat, numbers: dict[str, Sequence[int]]) -> list[dict[str, Sequence[int]]]:
    """The numbers before and after noon, where the format tells them apart."""
    if "p" not in format.parts:
        return [numbers]
    hours = numbers["hour"]
    halves = ([hour for hour in hours if hour < 12], [hour for hour in hours if hour >= 12])
    return [{**numbers, "hour": half, "half": half} for half in halves if half]


def _written(format: MomentFormat, numbers: dict[str, Sequence[int]]) -> str:
    pieces = split_format(format.text)
    texts = [literal(piece) if piece else "" for piece in pieces[::2]]
    parts = [_group(part, numbers[PARTS[part].field]) for part in pieces[1::2]]
    return " ".join(piece for pair in zip(texts, [*parts, ""], strict=True) for piece in pair if piece)


def _group(part: str, numbers: Sequence[int]) -> str:
    """What one part writes of some numbers."""
    write = PARTS[part].write
    if isinstance(numbers, range) and part in ("f", "3f"):
        first, last = write(numbers[0]), write(numbers[-1])
        options = digits_between(first, last)
    elif not write(numbers[0]).isdigit():
        options = [one_of(sorted({write(number) for number in numbers}))]
        return f"({options[0]})" if " | " in options[0] else options[0]
    else:
        options = [
            option
            for first, last in _runs(sorted({write(number) for number in numbers}, key=_length_and_text))
            for option in digits_between(first, last)
        ]
    return options[0] if len(options) == 1 else f"({' | '.join(options)})"


def _length_and_text(text: str) -> tuple[int, str]:
    return len(text), text


def _runs(texts: Sequence[str]) -> list[tuple[str, str]]:
    """The first and the last of texts that count up, each run of one length."""
    runs: list[tuple[str, str]] = []
    for text in texts:
        if runs and len(runs[-1][1]) == len(text) and int(runs[-1][1]) == int(text) - 1:
            runs[-1] = (runs[-1][0], text)
        else:
            runs.append((text, text))
    return runs
