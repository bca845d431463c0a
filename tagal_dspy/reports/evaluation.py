"""The report of `evaluate`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from tagal_dspy.metrics import Nearness, Rate, TableReport
from tagal_dspy.metrics.calibration import Score
from tagal_dspy.metrics.judging import MAX_LISTED, told
from tagal_dspy.metrics.membership import Attack, Membership
from tagal_dspy.metrics.privacy import excess
from tagal_dspy.metrics.report import Scored
from tagal_dspy.reports.charts import bars_chart, heat_map, scores_chart
from tagal_dspy.reports.page import Figure, Page, Part, Section, Table

MAX_PLOTS = 40
"""Columns that are drawn, the least similar ones; the table holds all."""

MAX_PAIRS = 10
"""Pairs of columns that are listed, the least well kept."""

MAX_CELLS = 20
"""Columns of a heat map, those whose relations differ most."""

_REGIMES = {
    "tstr": "synthetic rows alone (TSTR)",
    "trtr": "as many real rows (TRTR)",
    "combined": "half real, half synthetic (combined)",
}


def evaluation_page(report: TableReport, run: Sequence[Section] = ()) -> Page:
    """The report of a table.

    Args:
        report: what was measured.
        run: `run_sections` of the run that made the table, where it is known.
    """
    sections = [
        Section("Score", [*score_tables(report), *_score_figure(report)]),
        Section("Columns", [*_column_table(report), *_column_figures(report)]),
        Section("Pairs of columns", [*_pair_table(report), *_heat_maps(report)]),
        Section("Neighbourhoods, diversity and copying", list(near_tables(report))),
        *run,
        Section("Limits", list(_limits(report))),
    ]
    return Page(f"Synthetic table: {report.table}", list(lead(report)), sections)


def lead(report: TableReport) -> Iterator[str]:
    """The score with floor, ceiling and interval, in sentences."""
    score, rows = report.score, report.rows
    value, interval = _ends(score)
    vague = [name for name in ("utility", "fidelity") if name in score.parts and not score.parts[name].is_readable]
    if vague:
        yield (
            f"The score {value} means nothing: by {' and '.join(vague)}, as many real rows cannot be told apart from "
            "independent columns."
        )
    else:
        yield (
            f"Score {value}, interval {interval}: 0 (the floor) is a table of independent columns, 1 (the ceiling) as "
            "many real rows."
        )
        yield from _over_tables(report)
    yield (
        f"It is the mean of {' and '.join(score.parts)}, less the share of invalid cells "
        f"({_percent(1 - score.objectives['validity'])}) and of copies that real rows would not have "
        f"({_percent(1 - score.objectives['collisions'])})."
    )
    for name, said in (
        ("utility", f"Models trained on it reach {_metric(report)}"),
        ("fidelity", "Its similarity to real rows is"),
    ):
        if name in score.parts:
            part = score.parts[name]
            raw, floor, ceiling = map(number, (part.raw, part.floor, part.ceiling))
            if not part.is_readable:
                yield f"{said} {raw}; the floor {floor} and the ceiling {ceiling} cannot be told apart{_needed(part)}."
                continue
            yield (
                f"{said} {raw}; the floor is {floor}, the ceiling {ceiling}. Between them that is "
                f"{number(part.calibrated, 2)} (95 % interval {number(part.low, 2)} to {number(part.high, 2)})."
            )
    if report.untrained:
        yield f"No model could be trained: {report.untrained}."
    yield (
        f"{rows.synthetic - rows.unreadable} synthetic rows were compared with {rows.holdout} real rows held out, and "
        f"with the {rows.train} other real rows for copies."
    )
    yield from _copying(report)
    yield from _as_read(report)


def _over_tables(report: TableReport) -> Iterator[str]:
    mean, n_tables = report.mean_score, 1 + len(report.replicates)
    if mean is not None:
        ends = f"{number(mean.low, 2)} to {number(mean.high, 2)}"
        yield (
            f"Over {n_tables} tables of this generator the score is {number(mean.value, 2)} on average (95 % interval "
            f"{ends}). All other figures are of the first table."
        )


def _copying(report: TableReport) -> Iterator[str]:
    """What there is of copying, beyond what real rows show of each other."""
    near, found = report.privacy, report.membership
    if near is not None and near.holdout is not None and near.train.copies > 0:
        real = report.diversity.collisions.real
        yield (
            f"{_percent(near.train.copies)} of the synthetic rows are copies of training rows (of real rows, "
            f"{_percent(real)} equal another one)."
        )
    if found is None:
        return
    share, by_chance = found.within_one_cell.value, found.within_one_cell.real
    if excess(share, by_chance, report.rows.measured) > 0:
        yield (
            f"{_percent(share)} of the synthetic rows differ from a training row in one cell at most (held-out rows: "
            f"{_percent(by_chance)})."
        )
    for name, attack in (("shown in prompts", found.shown), ("of the training table", found.train)):
        if attack is not None and attack.low > 0.5:
            yield (
                f"Whoever has this table can tell real rows {name} from others better than by chance: AUC "
                f"{number(attack.auc)} (95 % interval {_interval(attack)})."
            )


def _needed(part: Score) -> str:
    factor = part.factor_needed
    if factor is None:
        return ": real rows are hardly better than independent columns"
    return f": about {math.ceil(factor)} times as many synthetic and test rows would be needed"


def _as_read(report: TableReport) -> Iterator[str]:
    """What of the synthetic table was left out or taken for something else, a line each."""
    if report.unreadable:
        yield (
            f"{report.rows.unreadable} of {report.rows.synthetic} synthetic rows hold a cell that cannot be read; such "
            f"rows count as invalid and in nothing else; {told(report.unreadable)}."
        )
    if report.respelled:
        n_cells = sum(each.n_cells for each in report.respelled)
        listed = [
            f"{each.written!r} as {each.label!r} in {each.column!r} ({each.n_cells})" for each in report.respelled
        ]
        more = f" and {len(listed) - MAX_LISTED} more" if len(listed) > MAX_LISTED else ""
        yield (
            f"Labels spelled otherwise than in the real table count as the label meant ({n_cells} cells): "
            f"{', '.join(listed[:MAX_LISTED])}{more}."
        )
    if report.ignored:
        yield f"Columns that only the synthetic table has were ignored: {', '.join(map(repr, report.ignored))}."


def score_tables(report: TableReport) -> Iterator[Table]:
    """The score beside floor, ceiling and baselines, its penalties, and utility by regime and classifier."""
    ours, scored = report.score, _scored(report)
    parts = [name for name in ("utility", "fidelity") if name in ours.parts]
    rows = [[name, *_ends(each), *(number(each.parts[part].raw) for part in parts)] for name, each in scored.items()]
    for name, value, end in (("floor: independent columns", 0, "floor"), ("ceiling: as many real rows", 1, "ceiling")):
        rows.append([name, number(value, 2), "", *(number(getattr(ours.parts[part], end)) for part in parts)])
    yield Table("Score, and its parts as measured", ["table", "score", "interval", *parts], rows)
    others = {"validity": "validity", "collisions": "no collisions", "diversity": "diversity", "privacy": "privacy"}
    rows = [[name, *(number(each.objectives[key], 2) for key in others)] for name, each in scored.items()]
    yield Table("Other objectives (1 is best)", ["table", *others.values()], rows)
    if report.utility:
        classifiers = list(report.utility["trtr"])
        regimes = [
            [_REGIMES[name], *(number(each.get(classifier)) for classifier in classifiers)]
            for name, each in report.utility.items()
        ]
        yield Table(f"Utility: {_metric(report)} on held-out real rows", ["trained on", *classifiers], regimes)


def near_tables(report: TableReport) -> Iterator[Table]:
    """Neighbourhoods, diversity, and signs of copying."""
    like = [["detection (ROC AUC)", number(report.detection), "0.5: not to be told apart"]]
    for values in (report.prdc, report.supports):
        if values is not None:
            like += [[name.replace("_", "-"), number(value), "1"] for name, value in vars(values).items()]
    yield Table("Synthetic and held-out real rows", ["measure", "value", "best"], like)
    rates: dict[str, Rate] = vars(report.diversity)
    varied = [[name.replace("_", " "), _percent(rate.value), _percent(rate.real)] for name, rate in rates.items()]
    yield Table("Diversity", ["share", "synthetic", "real"], varied)
    private = report.privacy
    if private is None:
        return
    against = {"training rows": private.train, "few-shots": private.few_shots, "held-out rows": private.holdout}
    rows = [_nearness(name, near) for name, near in against.items() if near is not None]
    yield Table("Distance to the closest real row", ["real rows", "DCR", "DCR, lowest 5 %", "NNDR", "copies"], rows)
    if private.closer_to_train is not None and private.expected is not None:
        shares = map(_percent, (private.closer_to_train, private.expected))
        closer = ["closer to training than held-out rows", *shares]
        yield Table("Nearness", ["share of rows", "synthetic", "expected"], [closer])
    if report.membership is not None:
        yield from _membership_tables(report.membership)


def _membership_tables(found: Membership) -> Iterator[Table]:
    shares = map(_percent, (found.within_one_cell.value, found.within_one_cell.real))
    near = ["within one cell of a training row", *shares]
    yield Table("Near copies", ["share of rows", "synthetic", "held-out rows"], [near])
    named = {"rows shown in prompts": found.shown, "other training rows": found.train}
    rows = [_attack(name, attack) for name, attack in named.items() if attack is not None]
    header = ["members", "AUC", "95 % interval", "found, at 1 % false alarms"]
    yield Table("Membership attack by edits (AUC 0.5 and 1 % tell nothing)", header, rows)


def _attack(name: str, attack: Attack) -> list[str]:
    found = "–" if attack.tpr is None else _percent(attack.tpr)
    return [f"{name} ({attack.n_members})", number(attack.auc), _interval(attack), found]


def _interval(attack: Attack) -> str:
    return f"{number(attack.low)} to {number(attack.high)}"


def _nearness(name: str, near: Nearness) -> list[str]:
    return [f"{name} ({near.n_rows})", number(near.dcr), number(near.dcr_low), number(near.nndr), _percent(near.copies)]


def _scored(report: TableReport) -> dict[str, Scored]:
    """All tables that have a score, by name."""
    more = {f"table {number}": each for number, each in enumerate(report.replicates, start=2)}
    return {"this table": report.score, **more, **report.baselines}


def _score_figure(report: TableReport) -> Iterator[Figure]:
    scored = _scored(report)
    table = Table("Scores", ["table", "score", "interval"], [[name, *_ends(each)] for name, each in scored.items()])
    alt = "; ".join(f"{name} {value}, interval {interval}" for name, value, interval in map(list, table.rows))
    chart = scores_chart({name: (each.value, each.low, each.high) for name, each in scored.items()})
    yield Figure("Score (dot) and interval (line) between floor 0 and ceiling 1", f"Scores: {alt}.", chart, table)


def _column_table(report: TableReport) -> Iterator[Table]:
    rows = [[name, c.kind, number(c.similarity), _percent(c.validity)] for name, c in report.columns.items()]
    yield Table(
        "Similarity of each column (1 is best) and its valid cells", ["column", "kind", "similarity", "valid"], rows
    )


def _column_figures(report: TableReport) -> Iterator[Part]:
    worst = sorted(report.columns, key=lambda name: report.columns[name].similarity)[:MAX_PLOTS]
    few = f", the {MAX_PLOTS} least similar of {len(report.columns)} columns" if len(report.columns) > MAX_PLOTS else ""
    yield (
        f"Bars are real rows, lines across them synthetic rows; least similar columns first{few}. An interval of "
        "numbers, named by where it begins, reaches up to the next."
    )
    for name in worst:
        bars = report.columns[name].bars
        shares = zip(bars.labels, map(_percent, bars.real), map(_percent, bars.synthetic), strict=True)
        table = Table(f"Shares of {name}", ["value", "real", "synthetic"], [list(each) for each in shares])
        gap = max(range(len(bars.labels)), key=lambda i: abs(bars.real[i] - bars.synthetic[i]))
        alt = (
            f"Shares of the values of {name}. They differ most at '{bars.labels[gap]}': {_percent(bars.real[gap])} of "
            f"real and {_percent(bars.synthetic[gap])} of synthetic rows."
        )
        yield Figure(f"{name}: similarity {number(report.columns[name].similarity, 2)}", alt, bars_chart(bars), table)


def _pair_table(report: TableReport) -> Iterator[Part]:
    pairs = sorted(report.pairs, key=lambda pair: pair.score)[:MAX_PAIRS]
    rows = [[f"{pair.first} and {pair.second}", number(pair.real, 2), number(pair.score, 2)] for pair in pairs]
    if rows:
        caption = "Relations of the real table, the least well kept first (kept: 1 is best)"
        yield Table(caption, ["columns", "real", "kept"], rows)
    else:
        yield "No two columns are related in the real table."


def _heat_maps(report: TableReport) -> Iterator[Part]:
    names, real, made = report.associations.names, report.associations.real, report.associations.synthetic
    if len(names) < 2:
        return
    gaps = [[m - r for m, r in zip(*each, strict=True)] for each in zip(made, real, strict=True)]
    most = sorted(range(len(names)), key=lambda i: -sum(map(abs, gaps[i])))[:MAX_CELLS]
    shown = sorted(most)
    few = f" Shown are the {MAX_CELLS} of {len(names)} columns that differ most." if len(names) > MAX_CELLS else ""
    yield (
        "How strongly each two columns are related: Cramér's V of their quartiles or frequent categories, 0 to 1, "
        f"in tenths; a difference below 0 is a relation that the synthetic rows have lost.{few}"
    )
    for title, values in (("Real", real), ("Synthetic", made), ("Difference: synthetic less real", gaps)):
        chosen = [[values[i][j] for j in shown] for i in shown]
        labels = [names[i] for i in shown]
        rows = [[label, *(number(value, 2) for value in row)] for label, row in zip(labels, chosen, strict=True)]
        i, j = max(((i, j) for i in range(len(shown)) for j in range(i)), key=lambda at: abs(chosen[at[0]][at[1]]))
        alt = f"{title}: relations of columns. The greatest is {labels[i]} with {labels[j]}, {number(chosen[i][j], 2)}."
        yield Figure(title, alt, heat_map(labels, chosen), Table(f"{title}, Cramér's V", ["column", *labels], rows))


def _limits(report: TableReport) -> Iterator[str]:
    rows = report.rows
    if rows.held_out:
        yield (
            "The held-out rows are a part of the real table. Where the generator saw them, the score flatters it; give "
            "rows it did not see as the holdout."
        )
    if rows.measured + rows.unreadable < rows.synthetic:
        yield (
            f"Diversity, validity and the shares of columns are of all {rows.synthetic} synthetic rows, everything "
            f"else of a seeded sample of {rows.measured}. Real rows are all used."
        )
    yield (
        "The interval of a table covers the luck of test rows, models and of one table of this size; another run of "
        "its generator may differ more, which several tables show. Scores of tables of different sizes have different "
        "floors and ceilings."
    )
    yield (
        "Privacy figures are evidence of copying, no guarantee against attacks. Baselines of real rows copy: what they "
        "reach in utility and fidelity, they lose by collisions and privacy."
    )
    yield f"Everything random had the seed {report.seed}; equal tables and seed give an equal report."


def _metric(report: TableReport) -> str:
    return {"roc_auc": "ROC AUC", "r2": "R²"}.get(report.metric, report.metric.replace("_", " "))


def _ends(scored: Any) -> list[str]:
    return [number(scored.value, 2), f"{number(scored.low, 2)} to {number(scored.high, 2)}"]


def number(value: float | None, digits: int = 3) -> str:
    """A number to be read; a dash where there is none."""
    if value is None or value != value:
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else text.lstrip("-")


def _percent(value: float) -> str:
    return "–" if value != value else f"{value:.1%}"
