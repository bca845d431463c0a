"""Optimizers by name: what each needs, and how it is told to spend a number of tables.

Demos hold real rows, so that optimizers which make them are told to make none, or have to be allowed to.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import dspy

from tagal_dspy.errors import SettingsError, nearest
from tagal_dspy.optimizers.job import Driver, Job
from tagal_dspy.optimizers.proposer import InstructionProposer
from tagal_dspy.optimizers.search import search
from tagal_dspy.optimizers.tasks import Tasks

MINIBATCH = 3
"""Tasks that GEPA reflects on at a time."""

DEMO_THRESHOLD = 0.5
"""Score from which on a table makes a demo; DSPy would take any."""


REPEATS = 2
"""GEPA scores the seed program again beside every candidate, at no cost: it may count twice what the budget has."""


def _gepa(job: Job) -> Any:
    frontier = "hybrid" if job.objectives else "instance"
    optimizer = dspy.GEPA(
        metric=job.metric,
        instruction_proposer=InstructionProposer(),
        reflection_lm=job.lm,
        reflection_minibatch_size=min(MINIBATCH, len(job.tasks.train)),
        max_metric_calls=REPEATS * job.n_tables,
        num_threads=job.n_threads,
        failure_score=-1.0,
        warn_on_score_mismatch=False,
        seed=job.seed,
        gepa_kwargs={
            "stop_callbacks": [lambda state: job.stopped()],
            "frontier_type": frontier,
        },
    )
    return optimizer.compile(job.program, trainset=job.tasks.train, valset=job.tasks.valid)


def _mipro(job: Job) -> Any:
    # A candidate costs a proposal and its tables; a second trial of it costs nothing, as equal draws are asked once.
    n_candidates = max(3, job.n_tables // (len(job.tasks.valid) + 1) - 1)
    optimizer = dspy.MIPROv2(
        metric=job.metric,
        prompt_model=job.lm,
        auto=None,
        num_candidates=n_candidates,
        max_bootstrapped_demos=0,
        max_labeled_demos=0,
        metric_threshold=DEMO_THRESHOLD,
        num_threads=job.n_threads,
        seed=job.seed + 1,  # 0 would be taken for none
    )
    return optimizer.compile(
        job.program,
        trainset=job.tasks.train[:1],  # it makes demos of all of them for every candidate, and throws them away
        valset=job.tasks.valid,
        num_trials=2 * n_candidates,
        minibatch=False,
        data_aware_proposer=False,  # it would read the tasks, which hold no data
        program_aware_proposer=False,  # it would send the source of the program with every proposal
        fewshot_aware_proposer=False,  # it would send real rows
    )


def _copro(job: Job) -> Any:
    train = [*job.tasks.train, *job.tasks.valid]
    n_predictors = len(job.program.predictors())
    n_candidates = max(2, job.n_tables // (len(train) * n_predictors))
    depth = 1 if n_candidates < 2 * BREADTH else n_candidates // BREADTH
    optimizer = dspy.COPRO(prompt_model=job.lm, metric=job.metric, breadth=n_candidates // depth, depth=depth)
    options = {"num_threads": job.n_threads, "display_progress": False}
    return optimizer.compile(job.program, trainset=train, eval_kwargs=options)


SIMBA_BATCH, SIMBA_CANDIDATES = 8, 3
"""Tasks and programs of one of its steps. The best and the worst tasks give no rule: of four, most would give none."""

BREADTH = 6
"""Candidates of a generation of COPRO; more where there is one generation."""


def _simba(job: Job) -> Any:
    train = [*job.tasks.train, *job.tasks.valid]
    n_around, n_step = _simba_tables(len(train))
    optimizer = dspy.SIMBA(
        metric=job.metric,
        bsize=min(SIMBA_BATCH, len(train)),
        num_candidates=SIMBA_CANDIDATES,
        max_steps=max(1, (job.n_tables - n_around) // n_step),
        max_demos=0,
        prompt_model=job.lm,
        num_threads=job.n_threads,
    )
    return optimizer.compile(job.program, trainset=train, seed=job.seed)


def _simba_tables(n_tasks: int) -> tuple[int, int]:
    """Tables around its steps, and of each step; where a step has all tasks, what it samples was written before."""
    if n_tasks <= SIMBA_BATCH:
        return n_tasks, n_tasks * (SIMBA_CANDIDATES + 1)
    return n_tasks * (SIMBA_CANDIDATES + 1), SIMBA_BATCH * (2 * SIMBA_CANDIDATES + 1)


def _bootstrap(job: Job) -> Any:
    optimizer = dspy.BootstrapFewShot(
        metric=job.metric, metric_threshold=DEMO_THRESHOLD, max_bootstrapped_demos=2, max_labeled_demos=0
    )
    return optimizer.compile(job.program, trainset=job.tasks.train)


def _bootstrap_rs(job: Job) -> Any:
    n_programs = max(1, job.n_tables // (len(job.tasks.train) + len(job.tasks.valid)) - 2)
    optimizer = dspy.BootstrapFewShotWithRandomSearch(
        metric=job.metric,
        metric_threshold=DEMO_THRESHOLD,
        max_bootstrapped_demos=2,
        max_labeled_demos=0,
        num_candidate_programs=n_programs,
        num_threads=job.n_threads,
    )
    return optimizer.compile(job.program, trainset=job.tasks.train, valset=job.tasks.valid)


def _both(tasks: Tasks) -> int:
    return len(tasks.train) + len(tasks.valid)


DRIVERS: Mapping[str, Driver] = {
    "gepa": Driver(_gepa, lambda tasks, n: 2 * len(tasks.valid) + 2 * min(MINIBATCH, len(tasks.train))),
    "mipro": Driver(_mipro, lambda tasks, n: 2 * len(tasks.valid)),
    "copro": Driver(_copro, lambda tasks, n: 2 * n * _both(tasks)),
    "simba": Driver(_simba, lambda tasks, n: sum(_simba_tables(_both(tasks)))),
    "optuna": Driver(search, lambda tasks, n: 2 * _both(tasks), takes_bounds=True),
    "bootstrap": Driver(_bootstrap, lambda tasks, n: len(tasks.train), makes_demos=True),
    "bootstrap-rs": Driver(_bootstrap_rs, lambda tasks, n: 3 * _both(tasks), makes_demos=True),
}


def driver_of(optimizer: Any) -> Driver:
    """The driver of a name, or of a user's own `Teleprompter`, which spends what it likes within the budget.

    Raises:
        SettingsError: the name is unknown, or the object cannot compile.
    """
    if isinstance(optimizer, str):
        if optimizer not in DRIVERS:
            raise SettingsError(f"optimizer {optimizer!r} is unknown; {nearest(optimizer, DRIVERS)}")
        return DRIVERS[optimizer]
    if not callable(getattr(optimizer, "compile", None)):
        raise SettingsError(f"{type(optimizer).__name__} is not an optimizer; give one of DSPy's, or a name")
    return Driver(lambda job: _own(optimizer, job), lambda tasks, n: len(tasks.train))


def _own(optimizer: Any, job: Job) -> Any:
    for name in ("metric", "metric_fn"):
        if hasattr(optimizer, name):
            setattr(optimizer, name, job.metric)
    takes = inspect.signature(optimizer.compile).parameters
    given = {"trainset": job.tasks.train, "valset": job.tasks.valid}
    return optimizer.compile(job.program, **{name: value for name, value in given.items() if name in takes})
