"""`RowFilter`: whether a decoded row fits the schema, the rules and the condition, and whether it is new."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np

from tagal_dspy.conditions import Condition
from tagal_dspy.rules import Rules
from tagal_dspy.schema import CellError, Reject, RejectReason, Row
from tagal_dspy.task import TableTask

Strictness = Literal["valid", "strict"]


class RowFilter:
    """Judges decoded rows one at a time; every rejected row gets one reason of the closed set.

    Args:
        task: whose schema a row must fit, and whose real rows it must not equal.
        strictness: `strict` wants cells within the observed ranges, no duplicate and no collision. `valid` is the
            published method: only the number of cells, categories and number formats are checked.
        common_rows: whether rows equal to two or more training rows are `rejected` when strict, or `accepted` as often
            as their share of the training rows allows. Such a row tells nothing of a single person, and a table in
            which half the rows have a twin is another one without them.
        duplicates: whether rows equal to an accepted one are `kept` or `dropped`; `strict` drops them always.
        min_distance: in how many cells a row must differ from every training row, whatever the strictness.
        rules: what a row must keep besides, whatever the strictness.
        condition: what a row must meet besides, likewise.
    """

    def __init__(
        self,
        task: TableTask,
        strictness: Strictness = "strict",
        *,
        duplicates: Literal["kept", "dropped"] = "kept",
        common_rows: Literal["rejected", "accepted"] = "rejected",
        min_distance: int = 0,
        rules: Rules | None = None,
        condition: Condition | None = None,
    ) -> None:
        self.task = task
        self.strictness = strictness
        self._drops_duplicates = strictness == "strict" or duplicates == "dropped"
        self._neighbours = Neighbours(task.train_rows) if min_distance else None
        self._min_distance = min_distance
        self.rules = rules.fitted(task) if rules else None
        self.condition = condition
        counts = Counter(task.train_rows) if common_rows == "accepted" else Counter()
        self._common = {row: n / len(task.train_rows) for row, n in counts.items() if n > 1}

    def fitting(self, rows: Iterable[Row]) -> tuple[list[Row], list[Reject]]:
        """The rows that fit the schema, the rules and the condition, in canonical text, and why the others do not."""
        judged = [self._canonical(row) for row in rows]
        fitting = [row for row in judged if not isinstance(row, Reject)]
        details = dict(zip(fitting, self._unwanted(fitting), strict=True))
        accepted, rejects = [], []
        for each in judged:
            if isinstance(each, Reject):
                rejects.append(each)
            elif (detail := details[each]) is None:
                accepted.append(each)
            else:
                rejects.append(reject("constraint", each, detail))
        return accepted, rejects

    def _unwanted(self, rows: Sequence[Row]) -> list[str | None]:
        """For each canonical row the rule that it breaks, or the condition that it does not meet."""
        found: list[str | None] = self.rules.broken(rows) if self.rules else [None] * len(rows)
        if self.condition is None:
            return found
        unmet = f"does not meet {self.condition.text}"
        return [each or (None if self.condition.holds(row) else unmet) for each, row in zip(found, rows, strict=True)]

    def _canonical(self, row: Row) -> Row | Reject:
        cells = []
        for column, text in zip(self.task.schema.modelled, row, strict=True):
            try:
                cells.append(column.canonical(text))
            except CellError as error:
                if error.reason == "out_of_range" and self.strictness == "valid":
                    cells.append(error.canonical)
                    continue
                return reject(error.reason, row, str(error))
        return tuple(cells)

    def repeated(self, row: Row, n_accepted: int, n_rows: int) -> Reject | None:
        """The reject for a canonical row that was accepted before or is real; None where it may come.

        Args:
            row: to judge.
            n_accepted: how often it was accepted before.
            n_rows: of the whole table.
        """
        if self._neighbours is not None and (n_cells := self._neighbours.distance(row)) < self._min_distance:
            return reject("too_close", row, f"differs from a real row in {n_cells} cells")
        if n_accepted < math.ceil(self._common.get(row, 0.0) * n_rows):
            return None
        if self._drops_duplicates and n_accepted:
            return reject("duplicate", row, "equal to an accepted row")
        if self.strictness == "strict" and row in self.task.real_rows:
            return reject("collision", row, "equal to a real row")
        return None


class Neighbours:
    """Rows as codes, so that others are compared with all of them at once."""

    def __init__(self, rows: Sequence[Row]) -> None:
        columns = list(zip(*rows, strict=True))
        self._codes = [{text: code for code, text in enumerate(dict.fromkeys(texts))} for texts in columns]
        coded = [[codes[text] for text in texts] for codes, texts in zip(self._codes, columns, strict=True)]
        self._cells = np.array(coded, dtype=np.int32)

    def distance(self, row: Row) -> int:
        """In how many cells a row differs from the row nearest to it."""
        codes = np.array([codes.get(text, -1) for codes, text in zip(self._codes, row, strict=True)], dtype=np.int32)
        return int((self._cells != codes[:, None]).sum(0).min())


def reject(reason: RejectReason, row: Row, detail: str) -> Reject:
    """A reject of a canonical row."""
    return Reject.of(reason, ",".join(cell or "" for cell in row), detail)
