from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import paper_protocol

pytest.importorskip("lightgbm", reason="the extra `paper` is not installed")

BESIDE = Path(__file__).parents[2].parent / "shared" / "data"
DATA = Path(os.environ.get("TAGAL_DATA_DIR", BESIDE))


@pytest.mark.parametrize(
    ("name", "target", "n_rows", "published"),
    [
        ("adult", "income", 1108, 0.8874),
        ("adult", "income", 2305, 0.9093),
        ("thyroid", "Recurred", 306, 0.9736),
        ("travel", "ChurnOrNot", 147, 0.9059),
    ],
)
def test_published_trtr_figure_of_lightgbm_to_four_decimals(
    name: str, target: str, n_rows: int, published: float
) -> None:
    path = DATA / f"{name}.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there; set TAGAL_DATA_DIR to the folder with the authors' tables")
    found = paper_protocol(real=pd.read_csv(path), target=target, n_rows=n_rows, classifiers=["LGB"])
    assert round(found.utility["trtr"]["LGB"]["roc_auc"][0], 4) == published


def sick(n_rows: int, seed: int) -> pd.DataFrame:
    """Like the authors' Sick table: missing numbers, many binary columns, a column without a value."""
    rng = np.random.default_rng(seed)
    flags = {f"flag{i}": rng.choice(["t", "f"], n_rows, p=[0.1, 0.9]) for i in range(20)}
    level = rng.normal(size=n_rows)
    frame = pd.DataFrame(flags).assign(level=level, T3=rng.normal(size=n_rows), TBG=np.nan, on=rng.random(n_rows) < 0.5)
    frame.loc[rng.random(n_rows) < 0.2, ["T3", "flag0"]] = np.nan
    return frame.assign(ill=np.where(level + rng.normal(0, 0.3, n_rows) > 0.8, "sick", "negative"))


def test_missing_numbers_and_many_binary_columns_are_carried_in_every_regime() -> None:
    found = paper_protocol(real=sick(500, 0), target="ill", synthetic=sick(300, 1), n_rows=200)
    assert list(found.utility) == ["trtr", "tstr", "combined"]
    for regime in found.utility.values():
        assert list(regime) == ["LGB", "RF", "XGB"]
        assert all(0.7 < scores["roc_auc"][0] <= 1 for scores in regime.values())


def test_rows_equal_to_a_real_row_are_dropped_first_and_counted() -> None:
    real = sick(500, 0)
    both = pd.concat([real.head(100), sick(100, 1), sick(100, 1)])
    found = paper_protocol(real=real, target="ill", synthetic=both, classifiers=["LGB"])
    assert found.n_rows == 200
    assert found.collisions == pytest.approx(100 / 3)
    assert found.duplicates == pytest.approx(100 / 3)


def test_one_class_is_half_an_auc() -> None:
    found = paper_protocol(real=sick(300, 0), target="ill", synthetic=sick(300, 1).assign(ill="sick"), n_rows=100)
    assert {scores["roc_auc"] for scores in found.utility["tstr"].values()} == {(0.5, 0.0)}


def test_all_problems_are_told_at_once() -> None:
    real = sick(300, 0)
    with pytest.raises(DataError) as caught:
        paper_protocol(real=real, target="ill", synthetic=real.drop(columns="ill").head(1), classifiers=["SVM"])
    assert str(caught.value).splitlines() == [
        "classifier 'SVM': use LGB, RF, XGB",
        "synthetic: the target 'ill' is missing",
        "synthetic: 1 rows; at least 2 are needed",
    ]
    with pytest.raises(DataError, match="n_rows=900: there are 240 rows"):
        paper_protocol(real=real, target="ill", n_rows=900)
