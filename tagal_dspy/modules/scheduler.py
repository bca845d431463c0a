"""`Scheduler`: which rows to ask for next, decided from what is committed alone, never from what is under way."""

from __future__ import annotations

import math
from collections import Counter

from tagal_dspy.acceptance import AcceptancePipeline
from tagal_dspy.conditions import ANY, Slot
from tagal_dspy.modules.remedies import REMEDIES
from tagal_dspy.modules.turns import DrawRequest
from tagal_dspy.schema import RejectReason
from tagal_dspy.settings import MANY_ROWS, RunSettings

PATIENCE = 20
"""Draws in a row without an accepted row after which a run gives up; more where a draw is of few rows."""

PATIENCE_ROWS = 200
"""Rows asked for in a row, none of them accepted, before which a run does not give up."""

FIRST_DRAWS = 5
"""Draws after which a run ends where all that they brought was refused for one reason; more of draws of few rows."""

FIRST_ROWS = 50
"""Rows asked for in these draws at least."""

LOWEST_YIELD = 0.1
"""Share of rows expected to be accepted, however many were rejected so far."""


class Scheduler:
    """Plans rounds until enough rows are accepted, too many draws failed, or all first ones did for one reason.

    The last does not hold where failed draws are repeated (`max_failed_draws`), as the authors' code does.

    Args:
        settings: `rows_per_draw` and `draws` say what a round asks for.
        acceptance: the rows committed so far.
        pause_after: draws in a row without an accepted row after which planning pauses until `resume`.
    """

    def __init__(
        self,
        settings: RunSettings,
        acceptance: AcceptancePipeline,
        pause_after: int | None = None,
    ) -> None:
        self._settings, self._acceptance = settings, acceptance
        self._pause_after = pause_after
        per_draw = settings.rows_per_draw or MANY_ROWS
        self._patience = max(PATIENCE, math.ceil(PATIENCE_ROWS / per_draw))
        self._n_first = max(FIRST_DRAWS, math.ceil(FIRST_ROWS / per_draw))
        self._max_draws = PATIENCE + PATIENCE * sum(math.ceil(n / per_draw) for n in acceptance.pool.values())
        self._asked: Counter[Slot] = Counter()
        self._pending: dict[int, int] = {}
        self._n_planned = 0
        self._n_offered: list[int] = []
        self._is_paused = False
        self._n_tried = 0
        self.n_draws = 0
        self.n_failed = 0
        self.refused_for: RejectReason | None = None
        """The reason for which all that the first draws brought was refused; None where it was not."""

    @property
    def is_complete(self) -> bool:
        """Whether the last row is accepted."""
        return self._acceptance.n_missing == 0

    @property
    def wants_more(self) -> bool:
        """Whether rows are missing and draws are left."""
        has_patience = self.n_failed < self._patience and self.n_draws < self._max_draws
        return has_patience and not self.is_complete and self.refused_for is None

    def next(self) -> DrawRequest | None:
        """The next round; None while no further one is wanted."""
        if not self.wants_more or self._is_paused:
            return None
        if self._is_on_trial and self._n_tried + len(self._pending) >= self._n_first:
            return None  # what is begun is paid for: first it must show that a draw brings a row
        slot = self._next_slot()
        n_missing = self._missing(slot)
        if n_missing <= 0:
            return None
        per_draw = self._settings.rows_per_draw
        n_rows = None if per_draw is None else min(per_draw, n_missing)
        request = self.request(slot, n_rows)
        self._pending[request.number] = n_rows or self._expected_rows()
        self._asked[slot] += self._pending[request.number]
        return request

    def request(self, slot: Slot, n_rows: int | None) -> DrawRequest:
        """A round that is planned now, numbered; it sees the rows that are accepted now."""
        self._n_planned += 1
        return DrawRequest(self._n_planned - 1, slot, n_rows, len(self._acceptance.rows_of(slot)))

    def committed(
        self, request: DrawRequest, n_draws: int, n_offered: int, n_accepted: int, *, is_left_out: bool = False
    ) -> None:
        """Learn from a round that is committed.

        Args:
            request: of the round.
            n_draws: draws that it made.
            n_offered: rows that it offered.
            n_accepted: rows of these that were accepted.
            is_left_out: whether it is a conversation whose rows are not meant for the table.
        """
        self.n_draws += n_draws
        self._asked[request.slot] -= self._pending.pop(request.number, 0)
        if is_left_out:
            return
        self._n_offered.append(n_offered)
        self._n_tried += n_draws
        if self._n_tried >= self._n_first:
            self.refused_for = self._one_reason()
        if n_accepted:
            self.n_failed, self._is_paused = 0, False
        elif not self._is_paused:  # rounds that were under way at the pause tell nothing new
            self.n_failed += 1
            self._is_paused = self._pause_after is not None and self.n_failed % self._pause_after == 0

    def resume(self) -> bool:
        """Whether planning had paused, and goes on now."""
        was_paused, self._is_paused = self._is_paused, False
        return was_paused and self.wants_more

    @property
    def _is_on_trial(self) -> bool:
        has_begun = bool(self._acceptance.rows) or self._n_tried >= self._n_first
        return not self._settings.max_failed_draws and not has_begun

    def _one_reason(self) -> RejectReason | None:
        """The reason for which all that came so far was refused, prose around it aside, if `REMEDIES` has it."""
        if self._settings.max_failed_draws or self._acceptance.rows:
            return None
        most_frequent, *others = [*self._acceptance.reject_counts(), None]
        is_alone = set(others) <= {"unparsable", None}
        return most_frequent if is_alone and most_frequent in REMEDIES else None

    def _next_slot(self) -> Slot:
        """The slot with most rows missing; any rows while classes fill together and none of them is complete."""
        missing = self._acceptance.missing
        one_complete = any(n == 0 < self._acceptance.pool[slot] for slot, n in missing.items() if slot != ANY)
        by_class = all(slot.condition is None for slot in missing)
        if self._settings.draws == "joint" and by_class and not one_complete:
            return ANY
        return max(missing, key=self._missing)

    def _missing(self, slot: Slot) -> int:
        """Rows of a slot still to be asked for: those wanted, as many more as will be rejected at the rate so far,
        less those that rounds under way were asked for; of a slot without a quota, all that are missing."""
        missing = self._acceptance.missing
        if slot in missing:
            return math.ceil(missing[slot] / self._yield()) - self._asked[slot]
        return math.ceil(self._acceptance.n_missing / self._yield()) - sum(self._asked.values())

    def _yield(self) -> float:
        """The share of rows that is accepted; of rows that nobody counts beforehand, those that come are expected."""
        if self._settings.rows_per_draw is None:
            return 1.0
        n_lost = sum(n for reason, n in self._acceptance.reject_counts().items() if reason != "quota_full")
        n_accepted = len(self._acceptance.rows)
        return max(LOWEST_YIELD, (n_accepted + 1) / (n_accepted + n_lost + 1))

    def _expected_rows(self) -> int:
        """Rows of a draw that is asked for as many as possible: the mean of those offered so far."""
        if not self._n_offered:
            return MANY_ROWS
        return max(1, round(sum(self._n_offered) / len(self._n_offered)))
