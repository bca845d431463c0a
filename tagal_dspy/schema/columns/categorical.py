"""Columns of categories and truth values."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError, nearest
from tagal_dspy.schema.columns.base import MARKERS, CellCheck, CellColumn, CellError, ColumnOverride, Floats, Spelling
from tagal_dspy.schema.columns.storage import is_number, split_storage, stored

LONGEST_CATEGORY = 500

MAX_LISTED = 40
"""Categories that are described with their share; of more, the most frequent ones, and how many others there are."""

FEW_WORDS = 0.1
"""Share of the categories up to which words among numbers may stand for missing ones."""


class CategoricalColumn(CellColumn):
    """One value out of a closed set, each with its share of the rows that are not missing.

    A category with a share of 0 is a level of the dtype that no real row has: it stays in the dtype, is never offered
    and not accepted.
    """

    is_closed: ClassVar[bool] = True

    kind: Literal["categorical", "boolean"] = "categorical"
    categories: tuple[str, ...]
    shares: tuple[float, ...] = ()

    @classmethod
    def of(cls, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
        """The fields of a column that the values make; raises `DataError`."""
        codes, unique = pd.factorize(values)
        counts: Counter[str] = Counter()
        for value, count in zip(unique, np.bincount(codes[codes >= 0], minlength=len(unique)), strict=True):
            counts[category_text(value)] += int(count)
        longest = max(map(len, counts))
        if longest > LONGEST_CATEGORY:
            raise DataError(
                f"column {values.name!r} has a category of {longest} characters, and at most {LONGEST_CATEGORY} fit a "
                "prompt; shorten it, or make it a text column that is not the target"
            )
        if isinstance(values.dtype, pd.CategoricalDtype):
            ordered = list(values.cat.categories.map(category_text))
        else:
            ordered = sorted(counts)
        return {"categories": tuple(ordered), "shares": tuple(counts[each] / counts.total() for each in ordered)}

    @cached_property
    def offered(self) -> tuple[str, ...]:
        """The categories that may be written."""
        if not self.shares:
            return self.categories
        return tuple(category for category, share in zip(self.categories, self.shares, strict=True) if share > 0)

    @property
    def longest(self) -> int:
        """Characters of a canonical text at most."""
        return max(map(len, self.offered))

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.offered)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {category: place for place, category in enumerate(self.categories)}

    @cached_property
    def _loose(self) -> dict[str, str]:
        """Categories by their spelling without outer blanks and case, where that is unique."""
        loose: dict[str, str] = {}
        clashes: set[str] = set()
        for category in self.offered:
            key = category.strip().casefold()
            clashes |= {key} & loose.keys()
            loose[key] = category
        return {key: value for key, value in loose.items() if key not in clashes}

    def number(self, text: str) -> float:
        """The place of a category in the list."""
        return float(self._places[text])

    def numbers(self, values: pd.Series[Any]) -> Floats:
        """The places of categories in the list."""
        texts = self.render(values)
        return np.array([np.nan if text is None else self.number(text) for text in texts])

    def shown(self, number: float) -> str:
        """The category at a place of the list."""
        return self.categories[int(number)]

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        codes, unique = pd.factorize(self.present(values))
        texts = [category_text(value) for value in unique]
        return [texts[code] if code >= 0 else None for code in codes.tolist()]

    def canonical(self, text: str | None) -> str | None:
        """The category that an LM meant."""
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
        """Values of the original dtype, from canonical texts."""
        if not self.dtype.startswith("category"):
            return self.written(texts)
        kind, levels = split_storage(self.dtype)
        codes = [-1 if text is None else self._places[text] for text in texts]
        index = pd.Index(stored(self.categories, levels))
        return pd.Series(pd.Categorical.from_codes(codes, categories=index, ordered=kind == "category[ordered]"))

    def rule(self, spelling: Spelling) -> str:
        """The grammar of a cell that is not missing."""
        return spelling.closed(self.name, self.offered)

    def narrowed(self, checks: Sequence[CellCheck]) -> CategoricalColumn | None:
        """The categories that meet all checks."""
        left = [each for each in self.offered if all(check.met_by(each) for check in checks)]
        return self.changed(categories=left, shares=()) if left else None

    def comparable(self, value: str | Decimal | bool, *, ordered: bool) -> Any:
        """The category of a condition; a number where all categories are numbers and an order is asked for."""
        if ordered:
            if not self.is_ordered:
                raise ValueError("holds categories; compare with ==, != or `in`")
            return _number(value)
        text = f"{value:f}" if isinstance(value, Decimal) else str(value)
        if isinstance(value, Decimal) and "." in text:
            text = text.rstrip("0").rstrip(".")  # a category is written 1, not 1.0
        try:
            found = self.canonical(text)
        except CellError:
            found = None
        if found is not None:
            return found
        advice = nearest(text, self.offered) if text.strip() else "a missing value is written missing, without quotes"
        raise ValueError(f"has no category {text[:40]!r}; {advice}")

    @cached_property
    def is_ordered(self) -> bool:
        """Whether all categories are numbers."""
        return all(map(is_number, self.offered))

    @property
    def ordered_as(self) -> str:
        """Numbers, where all categories are: a column of two different numbers is categorical."""
        return "numbers" if self.is_ordered else ""

    def findings(self, values: pd.Series[Any]) -> Iterator[str]:
        """How values are read that could be read otherwise, or do not come out as they are: phrases for people."""
        yield from super().findings(values)
        shares = dict(zip(self.categories, self.shares, strict=False))
        for marker in (each for each in self.offered if each.strip().casefold() in MARKERS):
            yield (
                f"{marker!r} ({shares.get(marker, 0.0):.1%}) is a category; if it stands for a missing value, write "
                f"missing = [{marker!r}] in the schema file"
            )
        words = [each for each in self.offered if not is_number(each) and each.strip().casefold() not in MARKERS]
        if 0 < len(words) <= len(self.offered) * FEW_WORDS:
            yield (
                f"categories, which are numbers but for {', '.join(map(repr, words[:3]))}; if that stands for a "
                f"missing value, write missing = {words[:3]} in the schema file"
            )

    def summary(self) -> str:
        """The values in a few words."""
        return f"one of {len(self.offered)} categories" + (", or missing" if self.nullable else "")

    def described(self) -> str:
        """The values in words, for a prompt."""
        if not self.shares:
            return "one of " + ", ".join(map(_quoted, self.categories))
        pairs = [pair for pair in zip(self.categories, self.shares, strict=True) if pair[1] > 0]
        if len(pairs) > MAX_LISTED:
            pairs = sorted(pairs, key=lambda pair: -pair[1])[:MAX_LISTED]
        listing = ", ".join(f"{_quoted(category)} ({share * 100:.1f} %)" for category, share in pairs)
        others = len(self.offered) - len(pairs)
        return f"one of {listing}" + (f" and {others} rarer ones" if others else "")

    def sdtype(self) -> dict[str, Any]:
        """The column in the metadata of SDV."""
        values = [value.item() if hasattr(value, "item") else value for value in self.restore(self.categories)]
        return {"sdtype": "categorical", "range_values": values, "range_is_nullable": self.nullable}


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: str | Decimal | bool) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, str) and is_number(value):
        raise ValueError(f"holds numbers; write {value.strip()} without quotes")
    raise ValueError("holds numbers; give a number")


def named_values(checks: Iterable[CellCheck]) -> set[Any]:
    """The values that checks name as those that may be."""
    return {value for check in checks if check.is_list for value in check.values}


def listed(column: CellColumn, texts: Iterable[str], checks: Sequence[CellCheck]) -> CategoricalColumn | None:
    """A column of the texts that another one takes and that meet all checks; None where there are none."""
    fitting = tuple(text for text in sorted(texts) if _takes(column, text) and all(c.met_by(text) for c in checks))
    if not fitting:
        return None
    kept = {"name": column.name, "dtype": column.dtype, "description": column.description}
    return CategoricalColumn.model_validate({**kept, "categories": fitting})


def _takes(column: CellColumn, text: str) -> bool:
    try:
        return column.canonical(text) is not None
    except CellError:
        return False


def category_text(value: Any) -> str:
    """Canonical text of one category: whole floats without their point, everything else as `str` writes it.

    >>> category_text(1.0), category_text("Yes"), category_text(True)
    ('1', 'Yes', 'True')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)
