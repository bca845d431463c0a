"""What a run is made of: turns, the rounds that hold them, and how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tagal_dspy.conditions import Slot
from tagal_dspy.recording import Usage
from tagal_dspy.schema import Reject, RejectReason, Row
from tagal_dspy.signatures import Discrepancy, Table


@dataclass(frozen=True)
class Turn:
    """One draw and what was said about it.

    Attributes:
        round: number of the round, from 0.
        iteration: number of the turn within its conversation, from 0.
        slot: what its rows were to be.
        request: the fields that were sent to ask for it, without the history.
        answer: what the LM wrote.
        rows: what of it fits the schema, in canonical text.
        rejects: what does not, with reasons.
        critique: what the critic said; empty without one.
        discrepancies: what the critic measured; empty where it measures nothing.
        critic_message: what the critic was asked and answered, for a conversation of its own; None without one.
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
    critic_message: dict[str, Any] | None = field(default=None, repr=False)
    score: float | None = None

    @property
    def message(self) -> dict[str, Any]:
        """The turn as a message of a `dspy.History`."""
        return {**self.request, "rows": self.answer}


class DrawRequest(NamedTuple):
    """What a round is asked for.

    Attributes:
        number: of the round, from 0.
        slot: what its rows are to be.
        n_rows: how many; as many as the model writes where None.
        n_seen: rows of the slot that were accepted when the round was planned: what is committed meanwhile it does not
            see, or which answer came first would decide what it asks for.
    """

    number: int
    slot: Slot
    n_rows: int | None
    n_seen: int


class Conversation(NamedTuple):
    """The turns of a round, as they are made.

    Attributes:
        turns: those that later turns build on.
        failed: draws without a valid row that were made again.
        is_given_up: whether too many draws failed.
    """

    turns: tuple[Turn, ...] = ()
    failed: tuple[Turn, ...] = ()
    is_given_up: bool = False


class Round(NamedTuple):
    """What a round hands over: its turns, and those whose rows are offered."""

    turns: tuple[Turn, ...]
    offered: tuple[Turn, ...]


class Progress(NamedTuple):
    """How far a run is; given to `on_progress` after each committed round."""

    rows: Sequence[Row]
    n_wanted: int
    n_draws: int
    rejects: dict[RejectReason, int]
    usage: Usage


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
