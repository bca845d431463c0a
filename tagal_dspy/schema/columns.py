"""The column kinds, and the canonical text of a cell.

Text is the common ground of real and generated rows: two cells are equal exactly when their canonical texts are.
`render` makes it from real values, `canonical` from what an LM wrote, `restore` turns it back into real values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

RejectReason = Literal[
    "unparsable",
    "wrong_width",
    "unknown_category",
    "out_of_range",
    "wrong_type",
    "constraint",
    "duplicate",
    "collision",
    "too_close",
    "label_noise",
    "quota_full",
]
REJECT_REASONS: tuple[RejectReason, ...] = get_args(RejectReason)

Kind = Literal["numerical", "categorical", "boolean"]

Row = tuple[Union[str, None], ...]
"""Canonical text of one row, in the order of the schema's columns; None is a missing value."""


class Reject(NamedTuple):
    """One row that was not accepted: what came, which column, and why (a reason of the closed set)."""

    reason: RejectReason
    text: str
    detail: str = ""


class CellError(ValueError):
    """A cell does not fit its column; `reason` is one of `REJECT_REASONS`."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Column(_Frozen):
    name: str
    dtype: str
    description: str = ""
    missing_share: float = Field(default=0.0, ge=0.0, le=1.0)

    @property
    def nullable(self) -> bool:
        """Whether the real column has missing values; only then may a generated one."""
        return self.missing_share > 0

    def missing_or(self, text: str | None) -> str | None:
        """The stripped text, or None where it is blank; a blank that the column never has is `wrong_type`."""
        stripped = (text or "").strip()
        if stripped:
            return stripped
        if self.nullable:
            return None
        raise CellError("wrong_type", f"{self.name!r} is empty, and it never is in the real table")


class NumericalColumn(_Column):
    """Numbers, written with a fixed number of decimals (0: whole numbers), within the observed range."""

    kind: Literal["numerical"] = "numerical"
    decimals: int = Field(ge=0, le=15)
    minimum: float
    maximum: float
    mean: float | None = None
    std: float | None = None
    median: float | None = None

    def text(self, value: float) -> str:
        """The number with the column's decimals; never a negative zero.

        >>> NumericalColumn(name="age", dtype="int64", decimals=0, minimum=0, maximum=99).text(39.0)
        '39'
        """
        written = f"{value:.{self.decimals}f}"
        return written.lstrip("-") if not float(written) else written

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        numbers = pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan)
        unique, codes = np.unique(numbers, return_inverse=True)
        texts = [None if math.isnan(number) else self.text(number) for number in unique]
        return [texts[code] for code in codes]

    def canonical(self, text: str | None) -> str | None:
        """Canonical form of what an LM wrote; raises `CellError`."""
        stripped = self.missing_or(text)
        if stripped is None:
            return None
        try:
            number = Decimal(stripped)
        except InvalidOperation:
            raise CellError("wrong_type", f"{self.name!r} is {stripped[:40]!r}, not a number") from None
        if not number.is_finite() or number.copy_abs() > Decimal("1e300"):
            raise CellError("wrong_type", f"{self.name!r} is {stripped[:40]!r}, not a finite number")
        if self.decimals == 0 and number != number.to_integral_value():
            raise CellError("wrong_type", f"{self.name!r} is {stripped[:40]!r}, not a whole number")
        written = self.text(float(number))
        if not float(self.text(self.minimum)) <= float(written) <= float(self.text(self.maximum)):
            shown = f"{self.text(self.minimum)} to {self.text(self.maximum)}"
            raise CellError("out_of_range", f"{self.name!r} is {stripped[:40]}, outside {shown}")
        return written

    def between(self, minimum: float, maximum: float) -> NumericalColumn:
        """The same column within other bounds and never missing, for grammars."""
        changed = {"minimum": minimum, "maximum": maximum, "missing_share": 0.0}
        return NumericalColumn.model_validate(self.model_dump() | changed)

    def restore(self, texts: Sequence[str | None]) -> pd.Series[Any]:
        """Values of the original dtype."""
        numbers = pd.Series([math.nan if text is None else float(text) for text in texts], dtype="float64")
        return _cast(numbers, self.dtype)


class CategoricalColumn(_Column):
    """One value out of a closed set, each with its share of the rows that are not missing."""

    kind: Literal["categorical", "boolean"] = "categorical"
    categories: tuple[str, ...]
    shares: tuple[float, ...] = ()

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.categories)

    @cached_property
    def _loose(self) -> dict[str, str]:
        """Categories by their spelling without outer blanks and case, where that is unique."""
        loose: dict[str, str] = {}
        clashes: set[str] = set()
        for category in self.categories:
            key = category.strip().casefold()
            clashes |= {key} & loose.keys()
            loose[key] = category
        return {key: value for key, value in loose.items() if key not in clashes}

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        codes, unique = pd.factorize(values)
        texts = [category_text(value) for value in unique]
        return [texts[code] if code >= 0 else None for code in codes]

    def canonical(self, text: str | None) -> str | None:
        """The category that an LM meant; raises `CellError`."""
        if text is None and not self.nullable:
            text = ""  # which may be a category, and looks like a missing value on the wire
        if text in self._exact:
            return text
        stripped = self.missing_or(text)
        if stripped is None or stripped in self._exact:
            return stripped
        found = self._loose.get(stripped.casefold())
        if found is None:
            raise CellError("unknown_category", f"{self.name!r} has no category {stripped[:40]!r}")
        return found

    def among(self, categories: tuple[str, ...]) -> CategoricalColumn:
        """The same column with some of its categories and never missing, for grammars."""
        changed = {"categories": categories, "shares": (), "missing_share": 0.0}
        return CategoricalColumn.model_validate(self.model_dump() | changed)

    def restore(self, texts: Sequence[str | None]) -> pd.Series[Any]:
        """Values of the original dtype."""
        if self.kind == "boolean" and set(self.categories) <= _TRUTH.keys() and not self.dtype.startswith("category"):
            return pd.Series([None if text is None else _TRUTH[text] for text in texts], dtype=self.dtype)
        if self.dtype.startswith("category"):
            levels = _cast(pd.Series(self.categories, dtype=object), self.dtype.partition(":")[2])
            codes = [-1 if text is None else self.categories.index(text) for text in texts]
            ordered = self.dtype.startswith("category[ordered]")
            return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(levels), ordered=ordered))
        return _cast(pd.Series(list(texts), dtype=object), self.dtype)


Column = Annotated[Union[NumericalColumn, CategoricalColumn], Field(discriminator="kind")]


def category_text(value: Any) -> str:
    """Canonical text of one category: whole floats without their point, everything else as `str` writes it.

    >>> category_text(1.0), category_text("Yes"), category_text(True)
    ('1', 'Yes', 'True')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


_TRUTH = {"True": True, "False": False}


def _cast(values: pd.Series[Any], dtype: str) -> pd.Series[Any]:
    target = pd.api.types.pandas_dtype(dtype)
    if pd.api.types.is_bool_dtype(target) and values.dtype == object:
        return values.map(_TRUTH).astype(target)
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
