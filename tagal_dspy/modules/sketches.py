"""Plots in text of generated rows beside real ones, for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.measures.profile import Levels, profile_of
from tagal_dspy.schema import Row
from tagal_dspy.task import TableTask

BARS = " ▁▂▃▄▅▆▇█"
N_BINS = 20
MAX_CATEGORIES = 5


def sketch(task: TableTask, rows: Sequence[Row], slot: Slot = ANY) -> str:
    """One or more lines for each column: histograms of numbers, shares of the most frequent categories.

    Args:
        task: whose training rows are the real side.
        rows: canonical rows.
        slot: what the rows were to be; the real rows of that alone are shown.
    """
    profile = profile_of(task, slot)
    if not rows or not profile.rows:
        return ""
    columns = zip(profile.levels, profile.columns, zip(*rows, strict=True), strict=True)
    return "\n".join(_column(levels, real, written) for levels, real, written in columns)


def _column(levels: Levels, real: Sequence[str | None], written: Sequence[str | None]) -> str:
    if levels.column.is_closed:
        return _shares(levels.name, real, written)
    numbers = [numbers[~np.isnan(numbers)] for numbers in (levels.numbers(real), levels.numbers(written))]
    if not len(numbers[0]):
        return f"{levels.name}: nothing but missing values"
    low, high = float(numbers[0].min()), float(numbers[0].max())
    bars = [_bars(np.histogram(each, N_BINS, (low, high))[0]) for each in numbers]
    span = f"{levels.column.shown(low)} to {levels.column.shown(high)}"
    return f"{levels.name}: {span}\n    real |{bars[0]}|\n    new  |{bars[1]}|"


def _bars(counts: np.ndarray) -> str:
    tops = np.ceil(counts / max(1, counts.max()) * (len(BARS) - 1)).astype(int)
    return "".join(BARS[top] for top in tops)


def _shares(name: str, real: Sequence[str | None], written: Sequence[str | None]) -> str:
    counts = Counter(real), Counter(written)
    values = [value for value, _ in (counts[0] + counts[1]).most_common()]
    shown = []
    for value in values[:MAX_CATEGORIES]:
        shares = counts[0][value] / len(real), counts[1][value] / len(written)
        shown.append(f"    {shares[0]:4.0%} real, {shares[1]:4.0%} new  {value or 'missing'}")
    rest = [f"    and {len(values) - MAX_CATEGORIES} rarer ones"] if len(values) > MAX_CATEGORIES else []
    return "\n".join([f"{name}:", *shown, *rest])
