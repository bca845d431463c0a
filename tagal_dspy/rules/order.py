"""Which orders among columns follow from others."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from tagal_dspy.rules.base import Edge

Mask = np.ndarray[Any, np.dtype[np.bool_]]


def implied(order: Mask, strict: Mask, passable: Mask) -> Mask:
    """Which orders follow from others.

    Args:
        order: of each two columns, whether the first is never above the second.
        strict: whether it is always below it.
        passable: columns by way of which an order may follow; no two of them bound each other.

    >>> order = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0]], dtype=bool)
    >>> np.argwhere(implied(order, np.zeros_like(order), np.ones(3, dtype=bool))).tolist()
    [[0, 2]]
    """
    through = np.flatnonzero(passable)

    def joined(first: Mask, second: Mask) -> Mask:
        return np.asarray(first[:, through].astype(np.float32) @ second[through].astype(np.float32) > 0)

    reached, reached_strictly = order, strict
    n_before = -1
    while (n_reached := int(reached.sum() + reached_strictly.sum())) > n_before:
        n_before = n_reached
        strictly = joined(reached, reached_strictly) | joined(reached_strictly, reached)
        reached, reached_strictly = reached | joined(reached, reached), reached_strictly | strictly
    strictly = joined(order, reached_strictly) | joined(strict, reached)
    return np.where(strict, strictly, joined(order, reached))


def contradiction(edges: Collection[Edge]) -> tuple[str, ...]:
    """Columns that would each have to be less than itself; empty where there are none."""
    lows = dict.fromkeys(edge.low for edge in edges)
    return tuple(name for name in lows if (name, True) in _reached(name, edges))


def _reached(start: str, edges: Collection[Edge]) -> set[tuple[str, bool]]:
    """Columns above `start`, each with whether it is strictly above."""
    reached: set[tuple[str, bool]] = set()
    waiting = [(start, False)]
    while waiting:
        name, strict = waiting.pop()
        for edge in edges:
            found = (edge.high, strict or edge.strict)
            if edge.low == name and found not in reached:
                reached.add(found)
                waiting.append(found)
    return reached
