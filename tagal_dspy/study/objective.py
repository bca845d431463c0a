"""What a trial is worth: a candidate's runs on the same tasks and seeds as every other's, scored, metered and kept."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from tagal_dspy.errors import BudgetError, EngineError, NotEnoughRowsError, PromptTooLongError, SettingsError
from tagal_dspy.optimizers.space import Candidate, Space
from tagal_dspy.settings import Budget

Goal = Literal["quality", "cost", "privacy"]
UPWARDS: Mapping[Goal, bool] = {"quality": True, "cost": False, "privacy": True}
COUNTS = ("calls", "tokens", "cost")
WORST = -1.0


@dataclass(frozen=True)
class Outcome:
    """What one run of a candidate brought.

    Attributes:
        score: quality, higher is better.
        objectives: its parts, such as `privacy` and `collisions` of a `TableMetric`; higher is better.
        calls, tokens: what it took, cached calls left out.
        cost: in the currency of the prices; None where they are not known.
        seconds: how long it ran.
        table: the rows.
        program: prompts and settings, as a program saves them.
        problem: why there are fewer rows than asked for, or none.
        cut: whether the budget ended it, so that it says nothing about the candidate.
    """

    score: float
    objectives: Mapping[str, float] = field(default_factory=dict)
    calls: int = 0
    tokens: int = 0
    cost: float | None = 0.0
    seconds: float = 0.0
    table: pd.DataFrame | None = None
    program: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    cut: bool = False

    @property
    def line(self) -> dict[str, Any]:
        """What is recorded in the trial."""
        counts = {"calls": self.calls, "tokens": self.tokens, "cost": self.cost, "seconds": round(self.seconds, 3)}
        said = {"problem": self.problem} if self.problem else {}
        return {"score": float(self.score), **counts, **said, "objectives": dict(self.objectives)}


Evaluate = Callable[[Candidate, Any, int, Budget], Outcome]
"""Runs a candidate on a task with a seed, within a budget."""


class Limits(BaseModel):
    """What makes a candidate useless however good it is; see `optuna.Trial.set_constraint`. None sets no limit.

    >>> Limits().collisions
    0.0
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    collisions: float | None = Field(default=0.0, ge=0, le=1, description="share of rows equal to a real one, at most")
    privacy: float | None = Field(default=None, ge=0, le=1, description="score of privacy, at least")
    cost: float | None = Field(default=None, gt=0, description="money that one table costs, at most")

    def excesses(self, means: Mapping[str, float], cost: float | None) -> dict[str, float]:
        """By how much each limit is exceeded; 0 or less where it is kept."""
        if self.cost is not None and cost is None:
            raise SettingsError("the price of this model is not known, so a limit on the cost cannot be held")
        found = {
            "collisions": None if self.collisions is None else 1 - means.get("collisions", 1.0) - self.collisions,
            "privacy": None if self.privacy is None else self.privacy - means.get("privacy", 0.0),
            "cost": None if self.cost is None or cost is None else cost - self.cost,
        }
        return {name: value for name, value in found.items() if value is not None}


class Objective:
    """What an `optuna.Study` optimises; use it in a study of your own, or with `run_study`.

    A candidate runs once on each replicate, in their order. Of a scalar study every score is reported, so that a
    pruner for paired scores (`optuna.pruners.WilcoxonPruner`) can stop it; the value is the mean of what was run.
    Several goals are not pruned. What a trial took, what it brought and every replicate are in its attributes, and a
    trial that is run again goes on after the replicates that it has.

    Args:
        space: what is searched.
        evaluate: runs a candidate.
        replicates: tasks and seeds.
        goals: `quality` alone, or several of `quality` (up), `cost` (down) and `privacy` (up).
        limits: what makes a candidate infeasible.
        budget: of all trials of the study together. A replicate begins where as much is left as the most expensive one
            took, besides what is set aside for those under way.
        artifacts: an `optuna.artifacts` store for settings, prompts, rows and scores of every trial.
    """

    def __init__(
        self,
        space: Space,
        evaluate: Evaluate,
        replicates: Sequence[tuple[Any, int]],
        *,
        goals: Sequence[Goal] = ("quality",),
        limits: Limits | None = None,
        budget: Budget | None = None,
        artifacts: Any = None,
    ) -> None:
        unknown = [goal for goal in goals if goal not in UPWARDS]
        if unknown or not goals or len(set(goals)) < len(goals):
            raise SettingsError(f"the goals are {list(goals)}; use some of {', '.join(UPWARDS)}, each once")
        if not replicates:
            raise SettingsError("no replicate is given; give at least one task and seed")
        self.space, self.evaluate, self.replicates = space, evaluate, tuple(replicates)
        self.goals, self.limits, self.budget = tuple(goals), limits or Limits(), budget or Budget()
        self.artifacts = artifacts

    def __call__(self, trial: Any) -> Any:
        """Run a trial; returns its value, or one for each goal."""
        candidate = self.space.candidate(trial)
        trial.set_user_attr("settings", candidate.settings.model_dump())
        trial.set_user_attr("lm", candidate.lm)
        trial.set_user_attr("program", candidate.program or "")
        lines = list(trial.user_attrs.get("replicates", ()))
        outcomes = []
        for step, (task, seed) in enumerate(self.replicates):
            if step == len(lines):
                outcomes.append((seed, self._run(trial, candidate, task, seed, lines)))
            if len(self.goals) == 1:
                trial.report(lines[step]["score"], step)
                if trial.should_prune():
                    trial.set_user_attr("stopped early after", step + 1)
                    lines = lines[: step + 1]
                    break
        values = self._told(trial, lines)
        if self.artifacts is not None:
            keep(self.artifacts, trial, candidate, outcomes)
        return values[0] if len(values) == 1 else values

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What makes results comparable, ready for JSON."""
        replicates = [[getattr(task, "id", task), seed] for task, seed in self.replicates]
        own = getattr(self.evaluate, "fingerprint", {})
        limits = self.limits.model_dump()
        return {**self.space.fingerprint, **own, "goals": list(self.goals), "limits": limits, "replicates": replicates}

    def _run(self, trial: Any, candidate: Candidate, task: Any, seed: int, lines: list[dict[str, Any]]) -> Outcome:
        left = self._left(trial)
        outcome = self.evaluate(candidate, task, seed, left)
        if outcome.cut:
            spent = [*trial.user_attrs.get("cut short", ()), {name: getattr(outcome, name) for name in COUNTS}]
            trial.set_user_attr("cut short", spent)
            raise BudgetError(outcome.problem)
        lines.append(outcome.line)
        trial.set_user_attr("replicates", lines)
        return outcome

    def _left(self, trial: Any) -> Budget:
        """What a replicate may take; raises `BudgetError` where that is less than what the largest one took.

        What is set aside is written before anything is read, so that of two workers at least one sees the other.
        """
        limits = {name: getattr(self.budget, f"max_{name}") for name in COUNTS}
        if not any(limits.values()):
            return self.budget
        trials = trial.study.get_trials(deepcopy=False)
        each = [line for other in trials for line in other.user_attrs.get("replicates", ())]
        largest = {name: max((line[name] or 0 for line in each), default=0) for name in COUNTS}
        trial.set_user_attr("set aside", largest)
        total = spent_of(trial.study.get_trials(deepcopy=False), beside=trial.number)
        left = {}
        for name, limit in limits.items():
            if limit is None:
                continue
            left[name] = limit - total[name]
            if left[name] < largest[name] or left[name] <= 0:
                trial.set_user_attr("set aside", {})
                raise BudgetError(
                    f"the budget of {limit:g} {name} is used up, or too little of it left for another run"
                )
        return Budget(**{f"max_{name}": value for name, value in left.items()})

    def _told(self, trial: Any, lines: list[dict[str, Any]]) -> list[float]:
        """Attributes, constraints and values of a trial that has run."""
        means = {name: float(np.mean([line["objectives"][name] for line in lines])) for name in lines[0]["objectives"]}
        costs = [line["cost"] for line in lines]
        cost = None if None in costs else float(np.mean(costs))
        trial.set_user_attr("set aside", {})
        for name in (*COUNTS, "seconds"):
            found = [line[name] for line in lines]
            trial.set_user_attr(name, None if None in found else round(sum(found), 6))
        for name, value in means.items():
            trial.set_user_attr(f"mean {name}", round(value, 4))
        for name, excess in self.limits.excesses(means, cost).items():
            trial.set_constraint(name, excess)
        if "cost" in self.goals and cost is None:
            raise SettingsError("the price of this model is not known, so cost cannot be a goal; give prices")
        values = {"quality": float(np.mean([line["score"] for line in lines])), "cost": cost, **means}
        return [float(values[goal] or 0.0) for goal in self.goals]


def spent_of(trials: Sequence[Any], beside: int | None = None) -> dict[str, float]:
    """What trials took so far, and what is set aside for those under way but the one `beside`.

    A trial that was run again holds what the trials before it took.
    """
    total = dict.fromkeys(COUNTS, 0.0)
    for trial in {trial.user_attrs.get("ticket", f"own {trial.number}"): trial for trial in trials}.values():
        lines = [*trial.user_attrs.get("replicates", ()), *trial.user_attrs.get("cut short", ())]
        if trial.number != beside and trial.state.name == "RUNNING":
            lines.append(trial.user_attrs.get("set aside") or {})
        for line in lines:
            for name in COUNTS:
                total[name] += line.get(name) or 0
    return total


class ProgramRuns:
    """Runs candidates for real: a program on a task, scored by a metric.

    Args:
        lms: gives the `dspy.LM` of a candidate's name, such as `make_lm`.
        metric: of a generation task and a prediction; higher is better. `TableMetric`, for instance.
        n_rows: rows of a table.
        critic_lm, summary_lm: names of the models of these roles; the candidate's own where None.
        price: what a call costs; see `Recorder`.
    """

    def __init__(
        self,
        lms: Callable[[str], Any],
        metric: Callable[[Any, Any], Any],
        n_rows: int,
        *,
        critic_lm: str | None = None,
        summary_lm: str | None = None,
        price: Callable[[str, int, int], float | None] | None = None,
    ) -> None:
        self.metric, self.n_rows, self._lms, self._price = metric, n_rows, lms, price
        self._roles = {"critic": critic_lm, "summarizer": summary_lm}
        told = getattr(metric, "fingerprint", None) or getattr(metric, "__qualname__", type(metric).__qualname__)
        self.fingerprint = {"metric": told, "rows": n_rows, "role models": self._roles}

    def __call__(self, candidate: Candidate, task: Any, seed: int, budget: Budget) -> Outcome:
        """Run a candidate; see `Evaluate`."""
        import dspy
        from dspy.utils.exceptions import LMError

        from tagal_dspy.optimizers import generation_tasks
        from tagal_dspy.recording import Recorder

        program = self.program(candidate)
        recorder = Recorder(budget=budget, price=self._price)
        started, problem, cut = time.monotonic(), "", False
        prediction = dspy.Prediction(table=None)
        try:
            with dspy.context(lm=self._lms(candidate.lm), trace=None):
                prediction = program(task=task, n_rows=self.n_rows, seed=seed, recorder=recorder)
        except NotEnoughRowsError as error:
            prediction, problem, cut = error.prediction, str(error), isinstance(error, BudgetError)
        except (EngineError, LMError) as error:
            if not _is_too_long(error):
                raise EngineError(f"the language model failed: {error}") from error
            problem = str(error)
        [example] = generation_tasks(task, self.n_rows, [seed])
        found = None if cut or prediction.table is None else self.metric(example, prediction)
        return Outcome(
            score=WORST if found is None else float(getattr(found, "score", found)),
            objectives=dict(getattr(found, "objective_scores", {})),
            calls=recorder.usage.calls,
            tokens=recorder.usage.tokens,
            cost=recorder.usage.cost,
            seconds=time.monotonic() - started,
            table=prediction.table,
            program=program.dump_state(),
            problem=problem,
            cut=cut,
        )

    def program(self, candidate: Candidate) -> Any:
        """The program of a candidate."""
        from tagal_dspy.modules import load_program
        from tagal_dspy.synthesizer import make_program

        if candidate.program:
            program = load_program(Path(candidate.program), **candidate.settings.model_dump())
        else:
            program = make_program(candidate.settings)
        for role, lm in self._roles.items():
            if lm is not None and getattr(program, role, None) is not None:
                getattr(program, role).set_lm(self._lms(lm))
        return program


def _is_too_long(error: BaseException | None) -> bool:
    """Whether a prompt did not fit the model, which is the fault of the settings: DSPy wraps what engines raise."""
    from dspy.utils.exceptions import ContextWindowExceededError

    if error is None or isinstance(error, (PromptTooLongError, ContextWindowExceededError)):
        return error is not None
    return _is_too_long(error.__cause__)


def settings_toml(candidate: Candidate, task: Any = None) -> str:
    """A candidate as a file for `tagal generate --config`."""
    values = {"lm": candidate.lm, "program": candidate.program, **candidate.settings.model_dump()}
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items() if value is not None]
    target = getattr(getattr(task, "schema", None), "target", None)
    lines += ["", "[table]", f"target = {json.dumps(target)}"] if target else []
    return "\n".join(lines) + "\n"


def keep(store: Any, trial: Any, candidate: Candidate, outcomes: Sequence[tuple[int, Outcome]]) -> None:
    """Put what a trial was and made into an artifact store."""
    from optuna.artifacts import upload_artifact

    texts = {"settings.toml": settings_toml(candidate)}
    if outcomes:
        texts["prompts.json"] = json.dumps(outcomes[0][1].program, indent=2)
        texts["scores.json"] = json.dumps({seed: outcome.line for seed, outcome in outcomes}, indent=2)
    texts |= {
        f"rows-seed-{seed}.csv": outcome.table.to_csv(index=False)
        for seed, outcome in outcomes
        if outcome.table is not None
    }
    with tempfile.TemporaryDirectory() as folder:
        for name, text in texts.items():
            path = Path(folder) / name
            path.write_text(text, encoding="utf-8")
            upload_artifact(artifact_store=store, file_path=str(path), study_or_trial=trial)
