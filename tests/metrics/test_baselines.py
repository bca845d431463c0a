from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.measures.curation import LabelCurator
from tagal_dspy.metrics import BASELINES, baseline, quality
from tagal_dspy.task import TableTask

OWN = (
    "real",
    "real_curated",
    "marginals",
    "few_shots",
    "bootstrap_noise",
    "smote",
    "cart",
    "cart+checks",
    "cart+selected",
)


@pytest.mark.parametrize("name", OWN)
def test_baseline_has_the_columns_dtypes_and_rows_asked_for_and_is_seeded(name: str, task: TableTask) -> None:
    first, second, other = (baseline(name, task=task, n_rows=90, seed=seed) for seed in (1, 1, 2))
    assert len(first) == 90
    assert first.dtypes.to_dict() == task.train.dtypes.to_dict()
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(other)


@pytest.mark.parametrize("name", OWN)
def test_baseline_rows_fit_the_schema(name: str, task: TableTask) -> None:
    made = baseline(name, task=task, n_rows=90)
    for row in task.schema.to_rows(made):
        for column, text in zip(task.schema.columns, row, strict=True):
            assert column.canonical(text) == text


def test_few_shots_repeat_the_rows_of_one_prompt(task: TableTask) -> None:
    rows = task.schema.to_rows(baseline("few_shots", task=task, n_rows=300))
    assert len(set(rows)) <= 40
    assert set(rows) <= set(task.train_rows)


def test_more_real_rows_than_there_are_come_with_repeats(task: TableTask) -> None:
    assert len(baseline("real", task=task, n_rows=2 * len(task.train))) == 2 * len(task.train)


def test_smote_and_noise_make_new_rows_with_the_relations_kept(task: TableTask) -> None:
    for name in ("smote", "bootstrap_noise"):
        made = baseline(name, task=task, n_rows=300)
        assert len(set(task.schema.to_rows(made)) & set(task.train_rows)) < 30
        assert abs(np.corrcoef(made["age"], made["wage"].fillna(made["wage"].median()))[0, 1]) > 0.6


def test_smote_works_for_a_class_with_one_row_and_for_regression() -> None:
    frame = pd.DataFrame({"x": np.arange(60.0) / 7, "y": ["a"] * 57 + ["b"] * 3})
    assert len(baseline("smote", task=TableTask(frame, target="y"), n_rows=50)) == 50
    assert len(baseline("smote", task=TableTask(frame, target="x"), n_rows=50)) == 50


@pytest.mark.parametrize("columns", [["age", "wage", "rich"], ["town", "rich"], ["age", "wage", "town", "rich"]])
def test_smote_keeps_missing_numbers_and_writes_categories_that_exist(columns: list[str], real: pd.DataFrame) -> None:
    frame = real[columns].copy()
    frame.loc[::4, [name for name in columns if name in ("town", "wage")]] = None
    made = baseline("smote", task=TableTask(frame, target="rich"), n_rows=200)
    if "wage" in columns:
        assert made["wage"].isna().mean() == pytest.approx(frame["wage"].isna().mean(), abs=0.1)
    assert set(made.get("town", pd.Series()).dropna()) <= {"Ath", "Huy"}


def test_smote_without_its_package_says_how_to_install_it(task: TableTask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imblearn.over_sampling", None)
    with pytest.raises(SettingsError, match=r"pip install 'tagal-dspy\[peers\]'"):
        baseline("smote", task=task, n_rows=20)


def test_cart_keeps_the_relations_between_columns(task: TableTask) -> None:
    trends = [
        quality(real=task.validation, synthetic=baseline(name, task=task, n_rows=200), schema=task.schema).trends
        for name in ("cart", "marginals")
    ]
    assert trends[0] > trends[1] + 0.02


@pytest.mark.parametrize("more", ["checks", "selected"])
def test_checked_rows_are_new_with_plausible_labels_and_real_class_shares(more: str, task: TableTask) -> None:
    made = baseline(f"cart+{more}", task=task, n_rows=90)
    rows = task.schema.to_rows(made)
    assert len(set(rows)) == 90
    assert not set(rows) & task.real_rows
    assert LabelCurator(task).curated(rows)[1] == []
    shares = [frame[task.schema.target].value_counts(normalize=True) for frame in (task.train, made)]
    assert (shares[0] - shares[1]).abs().max() < 1 / 90


def test_checked_rows_of_a_number_to_predict_have_its_real_quartiles() -> None:
    rng = np.random.default_rng(0)
    x = rng.random(300).round(2)
    regression = TableTask(pd.DataFrame({"x": x, "y": (10 * x + rng.normal(0, 1, 300)).round(2)}), "y")
    made = baseline("cart+selected", task=regression, n_rows=40)
    cuts = [-np.inf, *regression.train["y"].quantile([0.25, 0.5, 0.75], interpolation="lower"), np.inf]
    assert pd.cut(made["y"], cuts).value_counts().between(9, 11).all()


def test_checks_that_too_few_rows_pass_are_an_error(task: TableTask) -> None:
    with pytest.raises(DataError, match="0 of 5 rows passed the checks"):
        baseline("real+checks", task=task, n_rows=5)


def test_baseline_with_an_unknown_ending_is_refused(task: TableTask) -> None:
    with pytest.raises(SettingsError, match=r"'cart\+luck' is unknown; use cart, cart\+checks or cart\+selected"):
        baseline("cart+luck", task=task, n_rows=5)


def test_gaussian_copula_keeps_relations_and_is_seeded(task: TableTask) -> None:
    first, second, other = (baseline("gaussian_copula", task=task, n_rows=200, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(other)
    trends = [
        quality(real=task.validation, synthetic=each, schema=task.schema).trends
        for each in (first, baseline("marginals", task=task, n_rows=200))
    ]
    assert trends[0] > trends[1]


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed")
@pytest.mark.parametrize("name", ["ctgan", "tvae"])
def test_without_torch_the_message_says_so(name: str, task: TableTask) -> None:
    with pytest.raises(SettingsError, match="needs torch, which is not installed"):
        baseline(name, task=task, n_rows=5)


def test_unknown_baseline_and_too_few_rows_are_refused(task: TableTask) -> None:
    with pytest.raises(SettingsError, match=f"'gan' is unknown; use {', '.join(BASELINES)}"):
        baseline("gan", task=task, n_rows=5)
    with pytest.raises(SettingsError, match="n_rows=0"):
        baseline("real", task=task, n_rows=0)
