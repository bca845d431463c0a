"""What the three methods share: conversations of turns, draws, and how a program is saved."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, Literal

import dspy

from tagal_dspy.conditions import Slot
from tagal_dspy.errors import ProgramError
from tagal_dspy.few_shot import SAMPLERS, FewShotSampler
from tagal_dspy.modules.critics import CRITICS, MAX_ROWS_SHOWN, Critic, Written
from tagal_dspy.modules.generator import RowGenerator
from tagal_dspy.modules.ledger import Call, Ledger
from tagal_dspy.modules.rounds import Steps, arun_rounds, arun_steps, run_rounds, run_steps
from tagal_dspy.modules.run import PATIENCE, Run
from tagal_dspy.modules.turns import Progress, Round, Turn, best_turn
from tagal_dspy.modules.wanted import Wanted
from tagal_dspy.settings import RunSettings, validated
from tagal_dspy.signatures import Table
from tagal_dspy.task import TableTask


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
        critic: Critic | None = None,
        sampler: FewShotSampler | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings or RunSettings()
        self.generator = generator or _make_generator(self.settings)
        self.critic = critic or _make_critic(self.settings)
        self.sampler = sampler or SAMPLERS[self.settings.few_shots]()
        self.lineage: dict[str, Any] | None = None

    def forward(
        self,
        task: TableTask,
        n_rows: int,
        seed: int = 0,
        on_progress: Callable[[Progress], None] | None = None,
        wanted: Wanted | None = None,
        ledger: Ledger | None = None,
        if_short: Literal["raise", "return"] = "raise",
    ) -> dspy.Prediction:
        """Write exactly `n_rows` rows.

        Args:
            task: the table to write rows for.
            n_rows: at least 1.
            seed: equal seeds and equal LM answers give equal tables.
            on_progress: called after each committed round.
            wanted: what every row must meet, and how many rows of each class there shall be.
            ledger: records and replays the calls, and holds them to a budget.
            if_short: what to do when the bounded draws gave fewer rows: optimizers want what there is.

        Returns:
            A prediction with `table` (a frame with the real one's columns and dtypes), `turns`, `curve` (mean score
            of each iteration), `rejects`, `usage` (calls and tokens by LM, calls answered from the cache left out),
            `n_draws` and `by_slot` (pairs of a slot that was wanted and its canonical rows).

        Raises:
            NotEnoughRowsError: the bounded draws gave fewer; what was accepted is in its `prediction`.
            BudgetError: the budget gave fewer; likewise.
        """
        run = Run(self, task, n_rows, seed, on_progress, wanted, ledger)
        with run.stopped_by_budget():
            run_steps(self.lead(run), run.ledger.perform)
            run_rounds(run)
            while run.resumed():
                run_steps(self.between(run), run.ledger.perform)
                run_rounds(run)
        return run.finished(if_short)

    async def aforward(
        self,
        task: TableTask,
        n_rows: int,
        seed: int = 0,
        on_progress: Callable[[Progress], None] | None = None,
        wanted: Wanted | None = None,
        ledger: Ledger | None = None,
        if_short: Literal["raise", "return"] = "raise",
    ) -> dspy.Prediction:
        """See `forward`."""
        run = Run(self, task, n_rows, seed, on_progress, wanted, ledger)
        with run.stopped_by_budget():
            await arun_steps(self.lead(run), run.ledger.aperform)
            await arun_rounds(run)
            while run.resumed():
                await arun_steps(self.between(run), run.ledger.aperform)
                await arun_rounds(run)
        return run.finished(if_short)

    def preview(
        self, task: TableTask, n_rows: int, seed: int = 0, wanted: Wanted | None = None
    ) -> list[list[dict[str, str]]]:
        """The messages of the first draw, or of the first draw of each class; calls no LM."""
        run = Run(self, task, n_rows, seed, wanted=wanted)
        prompts = []
        for slot in run.slots:
            call = next(self.conversation(run, run.next_number(slot), slot, self.settings.rows_per_draw))
            prompts.append(self.generator.messages(**call.inputs))
        return prompts

    def plan(self, n_rounds: int, n_slots: int) -> tuple[int, int, int]:
        """Of so many rounds, for slots that may have a conversation each: single draws, conversations, summaries."""
        raise NotImplementedError

    @property
    def criticises_last(self) -> bool:
        """Whether anything reads the critique of the last turn of a conversation."""
        return True

    pause_after = PATIENCE
    """Draws in a row without an accepted row after which the rounds pause for `between`."""

    def lead(self, run: Run) -> Steps[None]:
        """What is done once before the rounds."""
        yield from ()

    def round(self, run: Run, number: int, slot: Slot, n_rows: int) -> Steps[Round]:
        """One round."""
        raise NotImplementedError

    def between(self, run: Run) -> Steps[None]:
        """What is done when rounds paused because too many of them failed, before they go on."""
        yield from ()

    def conversation(self, run: Run, number: int, slot: Slot, n_rows: int) -> Steps[tuple[Turn, ...]]:
        """A round of the paper: fresh few-shots, then `n_iter` times generate and criticise.

        Every turn is scored. Where the best one is kept, the conversation ends once a turn is no better than those
        before it, and what came after the best one is not part of what is kept.
        """
        turns: tuple[Turn, ...] = ()
        for iteration in range(self.settings.n_iter):
            turn = yield from self.turn(run, number, iteration, slot, n_rows, turns)
            turns = run.scored((*turns, turn))
            if self.settings.keep == "best" and iteration > 0 and not run.gained(turns):
                break
        return turns

    def kept(self, turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        """The turns up to the one whose rows are kept: the best one, or the last as in the paper."""
        return turns[: best_turn(turns) + 1] if self.settings.keep == "best" else turns

    def turn(
        self, run: Run, number: int, iteration: int, slot: Slot, n_rows: int, before: tuple[Turn, ...]
    ) -> Steps[Turn]:
        """One draw in a conversation, and its critique."""
        request = run.wish(number, slot)
        if before:
            request["critique"] = before[-1].critique
        else:
            request["examples"] = run.few_shots(number, slot)
        turn = yield from self.draw(run, number, iteration, slot, n_rows, request, before)
        is_last = iteration + 1 == self.settings.n_iter
        if self.critic is None or (is_last and not self.criticises_last):
            return turn
        shown = Table(text=self.generator.wire(run.task).encode(turn.rows[:MAX_ROWS_SHOWN]))
        earlier = before[-1].critique if before else ""
        written = Written(shown, turn.rows, turn.rejects, run.wanted.narrowed(slot), earlier)
        rollout_id = run.rollout_id(number, iteration, "critique")
        inputs = {"task": run.task, "written": written, "rollout_id": rollout_id}
        said = yield Call(self.critic, inputs, f"{number}/{iteration}/critique")
        return replace(turn, critique=said.critique, discrepancies=tuple(said.get("discrepancies") or ()))

    def draw(
        self,
        run: Run,
        number: int,
        iteration: int,
        slot: Slot,
        n_rows: int,
        request: dict[str, Any],
        before: Sequence[Turn] = (),
    ) -> Steps[Turn]:
        """One draw."""
        history = [turn.message for turn in before]
        rollout_id = run.rollout_id(number, iteration, "draw")
        inputs = {"task": run.task, "n_rows": n_rows, "history": history, "rollout_id": rollout_id, **request}
        drawn = yield Call(self.generator, inputs, f"{number}/{iteration}/draw")
        fields = self.generator.fields(run.task, n_rows, **request)
        rows, misfits = run.row_filter.fitting(drawn.decoded.rows)
        rejects = (*drawn.decoded.rejects, *misfits)
        return Turn(number, iteration, slot, fields, drawn.answer, tuple(rows), rejects)

    def dump_state(self, json_mode: bool = True) -> dict[str, Any]:
        """Prompts, demos and settings; no language model, so that neither key nor address is saved."""
        state = {name: _without_lm(each).dump_state(json_mode=json_mode) for name, each in self.named_parameters()}
        lineage = {"lineage": self.lineage} if self.lineage else {}
        return {**state, "settings": self.settings.model_dump(), **lineage}

    def load_state(self, state: dict[str, Any], **options: Any) -> None:
        """Take over what `dump_state` wrote; raises `ProgramError` where it is of another kind of program."""
        if "settings" not in state:
            raise ProgramError("the file holds no program of tagal_dspy: it has no settings")
        _check_versions(state)
        settings = validated(RunSettings, state["settings"])
        trial = self.deepcopy()
        trial.apply(settings)
        expected, found = (
            {name for name, _ in trial.named_parameters()},
            set(state) - {"settings", "metadata", "lineage"},
        )
        if expected != found:
            raise ProgramError(f"the file holds the predictors {sorted(found)}; expected {sorted(expected)}")
        for name, predictor in trial.named_parameters():
            n_saved, n_fields = _n_fields(state[name]), len(predictor.signature.fields)
            if n_saved != n_fields:
                raise ProgramError(f"{name} was saved with {n_saved} fields; expected {n_fields}")
        self.apply(settings)
        self.lineage = state.get("lineage")
        # A program names no model: one in a file would get the real rows instead of the user's.
        lms = {name: predictor.lm for name, predictor in self.named_parameters()}
        super().load_state({name: {**state[name], "lm": None} for name in expected}, **options)
        for name, predictor in self.named_parameters():
            predictor.lm = lms.get(name)

    def apply(self, settings: RunSettings) -> None:
        """Take over settings, and with them the parts that they describe."""
        self.settings = settings
        described = _make_generator(settings)
        for name in ("codec", "column_order", "temperature", "branch_rows", "context_window", "info"):
            setattr(self.generator, name, getattr(described, name))
        self.sampler = SAMPLERS[settings.few_shots]()
        described_critic = _make_critic(settings)
        if self.critic is None or type(described_critic) is not type(self.critic):
            self.critic = described_critic
        elif described_critic is not None:
            self.critic.temperature = described_critic.temperature


def _check_versions(state: dict[str, Any]) -> None:
    """Raise `ProgramError` for a program of a newer version: what it holds may mean something else here."""
    saved = dict((state.get("metadata") or {}).get("dependency_versions") or {})
    saved |= (state.get("lineage") or {}).get("versions") or {}
    for name in ("tagal-dspy", "dspy"):
        if name in saved and _minor(saved[name]) > _minor(version(name)):
            raise ProgramError(f"it was saved with {name} {saved[name]}, and this is {version(name)}; upgrade {name}")


def _minor(number: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", number)[:2]]


def _n_fields(saved: Any) -> int:
    """How many fields the signature of a saved predictor has."""
    try:
        return len(saved["signature"]["fields"])
    except (KeyError, TypeError):
        return 0


def _without_lm(predictor: dspy.Predict) -> dspy.Predict:
    stripped = copy.copy(predictor)
    stripped.lm = None
    return stripped


def _make_generator(settings: RunSettings) -> RowGenerator:
    branch_rows = math.ceil(settings.rows_per_draw / settings.branches) if settings.branches > 1 else None
    return RowGenerator(
        settings.codec,
        settings.column_order,
        settings.temperature,
        branch_rows,
        settings.context_window,
        settings.info,
    )


def _make_critic(settings: RunSettings) -> Critic | None:
    critic = CRITICS[settings.critic]()
    if critic is not None:
        critic.temperature = settings.critic_temperature
    return critic
