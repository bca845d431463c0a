"""What is recorded is on the disk, whatever interrupts a run, and a finished run is whole or refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from scripts import shop_frame, shop_writer

from tagal_dspy.errors import RunError
from tagal_dspy.recording import RecordedAnswer, Recorder, RunStore, Usage, load_run
from tagal_dspy.synthesizer import TagalSynthesizer
from tagal_dspy.testing import scripted_lm

ANSWER = RecordedAnswer("1,2", "stop", Usage.of_call("model", 2, 3))
ROW = ("30", "20.5", "Mons", "no")


def interrupted(store: RunStore) -> None:
    """An interrupt from the keyboard in the middle of a transaction."""

    def work(database: sqlite3.Connection) -> None:
        database.execute("BEGIN")
        database.execute("INSERT INTO accepted VALUES (0, '[]')")
        raise KeyboardInterrupt

    store._do(work)


def refused(store: RunStore) -> None:
    """A row is written, and then a reject that SQLite cannot hold."""
    store.commit([ROW], [("unparsable", object(), "")], [])  # type: ignore[list-item]


@pytest.mark.parametrize(("stop", "error"), [(interrupted, KeyboardInterrupt), (refused, RunError)])
def test_what_is_recorded_after_a_commit_that_broke_off_is_on_the_disk_and_nothing_of_that_commit_is(
    tmp_path: Path, stop: Callable[[RunStore], None], error: type[BaseException]
) -> None:
    with RunStore(tmp_path / "run.sqlite") as store:
        with pytest.raises(error):
            stop(store)
        store.add("key", "0/0/draw", ANSWER)
        record = load_run(tmp_path / "run.sqlite")  # as another process reads it
        assert (record.n_calls, record.rows) == (1, ())
        store.commit([ROW], [], [])
    assert load_run(tmp_path / "run.sqlite").rows == (ROW,)


def test_record_is_written_through_to_the_disk_with_each_call(tmp_path: Path) -> None:
    with RunStore(tmp_path / "run.sqlite") as store:

        def told(name: str) -> Any:
            return store._do(lambda database: database.execute(f"PRAGMA {name}").fetchone()[0])

        full = 2
        assert told("synchronous") == full
        assert told("journal_mode") == "wal"
        store.add("key", "0/0/draw", ANSWER)
        assert load_run(tmp_path / "run.sqlite").n_calls == 1


def lacking_a_call(path: Path) -> tuple[TagalSynthesizer, Any]:
    """A finished run without its last call, and the engine that it asks."""
    lm = scripted_lm(shop_writer(), cache=False)
    made = TagalSynthesizer(lm, n_shots=2, n_iter=1, critic="none", rounds_ahead=1).fit(shop_frame(), "buys")
    with RunStore(path) as store:
        made.sample(30, recorder=Recorder(store))
    with closing(sqlite3.connect(path)) as database:
        database.execute("DELETE FROM calls WHERE rowid = (SELECT max(rowid) FROM calls)")
        database.commit()
    lm.engine.asked.clear()
    return made, lm.engine


def test_finished_run_that_lacks_a_call_is_refused_and_asks_nothing(tmp_path: Path) -> None:
    made, engine = lacking_a_call(tmp_path / "run.sqlite")
    with RunStore(tmp_path / "run.sqlite") as store, pytest.raises(RunError, match="does not hold all calls"):
        made.sample(30, recorder=Recorder(store))
    assert not engine.asked


def test_finished_run_that_lacks_a_call_is_refused_again(tmp_path: Path) -> None:
    made, engine = lacking_a_call(tmp_path / "run.sqlite")
    for _ in range(2):
        with RunStore(tmp_path / "run.sqlite") as store, pytest.raises(RunError, match="does not hold all calls"):
            made.sample(30, recorder=Recorder(store))
    assert not engine.asked


def test_run_that_is_not_finished_finds_nothing_for_a_call_that_it_lacks(tmp_path: Path) -> None:
    with RunStore(tmp_path / "run.sqlite") as store:
        for _ in range(2):
            store.begin({"seed": 1})
            assert store.find("missing") is None
