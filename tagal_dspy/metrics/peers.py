"""What a user would take instead of a language model, with and without our checks: trees, and curated real rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from tagal_dspy.acceptance import AcceptancePipeline, RowFilter, apportion
from tagal_dspy.codecs import make_codec
from tagal_dspy.conditions import real_counts
from tagal_dspy.errors import DataError
from tagal_dspy.measures.curation import LabelCurator
from tagal_dspy.measures.profile import by_text
from tagal_dspy.metrics.utility import some_rows
from tagal_dspy.schema import CellColumn
from tagal_dspy.task import TableTask

Make = Callable[[TableTask, int, int], pd.DataFrame]
"""Makes a table of so many rows from the training rows of a task, by a seed."""

MIN_LEAF = 5
"""Training rows of a leaf at least, as in synthpop."""

OVERDRAW = 3.0
"""Rows accepted for each that `+selected` keeps."""

MAX_TABLES = 50
"""Tables that are made at most until enough rows pass the checks."""


def cart(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    """Sequential CART in the manner of synthpop (Nowok et al., 2016).

    The target is drawn first, then one column after the other: each cell is that of a random training row in the same
    leaf of a tree that predicts the column from those before it.
    """
    rng, columns = np.random.default_rng(seed), task.schema.modelled
    texts = list(zip(*task.train_rows, strict=True))
    numbers = [_numbers(column, cells) for column, cells in zip(columns, texts, strict=True)]
    order = sorted(range(len(columns)), key=lambda place: columns[place].name != task.schema.target)
    donors: dict[int, np.ndarray] = {order[0]: rng.integers(0, len(task.train_rows), n_rows)}
    for step, place in enumerate(order[1:], start=1):
        before = order[:step]
        leaves, wanted = _leaves(
            np.column_stack([numbers[each] for each in before]),
            numbers[place],
            np.column_stack([numbers[each][donors[each]] for each in before]),
            is_number=not columns[place].is_closed,
            seed=seed,
        )
        of_leaf = {leaf: np.flatnonzero(leaves == leaf) for leaf in np.unique(wanted)}
        donors[place] = np.array([rng.choice(of_leaf[leaf]) for leaf in wanted])
    cells = [[texts[place][donor] for donor in donors[place]] for place in range(len(columns))]
    return task.schema.to_frame(list(zip(*cells, strict=True)))


def real_curated(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    """Training rows whose labels the others find plausible; see `LabelCurator`."""
    kept = task.train[LabelCurator(task).plausible].reset_index(drop=True)
    return some_rows(kept, n_rows, np.random.default_rng(seed))


def with_checks(make: Make, *, overdraw: float = 1.0) -> Make:
    """The same with the checks of our default settings: rows are new, their labels plausible, the class shares real.

    Args:
        make: makes the tables that rows are taken from.
        overdraw: above 1, so many times as many rows are accepted, and the best are selected.
    """

    def made(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
        counts, curator = real_counts(task), LabelCurator(task)
        pipeline = AcceptancePipeline(
            make_codec("csv", task.schema),
            RowFilter(task, "strict", common_rows="accepted"),
            n_rows,
            apportion(n_rows, counts) if counts else None,
            overdraw=overdraw,
            curator=lambda: curator,
        )
        n_pool = sum(pipeline.pool.values())
        for number in range(MAX_TABLES):
            fitting, _ = pipeline.fitting(task.schema.to_rows(make(task, n_pool, seed + number * 1_000_003)))
            pipeline.offer(fitting)
            if not pipeline.n_missing:
                break
        if overdraw > 1:
            pipeline.select(seed)
        if pipeline.n_missing:
            raise DataError(f"{len(pipeline.rows)} of {n_rows} rows passed the checks")
        return task.schema.to_frame(pipeline.rows)

    return made


def _numbers(column: CellColumn, texts: tuple[str | None, ...]) -> np.ndarray:
    """Cells as numbers, in the order of their texts where they are categories; missing ones are below all others."""
    if column.is_closed:
        codes = {text: place for place, text in enumerate(sorted({text for text in texts if text is not None}))}
        return np.array([-1 if text is None else codes[text] for text in texts], dtype=float)
    found = np.asarray(by_text(column.number, texts), dtype=float)
    lowest = np.nanmin(found) if not np.isnan(found).all() else 0.0
    return np.where(np.isnan(found), lowest - 1, found)


def _leaves(
    known: np.ndarray, wanted: np.ndarray, new: np.ndarray, *, is_number: bool, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The leaf of each training row, and of each new one."""
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    make = DecisionTreeRegressor if is_number else DecisionTreeClassifier
    tree = make(min_samples_leaf=MIN_LEAF, random_state=seed).fit(known, wanted)
    return tree.apply(known), tree.apply(new)
