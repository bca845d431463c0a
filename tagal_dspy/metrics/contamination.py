"""Does the language model know this table by heart? Then its rows are remembered, not made.

Source: the tests of Bordt et al. (arXiv:2404.06209).
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError, EngineError, nearest

N_NEXT = 5
"""Rows that the header test asks for."""

Cells = tuple[str, ...]


@dataclass(frozen=True)
class Recall:
    """What one test found.

    Attributes:
        n_exact: answers equal to what stands in the file, numbers by their value.
        n_asked: answers asked for.
        low: lower end of the 95 % interval (Clopper-Pearson) of the share of exact answers.
        high: its upper end.
        baseline: share that is exact for somebody who knows the frequencies of the table, but not its rows.
        of: what was asked for, in words.
    """

    n_exact: int
    n_asked: int
    low: float
    high: float
    baseline: float
    of: str

    @property
    def remembered(self) -> bool:
        """Whether the whole interval lies above the baseline: by chance in one test of forty at most."""
        return self.low > self.baseline

    def __str__(self) -> str:
        return (
            f"completes {self.n_exact} of {self.n_asked} {self.of} exactly ({self.n_exact / self.n_asked:.0%}, "
            f"interval {self.low:.0%} to {self.high:.0%}; without memory {self.baseline:.0%})"
        )


@dataclass(frozen=True)
class Contamination:
    """What a model remembers of a table.

    Attributes:
        header: the rows that follow the first ones of the file; one answer, so that its interval says little.
        rows: the next row, at random places of the file.
        feature: the value of one column, from the rest of the row.
    """

    header: Recall
    rows: Recall
    feature: Recall

    @property
    def known(self) -> bool:
        """Whether one of the tests finds more than can be guessed."""
        return any(each.remembered for each in (self.header, self.rows, self.feature))

    def __str__(self) -> str:
        verdict = "The model knows this table." if self.known else "No sign that the model knows this table."
        return "\n".join([verdict, *(f"It {each}." for each in (self.header, self.rows, self.feature))])


def contamination(
    frame: pd.DataFrame, *, column: str | None = None, n_asked: int = 25, n_shown: int = 10, seed: int = 0
) -> Contamination:
    """Ask the model of `dspy.context(lm=...)` for rows and values that it can only know by heart.

    The model is asked `2 * n_asked + 1` times at temperature 0, and sees rows of the whole frame. Only counts are
    kept. Values that follow from the rest of the row (a sum) do not show memory; name another column then.

    Args:
        frame: the rows as they stand in the file, in its order.
        column: which value to ask for; where None, the one whose most frequent value is rarest.
        n_asked: places to ask for a row, and rows to ask for a value.
        n_shown: rows shown before a row that is asked for.
        seed: of the places.

    Returns:
        Exact answers out of those asked for, in each test; the fewer the better. Baselines: the most frequent row, or
        the row shown last once more, whichever is right more often; the most frequent value.

    Raises:
        DataError: too few rows, or no such column.
        EngineError: no language model.
    """
    cells, names = _cells(frame), [str(name) for name in frame.columns]
    if n_asked < 1 or n_shown < 1 or len(cells) < n_shown + N_NEXT:
        raise DataError(
            f"a table of {len(cells)} rows, n_asked={n_asked} and n_shown={n_shown}: at least 1 of each is needed, "
            f"and {N_NEXT} rows more than shown"
        )
    if column is not None and column not in names:
        raise DataError(f"no column {column!r}; {nearest(column, names)}")
    rng = np.random.default_rng(seed)
    places = rng.permutation(np.arange(n_shown, len(cells)))[:n_asked]
    following = [_next_rows(names, cells[place - n_shown : place], 1) == [_plain(cells[place])] for place in places]
    heads = range(n_shown, n_shown + N_NEXT)
    first = [*_next_rows(names, cells[:n_shown], N_NEXT), *[()] * N_NEXT]
    begun = [row == _plain(cells[place]) for row, place in zip(first, heads, strict=False)]
    asked = rng.permutation(len(cells))[:n_asked]
    which = names.index(column) if column is not None else _least_guessable(cells)
    values = [_value(names, cells[place], which) == _plain([cells[place][which]]) for place in asked]
    frequency = Counter(row[which] for row in cells).most_common(1)[0][1] / len(cells)
    return Contamination(
        _recall(begun, _repeats(cells, heads), "rows after the first ones"),
        _recall(following, _repeats(cells, places), "rows"),
        _recall(values, frequency, f"values of {names[which]!r}"),
    )


def _cells(frame: pd.DataFrame) -> list[Cells]:
    """Every cell as it stands in a CSV file."""
    return [tuple(row) for row in csv.reader(io.StringIO(frame.to_csv(index=False)))][1:]


def _least_guessable(cells: Sequence[Cells]) -> int:
    frequencies = [Counter(column).most_common(1)[0][1] for column in zip(*cells, strict=True)]
    return int(np.argmin(frequencies))


def _repeats(cells: Sequence[Cells], places: Sequence[int] | np.ndarray | range) -> float:
    """How often the most frequent row, or the row before once more, is right."""
    frequency = Counter(cells).most_common(1)[0][1] / len(cells)
    return max(frequency, float(np.mean([cells[place] == cells[place - 1] for place in places])))


def _next_rows(names: Sequence[str], shown: Sequence[Cells], n_rows: int) -> list[Cells]:
    from tagal_dspy.signatures import RecallRows, Table

    text = str(_asked(RecallRows, "rows", shown=Table.from_cells(names, shown), n_rows=n_rows))
    try:
        lines = [cells for cells in csv.reader(io.StringIO(text)) if cells and not cells[0].startswith("```")]
    except csv.Error:
        return []
    return [_plain(cells) for cells in lines if cells != list(names)][:n_rows]


def _value(names: Sequence[str], cells: Cells, which: int) -> Cells:
    from tagal_dspy.signatures import RecallValue, Table

    header, row = ([*parts[:which], *parts[which + 1 :]] for parts in (names, cells))
    text = str(_asked(RecallValue, "value", column=names[which], row=Table.from_cells(header, [row])))
    return _plain(text.strip().splitlines()[:1])


def _asked(signature: Any, output: str, **inputs: Any) -> Any:
    """What the model answers; an answer that cannot be read is an empty one."""
    import dspy
    from dspy.utils.exceptions import AdapterParseError

    from tagal_dspy.signatures import adapter_for

    if dspy.settings.lm is None:
        raise EngineError("no language model; use dspy.context(lm=make_lm(...)) or dspy.configure(lm=...)")
    try:
        with dspy.context(adapter=adapter_for(dspy.settings.lm)):
            return getattr(dspy.Predict(signature)(**inputs, config={"temperature": 0.0}), output)
    except AdapterParseError:
        return ""


def _plain(cells: Sequence[str]) -> Cells:
    """Cells to compare: without outer blanks, numbers by their value."""
    return tuple(_number(cell.strip()) for cell in cells)


def _number(cell: str) -> str:
    try:
        return repr(float(cell))
    except ValueError:
        return cell


def _recall(right: Sequence[bool], baseline: float, of: str) -> Recall:
    from scipy.stats import binomtest

    interval = binomtest(sum(right), len(right)).proportion_ci(0.95, method="exact")
    return Recall(sum(right), len(right), float(interval.low), float(interval.high), baseline, of)
