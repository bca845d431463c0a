"""Columns of ids: what is taken for one, and that fresh ids look like the real ones and equal none of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from tagal_dspy.card import make_card
from tagal_dspy.errors import DataError
from tagal_dspy.schema import IdColumn, SchemaOverrides, TableSchema
from tagal_dspy.task import TableTask

N = 40
UUIDS = [str(uuid.uuid5(uuid.NAMESPACE_DNS, str(number))) for number in range(N)]
IDS: dict[str, tuple[str, Sequence[Any]]] = {
    "from one": ("id", range(1, N + 1)),
    "shuffled": ("customer_id", [number * 17 % 101 for number in range(N)]),
    "far apart": ("Customer ID", [10**9 + number * 7919 for number in range(N)]),
    "camel case": ("PassengerId", range(892, 892 + N)),
    "saved index": ("Unnamed: 0", range(N)),
    "saved index in a file": ("column 1", range(N)),
    "rising numbers": ("order no", range(5, 5 + 3 * N, 3)),
    "nullable integers": ("id", pd.array(range(N), dtype="Int64")),
    "small integers": ("id", pd.array(range(N), dtype="int8")),
    "uuids": ("x", UUIDS),
    "capital uuids": ("x", [text.upper() for text in UUIDS]),
    "uuid objects": ("x", [uuid.UUID(text) for text in UUIDS]),
    "hashes": ("x", [text.replace("-", "") for text in UUIDS]),
    "codes": ("x", [f"ABC-{number:04d}" for number in range(N)]),
    "codes with a tail": ("x", [f"INV{number:05d}/b" for number in range(N)]),
    "codes without zeros": ("user id", [f"u{number}" for number in range(N)]),
    "digits": ("key", [f"{number:06d}" for number in range(N)]),
    "strings": ("x", pd.array([f"ABC-{number:04d}" for number in range(N)], dtype="string")),
}


def table(name: str, values: object) -> pd.DataFrame:
    return pd.DataFrame({name: values}).assign(amount=[number % 7 for number in range(N)])


@pytest.mark.parametrize("case", IDS)
def test_ids_are_recognised_and_fresh_ones_are_alike_but_new(case: str) -> None:
    name, values = IDS[case]
    frame = table(name, values)
    task = TableTask(frame)
    assert task.schema[name].kind == "id"
    assert task.schema.names == ("amount",)
    fresh = task.schema.to_frame([("1",)] * 50)[name]
    real = frame[name].astype(str)
    assert fresh.is_unique
    assert not set(fresh.astype(str)) & set(real)
    assert fresh.dtype == frame[name].dtype
    if case not in ("codes without zeros",):
        assert set(fresh.astype(str).str.replace(r"\d+", "0", regex=True)) == {"0"} or shapes(fresh) == shapes(real)


def shapes(ids: pd.Series[Any]) -> set[str]:
    return set(ids.astype(str).str.replace("[0-9a-f]", "x", regex=True).str.replace("[A-F]", "x", regex=True))


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("id", [number // 2 for number in range(N)]),  # not all differ
        ("id", [None, *range(1, N)]),  # one is missing
        ("id", [number / 3 for number in range(N)]),  # no whole numbers
        ("amount paid", range(N)),  # no name of an id
        ("house number", [number * 17 % 101 for number in range(N)]),  # not rising
        ("x", [f"T{number}" for number in range(N)]),  # short numbers
        ("x", [f"Room {number:04d}" for number in range(N)]),  # blanks
        ("x", [f"{number:06d}" for number in range(N)]),  # digits alone
        ("x", [f"{'ABCD'[number % 4]}-{number:04d}" for number in range(N)]),  # no common form
    ],
)
def test_other_columns_are_no_ids(name: str, values: Sequence[Any]) -> None:
    assert TableSchema.infer(pd.DataFrame({name: values}).assign(y=1))[name].kind != "id"


def test_target_is_never_an_id() -> None:
    assert TableSchema.infer(table("id", range(N)), target="id")["id"].kind == "numerical"


def test_user_decides_what_is_an_id() -> None:
    values = [f"name {number % 30}" for number in range(N)]
    overrides = SchemaOverrides.model_validate({"columns": {"id": {"kind": "numerical"}, "who": {"kind": "id"}}})
    frame = table("id", range(N)).assign(who=values)
    schema = TableSchema.infer(frame, overrides=overrides)
    assert schema.names == ("id", "amount")
    assert schema.to_frame([("1", "1")])["who"].tolist() == ["synthetic-1"]


def test_fresh_ids_of_texts_without_a_form_differ_from_those_of_an_earlier_run() -> None:
    overrides = SchemaOverrides.model_validate({"columns": {"x": {"kind": "id"}}})
    frame = table("x", ["synthetic-1", "a", *["b"] * (N - 2)])
    assert TableSchema.infer(frame, overrides=overrides).to_frame([("1",)])["x"].tolist() == ["synthetic-synthetic-1"]


def test_fresh_ids_come_after_those_of_test_rows_too() -> None:
    task = TableTask(table("id", range(N)))
    assert task.schema.to_frame([("1",)] * 2)["id"].tolist() == [N, N + 1]


def test_equal_rows_get_equal_ids_and_another_table_gets_others() -> None:
    schema, other = (TableSchema.infer(table("x", UUIDS).head(n)) for n in (N, N - 1))
    frames = [each.to_frame([("1",)] * 3)["x"].tolist() for each in (schema, schema, other)]
    assert frames[0] == frames[1] != frames[2]
    assert [uuid.UUID(text).version for text in frames[0]] == [4] * 3


def test_rows_do_not_hold_ids_and_frames_need_none() -> None:
    frame = table("id", range(N))
    schema = TableSchema.infer(frame)
    assert schema.to_rows(frame.drop(columns="id")) == schema.to_rows(frame)


def test_card_says_only_that_it_is_an_id() -> None:
    card = make_card(TableSchema.infer(table("x", UUIDS)))
    assert '- "x": an id, which is added later and not to be written' in card.splitlines()
    assert "40 rows, 2 columns (1 numerical, 1 id)" in card


def test_rows_that_differ_in_the_id_alone_are_collisions() -> None:
    frame = table("id", range(N))
    assert TableTask(frame).real_rows == TableTask(frame.assign(id=frame["id"] + 1000)).real_rows


def test_table_of_nothing_but_ids_is_refused() -> None:
    with pytest.raises(DataError, match="the table has nothing but ids: 'id'"):
        TableSchema.infer(pd.DataFrame({"id": range(N)}))


@pytest.mark.parametrize("kind", ["id", "text", "datetime"])
def test_target_of_a_kind_that_cannot_be_predicted_is_refused(kind: str) -> None:
    overrides = SchemaOverrides.model_validate({"columns": {"amount": {"kind": kind}}})
    with pytest.raises(DataError, match=f"target 'amount' is said to be of the kind '{kind}'"):
        TableSchema.infer(table("id", range(N)), "amount", overrides)


def test_schema_with_ids_survives_json() -> None:
    schema = TableSchema.infer(table("x", UUIDS))
    assert isinstance(schema["x"], IdColumn)
    assert TableSchema.from_dict(schema.to_dict()) == schema
