"""How many rows of each class, or of each condition, are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tagal_dspy.arguments import check_type, whole
from tagal_dspy.conditions.condition import Condition
from tagal_dspy.conditions.slots import Slot
from tagal_dspy.errors import SettingsError, nearest
from tagal_dspy.schema import CellError, ModelledColumn, TableSchema
from tagal_dspy.schema.columns import category_text


def parse_rows_per(texts: Iterable[str]) -> dict[str, int]:
    """Rows per class or condition out of texts such as `yes=50` and `age >= 60=20`; the last `=` parts them.

    Raises:
        SettingsError: a text is not of that form, or a class is there twice.

    >>> parse_rows_per(["yes=50", "<=50K=10"])
    {'yes': 50, '<=50K': 10}
    """
    counts: dict[str, int] = {}
    for text in texts:
        label, sign, number = text.rpartition("=")
        if not sign or not label.strip() or not re.fullmatch(r"\s*[0-9]{1,9}\s*", number):
            raise SettingsError(f"rows per class: {text!r} is not CLASS=N or CONDITION=N, e.g. yes=50, age >= 60=20")
        if label in counts:
            raise SettingsError(f"rows per class: {label!r} is there twice")
        counts[label] = int(number)
    return counts


def quotas_for(
    schema: TableSchema,
    n_rows: int | None,
    balance: bool | None = None,
    rows_per: Mapping[str, int] | None = None,
    condition: Condition | None = None,
) -> dict[Slot, int] | None:
    """Rows wanted of each slot, adding up to `n_rows`; None where nothing is asked about classes or conditions.

    Args:
        schema: of the table.
        n_rows: rows wanted; the sum of `rows_per` where None.
        balance: as many rows of each class; where they do not divide, the first classes get one more.
        rows_per: exactly so many rows of these classes, none of the others; or of these conditions, such as
            `age >= 60`. A row counts once, for the first that takes it.
        condition: what every row meets besides; a class that it rules out gets no rows.

    Raises:
        SettingsError: the table has no classes, a class is unknown, ruled out or its count negative, or the counts
            do not add up.
        ConditionError: a condition cannot be read or met.

    >>> import pandas as pd
    >>> schema = TableSchema.infer(pd.DataFrame({"age": [31, 54], "buys": ["yes", "no"]}), "buys")
    >>> {str(slot): n for slot, n in (quotas_for(schema, 5, balance=True) or {}).items()}
    {'no': 3, 'yes': 2}
    >>> {str(slot): n for slot, n in (quotas_for(schema, None, rows_per={"age >= 40": 3}) or {}).items()}
    {'age >= 40': 3}
    """
    if not balance and rows_per is None:
        return None
    if balance and rows_per is not None:
        raise SettingsError("equal classes and rows per class exclude each other; ask for one of them")
    if rows_per is not None:
        return _exact(schema, n_rows, rows_per, condition)
    return _equal(_possible(schema, condition), n_rows)


def _classes(schema: TableSchema) -> ModelledColumn:
    if schema.target is None:
        raise SettingsError("rows are asked for by class, but the table has no target; name the column to predict")
    column = schema.target_column
    if not schema.classes or column is None:
        raise SettingsError(f"rows are asked for by class, but the target {schema.target!r} is a number to regress")
    return column


def _possible(schema: TableSchema, condition: Condition | None) -> tuple[str, ...]:
    """The classes that the condition leaves."""
    classes = _classes(schema)
    left = condition.narrowed.get(classes.name, classes) if condition else classes
    return left.offered


def _equal(labels: tuple[str, ...], n_rows: int | None) -> dict[Slot, int]:
    if n_rows is None:
        raise SettingsError("equal classes need the number of rows")
    each, left = divmod(n_rows, len(labels))
    return {Slot(label): each + (i < left) for i, label in enumerate(labels)}


def _exact(
    schema: TableSchema, n_rows: int | None, rows_per: Mapping[str, int], condition: Condition | None
) -> dict[Slot, int]:
    check_type("rows_per", rows_per, Mapping, "a dict from classes or conditions to numbers of rows")
    counts: dict[Slot, int] = {}
    for name, count in rows_per.items():
        count = whole(f"rows per class: the count of {name!r}", count, at_least=0)
        slot = _slot(schema, category_text(name), condition)
        if slot in counts:
            raise SettingsError(f"rows per class: {name!r} is there twice")
        if count and slot.label is not None and slot.label not in _possible(schema, condition):
            raise SettingsError(f"rows per class: the condition rules out the class {slot.label!r}")
        counts[slot] = count
    total = sum(counts.values())
    if total == 0:
        raise SettingsError("rows per class: the counts add up to 0; ask for at least 1 row")
    if n_rows not in (None, total):
        raise SettingsError(f"rows per class: the counts add up to {total}, but {n_rows} rows are asked for")
    return counts


_CONDITION = re.compile(r"[^<>=!]+[<>=!]|.+\s(in|is)\s", re.DOTALL)
"""What looks like a condition: a column, and how it is compared."""


def _slot(schema: TableSchema, name: str, condition: Condition | None) -> Slot:
    """The class, or else the condition that was meant."""
    column = schema.target_column if schema.classes else None
    if column is not None:
        try:
            return Slot(column.canonical(name))
        except CellError:
            pass
    if _CONDITION.match(name):
        return Slot(condition=Condition.parse(f"{condition.text} and {name}" if condition else name, schema))
    raise SettingsError(f"rows per class: no class {name!r}; {nearest(name, _classes(schema).offered)}")
