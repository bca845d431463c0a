"""Columns of numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from tagal_dspy.schema.columns.base import BaseColumn, CellError
from tagal_dspy.schema.columns.casting import cast


class NumericalColumn(BaseColumn):
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
        return written.lstrip("-") if written.startswith("-") and not float(written) else written

    @cached_property
    def _written_range(self) -> tuple[float, float]:
        return float(self.text(self.minimum)), float(self.text(self.maximum))

    def number(self, text: str) -> float:
        """The number of a canonical text, for comparisons."""
        return float(text)

    def numbers(self, values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The numbers of real values, NaN where they are missing."""
        return np.asarray(pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan))

    def shown(self, number: float) -> str:
        """A number as canonical text."""
        return self.text(number)

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        unique, codes = np.unique(self.numbers(values), return_inverse=True)
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
        low, high = self._written_range
        if not low <= float(written) <= high:
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
        return cast(numbers, self.dtype)
