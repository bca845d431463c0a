"""`evaluate`: everything that can be measured of a synthetic table, at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError
from tagal_dspy.metrics.baselines import baseline
from tagal_dspy.metrics.combined import Evaluation, OnStep, TableMetric
from tagal_dspy.metrics.diversity import diversity
from tagal_dspy.metrics.fidelity import alpha_precision, detection, prdc, validity_of
from tagal_dspy.metrics.judging import check_target, judge
from tagal_dspy.metrics.membership import Membership, membership
from tagal_dspy.metrics.privacy import privacy
from tagal_dspy.metrics.report import ColumnFidelity, Interval, Rows, Scored, TableReport
from tagal_dspy.metrics.shapes import associations, bars
from tagal_dspy.metrics.tables import frame_problems, ready
from tagal_dspy.metrics.utility import Learning, combined, some_rows, trtr
from tagal_dspy.schema import SchemaOverrides, TableSchema
from tagal_dspy.schema.infer import table_problems
from tagal_dspy.task import TEST_SHARE, TableTask, stratified

MAX_ROWS = 10_000
"""Synthetic rows that are measured; of more, a seeded sample. Real rows are never sampled."""

_N_NEIGHBOURS = 5
_MIX = 0.5


def evaluate(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    target: str | None = None,
    holdout: pd.DataFrame | None = None,
    *,
    seed: int = 0,
    replicates: Sequence[pd.DataFrame] = (),
    baselines: Sequence[str] = (),
    learning: Learning | None = None,
    overrides: SchemaOverrides | None = None,
    folder: Path | None = None,
    on_step: OnStep = lambda step: None,
) -> TableReport:
    """Measure a synthetic table against a real one.

    Args:
        real: the rows that the synthetic ones were made from.
        synthetic: rows to judge, also of other generators: labels may be spelled otherwise, and rows with a cell that
            cannot be read count as invalid; see `judge`. The order of rows changes nothing.
        target: the column to predict, if any.
        holdout: real rows that the generator did not see. A stratified fifth of `real` where None; if the generator
            saw those, the score flatters it.
        seed: of the split, the sample and all models.
        replicates: further tables of the same generator, each as long as `synthetic`: their scores tell how far another
            run of it may differ.
        baselines: names of `BASELINES` to score at the same size.
        learning: classifiers and metric of utility, as for `TableMetric`.
        overrides: what is known better about the columns than the values show.
        folder: where floor and ceiling are kept, which take most of the time, for the next table of so many rows.
        on_step: called with what is measured next.

    Returns:
        A typed result; see `TableReport` for what its parts mean and which way is up.

    Raises:
        DataError: real columns are missing or hold nothing, real rows hold the wrong kind, no synthetic row has a
            usable target, too few can be read; a line for each problem of each table, all at once.
        SettingsError: an unknown baseline, or one whose package is not installed.

    >>> real = pd.DataFrame({"x": range(80), "y": ["no"] * 40 + ["yes"] * 40})
    >>> evaluate(real, real.sample(20, random_state=0), "y").utility["tstr"]["LR"]
    1.0
    """
    overrides = overrides or SchemaOverrides()
    target = target if target is not None else overrides.target
    made = {"synthetic": synthetic} | {f"synthetic {n}": each for n, each in enumerate(replicates, start=2)}
    frames: dict[str, Any] = made | ({} if holdout is None else {"holdout": holdout})
    _check(real, frames, target, overrides)
    schema = TableSchema.infer(real, target, overrides)
    _check_against(schema, made, holdout)
    train = real if target is None else real[real[target].notna()]
    held = stratified(train, schema, TEST_SHARE if holdout is None else 0.0, seed)
    task = TableTask.of_parts(schema, train=train[~held], validation=train[held] if holdout is None else holdout)
    return evaluate_task(
        task,
        synthetic,
        seed=seed,
        replicates=replicates,
        baselines=baselines,
        learning=learning,
        held_out=holdout is None,
        folder=folder,
        on_step=on_step,
    )


def _check(
    real: pd.DataFrame, frames: Mapping[str, pd.DataFrame], target: str | None, overrides: SchemaOverrides
) -> None:
    """Raise `DataError` where the real table has no schema, with what else can be told without one."""
    if not isinstance(real, pd.DataFrame):
        raise DataError(f"real: expected a pandas.DataFrame, got {type(real).__name__}")
    problems = [f"real: {problem}" for problem in table_problems(real, target, overrides)]
    if problems:
        names = [*real.columns, *([] if target is None or target in real.columns else [target])]
        for name, frame in frames.items():
            problems += frame_problems(name, frame, names, set(names), target, 2)
        raise DataError("\n".join(problems))


def _check_against(schema: TableSchema, made: Mapping[str, pd.DataFrame], holdout: pd.DataFrame | None) -> None:
    """Raise `DataError` with all that keeps the tables from being compared."""
    problems = []
    checks: list[Callable[[], object]] = [partial(_check_made, schema, *each) for each in made.items()]
    if holdout is not None:
        checks.append(partial(ready, schema, holdout=holdout))
    for check in checks:
        try:
            check()
        except DataError as error:
            problems.append(str(error))
    sizes = {len(frame) for frame in made.values()}
    if len(sizes) > 1:
        problems.append(f"synthetic: tables of {', '.join(map(str, sorted(sizes)))} rows; all must have as many")
    if problems:
        raise DataError("\n".join(problems))


def _check_made(schema: TableSchema, name: str, frame: pd.DataFrame) -> None:
    check_target(schema, name, judge(schema, name, frame))


def evaluate_task(
    task: TableTask,
    synthetic: pd.DataFrame,
    *,
    seed: int = 0,
    replicates: Sequence[pd.DataFrame] = (),
    baselines: Sequence[str] = (),
    learning: Learning | None = None,
    few_shots: pd.DataFrame | None = None,
    held_out: bool = False,
    folder: Path | None = None,
    on_step: OnStep = lambda step: None,
) -> TableReport:
    """Measure a synthetic table against the training rows of a task and, as its holdout, the validation rows.

    See `evaluate`; `few_shots` are real rows that stood in prompts. To judge by the test rows of a task, make another
    with `TableTask.of_parts(..., validation=task.test)`.
    """
    schema = task.schema
    train, holdout = ready(schema, train=task.train, holdout=task.validation)
    made = judge(schema, "synthetic", synthetic)
    sample = _sampled(schema, synthetic, made.cells, seed)
    sampled = len(sample) < len(synthetic)
    rows = judge(schema, "synthetic", sample).frame if sampled else made.frame
    # First, because a baseline may be unknown or not installed.
    others = {name: baseline(name, task=task, n_rows=len(rows), seed=seed) for name in baselines}
    more = [_sampled(schema, table, judge(schema, "synthetic", table).cells, seed) for table in replicates]
    metric = TableMetric(learning=learning, seed=seed, folder=folder, on_step=on_step)
    found = metric.evaluate(task, sample)
    replicate_scores = tuple(_scored(metric.evaluate(task, table)) for table in more)
    real = pd.concat([train, holdout], ignore_index=True)
    # The metric measured these two already, unless it was given a sample.
    valid = validity_of(real, made.whole, schema) if sampled else found.validity
    varied = None if sampled else found.diversity
    similar = found.quality.by_column if found.quality else {}
    enough = min(len(rows), len(holdout)) > _N_NEIGHBOURS
    on_step("utility of real rows, detection and neighbours")
    compared: dict[str, Any] = {"real": task.validation, "synthetic": rows, "schema": schema}
    return TableReport(
        table=schema.name,
        target=schema.target,
        problem=schema.problem,
        rows=Rows(len(synthetic), len(synthetic) - len(made.ready), len(rows), len(train), len(holdout), held_out),
        unreadable=made.unreadable,
        respelled=made.respelled,
        ignored=made.ignored,
        score=_scored(found),
        metric=metric.learning.metric or ("r2" if schema.problem == "regression" else "roc_auc"),
        utility=_utility(task, rows, found, metric),
        untrained=found.utility.reason if found.utility else "",
        columns={
            column.name: ColumnFidelity(
                column.kind,
                similar[column.name],
                valid[column.name],
                bars(column, real[column.name], made.ready[column.name]),
            )
            for column in schema.modelled
        },
        pairs=found.quality.pairs if found.quality else (),
        associations=associations(task, schema.to_rows(rows)),
        detection=detection(**compared, seed=seed) if enough else None,
        prdc=prdc(**compared, k=_N_NEIGHBOURS) if enough else None,
        supports=alpha_precision(**compared),
        diversity=varied or diversity(real=task.train, synthetic=made.frame, schema=schema),
        privacy=found.privacy
        if few_shots is None
        else privacy(
            synthetic=rows, train=task.train, holdout=task.validation, few_shots=few_shots, schema=task.schema
        ),
        membership=_membership(task, rows, few_shots, seed),
        replicates=replicate_scores,
        mean_score=Interval.of_mean([found.score, *(each.value for each in replicate_scores)]),
        baselines={name: _scored(metric.evaluate(task, table)) for name, table in others.items()},
        seed=seed,
    )


def _membership(task: TableTask, rows: pd.DataFrame, few_shots: pd.DataFrame | None, seed: int) -> Membership | None:
    schema = task.schema
    if not len(rows) or not len(task.validation):
        return None
    return membership(
        schema,
        synthetic=schema.to_rows(rows),
        train=task.train_rows,
        holdout=schema.to_rows(task.validation),
        few_shots=() if few_shots is None else schema.to_rows(few_shots),
        seed=seed,
    )


def _sampled(schema: TableSchema, synthetic: pd.DataFrame, cells: pd.DataFrame, seed: int) -> pd.DataFrame:
    """At most `MAX_ROWS` rows, the same ones in whatever order they come."""
    if len(synthetic) <= MAX_ROWS:
        return synthetic
    texts = [[cell or "" for cell in row] for row in schema.to_rows(cells)]
    order = sorted(range(len(texts)), key=texts.__getitem__)
    return synthetic.iloc[np.random.default_rng(seed).choice(order, MAX_ROWS, replace=False)]


def _scored(found: Evaluation) -> Scored:
    return Scored(found.score, found.low, found.high, found.scores, found.objectives)


def _utility(
    task: TableTask, rows: pd.DataFrame, found: Evaluation, metric: TableMetric
) -> dict[str, dict[str, float]]:
    """By regime and classifier; real rows train as many as there are synthetic ones, where there are."""
    if found.utility is None:
        return {}
    (train,) = ready(task.schema, train=task.train)
    real = some_rows(train, min(len(rows), len(train)), np.random.default_rng(metric.seed))
    learning = replace(metric.learning, n_bootstrap=0)
    tested: dict[str, Any] = {"holdout": task.validation, "schema": task.schema, "learning": learning}
    mixed = combined(real=task.train, synthetic=rows, mixes=[_MIX], seed=metric.seed, **tested)
    regimes = {"tstr": found.utility, "trtr": trtr(real=real, **tested), "combined": mixed[_MIX]}
    return {name: {**each.by_classifier, "mean": each.value} for name, each in regimes.items()}
