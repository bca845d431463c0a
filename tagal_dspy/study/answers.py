"""What a study says: which settings to use, how good they are on seeds it never saw, what mattered, what it cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import optuna

from tagal_dspy.errors import DataError
from tagal_dspy.optimizers.space import Candidate, Given, Range, Space
from tagal_dspy.settings import Budget
from tagal_dspy.study.objective import COUNTS, Objective, settings_toml, spent_of
from tagal_dspy.study.running import experimental, finished
from tagal_dspy.study.sampling import Surrogate, place_of, seen_trials

N_FINALISTS = 5
N_FRESH = 8
SELECTION_SEEDS, FINAL_SEEDS = 1_000_000, 2_000_000
"""Where the seeds begin that finalists are compared on, and those that the winner and the paper's default are judged
by: whoever wins by luck on the former has none on the latter."""

N_BOOTSTRAPS = 20
Again = Callable[[Candidate, int], Mapping[str, Any]]


class Choice(NamedTuple):
    """What a study chose.

    Attributes:
        candidate: the settings.
        number: of its trial.
        expected: its score as the model of all trials has it, before it was run on fresh seeds.
        in_study: the mean score of its trial, which is too good because it was chosen for it.
    """

    candidate: Candidate
    number: int
    expected: float
    in_study: float


def choose(
    study: Any, objective: Objective, again: Again, n_finalists: int = N_FINALISTS, n_fresh: int = N_FRESH
) -> Choice:
    """The best settings of a study.

    Finalists are the trials that a model of all scores expects most of, not those that scored best: of many noisy
    scores the highest is mostly luck. They run on seeds that no trial saw; expectation and fresh scores, each weighted
    by how certain it is, decide.

    Args:
        study: with finished trials; of several goals, quality decides.
        objective: of the study.
        again: runs a candidate with a seed and gives what is recorded of it; see `rerun`.
        n_finalists: how many.
        n_fresh: fresh runs of each.
    """
    trials = {trial.number: trial for trial in finished(study)}
    seen = seen_trials(objective.space, list(trials.values()))
    if not seen:
        raise DataError(f"none of the {len(trials)} finished trials keeps the limits; there is nothing to choose from")
    surrogate = Surrogate(objective.space, seen)
    means, spreads = surrogate([each.place for each in surrogate.seen])
    chosen: dict[tuple[float, ...], tuple[float, Choice]] = {}
    for place in np.argsort(-means):
        each = surrogate.seen[place]
        if each.place in chosen or len(chosen) == n_finalists:
            continue
        candidate = objective.space.candidate(Given(trials[each.number].params))
        fresh = [again(candidate, SELECTION_SEEDS + n)["score"] for n in range(n_fresh)]
        trust, own = n_fresh / max(surrogate.noise, 1e-6), 1 / spreads[place] ** 2
        settled = (np.mean(fresh) * trust + means[place] * own) / (trust + own) if fresh else means[place]
        chosen[each.place] = (float(settled), Choice(candidate, each.number, float(means[place]), each.mean))
    return max(chosen.values(), key=lambda found: found[0])[1]


def rerun(study: Any, objective: Objective, test: Callable[[Any, Any], float] | None = None) -> Again:
    """Runs candidates on the tasks of a study and remembers what came out in the study itself, so that a report that is
    made again pays nothing, and looks at the test rows once.

    Args:
        study: where it is recorded.
        objective: of the study.
        test: the score of a task and a table on the test rows; of the final runs only.
    """
    tasks = list(dict.fromkeys(task for task, _ in objective.replicates))

    def again(candidate: Candidate, seed: int) -> Mapping[str, Any]:
        name = f"run again: {candidate.lm} {candidate.program or ''} {candidate.settings.model_dump_json()} seed {seed}"
        known: dict[str, Any] | None = study.user_attrs.get(name)
        if known is None:
            task = tasks[seed % len(tasks)]
            outcome = objective.evaluate(candidate, task, seed, Budget())
            known = outcome.line
            if test is not None and seed >= FINAL_SEEDS and outcome.table is not None:
                known["test"] = test(task, outcome.table)
            study.set_user_attr(name, known)
        return known

    return again


def answers(
    study: Any,
    objective: Objective,
    *,
    test: Callable[[Any, Any], float] | None = None,
    n_finalists: int = N_FINALISTS,
    n_fresh: int = N_FRESH,
    n_bootstraps: int = N_BOOTSTRAPS,
) -> dict[str, Any]:
    """Everything that a report says, as plain values, ready for JSON.

    Args:
        study: with at least one finished trial.
        objective: of the study.
        test: see `rerun`.
        n_finalists: settings that are run again before one is chosen.
        n_fresh: fresh runs of each of them; then, with other seeds, of the chosen one and of the paper's default, which
            the intervals come from. At least 2.
        n_bootstraps: resamples of the trials that the ranges of importances come from.

    Raises:
        DataError: no trial is finished, or none keeps the limits.
    """
    from tagal_dspy.metrics import compare

    trials, again = finished(study), rerun(study, objective, test)
    choice = choose(study, objective, again, n_finalists, n_fresh)
    paper = objective.space.paper(choice.candidate.lm)
    ours, theirs = (
        [again(candidate, FINAL_SEEDS + n) for n in range(n_fresh)] for candidate in (choice.candidate, paper)
    )
    gained = compare([each["score"] for each in ours], [each["score"] for each in theirs])
    # Those come by ticket: a trial that was killed and tried again has its old place, but a later number.
    lines = sorted(map(_line, trials), key=lambda line: line["trial"])
    spent = spent_of(study.get_trials(deepcopy=False))
    rerun_lines = [line for name, line in study.user_attrs.items() if name.startswith("run again: ")]
    return {
        "study": study.study_name,
        "goals": list(objective.goals),
        "n_trials": len(trials),
        "n_stopped": sum("stopped early after" in trial.user_attrs for trial in trials),
        "n_infeasible": sum(any(value > 0 for value in trial.constraints.values()) for trial in trials),
        "spent": spent,
        "spent_again": {name: sum(line[name] or 0 for line in rerun_lines) for name in COUNTS},
        "best": {
            "trial": choice.number,
            "toml": settings_toml(choice.candidate, objective.replicates[0][0]),
            "in_study": choice.in_study,
            "expected": choice.expected,
            **_summary(ours),
        },
        "paper": {**_summary(theirs), "toml": settings_toml(paper)},
        "difference": asdict(gained),
        "importances": importances(objective.space, trials, n_bootstraps),
        "trials": lines,
        "frontier": _frontier(lines),
        "parameters": list(objective.space.bounds),
        "landscape": landscape(objective.space, trials),
    }


def _summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    tested = [each["test"] for each in runs if "test" in each]
    costs = [each["cost"] for each in runs]
    return {
        "fresh": _interval([each["score"] for each in runs]),
        "test": _interval(tested) if tested else None,
        "calls": float(np.mean([each["calls"] for each in runs])),
        "cost": None if None in costs else float(np.mean(costs)),
    }


def _interval(scores: Sequence[float]) -> dict[str, float]:
    """Mean and 95 % interval of the mean, by Student's t."""
    from scipy.stats import t

    reach = float(t.ppf(0.975, len(scores) - 1) * np.std(scores, ddof=1) / np.sqrt(len(scores)))
    mean = float(np.mean(scores))
    return {"mean": mean, "low": mean - reach, "high": mean + reach, "n": len(scores)}


def _line(trial: Any) -> dict[str, Any]:
    """A trial as a line of a table."""
    scores = [each["score"] for each in trial.user_attrs["replicates"]]
    known = {name: trial.user_attrs.get(name) for name in (*COUNTS, "seconds")}
    feasible = all(value <= 0 for value in trial.constraints.values())
    means = {name: value for name, value in trial.user_attrs.items() if name.startswith("mean ")}
    return {
        "trial": trial.number,
        "quality": float(np.mean(scores)),
        "runs": len(scores),
        "feasible": feasible,
        **{name: None if value is None else value / len(scores) for name, value in known.items()},
        **means,
        **trial.params,
    }


def _frontier(lines: Sequence[Mapping[str, Any]]) -> list[int]:
    """The feasible trials that no other beats in both quality and calls, cheapest first."""
    best, found = -np.inf, []
    for line in sorted(lines, key=lambda each: (each["calls"], -each["quality"])):
        if line["feasible"] and line["quality"] > best:
            best = line["quality"]
            found.append(line["trial"])
    return found


def importances(space: Space, trials: Sequence[Any], n_bootstraps: int = N_BOOTSTRAPS) -> dict[str, dict[str, float]]:
    """How much of the differences in quality each parameter explains (fANOVA), with its 90 % range over bootstraps of
    the trials; most important first. Empty where there are fewer than 4 trials, or all scored alike."""
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    complete = [_completed(space, trial) for trial in trials]
    names = [name for name in space.bounds if len({str(each.params[name]) for each in complete}) > 1]
    if len(complete) < 4 or len({each.value for each in complete}) < 2 or not names:
        return {}
    rng = np.random.default_rng(0)
    draws: dict[str, list[float]] = {name: [] for name in names}
    for number in range(n_bootstraps + 1):
        places = rng.integers(len(complete), size=len(complete)) if number else range(len(complete))
        resampled = optuna.create_study(direction="maximize")
        resampled.add_trials([complete[place] for place in places])
        evaluator = FanovaImportanceEvaluator(n_trees=32, seed=number)
        with experimental():
            found = get_param_importances(resampled, evaluator=evaluator, params=names)
        for name in names:
            draws[name].append(float(found.get(name, 0.0)))
    ranges = {name: np.quantile(each[1:], (0.05, 0.95)) for name, each in draws.items()}
    by_size = sorted(names, key=lambda name: -draws[name][0])
    return {
        name: {"share": draws[name][0], "low": float(ranges[name][0]), "high": float(ranges[name][1])}
        for name in by_size
    }


def _completed(space: Space, trial: Any) -> Any:
    """A trial with a value for every parameter: where one does not apply, the middle of its range."""
    distributions, params = {}, {}
    for name, bound in space.bounds.items():
        if isinstance(bound, Range):
            kind = optuna.distributions.IntDistribution if isinstance(bound.low, int) else None
            make = kind or optuna.distributions.FloatDistribution
            distributions[name] = make(bound.low, bound.high, log=bound.log)
            params[name] = trial.params.get(name, bound.at(0.5))
        else:
            distributions[name] = optuna.distributions.CategoricalDistribution(bound)
            params[name] = trial.params.get(name, bound[0])
    quality = float(np.mean([each["score"] for each in trial.user_attrs["replicates"]]))
    return optuna.create_trial(params=params, distributions=distributions, value=quality)


def landscape(space: Space, trials: Sequence[Any], n_levels: int = 9) -> dict[str, Any]:
    """What the model of all trials expects along each parameter, and over the two that matter most among numbers, the
    others as in the best trial: slices and a contour."""
    seen = seen_trials(space, trials)
    if len(seen) < 4:
        return {"slices": {}, "contour": None}
    surrogate = Surrogate(space, seen)
    means, _ = surrogate([each.place for each in surrogate.seen])
    number = surrogate.seen[int(np.argmax(means))].number
    best = next(trial.params for trial in trials if trial.number == number)
    whole = {**space.nearest_to_paper(), **best}

    def expected(points: Sequence[Mapping[str, Any]]) -> tuple[Any, Any]:
        return surrogate([place_of(space, space.values(Given({**whole, **point}))) for point in points])

    levels = {
        name: sorted({bound.at(n / (n_levels - 1)) for n in range(n_levels)}) if isinstance(bound, Range) else bound
        for name, bound in space.bounds.items()
    }
    slices = {}
    for name in [name for name in levels if name in best]:
        middle, spread = expected([{name: level} for level in levels[name]])
        slices[name] = [
            {"value": level, "mean": float(m), "low": float(m - 1.96 * s), "high": float(m + 1.96 * s)}
            for level, m, s in zip(levels[name], middle, spread, strict=True)
        ]
    reach = {name: np.ptp([each["mean"] for each in line]) for name, line in slices.items()}
    pair = sorted(reach, key=lambda name: -float(reach[name]))[:2]
    if len(pair) < 2:
        return {"slices": slices, "contour": None}
    points = [{pair[0]: x, pair[1]: y} for x in levels[pair[0]] for y in levels[pair[1]]]
    middle, _ = expected(points)
    cells = [{"x": each[pair[0]], "y": each[pair[1]], "mean": float(m)} for each, m in zip(points, middle, strict=True)]
    return {"slices": slices, "contour": {"x": pair[0], "y": pair[1], "cells": cells}}
