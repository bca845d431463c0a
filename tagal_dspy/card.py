"""The card: what a prompt says about a table besides showing rows of it."""

from __future__ import annotations

import json
from typing import get_args

from tagal_dspy.rules import Rules
from tagal_dspy.schema import Column, Kind, TableSchema


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
    return f"{_quoted(column.name)}{described}: {column.described()}{missing}"


def _quoted(text: str) -> str:
    """The text on one line: names and categories are data, and say nothing on a line of their own."""
    return json.dumps(text, ensure_ascii=False)
