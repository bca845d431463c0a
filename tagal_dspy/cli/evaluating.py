"""`tagal evaluate`: how good a synthetic table is, for people on the terminal and in files, and as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from tagal_dspy.caching import cache_dir
from tagal_dspy.cli.files import check_free, write_text
from tagal_dspy.cli.terminal import Terminal, out_json, steps_shown
from tagal_dspy.datasets import load_dataset
from tagal_dspy.errors import SettingsError
from tagal_dspy.metrics import evaluate as evaluate_table
from tagal_dspy.metrics import paper_protocol, plain
from tagal_dspy.reports import Page, Table, evaluation_page, html, latex, markdown, paper_page
from tagal_dspy.reports.evaluation import lead, near_tables, score_tables
from tagal_dspy.schema import SchemaOverrides

PROTOCOLS = ("default", "paper")
MAX_COLUMNS = 8
"""A table with more is turned, so that a terminal can hold it."""


class Asked(NamedTuple):
    """What is to be measured; fields as the options of the command."""

    real: str
    synthetic: Sequence[str]
    target: str | None
    holdout: str | None
    protocol: str
    baselines: str | None
    schema: Path | None
    seed: int


class Files(NamedTuple):
    """Where reports go."""

    html: Path | None
    markdown: Path | None
    latex: Path | None
    force: bool

    def check(self) -> None:
        """Raise `OutputError` for what could not be written in the end."""
        for path in (self.html, self.markdown, self.latex):
            check_free(path, self.force)

    def write(self, page: Callable[[], Page]) -> None:
        """Write the files that were asked for."""
        asked = ((self.html, html), (self.markdown, markdown), (self.latex, latex))
        wanted = [(path, render) for path, render in asked if path is not None]
        if wanted:
            made = page()
            for path, render in wanted:
                write_text(path, render(made))


class _Result(NamedTuple):
    """A protocol's result, each way that it is shown."""

    values: dict[str, Any]
    page: Callable[[], Page]
    sentences: Iterable[str]
    tables: Iterable[Table]


def evaluate(asked: Asked, files: Files, as_json: bool) -> None:
    """Measure, write the files, print a summary or JSON (strict, keys as `TableReport` and `PaperResult` have them)."""
    if asked.protocol not in PROTOCOLS:
        raise SettingsError(f"--protocol {asked.protocol!r} is unknown; use {' or '.join(PROTOCOLS)}")
    files.check()
    result = _by_paper(asked) if asked.protocol == "paper" else _by_default(asked)
    files.write(result.page)
    if as_json:
        out_json({"protocol": asked.protocol, **result.values})
        return
    console = Terminal()
    for sentence in result.sentences:
        console.print(sentence)
    for table in result.tables:
        console.print(rich_table(table))


def _by_default(asked: Asked) -> _Result:
    real = load_dataset(asked.real, SchemaOverrides.from_file(asked.schema) if asked.schema else None)
    first, *others = (load_dataset(each).frame for each in asked.synthetic)
    with steps_shown() as on_step:
        report = evaluate_table(
            real.frame,
            first,
            asked.target,
            load_dataset(asked.holdout).frame if asked.holdout else None,
            seed=asked.seed,
            replicates=others,
            baselines=[name.strip() for name in asked.baselines.split(",")] if asked.baselines else (),
            overrides=real.overrides,
            folder=cache_dir() / "anchors",
            on_step=on_step,
        )
    tables = (*score_tables(report), *near_tables(report))
    return _Result(report.to_dict(), lambda: evaluation_page(report), lead(report), tables)


def _by_paper(asked: Asked) -> _Result:
    if asked.holdout or asked.baselines or asked.schema:
        raise SettingsError("--protocol paper splits --real itself; leave out --holdout, --baselines and --schema")
    if len(asked.synthetic) > 1:
        raise SettingsError("--protocol paper judges one table; give --synthetic once")
    real = load_dataset(asked.real)
    target = asked.target or real.target
    if target is None:
        raise SettingsError("--protocol paper predicts a column; name it with --target")
    synthetic = load_dataset(asked.synthetic[0])
    found = paper_protocol(real=real.frame, target=target, synthetic=synthetic.frame)
    page = paper_page({synthetic.name: found}, real.name)
    return _Result({"table": real.name, "target": target, **plain(found)}, lambda: page, page.lead, page.tables)


def rich_table(table: Table) -> RichTable:
    """A table of a report for the terminal."""
    shown = RichTable(title=Text(table.caption), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    lines = [table.header, *table.rows]
    if len(table.header) > MAX_COLUMNS:
        lines = list(zip(*lines, strict=True))
    for place, name in enumerate(lines[0]):
        shown.add_column(Text(str(name)), justify="right" if place else "left")
    for line in lines[1:]:
        shown.add_row(*(Text(str(cell)) for cell in line))
    return shown
