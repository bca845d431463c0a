"""Few-shot samplers: which real rows a prompt shows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from tagal_dspy.conditions import ANY, Slot, closest_rows
from tagal_dspy.measures.profile import by_text
from tagal_dspy.schema import Row
from tagal_dspy.settings import SamplerName
from tagal_dspy.task import TableTask

MANY = 100_000
"""Rows from which on a draw of some of them does not shuffle them all."""

Positions = np.ndarray[Any, np.dtype[np.int64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]


class FewShotSampler(ABC):
    """Chooses real rows for a prompt.

    Contract: training rows, each at most once, behind the expert's examples; equal task, generator state and arguments
    give equal rows; where the table cannot supply `n_shots` rows of a class, all there are.
    """

    def sample(
        self,
        task: TableTask,
        n_shots: int,
        rng: np.random.Generator,
        slot: Slot = ANY,
        accepted: Sequence[Row] = (),
        plausible: Mask | None = None,
    ) -> list[Row]:
        """Draw rows.

        Args:
            task: whose training rows to draw from.
            n_shots: rows of each class (of each quantile bin for regression; altogether without a target).
            rng: the only source of randomness.
            slot: draw rows of this alone, or of those closest to it where hardly any row is; see `closest_rows`.
            accepted: rows of the slot written so far.
            plausible: of each training row, whether to show it; others are shown only of classes that have too few.
                A model writes more of what it is shown, and what will be rejected is paid for as well.

        Returns:
            Canonical rows: the expert's of the slot, then those drawn, grouped by class as in the paper.
        """
        groups, n_each = self.groups(task, n_shots, slot)
        fit = [_worth_showing(places, n_each, plausible) for places in _fitting(task, groups, slot)]
        chosen = [self.choose(task, places, n_each, rng, accepted) for places in fit]
        drawn = [task.train_rows[place] for place in np.concatenate(chosen)] if chosen else []
        examples = [row for row in task.examples if slot.takes(row, task.schema)]
        return [*examples, *drawn]

    def groups(self, task: TableTask, n_shots: int, slot: Slot) -> tuple[list[Positions], int]:
        """The places of the rows to draw from, group by group, and how many rows of each."""
        of_class = task.strata
        labels = list(of_class) if slot.label is None else [slot.label] if slot.label in of_class else []
        return [of_class[label] for label in labels], n_shots

    @abstractmethod
    def choose(
        self, task: TableTask, places: Positions, n_shots: int, rng: np.random.Generator, accepted: Sequence[Row]
    ) -> Positions:
        """Some of the places of the training rows of one class."""


def _fitting(task: TableTask, groups: Sequence[Positions], slot: Slot) -> list[Positions]:
    """What of each group is of the slot or closest to it; groups without any are left out."""
    if slot.condition is None:
        return list(groups)
    fits = np.zeros(len(task.train), dtype=bool)
    fits[closest_rows(task, slot)] = True
    return [places[fits[places]] for places in groups if fits[places].any()]


def _worth_showing(places: Positions, n_shots: int, plausible: Mask | None) -> Positions:
    """Those of the places that are plausible; all of them where that leaves too few."""
    left = places if plausible is None else places[plausible[places]]
    return left if len(left) >= n_shots else places


def _some(places: Positions, n: int, rng: np.random.Generator) -> Positions:
    """So many of the places in random order; of very many, at a cost that does not grow with them."""
    if len(places) <= MANY:
        return rng.permutation(places)[:n]
    return places[rng.choice(len(places), n, replace=False)]


class StratifiedSampler(FewShotSampler):
    """The paper's sampler: `n_shots` random rows of each class, class by class (arXiv:2509.04152, section 3.1)."""

    def choose(
        self, task: TableTask, places: Positions, n_shots: int, rng: np.random.Generator, accepted: Sequence[Row]
    ) -> Positions:
        """Random rows."""
        return _some(places, n_shots, rng)


class UniformSampler(StratifiedSampler):
    """Random rows whatever their class, as many as the stratified sampler would show."""

    def groups(self, task: TableTask, n_shots: int, slot: Slot) -> tuple[list[Positions], int]:
        """All rows as one group; with a class, its rows."""
        if slot.label is not None:
            return super().groups(task, n_shots, slot)
        return [np.arange(len(task.train))], n_shots * len(task.strata)


class NeighbourSampler(FewShotSampler):
    """A random row and the rows most like it, in random order.

    A small model writes rows like those it was shown last. Shown rows of all kinds it mixes what does not belong
    together; shown neighbours it writes one more of them, and keeps the relations between columns.

    Likeness: the sum over columns of the difference in rank (numbers, dates) or of a half where they differ
    (categories); texts do not count.
    """

    def choose(
        self, task: TableTask, places: Positions, n_shots: int, rng: np.random.Generator, accepted: Sequence[Row]
    ) -> Positions:
        """The neighbours of an anchor."""
        # A bounded pool keeps a draw from a million rows as fast as one from a thousand.
        pool = _some(places, MAX_POOL, rng)
        anchor = self.anchor(task, pool, accepted)
        near = np.argsort(encoding_of(task).distances(pool, pool[anchor]), kind="stable")[:n_shots]
        return rng.permutation(pool[near])

    def anchor(self, task: TableTask, pool: Positions, accepted: Sequence[Row]) -> int:
        """The place in a shuffled pool of the row whose neighbours are shown."""
        return 0


class ResidualSampler(NeighbourSampler):
    """Neighbours of the real row that the accepted rows cover least (after TabGen-ICL, arXiv:2502.16414).

    Every accepted row covers the real row most like it; shown are the neighbours of one that is covered least often,
    so that what is under-represented is written next.
    """

    def anchor(self, task: TableTask, pool: Positions, accepted: Sequence[Row]) -> int:
        """The first of the rows covered least."""
        covered = np.zeros(len(pool))
        encoding = encoding_of(task)
        for row in accepted[-MAX_ACCEPTED:]:
            covered[np.argmin(encoding.distances_to(pool, row))] += 1
        return int(np.argmin(covered))


class CoresetSampler(FewShotSampler):
    """Rows that are as unlike each other as can be: each next one is farthest from those chosen (k-center, greedy)."""

    def choose(
        self, task: TableTask, places: Positions, n_shots: int, rng: np.random.Generator, accepted: Sequence[Row]
    ) -> Positions:
        """A random row, then the farthest ones."""
        pool, encoding = _some(places, MAX_POOL, rng), encoding_of(task)
        chosen = [0]
        nearest = encoding.distances(pool, pool[0])
        while len(chosen) < min(n_shots, len(pool)):
            nearest[chosen] = -1.0
            chosen.append(int(np.argmax(nearest)))
            nearest = np.minimum(nearest, encoding.distances(pool, pool[chosen[-1]]))
        return pool[chosen]


MAX_POOL = 2000
"""Rows among which neighbours are looked for."""

MAX_ACCEPTED = 500
"""Accepted rows that count as covering; older ones are forgotten."""

SAMPLERS: dict[SamplerName, type[FewShotSampler]] = {
    "stratified": StratifiedSampler,
    "uniform": UniformSampler,
    "neighbours": NeighbourSampler,
    "residual": ResidualSampler,
    "coreset": CoresetSampler,
}


class _Encoding:
    """The training rows of a task as ranks in [0, 1] and integer codes, for distances."""

    def __init__(self, task: TableTask) -> None:
        columns = list(zip(*task.train_rows, strict=True))
        kinds = list(enumerate(task.schema.modelled))
        self._numbers = {i: each for i, each in kinds if not (each.is_closed or each.is_free)}
        self._others = [i for i, each in kinds if each.is_closed]
        self._sorted = [np.sort(by_text(column.number, columns[i])) for i, column in self._numbers.items()]
        self._codes = [{text: code for code, text in enumerate(dict.fromkeys(columns[i]))} for i in self._others]
        self._ranks, self._levels = self._encoded(columns)

    def _encoded(self, columns: Sequence[Sequence[str | None]]) -> tuple[np.ndarray, np.ndarray]:
        n_rows = len(columns[0])
        ranks, levels = np.zeros((n_rows, len(self._numbers))), np.zeros((n_rows, len(self._others)), dtype=np.int64)
        for at, ((place, column), values) in enumerate(zip(self._numbers.items(), self._sorted, strict=True)):
            numbers = by_text(column.number, columns[place])
            # Distinct numbers are few, and in order: looking them up is quick.
            distinct, inverse = np.unique(numbers, return_inverse=True)
            rank = np.searchsorted(values, distinct) + np.searchsorted(values, distinct, side="right")
            ranks[:, at] = np.where(np.isnan(distinct), 0.5, rank / 2 / len(values))[inverse]
        for at, (place, codes) in enumerate(zip(self._others, self._codes, strict=True)):
            levels[:, at] = by_text(partial(_code, codes), columns[place], codes.get(None, -1))
        return ranks, levels

    def distances(self, pool: Positions, place: int) -> np.ndarray:
        """From each row of the pool to a training row."""
        return self._between(pool, self._ranks[place], self._levels[place])

    def distances_to(self, pool: Positions, row: Row) -> np.ndarray:
        """From each row of the pool to any row."""
        ranks, levels = self._encoded([(cell,) for cell in row])
        return self._between(pool, ranks[0], levels[0])

    def _between(self, pool: Positions, ranks: np.ndarray, levels: np.ndarray) -> np.ndarray:
        differs = (self._levels[pool] != levels).sum(1)
        return np.asarray(np.abs(self._ranks[pool] - ranks).sum(1) + 0.5 * differs)


def _code(codes: dict[str | None, int], text: str) -> int:
    return codes.get(text, -1)


_encodings: WeakKeyDictionary[TableTask, _Encoding] = WeakKeyDictionary()


def encoding_of(task: TableTask) -> _Encoding:
    """The encoding of a task's training rows, made once."""
    if task not in _encodings:
        _encodings[task] = _Encoding(task)
    return _encodings[task]


def scarce_strata(task: TableTask, n_shots: int) -> dict[str, int]:
    """Classes (or bins) with fewer training rows than few-shots are wanted, and how many they have."""
    return {name: len(positions) for name, positions in task.strata.items() if len(positions) < n_shots}
