"""What is kept of a column: range, categories, decimals, shares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    IdColumn,
    Kind,
    NumericalColumn,
    TextColumn,
    category_text,
)
from tagal_dspy.schema.columns.datetimes import is_datetime_dtype, moments_of
from tagal_dspy.schema.columns.ids import form_of_its_own, id_form
from tagal_dspy.schema.columns.moments import MomentFormat
from tagal_dspy.schema.columns.texts import MAX_CHARACTERS, cleaned
from tagal_dspy.schema.kinds import moment_format
from tagal_dspy.schema.table import ColumnOverride

MAX_DECIMALS = 6
"""Longer fractions are cut to four significant digits of the column's spread."""


def column_of(values: pd.Series[Any], kind: Kind, override: ColumnOverride) -> Column:
    """The column of that kind that the values, and what is known better, make."""
    of_kind, own = _MAKERS.get(kind, (CategoricalColumn, _categories))
    shared: dict[str, Any] = {
        "name": str(values.name),
        "kind": kind,
        "dtype": _dtype(values) if of_kind in (CategoricalColumn, IdColumn) else _value_dtype(values),
        "description": override.description,
        "missing_share": float(values.isna().mean()),
    }
    column: Column = of_kind.model_validate(shared | own(str(values.name), values, override))
    return column


def _categories(name: str, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
    codes, unique = pd.factorize(values)
    counts: Counter[str] = Counter()
    for value, count in zip(unique, np.bincount(codes[codes >= 0], minlength=len(unique)), strict=True):
        counts[category_text(value)] += int(count)
    longest = max(map(len, counts))
    if longest > MAX_CHARACTERS:
        raise DataError(
            f"column {name!r} has a category of {longest} characters, and at most {MAX_CHARACTERS} fit a prompt; "
            "shorten it, or make it a text column that is no target"
        )
    ordered = (
        list(values.cat.categories.map(category_text))
        if isinstance(values.dtype, pd.CategoricalDtype)
        else sorted(counts)
    )
    return {"categories": tuple(ordered), "shares": tuple(counts[category] / counts.total() for category in ordered)}


def _id(name: str, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
    return {**(id_form(values) or form_of_its_own(values)), "missing_share": 0.0}  # every row gets a fresh one


def _numbers(name: str, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
    bounds = [bound for bound in (override.minimum, override.maximum) if isinstance(bound, str)]
    if bounds:
        raise DataError(f"column {name!r} holds numbers, but {bounds[0]!r} is said to bound them")
    try:
        if is_datetime_dtype(values.dtype):
            raise TypeError("dates")
        numbers = pd.to_numeric(values).dropna().to_numpy(dtype=float)
    except (ValueError, TypeError) as error:
        raise DataError(f"column {name!r} is said to be numerical, but holds other values: {error}") from error
    if not np.isfinite(numbers).all():
        raise DataError(f"column {name!r} holds infinite values; replace or drop them")
    decimals = _decimals(numbers)
    minimum = _at_least(float(numbers.min() if override.minimum is None else override.minimum), decimals)
    maximum = -_at_least(-float(numbers.max() if override.maximum is None else override.maximum), decimals)
    if minimum > maximum and (override.minimum, override.maximum) != (None, None):
        raise DataError(f"column {name!r} cannot lie between {minimum} and {maximum}; override both bounds")
    return {
        "decimals": decimals,
        "minimum": minimum,
        "maximum": max(minimum, maximum),
        "mean": float(numbers.mean()),
        "std": float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0,
        "median": float(np.median(numbers)),
    }


def _moments(name: str, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
    said = f"column {name!r} is said to hold dates or times"
    text = override.format or moment_format(values)
    if text is None:
        raise DataError(f"{said}, but they have no known format in common; override its `format`")
    try:
        known = MomentFormat(text)
        moments = moments_of(values, known)
        bounds = [None if bound is None else _moment(bound, known) for bound in (override.minimum, override.maximum)]
    except ValueError as error:
        raise DataError(f"{said}, but {error}") from error
    present = moments[~np.isnat(moments)]
    first, last = (
        known.write(observed.item() if bound is None else bound)
        for observed, bound in zip((present.min(), present.max()), bounds, strict=True)
    )
    if known.read(first) > known.read(last):
        raise DataError(f"column {name!r} cannot lie between {first} and {last}; override both bounds")
    of_dates = values.dtype == object and all(type(value) is date for value in values.dropna().unique())
    return {"format": text, "minimum": first, "maximum": last, **({"dtype": "date"} if of_dates else {})}


def _moment(bound: float | str, format: MomentFormat) -> datetime:
    if isinstance(bound, float):
        raise ValueError(f"{bound} is no date or time")
    try:
        return format.read(bound)
    except ValueError:
        return datetime.fromisoformat(bound).replace(tzinfo=None)


def _texts(name: str, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
    texts = cleaned(values)
    present = [text for text in texts if text is not None]
    if not present:
        raise DataError(f"column {name!r} is said to be text, but all of its values are blank")
    lengths = [len(text) for text in present]
    return {
        "missing_share": 1 - len(present) / len(texts),
        "max_length": max(lengths),
        "mean_length": sum(lengths) / len(lengths),
        "multiline": any("\n" in text for text in present),
    }


_MAKERS: dict[Kind, tuple[Any, Callable[[str, pd.Series[Any], ColumnOverride], dict[str, Any]]]] = {
    "numerical": (NumericalColumn, _numbers),
    "datetime": (DatetimeColumn, _moments),
    "text": (TextColumn, _texts),
    "id": (IdColumn, _id),
}


def _at_least(bound: float, decimals: int) -> float:
    """The smallest number of so many decimals not below `bound`: rounded, a minimum must stay in the observed range."""
    steps = 10**decimals
    nearest = round(bound * steps)
    is_one = math.isclose(nearest / steps, bound, rel_tol=1e-12, abs_tol=1e-6 / steps)
    return float((nearest if is_one else math.ceil(bound * steps)) / steps)


def _decimals(numbers: np.ndarray[Any, np.dtype[np.float64]]) -> int:
    unique = np.unique(numbers)
    spread = float(unique.std()) or abs(float(unique[0])) or 1.0
    noise = 1e-7 * np.abs(unique) + 1e-9 * spread  # what single precision and arithmetic leave behind
    for decimals in range(MAX_DECIMALS + 1):
        off = np.abs(unique - np.round(unique, decimals))
        if (off <= np.minimum(noise, 10.0 ** -(decimals + 3))).all():
            return decimals
    return int(np.clip(3 - math.floor(math.log10(spread)), 1, 15))


def _value_dtype(values: pd.Series[Any]) -> str:
    return str(values.dtype.categories.dtype if isinstance(values.dtype, pd.CategoricalDtype) else values.dtype)


def _dtype(values: pd.Series[Any]) -> str:
    if not isinstance(values.dtype, pd.CategoricalDtype):
        return str(values.dtype)
    levels = values.dtype.categories.dtype
    kind = "category[ordered]" if values.dtype.ordered else "category"
    return f"{kind}:{'object' if isinstance(levels, pd.IntervalDtype) else levels}"  # text is not cast to intervals
