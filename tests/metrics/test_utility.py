from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.metrics import Learning, Utility, combined, scoring, trtr, tstr
from tagal_dspy.metrics.models import make_model
from tagal_dspy.schema import TableSchema

FAST = Learning(classifiers=("LR",), seeds=(0,))


def test_fresh_rows_of_the_same_kind_are_worth_as_much_as_real_ones(
    real: pd.DataFrame, fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    found = tstr(synthetic=fresh, holdout=holdout, schema=schema)
    assert list(found.by_classifier) == ["LR", "RF", "HGB"]
    assert found.value == pytest.approx(np.mean(list(found.by_classifier.values())))
    assert abs(found.value - trtr(real=real, holdout=holdout, schema=schema).value) < 0.05
    assert found.value > 0.85


def test_row_order_changes_nothing_to_the_last_bit(
    fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    learning = Learning(n_bootstrap=20)
    first = tstr(synthetic=fresh, holdout=holdout, schema=schema, learning=learning)
    mixed = [frame.sample(frac=1, random_state=7) for frame in (fresh, holdout)]
    second = tstr(synthetic=mixed[0], holdout=mixed[1], schema=schema, learning=learning)
    assert first == second
    assert first.draws.tolist() == second.draws.tolist()


@pytest.mark.parametrize(
    ("metric", "floor"),
    [("roc_auc", 0.5), ("f1", 0.0), ("balanced_accuracy", 0.5), ("accuracy", 0.5), ("log_loss", np.log(2))],
)
def test_one_class_scores_the_floor_with_a_reason(
    metric: str, floor: float, fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    found = tstr(synthetic=fresh.assign(rich="no"), holdout=holdout, schema=schema, learning=Learning(metric=metric))
    assert found.value == pytest.approx(floor)
    assert found.reason == "the rows to train on have one class only, 'no'"


def test_classes_that_do_not_exist_are_left_out(
    fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    found = tstr(synthetic=fresh.assign(rich="maybe"), holdout=holdout, schema=schema)
    assert found.reason == "0 rows to train on have a usable target; at least 2 are needed"


def test_missing_values_and_unseen_categories_are_no_error(
    fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    odd = fresh.assign(job="astronaut", rich=fresh["rich"].where(fresh.index > 5))
    assert tstr(synthetic=odd, holdout=holdout, schema=schema).value > 0.8


@pytest.mark.parametrize(
    ("name", "judge"),
    [
        ("roc_auc", lambda truth, p, w: sk.roc_auc_score(truth, p, multi_class="ovr", sample_weight=w)),
        ("accuracy", lambda truth, p, w: sk.accuracy_score(truth, p.argmax(1), sample_weight=w)),
        ("balanced_accuracy", lambda truth, p, w: sk.balanced_accuracy_score(truth, p.argmax(1), sample_weight=w)),
        ("f1", lambda truth, p, w: sk.f1_score(truth, p.argmax(1), average="macro", sample_weight=w)),
        ("log_loss", lambda truth, p, w: sk.log_loss(truth, p, sample_weight=w)),
    ],
)
def test_weighted_scores_are_those_of_scikit_learn(name: str, judge) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 200).astype(float)
    predicted = np.round(rng.dirichlet(np.ones(3), 200), 1) + 0.1
    predicted /= predicted.sum(axis=1, keepdims=True)
    weights = rng.integers(1, 4, (4, 200)).astype(float)
    found = scoring.metric(name, regression=False).score(truth, predicted, weights)
    np.testing.assert_allclose(found, [judge(truth, predicted, each) for each in weights])


def test_binary_roc_auc_is_that_of_scikit_learn_with_ties() -> None:
    rng = np.random.default_rng(1)
    truth, chance = rng.integers(0, 2, 300).astype(float), np.round(rng.random(300), 1)
    found = scoring.roc_auc(truth, np.column_stack([1 - chance, chance]), np.ones((1, 300)))
    assert found[0] == pytest.approx(sk.roc_auc_score(truth, chance))


def test_regression_is_scored_by_explained_variance_and_by_ranks() -> None:
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"x": rng.random(200), "c": rng.choice(["a", "b"], 200)})
    frame["y"] = frame["x"] ** 3 + rng.normal(0, 0.01, 200)
    schema = TableSchema.infer(frame, target="y")
    assert schema.problem == "regression"
    for metric in ("r2", "rank_correlation"):
        found = tstr(
            synthetic=frame.head(100), holdout=frame.tail(100), schema=schema, learning=Learning(metric=metric)
        )
        assert 0.9 < found.value <= 1
    constant = tstr(synthetic=frame.head(100).assign(y=0.5), holdout=frame.tail(100), schema=schema)
    assert constant.value <= 0


def test_three_classes_are_scored_one_against_the_rest() -> None:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({"x": rng.random(300)})
    frame["y"] = pd.cut(frame["x"], [-1, 0.3, 0.6, 2], labels=["low", "mid", "high"]).astype(str)
    schema = TableSchema.infer(frame, target="y")
    both = frame.head(150)
    whole = tstr(synthetic=both, holdout=frame.tail(150), schema=schema)
    partial = tstr(synthetic=both[both["y"] != "mid"], holdout=frame.tail(150), schema=schema)
    assert 0.5 < partial.value < whole.value <= 1


def test_estimators_are_cloned_and_seeded_through_pipelines() -> None:
    given = make_pipeline(StandardScaler(), DecisionTreeClassifier())
    made = make_model(given, False, 9)
    assert made is not given
    assert made.get_params()["decisiontreeclassifier__random_state"] == 9
    assert given.get_params()["decisiontreeclassifier__random_state"] is None


def test_estimator_without_probabilities_is_scored_by_its_choices(
    fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    learning = Learning(metric="accuracy", classifiers=[SGDClassifier()])
    found = tstr(synthetic=fresh, holdout=holdout, schema=schema, learning=learning)
    assert list(found.by_classifier) == ["SGDClassifier"]
    assert found.value > 0.7


@pytest.mark.parametrize("name", ["LGB", "XGB"])
def test_missing_package_of_the_paper_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(SettingsError, match=r"is not installed; install tagal-dspy\[paper\]"):
        make_model(name, False, 0)


@pytest.mark.parametrize("learning", [Learning(metric="auc"), Learning(classifiers=["SVM"]), Learning(metric="r2")])
def test_unknown_names_are_refused(
    learning: Learning, fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    with pytest.raises(SettingsError, match=r"unknown|not one for"):
        tstr(synthetic=fresh, holdout=holdout, schema=schema, learning=learning)


def test_holdout_of_one_class_is_refused(fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema) -> None:
    with pytest.raises(DataError, match="holdout: the target has fewer than two"):
        tstr(synthetic=fresh, holdout=holdout.assign(rich="no"), schema=schema)


def test_mixes_go_from_all_real_to_all_synthetic(
    real: pd.DataFrame, fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema
) -> None:
    useless = fresh.assign(rich=fresh["rich"].sample(frac=1, random_state=0).to_numpy())
    found = combined(real=real, synthetic=useless, holdout=holdout, schema=schema, mixes=(0.0, 0.5, 1.0), learning=FAST)
    assert found[0.0].value > found[1.0].value
    assert found[1.0] == tstr(synthetic=useless, holdout=holdout, schema=schema, learning=FAST)


def guessed(holdout: pd.DataFrame, schema: TableSchema, *seeds: int) -> Utility:
    """What guesses are worth, which depend on the seed of the classifier and on nothing that was learned."""
    guesses = DummyClassifier(strategy="stratified")
    learning = Learning("accuracy", [guesses], seeds=seeds, n_bootstrap=20)
    return tstr(synthetic=holdout, holdout=holdout, schema=schema, learning=learning)


def test_value_is_the_mean_over_the_classifier_seeds(holdout: pd.DataFrame, schema: TableSchema) -> None:
    both, first, second = (guessed(holdout, schema, *seeds) for seeds in ((0, 1), (0,), (1,)))
    assert first.value != second.value
    assert both.value == pytest.approx((first.value + second.value) / 2)


def test_resamples_draw_one_of_the_classifier_seeds_each(holdout: pd.DataFrame, schema: TableSchema) -> None:
    both, first, second = (guessed(holdout, schema, *seeds).draws for seeds in ((0, 1), (0,), (1,)))
    of_first, of_second = both == first, both == second
    assert (of_first | of_second).all()
    assert not of_first.all()
    assert not of_second.all()


def test_resamples_spread_round_the_value(fresh: pd.DataFrame, holdout: pd.DataFrame, schema: TableSchema) -> None:
    found = tstr(
        synthetic=fresh, holdout=holdout, schema=schema, learning=Learning(classifiers=("LR",), n_bootstrap=200)
    )
    assert abs(found.draws.mean() - found.value) < 0.02
    assert 0.005 < found.draws.std() < 0.1
