"""`Run`: the state of one call of a loop: what is wanted, what is planned, and what came so far."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import dspy
import numpy as np

from tagal_dspy.acceptance import AcceptancePipeline, RowFilter, apportion
from tagal_dspy.codecs import RowCodec
from tagal_dspy.conditions import ANY, Slot, real_counts, target_slots
from tagal_dspy.errors import DataError
from tagal_dspy.few_shot import FewShotSampler, Mask
from tagal_dspy.measures.curation import MAX_ROWS, LabelCurator
from tagal_dspy.measures.discrepancies import MarginCounts
from tagal_dspy.measures.quick_score import MIN_REAL_ROWS, QuickScore
from tagal_dspy.measures.selection import Selection
from tagal_dspy.modules.remedies import remedy
from tagal_dspy.modules.scheduler import Scheduler
from tagal_dspy.modules.steering import AcceptedWindow, steered
from tagal_dspy.modules.turns import DrawRequest, Progress, Round, Turn, best_turn, curve
from tagal_dspy.modules.wanted import Wanted
from tagal_dspy.recording import Recorder, RunStore
from tagal_dspy.schema import CategoricalColumn, ModelledColumn, Row
from tagal_dspy.settings import RunSettings
from tagal_dspy.signatures import wanted_rows
from tagal_dspy.task import TableTask
from tagal_dspy.trees import tables_of_trees

MAX_SEEN = 5_000
"""Accepted rows that a round looks at, the latest: what a draw costs must not grow with the table."""

MAX_CONVERSATIONS = 20
"""Slots that have a conversation each; with more of them there is one for all."""

MAX_NAMED = 5
"""Kinds of missing rows that an error names."""

STEERED_ROUNDS = 3
"""One in so many rounds is steered: what is under way does not know of each other, and would overshoot."""


class Run:
    """One call of a loop.

    Args:
        settings: of the loop.
        sampler: chooses few-shots.
        codec: of the rows.
        task, n_rows, seed, wanted: what the loop was called with.
        pause_after: see `Scheduler`.
        store: where accepted rows are recorded.
        on_progress: called after each committed round.
    """

    def __init__(
        self,
        settings: RunSettings,
        sampler: FewShotSampler,
        codec: RowCodec,
        task: TableTask,
        n_rows: int,
        seed: int,
        wanted: Wanted | None = None,
        *,
        pause_after: int | None = None,
        store: RunStore | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        if n_rows < 1:
            raise DataError(f"n_rows is {n_rows}; ask for at least 1 row")
        self.wanted = wanted or Wanted()
        self.wanted.check(task, n_rows)
        self.settings, self.task, self.n_rows, self.seed = settings, task, n_rows, seed
        self.rules = self.wanted.rules.fitted(task) if self.wanted.rules else None
        self.quotas = self._quotas()
        row_filter = RowFilter(
            task,
            settings.strictness,
            duplicates=settings.duplicates or "kept",
            common_rows=settings.common_rows,
            min_distance=settings.min_distance,
            rules=self.wanted.rules,
            condition=self.wanted.condition,
        )
        self.acceptance = AcceptancePipeline(
            codec,
            row_filter,
            n_rows,
            self.quotas,
            overdraw=settings.overdraw,
            keeps_surplus=settings.surplus == "random",
            curator=lambda: self._curator,
        )
        self.scheduler = Scheduler(settings, self.acceptance, pause_after)
        self.selection: Selection | None = None
        self.n_from_trees = 0
        self.recorder = Recorder()
        self.turns: list[Turn] = []
        self.open_rounds: dict[int, tuple[DrawRequest, Round]] = {}
        self._sampler, self._store, self._on_progress = sampler, store, on_progress
        self._scorers: dict[Slot, QuickScore] = {}
        self._windows: dict[Slot, AcceptedWindow] = {}
        self._curator: LabelCurator | None = None
        self._preparing = asyncio.Lock()

    def _quotas(self) -> dict[Slot, int] | None:
        """Rows of each slot: what is wanted, or the real shares of the target's classes. Ranges of a number to regress
        count where rows are drawn class by class; under a condition they could contradict it."""
        if self.wanted.quotas is not None:
            return dict(self.wanted.quotas)
        condition = self.wanted.condition
        ranged = bool(target_slots(self.task)) and not self.task.schema.classes
        if self.settings.shares == "free" or (ranged and (condition or self.settings.draws == "joint")):
            return None
        counts = real_counts(self.task, condition)
        return apportion(self.n_rows, counts) if counts else None

    @property
    def slots(self) -> list[Slot]:
        """The slots that have a conversation of their own; `[ANY]` where there is one for all rows."""
        slots = list(map(Slot, self.task.schema.classes))
        if self.quotas is not None:
            slots = [slot for slot, n in self.quotas.items() if n]
        by_slot = self.settings.draws == "by-class" and 0 < len(slots) <= MAX_CONVERSATIONS
        return slots if by_slot else [ANY]

    async def prepare(self) -> None:
        """Fit the label curator, on a thread: it takes seconds on large tables."""
        async with self._preparing:
            if self.settings.curation == "labels" and self._curator is None and self._knows_labels:
                self._curator = await asyncio.to_thread(LabelCurator, self.task)

    @cached_property
    def _knows_labels(self) -> bool:
        """Whether enough training rows meet the condition for a curator to judge the labels of others."""
        condition = self.wanted.condition
        n_met = len(self.task.train_rows) if condition is None else sum(map(condition.holds, self.task.train_rows))
        return n_met >= MIN_REAL_ROWS

    async def prepare_few_shots(self) -> None:
        """Fit the curator before the first prompt, unless it would judge a part of many rows only."""
        if len(self.task.train) <= MAX_ROWS:
            await self.prepare()

    def rollout_id(self, *names: int | str) -> int:
        """A number below 2**31 that names a draw, the same for the same seed and place in the run."""
        digest = hashlib.sha256(f"{self.seed}/{'/'.join(map(str, names))}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def few_shots(self, request: DrawRequest) -> list[Row]:
        """Fresh few-shots for a round."""
        rng, whole = np.random.default_rng([self.seed, request.number]), self.wanted.narrowed(request.slot)
        rows = self._sampler.sample(
            self.task, self.settings.n_shots, rng, whole, self.accepted(request), self._plausible
        )
        if self.settings.few_shot_order == "shuffled":
            return [rows[place] for place in rng.permutation(len(rows))]
        return rows

    def accepted(self, request: DrawRequest) -> list[Row]:
        """The latest rows of a round's slot that were accepted when it was planned."""
        return self.acceptance.rows_of(request.slot)[max(0, request.n_seen - MAX_SEEN) : request.n_seen]

    def _counted(self, request: DrawRequest, whole: Slot) -> MarginCounts:
        """The same rows, counted; rounds of a slot are begun in the order in which they were planned."""
        if whole not in self._windows:
            self._windows[whole] = AcceptedWindow(self.task, whole, MAX_SEEN)
        self._windows[whole].move(self.acceptance.rows_of(request.slot), request.n_seen)
        return self._windows[whole].counts

    def row_request(self, request: DrawRequest) -> dict[str, Any]:
        """Prompt fields and grammar constraints of one draw: which rows to write, and what there is enough of."""
        schema, whole = self.task.schema, self.wanted.narrowed(request.slot)
        label, condition = whole.label, whole.condition
        narrowed: dict[str, ModelledColumn] = {}
        if self.settings.steering == "grammar" and request.number % STEERED_ROUNDS == 0:
            narrowed |= steered(self.task, self._counted(request, whole), whole)
        if condition is not None:
            narrowed |= condition.narrowed
        target = schema.target_column if label else None
        if label and isinstance(target, CategoricalColumn):
            narrowed[target.name] = target.among((label,))
        text = wanted_rows((target.name, label) if target and label else None, condition.text if condition else None)
        return {"wanted": text, "narrowed": narrowed, "rules": self.rules}

    @property
    def _plausible(self) -> Mask | None:
        """Which training rows to show, None for all of them: also where a curator would judge only a part of many."""
        if self._curator is None or len(self.task.train) > MAX_ROWS:
            return None
        return self._curator.plausible

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

    def kept(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """The turns up to the one whose rows are kept: the best one, or the last as in the paper."""
        return turns[: best_turn(turns) + 1] if turns and self.settings.keep == "best" else turns

    def _scorer(self, slot: Slot) -> QuickScore:
        if slot not in self._scorers:
            self._scorers[slot] = QuickScore(self.task, slot)
        return self._scorers[slot]

    async def commit(self, request: DrawRequest, result: Round, *, is_left_out: bool = False) -> None:
        """Take over what a round brought; see `Scheduler.committed`."""
        await self.prepare()
        self.open_rounds.pop(request.number, None)
        self.turns += result.turns
        self.acceptance.rejects += [reject for turn in result.turns for reject in turn.rejects]
        rows = [row for turn in result.offered for row in turn.rows]
        accepted = self.acceptance.offer(rows)
        self.scheduler.committed(request, len(result.turns), len(rows), len(accepted), is_left_out=is_left_out)
        await self.record()
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            counts = self.acceptance.reject_counts()
            n_wanted = sum(self.acceptance.pool.values())
            progress = Progress(self.acceptance.rows, n_wanted, self.scheduler.n_draws, counts, self.recorder.usage)
            self._on_progress(progress)

    async def record(self) -> None:
        """Record what is accepted so far."""
        if self._store is not None:
            await asyncio.to_thread(self._store.commit, self.acceptance.rows, self.acceptance.rejects, self.turns)

    async def finish(self) -> None:
        """Keep the rows wanted, and forget what earlier attempts at this run recorded beyond them."""
        if (self.settings.overdraw > 1 or self.settings.trees) and self.acceptance.rows:
            self.selection = await asyncio.to_thread(self._select)
        elif self.settings.surplus == "random":
            self.acceptance.cut(np.random.default_rng([self.seed, self.n_rows]))
        if self._store is not None and (self.selection or self.settings.surplus == "random"):
            await asyncio.to_thread(self._store.replace_rows, self.acceptance.not_selected)
            await self.record()
        if self._store is not None and self.scheduler.is_complete:
            await asyncio.to_thread(self._store.trim)
        if self.turns:
            self._tell()

    def _select(self) -> Selection:
        """Keep the best rows, also of those of trees where all rows that are wanted were written."""
        n_written = len(self.acceptance.rows)
        if self.settings.trees and not self.acceptance.n_missing:
            self.acceptance.widen(self.settings.trees)
            self.acceptance.fill(tables_of_trees(self.task, sum(self.acceptance.pool.values()), self.seed))
        selection = self.acceptance.select(self.seed)
        self.n_from_trees = sum(place >= n_written for place in selection.places)
        return selection

    def prediction(self) -> dspy.Prediction:
        """What came so far."""
        return dspy.Prediction(
            table=self.task.schema.to_frame(self.acceptance.rows),
            turns=tuple(self.turns),
            curve=curve(self.turns),
            rejects=tuple(self.acceptance.rejects),
            usage=self.recorder.usage,
            n_draws=self.scheduler.n_draws,
            selection=self.selection,
            n_from_trees=self.n_from_trees,
            not_selected=self.task.schema.to_frame(self.acceptance.not_selected),
            by_slot=tuple((slot, tuple(rows)) for slot, rows in self.acceptance.by_slot.items()),
        )

    def shortfall(self) -> str:
        """What is missing, and why."""
        counts = self.acceptance.reject_counts()
        reasons = ", ".join(f"{reason} {count}" for reason, count in list(counts.items())[:3])
        told = f"most frequent reasons for rejection: {reasons}" if reasons else "no row was rejected"
        missing = [f"{n} of {slot}" for slot, n in self.acceptance.missing.items() if n > 0 and slot != ANY]
        rest = ", ..." if len(missing) > MAX_NAMED else ""
        which = f" (missing: {', '.join(missing[:MAX_NAMED])}{rest})" if missing else ""
        n_rows, n_draws = len(self.acceptance.rows), self.scheduler.n_draws
        refused_for = self.scheduler.refused_for
        advice = f"; {remedy(refused_for, self.settings.codec)}" if refused_for else ""
        return f"{n_rows} of {self.n_rows} rows accepted in {n_draws} draws{which}; {told}{advice}"
