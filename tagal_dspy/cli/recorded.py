"""`tagal runs`: what was recorded, and how to go on with it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from tagal_dspy.cli.files import check_free
from tagal_dspy.cli.generating import Kept, Output, generate
from tagal_dspy.cli.options import Options
from tagal_dspy.cli.terminal import Terminal, out, out_json
from tagal_dspy.datasets import guarded, write_table
from tagal_dspy.errors import DataError, RunError, TagalError
from tagal_dspy.recording import SUFFIX, RunRecord, load_run, remove_run, runs_dir
from tagal_dspy.settings import validated

LOCAL = "local:"
NAMES_OF_FILES = ("lm", "critic_lm", "summary_lm", "examples", "program", "remaining")
"""Options that may name files."""

SHOWN = ("name", "status", "rows", "calls", "tokens", "began")


def list_runs(as_json: bool) -> None:
    """Print a line for each run."""
    paths = sorted(runs_dir().glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime, reverse=True)
    lines = [_line(path) for path in paths]
    if as_json:
        out_json(lines)
        return
    if not lines:
        out("no run is recorded")
        return
    table = Table(box=None, pad_edge=False)
    for name in SHOWN:
        table.add_column(name, no_wrap=name == "name")
    for line in lines:
        rows = f"{line['rows']} of {line['wanted']}" if line.get("wanted") else ""
        table.add_row(*(str({**line, "rows": rows}.get(name, "")) for name in SHOWN))
    Terminal().print(table)


def show_run(name: str, as_json: bool) -> None:
    """Print all facts of a run."""
    path = _path(name)
    record = load_run(path)
    facts = {
        **_line(path),
        "not_selected": len(record.not_selected),
        "rejects": dict(Counter(reject.reason for reject in record.rejects).most_common()),
        "usage": record.usage,
        "cost": record.usage.cost,
        "fingerprint": record.facts.get("fingerprint"),
    }
    if as_json:
        out_json(facts)
        return
    for key, value in facts.items():
        out(f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


def resume_run(name: str, budget: Mapping[str, float | None], new: Path | None, force: bool, as_json: bool) -> int:
    """Make a run again from its record, and replace the files that it wrote before; returns the exit code."""
    check_free(new, force)
    path = _path(name)
    facts = load_run(path).facts
    command = facts.get("command")
    if command is None:
        raise RunError(f"the run {path} was made in Python; resume it there, with the same arguments")
    given = {what: limit for what, limit in budget.items() if limit is not None}
    resume = _resume_optimize if isinstance(command, dict) and command.get("kind") == "optimize" else _resume_generate
    try:
        limits = given or ({} if facts.get("budget_used_up") else command["options"]["budget"])
        work = resume(path, command, limits, new, as_json)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the record of the run {name} is damaged: its command lacks {error}") from error
    return work()


def _resume_generate(
    path: Path, command: dict[str, Any], limits: dict[str, float], new: Path | None, as_json: bool
) -> Callable[[], int]:
    folder, old = Path(command["folder"]), command["output"]
    options = _options(folder, command["options"], limits)
    to, html = (_seen(folder / file) if file else None for file in (old["out"], old["html"]))
    output = Output(new or to, True, as_json, html, old.get("guard", False))
    kept = Kept(path, Path(command["cache"]) if command["cache"] else None)
    data = _found(folder, command["data"])
    return lambda: generate(data, options, output, kept)


def _resume_optimize(
    path: Path, command: dict[str, Any], limits: dict[str, float], new: Path | None, as_json: bool
) -> Callable[[], int]:
    from tagal_dspy.cli import optimizing

    folder, old, asked = Path(command["folder"]), command["output"], command["asked"]
    options = _options(folder, command["options"], limits)
    html = _seen(folder / old["html"]) if old["html"] else None
    output = optimizing.Output(new or _seen(folder / old["out"]), html, True, as_json)
    data = [_found(folder, each) for each in asked["data"]]
    wanted = optimizing.Asked(**{**asked, "data": data, "n_tasks": tuple(asked["n_tasks"])})
    return lambda: optimizing.optimize(options, wanted, output, path)


def _options(folder: Path, asked: dict[str, Any], budget: Mapping[str, float]) -> Options:
    files = {what: _found(folder, asked[what]) for what in NAMES_OF_FILES if asked.get(what)}
    return validated(Options, {**asked, **files, "budget": dict(budget)})


def export_run(name: str, path: Path, force: bool, guard: bool, not_selected: bool) -> None:
    """Write the rows that were accepted, or those that were accepted but not selected."""
    check_free(path, force)
    record = load_run(_path(name))
    if not_selected and not record.not_selected:
        raise DataError(f"the run {name} has no row that was accepted but not selected")
    if not record.rows:
        raise DataError(f"the run {name} has no accepted row yet")
    table = record.schema.to_frame(record.not_selected) if not_selected else record.table
    write_table(guarded(table) if guard else table, path, record.schema)


def remove(name: str) -> None:
    """Delete a run."""
    remove_run(_path(name))


def _path(name: str) -> Path:
    known = runs_dir() / f"{name}{SUFFIX}"
    return known if known.is_file() else Path(name)


def _found(folder: Path, text: str) -> str:
    """What a command that was given in a folder named, as it is named here: the path of a file, all else as it was."""
    kind = LOCAL if text.startswith(LOCAL) else ""
    path = folder / text.removeprefix(kind)
    return f"{kind}{_seen(path)}" if path.is_file() else text


def _seen(path: Path) -> Path:
    """A path as it is seen from here: nothing absolute is printed that was not asked for."""
    return Path(os.path.relpath(path))


def _line(path: Path) -> dict[str, Any]:
    try:
        return {"name": path.stem, **_facts(load_run(path))}
    except TagalError as error:
        return {"name": path.stem, "status": str(error)}
    except (TypeError, ValueError, AttributeError, OverflowError, OSError) as error:  # facts of another kind
        return {"name": path.stem, "status": f"the record of the run {path.stem} is damaged: {error}"}


def _facts(record: RunRecord) -> dict[str, Any]:
    made = record.facts.get("fingerprint") or {}
    began = record.facts.get("began")
    return {
        "status": record.facts.get("status", "empty"),
        "table": (record.facts.get("command") or {}).get("data", ""),
        "rows": len(record.rows),
        "wanted": made.get("rows"),
        "method": made.get("method"),
        "calls": record.n_calls,
        "tokens": record.usage.tokens,
        "began": f"{datetime.fromtimestamp(began):%Y-%m-%d %H:%M}" if began else "",
    }
