"""What all column kinds share, and why a cell or a row can be rejected."""

from __future__ import annotations

from typing import Literal, NamedTuple, Union, get_args

from pydantic import BaseModel, ConfigDict, Field

from tagal_dspy.characters import as_unicode

RejectReason = Literal[
    "unparsable",
    "wrong_width",
    "unknown_category",
    "out_of_range",
    "wrong_type",
    "constraint",
    "duplicate",
    "collision",
    "label_noise",
    "quota_full",
]
REJECT_REASONS: tuple[RejectReason, ...] = get_args(RejectReason)

Kind = Literal["numerical", "categorical", "boolean", "datetime", "text", "id"]

Row = tuple[Union[str, None], ...]
"""Canonical text of one row, in the order of the schema's columns; None is a missing value."""


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
    """A cell does not fit its column; `reason` is one of `REJECT_REASONS`."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class BaseColumn(BaseModel):
    """Name, dtype and share of missing values; the kinds add what their values are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
