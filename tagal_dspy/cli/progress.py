"""What a person sees while rows are written: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from typing import Any

from rich.live import Live
from rich.table import Table
from rich.text import Text

from tagal_dspy.cli.terminal import Terminal, say, terminal
from tagal_dspy.modules import Progress
from tagal_dspy.recording import Usage
from tagal_dspy.settings import Budget

SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress_shown(n_rows: int, *, alone: bool) -> Iterator[Callable[[Progress], None]]:
    """Give a function to call with each progress; `alone` where nobody else writes to the terminal meanwhile."""
    started = time.monotonic()
    if alone and terminal.is_terminal:
        with Live(Text(f"0/{n_rows} rows; waiting for the model"), console=terminal, transient=True) as live:
            yield lambda progress: live.update(Text(_line(progress, started)))
        return
    said, last = started, ""

    def show(progress: Progress) -> None:
        nonlocal said, last
        last = _line(progress, started)
        if len(progress.rows) < progress.n_wanted and time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            say(last)

    try:
        yield show
    finally:
        if last:
            say(last)


def _line(progress: Progress, started: float) -> str:
    rate = len(progress.rows) / max(time.monotonic() - started, 1e-9)
    rejects = ", ".join(f"{reason} {count}" for reason, count in progress.rejects.items())
    parts = [
        f"{len(progress.rows)}/{progress.n_wanted} rows",
        f"{rate:.2f} rows/s",
        _used(progress.usage),
    ]
    return "; ".join(parts + ([f"rejected: {rejects}"] if rejects else []))


def _used(usage: Usage) -> str:
    return f"{usage.calls} calls; {usage.tokens} tokens"


@contextmanager
def spend_shown(budget: Budget) -> Iterator[Callable[[Usage], None]]:
    """Give a function to call with what was spent. Nobody else reaches the terminal meanwhile: optimizers, and the bars
    and warnings of what they use, have much to say."""
    limits = ", ".join(f"{limit:g} {name[4:]}" for name, limit in budget.model_dump(exclude_none=True).items())
    console, said, last = Terminal(file=sys.stderr), time.monotonic(), Usage()

    def line(usage: Usage) -> Text:
        money = "" if usage.cost is None else f"; {usage.cost:.4f} US dollars"
        return Text(f"{_used(usage)}{money} of {limits}")

    def show(usage: Usage) -> None:
        nonlocal said, last
        last = usage
        if live is not None:
            live.update(line(usage))
        elif time.monotonic() - said >= SECONDS_BETWEEN_LINES:
            said = time.monotonic()
            console.print(line(usage), soft_wrap=True)

    options: dict[str, Any] = {"transient": True, "redirect_stdout": False, "redirect_stderr": False}
    shown = Live(Text("waiting for the model"), console=console, **options) if console.is_terminal else nullcontext()
    try:
        with shown as live, open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield show
    finally:
        if last:
            console.print(line(last), soft_wrap=True)


def summary_table(summary: dict[str, Any]) -> None:
    """The end of a run as a table on standard error."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    where = f" in {summary['out']}" if summary["out"] else ""
    table.add_row("rows", f"{summary['rows']}{where}")
    table.add_row("time", f"{summary['seconds']} s ({summary['rows_per_second']} rows/s)")
    for name, used in summary["usage"].items():
        tokens = f"{used['prompt_tokens']} prompt and {used['completion_tokens']} completion tokens"
        table.add_row("model", Text(f"{name}: {used['calls']} calls, {tokens}"))
    if not summary["usage"]:
        table.add_row("model", "not called: every answer was in the cache")
    rejects = ", ".join(f"{reason} {count}" for reason, count in summary["rejects"].items())
    table.add_row("rejected", rejects or "none")
    if summary["not_selected"]:
        trees = f", {summary['from_trees']} of them from trees" if summary["from_trees"] else ""
        n_accepted = summary["rows"] + summary["not_selected"]
        table.add_row("selected", f"{summary['rows']} of {n_accepted} accepted rows{trees}")
    if len(summary["curve"]) > 1:
        table.add_row("score", " -> ".join(f"{score:.3f}" for score in summary["curve"]) + " by iteration")
    if summary["cost"]:
        table.add_row("cost", f"{summary['cost']:.4f} US dollars")
    table.add_row("run", Text(summary["run"]))
    for label, share in summary.get("class_shares", {}).items():
        table.add_row(Text(f"class {label}"), f"{share['synthetic']:.1%} (real: {share['real']:.1%})")
    terminal.print(table)
