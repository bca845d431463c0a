"""Numbers in one written form: the part of spreadsheets' number formats that tables use, such as `$#,##0.00`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

GROUPS = (",", ".", " ", "\u00a0", "\u202f", "'")
"""What stands between thousands."""

MOST_DIGITS = 15
"""Of a number in a written form: a float keeps as many."""

_FORMAT = re.compile(
    r"(?P<prefix>[^#0]*)(?:#(?P<group>[^#0])##)?(?P<unit>[0#])(?:(?P<point>[.,])(?P<fixed>0*)(?P<more>#*))?(?P<suffix>[^#0]*)"
)
_CELL = re.compile(r"(?P<prefix>[^\d.,]*)(?P<body>[\d., '\u00a0\u202f]*\d)(?P<suffix>[^\d]*)")
_PREFIX = re.compile(r"\s*(?:[^\W\d_]{0,3}[$€£¥₹₩₽₺₴฿₫]|USD|EUR|GBP|CHF|JPY|CNY|CAD|AUD|INR)?\s*")
"""Blanks and a currency: other words before a number make a code of it."""

_SUFFIX = re.compile(r"\s*(?:[$€£¥₹₩₽₺₴฿₫]|[%‰°]|[^\W\d_°%]{1,6}|[^\W\d_]*[°µ/²³][^\d\s;#]*)?\s*")
"""Blanks and a unit."""

_SAMPLE = 50


class NumberFormat:
    """Reads and writes numbers in one form.

    The form has a prefix, `0` or, with thousands apart, `#,##0`, a point with a `0` for each decimal that is always
    written and a `#` for each that may be, and a suffix. Behind a semicolon stands the form of negative numbers, where
    they are not written with a minus in front. `#` instead of the `0` before the point leaves a single zero out.

    >>> NumberFormat("$#,##0.00").write(Decimal("-1021.5"))
    '-$1,021.50'
    >>> NumberFormat("#,##0;(#,##0)").read("(833)")
    Decimal('-833')
    """

    def __init__(self, text: str) -> None:
        self.text = text
        positive, _, negative = text.partition(";")
        found, other = _FORMAT.fullmatch(positive), _FORMAT.fullmatch(negative or f"-{positive}")
        if found is None or other is None or found["point"] == found["group"] is not None:
            raise ValueError(f"format {text!r} is not supported; write it like 0.00, #,##0, $#,##0.00 or 0.0%")
        self._parts, self._negative = found, (other["prefix"], other["suffix"])

    @property
    def decimals(self) -> int:
        """Decimals at most."""
        return len(self._parts["fixed"] or "") + len(self._parts["more"] or "")

    @property
    def is_plain(self) -> bool:
        """Whether every number in this form is a number to a computer as well."""
        return not self._parts["group"] and self.point in ("", ".") and self._sides == ("", "") and ";" not in self.text

    @property
    def point(self) -> str:
        """The decimal sign; empty for whole numbers."""
        return self._parts["point"] or ""

    @cached_property
    def pattern(self) -> str:
        """A regular expression of exactly what `write` writes."""
        part = self._parts
        whole = rf"(?:0|[1-9]\d{{0,2}}(?:{re.escape(part['group'])}\d{{3}})*)" if part["group"] else r"(?:0|[1-9]\d*)"
        if part["unit"] == "#":
            whole = r"(?:[1-9]\d*)?"
        fraction = ""
        if part["point"]:
            n_fixed, n_more = len(part["fixed"]), len(part["more"])
            point = re.escape(part["point"])
            more = rf"(?:\d{{0,{n_more - 1}}}[1-9])" if n_more else ""
            optional = rf"{more}?" if n_more else ""
            fraction = rf"{point}\d{{{n_fixed}}}{optional}" if n_fixed else rf"(?:{point}{more})?"
        body = f"{whole}{fraction}"
        sides = ((part["prefix"], part["suffix"]), self._negative)
        return "^(?:" + "|".join(f"{re.escape(before)}{body}{re.escape(after)}" for before, after in sides) + ")$"

    def write(self, number: Decimal) -> str:
        """The number in this form, rounded to its decimals."""
        part, n_fixed = self._parts, len(self._parts["fixed"] or "")
        rounded = abs(round(number, self.decimals))
        digits, _, fraction = f"{rounded:f}".partition(".")
        if part["group"]:
            digits = f"{int(digits):,}".replace(",", part["group"])
        if part["unit"] == "#" and digits == "0":
            digits = ""
        fraction = fraction[:n_fixed] + fraction[n_fixed:].rstrip("0")
        body = digits + (part["point"] + fraction if fraction else "")
        before, after = self._negative if number < 0 and rounded else (part["prefix"], part["suffix"])
        return before + body + after

    def read(self, text: str) -> Decimal:
        """The number that a text in this form stands for; raises `ValueError`."""
        if not re.fullmatch(self.pattern, text):
            raise ValueError(f"{text!r} is not written as {self.text}")
        return Decimal(self._bare(text))

    def read_all(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The numbers of many texts; raises `ValueError`."""
        array = pa.array(texts, pa.string())
        wrong = pc.index(self.fits(array), pa.scalar(False)).as_py()
        if wrong >= 0:
            raise ValueError(f"{texts[wrong]!r} is not written as {self.text}")
        if self.is_plain:
            return np.asarray(pc.cast(array, pa.float64()))
        return np.array([float(self._bare(text)) for text in texts])

    def fits(self, texts: Any) -> Any:
        """Whether each text of an Arrow array is in this form."""
        return pc.match_substring_regex(texts, self.pattern)

    def _bare(self, text: str) -> str:
        before, after = self._negative
        is_negative = text.startswith(before) and text.endswith(after) and (before, after) != self._sides
        start, end = (before, after) if is_negative else self._sides
        body = text[len(start) : len(text) - len(end)]
        body = body.replace(self._parts["group"], "") if self._parts["group"] else body
        body = body.replace(",", ".")
        return f"-{body}" if is_negative else body

    @property
    def _sides(self) -> tuple[str, str]:
        return self._parts["prefix"], self._parts["suffix"]


def recognised_format(texts: Any, decimal: str | None = None) -> NumberFormat | None:
    """The form in which all texts are written; None where they have none, or are codes.

    Args:
        texts: distinct ones, an Arrow array.
        decimal: the decimal sign where that is known; else `1,234` is read with thousands apart.
    """
    sample = texts[:_SAMPLE].to_pylist()
    if not sample or max(map(len, sample)) > _LONGEST:
        return None
    sides = _sides(sample)
    if sides is None:
        return None
    candidates = (_format(texts, *sides, group, point) for group, point in _separators(decimal))
    return next((form for form in candidates if form and pc.all(form.fits(texts)).as_py()), None)


_LONGEST = 40


def _sides(sample: Sequence[str]) -> tuple[str, str, str] | None:
    """What stands before and after all numbers, and how negative ones are written, with `{}` for the number."""
    bracketed = any(text.startswith("(") and text.endswith(")") for text in sample)
    bare = [text[1:-1] if bracketed and text[:1] == "(" else text.removeprefix("-") for text in sample]
    cells = [_CELL.fullmatch(text) for text in bare]
    prefixes = {cell["prefix"] for cell in cells if cell}
    suffixes = {cell["suffix"] for cell in cells if cell}
    prefix = min(prefixes, key=len, default="")
    if None in cells or not prefixes <= {prefix, f"{prefix}-"} or len(suffixes) > 1:
        return None
    [suffix] = suffixes
    if not _PREFIX.fullmatch(prefix) or not _SUFFIX.fullmatch(suffix):
        return None
    if bracketed:
        return prefix, suffix, f"({prefix}{{}}{suffix})"
    inside = len(prefixes) > 1
    return prefix, suffix, f"{prefix}-{{}}{suffix}" if inside else ""


def _separators(decimal: str | None) -> Iterator[tuple[str, str]]:
    """What may stand between thousands and before decimals, the likeliest first."""
    points = (",", ".") if decimal == "," else (".", ",")
    pairs = [(group, point) for point in points for group in ("", *GROUPS) if group != point]
    if decimal is None:  # one comma before three digits parts thousands
        pairs.remove((",", "."))
        pairs.insert(1, (",", "."))
    yield from pairs


def _format(texts: Any, prefix: str, suffix: str, negative: str, group: str, point: str) -> NumberFormat | None:
    """The only format with these parts that all texts could be in."""
    lengths = pc.utf8_length(pc.replace_substring_regex(texts, rf"^[^{point}]*(?:[{point}](\d*))?[^{point}]*$", r"\1"))
    bounds = pc.min_max(lengths).as_py()
    whole = pc.replace_substring_regex(texts, rf"[{point}]\d*[^{point}]*$", "")
    if _n_digits(whole) + bounds["max"] > MOST_DIGITS or (group.isspace() and _are_alike(texts)):
        return None
    unit = "#" if pc.any(pc.match_substring_regex(texts, rf"(^|[^\d])[{point}]\d")).as_py() else "0"
    digits = f"#{group}##{unit}" if group else unit
    fraction = "0" * bounds["min"] + "#" * (bounds["max"] - bounds["min"])
    number = digits + (point + fraction if fraction else "")
    positive = f"{prefix}{number}{suffix}"
    return NumberFormat(f"{positive};{negative.format(number)}" if negative else positive)


def _n_digits(texts: Any) -> int:
    lengths = pc.utf8_length(pc.replace_substring_regex(texts, r"\D", ""))
    return int(pc.max(lengths).as_py())


def _are_alike(texts: Any) -> bool:
    """Whether all have as many digits, and many: phone numbers are written in groups, too."""
    bounds = pc.min_max(pc.utf8_length(texts)).as_py()
    return bool(bounds["min"] == bounds["max"] and _n_digits(texts) >= 9)
