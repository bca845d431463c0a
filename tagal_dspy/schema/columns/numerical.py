"""Columns of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, InvalidOperation
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal, Union

import numpy as np
import pandas as pd
from pydantic import Field

from tagal_dspy.errors import DataError
from tagal_dspy.gbnf import POSITIONAL, SMALLEST_EXPONENT, numbers_between
from tagal_dspy.schema.columns.base import CellCheck, CellColumn, CellError, ColumnOverride, Floats, Spelling
from tagal_dspy.schema.columns.number_formats import NumberFormat
from tagal_dspy.schema.columns.storage import has_texts, holds_texts, is_number, plain_values, stored

Number = Union[int, float]

MAX_DECIMALS = 6
"""Decimals that are kept as they are; longer fractions are cut to significant digits."""

DIGITS = 4
"""Significant digits of the spread that are kept of longer fractions."""


class NumericalColumn(CellColumn):
    """Numbers within the observed range, with a fixed number of decimals (0: whole numbers) or of significant digits.

    `format` is the form in which the real table writes its numbers, see `NumberFormat`; canonical texts are plain
    decimals all the same.
    """

    is_number: ClassVar[bool] = True

    kind: Literal["numerical"] = "numerical"
    decimals: int | None = Field(default=0, ge=0, le=15)
    digits: int | None = Field(default=None, ge=1, le=17)
    minimum: Number
    maximum: Number
    mean: float | None = None
    std: float | None = None
    median: float | None = None

    @classmethod
    def of(cls, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
        """The fields of a column that the values, and what is known better, make; raises `DataError`."""
        bounds = [bound for bound in (override.minimum, override.maximum) if isinstance(bound, str)]
        if bounds:
            raise DataError(f"column {values.name!r} holds numbers, but {bounds[0]!r} is said to bound them")
        exact, numbers = _exact_and_floats(values, override.format)
        decimals, digits = _precision(values, numbers, override.format)
        low = exact[0] if override.minimum is None else _inwards(override.minimum, decimals, ROUND_CEILING)
        high = exact[1] if override.maximum is None else _inwards(override.maximum, decimals, ROUND_FLOOR)
        low, high = (int(bound) if decimals == 0 else bound for bound in (low, high))
        if low > high:
            raise DataError(f"column {values.name!r} cannot lie between {low} and {high}; override both bounds")
        scale = float(np.abs(numbers).max()) or 1.0
        return {
            "decimals": decimals,
            "digits": digits,
            "minimum": low,
            "maximum": high,
            # Of numbers up to 1: squares and sums of very large ones have no float.
            "mean": float((numbers / scale).mean() * scale),
            "std": float((numbers / scale).std(ddof=1) * scale) if len(numbers) > 1 else 0.0,
            "median": float(np.median(numbers / scale) * scale),
            "format": override.format,
        }

    @property
    def is_whole(self) -> bool:
        """Whether all numbers are whole."""
        return self.decimals == 0

    @cached_property
    def _form(self) -> NumberFormat | None:
        return None if self.format is None else NumberFormat(self.format)

    def text(self, value: Any) -> str:
        """The number as the column writes it; never a negative zero.

        >>> NumericalColumn(name="age", dtype="int64", decimals=0, minimum=0, maximum=99).text(39.0)
        '39'
        >>> NumericalColumn(name="p", dtype="float64", decimals=None, digits=3, minimum=0, maximum=1).text(0.000123456)
        '0.000123'
        """
        if self.decimals is None:
            return _significant(value, self.digits or DIGITS)
        if self.decimals == 0 and not isinstance(value, (float, Decimal)):
            return str(int(value))
        written = f"{value:.{self.decimals}f}"
        return written.lstrip("-") if written.startswith("-") and not float(written) else written

    @cached_property
    def _range(self) -> tuple[Decimal, Decimal]:
        return Decimal(self.text(self.minimum)), Decimal(self.text(self.maximum))

    @property
    def longest(self) -> int:
        """Characters of a canonical text at most."""
        return 40

    def number(self, text: str) -> float:
        """The number of a canonical text."""
        return float(text)

    def numbers(self, values: pd.Series[Any]) -> Floats:
        """The numbers of real values."""
        values = self.present(values)
        if self._form is not None and has_texts(values):
            return _formatted(values, self._form)
        return np.asarray(pd.to_numeric(plain_values(values)).to_numpy(dtype=float, na_value=np.nan))

    @property
    def bounds(self) -> tuple[float, float]:
        """The range of what `number` gives."""
        return float(self._range[0]), float(self._range[1])

    def shown(self, number: float) -> str:
        """A number as canonical text."""
        return self.text(number)

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        if has_texts(values) or pd.api.types.is_float_dtype(values.dtype):
            codes, numbers = pd.factorize(pd.Series(self.numbers(values)))
        else:
            codes, numbers = pd.factorize(plain_values(self.present(values)))
        texts = [self.text(number) for number in numbers.tolist()]
        return [texts[code] if code >= 0 else None for code in codes.tolist()]

    def canonical(self, text: str | None) -> str | None:
        """The number that an LM wrote, plainly or in the form of the real table; raises `CellError`."""
        stripped = self.missing_or(text)
        if stripped is None:
            return None
        number = self._read(stripped)
        if not number.is_finite() or number.adjusted() > 308:
            raise CellError("wrong_type", f"{self.name!r} is {stripped[:40]!r}, not a finite number")
        if self.is_whole and number != number.to_integral_value():
            raise CellError("wrong_type", f"{self.name!r} is {stripped[:40]!r}, not a whole number")
        written = self.text(number)
        low, high = self._range
        if not low <= Decimal(written) <= high:
            shown = f"{self.text(self.minimum)} to {self.text(self.maximum)}"
            raise CellError("out_of_range", f"{self.name!r} is {stripped[:40]}, outside {shown}", written)
        return written

    def _read(self, text: str) -> Decimal:
        try:
            return Decimal(text)
        except InvalidOperation:
            pass
        try:
            if self._form is not None:
                return self._form.read(text)
        except ValueError:
            pass
        raise CellError("wrong_type", f"{self.name!r} is {text[:40]!r}, not a number")

    def restore(self, texts: Sequence[str | None]) -> pd.Series[Any]:
        """Values of the original dtype; the bounds come back as they were, whatever was cut of them."""
        if self._form is not None and holds_texts(self.dtype):
            return self.written(self._in_form(texts))
        exact = {self.text(bound): repr(bound) for bound in (self.minimum, self.maximum)}
        return stored([text if text is None else exact.get(text, text) for text in texts], self.dtype)

    def cells(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values as a file has them: in the form of the real table where they are stored as numbers."""
        if self._form is None or has_texts(values):
            return super().cells(values)
        texts = self._in_form(self.render(values))
        return super().cells(pd.Series(texts, dtype=object, index=values.index))

    def _in_form(self, texts: Sequence[str | None]) -> list[str | None]:
        """Canonical texts in the form of the real table."""
        write = {text: self._form.write(Decimal(text)) for text in set(texts) if text is not None and self._form}
        return [None if text is None else write[text] for text in texts]

    def rule(self, spelling: Spelling) -> str:
        """The grammar of a cell that is not missing."""
        low, high = (self.text(bound) for bound in (self.minimum, self.maximum))
        return spelling.plain(self.name, numbers_between(low, high, self.decimals, self.digits), is_number=True)

    def between(self, minimum: Number, maximum: Number) -> NumericalColumn:
        """The same column within other bounds and never missing, for grammars."""
        changed = {"mean": None, "std": None, "median": None, "missing_share": 0.0}
        return NumericalColumn.model_validate({**self.model_dump(), **changed, "minimum": minimum, "maximum": maximum})

    def next_to(self, number: float, direction: int) -> float:
        """The next number above (1) or below (-1) that the column can write."""
        return float(self._step(Fraction(self.text(number)), direction))

    def narrowed(self, checks: Sequence[CellCheck]) -> NumericalColumn | None:
        """The smallest range with all numbers that meet the checks, reckoned exactly."""
        low, high = (Fraction(self.text(bound)) for bound in (self.minimum, self.maximum))
        wanted: set[Fraction] | None = None
        unwanted: set[Fraction] = set()
        for check in checks:
            values = {Fraction(value) for value in check.values}
            if check.excludes:
                unwanted |= values
            elif check.is_list:
                wanted = values if wanted is None else wanted & values
            else:
                low, high = self._cut(low, high, check.operator, values.pop())
        if wanted is not None:
            left = [each for each in wanted - unwanted if low <= each <= high and self._rounded(each) == each]
            low, high = (min(left), max(left)) if left else (Fraction(1), Fraction(0))
        while low in unwanted:
            low = self._step(low, 1)
        while high in unwanted:
            high = self._step(high, -1)
        return self.between(self._bound(low), self._bound(high)) if low <= high else None

    def _cut(self, low: Fraction, high: Fraction, sign: str, value: Fraction) -> tuple[Fraction, Fraction]:
        """The range on one side of a value, in numbers that the column writes."""
        near = self._rounded(value)
        if sign in (">", ">="):
            is_met = near > value or (sign == ">=" and near == value)
            return max(low, near if is_met else self._step(near, 1)), high
        is_met = near < value or (sign == "<=" and near == value)
        return low, min(high, near if is_met else self._step(near, -1))

    def _rounded(self, value: Fraction) -> Fraction:
        """The nearest number that the column writes."""
        if self.decimals is None:
            return Fraction(self.text(float(value)))
        return Fraction(round(value * 10**self.decimals), 10**self.decimals)

    def _step(self, value: Fraction, direction: int) -> Fraction:
        decimals = self.decimals
        if decimals is None:
            exponent = Decimal(self.text(float(value))).adjusted() if value else SMALLEST_EXPONENT
            decimals = (self.digits or DIGITS) - 1 - exponent
        return value + direction * Fraction(10) ** -decimals

    def _bound(self, value: Fraction) -> Number:
        return int(value) if value.denominator == 1 else float(value)

    def comparable(self, value: str | Decimal | bool, *, ordered: bool) -> Decimal:
        """The number of a condition."""
        if isinstance(value, Decimal):
            return value
        if isinstance(value, str) and is_number(value):
            raise ValueError(f"holds numbers; write {value.strip()} without quotes")
        raise ValueError("holds numbers; give a number")

    def key(self, text: str) -> Decimal:
        """What a canonical text is compared as."""
        return Decimal(text)

    @property
    def ordered_as(self) -> str:
        """What values are in an order: numbers, dates or times of day; empty where they have none."""
        return "numbers"

    def findings(self, values: pd.Series[Any]) -> Iterator[str]:
        """How values are read that could be read otherwise, or do not come out as they are: phrases for people."""
        yield from super().findings(values)
        if self._form is not None and holds_texts(self.dtype):
            example = self._form.write(Decimal(self.text(self.maximum)))
            yield f"read as numbers that are written like {example}"
        if self.digits is not None:
            yield f"cut to {self.digits} significant digits"
        elif self.format is None and pd.api.types.is_float_dtype(values.dtype):
            numbers = self.numbers(values)
            if not np.array_equal(numbers, _rounded(numbers, self.decimals or 0), equal_nan=True):
                yield f"rounded to {self.decimals} decimals"

    def summary(self) -> str:
        """The values in a few words."""
        return f"a {self.form} from {self.text(self.minimum)} to {self.text(self.maximum)}"

    def described(self) -> str:
        """The values in words, for a prompt."""
        spread = self.summary().removeprefix("a ")
        if self.mean is None or self.std is None or self.median is None:
            return spread
        shown = {"mean": self.mean, "standard deviation": self.std, "median": self.median}
        return spread + "".join(f", {name} {self._statistic(value)}" for name, value in shown.items())

    @property
    def form(self) -> str:
        """What kind of number it holds, in words."""
        if self.decimals is None:
            return "number"
        return "whole number" if self.is_whole else f"number with {self.decimals} decimals"

    def _statistic(self, value: float) -> str:
        return _significant(value, self.digits or DIGITS) if self.decimals is None else f"{value:.{self.decimals + 1}f}"

    def sdtype(self) -> dict[str, Any]:
        """The column in the metadata of SDV."""
        bounds = {"range_min": self.minimum, "range_max": self.maximum, "range_is_nullable": self.nullable}
        return {"sdtype": "numerical", "decimal_places": self.decimals, **bounds}


def _inwards(bound: Any, decimals: int | None, rounding: str) -> Number:
    """A bound that a user gave, with the decimals of the column."""
    if decimals is None:
        return float(bound)
    return float(Decimal(repr(bound)).quantize(Decimal(1).scaleb(-decimals), rounding))


def _formatted(values: pd.Series[Any], form: NumberFormat) -> Floats:
    codes, unique = pd.factorize(values)
    numbers = np.append(form.read_all([str(each) for each in unique]), np.nan)
    return np.asarray(numbers[codes])


def _exact_and_floats(values: pd.Series[Any], format: str | None) -> tuple[list[Any], Floats]:
    """The numbers that are there as they are, for the bounds, and as floats."""
    said = f"column {values.name!r} is said to be numerical, but"
    try:
        if format is not None and has_texts(values):
            floats = _formatted(values.dropna(), NumberFormat(format))
            exact: Any = floats
        else:
            if pd.api.types.is_datetime64_any_dtype(values.dtype):
                raise TypeError("dates")
            exact = pd.to_numeric(plain_values(values).dropna())
            floats = np.asarray(exact.to_numpy(dtype=float))
            exact = exact if pd.api.types.is_integer_dtype(exact.dtype) else floats
    except (ValueError, TypeError) as error:
        raise DataError(f"{said} holds other values: {error}") from error
    if not np.isfinite(floats).all():
        raise DataError(f"column {values.name!r} holds infinite values; replace or drop them")
    return [getattr(bound, "item", lambda bound=bound: bound)() for bound in (exact.min(), exact.max())], floats


def _precision(values: pd.Series[Any], numbers: Floats, format: str | None) -> tuple[int | None, int | None]:
    """Decimals, or significant digits, that tell the numbers apart."""
    if format is not None:
        return NumberFormat(format).decimals, None
    if pd.api.types.is_integer_dtype(values.dtype):
        return 0, None
    unique = np.unique(numbers)
    largest = float(np.abs(unique).max()) or 1.0
    spread = float((unique / largest).std() * largest) or largest
    noise = 1e-7 * np.abs(unique)  # what single precision and arithmetic leave behind
    for decimals in range(MAX_DECIMALS + 1):
        off = np.abs(unique - _rounded(unique, decimals))
        if (off <= np.minimum(noise, 10.0 ** -(decimals + 3))).all():
            return decimals, None
    digits = DIGITS + math.floor(math.log10(largest)) - math.floor(math.log10(spread))
    return None, int(np.clip(digits, DIGITS, 15))


def _rounded(numbers: Floats, decimals: int) -> Floats:
    """Rounded numbers; infinite ones where the largest floats overflow."""
    with np.errstate(over="ignore"):
        return np.asarray(np.round(numbers, decimals))


def _significant(value: Any, digits: int) -> str:
    if not value:
        return "0"
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    text = f"{mantissa}e{int(exponent):+03d}"  # a Decimal is written with fewer digits of the exponent
    return f"{Decimal(text):f}" if int(exponent) in POSITIONAL else text
