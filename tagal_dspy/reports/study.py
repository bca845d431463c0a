"""The report of a meta-parameter study, from the plain values that its answers are."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagal_dspy.reports.charts import svg
from tagal_dspy.reports.evaluation import number
from tagal_dspy.reports.page import Figure, Listing, Page, Part, Section, Table

MAX_LISTED = 20
"""Trials in the table of the page, the best ones; the CSV has all."""

_SIZE = {"width": 240, "height": 150}
_AXIS = {"type": "quantitative", "scale": {"zero": False}}
_LINE = {"type": "line", "color": "var(--synthetic)", "strokeWidth": 2}
_POINT = {"type": "point", "filled": True, "size": 35, "color": "var(--muted)", "opacity": 0.8}


def study_page(found: Mapping[str, Any]) -> Page:
    """The report of a study.

    Args:
        found: what `tagal_dspy.study.answers` returns.
    """
    sections = [
        Section("Best settings", list(_best(found))),
        Section("What mattered", list(_importances(found))),
        Section("Quality along each parameter", list(_slices(found))),
        Section("Quality and cost", list(_frontier(found))),
        Section("Trials", list(_trials(found))),
    ]
    return Page(f"Study: {found['study']}", list(_lead(found)), sections)


def study_csv(found: Mapping[str, Any]) -> str:
    """A line for each trial: number, mean quality, runs, what a run took, parameters."""
    names = list(dict.fromkeys(name for line in found["trials"] for name in line))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found["trials"])
    return text.getvalue()


def _lead(found: Mapping[str, Any]) -> Iterator[str]:
    best, paper, gap = found["best"], found["paper"], found["difference"]
    yield (
        f"The best settings (trial {best['trial']}) score {_interval(best['fresh'])} on {best['fresh']['n']} seeds "
        f"that no trial saw; the paper's default scores {_interval(paper['fresh'])} on the same seeds."
    )
    yield (
        f"The difference is {number(gap['difference'])} (95 % interval {number(gap['low'])} to {number(gap['high'])}, "
        f"p = {gap['p_value']:.3g})."
    )
    if best["test"]:
        yield f"On the test rows, looked at this once, they score {_interval(best['test'])}."
    yield (
        f"In the study itself they scored {number(best['in_study'])}, which is too good on average: they were chosen "
        f"for it. The model of all trials expected {number(best['expected'])}."
    )
    spent, again = found["spent"], found["spent_again"]
    yield (
        f"{found['n_trials']} trials are finished, {found['n_stopped']} of them stopped early and "
        f"{found['n_infeasible']} beyond a limit. They took {_spent(spent)}; running the finalists again took "
        f"{_spent(again)}."
    )


def _best(found: Mapping[str, Any]) -> Iterator[Part]:
    rows = []
    for name, key in (("best settings", "best"), ("the paper's default", "paper")):
        each = found[key]
        tested = _interval(each["test"]) if each["test"] else "–"
        rows.append([name, _interval(each["fresh"]), tested, f"{each['calls']:.0f}", number(each["cost"])])
    header = ["settings", "score on fresh seeds", "score on test rows", "calls a run", "cost a run"]
    yield Table("Means with their 95 % intervals", header, rows)
    yield Listing("For `tagal generate --config`", found["best"]["toml"])


def _importances(found: Mapping[str, Any]) -> Iterator[Part]:
    data = [{"label": name, **each} for name, each in found["importances"].items()]
    if not data:
        yield "There are too few trials, or too like ones, to tell."
        return
    rows = [[each["label"], *(_percent(each[end]) for end in ("share", "low", "high"))] for each in data]
    table = Table("Importance", ["parameter", "share", "low", "high"], rows)
    y = {"field": "label", "type": "nominal", "sort": None, "title": None}
    x = {"type": "quantitative", "title": "share of the differences in quality", "axis": {"format": ".0%"}}
    layers = [
        {"mark": {"type": "bar", "color": "var(--real)"}, "encoding": {"y": y, "x": {**x, "field": "share"}}},
        {
            "mark": {"type": "rule", "color": "var(--synthetic)", "strokeWidth": 3},
            "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}},
        },
    ]
    alt = "; ".join(f"{name} {share}, from {low} to {high}" for name, share, low, high in rows)
    chart = svg(data, {"layer": layers, "width": 240, "height": {"step": 20}})
    yield Figure("Importance (bar) and its 90 % range over resampled trials (line); fANOVA", f"{alt}.", chart, table)


def _slices(found: Mapping[str, Any]) -> Iterator[Part]:
    landscape = found["landscape"]
    if not landscape["slices"]:
        yield "There are too few trials to tell."
        return
    yield (
        "What the model of all trials expects, with its 95 % range, when one parameter changes and the others stay "
        "as in the best trial; dots are trials, wherever their other parameters were."
    )
    for name, line in landscape["slices"].items():
        yield _slice(name, line, [(each[name], each["quality"]) for each in found["trials"] if name in each])
    if landscape["contour"]:
        yield _contour(landscape["contour"])


def _slice(name: str, line: Sequence[Mapping[str, Any]], dots: Sequence[tuple[Any, float]]) -> Figure:
    numeric = all(isinstance(each["value"], (int, float)) for each in line)
    kind = {"type": "quantitative", "scale": {"zero": False}} if numeric else {"type": "nominal", "sort": None}
    x = {**kind, "field": "x", "title": None, "axis": {"labelAngle": 0 if numeric else -30}}
    y = {**_AXIS, "title": "quality"}
    data = [{"x": each["value"], "y": each["mean"], "low": each["low"], "high": each["high"]} for each in line]
    data += [{"x": value, "dot": quality} for value, quality in dots]
    known = [{"filter": "isValid(datum.y)"}]
    mark = {"type": "area", "opacity": 0.25, "color": "var(--synthetic)"}
    if not numeric:
        mark = {"type": "rule", "strokeWidth": 3, "color": "var(--synthetic)"}
    layers = [
        {"mark": _POINT, "transform": [{"filter": "isValid(datum.dot)"}], "encoding": {"y": {**y, "field": "dot"}}},
        {"mark": mark, "transform": known, "encoding": {"y": {**y, "field": "low"}, "y2": {"field": "high"}}},
        {
            "mark": _LINE if numeric else {**_POINT, "size": 90, "color": "var(--fg)"},
            "transform": known,
            "encoding": {"y": {**y, "field": "y"}},
        },
    ]
    rows = [[_shown(each["value"]), *(number(each[key]) for key in ("mean", "low", "high"))] for each in line]
    top = max(line, key=lambda each: each["mean"])
    alt = f"Expected quality along {name}; highest, {number(top['mean'])}, at {_shown(top['value'])}."
    chart = svg(data, {"layer": layers, "encoding": {"x": x}, **_SIZE})
    return Figure(name, alt, chart, Table(f"Expected quality along {name}", [name, "expected", "low", "high"], rows))


def _contour(found: Mapping[str, Any]) -> Figure:
    data = [{"x": _shown(each["x"]), "y": _shown(each["y"]), "value": each["mean"]} for each in found["cells"]]
    low, high = min(each["value"] for each in data), max(each["value"] for each in data)
    scale = {"domain": [low, high], "range": [0.05, 1]}
    legend = {"title": "expected quality", "orient": "right", "format": ".2f"}
    encoding = {
        "x": {"field": "x", "type": "nominal", "sort": None, "title": "across", "axis": {"labelAngle": -45}},
        "y": {"field": "y", "type": "nominal", "sort": None, "title": "up", "scale": {"reverse": True}},
        "fillOpacity": {"field": "value", "type": "quantitative", "scale": scale, "legend": legend},
    }
    chart = {"mark": {"type": "rect", "fill": "var(--heat)"}, "encoding": encoding, "width": 220, "height": 200}
    top = max(data, key=lambda each: float(each["value"]))
    caption = f"Expected quality by {found['x']} (across) and {found['y']} (up)"
    rows = [[each["x"], each["y"], number(each["value"])] for each in data]
    alt = f"{caption}: highest, {number(top['value'])}, at {top['x']} and {top['y']}."
    return Figure(caption, alt, svg(data, chart), Table(caption, [found["x"], found["y"], "expected"], rows))


def _frontier(found: Mapping[str, Any]) -> Iterator[Part]:
    best = set(found["frontier"])
    data = [
        {"x": each["calls"], "y": each["quality"], "trial": each["trial"], "best": each["trial"] in best}
        for each in found["trials"]
        if each["feasible"] and each["calls"] is not None
    ]
    encoding = {"x": {**_AXIS, "field": "x", "title": "calls a run"}, "y": {**_AXIS, "field": "y", "title": "quality"}}
    on_it = [{"filter": "datum.best"}]
    layers = [
        {"mark": _POINT},
        {"mark": {**_LINE, "interpolate": "step-after"}, "transform": on_it},
        {"mark": {**_POINT, "color": "var(--fg)", "size": 60}, "transform": on_it},
    ]
    rows = [[each["trial"], f"{each['x']:.0f}", number(each["y"])] for each in data if each["best"]]
    rows.sort(key=lambda row: float(row[1]))
    caption = "Trials that no other beats in both quality and calls"
    alt = "; ".join(f"trial {trial}: {calls} calls, quality {quality}" for trial, calls, quality in rows)
    chart = svg(data, {"layer": layers, "encoding": encoding, **_SIZE})
    yield Figure(caption, f"{caption}: {alt}.", chart, Table(caption, ["trial", "calls a run", "quality"], rows))


def _trials(found: Mapping[str, Any]) -> Iterator[Part]:
    lines, highest = found["trials"], float("-inf")
    data = []
    for each in lines:
        highest = max(highest, each["quality"]) if each["feasible"] else highest
        data.append({"x": each["trial"], "y": each["quality"], "best": highest})
    x = {"field": "x", "type": "quantitative", "title": "trial"}
    layers = [
        {"mark": _POINT, "encoding": {"y": {**_AXIS, "field": "y", "title": "quality"}}},
        {"mark": {**_LINE, "interpolate": "step-after"}, "encoding": {"y": {**_AXIS, "field": "best"}}},
    ]
    chart = svg(data, {"layer": layers, "encoding": {"x": x}, **_SIZE})
    alt = f"Quality of {len(lines)} trials in their order; the highest so far ends at {number(highest)}."
    history = Table("History", ["trial", "quality"], [[each["trial"], number(each["quality"])] for each in lines])
    yield Figure("Quality of each trial (dot) and the highest so far (line)", alt, chart, history)
    names = found["parameters"]
    rows = [
        [each["trial"], number(each["quality"]), each["runs"], *(_shown(each.get(name, "–")) for name in names)]
        for each in sorted(lines, key=lambda line: -line["quality"])[:MAX_LISTED]
    ]
    few = f", the best {MAX_LISTED} of {len(lines)}" if len(lines) > MAX_LISTED else ""
    yield Table(f"Trials{few}", ["trial", "quality", "runs", *names], rows)


def _interval(found: Mapping[str, float]) -> str:
    return f"{number(found['mean'])} ({number(found['low'])} to {number(found['high'])})"


def _spent(found: Mapping[str, float]) -> str:
    cost = f" and {found['cost']:.4g} of money" if found["cost"] else ""
    return f"{found['calls']:.0f} calls, {found['tokens']:.0f} tokens{cost}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
