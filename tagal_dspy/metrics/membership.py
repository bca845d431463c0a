"""Membership: whether somebody who has the synthetic table can tell which real rows it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tagal_dspy.measures.profile import by_text
from tagal_dspy.metrics.diversity import Rate
from tagal_dspy.metrics.tables import Matrix
from tagal_dspy.schema import Row, TableSchema

MOST_ROWS = 2_000
"""Candidates of a kind, and synthetic rows; of more, a seeded sample."""

LEAST_FOR_TPR = 100
"""Rows that were not used, below which 1 % of them is not a row."""

N_RESAMPLES = 200
N_AT_ONCE = 100


@dataclass(frozen=True)
class Attack:
    """How well members are told from rows that were not used.

    Attributes:
        auc: chance that a member is nearer to the synthetic table than another row, ties counted half; in [0, 1]. 0.5
            tells nothing, greater is worse.
        low, high: 95 % interval of it, over resampled members and other rows.
        tpr: share of members that are found where 1 % of the other rows are taken for members; 0.01 tells nothing.
            None with fewer than `LEAST_FOR_TPR` other rows.
        n_members: rows that were attacked.
    """

    auc: float
    low: float
    high: float
    tpr: float | None
    n_members: int


@dataclass(frozen=True)
class Membership:
    """What a membership attack finds.

    Attributes:
        shown: of the rows that stood in prompts; None where they are not known.
        train: of the other training rows; None where there are none.
        within_one_cell: share of synthetic rows that differ from a training row in one cell at most, and the same share
            of the rows that were not used.
    """

    shown: Attack | None
    train: Attack | None
    within_one_cell: Rate


def membership(
    schema: TableSchema,
    *,
    synthetic: Sequence[Row],
    train: Sequence[Row],
    holdout: Sequence[Row],
    few_shots: Sequence[Row] = (),
    seed: int = 0,
) -> Membership:
    """Attack a synthetic table.

    The attacker takes a row for a member that few edits turn into a synthetic row: each cell that differs is an edit,
    of a number as much of one as the two ranks differ. It knows no model and no prompt; stronger attackers do.

    Args:
        schema: of all rows, which are canonical.
        synthetic: the table.
        train: rows that it could be made from.
        holdout: rows that it was not made from, of the same kind.
        few_shots: those training rows that stood in prompts.
        seed: of the samples.

    Source: distance-based membership inference, e.g. Chen et al., GAN-Leaks (arXiv:1909.03935); the true positive rate
    at a low false positive rate after Carlini et al. (arXiv:2112.03570).

    >>> import pandas as pd
    >>> schema = TableSchema.infer(pd.DataFrame({"x": range(100)}))
    >>> rows = [(str(x),) for x in range(100)]
    >>> membership(schema, synthetic=rows[::2], train=rows[::2], holdout=rows[1::2]).train.auc
    1.0
    """
    rng, shown = np.random.default_rng(seed), set(few_shots)
    groups = {
        "shown": [row for row in train if row in shown],
        "train": [row for row in train if row not in shown],
        "holdout": list(holdout),
    }
    sampled = {name: _sample(rows, rng) for name, rows in groups.items()}
    near = _nearest(schema, sampled, _sample(synthetic, rng))
    attacks = {
        name: _attack(near[name], near["holdout"], rng) if len(near[name]) else None for name in ("shown", "train")
    }
    beside = Rate(within_one_cell(synthetic, train), within_one_cell(holdout, train))
    return Membership(attacks["shown"], attacks["train"], beside)


def within_one_cell(rows: Sequence[Row], known: Sequence[Row]) -> float:
    """The share of rows that differ from a known one in one cell at most; in [0, 1], NaN without rows.

    >>> within_one_cell([("a", "x", "1"), ("b", "y", "1")], [("a", "x", "2")])
    0.5
    """
    masked = {key for row in known for key in _masked(row)}
    return float(np.mean([any(key in masked for key in _masked(row)) for row in rows])) if rows else float("nan")


def _masked(row: Row) -> list[tuple[int, int]]:
    """A row with one of its cells left out, for each of them, as a hash."""
    return [(place, hash(row[:place] + row[place + 1 :])) for place in range(len(row))]


def _sample(rows: Sequence[Row], rng: np.random.Generator) -> list[Row]:
    """At most `MOST_ROWS` rows, the same ones in whatever order they come."""
    if len(rows) <= MOST_ROWS:
        return list(rows)
    ordered = sorted(rows, key=lambda row: [(cell is not None, cell or "") for cell in row])
    return [ordered[place] for place in rng.choice(len(ordered), MOST_ROWS, replace=False)]


def _nearest(schema: TableSchema, groups: dict[str, list[Row]], synthetic: list[Row]) -> dict[str, Matrix]:
    """Of each row the edits to the synthetic row nearest to it."""
    rows = [row for group in (*groups.values(), synthetic) for row in group]
    coded, is_number = _coded(schema, rows)
    candidates, made = coded[: -len(synthetic)], coded[-len(synthetic) :]
    found = []
    for start in range(0, len(candidates), N_AT_ONCE):
        apart = np.abs(candidates[start : start + N_AT_ONCE, None, :] - made[None, :, :])
        edits = np.where(is_number, np.minimum(apart, 1.0), apart > 0)
        found.append(edits.sum(2).min(1))
    ends = np.cumsum([len(group) for group in groups.values()])[:-1]
    return dict(zip(groups, np.split(np.concatenate(found), ends), strict=True))


def _coded(schema: TableSchema, rows: Sequence[Row]) -> tuple[Matrix, np.ndarray]:
    """Numbers and moments as ranks in [0, 1], all other cells as codes; a missing number is 2 from all others."""
    columns = []
    for column, texts in zip(schema.modelled, zip(*rows, strict=True), strict=True):
        if column.is_closed or column.is_free:
            codes = {text: place for place, text in enumerate(dict.fromkeys(texts))}
            columns.append(np.array([codes[text] for text in texts], dtype=float))
        else:
            numbers = np.asarray(by_text(column.number, texts), dtype=float)
            distinct, ranks = np.unique(numbers, return_inverse=True)
            columns.append(np.where(np.isnan(numbers), -2.0, ranks / max(1, len(distinct) - 1)))
    return np.stack(columns, 1), np.array([not (each.is_closed or each.is_free) for each in schema.modelled])


def _attack(members: Matrix, others: Matrix, rng: np.random.Generator) -> Attack:
    members, others = np.sort(members), np.sort(others)  # equal tables are resampled alike
    drawn = [_area(rng.choice(members, len(members)), rng.choice(others, len(others))) for _ in range(N_RESAMPLES)]
    tpr = float(np.mean(members < np.quantile(others, 0.01))) if len(others) >= LEAST_FOR_TPR else None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Attack(_area(members, others), float(low), float(high), tpr, len(members))


def _area(members: Matrix, others: Matrix) -> float:
    """Area under the ROC curve of taking the nearer rows for members."""
    ordered = np.sort(others)
    before, until = (np.searchsorted(ordered, members, side=side) for side in ("left", "right"))
    return float(1 - np.mean(before + until) / 2 / len(others))
