from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import dspy
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from tagal_dspy.errors import SettingsError
from tagal_dspy.metrics import Learning, TableMetric, baseline
from tagal_dspy.metrics.combined import softened
from tagal_dspy.schema import Reject
from tagal_dspy.task import TableTask

FAST = Learning(classifiers=("LR",), seeds=(0,), n_bootstrap=50)


@pytest.fixture(scope="module")
def metric() -> TableMetric:
    return TableMetric(learning=FAST)


@pytest.fixture(scope="module")
def gold(task: TableTask) -> dspy.Example:
    return dspy.Example(task=task, seed=0, n_rows=80)


def real_rows(task: TableTask) -> pd.DataFrame:
    """Rows the program never saw."""
    return task.test.head(80)


def flipped(frame: pd.DataFrame) -> pd.DataFrame:
    change = np.random.default_rng(0).random(len(frame)) < 0.35
    other = frame["rich"].map({"yes": "no", "no": "yes"})
    return frame.assign(rich=frame["rich"].where(~change, other))


def test_real_rows_beat_flipped_labels_beat_marginals(metric: TableMetric, task: TableTask) -> None:
    tables = [real_rows(task), flipped(real_rows(task)), baseline("marginals", task=task, n_rows=80, seed=9)]
    scores = [metric.evaluate(task, table).score for table in tables]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(1, abs=0.3)
    assert scores[2] == pytest.approx(0, abs=0.4)


def test_copied_training_rows_are_faithful_and_fail_in_privacy(metric: TableMetric, task: TableTask) -> None:
    found = metric.evaluate(task, task.train.head(80))
    assert found.objectives["fidelity"] > 0.6
    assert found.objectives["privacy"] == 0.0
    assert found.objectives["collisions"] == 0.0
    assert found.score < 0.3


def test_interval_of_the_score_is_that_of_its_parts_together(metric: TableMetric, task: TableTask) -> None:
    found = metric.evaluate(task, real_rows(task))
    assert found.low < found.score < found.high
    only = TableMetric({"fidelity": 1.0}, learning=FAST).evaluate(task, real_rows(task))
    lost = (1 - only.objectives["validity"]) + (1 - only.objectives["collisions"])
    assert only.high == pytest.approx(softened(only.scores["fidelity"].high) - lost)


def test_one_row_repeated_is_no_better_than_the_floor(metric: TableMetric, task: TableTask) -> None:
    collapsed = task.test.dropna().iloc[[0] * 80]
    found = metric.evaluate(task, collapsed)
    assert found.score <= 0
    assert found.utility is not None
    assert found.utility.reason.startswith("the rows to train on have one class only")


def test_row_order_and_index_change_nothing(task: TableTask) -> None:
    table = real_rows(task)
    first = TableMetric(learning=FAST).evaluate(task, table)
    second = TableMetric(learning=FAST).evaluate(task, table.sample(frac=1, random_state=4))
    assert first.score == second.score
    assert first.scores == second.scores
    assert first.objectives == second.objectives


def test_ceiling_of_all_training_rows_is_what_these_rows_score_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    small = rng.integers(0, 20, 100)
    x = 8 * 10**15 + small  # so large that the mean depends on the order of rows
    y = 8 * 10**15 + small + rng.integers(0, 5, 100)
    frame = pd.DataFrame({"x": x, "y": y, "rich": np.where(rng.random(100) < 0.5, "yes", "no")})
    task = TableTask(frame, target="rich")
    learning = Learning(classifiers=[RandomForestClassifier(5)], seeds=(0,), n_bootstrap=5)
    scores = TableMetric(learning=learning, n_replicates=2).evaluate(task, task.train).scores
    assert {name: score.raw - score.ceiling for name, score in scores.items()} == {"fidelity": 0.0, "utility": 0.0}


def test_call_returns_what_optimisers_read(metric: TableMetric, gold: dspy.Example, task: TableTask) -> None:
    found = metric(gold, dspy.Prediction(table=real_rows(task)), None, "generator.predict", None)
    assert isinstance(found, dspy.Prediction)
    assert set(found.objective_scores) == {
        "utility", "fidelity", "diversity", "privacy", "validity", "collisions"
    }  # fmt: skip
    assert all(isinstance(value, float) for value in [found.score, *found.objective_scores.values()])


@pytest.mark.parametrize("table", [None, pd.DataFrame(), "text"])
def test_unusable_table_gets_the_worst_score_and_says_why(
    table: object, metric: TableMetric, gold: dspy.Example
) -> None:
    found = metric(gold, dspy.Prediction(table=table, rejects=(Reject("unparsable", "x", "no comma"),)))
    assert found.score == -1
    assert "The table cannot be used: table:" in found.feedback
    assert "1 rows were rejected as unparsable, for example: no comma." in found.feedback


def test_prediction_without_a_table_gets_the_worst_score(metric: TableMetric, gold: dspy.Example) -> None:
    assert metric(gold, None).score == -1


def test_feedback_names_the_worst_column_and_the_lost_relation(
    metric: TableMetric, gold: dspy.Example, task: TableTask
) -> None:
    shifted = real_rows(task).assign(
        owner=True, wage=lambda rows: rows["wage"].sample(frac=1, random_state=0).to_numpy()
    )
    text = metric(gold, dspy.Prediction(table=shifted)).feedback
    assert "owner: " in text
    assert "age and wage are related in the real table" in text


def test_feedback_is_addressed_to_the_role_asked_for(metric: TableMetric, gold: dspy.Example, task: TableTask) -> None:
    pred = dspy.Prediction(table=real_rows(task))
    texts = {
        role: metric(gold, pred, None, f"self.{role}.predict").feedback
        for role in ("generator", "critic", "summarizer")
    }
    assert len(set(texts.values())) == 3
    assert "The critique should have named" in texts["critic"]
    assert "generator: " in metric(gold, pred).feedback


def test_feedback_holds_no_real_row_that_a_reject_repeats(
    metric: TableMetric, gold: dspy.Example, task: TableTask
) -> None:
    leaked = ",".join(str(cell) for cell in task.train_rows[0])
    reject = Reject("collision", leaked, "equal to a real row")
    assert leaked not in metric(gold, dspy.Prediction(table=real_rows(task), rejects=[reject])).feedback


def test_test_rows_are_out_of_reach(task: TableTask, monkeypatch: pytest.MonkeyPatch) -> None:
    other = TableTask(pd.concat([task.train, task.validation, task.test]), target="rich", split_seed=7)
    table = other.test.head(60)
    monkeypatch.delattr(other, "test")
    monkeypatch.delattr(other, "_frame")
    assert np.isfinite(TableMetric(learning=FAST).evaluate(other, table).score)


def test_equal_tables_are_measured_once_by_many_threads(task: TableTask, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    metric = TableMetric(learning=FAST)
    measure = TableMetric._evaluate
    monkeypatch.setattr(
        TableMetric,
        "_evaluate",
        lambda self, *given: (counted.append(1), measure(self, *given))[1],  # type: ignore[func-returns-value]
    )
    tables = [real_rows(task).sample(frac=1, random_state=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        scores = list(pool.map(lambda table: metric.evaluate(task, table).score, tables))
    assert len(set(scores)) == 1
    assert len(counted) == 1


def test_missing_rows_cost(metric: TableMetric, task: TableTask) -> None:
    few = real_rows(task).head(20)
    assert metric.evaluate(task, few, n_rows=80).score < metric.evaluate(task, few).score


def test_score_is_the_weighted_mean_less_the_penalties(task: TableTask) -> None:
    metric = TableMetric({"fidelity": 3, "diversity": 1}, learning=FAST)
    found = metric.evaluate(task, real_rows(task))
    parts = found.objectives
    mean = (3 * parts["fidelity"] + parts["diversity"]) / 4
    assert found.score == pytest.approx(mean - (1 - parts["validity"]) - (1 - parts["collisions"]))


def test_invalid_cells_lower_the_score(metric: TableMetric, task: TableTask) -> None:
    table = real_rows(task)
    bad = metric.evaluate(task, table.assign(job="king"))
    assert bad.objectives["validity"] == pytest.approx(5 / 6, abs=0.01)
    assert bad.score < metric.evaluate(task, table).score


def test_without_a_target_utility_is_left_out(task: TableTask) -> None:
    plain = TableTask(pd.concat([task.train, task.validation]))
    found = TableMetric(learning=FAST).evaluate(plain, task.test)
    assert "utility" not in found.objectives
    with pytest.raises(SettingsError, match="only utility has a weight"):
        TableMetric({"utility": 1}, learning=FAST).evaluate(plain, task.test)


def test_regression_and_three_classes_are_scored() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.random(200), "c": rng.choice(["a", "b", "c"], 200)})
    frame["y"] = frame["x"] + frame["c"].map({"a": 0.0, "b": 1.0, "c": 2.0}) + rng.normal(0, 0.1, 200)
    for target in ("y", "c"):
        task = TableTask(frame, target=target)
        scores = [
            TableMetric(learning=FAST).evaluate(task, table).score
            for table in (task.test, baseline("marginals", task=task, n_rows=40))
        ]
        assert scores[0] > scores[1]


def test_all_wrong_weights_are_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        TableMetric({"beauty": 0, "utility": -1})
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(SettingsError, match="no weight is greater than 0"):
        TableMetric({})


def test_copies_share_the_memory_and_pickles_leave_it_behind(metric: TableMetric, task: TableTask) -> None:
    metric.evaluate(task, real_rows(task))
    assert copy.deepcopy(metric) is metric
    assert task.train["job"].iloc[0].encode() not in pickle.dumps(metric)
    again = pickle.loads(pickle.dumps(metric))
    assert again.evaluate(task, real_rows(task)).score == metric.evaluate(task, real_rows(task)).score


def test_importing_the_metrics_loads_nothing_heavy() -> None:
    heavy = "dspy", "sklearn", "sdmetrics", "sdv", "scipy", "lightgbm"
    program = f"import sys, tagal_dspy.metrics; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_fingerprint_tells_metrics_apart_and_is_ready_for_a_file() -> None:
    same, other = TableMetric(), TableMetric({"fidelity": 1.0})
    assert json.loads(json.dumps(same.fingerprint)) == json.loads(json.dumps(TableMetric().fingerprint))
    assert same.fingerprint != other.fingerprint
