"""What is measurably wrong with generated rows: columns, relations, repetitions, ranked by how surprising they are.

Everything is compared at the number of rows there are: a difference counts when as many real rows would hardly ever
show it (two-sample exact or chi-squared tests, corrected for how many differences were looked for), so that twenty
rows raise no false alarms. Relations are measured between all columns of a table of up to `MAX_CROSSED` columns; of a
wider one, between the target and each column, and between some columns (see `tagal_dspy.measures.profile`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.measures.profile import Floats, Ints, Profile, profile_of
from tagal_dspy.schema import Reject, Row
from tagal_dspy.signatures import Discrepancy
from tagal_dspy.task import TableTask

ALARM = 0.05
"""Chance of any false alarm among all differences that are looked for. Shares of the classes, relations with the
target, and everything else have a third of it each: there are few of the first two, and they matter most."""

LEAST_SURPRISE = float(np.log10(3 / ALARM))
"""Below it a difference is not reported, even if no other one is looked for."""

MAX_SHOWN = 80
"""Characters of a value that are put in words."""

N_FITTING_STEPS = 20
REJECTED_SHARE = 0.1
"""Share of rejected rows from which a reason is worth a word."""


def measure(
    task: TableTask,
    rows: Sequence[Row],
    rejects: Sequence[Reject] = (),
    *,
    slot: Slot = ANY,
    limit: int | None = None,
) -> list[Discrepancy]:
    """The differences between rows and the training rows of a task.

    Args:
        task: whose training rows are the real side.
        rows: generated rows, canonical.
        rejects: rows rejected on the way.
        slot: what all rows were to be; they are compared with the real rows of that slot.
        limit: how many to return; all where None.

    Returns:
        The most surprising difference first; empty for no rows, and nearly always for real rows. Where the slot has
        no real row, there is nothing to compare with.
    """
    profile = profile_of(task, slot)
    if not rows or not profile.rows:
        return _reject_shares(rejects, len(rows))[:limit]
    counts = MarginCounts(profile)
    cells = counts.add(rows)
    found = [*_margins(profile, counts), *_pairs(profile, cells), *_repetitions(profile, rows)]
    return [*_alarms(profile, found), *_reject_shares(rejects, len(rows))][:limit]


class MarginCounts:
    """How often each value and each level occurs in rows that come and go; see `measure_margins`.

    Args:
        profile: codes the rows.
    """

    def __init__(self, profile: Profile) -> None:
        self.n_rows = 0
        self.values: list[Counter[str | None]] = [Counter() for _ in profile.levels]
        self.levels = [np.zeros(each.n_levels, dtype=np.int64) for each in profile.levels]
        self._profile = profile

    def add(self, rows: Sequence[Row]) -> Ints:
        """Count rows; returns them as levels."""
        cells = self._changed(rows, 1)
        for values, texts in zip(self.values, zip(*rows, strict=True), strict=bool(rows)):
            values.update(texts)
        return cells

    def remove(self, rows: Sequence[Row]) -> None:
        """Count rows no longer."""
        self._changed(rows, -1)
        for values, texts in zip(self.values, zip(*rows, strict=True), strict=bool(rows)):
            values.subtract(texts)
            for text in {text for text in texts if not values[text]}:
                del values[text]

    def _changed(self, rows: Sequence[Row], sign: int) -> Ints:
        cells = self._profile.coded(rows)
        self.n_rows += sign * len(rows)
        for place, levels in enumerate(self.levels):
            levels += sign * np.bincount(cells[:, place], minlength=len(levels))
        return cells


def measure_margins(task: TableTask, counts: MarginCounts, slot: Slot = ANY) -> list[Discrepancy]:
    """The differences of single columns alone, for rows that are counted already; see `measure`."""
    profile = profile_of(task, slot)
    return _alarms(profile, _margins(profile, counts)) if counts.n_rows and profile.rows else []


def _alarms(profile: Profile, found: Sequence[Discrepancy]) -> list[Discrepancy]:
    """What chance would not bring, the most surprising first."""
    alarms = [each for each in found if each.surprise > _threshold(profile, each)]
    return sorted(alarms, key=lambda each: -each.surprise)


def _threshold(profile: Profile, found: Discrepancy) -> float:
    """From which surprise on a difference is none that chance would bring."""
    n_columns = len(profile.levels)
    if found.kind == "target":
        n_tests = n_columns - 1
    elif found.columns == (profile.schema.target,):
        n_tests = len(profile.schema.classes) or n_columns
    else:
        n_tests = int(profile.offsets[-1]) + n_columns + len(profile.pairs) + 2
    return float(np.log10(3 * n_tests / ALARM))


def _surprise(k: Any, n: Any, real_k: Any, real_n: Any) -> Floats:
    """-log10 of the two-sided chance that k of n and real_k of real_n come from one population (hypergeometric)."""
    from scipy.stats import hypergeom

    k, n, real_k, real_n = (np.asarray(each) for each in (k, n, real_k, real_n))
    population, marked = n + real_n, k + real_k
    above = hypergeom.sf(k - 1, population, marked, n)
    below = hypergeom.cdf(k, population, marked, n)
    return _surprise_of(2 * np.minimum(above, below))


def _surprise_of(chance: Any) -> Floats:
    return np.asarray(-np.log10(np.clip(chance, 1e-300, 1.0)))


class _Share(NamedTuple):
    """How often something is the case in the rows and in the real table.

    Attributes:
        k, n, real_k, real_n: how often, of how many rows, here and there.
        described: the discrepancy, given its surprise.
        n_candidates: values that could have been the one, of which it was chosen.
    """

    k: int
    n: int
    real_k: int
    real_n: int
    described: Callable[[float], Discrepancy]
    n_candidates: int = 1


def _margins(profile: Profile, counts: MarginCounts) -> list[Discrepancy]:
    """Those of single columns that may be alarms; most are none, and need no words."""
    shares: list[_Share] = []
    n, real_n = counts.n_rows, len(profile.rows)
    for place, levels in enumerate(profile.levels):
        real, values = profile.counts[place], counts.values[place]
        shares.append(_missing(levels.name, values[None], n, real[None], real_n))
        if levels.cuts is None:
            shares += _categories(levels.name, values, n, real, real_n)
        else:
            shares += _below(profile, place, counts.levels[place])
            shares += _stuck(levels.name, values, n, real, real_n)
    # Most of a thousand categories are equally rare: each distinct case is looked at once.
    distinct, places = np.unique([each[:4] for each in shares], axis=0, return_inverse=True)
    surprises = _surprise(*distinct.T)[places.ravel()] - np.log10([each.n_candidates for each in shares])
    return [shares[i].described(float(surprises[i])) for i in np.flatnonzero(surprises > LEAST_SURPRISE)]


def _categories(name: str, counts: Counter[Any], n: int, real: Counter[Any], real_n: int) -> list[_Share]:
    values = [value for value in counts | real if value is not None]
    return [_value_share("share", name, value, counts[value], n, real[value], real_n) for value in values]


def _value_share(
    kind: Any, name: str, value: str, k: int, n: int, real_k: int, real_n: int, n_candidates: int = 1
) -> _Share:
    def described(surprise: float) -> Discrepancy:
        shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}..."
        text = f'"{name}" is {shown} in {_percent(k / n)} of the rows, {_percent(real_k / real_n)} in the real table'
        excess = float(k / n - real_k / real_n)
        return Discrepancy(kind=kind, columns=(name,), text=text, surprise=surprise, value=value, excess=excess)

    return _Share(k, n, real_k, real_n, described, n_candidates)


def _stuck(name: str, counts: Counter[Any], n: int, real: Counter[Any], real_n: int) -> list[_Share]:
    value, k = max(((v, c) for v, c in counts.items() if v is not None), key=lambda each: each[1], default=(None, 0))
    if value is None or k / n <= real[value] / real_n:
        return []
    # Any of the values could have been the most frequent one.
    return [_value_share("stuck", name, value, k, n, real[value], real_n, max(1, len(counts)))]


def _missing(name: str, k: int, n: int, real_k: int, real_n: int) -> _Share:
    def described(surprise: float) -> Discrepancy:
        text = f'"{name}" is missing in {_percent(k / n)} of the rows, {_percent(real_k / real_n)} in the real table'
        return Discrepancy(
            kind="missing", columns=(name,), text=text, surprise=surprise, excess=k / n - real_k / real_n
        )

    return _Share(k, n, real_k, real_n, described)


def _below(profile: Profile, place: int, bins: Ints) -> list[_Share]:
    """Shares of values up to each cut."""
    levels = profile.levels[place]
    real_bins = profile.marginals[profile.offsets[place] : profile.offsets[place + 1]]
    n, real_n = int(bins[1:].sum()), int(real_bins[1:].sum())
    if n == 0 or real_n == 0:
        return []

    def share(cut: int, k: int, real_k: int) -> _Share:
        def described(surprise: float) -> Discrepancy:
            limit, verb = levels.limit(cut), "has" if levels.column.is_free else "is"
            shares = f"{_percent(k / n)} of the rows, {_percent(real_k / real_n)} in the real table"
            text = f'"{levels.name}" {verb} at most {limit} in {shares}'
            excess = k / n - real_k / real_n
            return Discrepancy(
                kind="level", columns=(levels.name,), text=text, surprise=surprise, value=limit, excess=excess
            )

        return _Share(k, n, real_k, real_n, described)

    below, real_below = np.cumsum(bins[1:-1]).tolist(), np.cumsum(real_bins[1:-1]).tolist()
    return [share(cut, k, real_k) for cut, (k, real_k) in enumerate(zip(below, real_below, strict=True))]


def _pairs(profile: Profile, cells: Ints) -> list[Discrepancy]:
    """Relations: each pair's counts against the real relation brought to the same margins."""
    from scipy.stats import chi2

    tables, n, real_n = profile.crossed(cells), len(cells), len(profile.rows)
    if not profile.pairs:
        return []
    observed, real = (_blocks(profile, each) for each in (tables, profile.tables))
    expected = _fitted(real, observed)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(expected > 0, (observed - expected) ** 2 / (expected + 0.5), 0.0)
    freedom = np.maximum(1, ((observed.sum(2) > 0).sum(1) - 1) * ((observed.sum(1) > 0).sum(1) - 1))
    surprises = _surprise_of(chi2.sf(parts.sum((1, 2)) / (1 + n / real_n), freedom))
    target = profile.schema.target
    found = []
    for i in np.flatnonzero(surprises > LEAST_SURPRISE):
        a, b = profile.pairs[i]
        names = (profile.levels[a].name, profile.levels[b].name)
        x, y = np.unravel_index(np.argmax(parts[i]), parts[i].shape)
        where = f"{_level(profile, a, int(x))} together with {_level(profile, b, int(y))}"
        shares = [_percent(float(each[i, x, y]) / n) for each in (observed, expected)]
        text = f"{where} in {shares[0]} of the rows; the real relation would give {shares[1]}"
        kind: Any = "target" if target in names else "pair"
        excess = float((observed[i, x, y] - expected[i, x, y]) / n)
        found.append(Discrepancy(kind=kind, columns=names, text=text, surprise=float(surprises[i]), excess=excess))
    return found


def _blocks(profile: Profile, tables: Floats) -> Floats:
    """The tables of all pairs, with zeros up to the size of the largest."""
    width = max(each.n_levels for each in profile.levels)
    blocks = np.zeros((len(profile.pairs), width, width))
    for place, (a, b) in enumerate(profile.pairs):
        block = profile.block(tables, a, b)
        blocks[place, : block.shape[0], : block.shape[1]] = block
    return blocks


def _fitted(real: Floats, observed: Floats) -> Floats:
    """The real tables brought to the observed margins (iterative proportional fitting)."""
    margins_x, margins_y = observed.sum(2), observed.sum(1)
    fitted = real + 0.5 * (margins_x[:, :, None] > 0) * (margins_y[:, None, :] > 0)
    for _ in range(N_FITTING_STEPS):
        for axis, margin in ((2, margins_x[:, :, None]), (1, margins_y[:, None, :])):
            total = fitted.sum(axis, keepdims=True)
            fitted = fitted * np.divide(margin, total, out=np.zeros_like(total), where=total > 0)
    return np.asarray(fitted)


def _level(profile: Profile, place: int, level: int) -> str:
    levels = profile.levels[place]
    if level == 0:
        return f'"{levels.name}" missing'
    if levels.cuts is None:
        value = next((text for text, code in levels.codes.items() if code == level), "some rarer value")
        return f'"{levels.name}" {value}'
    low = f" above {levels.limit(level - 2)}" if level >= 2 else ""
    high = f" up to {levels.limit(level - 1)}" if level - 1 < len(levels.cuts) else ""
    return f'"{levels.name}"{low}{high}'


def _repetitions(profile: Profile, rows: Sequence[Row]) -> list[Discrepancy]:
    from scipy.stats import binom, hypergeom, poisson

    n, real_n = len(rows), len(profile.rows)
    n_duplicates = n - len(set(rows))
    # Of a real row that stands m times in the table, a sample of n holds none with a known chance.
    n_sampled, times = min(n, real_n), np.array(list(profile.multiplicities))
    some = 1 - hypergeom.pmf(0, real_n, times, n_sampled)
    usual = max(n_sampled - float(some @ np.array(list(profile.multiplicities.values()))), 0.0)
    duplicates = Discrepancy(
        kind="duplicates",
        columns=(),
        text=f"{_percent(n_duplicates / n)} of the rows repeat another one; in real rows it is {_percent(usual / n)}",
        surprise=float(_surprise_of(poisson.sf(n_duplicates - 1, usual + 0.5))),
        excess=(n_duplicates - usual) / n,
    )
    n_collisions = sum(row in profile.known for row in rows)
    usual_share = (profile.n_known + 0.5) / (profile.n_validation + 1)
    collisions = Discrepancy(
        kind="collisions",
        columns=(),
        text=f"{_percent(n_collisions / n)} of the rows copy real ones; of new real rows {_percent(usual_share)} would",
        surprise=float(_surprise_of(binom.sf(n_collisions - 1, n, usual_share))),
        excess=n_collisions / n - usual_share,
    )
    return [duplicates, collisions]


def _reject_shares(rejects: Sequence[Reject], n_rows: int) -> list[Discrepancy]:
    total = len(rejects) + n_rows
    found = []
    for reason, count in Counter(reject.reason for reject in rejects).most_common():
        if count >= REJECTED_SHARE * total:
            example = next(reject.detail for reject in rejects if reject.reason == reason)
            text = f"{count} of {total} rows were rejected: {reason}, e.g. {example}"
            share = count / total
            found.append(Discrepancy(kind="rejects", columns=(), text=text, surprise=0.0, value=reason, excess=share))
    return found


def _percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share in (0, 1) or 0.095 <= share <= 0.99 else f"{share * 100:.1f} %"
