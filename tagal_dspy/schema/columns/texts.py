"""Columns of free text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from tagal_dspy.schema.columns.base import BaseColumn, CellError
from tagal_dspy.schema.columns.casting import cast

MAX_CHARACTERS = 500
"""Real texts are cut to so many characters: prompts hold many of them."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters but for the line feed and the tab, and halves of surrogate pairs."""


class TextColumn(BaseColumn):
    """Free text up to the longest length seen.

    Blanks around a text do not belong to it, a blank text is a missing one, and a line ends with a line feed alone.
    """

    kind: Literal["text"] = "text"
    max_length: int = Field(ge=1, le=MAX_CHARACTERS)
    mean_length: float | None = None
    multiline: bool = False

    def number(self, text: str) -> float:
        """The length of a text, for comparisons."""
        return float(len(text))

    def numbers(self, values: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
        """The lengths of real texts, NaN where they are missing."""
        return np.array([np.nan if text is None else len(text) for text in cleaned(values)])

    def shown(self, number: float) -> str:
        """A length in words."""
        return f"{number:.0f} characters"

    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""
        return cleaned(values)

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
        """Values of the original dtype."""
        return cast(pd.Series(list(texts), dtype=object), self.dtype)


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
