"""Columns of ids: they say nothing about a row, and a copied one points at a real row."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator
from typing import Any, Literal
from uuid import UUID

import pandas as pd
from pydantic import Field

from tagal_dspy.schema.columns.base import BaseColumn, ColumnOverride
from tagal_dspy.schema.columns.storage import dtype_named, is_textual, split_storage, stored

FEWEST_HEX_DIGITS = 16
"""Shorter random ids could be drawn twice."""

FEWEST_DIGITS = 3
"""Shorter numbers behind a common prefix are names such as T1 and T2, unless the column is called an id."""

MOST_CHARACTERS = 100
"""Longer texts are not random ids."""

_SAMPLE = 50

_ID_NAME = re.compile(r"(^|[_ .-])(?i:id|uuid|key)$|[a-z](Id|ID|Uuid|UUID|Key)$")
_COUNTER_NAME = re.compile(r"(^|[_ .-])(?i:index|no|number)$|[a-z](Index|No|Number)$|^(Unnamed:|column) \d+$")
_CODE = re.compile(r"(.*?)(\d+)(\D*)", re.DOTALL)
_UUID = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"


class IdColumn(BaseColumn):
    """Ids of rows: never shown, never asked of an LM, no part of a row's cells. The library writes fresh ones.

    They are numbered on from `last` between `prefix` and `suffix`, or random hexadecimal digits in the places of `x`
    (`X` for capitals) of a `layout` such as that of UUIDs.
    """

    kind: Literal["id"] = "id"
    prefix: str = ""
    suffix: str = ""
    width: int = Field(default=1, ge=1)
    last: int = 0
    layout: str = ""

    def fresh(self, n_rows: int, salt: str) -> pd.Series[Any]:
        """New ids of the original dtype, none of them real; equal arguments give equal ids.

        >>> IdColumn(name="order", dtype="object", prefix="ABC-", width=4, last=17).fresh(2, "").tolist()
        ['ABC-0018', 'ABC-0019']
        """
        numbers = range(self.last + 1, self.last + 1 + n_rows)
        kind, levels = split_storage(self.dtype)
        storage = levels if kind.startswith("category") else self.dtype
        if pd.api.types.is_numeric_dtype(dtype_named(storage)):
            texts = list(map(str, numbers))
        elif self.layout:
            texts = [_random(self.layout, f"{salt}/{self.name}/{i}") for i in range(n_rows)]
        else:
            texts = [f"{self.prefix}{number:0{self.width}d}{self.suffix}" for number in numbers]
        ids = stored(texts, storage)
        return ids.astype("category") if kind.startswith("category") else ids

    @classmethod
    def of(cls, values: pd.Series[Any], override: ColumnOverride) -> dict[str, Any]:
        """The fields of a column that the values make."""
        return {**(id_form(values) or form_of_its_own(values)), "missing_share": 0.0}  # every row gets a fresh one

    def findings(self, values: pd.Series[Any]) -> Iterator[str]:
        """How values are read that could be read otherwise, or do not come out as they are: phrases for people."""
        yield "ids, which are not shown to a model; synthetic rows get fresh ones"

    def described(self) -> str:
        """The values in words, for a prompt."""
        return "an id, which is added later and not to be written"

    def sdtype(self) -> dict[str, Any]:
        """The column in the metadata of SDV."""
        return {"sdtype": "id"}


def looks_like_ids(name: str, values: pd.Series[Any]) -> bool:
    """Whether a column holds ids.

    All values are there and differ, and they are whole numbers under a name like `order_id`; or rising whole numbers
    under a name like `order no`; or texts of one form, such as UUIDs or ABC-0001, under any name.
    """
    numeric = pd.api.types.is_integer_dtype(values.dtype)
    if not (numeric or is_textual(values)) or not values.head(_SAMPLE).is_unique:
        return False
    if values.isna().any() or not values.is_unique:
        return False
    named, counts = bool(_ID_NAME.search(name)), bool(_COUNTER_NAME.search(name))
    if numeric:
        return named or (counts and values.is_monotonic_increasing)
    if not all(isinstance(value, (str, UUID)) for value in values.head(_SAMPLE)):
        return False
    form = id_form(values)
    if "layout" in form or not form:
        return bool(form)
    return named or counts or (form["width"] >= FEWEST_DIGITS and any(map(str.isalpha, form["prefix"])))


def id_form(values: pd.Series[Any]) -> dict[str, Any]:
    """The fields of an `IdColumn` that say how its ids are written; empty where they have no form in common."""
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
        return {"last": math.floor(values.max())}
    texts = values.dropna().astype(str)
    layout = _layout(texts)
    return {"layout": layout} if layout else _numbering(texts)


def form_of_its_own(values: pd.Series[Any]) -> dict[str, Any]:
    """A form for ids that have none in common, which no real one begins with."""
    prefix = "synthetic-"
    while values.dropna().astype(str).str.startswith(prefix).any():
        prefix += "synthetic-"
    return {"prefix": prefix}


def _layout(texts: pd.Series[Any]) -> str:
    """What random hexadecimal ids have in common; empty where they are none."""
    layout = re.sub("[0-9A-Fa-f]", "x", texts.iloc[0][: MOST_CHARACTERS + 1])
    if len(layout) > MOST_CHARACTERS or set(layout) - {"x", "-"} or layout.count("x") < FEWEST_HEX_DIGITS:
        return ""
    for digit, letters in (("x", "a-f"), ("X", "A-F")):
        shape = layout.replace("x", f"[0-9{letters}]")
        if texts.str.fullmatch(shape).all() and texts.str.contains(f"[{letters}]").any():
            return layout.replace("x", digit)
    return ""


def _numbering(texts: pd.Series[Any]) -> dict[str, Any]:
    """What numbered ids have in common; empty where they are none."""
    first = _CODE.fullmatch(texts.iloc[0])
    if first is None or re.search(r"\s", first[1] + first[3]):
        return {}
    prefix, _, suffix = first.groups()
    shape = f"{re.escape(prefix)}[0-9]{{1,18}}{re.escape(suffix)}"
    if not texts.head(_SAMPLE).str.fullmatch(shape).all() or not texts.str.fullmatch(shape).all():
        return {}
    digits = texts.str.slice(len(prefix), -len(suffix) or None)
    return {
        "prefix": prefix,
        "suffix": suffix,
        "width": int(digits.str.len().min()),
        "last": int(pd.to_numeric(digits).max()),
    }


def _random(layout: str, name: str) -> str:
    digits = iter(hashlib.shake_256(name.encode()).hexdigest(len(layout)))
    text = "".join(next(digits) if place in "xX" else place for place in layout)
    if layout.lower() == _UUID:  # of version 4, which is the random one
        text = f"{text[:14]}4{text[15:19]}{'89ab'[int(text[19], 16) % 4]}{text[20:]}"
    return text.upper() if "X" in layout else text
