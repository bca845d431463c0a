"""From canonical texts and numbers back to the dtype of the real column."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pandas as pd

TRUTH = {"True": True, "False": False}


def cast(values: pd.Series[Any], dtype: str) -> pd.Series[Any]:
    """Values of that dtype, as near to it as they allow: whole numbers that it cannot hold become floats."""
    target = pd.api.types.pandas_dtype(dtype)
    if pd.api.types.is_bool_dtype(target) and values.dtype == object:
        return values.map(TRUTH).astype(target)
    if pd.api.types.is_numeric_dtype(target):
        numbers = pd.to_numeric(values)
        if pd.api.types.is_integer_dtype(target):
            numbers = numbers.round()
            if not _holds(target, numbers):
                return numbers.astype("float64")
            if numbers.isna().any() and isinstance(target, np.dtype):
                return numbers.astype("Int64")
        return numbers.astype(target)
    return values.astype(target)


def _holds(dtype: Any, numbers: pd.Series[Any]) -> bool:
    """Whether an integer dtype can hold the numbers; the published method accepts them outside the range."""
    bounds = np.iinfo(np.dtype(str(getattr(dtype, "numpy_dtype", dtype))))
    return bool(numbers.dropna().between(float(bounds.min), float(int(bounds.max) + 1), inclusive="left").all())


def is_number(text: str) -> bool:
    """Whether a text can be read as a finite number."""
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False
