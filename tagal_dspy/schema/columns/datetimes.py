"""Columns of dates and times."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import model_validator

from tagal_dspy.schema.columns.base import BaseColumn, CellError
from tagal_dspy.schema.columns.casting import cast
from tagal_dspy.schema.columns.moments import MomentFormat

_EPOCH = datetime(1970, 1, 1)


class DatetimeColumn(BaseColumn):
    """Dates, times of day or both, written in one format, within the observed range.

    In a time zone, the text is the local time; the hour that the end of summer time repeats is the later one.
    `dtype` is `date` where the real values are `datetime.date`.
    """

    kind: Literal["datetime"] = "datetime"
    format: str
    minimum: str
    maximum: str

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

    def number(self, text: str) -> float:
        """Seconds since 1970, for comparisons.

        >>> days = {"minimum": "2024-01-01", "maximum": "2024-12-31", "format": "%Y-%m-%d"}
        >>> DatetimeColumn(name="day", dtype="object", **days).number("2024-02-29")
        1709164800.0
        """
        return ((self.moments.read(text) - _EPOCH) // timedelta(microseconds=1)) / 1e6

    def numbers(self, values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Seconds since 1970 of real values, NaN where they are missing."""
        moments = moments_of(values, self.moments)
        return np.where(np.isnat(moments), np.nan, moments.astype(np.int64) / 1e6)

    def shown(self, number: float) -> str:
        """Seconds since 1970 as canonical text."""
        return self.moments.write(_EPOCH + timedelta(seconds=number))

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        codes, unique = pd.factorize(moments_of(values, self.moments))
        texts = [self.moments.write(moment) for moment in unique.astype("datetime64[us]").tolist()]
        return [texts[code] if code >= 0 else None for code in codes]

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
        first, last = self.range
        if not first <= moment <= last:
            shown = f"{self.minimum} to {self.maximum}"
            raise CellError("out_of_range", f"{self.name!r} is {stripped[:40]}, outside {shown}")
        return self.moments.write(moment)

    def restore(self, texts: Sequence[str | None]) -> pd.Series[Any]:
        """Values of the original dtype."""
        if self.dtype not in ("date",) and not is_datetime_dtype(self.dtype):
            return cast(pd.Series(list(texts), dtype=object), self.dtype)
        moments = [None if text is None else self.moments.read(text) for text in texts]
        if self.dtype == "date":
            return pd.Series([None if moment is None else moment.date() for moment in moments], dtype=object)
        local = pd.Series(np.array(moments, dtype="datetime64[us]"))
        target: Any = pd.api.types.pandas_dtype(self.dtype)
        zone = getattr(target, "tz", None) or getattr(getattr(target, "pyarrow_dtype", None), "tz", None)
        if zone is not None:
            standard = np.zeros(len(local), dtype=bool)
            local = local.dt.tz_localize(zone, ambiguous=standard, nonexistent="shift_forward")
        try:
            return local.astype(target)
        except pd.errors.OutOfBoundsDatetime:
            return local


def is_datetime_dtype(dtype: Any) -> bool:
    """Whether a dtype holds moments."""
    return dtype != "date" and pd.api.types.is_datetime64_any_dtype(pd.api.types.pandas_dtype(dtype))


def moments_of(values: pd.Series[Any], format: MomentFormat) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """The moments of real values in microseconds, local time where they have a zone; NaT where they are missing."""
    if is_datetime_dtype(values.dtype):
        return np.asarray(values.dt.tz_localize(None).to_numpy(dtype="datetime64[us]", na_value=np.datetime64("NaT")))
    codes, unique = pd.factorize(values)
    known = format.read_all(np.array([str(value) for value in unique], dtype=object))
    moments = np.full(len(codes), np.datetime64("NaT"), dtype="datetime64[us]")
    moments[codes >= 0] = known[codes[codes >= 0]]
    return moments
