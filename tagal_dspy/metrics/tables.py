"""Frames made ready to be measured: checked together, one dtype per column kind, in an order of their own."""

from __future__ import annotations

import math
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.schema import CellColumn, TableSchema
from tagal_dspy.schema.columns.storage import plain_values

Matrix = npt.NDArray[np.float64]
MAX_CELLS = 4_000_000
"""Numbers in one block of a distance matrix: 32 MB."""

_warnings = threading.Lock()

_MISSING = "\0missing"
_ONE_OF_K = np.sqrt(0.5)
"""Two different categories are then as far apart as the two ends of a numerical column."""


def ready(schema: TableSchema, *, min_rows: int = 2, **frames: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """The frames without their ids, numbers as float64, categories as canonical text, rows sorted.

    Dates count as seconds and free texts as their length, so that metrics have numbers and categories alone. Sorted
    rows make every metric blind to row order, to the last bit.

    Args:
        schema: the columns that all frames must have.
        min_rows: fewer rows than this are an error.
        frames: the tables, named as in the messages.

    Raises:
        DataError: frames have other columns, too few rows, columns without values or values of the wrong kind; one
            line for each problem of each frame.
    """
    problems: list[str] = []
    found = [typed(schema, name, frame, min_rows, problems) for name, frame in frames.items()]
    if problems:
        raise DataError("\n".join(problems))
    return tuple(in_canonical_order(frame) for frame in found)


def typed(schema: TableSchema, name: str, frame: Any, min_rows: int, problems: list[str]) -> pd.DataFrame:
    """One frame as `ready` makes it, in its own order; what is wrong with it goes to `problems`."""
    known = {column.name for column in schema.columns}
    found = list(frame_problems(name, frame, schema.names, known, schema.target, min_rows))
    if found:
        problems += found
        return pd.DataFrame()
    columns = {}
    for column in schema.modelled:
        values = frame[column.name]
        if values.isna().all():
            problems.append(f"{name}: column {column.name!r} has no value at all")
        elif column.is_closed:
            columns[column.name] = pd.Series(column.render(values), dtype=object)
        elif pd.api.types.is_float_dtype(values.dtype) or (column.is_number and column.format is None):
            # A date or a text that is a number was made ready before.
            columns[column.name] = _numbers(name, plain_values(values), problems)
        else:
            try:
                columns[column.name] = pd.Series(column.numbers(values), dtype="float64")
            except ValueError as error:
                problems.append(f"{name}: column {column.name!r} holds no {column.kind}: {error}")
    return pd.DataFrame(columns)


def frame_problems(
    name: str, frame: Any, needed: Sequence[str], known: AbstractSet[str], target: str | None, min_rows: int
) -> Iterator[str]:
    """What keeps a frame from having the needed columns, none but the known ones, and enough rows; a line each."""
    if not isinstance(frame, pd.DataFrame):
        yield f"{name}: expected a pandas.DataFrame, got {type(frame).__name__}"
        return
    twice = sorted({str(column) for column in frame.columns[frame.columns.duplicated()]})
    missing = [column for column in needed if column not in frame.columns]
    extra = [str(column) for column in frame.columns if column not in known]
    if len(missing) == len(needed):
        yield f"{name}: none of the columns {', '.join(map(repr, needed))} is there"
        return
    if twice:
        yield f"{name}: column names occur more than once: {twice}"
    if target in missing:
        yield f"{name}: the target {target!r} is missing"
    if set(missing) - {target}:
        yield f"{name}: columns are missing: {[column for column in missing if column != target]}"
    if extra:
        yield f"{name}: columns that the schema does not have: {extra}"
    if len(frame) < min_rows:
        yield f"{name}: {len(frame)} rows; at least {min_rows} are needed"


def _numbers(name: str, values: pd.Series[Any], problems: list[str]) -> pd.Series[Any]:
    numbers = pd.to_numeric(values, errors="coerce").astype("float64")
    wrong = values[(numbers.isna() & values.notna()).to_numpy() | np.isinf(numbers.to_numpy())]
    if len(wrong):
        # The first by value, not by place: the message of a permuted table is the same.
        shown = min(map(str, wrong))[:40]
        problems.append(
            f"{name}: column {values.name!r} holds {shown!r} and {len(wrong) - 1} more that are not finite numbers"
            if len(wrong) > 1
            else f"{name}: column {values.name!r} holds {shown!r}, no finite number"
        )
    return numbers.reset_index(drop=True)


def in_canonical_order(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows sorted by their values, first column first, missing values last; a fresh index."""
    return frame.sort_values(list(frame.columns), ignore_index=True)


class Encoder:
    """Turns ready frames into numbers, fitted on one of them.

    Numbers are scaled to [0, 1] by the fitted frame's range; missing ones take its median and, where it has missing
    ones itself, set an indicator. Categories are one-hot, unknown ones all zero; a missing category is one more.

    Args:
        schema: kinds of the columns.
        frame: ready rows to fit to.
        leave_out: a column to leave out, mostly the target.
    """

    def __init__(self, schema: TableSchema, frame: pd.DataFrame, leave_out: str | None = None) -> None:
        self._numbers: dict[str, tuple[float, float, float, bool]] = {}
        self._categories: dict[str, list[str]] = {}
        for column in schema.modelled:
            if column.name == leave_out:
                continue
            values = frame[column.name]
            if column.is_closed:
                self._categories[column.name] = sorted(values.fillna(_MISSING).unique())
            else:
                low, span = float(values.min()), float(values.max() - values.min())
                self._numbers[column.name] = (low, span or 1.0, float(values.median()), bool(values.isna().any()))

    def __call__(self, frame: pd.DataFrame) -> Matrix:
        """One row of numbers for each row of a ready frame."""
        blocks = []
        for name, (low, span, median, indicate) in self._numbers.items():
            values = frame[name].to_numpy()
            missing = np.isnan(values)
            blocks.append(((np.where(missing, median, values) - low) / span)[:, None])
            if indicate:
                blocks.append(missing[:, None].astype(float))
        for name, categories in self._categories.items():
            codes = pd.Categorical(frame[name].fillna(_MISSING), categories=categories).codes
            block = np.zeros((len(frame), len(categories)))
            known = np.flatnonzero(codes >= 0)
            block[known, codes[known]] = _ONE_OF_K
            blocks.append(block)
        return np.hstack(blocks) if blocks else np.zeros((len(frame), 1))


def restore_numbers(column: CellColumn, numbers: Any) -> pd.Series[Any]:
    """Numbers, or moments in seconds, in the form, the range and the dtype of their column."""
    low, high = column.bounds
    return column.restore([None if math.isnan(n) else column.shown(min(max(n, low), high)) for n in numbers])


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings: SDMetrics and SDV warn of their own inner workings, and SDMetrics takes a warning for a failure.

    Only one thread at a time, because the filters belong to the process.
    """
    with _warnings, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def parallel(measure: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """`measure(*each)` for each, in order; one after the other, or as `joblib.parallel_config` says.

    >>> import joblib
    >>> with joblib.parallel_config(backend="threading", n_jobs=2):
    ...     parallel(max, [(1, 2), (4, 3)])
    [2, 4]
    """
    from joblib import Parallel, delayed

    return list(Parallel()(delayed(measure)(*each) for each in arguments))


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps OpenMP and BLAS to one thread: on busy cores, threads that wait cost more than they do.

    A fit of 0.1 s took 33 s without this. OpenMP's limit belongs to the calling thread; that of BLAS to the process,
    so it is lifted when the last of the threads that asked for it leaves.
    """
    from threadpoolctl import threadpool_limits

    with _limit, threadpool_limits(limits=1, user_api="openmp"):
        yield


class _BlasLimit:
    def __init__(self) -> None:
        self._lock, self._n_inside = threading.Lock(), 0
        self._limits: Any = None

    def __enter__(self) -> None:
        from threadpoolctl import threadpool_limits

        with self._lock:
            self._n_inside += 1
            if self._n_inside == 1:
                self._limits = threadpool_limits(limits=1, user_api="blas")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0 and self._limits is not None:
                self._limits.restore_original_limits()


_limit = _BlasLimit()


def squared_distances(rows: Matrix, others: Matrix) -> Iterator[tuple[slice, Matrix]]:
    """Squared Euclidean distances of some rows at a time to all others, in blocks of bounded memory."""
    step = max(1, MAX_CELLS // max(1, len(others)))
    lengths = np.einsum("ij,ij->i", others, others)
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        found = np.einsum("ij,ij->i", block, block)[:, None] + lengths - 2 * block @ others.T
        # Equal rows differ by rounding; anything that near is equal.
        found[found < 1e-12] = 0.0
        yield slice(start, start + len(block)), found


def nearest(rows: Matrix, others: Matrix, k: int) -> Matrix:
    """Distances to the `k` nearest of the others, the nearest first; infinite where there are fewer."""
    result = np.full((len(rows), k), np.inf)
    kept = min(k, len(others))
    for place, block in squared_distances(rows, others):
        result[place, :kept] = np.sqrt(np.sort(np.partition(block, kept - 1, axis=1)[:, :kept], axis=1))
    return result
