"""What the three methods share: a conversation of turns, draws, and exactly as many accepted rows as asked for."""

from __future__ import annotations

import copy
import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import dspy
import numpy as np

from tagal_dspy.acceptance import Acceptance, RowFilter, apportion
from tagal_dspy.errors import DataError, NotEnoughRowsError, ProgramError
from tagal_dspy.few_shot import SAMPLERS, FewShotSampler
from tagal_dspy.modules.critic import RowCritic, shown_rows
from tagal_dspy.modules.generator import RowGenerator
from tagal_dspy.modules.rounds import Call, Steps, arun_rounds, arun_steps, run_rounds, run_steps
from tagal_dspy.schema import CategoricalColumn, Reject, RejectReason, Row
from tagal_dspy.settings import RunSettings, validated
from tagal_dspy.signatures import Table
from tagal_dspy.task import TableTask

PATIENCE = 20
"""Draws in a row without an accepted row after which a run gives up."""

SLACK = 1.1
"""Rows asked for beyond those missing, because some will be rejected."""


@dataclass(frozen=True)
class Turn:
    """One draw and what was said about it.

    Attributes:
        round: number of the round, from 0.
        iteration: number of the turn within its round, from 0.
        label: the class it was to write rows of; None for all.
        request: the fields of `GenerateRows` that asked for it, without the history.
        answer: what the LM wrote.
        rows: what of it fits the schema, in canonical text.
        rejects: what does not, with reasons.
        critique: what the critic said; empty without one.
    """

    round: int
    iteration: int
    label: str | None
    request: dict[str, Any] = field(repr=False)
    answer: Table = field(repr=False)
    rows: tuple[Row, ...] = field(repr=False)
    rejects: tuple[Reject, ...] = field(repr=False)
    critique: str = ""

    @property
    def message(self) -> dict[str, Any]:
        """The turn as a message of a `dspy.History`."""
        return {**self.request, "rows": self.answer}


class Progress(NamedTuple):
    """How far a run is; given to `on_progress` after each committed round."""

    rows: Sequence[Row]
    n_wanted: int
    n_draws: int
    rejects: dict[RejectReason, int]
    usage: dict[str, dict[str, int]]


class Round(NamedTuple):
    """What a round hands over: its turns, and of which turns the rows are offered."""

    turns: tuple[Turn, ...]
    offered: tuple[Turn, ...]
    asked: Counter[str | None]


class TagalLoop(dspy.Module):  # type: ignore[misc]
    """Base of the three methods. Subclasses say what comes before the rounds (`lead`) and what a round is (`round`).

    Args:
        settings: meta-parameters; the paper's where None. They are saved and loaded with the program.
        generator, critic, sampler: parts to use instead of those that the settings describe.
    """

    def __init__(
        self,
        settings: RunSettings | None = None,
        *,
        generator: RowGenerator | None = None,
        critic: dspy.Module | None = None,
        sampler: FewShotSampler | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or RunSettings()
        self.generator = generator or _make_generator(self.settings)
        self.critic = critic or (RowCritic() if self.settings.critic == "eye" else None)
        self.sampler = sampler or SAMPLERS[self.settings.few_shots]()

    def forward(
        self, task: TableTask, n_rows: int, seed: int = 0, on_progress: Callable[[Progress], None] | None = None
    ) -> dspy.Prediction:
        """Write exactly `n_rows` rows.

        Args:
            task: the table to write rows for.
            n_rows: at least 1.
            seed: equal seeds and equal LM answers give equal tables.
            on_progress: called after each committed round.

        Returns:
            A prediction with `table` (a frame with the real one's columns and dtypes), `turns`, `rejects`,
            `usage` (tokens and calls by LM, calls answered from the cache left out) and `n_draws`.

        Raises:
            NotEnoughRowsError: the bounded draws gave fewer; what was accepted is in its `prediction`.
        """
        run = Run(self, task, n_rows, seed, on_progress)
        with dspy.track_usage() as run.usage:
            run_steps(self.lead(run))
            run_rounds(run)
            while run.resumed():
                run_steps(self.between(run))
                run_rounds(run)
        return run.finished()

    async def aforward(
        self, task: TableTask, n_rows: int, seed: int = 0, on_progress: Callable[[Progress], None] | None = None
    ) -> dspy.Prediction:
        """See `forward`."""
        run = Run(self, task, n_rows, seed, on_progress)
        with dspy.track_usage() as run.usage:
            await arun_steps(self.lead(run))
            await arun_rounds(run)
            while run.resumed():
                await arun_steps(self.between(run))
                await arun_rounds(run)
        return run.finished()

    def preview(self, task: TableTask, n_rows: int, seed: int = 0) -> list[list[dict[str, str]]]:
        """The messages of the first draw, or of the first draw of each class; calls no LM."""
        run = Run(self, task, n_rows, seed, None)
        prompts = []
        for label in run.labels:
            call = next(self.conversation(run, run.next_number(), label, self.settings.rows_per_draw))
            prompts.append(self.generator.messages(**call.inputs))
        return prompts

    pause_after = PATIENCE
    """Draws in a row without an accepted row after which the rounds pause for `between`."""

    def lead(self, run: Run) -> Steps[None]:
        """What is done once before the rounds."""
        yield from ()

    def round(self, run: Run, number: int, label: str | None, n_rows: int) -> Steps[Round]:
        """One round."""
        raise NotImplementedError

    def between(self, run: Run) -> Steps[None]:
        """What is done when rounds paused because too many of them failed, before they go on."""
        yield from ()

    def conversation(self, run: Run, number: int, label: str | None, n_rows: int) -> Steps[tuple[Turn, ...]]:
        """A round of the paper: fresh few-shots, then `n_iter` times generate and criticise."""
        turns: list[Turn] = []
        for iteration in range(self.settings.n_iter):
            turn = yield from self.turn(run, number, iteration, label, n_rows, tuple(turns))
            turns.append(turn)
        return tuple(turns)

    def turn(
        self, run: Run, number: int, iteration: int, label: str | None, n_rows: int, before: tuple[Turn, ...]
    ) -> Steps[Turn]:
        """One draw in a conversation, and its critique."""
        request: dict[str, Any] = {"label": label}
        if before:
            request["critique"] = before[-1].critique
        else:
            request["examples"] = run.few_shots(number, label)
        turn = yield from self.draw(run, number, iteration, n_rows, request, before)
        if self.critic is None:
            return turn
        shown = Table(text=self.generator.wire(run.task).encode(shown_rows(turn.rows)))
        said = yield Call(
            self.critic,
            {
                "task": run.task,
                "rows": shown,
                "earlier": before[-1].critique if before else None,
                "rollout_id": run.rollout_id(number, iteration, "critique"),
            },
        )
        return Turn(**{**vars(turn), "critique": said.critique})

    def draw(
        self, run: Run, number: int, iteration: int, n_rows: int, request: dict[str, Any], before: Sequence[Turn] = ()
    ) -> Steps[Turn]:
        """One draw."""
        drawn = yield Call(
            self.generator,
            {
                "task": run.task,
                "n_rows": n_rows,
                "history": [turn.message for turn in before],
                "rollout_id": run.rollout_id(number, iteration, "draw"),
                **request,
            },
        )
        fields = self.generator.inputs(run.task, n_rows, **request)
        fields.pop("history")
        rows, misfits = run.row_filter.fitting(drawn.decoded.rows)
        rejects = (*drawn.decoded.rejects, *misfits)
        return Turn(number, iteration, request.get("label"), fields, drawn.answer, tuple(rows), rejects)

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Prompts, demos and settings; no language model, so that neither key nor address is saved."""
        state = {name: _without_lm(each).dump_state(json_mode=json_mode) for name, each in self.named_parameters()}
        return {**state, "settings": self.settings.model_dump()}

    def load_state(self, state: dict[str, Any], **options: Any) -> None:
        """Take over what `dump_state` wrote; raises `ProgramError` when it is of another kind of program."""
        if "settings" not in state:
            raise ProgramError("the file holds no program of tagal_dspy: it has no settings")
        settings = validated(RunSettings, state["settings"])
        trial = self.deepcopy()
        trial._apply(settings)
        expected, found = {name for name, _ in trial.named_parameters()}, set(state) - {"settings", "metadata"}
        if expected != found:
            raise ProgramError(f"the file holds the predictors {sorted(found)}; expected {sorted(expected)}")
        self._apply(settings)
        super().load_state(state, **options)

    def _apply(self, settings: RunSettings) -> None:
        """Take over settings, and with them the parts that they describe."""
        self.settings = settings
        described = _make_generator(settings)
        for name in ("codec", "column_order", "temperature", "branch_rows"):
            setattr(self.generator, name, getattr(described, name))
        self.sampler = SAMPLERS[settings.few_shots]()
        if settings.critic == "none":
            self.critic = None
        elif self.critic is None:
            self.critic = RowCritic()


class Run:
    """The state of one call of a loop; the rounds it wants and what they brought."""

    def __init__(
        self,
        loop: TagalLoop,
        task: TableTask,
        n_rows: int,
        seed: int,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        if n_rows < 1:
            raise DataError(f"n_rows is {n_rows}; ask for at least 1 row")
        self.loop, self.task, self.n_rows, self.seed = loop, task, n_rows, seed
        self.settings = loop.settings
        self.ahead = self.settings.rounds_ahead
        self.row_filter = RowFilter(task, self.settings.strictness)
        self.quotas = self._quotas()
        self.acceptance = Acceptance(self.row_filter, n_rows, self.quotas)
        self.memory: Any = None
        self.turns: list[Turn] = []
        self.usage: Any = None
        self.n_failed = 0
        self._n_rounds = 0
        self._n_draws = 0
        self._asked: Counter[str | None] = Counter()
        self._max_draws = PATIENCE + PATIENCE * math.ceil(n_rows / self.settings.rows_per_draw)
        self._on_progress = on_progress
        self._paused = False

    def _quotas(self) -> dict[str, int] | None:
        schema = self.task.schema
        if self.settings.shares == "free" or not schema.classes or schema.target is None:
            return None
        column = schema[schema.target]
        shares = dict(zip(schema.classes, column.shares, strict=True)) if isinstance(column, CategoricalColumn) else {}
        return apportion(self.n_rows, shares)

    def rollout_id(self, *names: int | str) -> int:
        """A number below 2**31 that names a draw, the same for the same seed and place in the run."""
        digest = hashlib.sha256(f"{self.seed}/{'/'.join(map(str, names))}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1

    def few_shots(self, number: int, label: str | None) -> list[Row]:
        """Fresh few-shots for a round."""
        rng = np.random.default_rng([self.seed, number])
        return self.loop.sampler.sample(self.task, self.settings.n_shots, rng, label)

    @property
    def labels(self) -> list[str | None]:
        """The classes that are drawn one by one; `[None]` where all are drawn together."""
        if self.settings.draws == "joint":
            return [None]
        return [label for label in self.task.schema.classes if self.quotas is None or self.quotas[label]] or [None]

    @property
    def wants_more(self) -> bool:
        """Whether rows are missing and draws are left."""
        missing = self.acceptance.n_missing > 0
        return missing and self.n_failed < PATIENCE and self._n_draws < self._max_draws

    def start(self) -> Steps[Round] | None:
        """See `Rounds.start`."""
        if not self.wants_more or self._paused:
            return None
        label = self._next_label()
        n_missing = self._missing(label)
        if n_missing <= 0:
            return None
        n_rows = self._rows_to_ask(n_missing)
        self._asked[label] += n_rows
        return self.loop.round(self, self.next_number(), label, n_rows)

    def next_number(self) -> int:
        """The number of the next round."""
        self._n_rounds += 1
        return self._n_rounds - 1

    def resumed(self) -> bool:
        """Whether rounds that paused shall go on."""
        was_paused, self._paused = self._paused, False
        return was_paused and self.wants_more

    def _next_label(self) -> str | None:
        """The class with most rows missing, once rows are drawn by class or some class is complete."""
        missing = self.acceptance.missing_by_class
        if not missing:
            return None
        one_complete = any(n <= 0 < (self.quotas or {})[label] for label, n in missing.items())
        if self.settings.draws == "joint" and not one_complete:
            return None
        return max(missing, key=self._missing)

    def _missing(self, label: str | None) -> int:
        """Rows still wanted of a class, or of all, beyond those that rounds under way were asked for."""
        if label is None:
            return self.acceptance.n_missing - sum(self._asked.values())
        return self.acceptance.missing_by_class[label] - self._asked[label]

    def _rows_to_ask(self, n_missing: int) -> int:
        per_draw = self.settings.rows_per_draw
        return per_draw if self.settings.preset == "paper" else min(per_draw, math.ceil(n_missing * SLACK))

    def commit(self, result: Round) -> None:
        """See `Rounds.commit`."""
        self._asked -= result.asked
        self.take(result.turns)
        taken = [row for turn in result.offered for row in self.acceptance.offer(turn.rows)]
        self.n_failed = 0 if taken else self.n_failed + 1
        self._paused = self.n_failed > 0 and self.n_failed % self.loop.pause_after == 0
        if self._on_progress is not None:
            counts, usage = self.acceptance.reject_counts(), _totals(self.usage)
            self._on_progress(Progress(self.acceptance.rows, self.n_rows, self._n_draws, counts, usage))

    def take(self, turns: Sequence[Turn]) -> None:
        """Keep turns, and what of their answers did not fit the schema."""
        self.turns += turns
        self._n_draws += len(turns)
        self.acceptance.rejects += [reject for turn in turns for reject in turn.rejects]

    def finished(self) -> dspy.Prediction:
        """The prediction of the run; raises `NotEnoughRowsError` when rows are missing."""
        prediction = dspy.Prediction(
            table=self.task.schema.to_frame(self.acceptance.rows),
            turns=tuple(self.turns),
            rejects=tuple(self.acceptance.rejects),
            usage=_totals(self.usage),
            n_draws=self._n_draws,
        )
        if self.acceptance.n_missing:
            raise NotEnoughRowsError(self._shortfall(), prediction)
        return prediction

    def _shortfall(self) -> str:
        counts = self.acceptance.reject_counts()
        reasons = ", ".join(f"{reason} {count}" for reason, count in list(counts.items())[:3]) or "no row came at all"
        missing = {label: n for label, n in self.acceptance.missing_by_class.items() if n > 0}
        classes = f" (missing by class: {missing})" if missing else ""
        return (
            f"{len(self.acceptance.rows)} of {self.n_rows} rows accepted in {self._n_draws} draws{classes}; "
            f"most frequent reasons for rejection: {reasons}"
        )


def _without_lm(predictor: dspy.Predict) -> dspy.Predict:
    stripped = copy.copy(predictor)
    stripped.lm = None
    return stripped


def _make_generator(settings: RunSettings) -> RowGenerator:
    branch_rows = math.ceil(settings.rows_per_draw / settings.branches) if settings.branches > 1 else None
    return RowGenerator(settings.codec, settings.column_order, settings.temperature, branch_rows)


def _totals(usage: Any) -> dict[str, dict[str, int]]:
    """Calls and tokens by LM, calls answered from the cache left out."""
    totals = {}
    for name, entries in usage.usage_data.items():
        tokens = {key: sum(entry.get(key) or 0 for entry in entries) for key in ("prompt_tokens", "completion_tokens")}
        totals[name] = {"calls": len(entries), **tokens}
    return totals
