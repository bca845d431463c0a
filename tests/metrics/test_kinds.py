"""Metrics and baselines of tables with dates, free text and ids."""

from __future__ import annotations

import dspy
import numpy as np
import pandas as pd
import pytest
from tables import mixed_frame

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import (
    Learning,
    TableMetric,
    baseline,
    detection,
    diversity,
    prdc,
    privacy,
    quality,
    tstr,
    validity,
)
from tagal_dspy.metrics.tables import ready
from tagal_dspy.task import TableTask

OWN = ("real", "marginals", "few_shots", "bootstrap_noise", "smote", "cart", "gaussian_copula")


@pytest.fixture(scope="module")
def mixed() -> TableTask:
    return TableTask(mixed_frame(300), target="class")


@pytest.mark.parametrize("name", OWN)
def test_baselines_have_every_column_and_fresh_ids(name: str, mixed: TableTask) -> None:
    made = baseline(name, task=mixed, n_rows=80)
    assert list(made.columns) == [column.name for column in mixed.schema.columns]
    assert made["id"].tolist() == list(range(1300, 1380))
    assert made["when"].dropna().between(pd.Timestamp("2023-12-31"), pd.Timestamp("2025-01-01")).all()
    if name != "gaussian_copula":
        for row in mixed.schema.to_rows(made):
            assert all(c.canonical(text) == text for c, text in zip(mixed.schema.modelled, row, strict=True))


def test_every_metric_takes_every_kind_and_no_id(mixed: TableTask) -> None:
    made = baseline("bootstrap_noise", task=mixed, n_rows=100)
    for table in (made, made.drop(columns="id"), made.assign(id=0)):
        frames = {"real": mixed.validation, "synthetic": table, "schema": mixed.schema}
        assert set(quality(**frames).by_column) == set(mixed.schema.names)
        assert min(validity(**frames).values()) > 0.8
        assert 0 <= detection(**frames) <= 1
        assert prdc(**frames).coverage > 0
        assert diversity(**frames).duplicates.value < 0.1
        assert privacy(synthetic=table, train=mixed.train, schema=mixed.schema, holdout=mixed.validation).score <= 1
        assert tstr(synthetic=table, holdout=mixed.test, schema=mixed.schema)


def test_shifted_dates_and_shorter_texts_are_less_like_the_real_ones(mixed: TableTask) -> None:
    def by_column(frame: pd.DataFrame) -> dict[str, float]:
        return dict(quality(real=mixed.validation, synthetic=frame, schema=mixed.schema).by_column)

    good, bad = (
        by_column(mixed.train),
        by_column(mixed.train.assign(when=mixed.train["when"] + pd.Timedelta(days=200), note="short")),
    )
    assert bad["when"] < good["when"] - 0.2
    assert bad["note"] < good["note"] - 0.2
    assert bad["amount"] == good["amount"]


def test_ready_dates_are_seconds_and_texts_lengths(mixed: TableTask) -> None:
    (frame,) = ready(mixed.schema, train=mixed.train)
    assert "id" not in frame
    assert np.nanmin(frame["when"]) > pd.Timestamp("2023-12-31").timestamp()
    assert frame["note"].max() == mixed.train["note"].str.len().max()


def test_dates_in_another_form_are_named(mixed: TableTask) -> None:
    with pytest.raises(DataError, match="train: column 'born' holds no datetime: 'someday' is not written as %d/%m/%Y"):
        ready(mixed.schema, train=mixed.train.assign(born="someday"))


def test_table_metric_scores_every_kind_and_says_what_is_wrong(mixed: TableTask) -> None:
    metric = TableMetric(learning=Learning(classifiers=("LR",), seeds=(0,), n_bootstrap=20))
    late = mixed.test.assign(when=mixed.test["when"] + pd.Timedelta(days=250))
    told = metric(dspy.Example(task=mixed, seed=0, n_rows=len(late)), dspy.Prediction(table=late)).feedback
    assert "when: generated values have median 20" in told
    assert metric.evaluate(mixed, mixed.test).objectives["collisions"] == 1.0


def test_texts_of_one_length_are_not_taken_for_one_table(mixed: TableTask) -> None:
    metric = TableMetric(learning=Learning(classifiers=("LR",), seeds=(0,), n_bootstrap=20))
    copied = metric.evaluate(mixed, mixed.train.head(60))
    other = metric.evaluate(mixed, mixed.train.head(60).assign(note=lambda table: "?" + table["note"].str[1:]))
    assert (copied.objectives["collisions"], other.objectives["collisions"]) == (0.0, 1.0)
