"""Which kind of column some values make."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.schema.columns import Kind
from tagal_dspy.schema.columns.datetimes import is_datetime_dtype, moments_of
from tagal_dspy.schema.columns.ids import is_textual, looks_like_ids
from tagal_dspy.schema.columns.moments import MomentFormat, recognised, shortest
from tagal_dspy.schema.columns.texts import MAX_CHARACTERS

FEWEST_TEXTS = 10
"""Fewer different values are categories, unless one is longer than texts are."""

LONG_TEXT = 12
"""Values that nearly all differ are text where they are longer than this on average; shorter ones are codes or names
of things, unless there are over `MANY_WORDS` of them and most hold a blank."""

MANY_WORDS = 50

_SAMPLE = 50


def kind_of(values: pd.Series[Any], format: str | None = None) -> Kind:
    """The kind that the values show; a column whose `format` is known holds dates or times."""
    name = str(values.name)
    if is_truth(values):
        return "boolean"
    if format is not None or is_datetime_dtype(values.dtype):
        return "datetime"
    if looks_like_ids(name, values):
        return "id"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "numerical" if values.nunique() > 2 else "categorical"
    present = values.dropna()
    if not is_textual(values) or not all(isinstance(value, (str, date)) for value in present.head(_SAMPLE)):
        return "categorical"
    if moment_format(values) is not None:
        return "datetime"
    return "text" if _is_text(present) else "categorical"


def moment_format(values: pd.Series[Any]) -> str | None:
    """The one format of all values, if they are dates or times."""
    if is_datetime_dtype(values.dtype):
        moments = moments_of(values, MomentFormat("%Y-%m-%d"))
        return shortest(moments[~np.isnat(moments)])
    return recognised(np.array([str(value) for value in values.dropna().unique()], dtype=object))


def _is_text(present: pd.Series[Any]) -> bool:
    if present.astype(str).str.len().max() > MAX_CHARACTERS:
        return True
    n_different = present.nunique()
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
    known: Any = values.dropna().unique() if values.dtype == object else ()
    return len(known) > 0 and all(isinstance(value, bool) for value in known)
