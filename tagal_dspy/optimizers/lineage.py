"""Every program that an optimizer tried: where it comes from, what it scored, what it took, and some of its rows."""

from __future__ import annotations

import difflib
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

import dspy
import numpy as np
from dspy.utils.callback import BaseCallback

from tagal_dspy.errors import BudgetError
from tagal_dspy.optimizers.tasks import task_key
from tagal_dspy.settings import RunSettings

N_SAMPLES = 3
"""Rows of a candidate that are kept."""

_MARK = "_tagal_candidate"

Prompts = Mapping[str, str]
"""Instructions by predictor."""


@dataclass
class Candidate:
    """A program with prompts or settings of its own.

    Attributes:
        number: in the order of their first run; 0 is the seed program.
        prompts: its instructions by predictor.
        settings: of the program; None where its class has none.
        n_demos: demos in its prompts.
        scores: by task.
        objectives: scores of each objective, by task.
        tokens: of all its runs.
        n_runs: how many tables it wrote.
        sample: some rows it wrote for the first of its tasks by name, none of them a real one, as CSV.
    """

    number: int
    prompts: Prompts
    settings: RunSettings | None
    n_demos: int
    scores: dict[str, float] = field(default_factory=dict)
    objectives: dict[str, dict[str, float]] = field(default_factory=dict)
    tokens: int = 0
    n_runs: int = 0
    sample: str = ""

    @property
    def score(self) -> float:
        """The mean over its tasks; NaN where it has none."""
        return fmean(self.scores.values()) if self.scores else float("nan")

    @property
    def mean_objectives(self) -> dict[str, float]:
        """The mean of each objective over its tasks."""
        names = dict.fromkeys(name for each in self.objectives.values() for name in each)
        return {name: fmean(each[name] for each in self.objectives.values() if name in each) for name in names}


class Lineage(BaseCallback):  # type: ignore[misc]
    """Watches programs run and metrics score them.

    Args:
        program: the seed program; only programs of its class are watched.
    """

    def __init__(self, program: dspy.Module) -> None:
        self.candidates: dict[str, Candidate] = {}
        self._class = type(program)
        self._under_way: dict[str, Candidate] = {}
        self._cut: list[Candidate] = []
        self._lock = threading.Lock()
        self.candidate(program)

    def candidate(self, program: dspy.Module) -> Candidate:
        """The candidate that a program is."""
        predictors = dict(program.named_predictors())
        prompts = {name: str(each.signature.instructions) for name, each in predictors.items()}
        demos = [repr(demo) for each in predictors.values() for demo in each.demos]
        settings: RunSettings | None = getattr(program, "settings", None)
        key = hashlib.sha256(json.dumps([prompts, demos, repr(settings)]).encode()).hexdigest()
        with self._lock:
            if key not in self.candidates:
                self.candidates[key] = Candidate(len(self.candidates), prompts, settings, len(demos))
            return self.candidates[key]

    def parent(self, candidate: Candidate) -> int | None:
        """The number of the candidate that one was made from, as far as can be told: the best of the earlier ones that
        differ in the fewest predictors and settings. None for the seed program."""
        earlier = [each for each in self.candidates.values() if each.number < candidate.number]
        if not earlier:
            return None
        changes = [
            sum(text != each.prompts.get(name) for name, text in candidate.prompts.items())
            + len(changed_settings(each.settings, candidate.settings))
            for each in earlier
        ]
        nearest = [each for each, n in zip(earlier, changes, strict=True) if n == min(changes)]
        return max(nearest, key=lambda each: np.nan_to_num(each.score, nan=-np.inf)).number

    def on_module_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:
        """A program begins to write a table."""
        if type(instance) is self._class:
            self._under_way[call_id] = self.candidate(instance)

    def on_module_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
        """It has written it: the prediction is marked with the candidate."""
        candidate = self._under_way.pop(call_id, None)
        if candidate is not None and _is_of_budget(exception):
            self._cut.append(candidate)
        written = outputs[0] if isinstance(outputs, tuple) else outputs  # DSPy adds the trace where it keeps one
        if candidate is not None and written is not None:
            object.__setattr__(written, _MARK, candidate)

    def watched(self, metric: Callable[..., Any]) -> Callable[..., Any]:
        """The metric; what it says of a candidate's table is written down, with what the table took."""

        def scored(gold: Any, pred: Any, trace: Any = None, pred_name: Any = None, pred_trace: Any = None) -> Any:
            said = metric(gold, pred, trace, pred_name, pred_trace)
            candidate: Candidate | None = getattr(pred, _MARK, None)
            if candidate is not None:
                self._note(candidate, gold, pred, said)
            return said

        return scored

    def _note(self, candidate: Candidate, gold: Any, pred: Any, said: Any) -> None:
        key = task_key(gold)
        tokens = _tokens(pred)
        with self._lock:
            if key not in candidate.scores:
                candidate.tokens += tokens
                candidate.n_runs += 1
            candidate.scores[key] = float(getattr(said, "score", said))
            objectives = dict(getattr(said, "objective_scores", None) or {})
            if objectives:
                candidate.objectives[key] = {**objectives, "cost": cost_objective(pred)}
            if key == min(candidate.scores):  # not the first one that came: threads differ
                candidate.sample = _sample(gold.task, pred)

    def forget_cut(self) -> None:
        """Drop what is known of candidates that the budget cut short: which of their tables were paid before it was
        used up is for the threads to say, and would differ the next time."""
        for each in self._cut:
            each.scores, each.objectives, each.tokens, each.n_runs, each.sample = {}, {}, 0, 0, ""

    def best(self, keys: Sequence[str]) -> Candidate | None:
        """The candidate with the highest mean score on these tasks, of those without demos that did all of them."""
        whole = [each for each in self.candidates.values() if set(keys) <= set(each.scores) and not each.n_demos]
        return max(whole, key=lambda each: fmean(each.scores[key] for key in keys), default=None)

    def pareto(self, keys: Sequence[str]) -> list[Candidate]:
        """Of the candidates that did all tasks, those that no other one equals in all objectives and beats in one."""
        whole = [each for each in self.candidates.values() if set(keys) <= set(each.objectives)]
        points = {each.number: each.mean_objectives for each in whole}
        return [each for each in whole if not any(_beats(points[other], points[each.number]) for other in points)]

    def to_list(self) -> list[dict[str, Any]]:
        """All candidates, ready for JSON; their settings as far as they differ from those of the seed program."""
        seed = next(iter(self.candidates.values()))
        return [
            {
                "number": each.number,
                "parent": self.parent(each),
                "prompts": dict(each.prompts),
                "settings": changed_settings(seed.settings, each.settings),
                "demos": each.n_demos,
                "score": None if np.isnan(each.score) else round(each.score, 6),
                "objectives": {name: round(value, 6) for name, value in each.mean_objectives.items()},
                "tables": each.n_runs,
                "tokens": each.tokens,
                "sample": each.sample,
            }
            for each in self.candidates.values()
        ]


def changed_settings(before: RunSettings | None, after: RunSettings | None) -> dict[str, Any]:
    """The settings that differ, with their new values."""
    if before is None or after is None:
        return {}
    old = before.model_dump()
    return {name: value for name, value in after.model_dump().items() if value != old[name]}


def prompt_diff(before: Prompts, after: Prompts) -> str:
    """What differs in the instructions, as a unified diff.

    >>> print(prompt_diff({"predict": "Write rows."}, {"predict": "Write new rows."}))
    --- predict
    +++ predict
    @@ -1 +1 @@
    -Write rows.
    +Write new rows.
    """
    lines: list[str] = []
    for name, text in after.items():
        lines += difflib.unified_diff(before.get(name, "").splitlines(), text.splitlines(), name, name, lineterm="")
    return "\n".join(lines)


def cost_objective(pred: Any) -> float:
    """What a row took, higher is better: less the thousands of tokens per accepted row."""
    n_rows = len(getattr(pred, "table", ()))
    return -_tokens(pred) / 1000 / max(1, n_rows)


def _is_of_budget(error: BaseException | None) -> bool:
    """Whether a call was refused because the budget is used up: DSPy wraps what engines raise."""
    return error is not None and (isinstance(error, BudgetError) or _is_of_budget(error.__cause__ or error.__context__))


def _tokens(pred: Any) -> int:
    usage = getattr(pred, "usage", None) or {}
    return sum(used.get("prompt_tokens", 0) + used.get("completion_tokens", 0) for used in usage.values())


def _beats(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    names = one.keys() & other.keys()
    return all(one[name] >= other[name] for name in names) and any(one[name] > other[name] for name in names)


def _sample(task: Any, pred: Any) -> str:
    real = set(task.real_rows)
    rows = task.schema.to_rows(pred.table)
    new = [place for place, row in enumerate(rows) if row not in real][:N_SAMPLES]
    return str(pred.table.iloc[new].to_csv(index=False))
