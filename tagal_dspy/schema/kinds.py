"""Which kind of column some values make, and in which form they are written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from tagal_dspy.schema.columns import ColumnOverride, Kind
from tagal_dspy.schema.columns.base import MARKERS
from tagal_dspy.schema.columns.datetimes import moment_format
from tagal_dspy.schema.columns.ids import looks_like_ids
from tagal_dspy.schema.columns.number_formats import recognised_format
from tagal_dspy.schema.columns.storage import first_value, is_moments, is_textual
from tagal_dspy.schema.columns.texts import MAX_CHARACTERS

FEWEST_TEXTS = 10
"""Fewer different values are categories, unless one is longer than texts are."""

LONG_TEXT = 12
"""Values that nearly all differ are text where they are longer than this on average; shorter ones are codes or names
of things, unless there are over `MANY_WORDS` of them and most hold a blank."""

MANY_WORDS = 50

FEWEST_COMPACT_DATES = 3
"""Different whole numbers such as 20240229 that count as dates."""


class Reading(NamedTuple):
    """How the values of a column are read.

    Attributes:
        kind: of the column.
        format: the written form of numbers that are stored as text, or of dates and times.
        missing: texts that stand for a missing value, the most frequent first; "" for a blank.
    """

    kind: Kind
    format: str | None = None
    missing: tuple[str, ...] = ()


def reading_of(values: pd.Series[Any], override: ColumnOverride, decimal: str | None = None) -> Reading:
    """What the values show, unless the user knows better.

    Args:
        values: a column of a frame.
        override: what the user knows.
        decimal: the decimal sign, where it is known.
    """
    missing = _written_missing(values, override.missing)
    if override.kind not in (None, "numerical", "datetime"):
        return Reading(override.kind, override.format, missing)
    found = _found(values if not missing else values[~values.isin(missing)], override, decimal)
    if found is None:
        kind = override.kind or _kind_of(values[~values.isin(missing)] if missing else values)
        return Reading(kind, override.format, missing)
    return found._replace(missing=missing or found.missing)


def _found(values: pd.Series[Any], override: ColumnOverride, decimal: str | None) -> Reading | None:
    """The reading of texts that are numbers or moments in a form, or of whole numbers that are dates."""
    if override.format is not None and (is_textual(values) or override.kind is not None or "%" in override.format):
        return Reading(override.kind or ("datetime" if "%" in override.format else "numerical"), override.format)
    if pd.api.types.is_integer_dtype(values.dtype) and override.kind != "numerical":
        return _compact_dates(values, override.kind)
    if not is_textual(values) or (override.kind is None and looks_like_ids(str(values.name), values)):
        return None
    unique = values.dropna().unique() if isinstance(first_value(values), str) else ()
    if not len(unique) or not all(isinstance(value, str) for value in unique):
        return None
    markers = [text for text in unique if text.strip().casefold() in MARKERS]
    texts = [text for text in unique if text not in markers] if markers else unique
    if not len(texts) or (markers and values.isin(markers).mean() > 0.5):
        return None
    missing = _written_missing(values, markers)
    if override.kind != "numerical" and (moments := moment_format(pd.Series(texts, dtype=object))) is not None:
        return Reading("datetime", moments, missing)
    form = None if override.kind == "datetime" else recognised_format(pa.array(texts, pa.string()), decimal)
    if form is None or (override.kind is None and len(texts) <= 2):
        return None
    return Reading("numerical", form.text, missing)


def _written_missing(values: pd.Series[Any], markers: Sequence[str]) -> tuple[str, ...]:
    """The texts that stand for missing values, the most frequent first; a blank counts, too."""
    if not is_textual(values):
        return tuple(markers)
    counts = {marker: int((values == marker).sum()) for marker in markers}
    n_blank = int(values.isna().sum())
    if markers and n_blank:
        counts[""] = n_blank
    return tuple(sorted(counts, key=lambda marker: -counts[marker]))


def _compact_dates(values: pd.Series[Any], kind: Kind | None) -> Reading | None:
    unique = values.dropna().unique()
    is_dates = len(unique) >= FEWEST_COMPACT_DATES and all(19000101 <= number <= 21001231 for number in unique)
    if not is_dates or looks_like_ids(str(values.name), values):
        return None
    found = moment_format(pd.Series(map(str, unique), dtype=object))
    return None if found is None else Reading("datetime", found)


def _kind_of(values: pd.Series[Any]) -> Kind:
    """The kind of values that are in no written form."""
    if is_truth(values):
        return "boolean"
    if is_moments(values):
        return "datetime"
    if looks_like_ids(str(values.name), values):
        return "id"
    if is_numbers(values):
        return "numerical" if values.nunique() > 2 else "categorical"
    if not is_textual(values) or not isinstance(first_value(values), str):
        return "categorical"
    return "text" if _is_text(values.dropna()) else "categorical"


def is_numbers(values: pd.Series[Any]) -> bool:
    """Whether values are stored as numbers: those of Python and Arrow count, and durations."""
    if pd.api.types.is_numeric_dtype(values.dtype) or pd.api.types.is_timedelta64_dtype(values.dtype):
        return True
    if values.dtype == object:
        return type(first_value(values)).__name__ in ("int", "float", "Decimal", "timedelta", "Timedelta")
    return str(values.dtype).startswith(("duration", "decimal"))


def _is_text(present: pd.Series[Any]) -> bool:
    different = present.unique()
    if not all(isinstance(value, str) for value in different):
        return False
    if max(map(len, different)) > MAX_CHARACTERS:
        return True
    n_different = len(different)
    if n_different < FEWEST_TEXTS or n_different <= len(present) / 2:
        return False
    texts = present.astype(str)
    return bool(
        texts.str.len().mean() > LONG_TEXT
        or (n_different > MANY_WORDS and texts.str.contains(" ", regex=False).mean() > 0.5)
    )


def is_truth(values: pd.Series[Any]) -> bool:
    """Whether all values are true or false, whatever the dtype."""
    if pd.api.types.is_bool_dtype(values.dtype):
        return True
    if values.dtype != object or not isinstance(first_value(values), (bool, np.bool_)):
        return False
    return all(isinstance(value, (bool, np.bool_)) for value in values.dropna().unique())
