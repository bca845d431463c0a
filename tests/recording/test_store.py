"""A run is recorded as it goes, and resumed to the same table without asking anything twice."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scripts import shop_frame, shop_rows, shop_writer

from tagal_dspy.errors import BudgetError, DataError, OutputError, RunError
from tagal_dspy.modules import METHODS
from tagal_dspy.recording import RecordedAnswer, Recorder, RunStore, Usage, load_run, remove_run
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
        table = made.sample(n_rows, recorder=Recorder(store, Budget(**budget)))
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
            made.sample(5, where="age > 30", recorder=Recorder(store))
        made.program_.generator.predict.signature = made.program_.generator.predict.signature.with_instructions(
            "Write."
        )
        with pytest.raises(RunError, match="prompts was"):
            made.sample(5, recorder=Recorder(store))
        made.fit(shop_frame(seed=1), "buys")
        with pytest.raises(RunError, match="table was"):
            made.sample(5, recorder=Recorder(store))


def test_second_process_on_a_run_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "run.sqlite")
    code = f"from pathlib import Path; from tagal_dspy.recording import RunStore; RunStore(Path({path!r}))"
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


@EVERY_METHOD
@pytest.mark.parametrize("preset", ["grounded", "paper"])
@pytest.mark.parametrize("rounds_ahead", [1, 7, 64])
def test_budget_of_calls_is_never_exceeded(tmp_path: Path, method: Method, preset: str, rounds_ahead: int) -> None:
    made, engine = synthesizer(method=method, preset=preset, rounds_ahead=rounds_ahead, n_iter=3)
    with pytest.raises(BudgetError, match="the budget of 20 calls is used up"):
        sampled(tmp_path / "run.sqlite", made, n_rows=2000, max_calls=20)
    assert len(engine.asked) <= 20
    assert load_run(tmp_path / "run.sqlite").n_calls == len(engine.asked)


def test_budget_too_small_for_one_conversation_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    made, engine = synthesizer(n_iter=3)
    with pytest.raises(BudgetError, match="the budget of 4 calls is too small: one conversation takes up to 5"):
        sampled(tmp_path / "run.sqlite", made, max_calls=4)
    assert not engine.asked
    assert load_run(tmp_path / "run.sqlite").n_calls == 0


def test_limits_of_tokens_and_money_are_exceeded_by_one_conversation_at_most(tmp_path: Path) -> None:
    made, _ = synthesizer(critic="none", n_iter=1, rounds_ahead=64, rows_per_draw=5)
    made.sample(5)
    tokens = made.prediction_.usage.tokens
    for limit in ({"max_tokens": 3 * tokens}, {"max_cost": 3.0 * tokens}):
        recorder = Recorder(budget=Budget(**limit), price=lambda name, n_in, n_out: float(n_in + n_out))
        with pytest.raises(BudgetError):
            made.sample(500, recorder=recorder)
        assert 2 * tokens < recorder.usage.tokens < 4.5 * tokens


def test_cost_is_what_the_prices_say_and_a_limit_without_a_price_is_refused(tmp_path: Path) -> None:
    made, _ = synthesizer()
    recorder = Recorder(price=lambda name, n_in, n_out: (n_in + 2 * n_out) / 1e6)
    made.sample(20, recorder=recorder)
    [used] = made.prediction_.usage.values()
    assert recorder.usage.cost == pytest.approx((used["prompt_tokens"] + 2 * used["completion_tokens"]) / 1e6)
    with pytest.raises(BudgetError, match="price of this model is not known"):
        made.sample(50, recorder=Recorder(budget=Budget(max_cost=1.0)))


def test_file_that_is_no_run_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.sqlite"
    path.write_text("precious text, long enough to be no empty database")
    for use in (load_run, RunStore):
        with pytest.raises(RunError, match="is not a recorded run; it is left as it is"):
            use(path)
    with pytest.raises(DataError, match="is not a recorded run; it is left as it is"):
        remove_run(path)
    assert path.read_text().startswith("precious")
    with pytest.raises(DataError, match="does not exist"):
        load_run(tmp_path / "missing.sqlite")
    with pytest.raises(OutputError, match="cannot be written"):
        RunStore(tmp_path / "nowhere" / "run.sqlite")


def test_call_that_cannot_be_recorded_ends_clearly_and_the_record_stays_whole(tmp_path: Path) -> None:
    recorded = RecordedAnswer("1,2", "stop", Usage.of_call("a", 2, 3, estimated=True, cost=None))
    with RunStore(tmp_path / "run.sqlite") as store:
        store.add("key", "0/0/draw", recorded)
        store._database.execute("PRAGMA max_page_count = 1")  # as a full disk does
        with pytest.raises(OutputError, match="can be resumed"):
            store.add("another key", "1/0/draw", recorded._replace(text="x" * 100_000))
        assert store.find("key") == recorded
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
            full.sample(150, recorder=Recorder(store))
    n_asked, (resumed, engine) = len(engine.asked), synthesizer(write=write, **settings)
    assert sampled(tmp_path / "run.sqlite", resumed, 150).equals(expected)
    assert n_asked + len(engine.asked) <= n_calls + 2 * 4  # those under way when there was no room, or no need


@pytest.mark.parametrize("name", ["a#b", "a?mode=memory", "a%20b", "a b", "é"])
def test_run_of_any_file_name_is_read_and_resumed(tmp_path: Path, name: str) -> None:
    made, engine = synthesizer()
    table = sampled(tmp_path / f"{name}.sqlite", made)
    n_asked = len(engine.asked)
    assert load_run(tmp_path / f"{name}.sqlite").table.equals(table)
    assert sampled(tmp_path / f"{name}.sqlite", made).equals(table)
    assert len(engine.asked) == n_asked


def foreign(path: Path) -> None:
    """A database of somebody else."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE facts (precious TEXT)")
        database.commit()


def test_database_of_somebody_else_is_neither_written_to_nor_removed(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    foreign(path)
    before = path.read_bytes()
    for use, kind in ((RunStore, RunError), (load_run, RunError), (remove_run, DataError)):
        with pytest.raises(kind, match="is not a recorded run; it is left as it is"):
            use(path)
    assert path.read_bytes() == before
    (tmp_path / "empty").touch()
    with pytest.raises(DataError, match="is not a recorded run"):
        remove_run(tmp_path / "empty")
    assert (tmp_path / "empty").exists()


def test_damaged_run_is_said_to_be_and_can_be_removed(tmp_path: Path) -> None:
    made, _ = synthesizer()
    sampled(tmp_path / "run.sqlite", made, 5)
    path = tmp_path / "run.sqlite"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"the record of the run .* is damaged"):
        load_run(path)
    remove_run(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("facts", ['{"a": ', "[" * 100_000])
def test_facts_that_are_no_json_are_damage(tmp_path: Path, facts: str) -> None:
    made, _ = synthesizer()
    sampled(tmp_path / "run.sqlite", made, 5)
    with closing(sqlite3.connect(tmp_path / "run.sqlite")) as database:
        database.execute("UPDATE facts SET value = ?", (facts,))
        database.commit()
    with pytest.raises(DataError, match="is damaged"):
        load_run(tmp_path / "run.sqlite")


def test_run_of_another_version_is_refused_saying_which(tmp_path: Path) -> None:
    RunStore(tmp_path / "newer.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "newer.sqlite")) as database:
        database.execute("PRAGMA user_version = 99")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(sqlite3.connect(tmp_path / "older.sqlite")) as database:
        for table in ("facts", "calls", "accepted", "rejects", "turns"):
            database.execute(f"CREATE TABLE {table} (name TEXT)")
        database.commit()
    for use in (RunStore, load_run):
        with pytest.raises(RunError, match="recorded by a newer version of tagal-dspy; upgrade"):
            use(tmp_path / "newer.sqlite")
        with pytest.raises(RunError, match="recorded by an older version of tagal-dspy; make it anew"):
            use(tmp_path / "older.sqlite")
    remove_run(tmp_path / "older.sqlite")
    assert not (tmp_path / "older.sqlite").exists()
