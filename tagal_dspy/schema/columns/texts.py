"""Columns of free text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from tagal_dspy.errors import DataError
from tagal_dspy.schema.columns.base import CellCheck, CellColumn, CellError, ColumnOverride, Floats, Spelling
from tagal_dspy.schema.columns.categorical import listed, named_values

MAX_CHARACTERS = 500
"""Real texts are cut to so many characters: prompts hold many of them."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but for the line feed and the tab, and halves of surrogate pairs."""


class TextColumn(CellColumn):
    """Free text up to the longest length seen.

    Blanks around a text do not belong to it, a blank text is a missing one, and a line ends with a line feed alone.
    """

    is_free: ClassVar[bool] = True

    kind: Literal["text"] = "text"
    max_length: int = Field(ge=1, le=MAX_CHARACTERS)
    mean_length: float | None = None
    multiline: bool = False

    @classmethod
    def of(cls, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
        """The fields of a column that the values make; raises `DataError`."""
        texts = cleaned(values)
        present = [text for text in texts if text is not None]
        if not present:
            raise DataError(f"column {values.name!r} is said to be text, but all of its values are blank")
        lengths = [len(text) for text in present]
        return {
            "missing_share": 1 - len(present) / len(texts),
            "max_length": max(lengths),
            "mean_length": sum(lengths) / len(lengths),
            "multiline": any("\n" in text for text in present),
        }

    @property
    def longest(self) -> int:
        """Characters of a canonical text at most."""
        return self.max_length

    def number(self, text: str) -> float:
        """The length of a text, for comparisons."""
        return float(len(text))

    def numbers(self, values: pd.Series[Any]) -> Floats:
        """The lengths of real texts, NaN where they are missing."""
        return np.array([np.nan if text is None else len(text) for text in cleaned(self.present(values))])

    def shown(self, number: float) -> str:
        """A length in words."""
        return f"{number:.0f} characters"

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        return cleaned(self.present(values))

    def canonical(self, text: str | None) -> str | None:
        """Canonical form of what an LM wrote; raises `CellError`."""
        stripped = self.missing_or(text)
        if stripped is None:
            return None
        stripped = _with_line_feeds(stripped)
        if _CONTROL.search(stripped):
            raise CellError("wrong_type", f"{self.name!r} holds control characters")
        if "\n" in stripped and not self.multiline:
            raise CellError("wrong_type", f"{self.name!r} has several lines, and it never has in the real table")
        if len(stripped) > self.max_length:
            raise CellError("out_of_range", f"{self.name!r} has {len(stripped)} characters, over {self.max_length}")
        return stripped

    def restore(self, texts: Sequence[str | None]) -> pd.Series[Any]:
        """Values of the original dtype, from canonical texts."""
        return self.written(texts)

    def rule(self, spelling: Spelling) -> str:
        """The grammar of a cell that is not missing."""
        return spelling.free(self.name, self.max_length, self.multiline)

    def narrowed(self, checks: Sequence[CellCheck]) -> CellColumn | None:
        """The texts that the checks name; else any text."""
        return listed(self, named_values(checks), checks) if any(check.is_list for check in checks) else self

    def comparable(self, value: str | Decimal | bool, *, ordered: bool) -> str:
        """The text of a condition."""
        if ordered:
            raise ValueError("holds texts; compare with ==, != or `in`")
        if isinstance(value, str) and value.strip():
            return value.strip()
        raise ValueError("holds texts; give one in quotes")

    def findings(self, values: pd.Series[Any]) -> Iterator[str]:
        """Also how many texts are changed."""
        yield from super().findings(values)
        n_changed = sum(text != value for text, value in zip(cleaned(values), values, strict=True) if text is not None)
        if n_changed:
            yield f"{n_changed} texts lose blanks around them, control characters or their end"

    def summary(self) -> str:
        """The values in a few words."""
        return f"a text of up to {self.max_length} characters"

    def described(self) -> str:
        """The values in words, for a prompt."""
        mean = "" if self.mean_length is None else f", {self.mean_length:.0f} on average"
        lines = ", in one or more lines" if self.multiline else ""
        return f"text of up to {self.max_length} characters{mean}{lines}"

    def sdtype(self) -> dict[str, Any]:
        """The column in the metadata of SDV."""
        return {"sdtype": "text", "pii": False, "range_is_nullable": self.nullable}


def cleaned(values: pd.Series[Any]) -> list[str | None]:
    """Canonical text of real values: stripped, cut, without control characters; None where nothing is left."""
    present: Iterable[bool] = values.notna()
    return [_cleaned(str(value)) if there else None for value, there in zip(values, present, strict=True)]


def _cleaned(text: str) -> str | None:
    text = _with_line_feeds(text)
    if _CONTROL.search(text):
        text = _CONTROL.sub("", text)
    return text.strip()[:MAX_CHARACTERS].rstrip() or None


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
