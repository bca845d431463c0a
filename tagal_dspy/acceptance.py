"""Which rows are accepted: `RowFilter` judges each, `Acceptance` collects exactly as many as wanted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, TypeVar

from tagal_dspy.conditions import ANY, Condition, Slot
from tagal_dspy.rules import Rules
from tagal_dspy.schema import CellError, Reject, RejectReason, Row
from tagal_dspy.task import TableTask

Strictness = Literal["valid", "strict"]
Key = TypeVar("Key")


class RowFilter:
    """Judges decoded rows one at a time; every rejected row gets one reason of the closed set.

    Args:
        task: whose schema a row must fit, and whose real rows it must not equal.
        strictness: `strict` wants cells within the observed ranges, no duplicate and no collision. `valid` is the
            published method: only the number of cells, categories and number formats are checked.
        rules: what a row must keep besides, whatever the strictness.
        condition: what a row must meet besides, likewise.
    """

    def __init__(
        self,
        task: TableTask,
        strictness: Strictness = "strict",
        *,
        rules: Rules | None = None,
        condition: Condition | None = None,
    ) -> None:
        self.task = task
        self.strictness = strictness
        self.rules = rules.fitted(task) if rules else None
        self.condition = condition

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
                rejects.append(_reject("constraint", each, detail))
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
                    cells.append((text or "").strip())
                    continue
                return _reject(error.reason, row, str(error))
        return tuple(cells)

    def repeated(self, row: Row, accepted: Mapping[Row, object]) -> Reject | None:
        """The reject for a canonical row that was accepted before or is real; None where it is new."""
        if self.strictness == "valid":
            return None
        if row in accepted:
            return _reject("duplicate", row, "equal to an accepted row")
        if row in self.task.real_rows:
            return _reject("collision", row, "equal to a real row")
        return None


class Acceptance:
    """Rows accepted so far, what is still missing, and every reject.

    Args:
        row_filter: judges the rows.
        n_rows: how many rows are wanted, at least 1.
        quotas: rows wanted in each slot, adding up to `n_rows`; None takes any rows. A row counts in the first slot
            that takes it and is not full.
    """

    def __init__(self, row_filter: RowFilter, n_rows: int, quotas: Mapping[Slot, int] | None = None) -> None:
        self._filter = row_filter
        self._schema = row_filter.task.schema
        self._keys: dict[Row, None] = {}
        self._missing = dict(quotas) if quotas is not None else {ANY: n_rows}
        self.by_slot: dict[Slot, list[Row]] = {slot: [] for slot in self._missing}
        self.rows: list[Row] = []
        self.rejects: list[Reject] = []
        self._counts: Counter[RejectReason] = Counter()

    def offer(self, rows: Iterable[Row]) -> list[Row]:
        """Take what is acceptable of some fitting rows, in order; the rest goes to `rejects`.

        Returns:
            The rows that were accepted.
        """
        taken = []
        for row in rows:
            reject = self._filter.repeated(row, self._keys)
            slot = self._open_slot(row) if reject is None else None
            if slot is not None:
                self._take(row, slot)
                taken.append(row)
            else:
                self.rejects.append(reject or _reject("quota_full", row, "all rows wanted of its kind are there"))
        return taken

    def _open_slot(self, row: Row) -> Slot | None:
        return next((slot for slot, n in self._missing.items() if n > 0 and slot.takes(row, self._schema)), None)

    def _take(self, row: Row, slot: Slot) -> None:
        self.rows.append(row)
        self.by_slot[slot].append(row)
        self._keys[row] = None
        self._missing[slot] -= 1

    @property
    def n_missing(self) -> int:
        """How many rows are still wanted."""
        return sum(self._missing.values())

    @property
    def missing(self) -> dict[Slot, int]:
        """How many rows of each slot are still wanted; of `ANY` without quotas."""
        return dict(self._missing)

    def reject_counts(self) -> dict[RejectReason, int]:
        """How many rows were rejected for each reason, the most frequent first."""
        self._counts.update(reject.reason for reject in self.rejects[self._counts.total() :])
        return dict(self._counts.most_common())


def apportion(n_rows: int, shares: Mapping[Key, float]) -> dict[Key, int]:
    """Whole numbers that add up to `n_rows`, as near to the shares as can be (largest remainders, ties in order).

    >>> apportion(10, {"a": 0.55, "b": 0.45})
    {'a': 6, 'b': 4}
    """
    exact = {label: n_rows * share / sum(shares.values()) for label, share in shares.items()}
    counts = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(exact, key=lambda label: counts[label] - exact[label])
    for label in by_remainder[: n_rows - sum(counts.values())]:
        counts[label] += 1
    return counts


def _reject(reason: RejectReason, row: Row, detail: str) -> Reject:
    return Reject.of(reason, ",".join(cell or "" for cell in row), detail)
