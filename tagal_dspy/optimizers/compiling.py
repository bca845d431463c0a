"""`compile_program`: better prompts within a budget, and proof on held-out tasks that they are better."""

from __future__ import annotations

import contextvars
import inspect
import logging
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import Any

import dspy

from tagal_dspy.background import GRACE_SECONDS
from tagal_dspy.engines import count_tokens, pricing
from tagal_dspy.errors import BudgetError, EngineError, SettingsError
from tagal_dspy.metrics import Comparison, compare
from tagal_dspy.modules import TagalLoop, estimated
from tagal_dspy.optimizers.drivers import driver_of
from tagal_dspy.optimizers.job import Driver, Job, Metric, scored, value_of
from tagal_dspy.optimizers.lineage import Candidate, Lineage
from tagal_dspy.optimizers.search import changed, check_bounds
from tagal_dspy.optimizers.tasks import Tasks, task_key
from tagal_dspy.recording import Price, Recorder, RunStore, Usage, listening_lm
from tagal_dspy.settings import Budget

logger = logging.getLogger(__name__)

ALPHA = 0.05
"""A gain counts when the paired test on held-out tasks gives less."""

RESERVE = 1.25
"""Of what the seed program took on the held-out tasks, kept for the optimized one: longer prompts cost more."""


@dataclass(frozen=True)
class Compiled:
    """What came of a compilation.

    Attributes:
        program: the optimized program where it is proven better, else the seed program; carries its lineage when saved.
        improved: which of them it is.
        verdict: the same in words.
        gain: optimized less seed program on the held-out tasks; None where no other program was found.
        seed_scores: of the seed program on the held-out tasks.
        scores: of the optimized program on them; empty where there is none.
        lineage: every candidate.
        pareto: the candidates that no other one beats in all objectives, on the validation tasks.
        usage: calls, tokens and cost of generation, reflection and proof together; recorded calls included.
    """

    program: TagalLoop
    improved: bool
    verdict: str
    gain: Comparison | None
    seed_scores: tuple[float, ...]
    scores: tuple[float, ...]
    lineage: Lineage
    pareto: tuple[Candidate, ...]
    usage: Usage


@dataclass(frozen=True)
class Plan:
    """What a compilation will take, as far as can be told before: every row that comes is taken to be accepted.

    Attributes:
        calls, tokens: of one table.
        cost: of one table; None where the price is not known.
        proof_tables: written to prove the gain, half of them before the optimizer starts.
        least_tables: written by the optimizer until it has tried one candidate.
        tables: that the budget leaves to the optimizer; None where the budget does not say.
    """

    calls: int
    tokens: int
    cost: float | None
    proof_tables: int
    least_tables: int
    tables: int | None


def compile_program(
    program: TagalLoop,
    tasks: Tasks,
    metric: Metric,
    optimizer: Any = "gepa",
    *,
    budget: Budget,
    reflection_lm: dspy.LM | None = None,
    price: Price | None = None,
    store: RunStore | None = None,
    seed: int = 0,
    n_threads: int = 4,
    demos: bool = False,
    bounds: Mapping[str, Any] | None = None,
    on_usage: Callable[[Usage], None] | None = None,
) -> Compiled:
    """Optimize the prompts of a program, or its prompts and settings together.

    The seed program writes the held-out tables first, which shows what a table takes; then the optimizer works with
    what the budget leaves; in the end its program writes the held-out tables under the same seeds. Only a gain that
    a paired test finds there counts.

    Args:
        program: stays as it is.
        tasks: see `split_tasks`.
        metric: called as `metric(gold, pred, trace, pred_name, pred_trace)`; returns a score, higher is better, or a
            `dspy.Prediction` with `score`, `feedback` and `objective_scores`.
        optimizer: `gepa`, `mipro`, `copro` and `simba` write instructions, `optuna` searches settings and instructions
            together, `bootstrap` and `bootstrap-rs` make demos; or an optimizer object of DSPy, whose metric is
            replaced by this one.
        budget: of all calls together; see `Budget`.
        reflection_lm: writes the new prompts; the LM of `dspy.settings` where None.
        price: what a call costs; list prices where None.
        store: records every call. Made anew with its record, a compilation that was stopped asks nothing again, and
            the same program comes out.
        seed: of the optimizer.
        n_threads: tables written at once.
        demos: allow optimizers that make demos; demos hold real rows.
        bounds: of the settings that `optuna` searches, as for `search_space`; `SEARCHED` of the model's style where
            None.
        on_usage: called after each call, on any thread, with what all calls so far took.

    Raises:
        SettingsError: tasks overlap, the optimizer is unknown, the metric takes other arguments, the budget is too
            small for one candidate, or it is of money and a price is not known.
        EngineError: no language model is set.
        BudgetError: the budget ended before the seed program was measured.
    """
    price = price or pricing()
    _check(program, tasks, metric, optimizer, budget, demos, price, bounds)
    name = optimizer if isinstance(optimizer, str) else type(optimizer).__name__
    if store is not None:
        store.begin(fingerprint(program, tasks, name, seed, bounds))
    recorder, lineage = Recorder(store, budget, price, on_usage, remembers=True), Lineage(program)

    def work() -> Compiled:
        with _recorded(program, reflection_lm, recorder, lineage) as (student, lm):
            compilation = _Compilation(student, tasks, lineage.watched(metric), recorder, lineage, n_threads)
            found = compilation.run(driver_of(optimizer), lm, seed, bounds)
        return compilation.judged(program, found, {"optimizer": name, "seed": seed, "metric": _described(metric)})

    # On a thread of its own: on the main one DSPy would take an interrupt for itself.
    running = ThreadPoolExecutor(1, "tagal-optimizer").submit(contextvars.copy_context().run, work)
    try:
        return running.result()
    finally:
        recorder.close(GRACE_SECONDS)


def planned(program: dspy.Module, tasks: Tasks, optimizer: Any, budget: Budget, price: Price | None = None) -> Plan:
    """What `compile_program` will take; no LM is called, but `dspy.settings` must have one.

    Raises:
        SettingsError: as `compile_program` does.
    """
    tasks.check()
    calls, n_in, n_out = 1, 0, 0
    if isinstance(program, TagalLoop):
        example = tasks.held_out[0]
        found = estimated(program, example.task, example.n_rows, count_tokens)
        calls = found.draws + found.critiques + found.summaries
        n_in, n_out = found.prompt_tokens, found.completion_tokens
    cost = (price or pricing())(dspy.settings.lm.model, n_in, n_out) if dspy.settings.lm is not None else None
    if budget.max_cost is not None and cost is None:
        raise SettingsError("the budget is in money and the price of the model is not known; give it with --price")
    n_proof, least = 2 * len(tasks.held_out), driver_of(optimizer).least(tasks, len(program.predictors()))
    limits = [(budget.max_calls, calls), (budget.max_tokens, n_in + n_out), (budget.max_cost, cost)]
    bounds = [int(limit // each) - n_proof for limit, each in limits if limit is not None and each]
    plan = Plan(calls, n_in + n_out, cost, n_proof, least, min(bounds) if bounds else None)
    if plan.tables is not None and plan.tables < least:
        n_tables, money = n_proof + least, f" (${(n_proof + least) * cost:.2g})" if cost else ""
        raise SettingsError(
            f"the budget is too small for one candidate: {n_tables} tables of about {calls} calls and "
            f"{plan.tokens} tokens take {n_tables * calls} calls and {n_tables * plan.tokens} tokens{money}; "
            "give more, or fewer tasks"
        )
    return plan


def _check(
    program: dspy.Module,
    tasks: Tasks,
    metric: Metric,
    optimizer: Any,
    budget: Budget,
    demos: bool,
    price: Price,
    bounds: Mapping[str, Any] | None,
) -> None:
    """Raise `SettingsError` or `EngineError` for what cannot work, before anything is paid."""
    try:
        inspect.signature(metric).bind(None, None, None, None, None)
    except TypeError as error:
        raise SettingsError(
            f"the metric must take (gold, pred, trace, pred_name, pred_trace), as optimizers call it: {error}"
        ) from error
    driver = driver_of(optimizer)
    if driver.makes_demos and not demos:
        raise SettingsError(
            f"{optimizer} makes demos, which hold real rows; allow them with demos=True (--allow-demos)"
        )
    if driver.takes_bounds:
        check_bounds(program, bounds)
    elif bounds is not None:
        raise SettingsError(f"{optimizer} searches instructions alone; leave the bounds out, or use optuna")
    if not budget.model_dump(exclude_none=True):
        raise SettingsError("a compilation needs a budget of calls, tokens or money")
    if dspy.settings.lm is None and any(each.lm is None for each in program.predictors()):
        raise EngineError("no language model; use dspy.context(lm=make_lm(...)) or dspy.configure(lm=...)")
    planned(program, tasks, optimizer, budget, price)


@contextmanager
def _recorded(
    program: dspy.Module, reflection_lm: dspy.LM | None, recorder: Recorder, lineage: Lineage
) -> Iterator[tuple[dspy.Module, dspy.LM]]:
    """A copy of the program, and the LM for reflection, whose calls are recorded.

    DSPy's cache is left out: what it answers would not be counted, and another program would come out.
    """
    student = program.deepcopy()
    for predictor in student.predictors():
        if predictor.lm is not None:
            predictor.lm = _uncached(predictor.lm)
    lm = dspy.settings.lm
    callbacks = [*dspy.settings.callbacks, lineage]
    with recorder.active(), dspy.context(lm=_uncached(lm) if lm is not None else None, callbacks=callbacks):
        yield student, _uncached(reflection_lm) if reflection_lm is not None else dspy.settings.lm


def _uncached(lm: dspy.LM) -> dspy.LM:
    return listening_lm(lm.copy(cache=False))


class _Compilation:
    """One run of an optimizer and its proof."""

    def __init__(
        self, student: Any, tasks: Tasks, metric: Metric, recorder: Recorder, lineage: Lineage, n_threads: int
    ) -> None:
        self._student, self._tasks, self._metric = student, tasks, metric
        self._recorder, self._lineage, self._n_threads = recorder, lineage, n_threads
        self._seed_scores: tuple[float, ...] = ()
        self._scores: tuple[float, ...] = ()
        self._problem = ""

    def run(self, driver: Driver, lm: dspy.LM, seed: int, bounds: Mapping[str, Any] | None) -> Any:
        """Measure the seed program, optimize, measure what was found; gives the program that was found."""
        account = self._recorder.account
        budget, objectives = account.budget, self._prove_seed()
        account.budget, n_tables = _left(budget, account.usage, len(self._tasks.held_out))
        if n_tables < driver.least(self._tasks, len(self._student.predictors())):
            self._problem = f"the budget left {n_tables} tables, too few for one candidate"
            return self._student
        job = Job(
            self._student,
            self._tasks,
            self._metric,
            lm,
            n_tables,
            seed,
            self._n_threads,
            objectives,
            lambda: self._recorder.has_refused,
            bounds,
        )
        found = self._optimized(driver, job)
        account.budget, self._recorder.has_refused = budget, False
        if self._lineage.candidate(found).number != 0:
            self._prove(found)
        return found

    def _prove_seed(self) -> bool:
        self._seed_scores = self._scored(self._student)
        return any(each.objectives for each in self._lineage.candidates.values())

    def _prove(self, found: Any) -> None:
        try:
            self._scores = self._scored(found)
        except BudgetError as error:
            self._problem = f"the program that was found could not be measured: {error}"

    def _optimized(self, driver: Driver, job: Job) -> Any:
        """What the optimizer found; the best of its candidates where the budget ended it."""
        try:
            found = driver.run(job)
        except Exception as error:
            # Optimizers meet the end of the budget with errors of many kinds; none of them matters.
            if not self._recorder.has_refused:
                raise
            logger.info("the budget ended the optimizer: %s", error)
            found = None
        if found is not None and not self._recorder.has_refused:
            return found
        self._lineage.forget_cut()
        best = self._lineage.best([task_key(each) for each in self._tasks.valid])
        return changed(self._student, best.prompts, best.settings) if best is not None else self._student

    def _scored(self, program: Any) -> tuple[float, ...]:
        """Scores on the held-out tasks."""
        return tuple(map(value_of, scored(program, self._tasks.held_out, self._metric, self._n_threads)))

    def judged(self, program: Any, found: Any, about: dict[str, Any]) -> Compiled:
        """The better program, with its lineage."""
        gain = compare(self._scores, self._seed_scores) if self._scores else None
        improved = gain is not None and gain.difference > 0 and gain.p_value < ALPHA
        better = program.deepcopy()
        if improved:
            if getattr(found, "settings", None) != getattr(program, "settings", None):
                better.apply(found.settings)
            for (_, mine), (_, its) in zip(better.named_predictors(), found.named_predictors(), strict=True):
                mine.signature, mine.demos = its.signature, its.demos
        verdict, usage = self._verdict(gain, improved), self._recorder.usage
        pareto = tuple(self._lineage.pareto([task_key(each) for each in self._tasks.valid]))
        better.lineage = {
            **about,
            "versions": {name: version(name) for name in ("tagal-dspy", "dspy")},
            "verdict": verdict,
            "improved": improved,
            "gain": asdict(gain) if gain is not None else None,
            "held_out": {"seed": list(self._seed_scores), "optimized": list(self._scores)},
            "usage": usage,
            "cost": usage.cost,
            "pareto": [each.number for each in pareto],
            "candidates": self._lineage.to_list(),
        }
        return Compiled(
            better,
            improved,
            verdict,
            gain,
            self._seed_scores,
            self._scores,
            self._lineage,
            pareto,
            usage,
        )

    def _verdict(self, gain: Comparison | None, improved: bool) -> str:
        if gain is None:
            return f"no other program: {self._problem or 'nothing scored better than the seed program'}"
        p = "p < 0.001" if gain.p_value < 0.001 else f"p = {gain.p_value:.3f}"
        figures = f"{gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}] on {gain.n_pairs} held-out tasks, {p}"
        return f"significant gain: {figures}" if improved else f"no significant gain: {figures}; the seed program stays"


def _left(budget: Budget, spent: Usage, n_tables: int) -> tuple[Budget, int]:
    """The budget of the optimizer, which leaves enough for the proof, and how many tables it pays for."""
    limits, bounds = {}, []
    for name, used in (("max_calls", spent.calls), ("max_tokens", spent.tokens), ("max_cost", spent.cost)):
        limit = getattr(budget, name)
        if limit is None or not used:
            continue
        kept = limit - RESERVE * used
        limits[name] = max(kept, used) if name == "max_cost" else max(math.floor(kept), math.ceil(used))
        bounds.append((kept - used) / (used / n_tables))
    return budget.model_copy(update=limits), math.floor(min(bounds, default=0))


def fingerprint(
    program: Any, tasks: Tasks, optimizer: str, seed: int, bounds: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """All that decides which program comes out, but for the budget and what the language models answer."""
    return {
        "version": version("tagal-dspy"),
        "program": program.dump_state(),
        "tasks": {name: [task_key(each) for each in part] for name, part in tasks._asdict().items()},
        "optimizer": optimizer,
        "seed": seed,
        **({"bounds": bounds} if bounds is not None else {}),
    }


def _described(metric: Metric) -> Any:
    """What a metric is, as it can be said in a file."""
    return getattr(metric, "fingerprint", None) or getattr(metric, "__qualname__", type(metric).__qualname__)
