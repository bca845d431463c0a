"""Tables of other generators: labels are read as they were meant, and cells that cannot be read are counted."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.metrics.tables import frame_problems, in_canonical_order, typed
from tagal_dspy.schema import CellColumn, CellError, RejectReason, TableSchema
from tagal_dspy.schema.columns import category_text
from tagal_dspy.schema.columns.storage import is_moments, is_textual
from tagal_dspy.schema.kinds import is_numbers

MAX_EXAMPLE = 40
"""Characters that are kept of a cell as an example."""

MAX_LISTED = 5
"""Entries that a sentence lists."""

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


class Unreadable(NamedTuple):
    """Cells of a column that cannot be read, all for one reason of `REJECT_REASONS`."""

    column: str
    reason: RejectReason
    n_cells: int
    example: str


class Respelled(NamedTuple):
    """Cells whose label differs from the real one in its spelling alone."""

    column: str
    written: str
    label: str
    n_cells: int


@dataclass(frozen=True)
class Judged:
    """A table of another generator as it was read.

    Attributes:
        cells: all rows, with the labels that were meant; what cannot be read is missing.
        is_readable: which rows hold no such cell.
        ready: the readable rows as `ready` makes them.
        whole: all rows likewise, infinite where a cell cannot be read, which validity counts as out of range.
        unreadable: how many cells of each column cannot be read, and why.
        respelled: the labels that were spelled otherwise.
        ignored: columns that the schema does not have.
    """

    cells: pd.DataFrame
    is_readable: npt.NDArray[np.bool_]
    ready: pd.DataFrame
    whole: pd.DataFrame
    unreadable: tuple[Unreadable, ...]
    respelled: tuple[Respelled, ...]
    ignored: tuple[str, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """The readable rows in their order."""
        return self.cells[self.is_readable]


def judge(schema: TableSchema, name: str, frame: Any, *, min_rows: int = 2) -> Judged:
    """Read a table whose columns and labels may be written otherwise than the real ones.

    A cell is read as its column's `canonical` reads it. A number or date that is out of range, and a category that is
    unknown, can be read: `validity` counts them. A label that differs from one real label alone in case, outer blanks
    or as `1.0` does from `1` is that label; where the real labels are a true and a false one, so are the other words
    for them (true, yes, 1; false, no, 0).

    Args:
        schema: of the real table.
        name: of the table in messages.
        frame: the rows.
        min_rows: fewer readable rows than this are an error.

    Raises:
        DataError: columns are missing or without any value, or too few rows can be read; a line for each problem.

    >>> schema = TableSchema.infer(pd.DataFrame({"x": [1, 2, 3, 4], "y": ["no", "yes"] * 2}), "y")
    >>> judged = judge(schema, "synthetic", pd.DataFrame({"x": ["3", "old", "2"], "y": ["YES", "no", "no"]}))
    >>> judged.unreadable
    (Unreadable(column='x', reason='wrong_type', n_cells=1, example='old'),)
    >>> judged.respelled, len(judged.ready)
    ((Respelled(column='y', written='YES', label='yes', n_cells=1),), 2)
    """
    known = {column.name for column in schema.columns}
    ignored: tuple[str, ...] = ()
    if isinstance(frame, pd.DataFrame):
        is_known = [column in known for column in frame.columns]
        ignored = tuple(str(column) for column, kept in zip(frame.columns, is_known, strict=True) if not kept)
        frame = frame.loc[:, is_known]
    problems = list(frame_problems(name, frame, schema.names, known, schema.target, min_rows))
    if problems:
        raise DataError("\n".join(problems))
    read = {column.name: _read(column, frame[column.name]) for column in schema.modelled}
    is_readable = ~np.any([column.is_bad for column in read.values()], axis=0)
    unreadable = tuple(each for column in read.values() for each in column.unreadable)
    if is_readable.sum() < min_rows:
        counted = f"{is_readable.sum()} of {len(frame)} rows can be read; at least {min_rows} are needed"
        problems.append(f"{name}: {counted}: {told(unreadable)}")
    cells = frame.assign(**{column: each.values for column, each in read.items()})
    problems += _without_values(schema, name, frame, cells[is_readable])
    if problems:
        raise DataError("\n".join(problems))
    whole = typed(schema, name, cells, min_rows, problems)
    if problems:
        raise DataError("\n".join(problems))
    ready = in_canonical_order(whole[is_readable])
    for column, each in read.items():
        whole.loc[each.is_bad, column] = math.inf
    return Judged(
        cells,
        is_readable,
        ready,
        ready if is_readable.all() else in_canonical_order(whole),
        unreadable,
        tuple(each for column in read.values() for each in column.respelled),
        ignored,
    )


def check_target(schema: TableSchema, name: str, judged: Judged) -> None:
    """Raise `DataError` where no row has a class of the real table."""
    if schema.target is None or not schema.classes:
        return
    labels = judged.ready[schema.target]
    if not labels.isin(schema.classes).any():
        there = ", ".join(repr(label[:MAX_EXAMPLE]) for label in labels.value_counts().index[:MAX_LISTED])
        wanted = ", ".join(map(repr, schema.classes[:MAX_LISTED]))
        raise DataError(f"{name}: no row has a usable target: {schema.target!r} holds {there}; expected {wanted}")


def told(unreadable: tuple[Unreadable, ...]) -> str:
    """How many cells cannot be read, in words."""
    listed = [f"{each.n_cells} of {each.column!r} ({each.reason}, e.g. {each.example!r})" for each in unreadable]
    more = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
    return f"unreadable cells: {', '.join(listed[:MAX_LISTED])}{more}"


def _without_values(schema: TableSchema, name: str, frame: pd.DataFrame, kept: pd.DataFrame) -> Iterator[str]:
    for column in schema.names:
        if frame[column].isna().all():
            yield f"{name}: column {column!r} has no value at all"
        elif len(kept) and kept[column].isna().all():
            yield f"{name}: column {column!r} has no value in the {len(kept)} rows that can be read"


@dataclass(frozen=True)
class _ReadColumn:
    values: pd.Series[Any]
    is_bad: npt.NDArray[np.bool_]
    unreadable: tuple[Unreadable, ...] = ()
    respelled: list[Respelled] = field(default_factory=list)


def _read(column: CellColumn, values: pd.Series[Any]) -> _ReadColumn:
    if column.is_closed:
        return _read_labels(column, values)
    if column.is_free or (is_moments(values) and not column.is_number):
        return _ReadColumn(values, np.zeros(len(values), dtype=bool))
    if column.is_number and is_numbers(values) and not is_textual(values):
        is_bad = np.isinf(column.numbers(values))
        found = (Unreadable(column.name, "wrong_type", int(is_bad.sum()), "inf"),) if is_bad.any() else ()
        return _ReadColumn(values.mask(is_bad) if found else values, is_bad, found)
    return _read_texts(column, values)


def _read_labels(column: CellColumn, values: pd.Series[Any]) -> _ReadColumn:
    codes, unique = pd.factorize(values)
    written = [category_text(value) for value in unique]
    spellings = _spellings(column)
    labels = [_label(column, text, spellings) for text in written]
    is_bad = np.zeros(len(values), dtype=bool)
    if labels == written:
        return _ReadColumn(values, is_bad)
    counts: Counter[tuple[str, str]] = Counter()
    for text, label, count in zip(written, labels, np.bincount(codes[codes >= 0], minlength=len(unique)), strict=True):
        if label is not None and label != text:
            counts[text, label] += int(count)
    respelled = [Respelled(column.name, *pair, count) for pair, count in counts.items()]
    meant = pd.Series([labels[code] if code >= 0 else None for code in codes], index=values.index, dtype=object)
    return _ReadColumn(meant, is_bad, respelled=sorted(respelled, key=lambda each: (-each.n_cells, each.written)))


def _label(column: CellColumn, text: str, spellings: dict[str, str]) -> str | None:
    try:
        return column.canonical(text)
    except CellError:
        return spellings.get(_spelling(text), text)


def _spellings(column: CellColumn) -> dict[str, str]:
    """The labels by how else they may be spelled, where that means one of them alone."""
    counts = Counter(map(_spelling, column.offered))
    found = {_spelling(label): label for label in column.offered if counts[_spelling(label)] == 1}
    truths = {_TRUTH[spelling]: label for spelling, label in found.items() if spelling in _TRUTH}
    if len(column.offered) == len(truths) == 2:
        found = {**{word: truths[truth] for word, truth in _TRUTH.items()}, **found}
    return found


def _spelling(text: str) -> str:
    return _WHOLE.sub(r"\1", text.strip().casefold())


def _read_texts(column: CellColumn, values: pd.Series[Any]) -> _ReadColumn:
    """Numbers and dates that are written as text, or among others that are; each distinct value is read once."""
    codes, unique = pd.factorize(values)
    written = [category_text(value) for value in unique]
    read = [_number(column, text) for text in written]
    counts, examples = Counter[RejectReason](), dict[RejectReason, str]()
    for (_, reason), text, count in zip(
        read, written, np.bincount(codes[codes >= 0], minlength=len(read)), strict=True
    ):
        if reason:
            counts[reason] += int(count)
            # The first by value, not by place, so that a permuted table is judged alike.
            examples[reason] = min(examples.get(reason, text), text)
    is_bad = np.array([code >= 0 and read[code][1] is not None for code in codes], dtype=bool)
    numbers = [read[code][0] if code >= 0 else None for code in codes]
    if not column.is_number:
        texts = {number: column.shown(number) for number, _ in read if number is not None}
        result = column.restore([None if number is None else texts[number] for number in numbers])
    else:
        result = pd.Series(numbers, dtype="float64")
    found = [Unreadable(column.name, why, n, examples[why][:MAX_EXAMPLE]) for why, n in sorted(counts.items())]
    return _ReadColumn(result.set_axis(values.index), is_bad, tuple(found))


def _number(column: CellColumn, text: str) -> tuple[float | None, RejectReason | None]:
    """The number that a text stands for, None where it is blank; else why it stands for none."""
    stripped = text.strip()
    if not stripped:
        return None, None
    try:
        return column.number(column.canonical(stripped) or ""), None
    except CellError as error:
        if error.canonical is not None:  # out of range
            return column.number(error.canonical), None
        try:
            number = column.number(stripped)  # with decimals where the real ones have none
        except ValueError:
            return None, error.reason
        return (number, None) if math.isfinite(number) else (None, error.reason)
