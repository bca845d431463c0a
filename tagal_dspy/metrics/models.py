"""The models that utility and detection train, by name; made fresh and seeded for every fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Union

from tagal_dspy.errors import SettingsError

Classifier = Union[str, Any]
"""A name of `MODELS`, or any scikit-learn estimator."""

MODELS = ("LR", "RF", "HGB", "LGB", "XGB")


def make_model(model: Classifier, regression: bool, seed: int) -> Any:
    """A fresh estimator for a name of `MODELS`, or a seeded clone of the given one; raises `SettingsError`."""
    if isinstance(model, str):
        if model not in MODELS:
            raise SettingsError(f"classifier {model!r} is unknown; use {', '.join(MODELS)} or an estimator")
        return _BY_NAME[model](regression, seed)
    from sklearn.base import clone

    if not hasattr(model, "fit") or not hasattr(model, "get_params"):
        raise SettingsError(f"a classifier must be a name or a scikit-learn estimator, got {type(model).__name__}")
    fresh = clone(model)
    seeded = {name: seed for name in fresh.get_params() if name.split("__")[-1] == "random_state"}
    return fresh.set_params(**seeded)


def model_name(model: Classifier) -> str:
    """What the figures of a model are filed under."""
    return model if isinstance(model, str) else type(model).__name__


def _linear(regression: bool, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge

    return Ridge() if regression else LogisticRegression(max_iter=1000, random_state=seed)


def _forest(regression: bool, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    return (RandomForestRegressor if regression else RandomForestClassifier)(random_state=seed)


def _boosting(regression: bool, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    # 20 rows to a leaf, the default, cannot split the 30 rows of one draw at all. No early stopping: it sets rows
    # aside, and fails where a class has one.
    return kind(max_iter=50, max_leaf_nodes=15, min_samples_leaf=5, early_stopping=False, random_state=seed)


def _lightgbm(regression: bool, seed: int) -> Any:
    lightgbm = _from_paper_extra("lightgbm", "LGB")
    kind = lightgbm.LGBMRegressor if regression else lightgbm.LGBMClassifier
    return kind(random_state=seed, n_jobs=1, verbose=-1)


def _xgboost(regression: bool, seed: int) -> Any:
    xgboost = _from_paper_extra("xgboost", "XGB")
    return (xgboost.XGBRegressor if regression else xgboost.XGBClassifier)(random_state=seed, n_jobs=1)


_BY_NAME: dict[str, Callable[[bool, int], Any]] = {
    "LR": _linear,
    "RF": _forest,
    "HGB": _boosting,
    "LGB": _lightgbm,
    "XGB": _xgboost,
}


def _from_paper_extra(package: str, name: str) -> Any:
    """A package of the extra `paper`; raises `SettingsError` where it is not installed."""
    from importlib import import_module

    try:
        return import_module(package)
    except ImportError as error:
        raise SettingsError(
            f"classifier {name!r} needs {package}, which is not installed; install tagal-dspy[paper]"
        ) from error
