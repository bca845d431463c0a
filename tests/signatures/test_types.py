from __future__ import annotations

import dspy
import pydantic
import pytest

from tagal_dspy.signatures import CritiquePoint, Table

CSV = 'name,age\n"Ada, Lady",36\n'


class Answer(pydantic.BaseModel):
    rows: Table


def test_table_of_cells_is_csv_with_a_header() -> None:
    assert Table.from_cells(["name", "age"], [["Ada, Lady", "36"]]).text == CSV


@pytest.mark.parametrize("text", [CSV, "", "no table", '[{"a": 1}]', '"quoted"', "```csv\na\n1\n```", "1,2\r\n3,4"])
def test_text_is_kept_as_it_came(text: str) -> None:
    assert Answer.model_validate({"rows": text}).rows.text == text


@pytest.mark.parametrize("value", [Table(text=CSV), {"text": CSV}])
def test_table_is_made_of_a_table_or_its_fields(value: object) -> None:
    assert Answer.model_validate({"rows": value}).rows.text == CSV


@pytest.mark.parametrize("value", [7, None, ["a"], {"a": 1}, {"text": 7}, {"text": "a", "more": 1}])
def test_anything_but_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="expected the text of a table"):
        Answer.model_validate({"rows": value})


def test_table_is_dumped_as_text() -> None:
    assert Answer(rows=Table(text=CSV)).model_dump() == {"rows": CSV.strip("\n")}


def test_table_survives_a_dump_but_for_outer_line_feeds() -> None:
    answer = Answer(rows=Table(text=CSV))
    assert Answer.model_validate_json(answer.model_dump_json()).rows.text == CSV.strip("\n")


def test_models_are_asked_for_text() -> None:
    assert Table.model_json_schema() == {"type": "string"}


def test_table_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Table(text=CSV).text = ""


def test_table_prints_as_its_text() -> None:
    assert str(Table(text=CSV)) == CSV


@pytest.mark.parametrize(
    "adapter", [dspy.ChatAdapter(), dspy.JSONAdapter(), dspy.XMLAdapter()], ids=lambda a: type(a).__name__
)
def test_table_stands_as_text_in_the_prompts_of_every_adapter(adapter: dspy.Adapter) -> None:
    signature = dspy.Signature({"rows": (Table, dspy.InputField()), "verdict": (str, dspy.OutputField())}, "Judge.")
    messages = adapter.format(signature, demos=[], inputs={"rows": Table(text=CSV)})
    assert CSV.strip() in messages[-1]["content"]


def test_point_of_a_critique_needs_a_problem_alone() -> None:
    assert CritiquePoint(problem="too old").model_dump() == {
        "column": "",
        "problem": "too old",
        "evidence": "",
        "recommendation": "",
    }
