"""What all column kinds share, what each implements, and why a cell or a row can be rejected."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from datetime import date, time
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, Union, get_args

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, PlainValidator

from tagal_dspy.characters import as_unicode
from tagal_dspy.schema.columns.storage import stored

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

Kind = Literal["numerical", "categorical", "boolean", "datetime", "text", "id"]

Row = tuple[Union[str, None], ...]
"""Canonical text of one row, in the order of the schema's columns; None is a missing value."""

Floats = np.ndarray[Any, np.dtype[np.float64]]

MARKERS = frozenset({"na", "n/a", "#n/a", "n.a.", "nan", "null", "none", "nil", "?", "-", "--", ".", "missing"})
"""What may stand for a missing value among numbers, in small letters."""

MAX_SHOWN = 300
"""Characters that are kept of a rejected row, and of what is wrong with it."""


class Reject(NamedTuple):
    """One row that was not accepted: what came, which column, and why (a reason of the closed set)."""

    reason: RejectReason
    text: str
    detail: str = ""

    @classmethod
    def of(cls, reason: RejectReason, text: str, detail: str = "") -> Reject:
        """A reject that can be kept and shown, whatever was written: cut to `MAX_SHOWN` characters of Unicode."""
        return cls(reason, as_unicode(text[:MAX_SHOWN]), as_unicode(detail[:MAX_SHOWN]))


class CellError(ValueError):
    """A cell does not fit its column; `reason` is one of `REJECT_REASONS`.

    `canonical` is the canonical text of a cell that is only out of range.
    """

    def __init__(self, reason: RejectReason, detail: str, canonical: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.canonical = canonical


def _bound(value: object) -> int | float | str:
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError("expected a finite number, or a date or time")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("expected a finite number, or a date or time")
    return value


Bound = Annotated[Union[int, float, str], PlainValidator(_bound)]
"""A number; for dates and times ISO text, or the date that TOML has."""


class ColumnOverride(BaseModel):
    """What a user knows better about a column than its values show."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind | None = None
    description: str = ""
    minimum: Bound | None = None
    maximum: Bound | None = None
    format: str | None = None
    """Of dates and times, as `strftime` has it: `%d/%m/%Y`; of numbers, as spreadsheets have it: `$#,##0.00`."""
    missing: tuple[str, ...] = ()
    """What stands for a missing value in a column of texts."""


class Spelling(Protocol):
    """How a wire format writes cells, as rules of a grammar."""

    def closed(self, name: str, texts: Sequence[str]) -> str:
        """One of some texts."""

    def plain(self, name: str, rule: str, *, is_number: bool) -> str:
        """What a rule derives, which has no character that needs quotes."""

    def free(self, name: str, max_length: int, multiline: bool) -> str:
        """Any text of up to so many characters."""


class CellCheck(Protocol):
    """A comparison of a condition: see `tagal_dspy.conditions`."""

    @property
    def operator(self) -> str:
        """Such as `<=`."""

    @property
    def values(self) -> frozenset[Any]:
        """What cells are compared with, as `comparable` reads it."""

    @property
    def is_list(self) -> bool:
        """Whether the values are those that may be."""

    @property
    def excludes(self) -> bool:
        """Whether the values are those that may not be."""

    def met_by(self, cell: str | None) -> bool:
        """Whether a canonical cell meets it."""


class BaseColumn(BaseModel):
    """Name, dtype and share of missing values; the kinds add what their values are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    is_number: ClassVar[bool] = False
    """Whether values are numbers."""
    is_closed: ClassVar[bool] = False
    """Whether values are of a closed set, without an order."""
    is_free: ClassVar[bool] = False
    """Whether values are any text."""

    name: str
    dtype: str
    description: str = ""
    missing_share: float = Field(default=0.0, ge=0.0, le=1.0)

    @property
    def nullable(self) -> bool:
        """Whether the real column has missing values; only then may a generated one."""
        return self.missing_share > 0

    @property
    def ordered_as(self) -> str:
        """What values are in an order: numbers, dates or times of day; empty where they have none."""
        return ""

    @classmethod
    @abstractmethod
    def of(cls, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
        """The fields of a column that the values, and what is known better, make; raises `DataError`."""

    @abstractmethod
    def described(self) -> str:
        """The values in words, for a prompt."""

    def summary(self) -> str:
        """The values in a few words."""
        return self.described()

    @abstractmethod
    def findings(self, values: pd.Series[Any]) -> Iterator[str]:
        """How values are read that could be read otherwise, or do not come out as they are: phrases for people."""

    @abstractmethod
    def sdtype(self) -> dict[str, Any]:
        """The column in the metadata of SDV."""


class CellColumn(BaseColumn):
    """A column that rows have cells for. Its kinds differ in what follows, and nowhere else.

    Contract: for every real value `canonical` takes the text of `render` and gives it back. Texts are equal exactly
    when values are, to the digits that are shown, and `restore(render(values))` gives the values back to these digits.
    Every text that `rule` derives is taken by `canonical`.
    """

    format: str | None = None
    """The form in which values are written, where the kind has such forms."""
    missing: tuple[str, ...] = ()
    """Texts that stand for a missing value in the real table; the first is written, a blank where it is empty."""

    @property
    def offered(self) -> tuple[str, ...]:
        """The values that may be written, where they are a closed set."""
        return ()

    @property
    @abstractmethod
    def longest(self) -> int:
        """Characters of a canonical text at most."""

    @abstractmethod
    def render(self, values: pd.Series[Any]) -> list[str | None]:
        """Canonical text of each value; None where it is missing."""

    @abstractmethod
    def canonical(self, text: str | None) -> str | None:
        """Canonical form of what an LM wrote; raises `CellError`."""

    @abstractmethod
    def restore(self, texts: Sequence[str | None]) -> pd.Series[Any]:
        """Values of the original dtype, from canonical texts."""

    @abstractmethod
    def number(self, text: str) -> float:
        """A canonical text as a number, for comparisons."""

    @abstractmethod
    def numbers(self, values: pd.Series[Any]) -> Floats:
        """Real values as numbers, NaN where they are missing; raises `ValueError` where one is of another kind."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The range of what `number` gives."""
        return -math.inf, math.inf

    @abstractmethod
    def shown(self, number: float) -> str:
        """What `number` gives, in words or as canonical text."""

    @abstractmethod
    def rule(self, spelling: Spelling) -> str:
        """The grammar of a cell that is not missing."""

    @abstractmethod
    def narrowed(self, checks: Sequence[CellCheck]) -> CellColumn | None:
        """The column with the present values that meet all checks, for a grammar; None where there are none."""

    @abstractmethod
    def comparable(self, value: str | Decimal | bool, *, ordered: bool) -> Any:
        """A value of a condition in the form that `key` gives cells; raises `ValueError` with advice."""

    def key(self, text: str) -> Any:
        """What a canonical text is compared as."""
        return text

    def findings(self, values: pd.Series[Any]) -> Iterator[str]:
        """How values are read that could be read otherwise, or do not come out as they are: phrases for people."""
        if any(self.missing):
            shown = " and ".join(repr(text) if text else "a blank" for text in self.missing)
            yield f"missing where the table has {shown}; {self.missing[0]!r} is written"

    def changed(self, **fields: Any) -> Any:
        """A column of the same kind with other fields, checked again."""
        return type(self).model_validate({**self.model_dump(), **fields})

    def present(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values with None in place of the texts that stand for a missing one."""
        return values.mask(values.isin(self.missing)) if self.missing else values

    def written(self, texts: Sequence[str | None]) -> pd.Series[Any]:
        """Texts as the column stores them, missing ones as the real table writes them."""
        missing = (self.missing[0] or None) if self.missing else None
        return stored([missing if text is None else text for text in texts] if missing else texts, self.dtype)

    def cells(self, values: pd.Series[Any]) -> pd.Series[Any]:
        """Values as a file has them: in the form of the real table where they are stored as numbers."""
        if not self.missing or not self.missing[0]:
            return values
        return values.astype(object).where(values.notna(), self.missing[0])

    def missing_or(self, text: str | None) -> str | None:
        """The stripped text, or None where it is blank; a blank that the column never has is `wrong_type`."""
        stripped = (text or "").strip()
        if stripped and stripped not in self.missing:
            return stripped
        if self.nullable:
            return None
        raise CellError("wrong_type", f"{self.name!r} is empty, and it never is in the real table")
