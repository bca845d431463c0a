"""Charts as SVG, drawn by Vega-Lite. Colours are the variables of the page, so that light, dark and paper differ.

Names and values of a table stand in the data only, never in field names or expressions: Vega would run those.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from tagal_dspy.metrics.shapes import Bars

_INK = {"labelColor": "var(--fg)", "titleColor": "var(--fg)", "titleFontWeight": "normal", "labelFontSize": 11}
_CONFIG = {
    "aria": False,  # the page says in words what a chart shows
    "background": None,
    "font": "system-ui, sans-serif",
    "padding": {"left": 12, "right": 8, "top": 4, "bottom": 4},  # a reader's font may be wider than the one measured
    "view": {"stroke": None},
    "axis": {**_INK, "gridColor": "var(--line)", "domainColor": "var(--line)", "tickColor": "var(--line)"},
    "axisX": {"titleFontSize": 11, "labelOverlap": "greedy", "labelSeparation": 8},
    "axisY": {"labelLimit": 105},
    "legend": {**_INK, "orient": "bottom", "title": None, "columns": 1},
}
_WIDTH = 190


def bars_chart(bars: Bars) -> str:
    """Shares of one column: a bar for the real rows, a line across for the synthetic ones."""
    data = [
        {"label": label, "real": real, "synthetic": synthetic}
        for label, real, synthetic in zip(bars.labels, bars.real, bars.synthetic, strict=True)
    ]
    y = {"field": "label", "type": "nominal", "sort": None, "title": None, "axis": {"ticks": False, "domain": False}}
    x = {"type": "quantitative", "title": "share of rows", "axis": {"format": ".0%", "tickCount": 4}}
    bar = {
        "type": "bar",
        "height": {"band": 0.8},
        "color": "var(--real)",
        "stroke": "var(--muted)",
        "strokeWidth": 0.75,
    }
    tick = {"type": "tick", "color": "var(--synthetic)", "thickness": 3, "bandSize": 15, "opacity": 1}
    layers = [
        {"mark": mark, "encoding": {"x": {**x, "field": who}}} for mark, who in ((bar, "real"), (tick, "synthetic"))
    ]
    return svg(data, {"layer": layers, "encoding": {"y": y}, "width": _WIDTH, "height": {"step": 18}})


def scores_chart(scores: Mapping[str, tuple[float, float, float]]) -> str:
    """Value, lower and upper end of each score, between 0 and 1 as they are marked."""
    data = [{"label": name, "value": v, "low": low, "high": high} for name, (v, low, high) in scores.items()]
    x = {"type": "quantitative", "title": "0 floor, 1 ceiling", "axis": {"tickCount": 5}}
    layers = [{"mark": {"type": "rule", "color": "var(--muted)"}, "encoding": {"x": {"datum": end}}} for end in (0, 1)]
    y = {"field": "label", "type": "nominal", "sort": None, "title": None}
    layers += [
        {
            "mark": {"type": "rule", "color": "var(--synthetic)", "strokeWidth": 3},
            "encoding": {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "color": "var(--fg)", "opacity": 1},
            "encoding": {"y": y, "x": {**x, "field": "value"}},
        },
    ]
    return svg(data, {"layer": layers, "width": _WIDTH, "height": {"step": 26}})


def heat_map(names: Sequence[str], values: Sequence[Sequence[float]]) -> str:
    """A number from -1 to 1 for each two columns, written into cells that are darker where it is further from 0."""
    data = [
        {"x": x, "y": y, "value": value, "size": abs(value), "text": _tenths(value)}
        for y, row in zip(names, values, strict=True)
        for x, value in zip(names, row, strict=True)
        if x != y
    ]
    axis = {"type": "nominal", "sort": None, "title": None, "scale": {"domain": list(names)}}
    cell = {
        "mark": {"type": "rect"},
        "encoding": {
            "fill": {
                "condition": {"test": "datum.value < 0", "value": "var(--less)"},
                "value": "var(--more)" if any(min(row) < 0 for row in values) else "var(--heat)",
            },
            "fillOpacity": {
                "field": "size",
                "type": "quantitative",
                "scale": {"domain": [0, 1], "range": [0, 1]},
                "legend": None,
            },
        },
    }
    text = {
        "mark": {"type": "text", "fontSize": 9, "color": "var(--fg)"},
        "encoding": {"text": {"field": "text", "type": "nominal"}},
    }
    ends = {"x": {**axis, "field": "x", "axis": {"labelAngle": -90, "labelLimit": 105}}, "y": {**axis, "field": "y"}}
    return svg(data, {"layer": [cell, text], "encoding": ends, "width": {"step": 20}, "height": {"step": 20}})


def curve_chart(values: Sequence[float], title: str) -> str:
    """A value for each step, from 0."""
    data = [{"step": step, "value": value} for step, value in enumerate(values)]
    encoding = {
        "x": {"field": "step", "type": "ordinal", "title": "iteration", "axis": {"labelAngle": 0}},
        "y": {"field": "value", "type": "quantitative", "title": title, "scale": {"zero": False}},
    }
    mark = {"type": "line", "color": "var(--synthetic)", "point": {"filled": True, "color": "var(--synthetic)"}}
    return svg(data, {"mark": mark, "encoding": encoding, "width": 240, "height": 140})


def candidates_chart(points: Sequence[tuple[int, float, bool]]) -> str:
    """Number and score of each candidate, filled where marked, and a line along the best so far."""
    data = [
        {"number": number, "score": score, "best": max(each[1] for each in points[: place + 1]), "fill": float(marked)}
        for place, (number, score, marked) in enumerate(points)
    ]
    axis = {"tickMinStep": 1, "format": "d", "grid": False}
    x = {"field": "number", "type": "quantitative", "title": "candidate", "axis": axis}
    y = {"type": "quantitative", "title": "score", "scale": {"zero": False}}
    fill = {"field": "fill", "type": "quantitative", "scale": {"domain": [0, 1], "range": [0, 1]}, "legend": None}
    line = {"type": "line", "interpolate": "step-after", "color": "var(--muted)"}
    point = {"type": "point", "size": 60, "stroke": "var(--synthetic)", "fill": "var(--synthetic)", "strokeOpacity": 1}
    layers = [
        {"mark": line, "encoding": {"x": x, "y": {**y, "field": "best"}}},
        {"mark": point, "encoding": {"x": x, "y": {**y, "field": "score"}, "fillOpacity": fill}},
    ]
    return svg(data, {"layer": layers, "width": 420, "height": 200})


def _tenths(value: float) -> str:
    """The first decimal, as much as a small cell holds: `.7`, `-.2`; nothing for what rounds to 0."""
    text = f"{value:.1f}".replace("0.", ".")
    return "" if text in (".0", "-.0") else text


def svg(data: list[dict[str, Any]], chart: dict[str, Any]) -> str:
    """A Vega-Lite chart of some data in the look that all have."""
    import vl_convert

    drawn = vl_convert.vegalite_to_svg({"data": {"values": data}, "config": _CONFIG, **chart})
    # Inside of HTML these say nothing, and they look like addresses.
    return re.sub(r' xmlns(:xlink)?="[^"]*"', "", drawn, count=2)
