"""The generation role: real rows in, new rows out."""

from __future__ import annotations

import dspy

from tagal_dspy.signatures.types import Table


class GenerateRows(dspy.Signature):  # type: ignore[misc]
    """Write new rows for a table, such as could have been collected together with the real ones.

    Keep to these guidelines:
    - Follow the distribution of every column: its range, its typical values, how often each category occurs.
    - Keep the relations between columns, above all those with the target column.
    - Every row must be plausible as a whole to somebody who knows the field.
    - Every row must be new and the rows must differ: copy no example, repeat no row.
    - When your previous rows were criticised, put the recommendations into practice and keep what was good.
    """

    card: str | None = dspy.InputField(desc="what the table is about and what each column holds")
    refined_prompt: str | None = dspy.InputField(desc="what an earlier conversation found to matter; follow it")
    examples: Table | None = dspy.InputField(desc="real rows of the table; use their format for the new rows")
    critique: str | None = dspy.InputField(desc="what was good and bad about your previous rows, and what to change")
    wanted: str | None = dspy.InputField(desc="which rows to write, where not just any")
    n_rows: int = dspy.InputField(desc="how many rows to write")
    history: dspy.History = dspy.InputField(desc="your previous rows, with the requests that led to them")
    rows: Table = dspy.OutputField(desc="exactly n_rows new rows in the format of the examples, and nothing else")


GenerateManyRows = GenerateRows.delete("n_rows").with_updated_fields(
    "rows", desc="as many new rows as possible in the format of the examples, and nothing else"
)
"""The same without a number of rows, as the paper asks (arXiv:2509.04152)."""


class RefinedRows(dspy.Signature):  # type: ignore[misc]
    """Answer only with data in the format that the prompt gives, without any other text."""

    prompt: str = dspy.InputField(desc="what to write")
    rows: Table = dspy.OutputField(desc="the data")


def wanted_rows(label: tuple[str, str] | None, condition: str | None) -> str | None:
    """What to put in `wanted`: the column and value of a class, and a condition; None where any row will do."""
    parts = [f'only rows in which "{label[0]}" is "{label[1]}"'] if label else []
    parts += [f"every row meets: {condition}"] if condition else []
    return "; ".join(parts) or None
