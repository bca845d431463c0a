"""`tagal evaluate` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scripts import shop_frame

from tagal_dspy.cli.terminal import Terminal


@pytest.fixture
def files(tmp_path: Path) -> list[object]:
    """The options that name three tables."""
    options: list[object] = ["--target", "buys"]
    for seed, name in enumerate(("real", "synthetic", "holdout")):
        shop_frame(90, seed).to_csv(tmp_path / f"{name}.csv", index=False)
        options += [f"--{name}", tmp_path / f"{name}.csv"]
    return options


def test_terminal_shows_score_floor_ceiling_and_baselines(tagal: Any, files: list[object]) -> None:
    ran = tagal("evaluate", *files, "--baselines", "marginals, bootstrap_noise")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Score ")
    assert all(each in ran.out for each in ("floor", "ceiling", "marginals", "bootstrap_noise", "TSTR", "novelty"))


def test_tables_of_further_seeds_give_the_mean_score_and_its_interval(
    tagal: Any, files: list[object], tmp_path: Path
) -> None:
    more: list[object] = []
    for seed in (7, 8):
        shop_frame(90, seed).to_csv(tmp_path / f"{seed}.csv", index=False)
        more += ["--synthetic", tmp_path / f"{seed}.csv"]
    assert "Over 3 tables of this generator the score is" in " ".join(tagal("evaluate", *files, *more).out.split())
    values = json.loads(tagal("evaluate", *files, *more, "--json").out)
    scores = [values["score"]["value"], *(each["value"] for each in values["replicates"])]
    assert len(set(scores)) == 3
    mean = values["mean_score"]
    assert mean["value"] == pytest.approx(np.mean(scores))
    # Student's t with two degrees of freedom.
    assert mean["high"] - mean["value"] == pytest.approx(4.3027 * np.std(scores, ddof=1) / 3**0.5, rel=1e-4)
    assert json.loads(tagal("evaluate", *files, "--json").out)["mean_score"] is None


def test_tables_of_different_lengths_are_refused(tagal: Any, files: list[object], tmp_path: Path) -> None:
    shop_frame(60, 1).to_csv(tmp_path / "short.csv", index=False)
    ran = tagal("evaluate", *files, "--synthetic", tmp_path / "short.csv")
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert "tables of 60, 90 rows; all must have as many" in ran.err


def test_table_without_signal_is_given_no_score_but_what_would_be_needed(tagal: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files: list[object] = ["--target", "y"]
    for name, n_rows in (("real", 200), ("synthetic", 40)):
        frame = pd.DataFrame({"x": rng.normal(size=n_rows).round(2), "y": rng.choice(["a", "b"], n_rows)})
        frame.to_csv(tmp_path / f"{name}.csv", index=False)
        files += [f"--{name}", tmp_path / f"{name}.csv"]
    ran = tagal("evaluate", *files)
    assert "cannot be told apart" in ran.out
    assert "95 % interval" not in " ".join(ran.out.split()).split("synthetic rows were compared")[0]


def test_what_is_measured_is_shown_on_a_terminal(
    tagal: Any, files: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("tagal_dspy.cli.terminal.terminal", Terminal(stderr=True, force_terminal=True))
    assert "floor and ceiling, table 1" in tagal("evaluate", *files).err


def test_json_is_all_that_is_printed_and_reports_are_written_beside_it(
    tagal: Any, files: list[object], tmp_path: Path
) -> None:
    outs = {name: tmp_path / f"report.{name}" for name in ("html", "markdown", "latex")}
    outs["html"].write_text("precious")
    asked = [*files, "--json", *(each for name, path in outs.items() for each in (f"--{name}", path))]
    ran = tagal("evaluate", *asked)
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert "--force" in ran.err
    assert outs["html"].read_text() == "precious"

    values = json.loads(tagal("evaluate", *asked, "--force").out)
    assert (values["protocol"], values["table"], values["target"]) == ("default", "real", "buys")
    counts = {"synthetic": 90, "unreadable": 0, "measured": 90, "train": 90, "holdout": 90, "held_out": False}
    assert values["rows"] == counts
    starts = [path.read_text(encoding="utf-8")[:13] for path in outs.values()]
    assert starts == ["<!doctype htm", "# Synthetic t", "\\begin{table}"]


def test_table_of_another_generator_is_judged_and_the_report_says_how_it_was_read(
    tagal: Any, files: list[object], tmp_path: Path
) -> None:
    table = pd.read_csv(tmp_path / "synthetic.csv", dtype=str)
    table.loc[3, "age"] = "<i>unknown</i>"
    table.loc[3, "buys"] = "no"
    n_yes = int((table["buys"] == "yes").sum())
    table["buys"] = table["buys"].replace("yes", " Yes")
    table.to_csv(tmp_path / "synthetic.csv")  # with a column of row numbers
    ran = tagal("evaluate", *files, "--html", tmp_path / "report.html")
    assert ran.code == 0, ran.err
    lines = " ".join(ran.out.split())
    assert "1 of 90 synthetic rows hold a cell that cannot be read" in lines
    assert "1 of 'age' (wrong_type, e.g. '<i>unknown</i>')" in lines
    assert f"({n_yes} cells): ' Yes' as 'yes' in 'buys' ({n_yes})." in lines
    assert "Columns that only the synthetic table has were ignored: 'column 1'." in lines
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "&lt;i&gt;unknown" in page
    assert "count as the label meant" in page
    values = json.loads(tagal("evaluate", *files, "--json").out)
    cell = {"column": "age", "reason": "wrong_type", "n_cells": 1, "example": "<i>unknown</i>"}
    assert values["unreadable"] == [cell]
    assert values["respelled"] == [{"column": "buys", "written": " Yes", "label": "yes", "n_cells": n_yes}]
    assert values["ignored"] == ["column 1"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"buys": "perhaps"}, "no row has a usable target: 'buys' holds 'perhaps'; expected 'no', 'yes'"),
        ({"age": "old"}, "0 of 90 rows can be read; at least 2 are needed: unreadable cells: 90 of 'age'"),
    ],
)
def test_table_without_a_usable_row_is_refused_in_one_line(
    tagal: Any, files: list[object], tmp_path: Path, change: dict[str, str], message: str
) -> None:
    pd.read_csv(tmp_path / "synthetic.csv").assign(**change).to_csv(tmp_path / "synthetic.csv", index=False)
    ran = tagal("evaluate", *files)
    assert (ran.code, len(ran.err.splitlines())) == (2, 1)
    assert message in ran.err


def test_table_with_no_column_of_the_real_one_is_refused_in_one_line(
    tagal: Any, files: list[object], tmp_path: Path
) -> None:
    pd.DataFrame({"a": range(9)}).to_csv(tmp_path / "synthetic.csv", index=False)
    ran = tagal("evaluate", *files)
    expected = "tagal: synthetic: none of the columns 'age', 'income', 'city', 'buys' is there"
    assert (ran.code, ran.err.splitlines()) == (2, [expected])


def test_paper_protocol_names_its_regimes_and_classifiers(tagal: Any, tmp_path: Path) -> None:
    pytest.importorskip("lightgbm", reason="the extra `paper` is not installed")
    shop_frame(120, 0).to_csv(tmp_path / "real.csv", index=False)
    shop_frame(60, 1).to_csv(tmp_path / "synthetic.csv", index=False)
    asked = ["--real", tmp_path / "real.csv", "--synthetic", tmp_path / "synthetic.csv", "--target", "buys"]
    values = json.loads(tagal("evaluate", *asked, "--protocol", "paper", "--json").out)
    assert values["protocol"] == "paper"
    assert list(values["utility"]) == ["trtr", "tstr", "combined"]
    assert all(list(each) == ["LGB", "RF", "XGB"] for each in values["utility"].values())
    assert values["utility"]["tstr"]["LGB"]["roc_auc"].keys() == {"mean", "std"}
    shown = tagal("evaluate", *asked, "--protocol", "paper", "--html", tmp_path / "paper.html")
    assert "tstr LGB" in shown.out
    assert "combined XGB" in (tmp_path / "paper.html").read_text(encoding="utf-8")


def test_every_problem_of_the_tables_is_a_line(tagal: Any, files: list[object], tmp_path: Path) -> None:
    pd.read_csv(tmp_path / "synthetic.csv").drop(columns="buys").head(1).to_csv(tmp_path / "synthetic.csv", index=False)
    pd.read_csv(tmp_path / "holdout.csv").assign(age="old").to_csv(tmp_path / "holdout.csv", index=False)
    ran = tagal("evaluate", *files)
    assert ran.code == 2
    assert ran.err.splitlines() == [
        "tagal: synthetic: the target 'buys' is missing",
        "tagal: synthetic: 1 rows; at least 2 are needed",
        "tagal: holdout: column 'age' holds 'old' and 89 more that are not finite numbers",
    ]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--protocol", "magic"], "--protocol 'magic' is unknown"),
        (["--protocol", "paper"], "leave out --holdout"),
        (["--baselines", "magic"], "baseline 'magic' is unknown; use real, real_curated"),
        (["--html", "nowhere/a.html"], "folder nowhere does not exist"),
        (["--real", "missing.csv"], "missing.csv does not exist"),
    ],
)
def test_bad_options_are_one_line(tagal: Any, files: list[object], more: list[str], message: str) -> None:
    ran = tagal("evaluate", *files, *more)
    assert (ran.code, len(ran.problem)) == (2, 1)
    assert message in ran.err
