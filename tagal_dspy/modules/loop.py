"""`TagalLoop`: what the three methods share: calls, conversations of turns, draws, and how a program is saved."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, ClassVar, Literal

import dspy
import numpy as np
from dspy.utils.exceptions import LMError

from tagal_dspy.background import run_in_background
from tagal_dspy.errors import BudgetError, NotEnoughRowsError, cause_of
from tagal_dspy.modules.critics import MAX_ROWS_SHOWN, Written
from tagal_dspy.modules.program import Program
from tagal_dspy.modules.rounds import Rounds
from tagal_dspy.modules.run import Run
from tagal_dspy.modules.turns import Conversation, DrawRequest, Progress, Round, Turn
from tagal_dspy.modules.wanted import Wanted
from tagal_dspy.recording import Recorder, RunStore, at_place, listening_lm
from tagal_dspy.schema import Row
from tagal_dspy.signatures import Table
from tagal_dspy.task import TableTask


class TagalLoop(Program):
    """Base of the three methods; each defines in `write` what it does with conversations and draws."""

    pause_after: int | None = None
    """Draws in a row without an accepted row after which planning pauses."""

    own_settings: ClassVar[Mapping[str, str]] = {}
    """Settings of the method where they are None."""

    async def aforward(
        self,
        task: TableTask,
        n_rows: int,
        seed: int = 0,
        on_progress: Callable[[Progress], None] | None = None,
        wanted: Wanted | None = None,
        recorder: Recorder | None = None,
        if_short: Literal["raise", "return"] = "raise",
    ) -> dspy.Prediction:
        """Write exactly `n_rows` rows.

        Args:
            task: the table to write rows for.
            n_rows: at least 1.
            seed: equal seeds and equal LM answers give equal tables.
            on_progress: called after each committed round.
            wanted: what every row must meet, and how many rows of each class are wanted.
            recorder: records and replays the calls, and holds them to a budget.
            if_short: what to do when the bounded draws gave fewer rows: optimizers want what there is.

        Returns:
            A prediction with `table` (a frame with the real one's columns and dtypes), `turns`, `curve` (mean score
            of each iteration), `rejects`, `usage` (calls and tokens by LM, calls answered from a cache left out),
            `n_draws`, `by_slot` (pairs of a slot that was wanted and its canonical rows), and where rows were
            selected (`overdraw`, `trees`), `selection`, the accepted rows that were `not_selected`, and `n_from_trees`,
            how many of the selected ones no language model wrote.

        Raises:
            NotEnoughRowsError: the bounded draws gave fewer; what was accepted is in its `prediction`.
            BudgetError: the budget gave fewer; likewise.
        """
        store = recorder.store if recorder is not None else None
        run = self.new_run(task, n_rows, seed, wanted, store, on_progress)
        rounds = Rounds(run, self._name(task, n_rows, seed))
        given = recorder.active() if recorder is not None else nullcontext()
        self._listen()
        with given, run.recorder.active(), dspy.context(lm=_listening(dspy.settings.lm), send_stream=None):
            problem: Exception | None = None
            try:
                await self.write(run, rounds)
            except (LMError, BudgetError) as error:
                problem = cause_of(error) or error
            finally:
                await rounds.end()
        if isinstance(problem, BudgetError):
            if not run.acceptance.n_missing:
                return run.prediction()  # it gave fewer rows to select from, but all that are wanted
            raise BudgetError(f"{problem}: {run.shortfall()}", run.prediction())
        if problem is not None:
            raise problem
        if run.acceptance.n_missing and if_short == "raise":
            raise NotEnoughRowsError(run.shortfall(), run.prediction())
        return run.prediction()

    async def write(self, run: Run, rounds: Rounds) -> None:
        """Write the rows of a run."""
        raise NotImplementedError

    def preview(
        self, task: TableTask, n_rows: int, seed: int = 0, wanted: Wanted | None = None
    ) -> list[list[dict[str, str]]]:
        """The messages of the first draw, or of the first draw of each class; calls no LM."""
        run = self.new_run(task, n_rows, seed, wanted)
        run_in_background(run.prepare_few_shots)
        requests = [run.scheduler.request(slot, self.settings.rows_per_draw) for slot in run.slots]
        return [
            self.generator.messages(
                task=task,
                n_rows=request.n_rows,
                rollout_id=run.rollout_id(request.number, 0, "draw"),
                examples=run.few_shots(request),
                **run.row_request(request),
            )
            for request in requests
        ]

    def new_run(
        self,
        task: TableTask,
        n_rows: int,
        seed: int,
        wanted: Wanted | None = None,
        store: RunStore | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Run:
        """The state of a call, before its first draw."""
        own = {name: value for name, value in self.own_settings.items() if getattr(self.settings, name) is None}
        return Run(
            self.settings.model_copy(update=own),
            self.sampler,
            self.generator.wire(task),
            task,
            n_rows,
            seed,
            wanted,
            pause_after=self.pause_after,
            store=store,
            on_progress=on_progress,
        )

    def _name(self, task: TableTask, n_rows: int, seed: int) -> str:
        """Names a run by its program and its task."""
        state = json.dumps([task.id, n_rows, seed, self.dump_state()], sort_keys=True, default=str)
        return hashlib.sha256(state.encode()).hexdigest()[:16]

    def _listen(self) -> None:
        """Let the calls of models that predictors have of their own go through recorders, too."""
        for predictor in self.predictors():
            if predictor.lm is not None:
                predictor.lm = listening_lm(predictor.lm)

    def plan(self, n_rounds: int, n_slots: int) -> tuple[int, int, int]:
        """Of so many rounds, for slots that may have a conversation each: single draws, conversations, summaries."""
        raise NotImplementedError

    @property
    def n_turns(self) -> int:
        """Turns of a conversation."""
        return self.settings.n_iter

    @property
    def criticises_last(self) -> bool:
        """Whether the last turn of a conversation is criticised."""
        return True

    @property
    def calls_of_conversation(self) -> int:
        """Calls of a conversation at most, where every draw brings a valid row."""
        n_critiques = self.n_turns if self.criticises_last else self.n_turns - 1
        return self.n_turns + n_critiques * (len(self.critic.predictors()) if self.critic else 0)

    @property
    def offers_conversations(self) -> bool:
        """Whether rows of a conversation are rows of the table."""
        return self.settings.conversation_rows == "kept"

    async def conversation(
        self, run: Run, request: DrawRequest, *, gives_up_after: int, starts_again_after: int | None = None
    ) -> Conversation:
        """A round of the paper: fresh few-shots, then `n_turns` times generate and criticise.

        Every turn is scored. Where the best one is kept, the conversation ends once a turn is no better than those
        before it. Where failed draws are repeated (`max_failed_draws`), a draw without a valid row is made again with
        the same history.

        Args:
            run: what the conversation is part of.
            request: the rows to ask for.
            gives_up_after: failed draws, in a row or not, that end the conversation.
            starts_again_after: failed draws after which turns are counted from 0 again, with the history as it is.
        """
        await run.prepare_few_shots()
        told = {**run.row_request(request), "examples": run.few_shots(request)}
        talk = Conversation()
        n_done = 0
        while n_done < self.n_turns:
            turn = await self.drawn(run, request, told, talk)
            if not turn.rows and self.settings.max_failed_draws:
                is_given_up = len(talk.failed) + 1 == gives_up_after
                talk = self._open(run, request, Conversation(talk.turns, (*talk.failed, turn), is_given_up))
                if is_given_up:
                    return talk
                if starts_again_after and len(talk.failed) % starts_again_after == 0:
                    n_done = 0
                continue
            n_done += 1
            turns = run.scored((*talk.turns, turn))
            self._open(run, request, talk._replace(turns=turns))
            if n_done < self.n_turns or self.criticises_last:
                turns = (*turns[:-1], await self.criticised(run, request, turns[-1], talk))
            talk = self._open(run, request, talk._replace(turns=turns))
            if self.settings.keep == "best" and len(talk.turns) > 1 and not run.gained(talk.turns):
                break
        return talk

    def as_round(self, run: Run, talk: Conversation) -> Round:
        """What a conversation hands over: all its turns, and the rows of the turn that is kept."""
        offered = run.kept(talk.turns)[-1:] if self.offers_conversations and not talk.is_given_up else ()
        return Round((*talk.failed, *talk.turns), offered)

    def _open(self, run: Run, request: DrawRequest, talk: Conversation) -> Conversation:
        """Keep what a conversation has brought so far for the case that the run is stopped."""
        run.open_rounds[request.number] = request, self.as_round(run, talk)
        return talk

    async def drawn(self, run: Run, request: DrawRequest, told: dict[str, Any], talk: Conversation) -> Turn:
        """The next draw of a conversation: the first is told few-shots, later ones the last critique."""
        if talk.turns:
            told = {**told, "examples": None, "critique": talk.turns[-1].critique}
        return await self.draw(run, request, told, len(talk.turns), talk.turns, len(talk.failed))

    async def criticised(self, run: Run, request: DrawRequest, turn: Turn, talk: Conversation) -> Turn:
        """A turn with its critique."""
        if self.critic is None:
            return turn
        before, in_round = talk.turns, self.settings.critic_history == "round"
        messages = [each.critic_message for each in before if each.critic_message] if in_round else None
        slot, earlier = run.wanted.narrowed(request.slot), before[-1].critique if before else ""
        shows_examples = self.settings.critic_examples == "first" and not before
        examples = turn.request.get("examples") if shows_examples else None
        written = Written(self._shown(run, turn), turn.rows, turn.rejects, slot, earlier, messages, examples)
        with at_place(f"{request.number}/{turn.iteration}/critique"):
            said = await self.critic.acall(
                task=run.task, written=written, rollout_id=run.rollout_id(request.number, turn.iteration, "critique")
            )
        found = tuple(said.get("discrepancies") or ())
        return replace(turn, critique=said.critique, discrepancies=found, critic_message=said.get("message"))

    async def single(self, run: Run, request: DrawRequest, told: dict[str, Any], before: Sequence[Turn] = ()) -> Round:
        """A round of one draw."""
        turn = await self.draw(run, request, told, before=before)
        made = Round((turn,), (turn,))
        run.open_rounds[request.number] = request, made
        return made

    async def draw(
        self,
        run: Run,
        request: DrawRequest,
        told: dict[str, Any],
        iteration: int = 0,
        before: Sequence[Turn] = (),
        n_failed: int = 0,
    ) -> Turn:
        """One draw, with what the generator is told besides the turns before."""
        retry: list[int | str] = ["retry", n_failed] if n_failed else []
        place = [request.number, iteration, *retry, "draw"]
        with at_place("/".join(map(str, place))):
            drawn = await self.generator.acall(
                task=run.task,
                n_rows=request.n_rows,
                history=[self.message(run, turn) for turn in before],
                rollout_id=run.rollout_id(*place),
                **told,
            )
        rows, rejects = run.acceptance.read(drawn.answer.text)
        return Turn(request.number, iteration, request.slot, drawn.request, drawn.answer, rows, rejects)

    def message(self, run: Run, turn: Turn) -> dict[str, Any]:
        """A turn as a message of the generator's history."""
        answer = turn.answer if self.settings.generator_history == "answers" else self._shown(run, turn)
        return {**turn.request, "rows": answer}

    def _shown(self, run: Run, turn: Turn) -> Table:
        """Some of the valid rows of a turn, written anew: the first ones, or a sample as in the paper."""
        rows: Sequence[Row] = turn.rows[:MAX_ROWS_SHOWN]
        if self.settings.generator_history == "valid-rows" and len(turn.rows) > MAX_ROWS_SHOWN:
            rng = np.random.default_rng([run.seed, turn.round, turn.iteration])
            rows = [turn.rows[place] for place in rng.permutation(len(turn.rows))[:MAX_ROWS_SHOWN]]
        return Table(text=self.generator.wire(run.task).encode(rows))


def _listening(lm: Any) -> Any:
    return None if lm is None else listening_lm(lm)
