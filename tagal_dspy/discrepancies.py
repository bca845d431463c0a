"""What is measurably wrong with generated rows: columns, relations, repetitions, ranked by how surprising they are.

Everything is compared at the number of rows there are: a difference counts when as many real rows would hardly ever
show it (two-sample exact or chi-squared tests, corrected for how many differences were looked for), so that twenty
rows raise no false alarms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.profile import Floats, Ints, Profile, profile_of
from tagal_dspy.schema import Reject, Row, TextColumn
from tagal_dspy.signatures import Discrepancy
from tagal_dspy.task import TableTask

ALARM = 0.05
"""Chance of any false alarm among all differences that are looked for. Shares of the classes, relations with the
target, and everything else have a third of it each: there are few of the first two, and they matter most."""

LEAST_SURPRISE = float(np.log10(3 / ALARM))
"""Below it a difference is no alarm even where it is the only one that is looked for."""

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
    cells = profile.coded(rows)
    found = [*_margins(profile, rows, cells), *_pairs(profile, cells), *_repetitions(profile, rows)]
    alarms = [each for each in found if each.surprise > _threshold(profile, each)]
    alarms.sort(key=lambda each: -each.surprise)
    return [*alarms, *_reject_shares(rejects, len(rows))][:limit]


def _threshold(profile: Profile, found: Discrepancy) -> float:
    """From which surprise on a difference is none that chance would bring."""
    n_columns = len(profile.levels)
    if found.kind == "target":
        n_tests = n_columns - 1
    elif found.columns == (profile.schema.target,):
        n_tests = len(profile.schema.classes) or n_columns
    else:
        n_tests = sum(each.n_levels for each in profile.levels) + n_columns + n_columns * (n_columns - 1) // 2 + 2
    return float(np.log10(3 * n_tests / ALARM))


def _surprise(k: Any, n: int, real_k: Any, real_n: int) -> Floats:
    """-log10 of the two-sided chance that k of n and real_k of real_n come from one population (hypergeometric)."""
    k, real_k = np.asarray(k), np.asarray(real_k)
    population, marked = n + real_n, k + real_k
    above = stats.hypergeom.sf(k - 1, population, marked, n)
    below = stats.hypergeom.cdf(k, population, marked, n)
    return _surprise_of(2 * np.minimum(above, below))


def _surprise_of(chance: Any) -> Floats:
    return np.asarray(-np.log10(np.clip(chance, 1e-300, 1.0)))


def _margins(profile: Profile, rows: Sequence[Row], cells: Ints) -> list[Discrepancy]:
    found: list[Discrepancy | None] = []
    n, real_n = len(rows), len(profile.rows)
    for place, (levels, texts) in enumerate(zip(profile.levels, zip(*rows, strict=True), strict=True)):
        real, counts = profile.counts[place], Counter(texts)
        found.append(_missing(levels.name, counts[None], n, real[None], real_n))
        if levels.cuts is None:
            found += _shares(levels.name, counts, n, real, real_n)
        else:
            found += [_below(profile, place, cells[:, place], cut) for cut in range(len(levels.cuts))]
            found += _stuck(levels.name, counts, n, real, real_n)
    return [each for each in found if each is not None]


def _shares(name: str, counts: Counter[Any], n: int, real: Counter[Any], real_n: int) -> list[Discrepancy]:
    values = [value for value in counts | real if value is not None]
    pairs = np.array([(counts[value], real[value]) for value in values]).reshape(-1, 2)
    # Most of a thousand categories are equally rare, and few of them can raise an alarm: only those get words.
    distinct, places = np.unique(pairs, axis=0, return_inverse=True)
    surprises = _surprise(distinct[:, 0], n, distinct[:, 1], real_n)[places.ravel()]
    return [
        _share("share", name, values[i], pairs[i, 0] / n, pairs[i, 1] / real_n, float(surprises[i]))
        for i in np.flatnonzero(surprises > LEAST_SURPRISE)
    ]


def _share(kind: Any, name: str, value: str, share: float, real_share: float, surprise: float) -> Discrepancy:
    shown = value if len(value) <= MAX_SHOWN else f"{value[:MAX_SHOWN]}..."
    text = f'"{name}" is {shown} in {_percent(share)} of the rows, {_percent(real_share)} in the real table'
    return Discrepancy(
        kind=kind, columns=(name,), text=text, surprise=surprise, value=value, excess=float(share - real_share)
    )


def _stuck(name: str, counts: Counter[Any], n: int, real: Counter[Any], real_n: int) -> list[Discrepancy]:
    value, k = max(((v, c) for v, c in counts.items() if v is not None), key=lambda each: each[1], default=(None, 0))
    if value is None or k / n <= real[value] / real_n:
        return []
    surprise = float(_surprise(k, n, real[value], real_n))
    # Any of the values could have been the most frequent one.
    surprise -= float(np.log10(max(1, len(counts))))
    return [_share("stuck", name, value, k / n, real[value] / real_n, surprise)]


def _missing(name: str, k: int, n: int, real_k: int, real_n: int) -> Discrepancy:
    text = f'"{name}" is missing in {_percent(k / n)} of the rows, {_percent(real_k / real_n)} in the real table'
    surprise = float(_surprise(k, n, real_k, real_n))
    return Discrepancy(kind="missing", columns=(name,), text=text, surprise=surprise, excess=k / n - real_k / real_n)


def _below(profile: Profile, place: int, codes: Ints, cut: int) -> Discrepancy | None:
    levels = profile.levels[place]
    start = profile.offsets[place]
    real_bins = np.diag(profile.tables)[start : start + levels.n_levels]
    n, real_n = int((codes > 0).sum()), int(real_bins[1:].sum())
    if n == 0 or real_n == 0:
        return None
    k, real_k = int(((codes > 0) & (codes <= cut + 1)).sum()), int(real_bins[1 : cut + 2].sum())
    limit = levels.limit(cut)
    shares = f"{_percent(k / n)} of the rows, {_percent(real_k / real_n)} in the real table"
    verb = "has" if isinstance(levels.column, TextColumn) else "is"
    text = f'"{levels.name}" {verb} at most {limit} in {shares}'
    surprise = float(_surprise(k, n, real_k, real_n))
    return Discrepancy(
        kind="level", columns=(levels.name,), text=text, surprise=surprise, value=limit, excess=k / n - real_k / real_n
    )


def _pairs(profile: Profile, cells: Ints) -> list[Discrepancy]:
    """Relations: each pair's counts against the real relation brought to the same margins."""
    tables, n, real_n = profile.crossed(cells), len(cells), len(profile.rows)
    n_columns, width = len(profile.levels), max(each.n_levels for each in profile.levels)
    places = [(a, b) for a in range(n_columns) for b in range(a + 1, n_columns)]
    if not places:
        return []
    observed, real = (
        np.stack([_block(profile, each, a, b, width) for a, b in places]) for each in (tables, profile.tables)
    )
    expected = _fitted(real, observed)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(expected > 0, (observed - expected) ** 2 / (expected + 0.5), 0.0)
    freedom = np.maximum(1, ((observed.sum(2) > 0).sum(1) - 1) * ((observed.sum(1) > 0).sum(1) - 1))
    surprises = _surprise_of(stats.chi2.sf(parts.sum((1, 2)) / (1 + n / real_n), freedom))
    target = profile.schema.target
    found = []
    for i, (a, b) in enumerate(places):
        names = (profile.levels[a].name, profile.levels[b].name)
        x, y = np.unravel_index(np.argmax(parts[i]), parts[i].shape)
        where = f"{_level(profile, a, int(x))} together with {_level(profile, b, int(y))}"
        shares = [_percent(float(each[i, x, y]) / n) for each in (observed, expected)]
        text = f"{where} in {shares[0]} of the rows; the real relation would give {shares[1]}"
        kind: Any = "target" if target in names else "pair"
        excess = float((observed[i, x, y] - expected[i, x, y]) / n)
        found.append(Discrepancy(kind=kind, columns=names, text=text, surprise=float(surprises[i]), excess=excess))
    return found


def _block(profile: Profile, tables: Floats, a: int, b: int, width: int) -> Floats:
    block = np.zeros((width, width))
    rows, columns = profile.levels[a].n_levels, profile.levels[b].n_levels
    i, j = profile.offsets[a], profile.offsets[b]
    block[:rows, :columns] = tables[i : i + rows, j : j + columns]
    return block


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
    n, real_n = len(rows), len(profile.rows)
    n_duplicates = n - len(set(rows))
    # Of a real row that stands m times in the table, a sample of n holds none with a known chance.
    n_sampled, times = min(n, real_n), np.array(list(profile.multiplicities))
    some = 1 - stats.hypergeom.pmf(0, real_n, times, n_sampled)
    usual = max(n_sampled - float(some @ np.array(list(profile.multiplicities.values()))), 0.0)
    duplicates = Discrepancy(
        kind="duplicates",
        columns=(),
        text=f"{_percent(n_duplicates / n)} of the rows repeat another one; in real rows it is {_percent(usual / n)}",
        surprise=float(_surprise_of(stats.poisson.sf(n_duplicates - 1, usual + 0.5))),
        excess=(n_duplicates - usual) / n,
    )
    n_collisions = sum(row in profile.known for row in rows)
    usual_share = (profile.n_known + 0.5) / (profile.n_validation + 1)
    collisions = Discrepancy(
        kind="collisions",
        columns=(),
        text=f"{_percent(n_collisions / n)} of the rows copy real ones; of new real rows {_percent(usual_share)} would",
        surprise=float(_surprise_of(stats.binom.sf(n_collisions - 1, n, usual_share))),
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
