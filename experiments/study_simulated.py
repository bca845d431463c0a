"""Does a study of 60 trials find good settings, when single runs are as noisy as the paper's?

    uv run python experiments/study_simulated.py

One line for each seed, in experiments/results/study_simulated.csv: the true quality of what was chosen as a share of
the optimum's, for a study (model-based sampler, paired pruning, finalists run again on fresh seeds), for random search
with as many runs of each candidate, and for the paper's way, one setting after the other with one run each, the better
value kept. All take as many calls as the study did, the fresh runs of its finalists included. Runs are simulated:
quality is a known function of the settings, with noise of .08 between runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import optuna
from lines import arguments, recorded, told

from tagal_dspy.optimizers.space import Given
from tagal_dspy.settings import Budget
from tagal_dspy.study import (
    DEFAULT_BOUNDS,
    Candidate,
    Objective,
    Range,
    SimulatedRuns,
    Space,
    best_quality,
    choose,
    finished,
    rerun,
    run_study,
    true_quality,
)

VARIED = ("critic", "n_iter", "n_shots", "temperature", "codec", "column_order", "info", "draws", "few_shots")
"""What the paper varied, and what this library adds to it most prominently."""

N_TRIALS, N_REPLICATES, N_FINALISTS, N_FRESH = 60, 12, 5, 10
N_LEVELS = 5
ENOUGH = 0.95


def line(_: str, seed: int) -> dict[str, Any]:
    space = Space({name: DEFAULT_BOUNDS["chat"][name] for name in VARIED})
    runs = SimulatedRuns(n_rows=60, world=seed)
    best = best_quality(space)
    objective = Objective(space, runs, [(None, n) for n in range(N_REPLICATES)])
    study = run_study(f"seed {seed}", objective, optuna.storages.InMemoryStorage(), N_TRIALS, seed=seed)
    again = rerun(study, objective)
    chosen = choose(study, objective, again, N_FINALISTS, N_FRESH).candidate
    trials = finished(study)
    fresh = [each for name, each in study.user_attrs.items() if name.startswith("run again: ")]
    calls = sum(trial.user_attrs["calls"] for trial in trials) + sum(each["calls"] for each in fresh)
    luckiest = max(trials, key=lambda trial: trial.value)
    paper = true_quality(space.candidate(Given(space.nearest_to_paper())).settings)
    found = {
        "study": true_quality(chosen.settings),
        "luckiest_trial": true_quality(space.candidate(Given(luckiest.params)).settings),
        "random": random_search(space, runs, calls, seed),
        "grid": one_by_one(space, runs, calls, seed),
        "paper_default": paper,
    }
    return {
        "calls": calls,
        "optimum": round(best, 4),
        **{name: round(value / best, 4) for name, value in found.items()},
    }


class Meter:
    """Runs candidates while calls are left."""

    def __init__(self, runs: SimulatedRuns, calls: int) -> None:
        self.runs, self.left = runs, calls

    def __call__(self, candidate: Candidate, seed: int) -> float:
        self.left -= self.runs.taken(candidate.settings)[0]
        return self.runs(candidate, None, seed, Budget()).score


def random_search(space: Space, runs: SimulatedRuns, calls: int, seed: int) -> float:
    rng, meter, best = np.random.default_rng(seed), Meter(runs, calls), (-1.0, 0.0)
    while meter.left > 0:
        candidate = space.candidate(Given({name: drawn(bound, rng) for name, bound in space.bounds.items()}))
        score = float(np.mean([meter(candidate, n) for n in range(N_REPLICATES)]))
        best = max(best, (score, true_quality(candidate.settings)))
    return best[1]


def drawn(bound: Any, rng: np.random.Generator) -> Any:
    return bound.at(rng.random()) if isinstance(bound, Range) else bound[rng.integers(len(bound))]


def one_by_one(space: Space, runs: SimulatedRuns, calls: int, seed: int) -> float:
    """From the paper's default: one run for each value of a setting, the best value stays; then the next setting, and
    once more through all of them while calls are left."""
    meter, params, n_runs = Meter(runs, calls), space.nearest_to_paper(), 0
    while meter.left > 0:
        for name in space.bounds:
            scores = {}
            for value in levels(space.bounds[name]):
                n_runs += 1
                scores[value] = meter(space.candidate(Given({**params, name: value})), 10_000 + n_runs)
            params[name] = max(scores, key=lambda value: scores[value])
            if meter.left <= 0:
                break
    return true_quality(space.candidate(Given(params)).settings)


def levels(bound: Any) -> list[Any]:
    if isinstance(bound, Range):
        return list(dict.fromkeys(bound.at(n / (N_LEVELS - 1)) for n in range(N_LEVELS)))
    return list(bound)


def claims(lines: Any) -> Iterator[tuple[str, bool]]:
    ways = ("study", "luckiest_trial", "random", "grid", "paper_default")
    good = {way: int((lines[way] >= ENOUGH).sum()) for way in ways}
    shares = ", ".join(f"{way} {good[way]} (mean {lines[way].mean():.3f})" for way in ways)
    yield f"within 5 % of the optimum in so many of {len(lines)} seeds: {shares}", good["study"] >= 0.9 * len(lines)
    for way in ways[1:]:
        gap = lines["study"] - lines[way]
        said = f"better than {way} by {gap.mean():.3f} ± {1.96 * gap.sem():.3f} of the optimum"
        yield said, bool(gap.mean() > 1.96 * gap.sem())


if __name__ == "__main__":
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    given = arguments(str(__doc__).splitlines()[0], __file__, ["simulated"], 100)
    sys.exit(told(claims(recorded(given, line))))
