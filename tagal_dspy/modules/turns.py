"""What a run is made of: turns, the rounds that hold them, and how far it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tagal_dspy.conditions import Slot
from tagal_dspy.schema import Reject, RejectReason, Row
from tagal_dspy.signatures import Discrepancy, Table


@dataclass(frozen=True)
class Turn:
    """One draw and what was said about it.

    Attributes:
        round: number of the round, from 0.
        iteration: number of the turn within its conversation, from 0.
        slot: what its rows were to be.
        request: the fields of `GenerateRows` that asked for it, without the history.
        answer: what the LM wrote.
        rows: what of it fits the schema, in canonical text.
        rejects: what does not, with reasons.
        critique: what the critic said; empty without one.
        discrepancies: what the critic measured; empty where it measures nothing.
        score: of the rows, at as many rows as the other turns of the conversation have; None outside of one.
    """

    round: int
    iteration: int
    slot: Slot
    request: dict[str, Any] = field(repr=False)
    answer: Table = field(repr=False)
    rows: tuple[Row, ...] = field(repr=False)
    rejects: tuple[Reject, ...] = field(repr=False)
    critique: str = ""
    discrepancies: tuple[Discrepancy, ...] = field(default=(), repr=False)
    score: float | None = None

    @property
    def message(self) -> dict[str, Any]:
        """The turn as a message of a `dspy.History`."""
        return {**self.request, "rows": self.answer}


class Round(NamedTuple):
    """What a round hands over: its turns, the turns whose rows are offered, and the rows asked for by slot."""

    turns: tuple[Turn, ...]
    offered: tuple[Turn, ...]
    asked: Counter[Slot]


class Progress(NamedTuple):
    """How far a run is; given to `on_progress` after each committed round."""

    rows: Sequence[Row]
    n_wanted: int
    n_draws: int
    rejects: dict[RejectReason, int]
    usage: dict[str, dict[str, int]]


def best_turn(turns: Sequence[Turn]) -> int:
    """The place of the turn with the highest score, the first of equals."""
    return max(range(len(turns)), key=lambda place: turns[place].score or 0.0)


def curve(turns: Sequence[Turn]) -> tuple[float, ...]:
    """The mean score of each iteration over all conversations."""
    by_iteration: dict[int, list[float]] = {}
    for turn in turns:
        if turn.score is not None:
            by_iteration.setdefault(turn.iteration, []).append(turn.score)
    return tuple(sum(scores) / len(scores) for _, scores in sorted(by_iteration.items()))
