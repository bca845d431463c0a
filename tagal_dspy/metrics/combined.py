"""`TableMetric`: one score for a generated table, the same for evaluation, prompt optimisers and Optuna."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.metrics.calibration import Anchors, Score, anchors, calibrated
from tagal_dspy.metrics.diversity import Diversity, diversity_of
from tagal_dspy.metrics.feedback import feedback
from tagal_dspy.metrics.fidelity import Quality, quality_of, validity_of
from tagal_dspy.metrics.judging import Judged, judge
from tagal_dspy.metrics.kept import kept
from tagal_dspy.metrics.privacy import Privacy, Rows, excess, privacy_of
from tagal_dspy.metrics.tables import Encoder, Matrix, in_canonical_order, ready
from tagal_dspy.metrics.utility import DEFAULT_MODELS, Learning, Trial, Utility
from tagal_dspy.schema import Row
from tagal_dspy.task import TableTask

PARTS = ("utility", "fidelity", "diversity", "privacy")
DEFAULT_WEIGHTS: Mapping[str, float] = {"utility": 0.5, "fidelity": 0.5}
WORST = -1.0
OnStep = Callable[[str], None]
_N_REMEMBERED = 512


@dataclass(frozen=True)
class Evaluation:
    """Everything that is measured of one table.

    Attributes:
        score: see `TableMetric`.
        objectives: the parts and penalties that make it, higher is better: `utility` (where the task has a target),
            `fidelity`, `diversity`, `privacy`, `validity`, `collisions`.
        scores: `utility` and `fidelity`, raw and calibrated, with floor, ceiling and interval.
        problem: why the table cannot be judged; then there is nothing but the worst score.
        low: the score with every part at the lower end of its interval.
        high: likewise at the upper ends.
    """

    score: float
    objectives: Mapping[str, float]
    scores: Mapping[str, Score] = field(default_factory=dict)
    utility: Utility | None = None
    quality: Quality | None = None
    validity: Mapping[str, float] = field(default_factory=dict)
    diversity: Diversity | None = None
    privacy: Privacy | None = None
    problem: str = ""
    low: float = WORST
    high: float = WORST


class TableMetric:
    """Scores generated tables against the validation rows of their task; test rows are out of its reach.

    The score is the weighted mean of the parts, less the share of invalid cells, less the share of collisions that
    real rows would not have. It is 0 for independent marginals and 1 for as many real rows, on average. Worse than
    marginals is negative, down to -1 for an empty table: below the floor, too, an optimiser must see what is better.
    Set `failure_score=-1` where an optimiser asks for one.

    Args:
        weights: of the parts `utility`, `fidelity`, `diversity` and `privacy`; half utility, half fidelity where
            None. Without a target, utility is left out.
        learning: classifiers, metric and seeds of utility.
        n_replicates: floor and ceiling tables.
        seed: of everything random in the metric, whatever the seed of the run that is judged.
        folder: where floors and ceilings are kept for other processes; nowhere where None.
        on_step: called with what is measured next.

    Raises:
        SettingsError: unknown parts or weights that make no mean.
    """

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        *,
        learning: Learning | None = None,
        n_replicates: int = 8,
        seed: int = 0,
        folder: Path | None = None,
        on_step: OnStep = lambda step: None,
    ) -> None:
        self.weights = dict(DEFAULT_WEIGHTS if weights is None else weights)
        problems = [
            f"weight of {name!r}: the parts are {', '.join(PARTS)}" for name in self.weights if name not in PARTS
        ]
        problems += [f"weight of {name!r} is {value}, less than 0" for name, value in self.weights.items() if value < 0]
        if not any(self.weights.values()):
            problems.append("no weight is greater than 0")
        if problems:
            raise SettingsError("\n".join(problems))
        self.learning = learning or Learning(n_bootstrap=200)
        self.n_replicates, self.seed = n_replicates, seed
        self._folder, self._on_step = folder, on_step
        self._memo = _Memo()

    @property
    def fingerprint(self) -> dict[str, Any]:
        """All that decides what a table scores, ready for JSON: scores of equal fingerprints can be compared."""
        learning = asdict(self.learning) | {"classifiers": list(map(str, self.learning.classifiers))}
        how = {"weights": self.weights, "learning": learning, "n_replicates": self.n_replicates, "seed": self.seed}
        return {**how, "version": version("tagal-dspy")}

    def __call__(
        self, gold: Any, pred: Any, trace: Any = None, pred_name: str | None = None, pred_trace: Any = None
    ) -> Any:
        """Score a prediction.

        Args:
            gold: a `dspy.Example` with `task` and `n_rows`.
            pred: a prediction with `table`, and `rejects` where there are any.
            trace: not used.
            pred_name: the predictor to address the feedback to; all roles where None.
            pred_trace: not used.

        Returns:
            `dspy.Prediction(score, feedback, objective_scores)`.
        """
        import dspy

        table = getattr(pred, "table", None)
        evaluation = self.evaluate(gold.task, table, gold.n_rows)
        text = feedback(evaluation, gold.task, table, getattr(pred, "rejects", ()) or (), pred_name)
        return dspy.Prediction(score=evaluation.score, feedback=text, objective_scores=dict(evaluation.objectives))

    def evaluate(self, task: TableTask, table: Any, n_rows: int | None = None) -> Evaluation:
        """Measure a table, or remember what an equal one measured.

        Args:
            task: what it was generated for.
            table: the generated rows. Those with a cell that cannot be read count as invalid there, and in nothing
                else; see `judge`.
            n_rows: how many were asked for; floor and ceiling have as many, so that missing rows cost. The table's
                own number where None or greater.
        """
        try:
            judged = judge(task.schema, "table", table)
        except DataError as error:
            return Evaluation(WORST, dict.fromkeys(self._objectives(task), WORST), problem=str(error))
        n_rows = max(len(judged.whole), n_rows or 0)
        texts = Counter(task.schema.to_rows(judged.frame))
        # Texts of one length are ready alike, so that the digest alone would not tell them apart.
        key = ("table", task.id, n_rows, _digest(judged.whole), hash(frozenset(texts.items())))
        evaluation: Evaluation = self._memo.get(key, lambda: self._evaluate(task, judged, texts, n_rows))
        return evaluation

    def _evaluate(self, task: TableTask, judged: Judged, texts: Counter[Row], n_rows: int) -> Evaluation:
        rows = judged.ready
        judges: _Judges = self._memo.get(("judges", task.id), lambda: _Judges(task, self.learning))
        between: dict[str, Anchors] = self._memo.get(("anchors", task.id, n_rows), lambda: self._anchors(task, n_rows))
        self._on_step("utility and fidelity")
        utility, found = judges.utility(rows), judges.quality(rows)
        draws = {"fidelity": np.array([found.score])}
        if utility is not None:
            draws["utility"] = np.array([utility.value, *utility.draws])
        scores = {name: calibrated(each, between[name]) for name, each in draws.items()}
        valid = validity_of(judges.known, judged.whole, task.schema)
        varied, private = judges.diversity(rows, texts), judges.privacy(rows, texts)
        objectives = {name: softened(score.calibrated) for name, score in scores.items()} | {
            "diversity": _diversity_score(varied, len(rows)),
            "privacy": private.score,
            "validity": float(np.mean(list(valid.values()))),
            "collisions": 1 - excess(*varied.collisions, len(rows)),
        }
        ordered = {name: objectives[name] for name in self._objectives(task)}
        low, high = (
            self._score(ordered | {name: softened(getattr(score, end)) for name, score in scores.items()})
            for end in ("low", "high")
        )
        return Evaluation(
            self._score(ordered), ordered, scores, utility, found, valid, varied, private, low=low, high=high
        )

    def _objectives(self, task: TableTask) -> list[str]:
        parts = [name for name in PARTS if name != "utility" or task.schema.target is not None]
        return [*parts, "validity", "collisions"]

    def _score(self, objectives: Mapping[str, float]) -> float:
        weights = {name: weight for name, weight in self.weights.items() if name in objectives}
        total = sum(weights.values())
        if total == 0:
            raise SettingsError("only utility has a weight, and the task has no target to predict")
        mean = sum(weight * objectives[name] for name, weight in weights.items()) / total
        return max(WORST, mean - (1 - objectives["validity"]) - (1 - objectives["collisions"]))

    def _anchors(self, task: TableTask, n_rows: int) -> dict[str, Anchors]:
        judges: _Judges = self._memo.get(("judges", task.id), lambda: _Judges(task, self.learning))
        measures: dict[str, Callable[[pd.DataFrame], Matrix]] = {
            "fidelity": lambda table: np.array([judges.quality(in_canonical_order(table)).score])
        }
        if task.schema.target is not None:
            measures["utility"] = judges.utility_draws

        def made() -> dict[str, Anchors]:
            return {name: self._anchors_of(name, measure, judges.train, n_rows) for name, measure in measures.items()}

        # What an estimator that is given decides cannot be told from its name.
        if self._folder is None or any(model not in DEFAULT_MODELS for model in self.learning.classifiers):
            return made()
        return kept(self._folder, {**self.fingerprint, "rows": n_rows, **judges.digests}, made)

    def _anchors_of(
        self, name: str, measure: Callable[[pd.DataFrame], Matrix], train: pd.DataFrame, n_rows: int
    ) -> Anchors:
        def on_table(number: int) -> None:
            self._on_step(f"{name} of floor and ceiling, table {number} of {2 * self.n_replicates}")

        return anchors(
            measure, train=train, n_rows=n_rows, n_replicates=self.n_replicates, seed=self.seed, on_table=on_table
        )

    def __deepcopy__(self, memo: object) -> TableMetric:
        # Optimisers copy what they are given; copies that share their memory score the same table once.
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_memo", "_on_step")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _memo=_Memo(), _on_step=lambda step: None)


class _Judges:
    """What ready tables of a task are measured with; holds training and validation rows only."""

    def __init__(self, task: TableTask, learning: Learning) -> None:
        self._schema = task.schema
        self.train, self._validation = ready(task.schema, train=task.train, validation=task.validation)
        self.known = pd.concat([self.train, self._validation], ignore_index=True)
        self._trial = Trial(task.schema, self._validation, learning) if task.schema.target is not None else None
        self._encoder = Encoder(task.schema, self.train)
        self._used = Rows(self._encoder(self.train), Counter(task.train_rows))
        unused = Counter(task.schema.to_rows(task.validation))
        self._unused = Rows(self._encoder(self._validation), unused)

    @property
    def digests(self) -> dict[str, str]:
        """Of all that tables are compared with."""
        return {
            "schema": self._schema.fingerprint,
            "train": _digest(self.train),
            "validation": _digest(self._validation),
        }

    def utility(self, table: pd.DataFrame) -> Utility | None:
        return None if self._trial is None else self._trial.score(table)

    def utility_draws(self, table: pd.DataFrame) -> Matrix:
        found = self.utility(in_canonical_order(table))
        return np.array([]) if found is None else np.array([found.value, *found.draws])

    def quality(self, table: pd.DataFrame) -> Quality:
        return quality_of(self._validation, table, self._schema)

    def diversity(self, table: pd.DataFrame, texts: Counter[Row]) -> Diversity:
        return diversity_of(self._used.texts, texts, self.train, table, self._schema)

    def privacy(self, table: pd.DataFrame, texts: Counter[Row]) -> Privacy:
        return privacy_of(Rows(self._encoder(table), texts), self._used, self._unused)


class _Memo:
    """Remembers results by key; of several threads that ask for one at once, one computes and the others wait."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self._lock:
            future = self._results.get(key)
            mine = future is None
            if future is None:
                future = self._results[key] = Future()
                if len(self._results) > _N_REMEMBERED:
                    self._results.popitem(last=False)
            self._results.move_to_end(key)
        if mine:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._results.pop(key, None)
                future.set_exception(error)
        return future.result()


def softened(value: float) -> float:
    """A calibrated value, unchanged from 0 to 1, outside nearing -0.5 and 1.5.

    Marginals have perfect column shapes, so that rows an LM made may lie many gaps below them in fidelity. That shall
    count, and improvement there too, but not drown what the other parts say.

    >>> softened(0.3), softened(-1.0), softened(2.0)
    (0.3, -0.25, 1.25)
    """
    if 0 <= value <= 1:
        return value
    beyond = value - 1 if value > 1 else value
    return float(value > 1) + beyond / (1 + abs(beyond)) / 2


def _diversity_score(varied: Diversity, n_rows: int) -> float:
    """1 where rows repeat no more, and categories occur no less, than in as many real rows."""
    fresh = 1 - excess(*varied.duplicates, n_rows)
    if np.isnan(varied.category_coverage.value):
        return fresh
    return (fresh + min(1.0, varied.category_coverage.value / varied.category_coverage.real)) / 2


def _digest(rows: pd.DataFrame) -> str:
    return hashlib.sha256(pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes()).hexdigest()
