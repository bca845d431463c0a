"""A sampler for few and noisy trials: a model of main effects and interactions says where to look next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.trial import TrialState

from tagal_dspy.optimizers.space import Given, Range, Space

N_STARTUP = 15
N_PROPOSED = 300
MAX_TRIALS = 300
"""Trials that the model learns from, the latest ones: its cost grows with their cube."""

EXPLORED = 4
"""One trial in so many goes where the score may be highest rather than where improvement is likeliest."""

REACH = 0.5
"""How far along its range a number tells of others."""

MAIN = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08)
TOGETHER = (1e-4, 1e-3, 3e-3, 1e-2)
"""Variances of main effects and of interactions to choose from, in squares of the score."""

UNKNOWN_LEVEL = 0.25
USUAL_NOISE = 0.08**2
"""Variance of one run, where no candidate was run twice (as large as in the runs of arXiv:2509.04152)."""


class Seen(NamedTuple):
    """A trial as the model sees it: place in the space, mean score, number of scores, their sum of squares."""

    number: int
    place: tuple[float, ...]
    mean: float
    n_runs: int
    squares: float


class Surrogate:
    """A Gaussian process over a space: a sum of one effect for each parameter, and one of all of them together."""

    def __init__(self, space: Space, seen: Sequence[Seen]) -> None:
        self.seen = seen[-MAX_TRIALS:]
        self._choices = np.array([not isinstance(bound, Range) for bound in space.bounds.values()])
        self._places = np.array([each.place for each in self.seen])
        means, counts = (np.array([getattr(each, name) for each in self.seen]) for name in ("mean", "n_runs"))
        freedom = int((counts - 1).sum())
        self.noise = sum(each.squares for each in self.seen) / freedom if freedom else USUAL_NOISE
        self.level = float(means.mean())
        kernels = self._kernels(self._places)
        noise = np.diag(max(self.noise, 1e-6) / counts)
        fits = [self._fitted(kernels, noise, means, main, both) for main in MAIN for both in TOGETHER]
        _, self._variances, self._factor, self._weights = max(fits, key=lambda fit: fit[0])

    def __call__(self, places: Sequence[Sequence[float]]) -> tuple[np.ndarray, np.ndarray]:
        """Expected score and its standard deviation at some places."""
        main, both = self._kernels(np.array(places))
        cross = self._variances[0] * main + self._variances[1] * both + UNKNOWN_LEVEL
        known = np.linalg.solve(self._factor, cross.T)
        left = sum(self._variances) + UNKNOWN_LEVEL - (known**2).sum(axis=0)
        return cross @ self._weights + self.level, np.sqrt(np.maximum(left, 1e-9))

    def _kernels(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        apart = np.abs(places[:, None, :] - self._places[None])
        far = np.where(self._choices, 2.0 * (apart > 0.5), (apart / REACH) ** 2 / 2)
        return np.exp(-np.where(self._choices, 50 * far, far)).mean(axis=-1), np.exp(-far.sum(axis=-1) / 4)

    def _fitted(self, kernels: Any, noise: np.ndarray, means: np.ndarray, main: float, both: float) -> Any:
        factor = np.linalg.cholesky(main * kernels[0] + both * kernels[1] + noise + UNKNOWN_LEVEL)
        half = np.linalg.solve(factor, means - self.level)
        likelihood = -half @ half / 2 - np.log(np.diag(factor)).sum()
        return likelihood, (main, both), factor, np.linalg.solve(factor.T, half)


class SurrogateSampler(optuna.samplers.BaseSampler):  # type: ignore[misc]
    """Proposes where the surrogate expects most improvement over the best it knows; at random to begin with.

    For scalar studies over a `Space`. It knows how noisy scores are from the replicates of each trial, which Optuna's
    samplers do not, and finds the good region in the few trials that language models allow.

    Args:
        space: what is searched.
        seed: with the number of a trial it names all that is random in its proposal.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        self._space, self._seed = space, seed
        self._proposals: dict[int, dict[str, Any]] = {}

    def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, Any]:
        """Nothing: parameters are asked for one by one."""
        return {}

    def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
        """Nothing; see `infer_relative_search_space`."""
        return {}

    def sample_independent(self, study: Any, trial: Any, param_name: str, param_distribution: Any) -> Any:
        """The value of a parameter in the proposal for a trial."""
        if trial.number not in self._proposals:
            self._proposals = {trial.number: self._proposal(study, trial.number)}
        return self._proposals[trial.number][param_name]

    def _proposal(self, study: Any, number: int) -> dict[str, Any]:
        rng = np.random.default_rng([self._seed, number])
        seen = seen_trials(self._space, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        if len(seen) < N_STARTUP:
            return self._drawn(rng)
        surrogate = Surrogate(self._space, seen)
        expected, _ = surrogate([each.place for each in surrogate.seen])
        trials = study.get_trials(deepcopy=False)
        best = [trials[surrogate.seen[place].number].params for place in np.argsort(-expected)[:5]]
        near = [self._drawn(rng, best[n % len(best)], (0.6, 0.75, 0.9)[n % 3]) for n in range(N_PROPOSED)]
        proposals = near + [self._drawn(rng) for _ in range(N_PROPOSED // 3)]
        places = [place_of(self._space, self._space.values(Given(each))) for each in proposals]
        begun = [each.user_attrs for each in trials if {"settings", "lm", "program"} <= each.user_attrs.keys()]
        tried = {_about(place_of(self._space, {**each["settings"], **each})) for each in begun}
        fresh = [n for n, place in enumerate(places) if _about(place) not in tried] or list(range(len(places)))
        means, spreads = surrogate([places[n] for n in fresh])
        if number % EXPLORED == 0:
            return proposals[fresh[int(np.argmax(means + 2 * spreads))]]
        gain = (means - expected.max()) / spreads
        normal = np.array([math.erf(each / math.sqrt(2)) for each in gain]) / 2 + 0.5
        promised = spreads * (gain * normal + np.exp(-(gain**2) / 2) / math.sqrt(2 * math.pi))
        return proposals[fresh[int(np.argmax(promised))]]

    def _drawn(self, rng: Any, like: dict[str, Any] | None = None, share: float = 0.0) -> dict[str, Any]:
        """A value of every parameter: at random, or with this probability as in another proposal or near it."""
        drawn = {}
        for name, bound in self._space.bounds.items():
            kept = like is not None and name in like and rng.random() < share
            if isinstance(bound, Range):
                at = bound.share(like[name]) + rng.choice([0, 0.15]) * rng.normal() if like and kept else rng.random()
                drawn[name] = bound.at(min(max(at, 0.0), 1.0))
            else:
                drawn[name] = like[name] if like and kept else bound[rng.integers(len(bound))]
        return drawn


def seen_trials(space: Space, trials: Sequence[Any]) -> list[Seen]:
    """What a surrogate learns from: the feasible trials with the scores that they reported."""
    seen = []
    for trial in trials:
        scores = np.array(list(trial.intermediate_values.values()) or [trial.values[0]])
        if trial.state == TrialState.COMPLETE and all(value <= 0 for value in trial.constraints.values()):
            squares = float(((scores - scores.mean()) ** 2).sum())
            place = place_of(space, space.values(Given(trial.params)))
            seen.append(Seen(trial.number, place, float(scores.mean()), len(scores), squares))
    return seen


def _about(place: Sequence[float]) -> tuple[float, ...]:
    """A place without its decimals: what was tried there need not be tried beside it."""
    return tuple(round(each * 10) for each in place)


def place_of(space: Space, values: dict[str, Any]) -> tuple[float, ...]:
    """Where settings are: numbers by their share of the range, choices by their place among them.

    What does not apply lies in the middle, so that it tells nothing.
    """
    place = []
    for name, bound in space.bounds.items():
        value = values[name]
        if isinstance(bound, Range):
            place.append(0.5 if value is None else bound.share(value))
        else:
            place.append(float(bound.index(value)) if value in bound else -1.0)
    return tuple(place)
