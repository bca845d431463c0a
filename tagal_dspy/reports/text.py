"""Reports as Markdown, and their tables as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tagal_dspy.characters import visible
from tagal_dspy.reports.page import Figure, Listing, Page, Part, Table

_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "−": "$-$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def markdown_table(header: Sequence[object], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table.

    >>> print(markdown_table(["rows", "AUC"], [[100, 0.951], ["a|b", "<i>"]]))
    | rows | AUC |
    | --- | --- |
    | 100 | 0.951 |
    | a\\|b | \\<i> |
    """
    lines = [[_marked(str(cell)) for cell in line] for line in (header, *rows)]
    lines.insert(1, ["---"] * len(header))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown(page: Page) -> str:
    """The page as Markdown; of a chart, the figures behind it."""
    parts = [f"# {_marked(page.title)}", *map(_marked, page.lead)]
    for section in page.sections:
        parts += [f"## {_marked(section.title)}", *(_as_markdown(part) for part in section.parts)]
    return visible("\n\n".join(parts)) + "\n"


def _as_markdown(part: Part) -> str:
    if isinstance(part, Table):
        return f"{_marked(part.caption)}\n\n{markdown_table(part.header, part.rows)}"
    if isinstance(part, Figure):
        return _as_markdown(part.data)
    if isinstance(part, Listing):
        fence = "`" * max(3, 1 + max(map(len, re.findall("`+", part.text)), default=0))
        return f"{_marked(part.caption)}\n\n{fence}\n{part.text}\n{fence}"
    return _marked(part)


def _marked(text: str) -> str:
    return " ".join(re.sub(r"([\\`*|<\[\]])", r"\\\1", text).split())


def latex(page: Page) -> str:
    """The tables of the page for LaTeX, without those behind charts; they need the package `booktabs`."""
    return visible("\n".join(_as_latex(table) for table in page.tables))


def _as_latex(table: Table) -> str:
    header, *rows = (" & ".join(_escaped(str(cell)) for cell in line) + r" \\" for line in (table.header, *table.rows))
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_escaped(table.caption)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(table.header) - 1)}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    """Text as LaTeX prints it.

    >>> print(_escaped("a_b & 5 % \\\\ 0.9 ± 0.1"))
    a\\_b \\& 5 \\% \\textbackslash{} 0.9 $\\pm$ 0.1
    """
    return "".join(_LATEX.get(sign, sign) for sign in " ".join(text.split()))
