"""`AcceptancePipeline`: the steps between an answer of a language model and the rows of a table."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from tagal_dspy.acceptance.row_filter import RowFilter, reject
from tagal_dspy.codecs import RowCodec, read_answer
from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.measures.curation import LabelCurator
from tagal_dspy.measures.selection import Selection, select_rows
from tagal_dspy.schema import Reject, RejectReason, Row

Key = TypeVar("Key")

LONGEST_ANSWER = 1_000_000
"""Characters of an answer that are read."""


class ReadRows(NamedTuple):
    """The rows of an answer that fit the table, canonical, and the rejects."""

    rows: tuple[Row, ...]
    rejects: tuple[Reject, ...]


class AcceptancePipeline:
    """Rows accepted so far, what is still missing, and every reject.

    An answer is read (`read`: decode, schema, rules and condition); the rows that a run keeps of it are offered
    (`offer`: labels, novelty, quota). Of more rows than wanted, the best can be selected at the end (`select`).

    Args:
        codec: reads answers.
        row_filter: judges single rows.
        n_rows: how many rows are wanted, at least 1.
        quotas: rows wanted in each slot, adding up to `n_rows`; None takes any rows. A row counts in the first slot
            that takes it and is not full.
        overdraw: how many times as many rows of each slot to accept, until `select` keeps the best of them.
        keeps_surplus: take rows beyond those, too, until `cut` draws a sample of all of them.
        curator: gives what rejects rows with implausible labels; None where nothing does.
    """

    def __init__(
        self,
        codec: RowCodec,
        row_filter: RowFilter,
        n_rows: int,
        quotas: Mapping[Slot, int] | None = None,
        *,
        overdraw: float = 1.0,
        keeps_surplus: bool = False,
        curator: Callable[[], LabelCurator | None] = lambda: None,
    ) -> None:
        self._codec, self._filter, self._curator = codec, row_filter, curator
        self._schema = row_filter.task.schema
        self._n_accepted: Counter[Row] = Counter()
        self._wanted = dict(quotas) if quotas is not None else {ANY: n_rows}
        self.pool = {slot: math.ceil(n * overdraw) for slot, n in self._wanted.items()}
        self._keeps_surplus = keeps_surplus
        self.by_slot: dict[Slot, list[Row]] = {slot: [] for slot in self._wanted}
        self.rows: list[Row] = []
        self._slots: list[Slot] = []
        self.not_selected: list[Row] = []
        self.rejects: list[Reject] = []
        self._counts: Counter[RejectReason] = Counter()

    def read(self, answer: str) -> ReadRows:
        """The rows of an answer that fit; of a longer answer than `LONGEST_ANSWER` characters, those of its start."""
        decoded = read_answer(self._codec, answer[:LONGEST_ANSWER])
        rows, misfits = self._filter.fitting(decoded.rows)
        rest = answer[LONGEST_ANSWER:]
        detail = f"the answer has {len(answer):,} characters; only the first {LONGEST_ANSWER:,} are read"
        unread = [Reject.of("unparsable", rest[:LONGEST_ANSWER], detail)] if rest else []
        return ReadRows(tuple(rows), (*decoded.rejects, *misfits, *unread))

    def offer(self, rows: Iterable[Row]) -> list[Row]:
        """Take what is acceptable of some rows that were read, in order; the rest goes to `rejects`.

        Returns:
            The rows that were accepted.
        """
        curator, taken = self._curator(), []
        n_pool = sum(self.pool.values())
        if curator is not None:
            rows, noisy = curator.curated(list(rows))
            self.rejects += noisy
        for row in rows:
            repeated = self._filter.repeated(row, self._n_accepted[row], n_pool)
            slot = self._open_slot(row) if repeated is None else None
            if slot is not None:
                self._take(row, slot)
                taken.append(row)
            else:
                self.rejects.append(repeated or _surplus(row))
        return taken

    def fill(self, tables: Iterable[Sequence[Row]]) -> None:
        """Take what is acceptable of tables of another source until no row is missing; their rejects are not kept."""
        n_rejects = len(self.rejects)
        for rows in tables:
            if not self.n_missing:
                break
            self.offer(self._filter.fitting(rows)[0])
        del self.rejects[n_rejects:]

    def widen(self, factor: float) -> None:
        """Have so many further rows accepted for each row wanted."""
        self.pool = {slot: n + math.ceil(factor * self._wanted[slot]) for slot, n in self.pool.items()}

    def cut(self, rng: np.random.Generator) -> None:
        """Keep a random sample of the rows of each slot that has more than wanted."""
        places_of: dict[Slot, list[int]] = {slot: [] for slot in self._wanted}
        for place, slot in enumerate(self._slots):
            places_of[slot].append(place)
        left_out: set[int] = set()
        for slot, places in places_of.items():
            n_wanted = self._wanted[slot]
            if len(places) > n_wanted:
                kept = set(rng.choice(len(places), n_wanted, replace=False).tolist())
                left_out |= {place for at, place in enumerate(places) if at not in kept}
        self.rejects += [_surplus(self.rows[place]) for place in sorted(left_out)]
        self._leave_out(left_out)

    def select(self, seed: int) -> Selection:
        """Keep the rows that together are most like the training rows, and as many of each slot as are wanted, or as
        there are; the others go to `not_selected`."""
        narrowed = {slot: slot.under(self._filter.condition) for slot in self._wanted}
        quotas = {narrowed[slot]: min(n, len(self.by_slot[slot])) for slot, n in self._wanted.items()}
        groups = [narrowed[slot] for slot in self._slots]
        selection = select_rows(self._filter.task, self.rows, groups, quotas, seed)
        left_out = set(range(len(self.rows))) - set(selection.places)
        self.not_selected = [self.rows[place] for place in sorted(left_out)]
        self._leave_out(left_out)
        self.pool = self._wanted
        return selection

    def _leave_out(self, places: set[int]) -> None:
        kept = [place for place in range(len(self.rows)) if place not in places]
        self.rows, self._slots = [self.rows[place] for place in kept], [self._slots[place] for place in kept]
        self.by_slot = {slot: [] for slot in self._wanted}
        for row, slot in zip(self.rows, self._slots, strict=True):
            self.by_slot[slot].append(row)

    def _open_slot(self, row: Row) -> Slot | None:
        fit = [slot for slot, n in self.pool.items() if n and slot.takes(row, self._schema)]
        lacking = (slot for slot in fit if len(self.by_slot[slot]) < self.pool[slot])
        return next(lacking, fit[0] if fit and self._keeps_surplus else None)

    def _take(self, row: Row, slot: Slot) -> None:
        self.rows.append(row)
        self._slots.append(slot)
        self.by_slot[slot].append(row)
        self._n_accepted[row] += 1

    def rows_of(self, slot: Slot) -> list[Row]:
        """The accepted rows of a slot; all of them for `ANY`."""
        return self.rows if slot == ANY else self.by_slot.get(slot, [])

    @property
    def n_missing(self) -> int:
        """How many rows are still to be accepted; after `select`, how many are lacking."""
        return sum(self.missing.values())

    @property
    def missing(self) -> dict[Slot, int]:
        """The same for each slot; of `ANY` without quotas."""
        return {slot: max(0, n - len(self.by_slot[slot])) for slot, n in self.pool.items()}

    def reject_counts(self) -> dict[RejectReason, int]:
        """How many rows were rejected for each reason, the most frequent first."""
        self._counts.update(each.reason for each in self.rejects[self._counts.total() :])
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


def _surplus(row: Row) -> Reject:
    return reject("quota_full", row, "all rows wanted of its kind are there")
