"""Rows from sequential trees: what a user would take instead of a language model, and a second source of rows."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tagal_dspy.measures.profile import by_text
from tagal_dspy.schema import CellColumn, Row
from tagal_dspy.task import TableTask

MIN_LEAF = 5
"""Training rows of a leaf at least, as in synthpop."""

MAX_TABLES = 50
"""Tables of a source that are made at most until enough of their rows are accepted."""


def tables_of_trees(task: TableTask, n_rows: int, seed: int) -> Iterator[list[Row]]:
    """Tables of so many rows each, one after the other."""
    for number in range(MAX_TABLES):
        yield tree_rows(task, n_rows, seed + number * 1_000_003)


def tree_rows(task: TableTask, n_rows: int, seed: int) -> list[Row]:
    """Canonical rows of sequential CART in the manner of synthpop (Nowok et al., 2016).

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
    return list(zip(*cells, strict=True))


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
