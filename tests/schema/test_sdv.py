from __future__ import annotations

import pandas as pd
import pytest
from tables import mixed_frame

from tagal_dspy.errors import DataError
from tagal_dspy.schema import TableSchema

sdv_warns = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")


@sdv_warns
def test_schema_survives_sdv_metadata(toy_frame: pd.DataFrame) -> None:
    schema = TableSchema.infer(toy_frame, target="class").model_copy(update={"name": "toys"})
    assert TableSchema.from_sdv(toy_frame, schema.to_sdv(), target="class") == schema


@sdv_warns
def test_numbers_that_metadata_calls_categorical_are_categories() -> None:
    frame = pd.DataFrame({"zip": [1000, 1050, 9000, 9000]})
    metadata = TableSchema.infer(frame).to_sdv()
    metadata.update_column("zip", sdtype="categorical")
    assert TableSchema.from_sdv(frame, metadata)["zip"].kind == "categorical"


@sdv_warns
def test_every_kind_survives_sdv_metadata() -> None:
    frame = mixed_frame()
    schema = TableSchema.infer(frame, target="class").model_copy(update={"name": "mixed"})
    metadata = schema.to_sdv()
    metadata.validate()
    assert {name: spec["sdtype"] for name, spec in metadata.to_dict()["tables"]["mixed"]["columns"].items()} == {
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
    assert TableSchema.from_sdv(frame, metadata, target="class") == schema


@sdv_warns
def test_format_of_metadata_is_believed() -> None:
    frame = pd.DataFrame({"day": ["01/02/2024", "03/04/2024", "05/06/2024"]})
    metadata = TableSchema.infer(frame).to_sdv()
    metadata.update_column("day", sdtype="datetime", datetime_format="%m/%d/%Y")
    assert TableSchema.from_sdv(frame, metadata)["day"].model_dump()["format"] == "%m/%d/%Y"


@sdv_warns
def test_column_that_metadata_does_not_know_is_inferred() -> None:
    frame = pd.DataFrame({"x": [1.5, 2.5, 3.5]})
    metadata = TableSchema.infer(frame).to_sdv()
    metadata.update_column("x", sdtype="unknown")
    assert TableSchema.from_sdv(frame, metadata)["x"].kind == "numerical"


@sdv_warns
def test_metadata_with_a_column_of_no_known_kind_is_refused(toy_frame: pd.DataFrame) -> None:
    metadata = TableSchema.infer(toy_frame).to_sdv()
    metadata.update_column("class", sdtype="email")
    with pytest.raises(DataError, match="column 'class' has the sdtype 'email'; supported are numerical, categorical"):
        TableSchema.from_sdv(toy_frame, metadata)
