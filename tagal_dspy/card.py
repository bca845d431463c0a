"""The card: what a prompt says about a table besides showing rows of it."""

from __future__ import annotations

import json
from typing import get_args

from tagal_dspy.rules import Rules
from tagal_dspy.schema import (
    CategoricalColumn,
    Column,
    DatetimeColumn,
    IdColumn,
    Kind,
    NumericalColumn,
    TableSchema,
    TextColumn,
)

MAX_CATEGORIES = 40
"""Categories listed with their share; of more, the most frequent ones, and how many others there are."""


def make_card(schema: TableSchema, rules: Rules | None = None) -> str:
    """Name, size, notes, target and a line per column, as in the paper (arXiv:2509.04152, section 3.1), and per rule.

    >>> import pandas as pd
    >>> frame = pd.DataFrame({"age": [31, 54, 31, 60], "smokes": ["yes", "no", "no", "no"]})
    >>> print(make_card(TableSchema.infer(frame, target="smokes")))
    Table "table": 4 rows, 2 columns (1 numerical, 1 categorical).
    Target: "smokes" (binary), to be predicted from the other columns.
    Columns:
    - "age": whole number from 31 to 60, mean 44.0, standard deviation 15.2, median 42.5
    - "smokes": one of "no" (75.0 %), "yes" (25.0 %)
    """
    kinds = [column.kind for column in schema.columns]
    counts = [f"{kinds.count(kind)} {kind}" for kind in get_args(Kind) if kind in kinds]
    lines = [f'Table "{schema.name}": {schema.n_rows} rows, {len(kinds)} columns ({", ".join(counts)}).']
    if schema.notes:
        lines.append(schema.notes.strip())
    if schema.target is not None:
        lines.append(f"Target: {_quoted(schema.target)} ({schema.problem}), to be predicted from the other columns.")
    lines += ["Columns:", *(f"- {_column_line(column)}" for column in schema.columns)]
    if rules is not None and rules.texts:
        lines += ["Every row keeps these rules:", *(f"- {text}" for text in rules.texts)]
    return "\n".join(lines)


def _column_line(column: Column) -> str:
    described = f" ({column.description})" if column.description else ""
    missing = f"; {column.missing_share:.1%} missing".replace("%", " %") if column.nullable else ""
    return f"{_quoted(column.name)}{described}: {_values(column)}{missing}"


def _quoted(text: str) -> str:
    """The text on one line: names and categories are data, and say nothing on a line of their own."""
    return json.dumps(text, ensure_ascii=False)


def _values(column: Column) -> str:
    if isinstance(column, IdColumn):
        return "an id, which is added later and not to be written"
    if isinstance(column, NumericalColumn):
        return _numbers(column)
    if isinstance(column, DatetimeColumn):
        said = " and ".join(word for part, word in (("%Y", "date"), ("%H", "time")) if part in column.format)
        return f"{said} written as {column.format}, from {column.minimum} to {column.maximum}"
    if isinstance(column, TextColumn):
        return _texts(column)
    return _categories(column)


def _texts(column: TextColumn) -> str:
    mean = "" if column.mean_length is None else f", {column.mean_length:.0f} on average"
    lines = ", in one or more lines" if column.multiline else ""
    return f"text of up to {column.max_length} characters{mean}{lines}"


def _numbers(column: NumericalColumn) -> str:
    kind = "whole number" if column.decimals == 0 else f"number with {column.decimals} decimals"
    spread = f"{kind} from {column.text(column.minimum)} to {column.text(column.maximum)}"
    if column.mean is None or column.std is None or column.median is None:
        return spread
    shown = {"mean": column.mean, "standard deviation": column.std, "median": column.median}
    return spread + "".join(f", {name} {value:.{column.decimals + 1}f}" for name, value in shown.items())


def _categories(column: CategoricalColumn) -> str:
    if not column.shares:
        return "one of " + ", ".join(map(_quoted, column.categories))
    pairs = [pair for pair in zip(column.categories, column.shares, strict=True) if pair[1] > 0]
    if len(pairs) > MAX_CATEGORIES:
        pairs = sorted(pairs, key=lambda pair: -pair[1])[:MAX_CATEGORIES]
    listed = ", ".join(f"{_quoted(category)} ({share * 100:.1f} %)" for category, share in pairs)
    others = len(column.offered) - len(pairs)
    return f"one of {listed}" + (f" and {others} rarer ones" if others else "")
