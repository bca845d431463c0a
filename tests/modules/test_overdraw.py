"""More rows are accepted than wanted, and the best of them are kept."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import dspy
import pytest
from scripts import other_roles, shop_rows, shop_task

from tagal_dspy.conditions import Condition, Slot
from tagal_dspy.errors import BudgetError
from tagal_dspy.measures.selection import select_rows
from tagal_dspy.modules import METHODS, Progress, SynthLoop
from tagal_dspy.modules.estimate import estimated
from tagal_dspy.modules.wanted import Wanted
from tagal_dspy.recording import Recorder, RunStore, load_run
from tagal_dspy.settings import Budget, Method, run_settings
from tagal_dspy.testing import Answer, Asked, scripted_lm

EVERY_METHOD = pytest.mark.parametrize("method", list(METHODS))


def by_content(asked: Asked) -> Answer:
    if "rows" not in asked.fields:
        return other_roles(asked)
    return {"rows": shop_rows(6, random.Random(repr((asked.turns, asked.extra, asked.seed))))}


def made(method: Method = "synth-loop", n_rows: int = 20, answer: Any = by_content, **more: Any) -> dspy.Prediction:
    settings = {"n_iter": 2, "n_shots": 2, "rows_per_draw": 6, "rounds_ahead": 4, "overdraw": 3.0}
    call = {name: more.pop(name) for name in ("wanted", "recorder", "on_progress") if name in more}
    loop = METHODS[method](run_settings("grounded", method=method, **settings | more))
    with dspy.context(lm=scripted_lm(answer, takes_grammar=True, cache=False)):
        return loop(task=shop_task(), n_rows=n_rows, seed=3, **call)


@EVERY_METHOD
def test_table_has_the_rows_that_were_selected_of_all_accepted_ones(method: Method) -> None:
    found = made(method)
    assert len(found.table) == 20
    assert len(found.not_selected) >= 40
    assert found.selection.after < found.selection.before
    rows = shop_task().schema.to_rows(found.table)
    assert Counter(row for _, of_slot in found.by_slot for row in of_slot) == Counter(rows)


def test_real_class_shares_are_exact_among_the_selected_rows() -> None:
    selected, all_rows = made(n_rows=30), made(n_rows=30, overdraw=1.0)
    assert Counter(selected.table["buys"]) == Counter(all_rows.table["buys"])


def test_quotas_and_condition_hold_for_the_selected_rows() -> None:
    task = shop_task()
    wanted = Wanted(Condition.parse("age >= 40", task.schema), None, {Slot("yes"): 9, Slot("no"): 3})
    found = made(n_rows=12, wanted=wanted)
    assert Counter(found.table["buys"]) == {"yes": 9, "no": 3}
    assert found.table["age"].min() >= 40


def test_rows_of_a_condition_are_selected_by_the_training_rows_that_meet_it() -> None:
    task = shop_task()
    condition = Condition.parse("age >= 40", task.schema)
    found = made(n_rows=12, wanted=Wanted(condition, None, {Slot("yes"): 9, Slot("no"): 3}))
    pool = [*task.schema.to_rows(found.table), *task.schema.to_rows(found.not_selected)]
    groups = [Slot(row[-1], condition) for row in pool]
    quotas = {Slot("yes", condition): 9, Slot("no", condition): 3}
    assert found.selection.after == select_rows(task, pool, groups, quotas, seed=3).after


@EVERY_METHOD
def test_without_overdraw_no_row_is_selected(method: Method) -> None:
    found = made(method, overdraw=1.0)
    assert found.selection is None
    assert len(found.not_selected) == 0
    assert len(found.table) == 20


@EVERY_METHOD
def test_paper_preset_selects_no_rows(method: Method) -> None:
    assert run_settings("paper", method=method).overdraw == 1


def test_rows_that_were_not_selected_are_no_rejects() -> None:
    found = made()
    rejected = {reject.text for reject in found.rejects if reject.reason != "quota_full"}
    left_out = {",".join(map(str, row)) for row in shop_task().schema.to_rows(found.not_selected)}
    assert not rejected & left_out


@EVERY_METHOD
def test_selected_rows_are_the_same_at_any_concurrency(method: Method) -> None:
    def unsteady(asked: Asked) -> Answer:
        time.sleep(random.choice([0, 0.002]))
        with room:
            return by_content(asked)

    found = []
    for at_once in (1, 5, 64):
        room = threading.Semaphore(at_once)
        each = made(method, answer=unsteady)
        found.append((each.table.to_csv(), each.not_selected.to_csv()))
    assert found[0] == found[1] == found[2]


def test_budget_that_pays_for_the_rows_wanted_gives_them_selected_from_fewer() -> None:
    found = made(critic="none", n_iter=1, recorder=Recorder(budget=Budget(max_calls=8)))
    assert len(found.table) == 20
    assert 0 < len(found.not_selected) <= 8 * 6 - 20


def test_budget_that_pays_for_fewer_rows_than_wanted_is_an_error_with_all_of_them() -> None:
    with pytest.raises(BudgetError, match="of 20 rows accepted") as caught:
        made(critic="none", n_iter=1, recorder=Recorder(budget=Budget(max_calls=2)))
    assert 0 < len(caught.value.prediction.table) <= 12


def test_record_holds_the_selected_rows_and_apart_from_them_the_others(tmp_path: Path) -> None:
    tables = []
    for _ in range(2):  # made, and resumed from its record
        with RunStore(tmp_path / "run.sqlite") as store:
            found = made(recorder=Recorder(store))
        record = load_run(tmp_path / "run.sqlite")
        schema = shop_task().schema
        assert list(record.rows) == list(schema.to_rows(found.table))
        assert list(record.not_selected) == list(schema.to_rows(found.not_selected))
        tables.append(found.table.to_csv())
    assert tables[0] == tables[1]


def test_progress_counts_the_accepted_rows_and_ends_with_the_selected_ones() -> None:
    shown: list[Progress] = []
    made(on_progress=shown.append)
    assert (len(shown[-1].rows), shown[-1].n_wanted) == (20, 20)
    assert {progress.n_wanted for progress in shown[:-1]} == {60}


def test_estimate_counts_the_draws_of_all_rows_that_are_accepted() -> None:
    programs = [SynthLoop(run_settings("grounded", critic="none", n_iter=1, overdraw=factor)) for factor in (1.0, 3.0)]
    with dspy.context(lm=scripted_lm(by_content)):
        calls = [estimated(program, shop_task(), 100, len) for program in programs]
    assert 2.5 * calls[0].draws < calls[1].draws <= 3 * calls[0].draws


def test_pool_is_selected_from_by_the_training_rows() -> None:
    found = made()
    task = shop_task()
    kept, others = (list(task.schema.to_rows(frame)) for frame in (found.table, found.not_selected))
    counts = Counter(row[-1] for row in kept)
    slots = {label: Slot(str(label)) for label in counts}
    pool = [*kept, *others]
    again = select_rows(
        task, pool, [slots.get(row[-1], Slot("?")) for row in pool], {slots[k]: n for k, n in counts.items()}, seed=3
    )
    assert Counter(pool[place] for place in again.places) == Counter(kept)


def test_rows_of_trees_are_selected_from_beside_those_of_the_model() -> None:
    found = made(n_rows=30, overdraw=1.0, trees=3.0)
    assert len(found.table) == 30
    assert len(found.not_selected) == 90
    assert 0 < found.n_from_trees < 30
    without = made(n_rows=30, overdraw=1.0)
    assert found.rejects == without.rejects
    assert without.n_from_trees == 0


def test_rows_of_trees_keep_condition_quotas_and_novelty() -> None:
    task = shop_task()
    wanted = Wanted(Condition.parse("age >= 40", task.schema), None, {Slot("yes"): 9, Slot("no"): 3})
    found = made(n_rows=12, wanted=wanted, trees=4.0)
    rows = task.schema.to_rows(found.table)
    assert Counter(found.table["buys"]) == {"yes": 9, "no": 3}
    assert found.table["age"].min() >= 40
    assert len(set(rows)) == 12
    assert not set(rows) & task.real_rows


def test_rows_of_trees_do_not_replace_rows_that_the_model_did_not_write() -> None:
    with pytest.raises(BudgetError, match="of 20 rows accepted"):
        made(critic="none", n_iter=1, overdraw=1.0, trees=5.0, recorder=Recorder(budget=Budget(max_calls=2)))
