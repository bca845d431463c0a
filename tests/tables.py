"""Hypothesis strategies: schemas with awkward names and values, and rows that fit them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

from hypothesis import strategies as st

from tagal_dspy.acceptance import RowFilter
from tagal_dspy.schema import CategoricalColumn, Column, NumericalColumn, Row, TableSchema
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
def categorical(draw: st.DrawFn, name: str = "x") -> CategoricalColumn:
    return CategoricalColumn(
        name=name,
        dtype="object",
        categories=tuple(draw(st.lists(_texts(), min_size=1, max_size=5, unique=True))),
        missing_share=0.1 if draw(st.booleans()) else 0.0,
    )


@st.composite
def schemas(draw: st.DrawFn) -> TableSchema:
    # "#" keeps names apart from categories, and a row apart from a header.
    names = draw(st.lists(_texts().map(lambda name: name + "#"), min_size=1, max_size=4, unique_by=str.strip))
    columns: list[Column] = [draw(st.one_of(numerical(name), categorical(name))) for name in names]
    return TableSchema(n_rows=10, columns=tuple(columns), target=draw(st.sampled_from([None, names[0]])))


def cells(column: Column) -> st.SearchStrategy[str | None]:
    """Canonical texts of a column's values."""
    present: st.SearchStrategy[str]
    if isinstance(column, NumericalColumn):
        scale = 10**column.decimals
        whole = st.integers(round(column.minimum * scale), round(column.maximum * scale))
        present = whole.map(lambda number: column.text(number / scale))
    else:
        present = st.sampled_from(column.categories)
    return st.none() | present if column.nullable else present


def rows(schema: TableSchema, max_size: int = 5) -> st.SearchStrategy[list[Row]]:
    """Canonical rows."""
    return st.lists(st.tuples(*map(cells, schema.columns)), min_size=1, max_size=max_size)


def strict_filter(schema: TableSchema) -> RowFilter:
    """A filter for rows of a schema that no table stands behind: it can tell what fits, not what collides."""
    return RowFilter(cast(TableTask, SimpleNamespace(schema=schema)))


def fits(column: Column, cell: str | None) -> bool:
    """Whether a cell is a canonical text of the column."""
    if cell is None:
        return column.nullable
    if isinstance(column, NumericalColumn):
        low, high = float(column.text(column.minimum)), float(column.text(column.maximum))
        return low <= float(cell) <= high and cell == column.text(float(cell))
    return cell in column.categories
