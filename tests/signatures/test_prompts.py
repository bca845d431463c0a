"""The signatures, and the texts that are made for them."""

from __future__ import annotations

import pickle

import dspy
import pytest

from tagal_dspy.signatures import (
    FEW_SHOT_SLOT,
    CritiquePoint,
    CritiqueRows,
    GenerateRows,
    RecallRows,
    RecallValue,
    SummarizeTurns,
    conversation_text,
    critique_text,
    wanted_rows,
    with_few_shots_below,
)

every_signature = pytest.mark.parametrize("signature", [GenerateRows, CritiqueRows, SummarizeTurns, RecallRows, RecallValue])


@every_signature
def test_every_field_says_what_it_is_for(signature: type[dspy.Signature]) -> None:
    descriptions = {
        name: field.json_schema_extra["desc"] for name, field in signature.fields.items() if name != "history"
    }
    assert all(text and text != f"${{{name}}}" for name, text in descriptions.items())


@every_signature
def test_signature_is_static(signature: type[dspy.Signature]) -> None:
    assert pickle.loads(pickle.dumps(signature)) is signature


def test_critique_lists_strengths_then_what_was_followed_then_every_point() -> None:
    points = [
        CritiquePoint(column="age", problem="too old", evidence="row 1", recommendation="write younger people"),
        CritiquePoint(problem="rows repeat"),
    ]
    assert critique_text(" good jobs\n", points, "partly ") == (
        "Good: good jobs\nEarlier critique: partly\n- age: too old (row 1) -> write younger people\n- rows repeat"
    )


def test_critique_of_nothing_is_empty() -> None:
    assert critique_text("", []) == ""


def test_conversation_numbers_its_turns() -> None:
    assert conversation_text([("a\n1\n", "too few"), ("a\n2\n", " ")]) == (
        "Turn 1, rows written:\na\n1\n\nTurn 1, critique:\ntoo few\n\n"
        "Turn 2, rows written:\na\n2\n\nTurn 2, critique:\nnone"
    )


def test_rows_of_a_class_are_asked_for_by_column_and_value() -> None:
    assert wanted_rows(("class", "yes"), None) == 'only rows in which "class" is "yes"'


def test_condition_is_told_beside_the_class() -> None:
    assert wanted_rows(("class", "yes"), "age > 3") == 'only rows in which "class" is "yes"; every row meets: age > 3'
    assert wanted_rows(None, None) is None


def test_slot_of_a_refined_prompt_points_at_the_examples() -> None:
    assert FEW_SHOT_SLOT not in with_few_shots_below(f"Look at {FEW_SHOT_SLOT}.")


def test_summary_is_told_of_the_slot() -> None:
    assert FEW_SHOT_SLOT in SummarizeTurns.instructions
