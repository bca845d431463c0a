from __future__ import annotations

import pytest

from tagal_dspy.reports import Listing, Page, Section, Table, latex, markdown


@pytest.fixture
def page() -> Page:
    table = Table("A_B", ["x & y", "100 %"], [["a|b\nc", "1"], ["{d}", "−2 ± 3"]])
    return Page("Title", ["Lead."], [Section("One", ["Text.", table, Listing("Prompt", "say ```x```")])])


def test_markdown_keeps_cells_on_their_line_and_prompts_in_their_fence(page: Page) -> None:
    assert markdown(page) == (
        "# Title\n\nLead.\n\n## One\n\nText.\n\nA_B\n\n"
        "| x & y | 100 % |\n| --- | --- |\n| a\\|b c | 1 |\n| {d} | −2 ± 3 |\n\n"
        "Prompt\n\n````\nsay ```x```\n````\n"
    )


def test_latex_escapes_what_it_would_take_for_commands(page: Page) -> None:
    assert latex(page) == (
        "\\begin{table}\n\\centering\n\\caption{A\\_B}\n\\begin{tabular}{lr}\n\\toprule\n"
        "x \\& y & 100 \\% \\\\\n\\midrule\na|b c & 1 \\\\\n\\{d\\} & $-$2 $\\pm$ 3 \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )
