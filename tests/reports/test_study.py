"""The report of a study says in words what it draws, and lets nothing of the data out of its text."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tagal_dspy.reports import html, markdown, study_csv, study_page

BREAKOUT = '"></svg><img src=x onerror=alert(1)>'


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": mean - 0.1, "high": mean + 0.1, "n": 8}


@pytest.fixture
def found() -> dict[str, Any]:
    line = {"runs": 3, "feasible": True, "calls": 10.0, "tokens": 100.0, "cost": None, "seconds": 1.0}
    slices = {
        "n_shots": [{"value": n, "mean": n / 10, "low": 0.0, "high": 1.0} for n in (2, 5, 8)],
        "program": [{"value": name, "mean": 0.5, "low": 0.4, "high": 0.6} for name in ("", BREAKOUT)],
    }
    cells = [{"x": n, "y": name, "mean": 0.1 * n} for n in (2, 5) for name in ("", BREAKOUT)]
    return {
        "study": f"shop {BREAKOUT}",
        "goals": ["quality"],
        "n_trials": 3,
        "n_stopped": 1,
        "n_infeasible": 0,
        "spent": {"calls": 90.0, "tokens": 900.0, "cost": 0.0},
        "spent_again": {"calls": 30.0, "tokens": 300.0, "cost": 0.5},
        "best": {"trial": 2, "toml": "n_shots = 8", "in_study": 0.9, "expected": 0.7, "fresh": interval(0.6)}
        | {"test": interval(0.55), "calls": 10.0, "cost": None},
        "paper": {"toml": "", "fresh": interval(0.2), "test": None, "calls": 30.0, "cost": None},
        "difference": {"difference": 0.4, "low": 0.1, "high": 0.7, "p_value": 0.0078, "n_pairs": 8},
        "importances": {"n_shots": {"share": 0.8, "low": 0.5, "high": 0.9}},
        "trials": [
            {"trial": n, "quality": 0.3 * n, **line, "calls": 10.0 + n, "n_shots": 2 + 3 * n, "program": BREAKOUT}
            for n in range(3)
        ],
        "frontier": [0, 1, 2],
        "parameters": ["n_shots", "program"],
        "landscape": {"slices": slices, "contour": {"x": "n_shots", "y": "program", "cells": cells}},
    }


def test_lead_gives_the_score_on_fresh_seeds_and_says_that_the_one_in_the_study_flatters(found: dict[str, Any]) -> None:
    lead = " ".join(study_page(found).lead)
    assert "(trial 2) score 0.600 (0.500 to 0.700) on 8 seeds that no trial saw" in lead
    assert "the paper's default scores 0.200 (0.100 to 0.300) on the same seeds" in lead
    assert "difference is 0.400 (95 % interval 0.100 to 0.700, p = 0.0078)" in lead
    assert "On the test rows, looked at this once, they score 0.550" in lead
    assert "they scored 0.900, which is too good on average" in lead
    assert "running the finalists again took 30 calls, 300 tokens and 0.5 of money" in lead


def test_page_draws_history_importance_slices_contour_and_frontier(found: dict[str, Any]) -> None:
    text = html(study_page(found))
    assert text.count("<svg") == 6
    assert "Quality of each trial (dot) and the highest so far (line)" in text
    assert "n_shots 80 %, from 50 % to 90 %" in text
    assert "trial 0: 10 calls, quality 0.000" in text


def test_nothing_of_the_data_becomes_markup(found: dict[str, Any]) -> None:
    assert "<img" not in html(study_page(found))
    assert "<img" not in markdown(study_page(found)).replace("\\<img", "")


def test_study_with_too_little_to_tell_says_so(found: dict[str, Any]) -> None:
    text = markdown(study_page({**found, "importances": {}, "landscape": {"slices": {}, "contour": None}}))
    assert "There are too few trials, or too like ones, to tell." in text


def test_csv_has_a_line_for_each_trial_and_a_column_for_each_parameter(found: dict[str, Any]) -> None:
    found["trials"][0].pop("n_shots")
    lines = list(csv.DictReader(io.StringIO(study_csv(found))))
    assert [line["n_shots"] for line in lines] == ["", "5", "8"]
    assert lines[2]["quality"] == "0.6"
