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
from tagal_dspy.metrics.utility import some_rows
from tagal_dspy.task import TableTask
from tagal_dspy.trees import MAX_TABLES, tree_rows

Make = Callable[[TableTask, int, int], pd.DataFrame]
"""Makes a table of so many rows from the training rows of a task, by a seed."""

OVERDRAW = 3.0
"""Rows accepted for each that `+selected` keeps."""


def cart(task: TableTask, n_rows: int, seed: int) -> pd.DataFrame:
    """Rows of sequential trees, see `tagal_dspy.trees`."""
    return task.schema.to_frame(tree_rows(task, n_rows, seed))


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
        seeds = (seed + number * 1_000_003 for number in range(MAX_TABLES))
        pipeline.fill(task.schema.to_rows(make(task, n_pool, each)) for each in seeds)
        if overdraw > 1:
            pipeline.select(seed)
        if pipeline.n_missing:
            raise DataError(f"{len(pipeline.rows)} of {n_rows} rows passed the checks")
        return task.schema.to_frame(pipeline.rows)

    return made
