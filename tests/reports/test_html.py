"""Every page stands alone, says in words what it draws, and lets nothing of the data out of its text."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.metrics import Learning, evaluate
from tagal_dspy.reports import Page, evaluation_page, html, markdown

VOID = {"meta", "link", "br", "hr", "img", "input"}
SCRIPT = "<script>alert(1)</script>"
BREAKOUT = '"></svg><img src=x onerror=alert(1)>'


class Seen(HTMLParser):
    """All elements of a page, and that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.within: list[tuple[str, tuple[str, ...]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.within.append((tag, tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def hostile_frame(n_rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            SCRIPT: rng.choice([BREAKOUT, "plain", "a&b"], n_rows),
            "datum.value['x'] {{ 7 * 7 }}": rng.normal(size=n_rows),
            BREAKOUT: rng.integers(0, 50, n_rows),
            "class": rng.choice([SCRIPT, "no"], n_rows),
        }
    )


@pytest.fixture(scope="module")
def page() -> Page:
    learning = Learning(classifiers=["LR"], n_bootstrap=20)
    frames = [hostile_frame(n_rows, seed) for seed, n_rows in enumerate((120, 60, 60))]
    return evaluation_page(evaluate(frames[0], frames[1], "class", frames[2], learning=learning, baselines=["real"]))


@pytest.fixture(scope="module")
def text(page: Page) -> str:
    return html(page)


@pytest.fixture(scope="module")
def seen(text: str) -> Seen:
    return Seen(text)


def test_elements_are_closed_in_order_and_ids_are_unique_and_found(seen: Seen) -> None:
    assert seen.open == []
    ids = [attributes["id"] for _, attributes in seen.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][\w-]*", each or "") for each in ids)
    targets = {(each["href"] or "").removeprefix("#") for each in seen.all("a")}
    labels = {attributes["aria-labelledby"] for _, attributes in seen.elements if "aria-labelledby" in attributes}
    assert targets | labels <= set(ids)


def test_headings_are_in_order_and_landmarks_are_there(seen: Seen) -> None:
    levels = [int(tag[1]) for tag, _ in seen.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert {"header", "nav", "main"} <= {tag for tag, _ in seen.elements}
    assert seen.all("html") == [{"lang": "en"}]


def test_every_chart_is_told_in_words_and_every_table_has_a_caption(seen: Seen) -> None:
    charts = [each for _, each in seen.elements if each.get("role") == "img"]
    assert len(charts) == len(seen.all("figure")) == len(seen.all("svg")) == 1 + 4 + 3
    assert all(len(each["aria-label"] or "") > 20 for each in charts)
    assert len(seen.all("caption")) == len(seen.all("table"))
    assert all(each["scope"] in ("col", "row") for each in seen.all("th"))
    assert all(parents[-1] == "div" for tag, parents in seen.within if tag == "svg")


def test_nothing_is_loaded_and_nothing_runs(text: str, seen: Seen) -> None:
    assert seen.all("script") == []
    assert [each["href"] for each in seen.all("link")] == ["data:,"]
    assert not any(name.startswith("on") or name == "src" for _, each in seen.elements for name in each)
    values = [value or "" for _, each in seen.elements for value in each.values()]
    assert not any(re.search("https?:|url\\(", value) for value in values if "onerror" not in value)
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    assert not re.search("https?:|url\\(|@import", style)


def test_hostile_names_and_cells_stay_text(text: str, seen: Seen) -> None:
    assert "<script" not in text
    assert seen.all("img") == []
    shown = "".join(seen.texts)
    assert SCRIPT in shown
    assert BREAKOUT in shown
    assert "{{ 7 * 7 }}" in shown


def test_colours_of_charts_are_those_of_the_page(text: str) -> None:
    (style,) = re.findall("<style>(.*?)</style>", text, re.DOTALL)
    defined = set(re.findall(r"(--\w+):", style))
    used = set(re.findall(r"var\((--\w+)\)", text))
    assert used <= defined
    fills = set(re.findall(r'(?:fill|stroke)="([^"]+)"', text))
    assert {each for each in fills if not each.startswith("var(")} <= {"none", "transparent"}


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_contrast_is_aa_in_every_scheme(text: str) -> None:
    roots = re.findall(r":root \{(.*?)\}", text, re.DOTALL)
    schemes = [dict(re.findall(r"--(\w+): (#\w{6})", root)) for root in roots]
    assert len(schemes) == 3

    def contrast(a: str, b: str) -> float:
        low, high = sorted((luminance(a), luminance(b)))
        return (high + 0.05) / (low + 0.05)

    for of in schemes:
        grounds = [of["page"], of["card"]]
        assert min(contrast(of[ink], on) for ink in ("fg", "muted", "link") for on in grounds) >= 4.5
        assert min(contrast(of["fg"], of[on]) for on in ("heat", "less", "more")) >= 4.5
        assert min(contrast(of["synthetic"], on) for on in [*grounds, of["real"]]) >= 3


def test_markdown_of_hostile_names_has_no_tag(page: Page) -> None:
    written = markdown(page)
    assert not re.search(r"(?<!\\)<", written)
    assert "| real |" in written
