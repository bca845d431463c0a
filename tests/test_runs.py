"""A run is recorded as it goes, and resumed to the same table without asking anything twice."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scripts import shop_frame, shop_rows, shop_writer

from tagal_dspy.errors import BudgetError, DataError, OutputError, RunError
from tagal_dspy.modules import METHODS, Ledger
from tagal_dspy.runs import Recorded, RunStore, load_run, total_usage
from tagal_dspy.settings import Budget, Method
from tagal_dspy.synthesizer import TagalSynthesizer
from tagal_dspy.testing import Answer, Asked, scripted_lm

EVERY_METHOD = pytest.mark.parametrize("method", list(METHODS))


class StoppedError(Exception):
    """What ends a run in the middle of it."""


def synthesizer(
    stop_after: int | None = None, write: Callable[[Asked], Answer] | None = None, **settings: Any
) -> tuple[TagalSynthesizer, Any]:
    """A synthesizer whose model fails after so many calls."""
    write = write or shop_writer()

    def answer(asked: Asked) -> Answer:
        if stop_after is not None and len(lm.engine.asked) > stop_after:
            raise StoppedError
        return write(asked)

    lm = scripted_lm(answer, cache=False)
    made = TagalSynthesizer(lm, **{"seed": 4, "n_shots": 2, "n_iter": 2, "rounds_ahead": 1, **settings})
    return made.fit(shop_frame(), "buys"), lm.engine


def sampled(path: Path, made: TagalSynthesizer, n_rows: int = 50, **budget: Any) -> pd.DataFrame:
    with RunStore(path) as store:
        table = made.sample(n_rows, ledger=Ledger(store, Budget(**budget)))
    assert isinstance(table, pd.DataFrame)
    return table


def test_run_reads_back_as_it_was(tmp_path: Path) -> None:
    made, engine = synthesizer()
    table = sampled(tmp_path / "run.sqlite", made)
    record = load_run(tmp_path / "run.sqlite")
    assert record.table.equals(table)
    assert record.rejects == made.prediction_.rejects
    assert [turn["critique"] for turn in record.turns] == [turn.critique for turn in made.prediction_.turns]
    assert (record.n_calls, record.usage) == (len(engine.asked), made.prediction_.usage)
    assert record.facts["status"] == "finished"


def test_record_holds_no_few_shot(tmp_path: Path) -> None:
    made, _ = synthesizer()
    sampled(tmp_path / "run.sqlite", made)
    content = (tmp_path / "run.sqlite").read_bytes()
    assert not any(",".join(map(str, row)).encode() in content for row in shop_frame().itertuples(index=False))


@EVERY_METHOD
def test_stopped_run_is_resumed_to_the_same_table_without_asking_twice(tmp_path: Path, method: Method) -> None:
    whole, engine = synthesizer(method=method)
    expected, n_calls = sampled(tmp_path / "whole.sqlite", whole), len(engine.asked)
    n_asked, write = 0, shop_writer()
    for stop_after in range(1, n_calls, 2):
        broken, engine = synthesizer(stop_after - n_asked, write, method=method)
        with pytest.raises(Exception):  # noqa: B017, PT011
            sampled(tmp_path / "run.sqlite", broken)
        n_asked += len(engine.asked) - 1  # the call that failed
    resumed, engine = synthesizer(None, write, method=method)
    assert sampled(tmp_path / "run.sqlite", resumed).equals(expected)
    assert n_asked + len(engine.asked) == n_calls
    assert resumed.prediction_.usage == whole.prediction_.usage


@pytest.mark.parametrize("rounds_ahead", [1, 16])
def test_finished_run_asks_nothing_again(tmp_path: Path, rounds_ahead: int) -> None:
    made, _ = synthesizer(rounds_ahead=rounds_ahead, rows_per_draw=5)
    table = sampled(tmp_path / "run.sqlite", made)
    again, engine = synthesizer(rounds_ahead=rounds_ahead, rows_per_draw=5)
    assert sampled(tmp_path / "run.sqlite", again).equals(table)
    assert not engine.asked


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 5}, "seed was 4, now 5"),
        ({"n_shots": 3}, "n_shots was 2, now 3"),
        ({"method": "reduced-loop"}, 'method was "synth-loop", now "reduced-loop"'),
    ],
)
def test_run_of_other_settings_is_refused_saying_what_differs(
    tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    made, _ = synthesizer()
    sampled(tmp_path / "run.sqlite", made, n_rows=5)
    other, engine = synthesizer(**changed)
    with pytest.raises(RunError, match=message):
        sampled(tmp_path / "run.sqlite", other, n_rows=5)
    assert not engine.asked


def test_run_of_another_table_prompt_or_wish_is_refused(tmp_path: Path) -> None:
    made, _ = synthesizer()
    sampled(tmp_path / "run.sqlite", made, n_rows=5)
    with RunStore(tmp_path / "run.sqlite") as store:
        with pytest.raises(RunError, match=r"wanted was \[\], now \[.age > 30"):
            made.sample(5, where="age > 30", ledger=Ledger(store))
        made.program_.generator.predict.signature = made.program_.generator.predict.signature.with_instructions(
            "Write."
        )
        with pytest.raises(RunError, match="prompts was"):
            made.sample(5, ledger=Ledger(store))
        made.fit(shop_frame(seed=1), "buys")
        with pytest.raises(RunError, match="table was"):
            made.sample(5, ledger=Ledger(store))


def test_second_process_on_a_run_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "run.sqlite")
    code = f"from pathlib import Path; from tagal_dspy.runs import RunStore; RunStore(Path({path!r}))"
    with RunStore(tmp_path / "run.sqlite"):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "RunError: another process is writing" in other.stderr
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(("budget", "what"), [({"max_calls": 3}, "3 calls"), ({"max_tokens": 500}, "500 tokens")])
def test_used_up_budget_ends_the_run_with_what_there_is_and_a_larger_one_goes_on(
    tmp_path: Path, budget: dict[str, Any], what: str
) -> None:
    made, engine = synthesizer(critic="none", n_iter=1)
    with pytest.raises(BudgetError, match=f"the budget of {what} is used up") as caught:
        sampled(tmp_path / "run.sqlite", made, n_rows=200, **budget)
    n_calls = len(engine.asked)
    assert 0 < len(caught.value.prediction.table) < 200
    assert load_run(tmp_path / "run.sqlite").n_calls == n_calls
    assert len(sampled(tmp_path / "run.sqlite", made, n_rows=200)) == 200
    whole, engine_of_whole = synthesizer(critic="none", n_iter=1)
    whole.sample(200)
    assert len(engine.asked) == len(engine_of_whole.asked)


def test_budget_of_calls_is_held_but_for_those_under_way(tmp_path: Path) -> None:
    made, engine = synthesizer(critic="none", n_iter=1, rounds_ahead=4, rows_per_draw=5)
    with pytest.raises(BudgetError):
        sampled(tmp_path / "run.sqlite", made, n_rows=200, max_calls=6)
    assert 6 <= len(engine.asked) <= 6 + 4


def test_cost_is_what_the_prices_say_and_a_limit_without_a_price_is_refused(tmp_path: Path) -> None:
    made, _ = synthesizer()
    ledger = Ledger(price=lambda name, n_in, n_out: (n_in + 2 * n_out) / 1e6)
    made.sample(20, ledger=ledger)
    [used] = made.prediction_.usage.values()
    assert ledger.cost == pytest.approx((used["prompt_tokens"] + 2 * used["completion_tokens"]) / 1e6)
    with pytest.raises(BudgetError, match="price of this model is not known"):
        made.sample(50, ledger=Ledger(budget=Budget(max_cost=1.0)))


def test_file_that_is_no_run_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.write_text("precious text, long enough to be no empty database")
    with pytest.raises(DataError, match="is no recorded run"):
        load_run(path)
    with pytest.raises(RunError, match="is no recorded run"):
        RunStore(path)
    assert path.read_text().startswith("precious")
    with pytest.raises(DataError, match="there is no run"):
        load_run(tmp_path / "missing.sqlite")
    with pytest.raises(OutputError, match="cannot be written"):
        RunStore(tmp_path / "nowhere" / "run.sqlite")


def test_call_that_cannot_be_recorded_ends_clearly_and_the_record_stays_whole(tmp_path: Path) -> None:
    recorded = Recorded({"answer": "1,2"}, {}, None, "")
    with RunStore(tmp_path / "run.sqlite") as store:
        store.add("0/0/draw", "RowGenerator", recorded)
        store._database.execute("PRAGMA max_page_count = 1")  # as a full disk does
        with pytest.raises(OutputError, match="can be resumed"):
            store.add("1/0/draw", "RowGenerator", recorded._replace(answer={"answer": "x" * 100_000}))
        assert store.find("0/0/draw") == recorded
    assert load_run(tmp_path / "run.sqlite").n_calls == 1
    with sqlite3.connect(tmp_path / "run.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_run_on_a_full_disk_ends_clearly_and_goes_on_to_the_same_table_once_there_is_room(tmp_path: Path) -> None:
    settings = {"rounds_ahead": 4, "critic": "none", "n_iter": 1, "rows_per_draw": 5}

    def write(asked: Asked) -> Answer:  # the same to a question that is asked again, as its answer found no room
        return {"rows": shop_rows(20, random.Random(repr(asked.turns)))}

    whole, engine = synthesizer(write=write, **settings)
    expected, n_calls = sampled(tmp_path / "whole.sqlite", whole, 150), len(engine.asked)
    with RunStore(tmp_path / "run.sqlite") as store:

        def answer(asked: Asked) -> Answer:
            if len(engine.asked) > n_calls // 2:
                store._do(lambda database: database.execute("PRAGMA max_page_count = 1"))  # no page more than there are
            return write(asked)

        full, engine = synthesizer(write=answer, **settings)
        with pytest.raises(OutputError, match="can be resumed"):
            full.sample(150, ledger=Ledger(store))
    n_asked, (resumed, engine) = len(engine.asked), synthesizer(write=write, **settings)
    assert sampled(tmp_path / "run.sqlite", resumed, 150).equals(expected)
    assert n_asked + len(engine.asked) <= n_calls + 2 * 4  # those under way when there was no room, or no need


def test_usages_add_up_by_model() -> None:
    assert total_usage([{"a": {"calls": 1}}, {}, {"a": {"calls": 2}}]) == {"a": {"calls": 3}}
