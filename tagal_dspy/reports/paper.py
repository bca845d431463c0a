"""Rows of the TAGAL authors' tables, as published and as computed again."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path

from tagal_dspy.errors import DataError
from tagal_dspy.metrics import PaperResult
from tagal_dspy.metrics.paper import CLASSIFIERS, METRICS, REGIMES, Spread
from tagal_dspy.reports.evaluation import number
from tagal_dspy.reports.page import Page, Section, Table

_TITLES = {"roc_auc": "ROC AUC", "accuracy": "Accuracy"}


def published(path: Path, dataset: str, table: str, model: str) -> PaperResult:
    """One row of the authors' tables.

    Args:
        path: CSV with the columns `dataset, table, model, n_rows, metric, mean, std`, a line for each figure; metrics
            are named `utility-LGB-roc_auc-tstr`, `Duplicates`, `Collisions`.
        dataset, table, model: which row.

    Raises:
        DataError: the file cannot be read, or has no such row.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = [line for line in csv.DictReader(file) if _key(line) == (dataset, table, model)]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not lines:
        raise DataError(f"{path} has no row for dataset {dataset!r}, table {table!r} and model {model!r}")
    try:
        found = {line["metric"]: Spread(float(line["mean"]), float(line["std"] or 0)) for line in lines}
        n_rows = int(lines[0]["n_rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: a figure of {dataset}/{table}/{model} is missing or not a number: {error}") from error
    utility: dict[str, dict[str, dict[str, Spread]]] = {}
    for regime in REGIMES:
        for name in CLASSIFIERS:
            scores = {metric: found.get(f"utility-{name}-{metric}-{regime}") for metric in METRICS}
            utility.setdefault(regime, {})[name] = {key: each for key, each in scores.items() if each is not None}
    nothing = Spread(math.nan, math.nan)
    return PaperResult(n_rows, utility, found.get("Duplicates", nothing).mean, found.get("Collisions", nothing).mean)


def _key(line: Mapping[str, str]) -> tuple[str | None, ...]:
    return tuple(line.get(name) for name in ("dataset", "table", "model"))


def paper_table(results: Mapping[str, PaperResult], metric: str = "roc_auc") -> Table:
    """One row for each result, as the authors have it: mean ± standard deviation over the runs, duplicates, collisions.

    Args:
        results: by name, e.g. `published` and `recomputed`.
        metric: `roc_auc` or `accuracy`; both in [0, 1], higher is better.
    """
    regimes = [regime for regime in REGIMES if any(regime in each.utility for each in results.values())]
    places = [(regime, name) for regime in regimes for name in CLASSIFIERS]
    header = ["rows from", "n", *(f"{regime} {name}" for regime, name in places), "duplicates %", "collisions %"]
    rows = [
        [
            title,
            each.n_rows,
            *(_spread(each.utility.get(regime, {}).get(name, {}).get(metric)) for regime, name in places),
            *(number(value, 1) for value in (each.duplicates, each.collisions)),
        ]
        for title, each in results.items()
    ]
    return Table(f"{_TITLES[metric]} on the test rows, by regime and classifier", header, rows)


def paper_page(results: Mapping[str, PaperResult], table: str) -> Page:
    """A page with the rows of `paper_table`; `table` names the real table."""
    tables = [paper_table(results, metric) for metric in METRICS]
    lead = (
        "The protocol of the TAGAL authors (arXiv:2509.04152): 80 % of the real rows train and the rest test; "
        "synthetic rows equal to a real row are left out, and every regime trains on n rows.",
        "trtr trains on real rows, tstr on synthetic ones, combined on half of each. Figures are means ± standard "
        "deviations over the runs; only the random forest differs from run to run.",
    )
    return Page(f"{table} by the paper's protocol", lead, [Section("Utility", tables)])


def _spread(found: Spread | None) -> str:
    return "–" if found is None else f"{found.mean:.4f} ± {found.std:.4f}"
