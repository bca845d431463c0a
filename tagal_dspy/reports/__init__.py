"""Reports for people: one content, as HTML, Markdown and LaTeX."""

from tagal_dspy.reports.evaluation import evaluation_page
from tagal_dspy.reports.lineage import lineage_page
from tagal_dspy.reports.page import Figure, Listing, Page, Section, Table, html
from tagal_dspy.reports.paper import paper_page, paper_table, published
from tagal_dspy.reports.run import run_page, run_sections
from tagal_dspy.reports.study import study_csv, study_page
from tagal_dspy.reports.text import latex, markdown, markdown_table

__all__ = [
    "Figure",
    "Listing",
    "Page",
    "Section",
    "Table",
    "evaluation_page",
    "html",
    "latex",
    "lineage_page",
    "markdown",
    "markdown_table",
    "paper_page",
    "paper_table",
    "published",
    "run_page",
    "run_sections",
    "study_csv",
    "study_page",
]
