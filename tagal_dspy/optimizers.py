"""Optimise the prompts of a program against a metric with DSPy's optimizers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import dspy

from tagal_dspy.errors import SettingsError
from tagal_dspy.modules import TagalLoop
from tagal_dspy.task import TableTask

Metric = Callable[..., Any]


def generation_tasks(task: TableTask, n_rows: int, seeds: Iterable[int]) -> list[dspy.Example]:
    """Examples for optimizers and `dspy.Evaluate`: one table to write each, without any row in them."""
    return [dspy.Example(task=task, n_rows=n_rows, seed=seed).with_inputs("task", "n_rows", "seed") for seed in seeds]


def compile_program(
    program: TagalLoop,
    trainset: Sequence[dspy.Example],
    valset: Sequence[dspy.Example],
    metric: Metric,
    optimizer: str = "gepa",
    *,
    reflection_lm: dspy.LM,
    max_metric_calls: int = 40,
    seed: int = 0,
) -> TagalLoop:
    """A copy of the program with better prompts.

    Args:
        program: stays as it is.
        trainset, valset: from `generation_tasks`, with different seeds.
        metric: called as `metric(gold, pred, trace, pred_name, pred_trace)`; returns a score, higher is better, or a
            `dspy.Prediction` with `score` and `feedback`.
        optimizer: `gepa` or `mipro`.
        reflection_lm: writes the new prompts.
        max_metric_calls: about how many tables are written and scored.
        seed: of the optimizer.

    Raises:
        SettingsError: the optimizer is unknown, or training and validation tasks overlap.
    """
    both = {_key(each) for each in trainset} & {_key(each) for each in valset}
    if both:
        raise SettingsError(f"{len(both)} tasks are both for training and for validation; use other seeds")
    if optimizer not in _COMPILERS:
        raise SettingsError(f"optimizer {optimizer!r} is unknown; use one of {', '.join(_COMPILERS)}")
    compiled: TagalLoop = _COMPILERS[optimizer](
        program, list(trainset), list(valset), metric, reflection_lm, max_metric_calls, seed
    )
    return compiled


def _gepa(program: Any, trainset: Any, valset: Any, metric: Metric, lm: Any, max_metric_calls: int, seed: int) -> Any:
    optimizer = dspy.GEPA(
        metric=metric, reflection_lm=lm, max_metric_calls=max_metric_calls, seed=seed, num_threads=1, track_stats=True
    )
    return optimizer.compile(program, trainset=trainset, valset=valset)


def _mipro(program: Any, trainset: Any, valset: Any, metric: Metric, lm: Any, max_metric_calls: int, seed: int) -> Any:
    # No demos: they would be real rows in a saved program.
    optimizer = dspy.MIPROv2(
        metric=metric,
        prompt_model=lm,
        auto=None,
        num_candidates=3,
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        num_threads=1,
        seed=seed or 9,
    )
    n_trials = max(1, max_metric_calls // max(1, len(valset)))
    return optimizer.compile(program, trainset=trainset, valset=valset, num_trials=n_trials, minibatch=False)


_COMPILERS: dict[str, Callable[..., Any]] = {"gepa": _gepa, "mipro": _mipro}


def _key(example: dspy.Example) -> tuple[str, int, int]:
    return example.task.id, example.n_rows, example.seed
