"""The same table under other names, to tell what a model knows of the field from what it remembers of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.schema import CategoricalColumn, Column, TableSchema
from tagal_dspy.task import TableTask


@dataclass(frozen=True, repr=False)
class Obfuscated:
    """A task whose table says nothing of what it is about, and the way back.

    Attributes:
        task: the obfuscated task: same rows in the same splits.
        names: from the real column names to the new ones.
        categories: by real column name, from the real categories to the new ones.
        original: the schema of the real task.
    """

    task: TableTask
    names: Mapping[str, str]
    categories: Mapping[str, Mapping[str, str]]
    original: TableSchema

    def restore(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table that was made for the obfuscated task, as one for the real task; with fresh ids.

        Raises:
            DataError: columns are missing, or it has categories that the obfuscated table has not.
        """
        real_names = [column.name for column in self.original.modelled]
        cells = dict(zip(real_names, zip(*self.task.schema.to_rows(table), strict=True), strict=False))
        for name, known in self.categories.items():
            back = {new: real for real, new in known.items()}
            unknown = {text for text in cells.get(name, ()) if text is not None} - back.keys()
            if unknown:
                raise DataError(
                    f"column {self.names[name]!r} has no categories {sorted(unknown)}; "
                    "give a table that was made for the obfuscated task"
                )
            cells[name] = tuple(None if text is None else back[text] for text in cells.get(name, ()))
        return self.original.to_frame(list(zip(*(cells.get(name, ()) for name in real_names), strict=True)))


def obfuscated(task: TableTask, seed: int = 0) -> Obfuscated:
    """Rename columns (`x1`, `x2`, ...) and categories (`x1_1`, ... in random order), drop descriptions and notes.

    Numbers, dates and free text stay as they are. Scaled or shifted numbers would cost a model what it knows of
    numbers (that most gains are 0, that hours are round), and that loss could not be told from lost memory; how well
    numbers are remembered is what the feature test of `metrics.contamination` measures. New texts have no way back.

    A table for the obfuscated task scores as its restored form does for the real one. Rules and conditions name
    columns, and have to be written anew.

    Args:
        task: the real task.
        seed: of the order of the new categories.

    >>> frame = pd.DataFrame({"age": range(50), "smokes": ["yes", "no"] * 25})
    >>> other = obfuscated(TableTask(frame, target="smokes"))
    >>> list(other.task.train.columns), sorted(other.task.train["x2"].unique())
    (['x1', 'x2'], ['x2_1', 'x2_2'])
    >>> list(other.restore(other.task.train).columns)
    ['age', 'smokes']
    """
    rng, schema = np.random.default_rng(seed), task.schema
    names = {column.name: f"x{place}" for place, column in enumerate(schema.columns, start=1)}
    categorical = [column for column in schema.modelled if isinstance(column, CategoricalColumn)]
    categories = {column.name: _categories(column, task.test, names[column.name], rng) for column in categorical}

    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        cells = {}
        for column in categorical:
            known, texts = categories[column.name], column.render(frame[column.name])
            other = [None if text is None else known[text] for text in texts]
            cells[column.name] = pd.Series(other, index=frame.index, dtype=object)
        return frame.assign(**cells).rename(columns=names)

    columns = tuple(_column(column, names[column.name], categories.get(column.name, {})) for column in schema.columns)
    target = None if schema.target is None else names[schema.target]
    hidden = TableSchema(n_rows=schema.n_rows, target=target, problem=schema.problem, columns=columns)
    return Obfuscated(task.mapped(hidden, renamed), names, categories, schema)


def _categories(column: CategoricalColumn, test: pd.DataFrame, name: str, rng: np.random.Generator) -> dict[str, str]:
    """New names for the categories, those that test rows alone have among them."""
    others = {text for text in column.render(test[column.name]) if text is not None} - set(column.categories)
    known = [*column.categories, *sorted(others)]
    return {text: f"{name}_{place + 1}" for text, place in zip(known, rng.permutation(len(known)), strict=True)}


def _column(column: Column, name: str, categories: Mapping[str, str]) -> Column:
    changed: dict[str, Any] = {"name": name, "description": ""}
    if isinstance(column, CategoricalColumn):
        # In the order of the new names: that of the old ones would tell something.
        order = sorted(range(len(column.categories)), key=lambda place: categories[column.categories[place]])
        changed |= {"kind": "categorical", "dtype": "object"}
        changed |= {"categories": tuple(categories[column.categories[place]] for place in order)}
        changed |= {"shares": tuple(column.shares[place] for place in order) if column.shares else ()}
    return type(column).model_validate(column.model_dump() | changed)
