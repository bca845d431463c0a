from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tagal_dspy.errors import DataError, SettingsError
from tagal_dspy.schema import ColumnOverride, SchemaOverrides, TableSchema

COLUMNS: dict[str, object] = {
    "int64": np.array([3, 1, 2], dtype="int64"),
    "int8": np.array([3, 1, 2], dtype="int8"),
    "uint16": np.array([3, 1, 2], dtype="uint16"),
    "two integers": np.array([0, 1, 1], dtype="int64"),
    "float64": [1.25, -2.5, 1000.0],
    "float32": np.array([1.25, -2.5, 39.1], dtype="float32"),
    "float with missing": [1.25, None, 3.5, 4.0],
    "two floats": [0.0, 1.0, None],
    "Int64": pd.array([1, 2, 3], dtype="Int64"),
    "Int64 with missing": pd.array([1, None, 3, 4], dtype="Int64"),
    "Float64 with missing": pd.array([1.5, None, 3.0, 4.0], dtype="Float64"),
    "bool": [True, False, True],
    "boolean with missing": pd.array([True, None, False], dtype="boolean"),
    "bools as objects with missing": np.array([True, None, False], dtype=object),
    "object": ["a", "b, c", 'd "e"'],
    "object with missing": ["a", None, "b"],
    "string": pd.array(["a", "b", "c"], dtype="string"),
    "string with missing": pd.array(["a", None, "c"], dtype="string"),
    "category of text": pd.Categorical(["b", "a", "b"], categories=["b", "a", "unused"]),
    "category of text with missing": pd.Categorical(["b", None, "b"], categories=["b", "a"]),
    "category of integers": pd.Categorical([3, 1, 2]),
    "category of floats": pd.Categorical([0.5, 1.0, 2.0]),
    "category of bools": pd.Categorical([True, False, True]),
    "ordered category": pd.Categorical(["low", "high"], categories=["low", "high"], ordered=True),
    "dates": pd.to_datetime(["2024-02-29", "2023-01-01"]),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_values_and_dtype_survive_the_way_through_text(name: str) -> None:
    frame = pd.DataFrame({"x": COLUMNS[name]})
    schema = TableSchema.infer(frame)
    pd.testing.assert_frame_equal(schema.to_frame(schema.to_rows(frame)), frame, check_exact=True)


@pytest.mark.parametrize("name", COLUMNS)
def test_dtype_is_restored_without_any_row(name: str) -> None:
    frame = pd.DataFrame({"x": COLUMNS[name]})
    restored = TableSchema.infer(frame).to_frame([])
    assert restored.dtypes.tolist() == frame.dtypes.tolist()


@pytest.mark.parametrize("values", [[True, False] * 5, [0, 1] * 5, [0.0, 1.0] * 5, [1, 2, 3, 4, 5] * 2, ["a", "b"] * 5])
def test_target_keeps_its_dtype(values: list[object]) -> None:
    frame = pd.DataFrame({"y": values})
    schema = TableSchema.infer(frame, target="y")
    pd.testing.assert_frame_equal(schema.to_frame(schema.to_rows(frame)), frame)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, False, True], "categorical"),
        (["yes", "no", "yes"], "boolean"),
        ([1, 0, 1], "boolean"),
        ([1, 5, 7], "categorical"),
        ([0, 1, 1], "numerical"),
        ([True, False, True], "numerical"),
        (pd.Categorical(["yes", "no"]), "boolean"),
    ],
)
def test_overridden_kind_keeps_values_and_dtype(values: object, kind: str) -> None:
    frame = pd.DataFrame({"x": values})
    schema = TableSchema.infer(frame, overrides=SchemaOverrides.model_validate({"columns": {"x": {"kind": kind}}}))
    pd.testing.assert_frame_equal(schema.to_frame(schema.to_rows(frame)), frame)


def test_category_of_numbers_said_to_be_numerical_is_restored_as_numbers() -> None:
    frame = pd.DataFrame({"x": pd.Categorical([3, 1, 2])})
    overrides = SchemaOverrides.model_validate({"columns": {"x": {"kind": "numerical"}}})
    schema = TableSchema.infer(frame, overrides=overrides)
    assert schema.to_frame(schema.to_rows(frame))["x"].tolist() == [3, 1, 2]


def test_awkward_column_names_survive_the_way_through_text(toy_frame: pd.DataFrame) -> None:
    schema = TableSchema.infer(toy_frame, target="class")
    pd.testing.assert_frame_equal(schema.to_frame(schema.to_rows(toy_frame)), toy_frame)


def test_rows_are_in_the_order_of_the_schema_whatever_that_of_the_frame(toy_frame: pd.DataFrame) -> None:
    schema = TableSchema.infer(toy_frame)
    assert schema.to_rows(toy_frame[toy_frame.columns[::-1]]) == schema.to_rows(toy_frame)


def test_frame_that_lacks_a_column_is_refused_with_its_name() -> None:
    schema = TableSchema.infer(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    with pytest.raises(DataError, match=r"lacks the columns \['b'\]"):
        schema.to_rows(pd.DataFrame({"a": [1, 2]}))


def test_column_is_found_by_name(toy_schema: TableSchema) -> None:
    assert toy_schema["größe"].name == "größe"


def test_unknown_column_is_refused_with_the_known_ones() -> None:
    schema = TableSchema.infer(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
    with pytest.raises(DataError, match="no column 'c'; the table has 'a', 'b'"):
        schema["c"]


def test_schema_survives_json(toy_schema: TableSchema) -> None:
    assert TableSchema.from_dict(json.loads(json.dumps(toy_schema.to_dict()))) == toy_schema


def test_schema_from_a_dict_has_the_same_fingerprint(toy_schema: TableSchema) -> None:
    assert TableSchema.from_dict(toy_schema.to_dict()).fingerprint == toy_schema.fingerprint


def test_fingerprint_tells_schemas_apart(toy_schema: TableSchema) -> None:
    changed = TableSchema.from_dict(toy_schema.to_dict() | {"notes": "changed"})
    assert changed.fingerprint != toy_schema.fingerprint


def test_malformed_dict_is_refused_with_every_problem() -> None:
    with pytest.raises(SettingsError, match=r"n_rows: .*; columns: .*; colour: "):
        TableSchema.from_dict({"n_rows": -1, "columns": [], "colour": "red"})


@pytest.mark.parametrize(
    ("change", "message"),
    [({"target": "z"}, "target 'z' is not one of the columns"), ({"columns": "twice"}, "column names are not unique")],
)
def test_schema_that_contradicts_itself_is_refused(change: dict[str, object], message: str) -> None:
    values = TableSchema.infer(pd.DataFrame({"a": [1, 2]})).to_dict()
    if change == {"columns": "twice"}:
        change = {"columns": values["columns"] * 2}
    with pytest.raises(SettingsError, match=message):
        TableSchema.from_dict(values | change)


OVERRIDES = """
name = "shop"
target = "y"
problem = "multiclass"
notes = "Seen in May."

[columns."zip code"]
kind = "categorical"
description = "where they live"

[columns.x]
minimum = 0
maximum = 10
"""


@pytest.fixture
def shop() -> pd.DataFrame:
    return pd.DataFrame({"zip code": [1000, 1050, 9000], "x": [1, 2, 3], "y": [0, 1, 0]})


def test_toml_file_overrides_what_is_inferred(shop: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(OVERRIDES, encoding="utf-8")
    schema = TableSchema.infer(shop, overrides=SchemaOverrides.from_file(tmp_path / "shop.toml"))
    assert (schema.name, schema.target, schema.problem, schema.notes) == ("shop", "y", "multiclass", "Seen in May.")
    zip_code = schema["zip code"]
    assert (zip_code.kind, zip_code.description) == ("categorical", "where they live")
    assert schema["x"].model_dump(include={"minimum", "maximum"}) == {"minimum": 0, "maximum": 10}


def test_keywords_override_as_the_file_does(shop: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "shop.toml").write_text(OVERRIDES, encoding="utf-8")
    overrides = SchemaOverrides(
        name="shop",
        target="y",
        problem="multiclass",
        notes="Seen in May.",
        columns={
            "zip code": ColumnOverride(kind="categorical", description="where they live"),
            "x": ColumnOverride(minimum=0, maximum=10),
        },
    )
    assert overrides == SchemaOverrides.from_file(tmp_path / "shop.toml")


def test_target_given_directly_wins_over_the_overrides(shop: pd.DataFrame) -> None:
    assert TableSchema.infer(shop, "x", SchemaOverrides(target="y")).target == "x"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 'red'", "colour: Extra inputs are not permitted"),
        ("[columns.x]\nkind = 'ordinal'", "columns.x.kind: "),
        ("name = ", "is not valid TOML"),
        ("problem = 'binary'\n[columns.x]\nminimum = inf", "columns.x.minimum: "),
    ],
)
def test_malformed_overrides_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.toml").write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match=message):
        SchemaOverrides.from_file(tmp_path / "bad.toml")


def test_missing_overrides_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"cannot read .*none\.toml: No such file"):
        SchemaOverrides.from_file(tmp_path / "none.toml")
