"""What is wrong with a table, in words an optimiser and a person can use.

Figures of whole columns only: no real row, and nothing of the validation rows but the scores.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from tagal_dspy.metrics.judging import judge
from tagal_dspy.metrics.tables import ready
from tagal_dspy.schema import CellColumn, Reject
from tagal_dspy.task import TableTask

if TYPE_CHECKING:
    from tagal_dspy.metrics.combined import Evaluation

N_SHOWN = 3
GOOD_ENOUGH = 0.95
"""Columns and pairs that score more are left unsaid."""

_ADVICE = {
    "generator": "Rows should be written so that these gaps close: match the shares and ranges of the real table, keep "
    "the relations between columns, vary the rows, and copy none.",
    "critic": "The critique should have named these gaps, with column and figures, and said what to write instead.",
    "summarizer": "The refined prompt should state these gaps as instructions, with the shares and ranges to aim at.",
}


def feedback(
    evaluation: Evaluation, task: TableTask, table: Any, rejects: Iterable[Reject], pred_name: str | None = None
) -> str:
    """The score, the worst columns, the lost relations and the rejects, with advice for one role or for all.

    Args:
        evaluation: of the table.
        task: what it was generated for.
        table: the generated rows.
        rejects: rows that were not accepted.
        pred_name: the predictor to address, such as `generator.predict`.
    """
    refused = list(_rejects(rejects))
    if evaluation.problem:
        found = [f"The table cannot be used: {evaluation.problem}", *refused]
    else:
        rows, (real,) = judge(task.schema, "table", table).ready, ready(task.schema, train=task.train)
        found = [*_scores(evaluation), *_columns(evaluation, task, rows, real), *_pairs(evaluation), *refused]
    return "\n".join([*found, *_advice(pred_name)])


def _advice(pred_name: str | None) -> Iterator[str]:
    roles = [role for role in _ADVICE if role in (pred_name or "")] or list(_ADVICE)
    for role in roles:
        yield _ADVICE[role] if len(roles) == 1 else f"{role}: {_ADVICE[role]}"


def _scores(evaluation: Evaluation) -> Iterator[str]:
    yield f"Score {evaluation.score:.2f}, where 0 is a table of unrelated columns and 1 as many real rows."
    titles = {"utility": "Models trained on these rows score", "fidelity": "Similarity to the real table is"}
    for name, score in evaluation.scores.items():
        yield (
            f"{titles[name]} {score.raw:.3f} ({name}; unrelated columns {score.floor:.3f}, "
            f"real rows {score.ceiling:.3f}): {score.calibrated:.2f}."
        )
    if evaluation.utility is not None and evaluation.utility.reason:
        yield f"No model could be trained: {evaluation.utility.reason}."
    varied = evaluation.diversity
    if varied is not None:
        rates = {"repeat an earlier row": varied.duplicates, "are equal to a real row": varied.collisions}
        for name, rate in rates.items():
            if rate.value > rate.real + 0.01:
                yield f"{rate.value:.0%} of the rows {name}; among real rows {rate.real:.0%} do."
    for column, share in evaluation.validity.items():
        if share < 1 - 0.01:
            yield f"{column}: {1 - share:.0%} of the cells are unreadable, outside the real range or no real category."


def _columns(evaluation: Evaluation, task: TableTask, rows: pd.DataFrame, real: pd.DataFrame) -> Iterator[str]:
    by_column = evaluation.quality.by_column if evaluation.quality else {}
    columns = {column.name: column for column in task.schema.modelled}
    for name in sorted(by_column, key=lambda name: by_column[name])[:N_SHOWN]:
        if by_column[name] < GOOD_ENOUGH:
            said = _told(columns[name], rows[name], real[name])
            yield f"{name}: {said} (similarity {by_column[name]:.2f})."


def _told(column: CellColumn, made: pd.Series[Any], real: pd.Series[Any]) -> str:
    if column.is_closed:
        return _shares(made, real)
    shown = "{:.4g}".format if column.is_number else column.shown
    texts = []
    for who, values in (("generated", made), ("real", real)):
        low, middle, high = map(shown, np.quantile(values.dropna(), (0.1, 0.5, 0.9)).tolist())
        texts.append(f"{who} values have median {middle}, 80 % of them from {low} to {high}")
    return "; ".join(texts)


def _shares(made: pd.Series[Any], real: pd.Series[Any]) -> str:
    shares = [values.value_counts(normalize=True) for values in (made, real)]
    gap = shares[0].sub(shares[1], fill_value=0.0)
    worst = gap.abs().sort_index().sort_values(ascending=False, kind="stable").index[:N_SHOWN]
    told = [
        f"{label!r} {shares[0].get(label, 0.0):.0%} of rows, really {shares[1].get(label, 0.0):.0%}" for label in worst
    ]
    return ", ".join(told)


def _pairs(evaluation: Evaluation) -> Iterator[str]:
    pairs = evaluation.quality.pairs if evaluation.quality else ()
    for pair in sorted(pairs, key=lambda pair: pair.score)[:N_SHOWN]:
        if pair.score < GOOD_ENOUGH:
            yield (
                f"{pair.first} and {pair.second} are related in the real table ({pair.real:.2f}); "
                f"the rows keep that relation to {pair.score:.2f}."
            )


def _rejects(rejects: Iterable[Reject]) -> Iterator[str]:
    all_rejects = [Reject(*each) for each in rejects]
    examples = {each.reason: each.detail for each in reversed(all_rejects)}
    for reason, count in Counter(each.reason for each in all_rejects).most_common(N_SHOWN):
        detail = f", for example: {examples[reason]}" if examples[reason] else ""
        yield f"{count} rows were rejected as {reason}{detail}."
