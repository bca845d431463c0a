from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import paper_protocol
from tagal_dspy.reports import latex, markdown, paper_page, paper_table, published


def test_published_row_stands_beside_the_recomputed_one(shared_data: Path) -> None:
    pytest.importorskip("lightgbm", reason="the extra `paper` is not installed")
    real = pd.read_csv(shared_data / "thyroid.csv")
    row = published(shared_data / "tagal_published_results.csv", "thyroid", "competitors_comparison", "ctgan")
    again = paper_protocol(real=real, target="Recurred", n_rows=row.n_rows)
    table = paper_table({"published": row, "recomputed": again})
    lines = [dict(zip(table.header, line, strict=True)) for line in table.rows]
    assert [line["rows from"] for line in lines] == ["published", "recomputed"]
    assert lines[0]["trtr LGB"] == lines[1]["trtr LGB"] == "0.9736 ± 0.0000"
    assert lines[0]["tstr LGB"] != "–"
    assert lines[1]["tstr LGB"] == "–"
    page = paper_page({"published": row, "recomputed": again}, "thyroid")
    assert "| published | 306 | 0.9736 ± 0.0000 |" in markdown(page)
    assert "published & 306 & 0.9736 $\\pm$ 0.0000" in latex(page)


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    path = tmp_path / "published.csv"
    path.write_text(
        "dataset,table,model,n_rows,metric,mean,std\n"
        "adult,t,m,10,utility-LGB-roc_auc-tstr,0.5,0\nadult,t,m,10,Duplicates,3,\n"
        "adult,t,bad,10,Duplicates,many,\n"
    )
    return path


def test_figures_that_were_not_published_are_dashes(figures: Path) -> None:
    table = paper_table({"published": published(figures, "adult", "t", "m")}, "accuracy")
    assert set(table.rows[0]) == {"published", 10, "–", "3.0"}


@pytest.mark.parametrize(
    ("model", "message"),
    [("other", "has no row for dataset 'adult', table 't' and model 'other'"), ("bad", "not a number")],
)
def test_row_that_is_not_there_or_no_number_is_told(figures: Path, model: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        published(figures, "adult", "t", model)
    with pytest.raises(DataError, match="cannot be read"):
        published(figures.with_name("missing.csv"), "adult", "t", model)
