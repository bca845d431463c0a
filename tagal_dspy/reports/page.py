"""What a report is made of, and the one look that all reports share: a page of HTML that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Union

from tagal_dspy.characters import visible

if TYPE_CHECKING:
    from jinja2 import Template


@dataclass(frozen=True)
class Table:
    """Rows under a header, with a caption; the first cell of a row names it. Numbers are formatted already."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        caption: what it shows.
        alt: the same in words, for those who do not see it.
        svg: markup of a chart, from `charts`.
        data: the figures behind it.
    """

    caption: str
    alt: str
    svg: str
    data: Table


@dataclass(frozen=True)
class Listing:
    """Text to be shown as it is, such as a prompt."""

    caption: str
    text: str


Part = Union[str, Table, Figure, Listing]
"""Text is a paragraph."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; figures that follow each other stand side by side where there is room."""

    title: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Page:
    """A report: title, the sentences that matter most, sections."""

    title: str
    lead: Sequence[str]
    sections: Sequence[Section]

    @property
    def tables(self) -> list[Table]:
        """Its tables, without those behind charts."""
        return [part for section in self.sections for part in section.parts if isinstance(part, Table)]


def html(page: Page) -> str:
    """The page as one HTML file: no script, no font, no address; everything from data is escaped.

    >>> text = html(Page("A & B", ["<script>"], []))
    >>> "<h1>A &amp; B</h1>" in text, "<script>" in text
    (True, False)
    """
    return visible(_template().render(page=page, kind=lambda part: type(part).__name__))


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    source = files("tagal_dspy.reports").joinpath("page.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(source)
