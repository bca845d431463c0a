from __future__ import annotations

import json

import pandas as pd
import pytest
from syrupy.assertion import SnapshotAssertion
from tables import mixed_frame

from tagal_dspy.card import make_card
from tagal_dspy.rules import FixedIncrements, Rules
from tagal_dspy.schema import SchemaOverrides, TableSchema
from tagal_dspy.schema.columns.categorical import MAX_LISTED
from tagal_dspy.task import TableTask


def test_card_reads_as_recorded(toy_task: TableTask, snapshot: SnapshotAssertion) -> None:
    assert make_card(toy_task.schema) == snapshot


def test_card_shows_names_notes_and_descriptions_of_the_user(
    toy_frame: pd.DataFrame, snapshot: SnapshotAssertion
) -> None:
    overrides = SchemaOverrides.model_validate(
        {
            "name": "toys",
            "notes": "People asked in May.\n",
            "columns": {"größe": {"description": "height in cm", "minimum": 100, "maximum": 220}},
        }
    )
    assert make_card(TableSchema.infer(toy_frame[["größe", "class"]], "class", overrides)) == snapshot


def test_card_ends_in_the_rules(toy_schema: TableSchema) -> None:
    rules = Rules(toy_schema, (FixedIncrements(column="capital.gain", increment=1),))
    assert make_card(toy_schema, Rules()) == make_card(toy_schema)
    assert make_card(toy_schema, rules).splitlines()[-2:] == [
        "Every row keeps these rules:",
        '- "capital.gain" is always a multiple of 1.',
    ]


def test_card_of_a_table_without_target_names_none() -> None:
    assert "Target" not in make_card(TableSchema.infer(pd.DataFrame({"a": [1, 2, 3]})))


def test_of_many_categories_the_most_frequent_are_listed() -> None:
    values = [f"v{number:02d}" for number in range(MAX_LISTED + 2) for _ in range(number + 1)]
    line = make_card(TableSchema.infer(pd.DataFrame({"a": values}))).splitlines()[-1]
    assert line.startswith('- "a": one of "v41" (')
    assert line.endswith(" and 2 rarer ones")
    assert line.count(" %)") == MAX_LISTED


@pytest.mark.parametrize("target", [None, "net income", "class"])
def test_every_column_has_one_line(toy_frame: pd.DataFrame, target: str | None) -> None:
    card = make_card(TableSchema.infer(toy_frame, target))
    assert [line.split('": ')[0] for line in card.splitlines() if line.startswith("- ")] == [
        f"- {json.dumps(name, ensure_ascii=False)}".removesuffix('"') for name in toy_frame.columns
    ]


def test_category_that_no_row_has_is_not_listed() -> None:
    values = pd.Categorical(["low", "high"], categories=["low", "mid", "high"])
    assert make_card(TableSchema.infer(pd.DataFrame({"a": values}))).endswith('one of "low" (50.0 %), "high" (50.0 %)')


def test_every_kind_has_its_words(snapshot: SnapshotAssertion) -> None:
    assert make_card(TableSchema.infer(mixed_frame(), "class")) == snapshot
