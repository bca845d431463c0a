"""Hypothesis strategies: schemas with awkward names and values, and rows that fit them."""

from __future__ import annotations

import unicodedata
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import cast

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from tagal_dspy.acceptance import RowFilter
from tagal_dspy.schema import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    IdColumn,
    ModelledColumn,
    NumericalColumn,
    Row,
    TableSchema,
    TextColumn,
)
from tagal_dspy.schema.columns.moments import FORMATS, MomentFormat
from tagal_dspy.task import TableTask

AWKWARD = "ab ,.;:\"'\\/{}[]()|=-_\n\r\t`é東🙂1"


def _texts(alphabet: str = AWKWARD) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=1, max_size=8).filter(str.strip)


@st.composite
def numerical(draw: st.DrawFn, name: str = "x", reach: int = 10**7) -> NumericalColumn:
    decimals = draw(st.integers(0, 4))
    low, high = sorted(draw(st.tuples(st.integers(-reach, reach), st.integers(-reach, reach))))
    scale = 10**decimals
    nullable = draw(st.booleans())
    return NumericalColumn(
        name=name,
        dtype="float64",
        decimals=decimals,
        minimum=low / scale,
        maximum=high / scale,
        missing_share=0.1 if nullable else 0.0,
    )


@st.composite
def significant(draw: st.DrawFn, name: str = "x") -> NumericalColumn:
    floats = st.floats(-1e300, 1e300, allow_subnormal=False)
    low, high = sorted(bound + 0.0 for bound in draw(st.tuples(floats, floats)))
    return NumericalColumn(
        name=name,
        dtype="float64",
        decimals=None,
        digits=draw(st.integers(1, 5)),
        minimum=low,
        maximum=high,
        missing_share=0.1 if draw(st.booleans()) else 0.0,
    )


@st.composite
def categorical(draw: st.DrawFn, name: str = "x") -> CategoricalColumn:
    return CategoricalColumn(
        name=name,
        dtype="object",
        categories=tuple(draw(st.lists(_texts(), min_size=1, max_size=5, unique=True))),
        missing_share=0.1 if draw(st.booleans()) else 0.0,
    )


@st.composite
def moments(draw: st.DrawFn, name: str = "x") -> DatetimeColumn:
    format = MomentFormat(draw(st.sampled_from(FORMATS)))
    bounds = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 31))
    low = draw(bounds)
    high = draw(bounds | st.integers(0, 40).map(lambda days: min(low, datetime(9999, 11, 1)) + timedelta(days)))
    first, last = sorted((format.write(low), format.write(high)), key=format.read)
    return DatetimeColumn(
        name=name,
        dtype="object",
        format=format.text,
        minimum=first,
        maximum=last,
        missing_share=0.1 if draw(st.booleans()) else 0.0,
    )


@st.composite
def free_text(draw: st.DrawFn, name: str = "x") -> TextColumn:
    return TextColumn(
        name=name,
        dtype="object",
        max_length=draw(st.integers(1, 12)),
        multiline=draw(st.booleans()),
        missing_share=0.1 if draw(st.booleans()) else 0.0,
    )


@st.composite
def schemas(draw: st.DrawFn) -> TableSchema:
    # "#" keeps names apart from categories, and a row apart from a header.
    names = draw(st.lists(_texts().map(lambda name: name + "#"), min_size=1, max_size=4, unique_by=str.strip))
    kinds = (numerical, significant, categorical, moments, free_text)
    columns: list[Column] = [draw(st.one_of([kind(name) for kind in kinds])) for name in names]
    if draw(st.booleans()):
        columns.insert(draw(st.integers(0, len(columns))), IdColumn(name="id", dtype="int64", last=10))
    return TableSchema(n_rows=10, columns=tuple(columns), target=draw(st.sampled_from([None, names[0]])))


def cells(column: ModelledColumn) -> st.SearchStrategy[str | None]:
    """Canonical texts of a column's values."""
    present: st.SearchStrategy[str]
    if isinstance(column, NumericalColumn) and column.decimals is None:
        present = st.floats(column.minimum, column.maximum, allow_subnormal=False).map(column.text)
    elif isinstance(column, NumericalColumn):
        scale = 10**column.decimals
        whole = st.integers(round(column.minimum * scale), round(column.maximum * scale))
        present = whole.map(lambda number: column.text(number / scale))
    elif isinstance(column, DatetimeColumn):
        present = st.sampled_from(column.range) | st.datetimes(*column.range)
        present = present.map(column.moments.write)
    elif isinstance(column, TextColumn):
        alphabet = AWKWARD.replace("\r", "") if column.multiline else AWKWARD.replace("\r", "").replace("\n", "")
        pieces = st.sampled_from(
            ["```", "\n```\n" if column.multiline else "```csv", '"', ", ", " is ", "missing", "a"]
        )
        texts = st.text(alphabet, max_size=column.max_length) | st.lists(pieces, max_size=5).map("".join)
        present = texts.map(lambda text: text[: column.max_length].strip()).filter(bool)
    else:
        present = st.sampled_from(column.categories)
    return st.none() | present if column.nullable else present


def rows(schema: TableSchema, max_size: int = 5) -> st.SearchStrategy[list[Row]]:
    """Canonical rows."""
    return st.lists(st.tuples(*map(cells, schema.modelled)), min_size=1, max_size=max_size)


def strict_filter(schema: TableSchema) -> RowFilter:
    """A filter for rows of a schema that no table stands behind: it can tell what fits, not what collides."""
    return RowFilter(cast(TableTask, SimpleNamespace(schema=schema)))


def fits(column: ModelledColumn, cell: str | None) -> bool:
    """Whether a cell is a canonical text of the column."""
    if cell is None:
        return column.nullable
    if isinstance(column, NumericalColumn):
        low, high = float(column.text(column.minimum)), float(column.text(column.maximum))
        return low <= float(cell) <= high and cell == column.text(float(cell))
    if isinstance(column, DatetimeColumn):
        first, last = column.range
        return cell == column.moments.write(column.moments.read(cell)) and first <= column.moments.read(cell) <= last
    if isinstance(column, TextColumn):
        controls = {char for char in cell if unicodedata.category(char) == "Cc"}
        allowed = {"\t", "\n"} if column.multiline else {"\t"}
        return cell == cell.strip() and 1 <= len(cell) <= column.max_length and controls <= allowed
    return cell in column.categories


def mixed_frame(n_rows: int = 60, seed: int = 0) -> pd.DataFrame:
    """Every kind of column at once: ids, moments, free text, an unused category, a constant, missing values."""
    rng = np.random.default_rng(seed)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 366 * 24 * 60, n_rows), unit="min")
    words = ["good, fast", 'so-called "new"', "late", "broken\nsent back", "as expected", "it's fine"]
    notes = [f"{number}: {', '.join(rng.choice(words, 3))}" for number in range(n_rows)]
    return pd.DataFrame(
        {
            "id": np.arange(1000, 1000 + n_rows),
            "when": days.where(rng.random(n_rows) > 0.3),
            "born": [f"{day:02d}/{month:02d}/1980" for day, month in rng.integers(1, 13, (n_rows, 2))],
            "note": notes,
            "city": [None if share < 0.3 else f"city {share * 30:.0f}" for share in rng.random(n_rows)],
            "level": pd.Categorical(rng.choice(["low", "high"], n_rows), categories=["low", "mid", "high"]),
            "constant": "same",
            "amount": np.where(rng.random(n_rows) < 0.3, np.nan, rng.integers(0, 500, n_rows) / 4),
            "class": rng.choice(["a", "b", "c"], n_rows),
        }
    )
