from __future__ import annotations

import pandas as pd
import pytest

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
def test_metadata_with_a_column_of_no_known_kind_is_refused(toy_frame: pd.DataFrame) -> None:
    metadata = TableSchema.infer(toy_frame).to_sdv()
    metadata.update_column("class", sdtype="id")
    with pytest.raises(DataError, match="column 'class' has the sdtype 'id'; supported are numerical, categorical"):
        TableSchema.from_sdv(toy_frame, metadata)
