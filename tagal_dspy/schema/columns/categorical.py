"""Columns of categories and truth values."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from tagal_dspy.schema.columns.base import BaseColumn, CellError
from tagal_dspy.schema.columns.casting import TRUTH, cast


class CategoricalColumn(BaseColumn):
    """One value out of a closed set, each with its share of the rows that are not missing.

    A category with a share of 0 is a level of the dtype that no real row has: it stays in the dtype, is never offered
    and not accepted.
    """

    kind: Literal["categorical", "boolean"] = "categorical"
    categories: tuple[str, ...]
    shares: tuple[float, ...] = ()

    @cached_property
    def offered(self) -> tuple[str, ...]:
        """The categories that may be written."""
        if not self.shares:
            return self.categories
        return tuple(category for category, share in zip(self.categories, self.shares, strict=True) if share > 0)

    @cached_property
    def _exact(self) -> frozenset[str]:
        return frozenset(self.offered)

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
        if self.kind == "boolean" and set(self.categories) <= TRUTH.keys() and not self.dtype.startswith("category"):
            return pd.Series([None if text is None else TRUTH[text] for text in texts], dtype=self.dtype)
        if self.dtype.startswith("category"):
            levels = cast(pd.Series(self.categories, dtype=object), self.dtype.partition(":")[2])
            codes = [-1 if text is None else self.categories.index(text) for text in texts]
            ordered = self.dtype.startswith("category[ordered]")
            return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(levels), ordered=ordered))
        return cast(pd.Series(list(texts), dtype=object), self.dtype)


def category_text(value: Any) -> str:
    """Canonical text of one category: whole floats without their point, everything else as `str` writes it.

    >>> category_text(1.0), category_text("Yes"), category_text(True)
    ('1', 'Yes', 'True')
    """
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)
