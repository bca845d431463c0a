"""`select_rows`: of many accepted rows, those that together are most like the training rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from tagal_dspy.conditions import ANY, Slot, closest_rows
from tagal_dspy.conditions.slots import Places
from tagal_dspy.measures.profile import FINE, Floats, Ints, Profile, profile_of
from tagal_dspy.schema import Row
from tagal_dspy.task import TableTask

N_AT_ONCE = 20_000
"""Rows whose potential is computed at once, so that memory does not grow with the rows."""

N_TRIED = 12
"""Selected rows for which a single swap is tried, those first that are of what there is most too much."""

LEAST_GAIN = 3e-5
"""Share of the squared difference that a swap of many rows must bring, or fewer are swapped: 10,000 of 30,000 rows
would else take a minute instead of ten seconds, to come 3 % nearer."""

MOST_COMPARED = 100_000_000
"""Cells that single swaps compare at most; beyond it, rows are swapped many at a time alone."""

N_SPLITS = 8
"""Random halves of the training rows, from which their sampling noise is estimated."""

_TINY = 1e-12

Bools = np.ndarray[Any, np.dtype[np.bool_]]


class Selection(NamedTuple):
    """What was selected.

    Attributes:
        places: of the selected rows in the pool, rising.
        before, after: mean total variation distance in [0, 1] of the tables of two columns to those of the training
            rows of the same slots, for a random choice with the same quotas and for the selected rows; lower is nearer.
    """

    places: list[int]
    before: float
    after: float


def select_rows(
    task: TableTask,
    pool: Sequence[Row],
    groups: Sequence[Slot],
    quotas: Mapping[Slot, int],
    seed: int = 0,
    *,
    fits_noise: bool = False,
) -> Selection:
    """Choose rows whose columns and pairs of columns are distributed like those of the training rows of their slots.

    Numbers and moments count as deciles, all categories after the 20 most frequent as one. The sum of squared
    differences between the two-way tables of the selected and of the training rows falls by swaps, first many rows at
    a time, then single ones. Tables of two columns are shrunk towards independence as far as chance explains them
    (positive-part James-Stein), so that few training rows do not impose their noise. No row is chosen for being near
    to a training row, and validation and test rows are not read.

    Args:
        task: whose training rows are the measure.
        pool: canonical rows to choose from; equal pools give equal selections in whatever order they come.
        groups: of each row of the pool, the slot that it counts in.
        quotas: how many rows of each slot to choose; no more than the pool has.
        seed: of the choice to begin with.
        fits_noise: go on where the selected rows are nearer to the training rows than these, by sampling noise, are
            to the table that they were drawn from. The distance between their halves is twice that.

    >>> import pandas as pd
    >>> from tagal_dspy.conditions import ANY
    >>> task = TableTask(pd.DataFrame({"sex": ["f", "m"] * 50, "job": ["cook", "smith"] * 50}))
    >>> pool = [("f", "cook")] * 8 + [("f", "smith")] * 4 + [("m", "smith")] * 4
    >>> sorted({pool[place] for place in select_rows(task, pool, [ANY] * 16, {ANY: 8}).places})
    [('f', 'cook'), ('m', 'smith')]
    """
    order = sorted(range(len(pool)), key=lambda place: [(cell is not None, cell or "") for cell in pool[place]])
    profile = profile_of(task, ANY, FINE)
    real = _Real(profile, [(closest_rows(task, slot), n) for slot, n in quotas.items()])
    search = _Search(profile, real, profile.coded([pool[place] for place in order]), sum(quotas.values()))
    of_slot: dict[Slot, list[int]] = {slot: [] for slot in sorted(quotas, key=str)}
    for at, place in enumerate(order):
        if groups[place] in of_slot:
            of_slot[groups[place]].append(at)
    rng, members = np.random.default_rng(seed), [np.array(places, dtype=np.int64) for places in of_slot.values()]
    for slot, rows in zip(of_slot, members, strict=True):
        search.add(rng.permutation(rows)[: quotas[slot]])
    before, enough = search.distance, 0.0 if fits_noise else real.noise()
    search.swap_many(members, enough)
    search.swap_single(members, enough)
    places = sorted(order[at] for at in np.flatnonzero(search.is_selected))
    return Selection(places, before, search.distance)


class _Real:
    """The training rows of the slots, each slot weighted by how many rows are wanted of it.

    Args:
        profile: how cells are coded.
        slots: of each slot, the places of its training rows and how many rows are wanted.
    """

    def __init__(self, profile: Profile, slots: Sequence[tuple[Places, int]]) -> None:
        self._profile, self._cells = profile, profile.coded(profile.rows)
        self._weights = np.zeros(len(self._cells))
        for places, n in slots:
            self._weights[places] += n / max(len(places), 1)
        self.shares = self._shares(np.flatnonzero(self._weights))

    def _shares(self, rows: Places) -> Floats:
        """Shares of some of the rows by pairs of levels."""
        weights = self._weights[rows]
        return np.asarray(self._profile.crossed(self._cells[rows], weights) / max(weights.sum(), _TINY))

    def shrunken(self) -> Floats:
        """The shares, shrunk towards independence as far as chance explains them."""
        profile, shares = self._profile, self.shares.copy()
        n_rows = self._weights.sum() ** 2 / max(float((self._weights**2).sum()), _TINY)  # of equal weights
        for place, (start, end) in zip(profile.crossed_columns, _bounds(profile, profile.crossed_columns), strict=True):
            for other, (left, right) in enumerate(_bounds(profile, range(len(profile.levels)))):
                if other == place:
                    continue
                block = shares[start:end, left:right]
                apart = np.outer(block.sum(1), block.sum(0))
                some = apart > 0
                freedom = (np.count_nonzero(block.sum(1)) - 1) * (np.count_nonzero(block.sum(0)) - 1)
                statistic = n_rows * float(((block - apart)[some] ** 2 / apart[some]).sum())
                chance = 1.0 if statistic <= freedom else freedom / statistic
                shares[start:end, left:right] = (1 - chance) * block + chance * apart
        return np.asarray(shares)

    def noise(self) -> float:
        """How far the rows are, by chance, from the table that they were drawn from: half of what their halves are from
        each other."""
        rng, rows, distances = np.random.default_rng(0), np.flatnonzero(self._weights), []
        for _ in range(N_SPLITS if len(rows) > 1 else 0):
            one, other = np.array_split(rng.permutation(rows), 2)
            distances.append(_distance(self._profile, self._shares(one), self._shares(other)))
        return float(np.mean(distances)) / 2 if distances else 0.0


class _Search:
    """Which rows of a pool are selected, and how far their tables are from the wanted ones.

    The squared difference of the tables is a quadratic form: a row adds the more to it, the greater its `potential`,
    and two rows add the number of their equal pairs of cells.
    """

    def __init__(self, profile: Profile, real: _Real, cells: Ints, n_wanted: int) -> None:
        from scipy.sparse import csr_matrix

        self._profile, self._real, self._cells = profile, real, cells
        self._crossed = cells[:, profile.crossed_columns]
        n_rows, n_columns = cells.shape
        places = (cells + profile.offsets[:-1]).ravel()
        starts = np.arange(0, n_rows * n_columns + 1, n_columns)
        self._hot = csr_matrix((np.ones(len(places)), places, starts), shape=(n_rows, profile.offsets[-1]))
        sizes = [profile.levels[place].n_levels for place in profile.crossed_columns]
        self._starts = np.cumsum([0, *sizes])[:-1]
        self._wanted = real.shrunken() * n_wanted
        self._n_wanted = n_wanted
        self._excess = -self._wanted
        self.is_selected: Bools = np.zeros(n_rows, dtype=bool)

    def add(self, rows: Ints) -> None:
        """Select rows."""
        self.is_selected[rows] = True
        self._excess = self._excess + self._profile.crossed(self._cells[rows])

    @property
    def distance(self) -> float:
        """Mean total variation distance of the tables of two columns to the training rows' own."""
        shares = (self._excess + self._wanted) / self._n_wanted
        return _distance(self._profile, shares, self._real.shares)

    def swap_many(self, members: Sequence[Ints], enough: float) -> None:
        """Swap rows, a quarter of those selected at first, fewer where that brings nothing."""
        n_swapped = self._n_wanted // 4
        while n_swapped and self.distance > enough:
            potential = self._potential()
            leaving, coming = _extremes(potential, members, self.is_selected, n_swapped)
            tables = self._profile.crossed(self._cells[coming]) - self._profile.crossed(self._cells[leaving])
            squares = ((self._excess + tables) ** 2).sum()
            gain = 1 - squares / (self._excess**2).sum()
            if gain > 0:
                self._excess = self._excess + tables
                self.is_selected[leaving], self.is_selected[coming] = False, True
            if gain < LEAST_GAIN:
                n_swapped //= 2

    def swap_single(self, members: Sequence[Ints], enough: float) -> None:
        """Swap the two rows that bring most, again and again."""
        potential, n_compared = self._potential(), 0
        while self.distance > enough and n_compared < MOST_COMPARED:
            n_compared += self._cells.size * (N_TRIED + 2)
            swap = min((self._best_swap(potential, rows) for rows in members), default=_NO_SWAP)
            if swap.change >= 0:
                return
            self.is_selected[swap.leaving], self.is_selected[swap.coming] = False, True
            potential = potential + self._equal(slice(None), swap.coming) - self._equal(slice(None), swap.leaving)
            self._excess = (
                self._excess
                + self._profile.crossed(self._cells[[swap.coming]])
                - self._profile.crossed(self._cells[[swap.leaving]])
            )

    def _best_swap(self, potential: Floats, rows: Ints) -> _Swap:
        """The swap of two rows of a slot by which the squared difference falls most."""
        selected, others = rows[self.is_selected[rows]], rows[~self.is_selected[rows]]
        if not len(selected) or not len(others):
            return _NO_SWAP
        return min(self._swaps(potential, selected, others))

    def _swaps(self, potential: Floats, selected: Ints, others: Ints) -> Iterator[_Swap]:
        n_pairs = self._crossed.shape[1] * self._cells.shape[1]
        for leaving in selected[np.argsort(-potential[selected], kind="stable")[:N_TRIED]]:
            change = potential[others] - potential[leaving] + n_pairs - self._equal(others, leaving)
            best = int(np.argmin(change))
            yield _Swap(round(float(change[best]), 9), int(leaving), int(others[best]))

    def _equal(self, rows: Any, row: int) -> Floats:
        """The number of pairs of cells that each row has in common with one."""
        in_crossed = (self._crossed[rows] == self._crossed[row]).sum(1)
        return np.asarray(in_crossed * (self._cells[rows] == self._cells[row]).sum(1), dtype=float)

    def _potential(self) -> Floats:
        """Of each row, how much there is too much of its pairs of cells."""
        parts = []
        for start in range(0, len(self._cells), N_AT_ONCE):
            part = slice(start, start + N_AT_ONCE)
            by_level = self._hot[part] @ self._excess.T
            parts.append(np.take_along_axis(by_level, self._crossed[part] + self._starts, 1).sum(1))
        return np.concatenate(parts)


class _Swap(NamedTuple):
    change: float
    leaving: int
    coming: int


_NO_SWAP = _Swap(0.0, 0, 0)


def _extremes(potential: Floats, members: Sequence[Ints], is_selected: Bools, n_swapped: int) -> tuple[Ints, Ints]:
    """Selected rows of the greatest potential, and as many others of the least, slot by slot."""
    leaving, coming = [], []
    n_selected = is_selected.sum()
    for rows in members:
        selected, others = rows[is_selected[rows]], rows[~is_selected[rows]]
        n = min(len(others), len(selected), max(1, round(n_swapped * len(selected) / n_selected)))
        leaving.append(selected[np.argsort(-potential[selected], kind="stable")[:n]])
        coming.append(others[np.argsort(potential[others], kind="stable")[:n]])
    return np.concatenate(leaving), np.concatenate(coming)


def _bounds(profile: Profile, places: Sequence[int]) -> list[tuple[int, int]]:
    """Where the levels of columns begin and end, one column behind the other."""
    ends = np.cumsum([profile.levels[place].n_levels for place in places]).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _distance(profile: Profile, some: Floats, others: Floats) -> float:
    return float(np.abs(some - others).sum()) / 2 / (len(profile.crossed_columns) * len(profile.levels))
