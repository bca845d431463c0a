"""`TableTask`: the schema and the real rows of one table, split once, known everywhere by an id.

Programs never hold rows: they are handed a task, which copies to itself and pickles to its id. So a compiled,
deep-copied or saved program cannot carry the table with it.
"""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Callable
from functools import cached_property

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError, TaskNotFoundError
from tagal_dspy.schema import IdColumn, Row, SchemaOverrides, TableSchema, read_cells

TEST_SHARE = 0.2
N_BINS = 4
"""Quantile bins of a regression target; each counts as a class."""

VALIDATION_SHARE = 0.2
"""Of the rows that are not test rows."""

_known: dict[str, weakref.WeakSet[TableTask]] = {}
"""The living tasks of each id; several tasks may be made of one table."""


class TableTask:
    """One table to generate for.

    Args:
        frame: the real rows. Rows without a target value are left out.
        target: the column to predict, if any.
        overrides: what the user knows better than the values show.
        examples: rows that an expert wrote, every column of the table but ids; shown beside the few-shots.
        split_seed: of the split. 20 % of the rows are test rows, chosen as the paper does
            (`frame.sample(frac=0.8, random_state=42)` is the rest); a stratified 20 % of the rest is for validation.
        withholds: whether rows are withheld for validation and testing; with False, all rows are training rows, for
            tables that are split already.

    Attributes:
        schema: kinds and statistics of the training rows; ranges and categories of all of them but the test rows.
        train: rows to prompt with and to learn the class shares from.
        validation: rows to choose by (iterations, prompts, meta-parameters).
        test: rows for the final figure; nothing in a program reads them.
        examples: the expert's rows as canonical text.
        whole: the schema of all rows, test rows included; for people, not for prompts.
        n_unlabelled: rows that are left out, as they have no target value.
        separator: between the cells of the file that the table is from; None where it is from none.
        id: hash of the schema and the rows without their ids; equal content has an equal id.

    Raises:
        DataError: see `TableSchema.infer`; also when fewer than 5 rows are left, or an example does not fit.

    >>> task = TableTask(pd.DataFrame({"x": range(50), "y": [0, 1] * 25}), target="y")
    >>> len(task.train), len(task.validation), len(task.test)
    (32, 8, 10)
    """

    def __init__(
        self,
        frame: pd.DataFrame,
        target: str | None = None,
        overrides: SchemaOverrides | None = None,
        split_seed: int = 42,
        examples: pd.DataFrame | None = None,
        withholds: bool = True,
    ) -> None:
        overrides = overrides or SchemaOverrides()
        whole = TableSchema.infer(frame, target, overrides)
        frame = frame.drop(columns=[name for name in frame.columns if name not in whole.all_names])
        self.n_unlabelled = 0
        if whole.target is not None:
            is_labelled = frame[whole.target].notna()
            self.n_unlabelled = int((~is_labelled).sum())
            frame = frame[is_labelled]
        if len(frame) < 5:
            raise DataError(f"the table has {len(frame)} usable rows; at least 5 are needed to split it")
        frame = frame.reset_index(drop=True)
        known = frame.sample(frac=1 - TEST_SHARE, random_state=split_seed) if withholds else frame
        self.test = frame.drop(known.index).reset_index(drop=True)
        self.schema = _with_ids(TableSchema.infer(known, whole.target, overrides.settled(whole)), whole)
        held_out = stratified(known, self.schema, VALIDATION_SHARE if withholds else 0.0, split_seed)
        self.validation = known[held_out].reset_index(drop=True)
        self.train = known[~held_out].reset_index(drop=True)
        self.examples = [] if examples is None else _written(examples, self.schema)
        self._split, self._frame = str(split_seed) if withholds else "none", frame
        self.whole, self.separator = whole, overrides.separator
        _known.setdefault(self.id, weakref.WeakSet()).add(self)

    @classmethod
    def of_parts(cls, schema: TableSchema, *, train: pd.DataFrame, validation: pd.DataFrame) -> TableTask:
        """A task of rows that are split already; it has no test rows.

        >>> frame = pd.DataFrame({"x": range(50), "y": [0, 1] * 25})
        >>> schema = TableSchema.infer(frame, target="y")
        >>> TableTask.of_parts(schema, train=frame.head(30), validation=frame.tail(20)).validation.shape
        (20, 2)
        """
        task = cls.__new__(cls)
        task.schema, task.test, task.examples = schema, train.head(0), []
        task.train, task.validation = train.reset_index(drop=True), validation.reset_index(drop=True)
        task._frame = pd.concat([train, validation], ignore_index=True)
        task._split = f"{len(train)} + {len(validation)}"
        task.whole, task.separator, task.n_unlabelled = schema, None, 0
        _known.setdefault(task.id, weakref.WeakSet()).add(task)
        return task

    @cached_property
    def id(self) -> str:
        """Hash of the schema, the split and the rows, 16 hexadecimal digits."""
        digest = hashlib.sha256(f"{self.schema.fingerprint}/{self._split}".encode())
        for column in self.schema.modelled:
            texts = pd.Series(column.render(self._frame[column.name]), dtype=object)
            digest.update(pd.util.hash_pandas_object(texts, index=False).to_numpy().tobytes())
        digest.update(repr(self.examples).encode() if self.examples else b"")
        return digest.hexdigest()[:16]

    @cached_property
    def real_rows(self) -> frozenset[Row]:
        """Every real row and example as canonical text, test rows too: a generated row equal to one is a collision.

        Only equality is ever asked of it; no value of a test row reaches a prompt, a critique or a choice.
        """
        return frozenset([*self.schema.to_rows(self._frame), *self.examples])

    @cached_property
    def train_rows(self) -> list[Row]:
        """The training rows as canonical text."""
        return self.schema.to_rows(self.train)

    @cached_property
    def strata(self) -> dict[str, np.ndarray]:
        """Positions of the training rows of each class or quantile bin, in the classes' order."""
        schema = self.schema
        if schema.target is None or schema.target_column is None:
            return {"all": np.arange(len(self.train))}
        if schema.classes:
            place = schema.names.index(schema.target)
            labels = np.array([row[place] for row in self.train_rows], dtype=object)
            return {label: np.flatnonzero(labels == label) for label in schema.classes if (labels == label).any()}
        values = pd.Series(schema.target_column.numbers(self.train[schema.target]))
        bins = pd.qcut(values, N_BINS, labels=False, duplicates="drop").to_numpy()
        return {f"bin {number}": np.flatnonzero(bins == number) for number in np.unique(bins)}

    def mapped(self, schema: TableSchema, change: Callable[[pd.DataFrame], pd.DataFrame]) -> TableTask:
        """A task of the same rows in the same splits, written otherwise: `change` makes frames that suit `schema`."""
        other = TableTask.__new__(TableTask)
        other.schema, other._split, other._frame = schema, self._split, change(self._frame)
        other.whole, other.separator, other.n_unlabelled = schema, self.separator, self.n_unlabelled
        other.train, other.validation, other.test = map(change, (self.train, self.validation, self.test))
        other.examples = schema.to_rows(change(self.schema.to_frame(self.examples)))
        _known.setdefault(other.id, weakref.WeakSet()).add(other)
        return other

    def __repr__(self) -> str:
        return f"TableTask({self.schema.name!r}, id={self.id!r}, {len(self.train)} training rows)"

    def __deepcopy__(self, memo: object) -> TableTask:
        return self

    def __copy__(self) -> TableTask:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        return find_task, (self.id,)


def find_task(task_id: str) -> TableTask:
    """The living task of that id; raises `TaskNotFoundError`."""
    for task in _known.get(task_id, ()):
        return task
    raise TaskNotFoundError(
        f"no table task {task_id!r} in this process; make the TableTask from its table before loading what refers to it"
    )


def _written(examples: pd.DataFrame, schema: TableSchema) -> list[Row]:
    lacking = [name for name in schema.names if name not in examples.columns]
    if lacking:
        raise DataError(f"the examples lack the columns {', '.join(map(repr, lacking))}")
    cells = read_cells(examples[list(schema.names)], schema)
    return [tuple(row[name] for name in schema.names) for row in cells]


def _with_ids(schema: TableSchema, whole: TableSchema) -> TableSchema:
    """The schema with the ids of the whole table: fresh ids must differ from those of test rows too."""
    columns = [of_all if isinstance(of_all, IdColumn) else schema[of_all.name] for of_all in whole.columns]
    fields = {name: getattr(schema, name) for name in TableSchema.model_fields}
    return TableSchema(**{**fields, "columns": tuple(columns)})  # not a copy, which would keep what is cached


def stratified(frame: pd.DataFrame, schema: TableSchema, share: float, seed: int) -> pd.Series[bool]:
    """Which rows of a frame are held out: `share` of every class, at least one row of each class left."""
    rng = np.random.default_rng(seed)
    strata = frame[schema.target].astype(str) if schema.classes else pd.Series("", index=frame.index)
    held_out = pd.Series(False, index=frame.index)
    for positions in strata.groupby(strata).indices.values():
        n_held = min(round(share * len(positions)), len(positions) - 1)
        held_out.iloc[rng.permutation(positions)[:n_held]] = True
    return held_out
