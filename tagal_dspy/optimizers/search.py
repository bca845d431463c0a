"""The `optuna` optimizer: settings and instructions searched together, losing candidates stopped early."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import dspy

from tagal_dspy.errors import SettingsError
from tagal_dspy.modules import TagalLoop
from tagal_dspy.optimizers.job import Job, scored, value_of
from tagal_dspy.optimizers.proposer import InstructionProposer
from tagal_dspy.optimizers.space import PARTS, Bounds, Space
from tagal_dspy.settings import PromptStyle, RunSettings
from tagal_dspy.signatures import prompt_style

N_PROPOSALS = 3
"""Instructions that are tried for each predictor besides the current ones."""

STOP_P = 0.1
"""A candidate is stopped when a signed-rank test over the tasks finds it worse than the best one with a smaller p."""

N_RANDOM = 6
"""Candidates drawn at random before the scores say where to look."""

INSTRUCTIONS = "instructions"

SEARCHED: Mapping[PromptStyle, Bounds] = {
    "chat": {
        "n_shots": {"low": 2, "high": 20, "log": True},
        "rows_per_draw": {"low": 2, "high": 20, "log": True},
        "temperature": [0.5, 1.2],
        "codec": ["csv", "json", "sentence"],
        "column_order": ["original", "categorical-first", "numerical-first", "target-first"],
        "info": ["card", "none"],
        "draws": ["joint", "by-class"],
        "few_shots": ["stratified", "uniform", "neighbours", "residual", "coreset"],
    },
    "continuation": {
        "n_shots": {"low": 2, "high": 8, "log": True},
        "rows_per_draw": {"low": 2, "high": 8, "log": True},
        "temperature": [0.8, 1.2],
        "codec": ["csv", "sentence"],
        "column_order": ["original", "categorical-first", "numerical-first", "target-first"],
        "few_shots": ["stratified", "uniform", "neighbours", "residual", "coreset"],
    },
}
"""Settings that are searched unless bounds are given. How many rows are accepted to select from is not among them: that
buys a better table with more tokens."""


def search(job: Job) -> Any:
    """The best of the candidates that Optuna proposes, the seed program among them.

    A candidate has settings within the bounds and, for a model that follows instructions, one of a few instructions
    that were proposed from the feedback on the seed program. It writes the tasks to validate on, then those to train
    on, until a Wilcoxon signed-rank test (`optuna.pruners.WilcoxonPruner`) finds it worse than the best one.
    """
    return _Search(job).best()


def check_bounds(program: Any, bounds: Mapping[str, Any] | None) -> None:
    """Raise `SettingsError` for a program without settings, and for bounds of what a program cannot change."""
    if not isinstance(program, TagalLoop):
        raise SettingsError(f"optuna searches settings, and {type(program).__name__} has none; use gepa or mipro")
    fixed = [name for name in (*PARTS, "preset", "method") if name in (bounds or {})]
    if fixed:
        raise SettingsError(f"{', '.join(fixed)}: a search of a program's settings cannot vary it; use tagal study")
    _space_of(program, bounds)


def _space_of(program: TagalLoop, bounds: Mapping[str, Any] | None) -> Space:
    """The space around a program's settings, for the LM of `dspy.settings`."""
    style: PromptStyle = "continuation" if prompt_style(dspy.settings.lm) == "continuation" else "chat"
    bounds = bounds or SEARCHED[style]
    fixed = {name: value for name, value in program.settings.model_dump().items() if name not in (*bounds, "preset")}
    return Space(bounds, program.settings.preset, style, fixed)


class _Search:
    """The candidates of one search; the seed program is the first."""

    def __init__(self, job: Job) -> None:
        self._job, self._space = job, _space_of(job.program, job.bounds)
        self._tasks = [*job.tasks.valid, *job.tasks.train]
        self._prompts: list[Mapping[str, str]] = [_prompts_of(job.program)]
        self._n_tables = 0

    def best(self) -> Any:
        import optuna

        study = _new_study(self._job.seed)
        study.enqueue_trial({**self._space.nearest_to(self._job.program.settings), INSTRUCTIONS: 0})
        trial, programs = study.ask(), {0: self._job.program}
        self._candidate(trial)  # Optuna learns its place; the seed program itself may lie out of bounds
        self._propose(self._tried(study, trial, programs[0]))
        for _ in range(self._job.n_tables):
            if self._n_tables + len(self._tasks) > self._job.n_tables or self._job.stopped():
                break
            trial = study.ask()
            candidate = self._candidate(trial)
            if candidate is None or any(_is_same(candidate, each) for each in programs.values()):
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            programs[trial.number] = candidate
            self._tried(study, trial, candidate)
        return programs[study.best_trial.number]

    def _candidate(self, trial: Any) -> Any:
        """The program that a trial proposes; None where it combines settings that exclude each other."""
        n_prompts = 1 if self._space.style == "continuation" else 1 + N_PROPOSALS
        place = trial.suggest_categorical(INSTRUCTIONS, tuple(range(n_prompts)))
        try:
            settings = self._space.candidate(trial).settings
        except SettingsError:
            return None
        prompts = self._prompts[place % len(self._prompts)]
        return changed(self._job.program, prompts, settings)

    def _tried(self, study: Any, trial: Any, program: Any) -> list[Any]:
        """What the metric said of a candidate's tables, task by task; fewer where it was stopped."""
        import optuna

        said: list[Any] = []
        for start in range(0, len(self._tasks), self._job.n_threads):
            batch = self._tasks[start : start + self._job.n_threads]
            said += scored(program, batch, self._job.metric, self._job.n_threads)
            self._n_tables += len(batch)
            for step, each in enumerate(said[start:], start):
                trial.report(value_of(each), step)
            if len(said) < len(self._tasks) and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                return said
        study.tell(trial, fmean(map(value_of, said)))
        return said

    def _propose(self, said: Sequence[Any]) -> None:
        """Instructions for a model that follows them, each from the feedback on other tables."""
        if self._space.style == "continuation":
            return
        feedback = [{"Feedback": text} for each in said if (text := getattr(each, "feedback", None))]
        names = list(self._prompts[0])
        for place in range(N_PROPOSALS):
            shown = dict.fromkeys(names, feedback[place::N_PROPOSALS])
            with dspy.context(lm=self._job.lm):
                self._prompts.append(InstructionProposer()(self._prompts[0], shown, names))


def _new_study(seed: int) -> Any:
    import optuna
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=N_RANDOM, multivariate=True)
        pruner = optuna.pruners.WilcoxonPruner(p_threshold=STOP_P)
    return optuna.create_study(direction="maximize", sampler=sampler, pruner=pruner)


def changed(program: Any, prompts: Mapping[str, str], settings: RunSettings | None = None) -> Any:
    """A copy of a program with other instructions, and other settings where given; a critic that only these settings
    have keeps its own instructions."""
    copied = program.deepcopy()
    if settings is not None:
        copied.apply(settings)
    for name, predictor in copied.named_predictors():
        if name in prompts:
            predictor.signature = predictor.signature.with_instructions(prompts[name])
    return copied


def _prompts_of(program: Any) -> dict[str, str]:
    return {name: str(each.signature.instructions) for name, each in program.named_predictors()}


def _is_same(one: Any, other: Any) -> bool:
    return one.settings == other.settings and _prompts_of(one) == _prompts_of(other)
