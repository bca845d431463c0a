"""What an optimizer is given, and how it has tables written and scored."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import dspy
from dspy.utils.exceptions import LMError

from tagal_dspy.errors import cause_of
from tagal_dspy.optimizers.tasks import Tasks

Metric = Callable[..., Any]


class Job(NamedTuple):
    """What an optimizer is given.

    Attributes:
        program: to be optimized; has its language models in `dspy.settings` or in its predictors.
        tasks: to train and validate on.
        metric: scores a table.
        lm: writes the prompts.
        n_tables: how many tables may be written and scored.
        seed: of the optimizer.
        n_threads: tables written at once.
        objectives: whether the metric scores several objectives.
        stopped: says when the budget is used up.
        bounds: of the settings that a search may change; those of `SEARCHED` where None.
    """

    program: Any
    tasks: Tasks
    metric: Metric
    lm: Any
    n_tables: int
    seed: int
    n_threads: int
    objectives: bool
    stopped: Callable[[], bool]
    bounds: Mapping[str, Any] | None = None


class Driver(NamedTuple):
    """An optimizer by name.

    Attributes:
        run: gives the optimized program.
        least: how many tables it writes, for so many predictors, until it has tried one candidate.
        makes_demos: whether all that it does is to make demos.
        takes_bounds: whether it searches settings.
    """

    run: Callable[[Job], Any]
    least: Callable[[Tasks, int], int]
    makes_demos: bool = False
    takes_bounds: bool = False


def scored(program: Any, examples: Sequence[dspy.Example], metric: Metric, n_threads: int) -> list[Any]:
    """What a metric says of the tables that a program writes for some tasks, `n_threads` of them at once.

    Raises:
        LMError, EngineError, BudgetError: a table could not be written; the cause where DSPy wrapped it.
    """

    def score(example: dspy.Example) -> Any:
        return metric(example, program(**example.inputs()))

    with ThreadPoolExecutor(n_threads, thread_name_prefix="tagal-tables") as threads:
        runs = [threads.submit(contextvars.copy_context().run, score, each) for each in examples]
        try:
            return [run.result() for run in runs]
        except LMError as error:
            raise cause_of(error) or error from error


def value_of(said: Any) -> float:
    """The score in what a metric returned: a number, or a prediction with `score`."""
    return float(getattr(said, "score", said))
