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


def coded(n_rows: int, seed: int) -> pd.DataFrame:
    """27 columns, mostly 0 and 1, in dtypes that have a missing value of their own."""
    rng = np.random.default_rng(seed)
    flags = pd.DataFrame(rng.integers(0, 2, (n_rows, 23)), columns=[f"flag{i}" for i in range(23)])
    gaps = rng.random((n_rows, 4)) < 0.1
    frame = flags.assign(
        count=pd.array(rng.integers(0, 90, n_rows), dtype="Int64"),
        truth=pd.array(rng.random(n_rows) < 0.5, dtype="boolean"),
        level=rng.normal(size=n_rows),
    )
    ill = frame["level"] + frame["flag0"] + rng.normal(0, 0.3, n_rows) > 1
    for place, name in enumerate(("count", "truth", "level", "flag1")):
        frame[name] = frame[name].mask(gaps[:, place])
    return frame.assign(ill=np.where(ill, 1, 0))


def test_27_columns_of_zeros_and_ones_with_missing_ones_are_carried_in_every_regime() -> None:
    real, made = coded(500, 0), coded(300, 1)
    assert real.shape[1] == 27
    found = paper_protocol(real=real, target="ill", synthetic=made, n_rows=200)
    for regime in found.utility.values():
        assert all(0.8 < scores["roc_auc"][0] <= 1 for scores in regime.values())


def test_synthetic_table_read_back_from_a_file_gives_the_same_figures(tmp_path: Path) -> None:
    real, made = coded(500, 0), coded(300, 1)
    made.to_csv(tmp_path / "made.csv", index=False)
    again = pd.read_csv(tmp_path / "made.csv")
    results = [
        paper_protocol(real=real, target="ill", synthetic=each, n_rows=200, classifiers=["LGB"])
        for each in (made, again)
    ]
    assert results[0] == results[1]


def test_categories_that_look_like_numbers_in_the_synthetic_rows_alone_stay_categories() -> None:
    rng = np.random.default_rng(0)
    real = pd.DataFrame({"grade": rng.choice(["0", "1", "?"], 300), "x": rng.random(300)})
    real["ill"] = np.where((real["grade"] == "1") ^ (rng.random(300) < 0.1), "yes", "no")
    made = real[real["grade"] != "?"].assign(x=rng.random((real["grade"] != "?").sum()))
    found = paper_protocol(
        real=real, target="ill", synthetic=made.assign(grade=made["grade"].astype(int)), classifiers=["LGB"]
    )
    assert found.utility["tstr"]["LGB"]["roc_auc"][0] > 0.7


def test_table_of_numbers_alone_and_one_of_categories_alone_are_carried() -> None:
    rng = np.random.default_rng(0)
    numbers = pd.DataFrame(rng.normal(size=(300, 2)), columns=["a", "b"])
    ill = np.where(numbers["a"] > 0, "yes", "no")
    for frame in (numbers, numbers.gt(0).replace({True: "up", False: "down"})):
        found = paper_protocol(real=frame.assign(ill=ill), target="ill", classifiers=["LGB"])
        assert found.utility["trtr"]["LGB"]["roc_auc"][0] > 0.9


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
