"""Reports: a run and its scores, written for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table.

    >>> print(markdown_table(["rows", "AUC"], [[100, 0.951]]))
    | rows | AUC |
    | --- | --- |
    | 100 | 0.951 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def markdown_report(prediction: Any, scores: Mapping[str, float] | None = None) -> str:
    """What a run brought: rows, draws, rejects by reason, tokens by model, and scores where given.

    Args:
        prediction: what a program returned.
        scores: by name, each as it shall stand in the report.
    """
    reasons = Counter(reject.reason for reject in prediction.rejects)
    parts = [
        "# Synthetic table",
        f"{len(prediction.table)} rows accepted in {prediction.n_draws} draws.",
        "## Rejected rows",
        markdown_table(["reason", "rows"], reasons.most_common()) if reasons else "None.",
        "## Language models",
        markdown_table(
            ["model", "calls", "prompt tokens", "completion tokens"],
            [[name, *used.values()] for name, used in prediction.usage.items()],
        ),
    ]
    if scores:
        parts += [
            "## Scores",
            markdown_table(["score", "value"], [[name, f"{value:.3f}"] for name, value in scores.items()]),
        ]
    return "\n\n".join(parts) + "\n"
