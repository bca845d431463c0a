"""The examples of composing do what their docstrings say, with scripted language models."""

from __future__ import annotations

import json
import random
from pathlib import Path

import dspy
import pytest
from planted import PLANTED, obedient_lm, youth
from scripts import shop_rows, shop_task

from tagal_dspy import Budget, RunSettings, SynthLoop, TableMetric
from tagal_dspy.testing import Answer, Asked, scripted_lm

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
LOOP = SynthLoop(RunSettings(n_iter=1, n_shots=2, critic="none", rows_per_draw=8))


def proposer() -> dspy.LM:
    """Proposes the planted sentence: to us as fields, to GEPA's own question as JSON."""
    plain = json.dumps({"new_instruction": PLANTED})
    return scripted_lm(lambda asked: dict.fromkeys(asked.fields, PLANTED) or plain, cache=False)


@pytest.fixture(autouse=True)
def _examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent.parent / "experiments" / "examples")


def test_loops_run_in_parallel_and_the_best_of_some_is_kept() -> None:
    import loops_in_programs as example

    draws = iter(range(100))

    def rows(asked: Asked) -> Answer:
        return {"rows": shop_rows(8, random.Random(next(draws)))}

    task, metric = shop_task(), TableMetric(n_replicates=2)
    with dspy.context(lm=scripted_lm(rows, cache=False)):
        tables = [each.table for each in example.tables_of_seeds(LOOP, task, 8, range(3))]
        assert len({table.to_csv() for table in tables}) == 3
        best = example.best_table(LOOP, task, 8, 3, metric)
    assert next(draws) >= 6
    assert len(best.table) == 8
    assert all(predictor.lm is None for predictor in LOOP.predictors())


def test_own_module_around_the_generator_is_compiled_by_plain_gepa() -> None:
    import own_module as example

    with dspy.context(lm=obedient_lm()):
        found = example.compiled(shop_task(), youth, proposer(), 10, 30)
    assert PLANTED in found.draw.generator.predict.signature.instructions


def test_own_critic_sampler_and_metric_are_compiled_and_proven() -> None:
    import own_parts as example

    with dspy.context(lm=obedient_lm()):
        found = example.compiled(shop_task(), 40, proposer(), Budget(max_calls=120), 10)
    assert found.improved
    assert PLANTED in found.program.generator.predict.signature.instructions
