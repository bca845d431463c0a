"""How near synthetic rows come to the real rows they were made from, and to real rows nobody showed.

Every reference is used whole: a subsample of it would find greater distances, and less risk, than there is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from tagal_dspy.metrics.tables import Encoder, Matrix, nearest, ready
from tagal_dspy.schema import Row, TableSchema

_TIE = 1e-6


@dataclass(frozen=True)
class Nearness:
    """Synthetic rows against one set of real rows.

    Attributes:
        dcr: median distance to the closest real row.
        dcr_low: its 5th percentile.
        nndr: median ratio of the distances to the closest and the second closest; near 0 where rows hug one real row.
        copies: share of synthetic rows equal to a real row, by canonical text.
        n_rows: real rows compared with.
    """

    dcr: float
    dcr_low: float
    nndr: float
    copies: float
    n_rows: int


@dataclass(frozen=True)
class Privacy:
    """Nearness to each set of real rows, and how much of it needs explaining.

    Attributes:
        train: nearness to the training rows.
        few_shots: to the rows that stood in prompts; None where they are not known.
        holdout: to rows that were not used; None without them.
        closer_to_train: share of synthetic rows closer to a training row than to any holdout row; rows equally close
            count as `expected`. None without a holdout.
        expected: that share for rows that know nothing: the training rows' share of all rows compared with.
        score: 1 where neither copies nor closeness exceed what is expected, 0 where every row is a copy or closer.
    """

    train: Nearness
    few_shots: Nearness | None
    holdout: Nearness | None
    closer_to_train: float | None
    expected: float | None
    score: float


def privacy(
    *,
    synthetic: pd.DataFrame,
    train: pd.DataFrame,
    schema: TableSchema,
    holdout: pd.DataFrame | None = None,
    few_shots: pd.DataFrame | None = None,
) -> Privacy:
    """Distance to the closest record and nearest-neighbour distance ratio against each set of real rows.

    Args:
        synthetic: rows to judge.
        train: real rows that the program could see.
        schema: of all frames.
        holdout: real rows that it could not.
        few_shots: real rows that were prompted with.

    Returns:
        How near rows come that know nothing is seen with the holdout in the place of `synthetic`. Distances are
        Euclidean after `Encoder`, at least 0, greater is more private; `score` is in [0, 1], higher is more private.
        It is evidence of copying, no guarantee against attacks.

    Raises:
        DataError: a frame does not fit the schema, or has too few rows.

    Source: Zhao et al. (arXiv:2102.08369) for DCR and NNDR; the share closer to train after Platzer and Reutterer
    (arXiv:2104.00635).
    """
    others = {name: frame for name, frame in (("holdout", holdout), ("few_shots", few_shots)) if frame is not None}
    frames = {"synthetic": synthetic, "train": train, **others}
    typed = dict(zip(frames, ready(schema, min_rows=1, **frames), strict=True))
    encoder = Encoder(schema, typed["train"])
    rows = {name: Rows(encoder(typed[name]), Counter(schema.to_rows(frame))) for name, frame in frames.items()}
    return privacy_of(rows["synthetic"], rows["train"], rows.get("holdout"), rows.get("few_shots"))


class Rows(NamedTuple):
    """Rows as `privacy_of` compares them.

    Attributes:
        features: after an `Encoder` that is fitted to the training rows.
        texts: the canonical rows, and how often each occurs.
    """

    features: Matrix
    texts: Counter[Row]

    @property
    def n_rows(self) -> int:
        """How many there are."""
        return len(self.features)


def privacy_of(made: Rows, known: Rows, unused: Rows | None = None, shown: Rows | None = None) -> Privacy:
    """Privacy, from ready synthetic, training, holdout and prompted rows."""
    distances = nearest(made.features, known.features, 2)
    to_train = _nearness(made, known, distances)
    own_copies = sum(count for count in known.texts.values() if count > 1) / known.n_rows
    worst = excess(to_train.copies, own_copies, made.n_rows)
    to_unused, closer, expected = None, None, None
    if unused is not None:
        to_holdout = nearest(made.features, unused.features, 2)
        to_unused = _nearness(made, unused, to_holdout)
        expected = known.n_rows / (known.n_rows + unused.n_rows)
        gap = to_holdout[:, 0] - distances[:, 0]
        closer = float(np.where(np.abs(gap) <= _TIE, expected, gap > 0).mean())
        worst = max(worst, excess(closer, expected, made.n_rows))
    return Privacy(
        train=to_train,
        few_shots=None if shown is None else _nearness(made, shown, nearest(made.features, shown.features, 2)),
        holdout=to_unused,
        closer_to_train=closer,
        expected=expected,
        score=1 - worst,
    )


def excess(share: float, expected: float, n_rows: int) -> float:
    """How far a share is above what is expected and two standard errors of it, as a part of what there is room for.

    >>> excess(0.5, 0.5, 100), excess(1.0, 0.5, 100)
    (0.0, 1.0)
    """
    limit = expected + 2 * float(np.sqrt(expected * (1 - expected) / n_rows))
    # With few rows the limit may pass 1; a share of 1 is beyond what is expected all the same.
    limit = min(limit, (1 + expected) / 2)
    return max(0.0, (share - limit) / (1 - limit)) if limit < 1 else 0.0


def _nearness(rows: Rows, known: Rows, distances: Matrix) -> Nearness:
    first, second = distances.T
    ratio = np.divide(first, second, out=np.ones_like(first), where=second > 0)
    return Nearness(
        dcr=float(np.median(first)),
        dcr_low=float(np.quantile(first, 0.05)),
        nndr=float(np.median(ratio)),
        copies=sum(count for row, count in rows.texts.items() if row in known.texts) / rows.n_rows,
        n_rows=known.n_rows,
    )
