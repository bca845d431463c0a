"""A table of every kind of column, from a frame to a frame, by every codec, method and task."""

from __future__ import annotations

import random
from typing import Any

import dspy
import pandas as pd
import pytest
from gbnf import Grammar
from scripts import other_roles
from tables import mixed_frame

from tagal_dspy.codecs import make_codec
from tagal_dspy.modules import SynthLoop
from tagal_dspy.recording import RunStore, load_run
from tagal_dspy.schema import SchemaOverrides, TableSchema
from tagal_dspy.settings import CodecName, run_settings
from tagal_dspy.task import TableTask
from tagal_dspy.testing import Answer, Asked, scripted_lm

CODECS: tuple[CodecName, ...] = ("csv", "json", "sentence")
every_codec = pytest.mark.parametrize("codec", CODECS)
every_target = pytest.mark.parametrize("target", [None, "class", "level", "amount"])
KINDS = {
    "id": "id",
    "when": "datetime",
    "born": "datetime",
    "note": "text",
    "city": "categorical",
    "level": "categorical",
    "constant": "categorical",
    "amount": "numerical",
    "class": "categorical",
}


def test_every_column_is_of_its_kind() -> None:
    schema = TableSchema.infer(mixed_frame(), target="class")
    assert {column.name: column.kind for column in schema.columns} == KINDS


@pytest.mark.parametrize("seed", range(5))
def test_kinds_of_a_task_are_those_of_the_whole_table(seed: int) -> None:
    task = TableTask(mixed_frame(40, seed), target="class", split_seed=seed)
    assert {column.name: column.kind for column in task.schema.columns} == KINDS


@every_codec
def test_table_survives_the_way_through_text_but_for_its_ids(codec: CodecName) -> None:
    frame = mixed_frame()
    schema = TableSchema.infer(frame, target="class")
    rows = make_codec(codec, schema).decode(make_codec(codec, schema).encode(schema.to_rows(frame))).rows
    restored = schema.to_frame(rows)
    pd.testing.assert_frame_equal(restored.drop(columns="id"), frame.drop(columns="id"))
    assert restored["id"].tolist() == list(range(1060, 1120))
    assert restored["id"].dtype == frame["id"].dtype


def write_rows(asked: Asked) -> Answer:
    """Rows that the grammar derives, another lot for every question."""
    if "rows" not in asked.fields:
        return other_roles(asked)
    rng = random.Random(repr(asked.turns))
    return Grammar(asked.extra["grammar"]).derive(rng.randrange)


def generated(task: TableTask, n_rows: int = 30, **settings: Any) -> dspy.Prediction:
    lm = scripted_lm(write_rows, takes_grammar=True, cache=False)
    loop = SynthLoop(run_settings("grounded", **{"n_shots": 2, "rows_per_draw": 8, **settings}))
    with dspy.context(lm=lm):
        prediction = loop(task=task, n_rows=n_rows)
    texts = [text for asked in lm.engine.asked for text in (asked.system, *(said for _, said in asked.turns))]
    assert not any(str(number) in text for text in texts for number in range(1000, 1060))
    assert all('"id": ' not in asked.extra["grammar"] for asked in lm.engine.asked if asked.extra)
    return prediction


@every_codec
@every_target
def test_synth_loop_writes_rows_of_every_kind(codec: CodecName, target: str | None) -> None:
    frame = mixed_frame()
    if target == "amount":
        frame = frame[frame["amount"].notna()]
    task = TableTask(frame, target=target)
    prediction = generated(task, codec=codec)
    table = prediction.table
    assert len(table) == 30
    assert table.dtypes.tolist() == frame.dtypes.tolist()
    assert table["id"].tolist() == list(range(1060, 1090))
    assert table["when"].dropna().between(frame["when"].min(), frame["when"].max()).all()
    assert set(table["level"]) <= {"low", "high"}
    assert set(table["constant"]) == {"same"}
    assert {reject.reason for reject in prediction.rejects} <= {"duplicate", "quota_full"}


def test_draws_by_class_of_every_kind() -> None:
    task = TableTask(mixed_frame(), target="class")
    table = generated(task, draws="by-class", critic="none", n_iter=1, few_shots="neighbours").table
    shares = task.train["class"].value_counts(normalize=True)
    assert table["class"].value_counts(normalize=True).to_dict() == pytest.approx(shares.to_dict(), abs=0.04)


def test_recorded_run_reads_back_with_the_same_ids(tmp_path: Any) -> None:
    task = TableTask(mixed_frame(), target="class")
    prediction = generated(task)
    with RunStore(tmp_path / "run.sqlite") as store:
        store.note("schema", task.schema.to_dict())
        store.commit(task.schema.to_rows(prediction.table), prediction.rejects, prediction.turns)
    pd.testing.assert_frame_equal(load_run(tmp_path / "run.sqlite").table, prediction.table)


def test_many_categories_that_all_differ_are_generated() -> None:
    frame = pd.DataFrame({"code": [f"k{number * 7919 % 1000}x" for number in range(300)], "x": range(300)})
    task = TableTask(frame)
    assert task.schema["code"].kind == "categorical"
    assert set(generated(task, critic="none").table["code"]) <= set(frame["code"])


def test_table_of_one_constant_can_be_written_once_it_may_repeat() -> None:
    task = TableTask(pd.DataFrame({"x": ["same"] * 20}))
    assert generated(task, 5, strictness="valid", critic="none").table["x"].tolist() == ["same"] * 5


def test_format_that_only_a_test_row_settles_is_kept() -> None:
    days = [f"01/{day:02d}/2024" for day in range(1, 13)] * 4
    for place in range(len(days)):
        frame = pd.DataFrame({"day": [*days[:place], "01/31/2024", *days[place:]], "x": range(len(days) + 1)})
        task = TableTask(frame)
        if "01/31/2024" in set(task.test["day"]):
            break
    assert task.schema["day"].model_dump()["format"] == "%m/%d/%Y"
    assert len(task.real_rows) == len(frame)


def test_overrides_reach_a_task() -> None:
    overrides = SchemaOverrides.model_validate(
        {"columns": {"note": {"kind": "categorical"}, "id": {"kind": "numerical"}}}
    )
    task = TableTask(mixed_frame(), "class", overrides)
    assert (task.schema["note"].kind, task.schema["id"].kind) == ("categorical", "numerical")
