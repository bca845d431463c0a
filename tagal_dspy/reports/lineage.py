"""The report of a compilation: whether it helped, and every program that was tried on the way."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tagal_dspy.reports.charts import candidates_chart
from tagal_dspy.reports.evaluation import number
from tagal_dspy.reports.page import Figure, Listing, Page, Part, Section, Table

Lineage = Mapping[str, Any]
Candidates = Sequence[Mapping[str, Any]]


def lineage_page(lineage: Lineage) -> Page:
    """The report of `program.lineage`, as a compilation made it or as a file has it; no real row is in it."""
    candidates: Candidates = lineage["candidates"]
    objectives = list(dict.fromkeys(name for each in candidates for name in each["objectives"]))
    tried: list[Part] = [
        "A candidate is indented under the one that it was made from. Its score is the mean over the tables it was "
        "scored on, which are fewer where it was dropped early; the gain above is that of the held-out tables alone.",
        *_figure(lineage),
        candidates_table(lineage, objectives),
    ]
    sections = [
        Section("Held-out tables", list(_proof(lineage))),
        Section("Candidates", tried),
        *(_candidate(each, candidates) for each in candidates),
        Section("How it was made", list(_made(lineage))),
    ]
    return Page(f"Optimized program: {lineage['optimizer']}", list(_lead(lineage)), sections)


def candidates_table(lineage: Lineage, objectives: Sequence[str] = ()) -> Table:
    """All candidates as a tree, with their score, some of their objectives, and what they took."""
    candidates: Candidates = lineage["candidates"]
    rows = [
        [
            f"{'— ' * depth}{each['number']}",
            "" if each["parent"] is None else each["parent"],
            _figure_of(each["score"]),
            *(_figure_of(each["objectives"].get(name)) for name in objectives),
            each["tables"],
            each["tokens"],
            "yes" if each["number"] in lineage["pareto"] else "",
        ]
        for depth, each in _tree(candidates)
    ]
    header = ["candidate", "parent", "score", *objectives, "tables", "tokens", "Pareto set"]
    return Table("Candidates; 0 is the seed program", header, rows)


def _tree(candidates: Candidates, parent: int | None = None, depth: int = 0) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for each in candidates:
        if each["parent"] == parent:
            yield depth, each
            yield from _tree(candidates, each["number"], depth + 1)


def _lead(lineage: Lineage) -> Iterator[str]:
    verdict, usage = str(lineage["verdict"]), lineage["usage"].values()
    yield f"{verdict[0].upper()}{verdict[1:]}."
    calls = sum(used["calls"] for used in usage)
    tokens = sum(used["prompt_tokens"] + used["completion_tokens"] for used in usage)
    money = "" if lineage["cost"] is None else f" for {lineage['cost']:.4f} US dollars"
    yield (
        f"{len(lineage['candidates'])} candidates were tried with {calls} calls and {tokens} tokens{money}, "
        "those that wrote prompts and proved the gain among them."
    )


def _proof(lineage: Lineage) -> Iterator[Part]:
    seed, optimized, gain = lineage["held_out"]["seed"], lineage["held_out"]["optimized"], lineage["gain"]
    if not optimized:
        rows = [[place, number(score)] for place, score in enumerate(seed, 1)]
        yield Table("Score of the seed program", ["table", "seed program"], rows)
        return
    yield (
        "Both programs wrote these tables under the same seeds; the optimizer has seen none of them. The gain is the "
        "mean difference, with its 95 % interval; p is that of a paired permutation test."
    )
    rows = [
        [place, number(a), number(b), f"{b - a:+.3f}"]
        for place, (a, b) in enumerate(zip(seed, optimized, strict=True), 1)
    ]
    mean = [number(sum(scores) / len(scores)) for scores in (seed, optimized)]
    rows.append(["mean", *mean, f"{gain['difference']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"])
    yield Table("Score of both programs", ["table", "seed program", "optimized program", "gain"], rows)


def _figure(lineage: Lineage) -> Iterator[Figure]:
    scored = [each for each in lineage["candidates"] if each["score"] is not None]
    if len(scored) < 2:
        return
    best = max(scored, key=lambda each: each["score"])
    rows = [[each["number"], number(each["score"])] for each in scored]
    points = [(each["number"], each["score"], each["number"] in lineage["pareto"]) for each in scored]
    yield Figure(
        "Score by candidate; filled: in the Pareto set; line: the best so far",
        f"{len(scored)} candidates were scored; the best one is {best['number']} with {number(best['score'])}.",
        candidates_chart(points),
        Table("Score by candidate", ["candidate", "score"], rows),
    )


def _candidate(candidate: Mapping[str, Any], candidates: Candidates) -> Section:
    from tagal_dspy.optimizers.lineage import prompt_diff

    parts: list[Part] = []
    parent = candidate["parent"]
    if parent is None:
        parts += [Listing(f"Instructions of {name}", text) for name, text in candidate["prompts"].items()]
        title = f"Candidate {candidate['number']}, the seed program"
    else:
        diff = prompt_diff(candidates[parent]["prompts"], candidate["prompts"])
        parts.append(Listing("What differs in the prompts", diff) if diff else "Its prompts are those of its parent.")
        if candidate["settings"]:
            caption = "Settings that differ from those of the seed program"
            parts.append(Table(caption, ["setting", "value"], [[*each] for each in candidate["settings"].items()]))
        title = f"Candidate {candidate['number']}, made from {parent}"
    if candidate["demos"]:
        parts.append(f"{candidate['demos']} demos stand in its prompts.")
    header, *rows = list(csv.reader(io.StringIO(candidate["sample"]))) or [[]]
    if rows:
        parts.append(Table("Some rows it wrote, none of them a real one", header, rows))
    return Section(title, parts)


def _made(lineage: Lineage) -> Iterator[Part]:
    versions = ", ".join(f"{name} {number}" for name, number in lineage["versions"].items())
    yield f"Optimizer {lineage['optimizer']}, seed {lineage['seed']}; {versions}."
    usage = [[name, *used.values()] for name, used in lineage["usage"].items()]
    yield Table("Calls and tokens", ["model", "calls", "prompt tokens", "completion tokens"], usage)
    metric = lineage["metric"]
    if isinstance(metric, Mapping):
        yield Table("Metric", ["setting", "value"], [[name, value] for name, value in metric.items()])
    else:
        yield f"Metric: {metric}."


def _figure_of(value: float | None) -> str:
    return "" if value is None else number(value)
