"""`Run`: the state of one call of a loop, the rounds it wants, and what they brought."""

from __future__ import annotations

import copy
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, Protocol

import dspy
import numpy as np

from tagal_dspy.acceptance import Acceptance, RowFilter, apportion
from tagal_dspy.conditions import ANY, Slot, target_slots
from tagal_dspy.curation import MAX_ROWS, LabelCurator
from tagal_dspy.errors import BudgetError, DataError, NotEnoughRowsError
from tagal_dspy.few_shot import FewShotSampler, Mask
from tagal_dspy.modules.ledger import Ledger
from tagal_dspy.modules.rounds import Steps
from tagal_dspy.modules.steering import steered
from tagal_dspy.modules.turns import Progress, Round, Turn, curve
from tagal_dspy.modules.wanted import Wanted
from tagal_dspy.quick_score import QuickScore
from tagal_dspy.schema import CategoricalColumn, ModelledColumn, Row
from tagal_dspy.settings import RunSettings
from tagal_dspy.signatures import wanted_rows
from tagal_dspy.task import TableTask

PATIENCE = 20
"""Draws in a row without an accepted row after which a run gives up; more where a draw is of few rows."""

PATIENCE_ROWS = 200
"""Rows asked for in a row, none of them accepted, before which a run does not give up."""

LOWEST_YIELD = 0.1
"""Share of rows expected to be accepted, however many were rejected so far."""

MAX_SEEN = 5_000
"""Accepted rows that a round looks at, the latest: what a draw costs must not grow with the table."""

MAX_CONVERSATIONS = 20
"""Slots that have a conversation each; with more of them there is one for all."""

MAX_NAMED = 5
"""Kinds of missing rows that an error names."""

STEERED_ROUNDS = 3
"""One in so many rounds is steered: what is under way does not know of each other, and would overshoot."""


class RoundMaker(Protocol):
    """What a run needs of the loop that it belongs to."""

    settings: RunSettings
    sampler: FewShotSampler
    pause_after: int

    def round(self, run: Run, number: int, slot: Slot, n_rows: int) -> Steps[Round]:
        """The steps of a round."""
        ...


class Run:
    """One call of a loop. Every decision is made from what is committed, never from what is under way."""

    def __init__(
        self,
        loop: RoundMaker,
        task: TableTask,
        n_rows: int,
        seed: int,
        on_progress: Callable[[Progress], None] | None = None,
        wanted: Wanted | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        if n_rows < 1:
            raise DataError(f"n_rows is {n_rows}; ask for at least 1 row")
        self.wanted = wanted or Wanted()
        self.wanted.check(task, n_rows)
        self.rules = self.wanted.rules.fitted(task) if self.wanted.rules else None
        self.loop, self.task, self.n_rows, self.seed = loop, task, n_rows, seed
        self.settings = loop.settings
        self.ahead = self.settings.rounds_ahead
        self.row_filter = RowFilter(
            task, self.settings.strictness, rules=self.wanted.rules, condition=self.wanted.condition
        )
        self.quotas = self._quotas()
        self.acceptance = Acceptance(self.row_filter, n_rows, self.quotas)
        self.memory: Any = None
        self.turns: list[Turn] = []
        self.ledger = ledger or Ledger()
        self.n_failed = 0
        self._scorers: dict[Slot, QuickScore] = {}
        self._n_seen: list[int] = []
        self._n_draws = 0
        self._patience = max(PATIENCE, math.ceil(PATIENCE_ROWS / self.settings.rows_per_draw))
        self._asked: Counter[Slot] = Counter()
        per_slot = (self.quotas or {ANY: n_rows}).values()
        self._max_draws = PATIENCE + PATIENCE * sum(math.ceil(n / self.settings.rows_per_draw) for n in per_slot)
        self._on_progress = on_progress
        self._paused = False

    def _quotas(self) -> dict[Slot, int] | None:
        """Rows of each slot: what is wanted, or the real shares of the target's classes. Ranges of a number to regress
        count where rows are drawn class by class; under a condition they could contradict it."""
        if self.wanted.quotas is not None:
            return dict(self.wanted.quotas)
        slots, condition = target_slots(self.task), self.wanted.condition
        ranged = any(slot.condition for slot in slots)
        if self.settings.shares == "free" or not slots or (ranged and (condition or self.settings.draws == "joint")):
            return None
        if condition is None and not ranged:
            counts = [len(self.task.strata.get(str(slot), ())) for slot in slots]
        else:
            rows = [row for row in self.task.train_rows if condition is None or condition.holds(row)]
            counts = [sum(slot.takes(row, self.task.schema) for row in rows) for slot in slots]
        return apportion(self.n_rows, dict(zip(slots, counts, strict=True)))

    def rollout_id(self, *names: int | str) -> int:
        """A number below 2**31 that names a draw, the same for the same seed and place in the run."""
        digest = hashlib.sha256(f"{self.seed}/{'/'.join(map(str, names))}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def few_shots(self, number: int, slot: Slot) -> list[Row]:
        """Fresh few-shots for a round."""
        rng, whole = np.random.default_rng([self.seed, number]), self.wanted.narrowed(slot)
        return self.loop.sampler.sample(
            self.task, self.settings.n_shots, rng, whole, self.accepted(number, slot), self._plausible
        )

    def accepted(self, number: int, slot: Slot) -> list[Row]:
        """The latest rows of a slot that were accepted when a round started: what is committed meanwhile it does not
        see, or which answer came first would decide what it asks for."""
        n_seen = self._n_seen[number]
        return self._rows_of(slot)[max(0, n_seen - MAX_SEEN) : n_seen]

    def _rows_of(self, slot: Slot) -> list[Row]:
        return self.acceptance.rows if slot == ANY else self.acceptance.by_slot.get(slot, [])

    def wish(self, number: int, slot: Slot) -> dict[str, Any]:
        """What a draw of a round is told and held to: which rows to write, and what there is enough of."""
        schema, whole = self.task.schema, self.wanted.narrowed(slot)
        label, condition = whole.label, whole.condition
        narrowed: dict[str, ModelledColumn] = {}
        if self.settings.steering == "grammar" and number % STEERED_ROUNDS == 0:
            narrowed |= steered(self.task, self.accepted(number, slot), whole)
        if condition is not None:
            narrowed |= condition.narrowed
        target = schema[schema.target] if label and schema.target else None
        if label and isinstance(target, CategoricalColumn):
            narrowed[target.name] = target.among((label,))
        text = wanted_rows((target.name, label) if target and label else None, condition.text if condition else None)
        return {"wanted": text, "narrowed": narrowed, "rules": self.rules}

    @property
    def slots(self) -> list[Slot]:
        """The slots that have a conversation of their own; `[ANY]` where there is one for all rows."""
        slots = list(map(Slot, self.task.schema.classes))
        if self.quotas is not None:
            slots = [slot for slot, n in self.quotas.items() if n]
        by_slot = self.settings.draws == "by-class" and 0 < len(slots) <= MAX_CONVERSATIONS
        return slots if by_slot else [ANY]

    @property
    def is_complete(self) -> bool:
        """See `Rounds.is_complete`: the last row is accepted."""
        return self.acceptance.n_missing == 0

    @property
    def wants_more(self) -> bool:
        """Whether rows are missing and draws are left."""
        return not self.is_complete and self.n_failed < self._patience and self._n_draws < self._max_draws

    def start(self) -> Steps[Round] | None:
        """See `Rounds.start`."""
        if not self.wants_more or self._paused:
            return None
        slot = self._next_slot()
        n_missing = self._missing(slot)
        if n_missing <= 0:
            return None
        _ = self._plausible  # Rounds ask for it on threads of their own; without this each would fit a curator.
        n_rows = self._rows_to_ask(n_missing)
        self._asked[slot] += n_rows
        return self.loop.round(self, self.next_number(slot), slot, n_rows)

    def next_number(self, slot: Slot) -> int:
        """The number of the next round, which starts now and is for a slot."""
        self._n_seen.append(len(self._rows_of(slot)))
        return len(self._n_seen) - 1

    def resumed(self) -> bool:
        """Whether rounds that paused shall go on."""
        was_paused, self._paused = self._paused, False
        return was_paused and self.wants_more

    def _next_slot(self) -> Slot:
        """The slot with most rows missing; any rows while classes fill together and none of them is complete."""
        missing = self.acceptance.missing
        one_complete = any(n == 0 < (self.quotas or {})[slot] for slot, n in missing.items() if slot != ANY)
        by_class = all(slot.condition is None for slot in missing)
        if self.settings.draws == "joint" and by_class and not one_complete:
            return ANY
        return max(missing, key=self._missing)

    def _missing(self, slot: Slot) -> int:
        """Rows of a slot still to be asked for: those wanted, as many more as will be rejected at the rate so far,
        less those that rounds under way were asked for; of a slot without a quota, all that are missing."""
        missing = self.acceptance.missing
        if slot in missing:
            return math.ceil(missing[slot] / self._yield()) - self._asked[slot]
        return math.ceil(self.acceptance.n_missing / self._yield()) - sum(self._asked.values())

    def _yield(self) -> float:
        """The share of rows that is accepted, from what is committed."""
        if self.settings.preset == "paper":
            return 1.0
        n_lost = sum(n for reason, n in self.acceptance.reject_counts().items() if reason != "quota_full")
        n_accepted = len(self.acceptance.rows)
        return max(LOWEST_YIELD, (n_accepted + 1) / (n_accepted + n_lost + 1))

    def _rows_to_ask(self, n_missing: int) -> int:
        per_draw = self.settings.rows_per_draw
        return per_draw if self.settings.preset == "paper" else min(per_draw, n_missing)

    def scored(self, turns: Sequence[Turn]) -> tuple[Turn, ...]:
        """The turns of a conversation with their scores, each at as many rows as the shortest one has."""
        n_equal = min((len(turn.rows) for turn in turns if turn.rows), default=0)
        scorer = self._scorer(self.wanted.narrowed(turns[0].slot))
        return tuple(replace(turn, score=scorer(turn.rows[:n_equal])) for turn in turns)

    def gained(self, turns: Sequence[Turn]) -> bool:
        """Whether the last of some scored turns is better than those before by more than noise."""
        *before, last = turns
        best = max(before, key=lambda turn: turn.score or 0.0)
        n_equal = min(len(best.rows), len(last.rows))
        noise = self._scorer(self.wanted.narrowed(last.slot)).noise(best.rows[:n_equal])
        return (last.score or 0.0) - (best.score or 0.0) > noise

    def _scorer(self, slot: Slot) -> QuickScore:
        if slot not in self._scorers:
            self._scorers[slot] = QuickScore(self.task, slot)
        return self._scorers[slot]

    @cached_property
    def _curator(self) -> LabelCurator | None:
        """Fitted when the first few-shots are chosen by it, or the first rows come."""
        return LabelCurator(self.task) if self.settings.curation == "labels" else None

    @cached_property
    def _plausible(self) -> Mask | None:
        """Which training rows to show, None for all of them: also where a curator would judge only a part of many, as
        the first prompt would wait for it, and every draw would look at every row."""
        if self.settings.curation == "none" or len(self.task.train) > MAX_ROWS or self._curator is None:
            return None
        return self._curator.plausible

    def commit(self, result: Round) -> None:
        """See `Rounds.commit`."""
        self._asked -= result.asked
        self.turns += result.turns
        self._n_draws += len(result.turns)
        self.acceptance.rejects += [reject for turn in result.turns for reject in turn.rejects]
        rows = [row for turn in result.offered for row in turn.rows]
        if self._curator is not None:
            rows, noisy = self._curator.curated(rows)
            self.acceptance.rejects += noisy
        self.n_failed = 0 if self.acceptance.offer(rows) else self.n_failed + 1
        if self.ledger.store is not None:
            self.ledger.store.commit(self.acceptance.rows, self.acceptance.rejects, self.turns)
        self._paused = self.n_failed > 0 and self.n_failed % self.loop.pause_after == 0
        if self._on_progress is not None:
            counts, usage = self.acceptance.reject_counts(), copy.deepcopy(self.ledger.usage)
            self._on_progress(Progress(self.acceptance.rows, self.n_rows, self._n_draws, counts, usage))

    @contextmanager
    def stopped_by_budget(self) -> Iterator[None]:
        """Hand over what was accepted with the error that the budget is used up."""
        try:
            yield
        except BudgetError as error:
            raise BudgetError(f"{error}: {self._shortfall()}", self._prediction()) from None

    def finished(self, if_short: Literal["raise", "return"]) -> dspy.Prediction:
        """The prediction of the run; raises `NotEnoughRowsError` when rows are missing, unless told to return them."""
        prediction = self._prediction()
        if self.acceptance.n_missing and if_short == "raise":
            raise NotEnoughRowsError(self._shortfall(), prediction)
        return prediction

    def _prediction(self) -> dspy.Prediction:
        return dspy.Prediction(
            table=self.task.schema.to_frame(self.acceptance.rows),
            turns=tuple(self.turns),
            curve=curve(self.turns),
            rejects=tuple(self.acceptance.rejects),
            usage=copy.deepcopy(self.ledger.usage),
            n_draws=self._n_draws,
            by_slot=tuple((slot, tuple(rows)) for slot, rows in self.acceptance.by_slot.items()),
        )

    def _shortfall(self) -> str:
        counts = self.acceptance.reject_counts()
        reasons = ", ".join(f"{reason} {count}" for reason, count in list(counts.items())[:3]) or "no row came at all"
        missing = [f"{n} of {slot}" for slot, n in self.acceptance.missing.items() if n > 0 and slot != ANY]
        rest = ", ..." if len(missing) > MAX_NAMED else ""
        which = f" (missing: {', '.join(missing[:MAX_NAMED])}{rest})" if missing else ""
        return (
            f"{len(self.acceptance.rows)} of {self.n_rows} rows accepted in {self._n_draws} draws{which}; "
            f"most frequent reasons for rejection: {reasons}"
        )
