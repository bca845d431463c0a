"""How many rows of each class are wanted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tagal_dspy.conditions.condition import Condition
from tagal_dspy.errors import SettingsError, nearest
from tagal_dspy.schema import CategoricalColumn, CellError, TableSchema


def parse_rows_per(texts: Iterable[str]) -> dict[str, int]:
    """Rows per class out of texts such as `yes=50`; the last `=` parts class and number.

    Raises:
        SettingsError: a text is not of that form, or a class is there twice.

    >>> parse_rows_per(["yes=50", "<=50K=10"])
    {'yes': 50, '<=50K': 10}
    """
    counts: dict[str, int] = {}
    for text in texts:
        label, sign, number = text.rpartition("=")
        if not sign or not label.strip() or not re.fullmatch(r"\s*[0-9]{1,9}\s*", number):
            raise SettingsError(f"rows per class: {text!r} is not CLASS=N with a whole number N, e.g. yes=50")
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
) -> dict[str, int] | None:
    """Rows wanted of each class, adding up to `n_rows`; None where nothing is asked about classes.

    Args:
        schema: of the table.
        n_rows: rows wanted; the sum of `rows_per` where None.
        balance: as many rows of each class; where they do not divide, the first classes get one more.
        rows_per: exactly so many rows of these classes, none of the others.
        condition: a class that it rules out gets no rows.

    Raises:
        SettingsError: the table has no classes, a class is unknown, ruled out or its count negative, or the counts
            do not add up.

    >>> import pandas as pd
    >>> schema = TableSchema.infer(pd.DataFrame({"age": [31, 54], "buys": ["yes", "no"]}), "buys")
    >>> quotas_for(schema, 5, balance=True)
    {'no': 3, 'yes': 2}
    """
    if not balance and rows_per is None:
        return None
    if balance and rows_per is not None:
        raise SettingsError("equal classes and rows per class exclude each other; ask for one of them")
    classes = _classes(schema)
    wanted = condition.narrowed.get(classes.name, classes) if condition else classes
    possible = wanted.offered if isinstance(wanted, CategoricalColumn) else ()
    counts = _equal(n_rows, possible) if rows_per is None else _exact(n_rows, rows_per, classes, possible)
    return {label: counts.get(label, 0) for label in classes.offered}


def _classes(schema: TableSchema) -> CategoricalColumn:
    if schema.target is None:
        raise SettingsError("rows are asked for by class, but the table has no target; name the column to predict")
    column = schema[schema.target]
    if not schema.classes or not isinstance(column, CategoricalColumn):
        raise SettingsError(f"rows are asked for by class, but the target {schema.target!r} is a number to regress")
    return column


def _equal(n_rows: int | None, labels: tuple[str, ...]) -> dict[str, int]:
    if n_rows is None:
        raise SettingsError("equal classes need the number of rows")
    each, left = divmod(n_rows, len(labels))
    return {label: each + (i < left) for i, label in enumerate(labels)}


def _exact(
    n_rows: int | None, rows_per: Mapping[str, int], classes: CategoricalColumn, possible: tuple[str, ...]
) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, count in rows_per.items():
        label = _label(classes, name)
        if label is None:
            raise SettingsError(f"rows per class: no class {name!r}; {nearest(name, classes.offered)}")
        if label in counts:
            raise SettingsError(f"rows per class: {label!r} is there twice")
        if count < 0:
            raise SettingsError(f"rows per class: {count} rows of class {label!r}; ask for 0 or more")
        if count and label not in possible:
            raise SettingsError(f"rows per class: the condition rules out the class {label!r}")
        counts[label] = count
    total = sum(counts.values())
    if total == 0:
        raise SettingsError("rows per class: the counts add up to 0; ask for at least 1 row")
    if n_rows not in (None, total):
        raise SettingsError(f"rows per class: the counts add up to {total}, but {n_rows} rows are asked for")
    return counts


def _label(classes: CategoricalColumn, name: str) -> str | None:
    """The class that was meant; None where there is none."""
    try:
        return classes.canonical(name)
    except CellError:
        return None
