"""How a frame stores the values of a column: a name for it, and the way from text back to it.

The name is that of the dtype. Objects add the type of their values (`object:Decimal`), and categories that of their
levels (`category:int64`), so that each comes back as itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError

TRUTH = {"True": True, "False": False, "1": True, "0": False}

_MAKERS: dict[str, Callable[[str], Any]] = {
    "bool": TRUTH.__getitem__,
    "int": lambda text: int(Decimal(text)),
    "float": float,
    "Decimal": Decimal,
    "date": date.fromisoformat,
    "time": time.fromisoformat,
    "datetime": datetime.fromisoformat,
    "Timestamp": pd.Timestamp,
    "timedelta": lambda text: timedelta(microseconds=round(Decimal(text) * 10**6)),
    "UUID": UUID,
}
"""From the text of a value to the value, by the type of the objects in a column."""

_ARROW_TEXT = "arrow string"
"""Not to be taken for pandas' own texts in Arrow, whose dtype has the same name."""

_REFUSED = "convert it, for example with .astype(str), or leave the column out"


def storage_of(values: pd.Series[Any]) -> str:
    """The name of how values are stored; raises `DataError` for what does not come back as itself."""
    dtype = values.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        levels = dtype.categories.dtype
        inner = str(levels) if isinstance(levels, pd.IntervalDtype) else storage_of(dtype.categories.to_series())
        return f"category[ordered]:{inner}" if dtype.ordered else f"category:{inner}"
    if pd.api.types.is_object_dtype(dtype):
        return _storage_of_objects(values)
    if isinstance(dtype, pd.StringDtype):
        return f"string[{dtype.storage}]"
    name = str(dtype)
    if isinstance(dtype, pd.ArrowDtype) and name == "string[pyarrow]":
        return _ARROW_TEXT
    if re.match(r"(?i)complex|binary|fixed_size_binary|large_binary|list|large_list|struct|map|null|dictionary", name):
        raise DataError(f"column {values.name!r} is of the type {name}, which is not supported; {_REFUSED}")
    return name


def _storage_of_objects(values: pd.Series[Any]) -> str:
    if pd.api.types.infer_dtype(values, skipna=True) == "string":
        return "object"
    present = values.dropna()
    types = {type(value) for value in present}
    names = sorted("str" if issubclass(each, str) else each.__name__ for each in types)
    if len(set(names)) > 1:
        raise DataError(
            f"column {values.name!r} mixes values of the types {', '.join(names)}; give it one type, "
            "for example with .astype(str)"
        )
    if names in ([], ["str"]):
        return "object"
    if names[0] not in _MAKERS:
        raise DataError(f"column {values.name!r} holds values of the type {names[0]}; {_REFUSED}")
    zones = {str(value.tzinfo) for value in present if getattr(value, "tzinfo", None) is not None}
    if not zones:
        return f"object:{names[0]}"
    if len(zones) > 1 or names[0] == "time" or any(value.tzinfo is None for value in present):
        raise DataError(f"column {values.name!r} has moments in several time zones; convert them to one")
    return f"object:{names[0]}:{pd.to_datetime(present).dtype}"


def dtype_named(storage: str) -> Any:
    """The dtype of that name: of the values themselves, whether they are levels of a category or not."""
    kind, inner = split_storage(storage)
    if kind.startswith("category"):
        return dtype_named(inner)
    if storage == _ARROW_TEXT:
        import pyarrow as pa

        return pd.ArrowDtype(pa.string())
    decimal = re.fullmatch(r"(decimal\d+)\((\d+), (-?\d+)\)\[pyarrow\]", storage)
    if decimal is not None:
        import pyarrow as pa

        return pd.ArrowDtype(getattr(pa, decimal[1])(int(decimal[2]), int(decimal[3])))
    return pd.api.types.pandas_dtype(kind)


def is_textual(values: pd.Series[Any]) -> bool:
    """Whether a dtype can hold texts."""
    return values.dtype == object or isinstance(values.dtype, pd.StringDtype)


def first_value(values: pd.Series[Any]) -> Any:
    """The first value that is not missing, None where all are."""
    return next((value for value in values if not pd.isna(value)), None)


def has_texts(values: pd.Series[Any]) -> bool:
    """Whether values are texts, which may stand for numbers."""
    return is_textual(values) and isinstance(first_value(values), str)


def holds_texts(storage: str) -> bool:
    """Whether values are stored as text."""
    return storage == "object" or storage.startswith(("string", "large_string", _ARROW_TEXT))


def split_storage(storage: str) -> tuple[str, str]:
    """The dtype, and of objects and categories what they hold; a time zone may have a colon as well."""
    kind, _, inner = storage.partition(":") if storage.startswith(("category", "object")) else (storage, "", "")
    return kind, inner


def stored(texts: Sequence[str | None], storage: str) -> pd.Series[Any]:
    """Values of texts, as near to how the column stores them as they allow; None becomes a missing value.

    Args:
        texts: numbers as plain decimals, dates and times in ISO form, durations in seconds, anything else as written.
        storage: as `storage_of` names it.
    """
    kind, inner = split_storage(storage)
    if kind == "object":
        make = _MAKERS.get(inner.partition(":")[0], str)
        return pd.Series([None if text is None else make(text) for text in texts], dtype=object)
    dtype = dtype_named(storage)
    if pd.api.types.is_bool_dtype(dtype):
        return pd.Series([None if text is None else TRUTH[text] for text in texts], dtype=object).astype(dtype)
    if _is_duration(dtype):
        return _durations(texts, dtype)
    if pd.api.types.is_integer_dtype(dtype):
        return _whole_numbers(texts, dtype)
    if pd.api.types.is_float_dtype(dtype):
        numbers = pd.Series([np.nan if text is None else float(text) for text in texts], dtype="float64")
        return numbers.astype(dtype)
    if str(dtype).startswith("decimal"):
        decimals: Any = [None if text is None else Decimal(text) for text in texts]
        return pd.Series(pd.array(decimals, dtype=dtype))
    if isinstance(dtype, pd.IntervalDtype):
        return pd.Series([None if text is None else _interval(text) for text in texts], dtype=dtype)
    return pd.Series(list(texts), dtype=object).astype(dtype)


def _interval(text: str) -> Any:
    closed = {"[]": "both", "[)": "left", "(]": "right", "()": "neither"}[text[0] + text[-1]]
    left, right = (json.loads(bound) for bound in text[1:-1].split(", "))
    return pd.Interval(left, right, closed)  # type: ignore[arg-type]


def _whole_numbers(texts: Sequence[str | None], dtype: Any) -> pd.Series[Any]:
    """Whole numbers, exact to 64 bits; floats where the dtype cannot hold them: the published method accepts numbers
    outside the range."""
    numbers = [None if text is None else round(Decimal(text)) for text in texts]
    basic = np.dtype(str(getattr(dtype, "numpy_dtype", getattr(dtype, "subtype", dtype))))
    bounds = np.iinfo(basic)
    if any(number is not None and not bounds.min <= number <= bounds.max for number in numbers):
        return pd.Series([np.nan if number is None else float(number) for number in numbers], dtype="float64")
    if None not in numbers:
        return pd.Series(np.array(numbers, dtype=basic)).astype(dtype)
    gapped = np.array([number or 0 for number in numbers], dtype=basic)
    nullable = pd.arrays.IntegerArray(gapped, np.array([number is None for number in numbers]))
    return pd.Series(nullable) if isinstance(dtype, (np.dtype, pd.SparseDtype)) else pd.Series(nullable).astype(dtype)


def _is_duration(dtype: Any) -> bool:
    return bool(pd.api.types.is_timedelta64_dtype(dtype) or str(dtype).startswith("duration"))


def _durations(texts: Sequence[str | None], dtype: Any) -> pd.Series[Any]:
    nanoseconds = [None if text is None else round(Decimal(text) * 10**9) for text in texts]
    exact = np.array([np.timedelta64("NaT") if each is None else np.timedelta64(each, "ns") for each in nanoseconds])
    return pd.Series(exact.astype("timedelta64[ns]")).astype(dtype)


def plain_values(values: pd.Series[Any]) -> pd.Series[Any]:
    """Values without what hides their numbers: dense instead of sparse, seconds instead of durations."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.dtype.categories.dtype)
    if isinstance(values.dtype, pd.SparseDtype):
        values = pd.Series(np.asarray(values), index=values.index, name=values.name)
    if _is_duration(values.dtype):
        nanoseconds = values.astype("timedelta64[ns]")
        # Of nanoseconds by whole numbers: a float of seconds has fewer digits than a long duration.
        seconds = [None if pd.isna(each) else Decimal(each.value).scaleb(-9) for each in nanoseconds]
        return pd.Series(seconds, dtype=object, index=values.index, name=values.name)
    if values.dtype == object and isinstance(first_value(values), timedelta):
        return plain_values(values.astype("timedelta64[ns]"))
    return values


def is_number(text: str) -> bool:
    """Whether a text can be read as a finite number."""
    try:
        return Decimal(text).is_finite()
    except ArithmeticError:
        return False


_MOMENT_OBJECTS = {"date", "time", "datetime", "Timestamp"}


def is_moments(stored_as: pd.Series[Any] | str) -> bool:
    """Whether values, or those stored under a name, are dates or times, and not their text."""
    if isinstance(stored_as, str):
        kind, inner = split_storage(stored_as)
        if kind == "object":
            return inner.partition(":")[0] in _MOMENT_OBJECTS
        return not kind.startswith("category") and _is_moment_dtype(dtype_named(stored_as))
    if stored_as.dtype == object:
        return type(first_value(stored_as)).__name__ in _MOMENT_OBJECTS
    return _is_moment_dtype(stored_as.dtype)


def are_times(values: pd.Series[Any]) -> bool:
    """Whether values are times of day, without a date."""
    return str(values.dtype).startswith(("time32", "time64")) or isinstance(first_value(values), time)


def _is_moment_dtype(dtype: Any) -> bool:
    return bool(pd.api.types.is_datetime64_any_dtype(dtype) or re.match(r"(date|time)(32|64)", str(dtype)))


def moments_in(values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    """Dates and times in microseconds, local time where they have a zone; times of day are on 1 January 1900."""
    if re.match("datetime64|timestamp", str(values.dtype)):
        local = values.dt.tz_localize(None)
        return np.asarray(local.to_numpy(dtype="datetime64[us]", na_value=np.datetime64("NaT")))
    codes, unique = pd.factorize(values.astype(object))
    moments = np.array([_local(value) for value in unique] + [np.datetime64("NaT")], dtype="datetime64[us]")
    return moments[codes]


def _local(value: Any) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return datetime.combine(date(1900, 1, 1), value) if isinstance(value, time) else datetime.combine(value, time())


def moments_stored(moments: Sequence[datetime | None], storage: str) -> pd.Series[Any]:
    """Values of moments, as near to how the column stores them as they allow."""
    kind, inner = split_storage(storage)
    name, _, zoned = inner.partition(":")
    if kind == "object" and name in ("date", "time"):
        return pd.Series([None if each is None else getattr(each, name)() for each in moments], dtype=object)
    if kind == "object":
        local = moments_stored(moments, zoned or "datetime64[us]")
        stamps = [None if pd.isna(each) else pd.Timestamp(each) for each in local]
        plain = stamps if name == "Timestamp" else [None if each is None else each.to_pydatetime() for each in stamps]
        return pd.Series(plain, dtype=object)
    dtype = dtype_named(storage)
    if re.match(r"(date|time)(32|64)", storage):
        part = "date" if storage.startswith("date") else "time"
        parts: Any = [None if each is None else getattr(each, part)() for each in moments]
        return pd.Series(pd.array(parts, dtype=dtype))
    local = pd.Series(np.array(moments, dtype="datetime64[us]"))
    zone = getattr(dtype, "tz", None) or getattr(getattr(dtype, "pyarrow_dtype", None), "tz", None)
    if zone is not None:
        standard = np.zeros(len(local), dtype=bool)
        local = local.dt.tz_localize(zone, ambiguous=standard, nonexistent="shift_forward")
    try:
        return local.astype(dtype)
    except pd.errors.OutOfBoundsDatetime:
        return local
