"""Which orders among columns follow from others."""

from __future__ import annotations

from collections.abc import Collection

from tagal_dspy.rules.base import Edge


def follows(edge: Edge, others: Collection[Edge]) -> bool:
    """Whether a path of the others leads from `edge.low` to `edge.high`, with a strict one on it where `edge` is.

    >>> follows(Edge("a", "c", True), [Edge("a", "b", False), Edge("b", "c", True)])
    True
    """
    return (edge.high, True) in _reached(edge.low, others) or (
        not edge.strict and (edge.high, False) in _reached(edge.low, others)
    )


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
