from __future__ import annotations

from typing import Any

import dspy
import pytest
from dspy.utils.exceptions import AdapterParseError
from syrupy.assertion import SnapshotAssertion

from tagal_dspy.card import make_card
from tagal_dspy.codecs import CsvCodec
from tagal_dspy.signatures import (
    ContinuationAdapter,
    CritiquePoint,
    CritiqueRows,
    GenerateRows,
    RowsChatAdapter,
    SummarizeTurns,
    Table,
    adapter_for,
    conversation_text,
    critique_text,
    wanted_rows,
)
from tagal_dspy.task import TableTask
from tagal_dspy.testing import scripted_lm

Adapter = RowsChatAdapter | ContinuationAdapter
every_adapter = pytest.mark.parametrize(
    "adapter", [RowsChatAdapter(), ContinuationAdapter()], ids=["chat", "continuation"]
)

CRITIQUE = critique_text(
    "plausible jobs", [CritiquePoint(column="größe", problem="all are tall", recommendation="write shorter people")]
)


@pytest.fixture
def inputs(toy_task: TableTask) -> dict[str, dict[str, Any]]:
    """What each prompt is filled with."""
    codec = CsvCodec(toy_task.schema)
    card = make_card(toy_task.schema)
    examples = Table(text=codec.encode(toy_task.train_rows[:2]))
    written = Table(text=codec.encode(toy_task.train_rows[2:4]))
    first = {"card": card, "examples": examples, "wanted": wanted_rows(("class", "yes"), None), "n_rows": 2}
    turns = [(written.text, CRITIQUE), (written.text, "")]
    return {
        "first turn": {**first, "history": dspy.History(messages=[])},
        "later turn": {
            "critique": CRITIQUE,
            "n_rows": 2,
            "history": dspy.History(messages=[{**first, "rows": written}]),
        },
        "refined": {
            "refined_prompt": "Write toys.",
            "examples": examples,
            "n_rows": 2,
            "history": dspy.History(messages=[]),
        },
        "critique": {"card": card, "rows": written},
        "later critique": {"card": card, "rows": written, "earlier_critique": CRITIQUE},
        "summary": {"card": card, "conversation": conversation_text(turns)},
    }


PROMPTS = {
    "first turn": GenerateRows,
    "later turn": GenerateRows,
    "refined": GenerateRows,
    "critique": CritiqueRows,
    "later critique": CritiqueRows,
    "summary": SummarizeTurns,
}


def prompt(adapter: Adapter, signature: type[dspy.Signature], inputs: dict[str, Any]) -> str:
    messages = adapter.format(signature, demos=[], inputs=dict(inputs))
    return "\n".join(f"<{message['role']}>\n{message['content']}" for message in messages)


@every_adapter
@pytest.mark.parametrize("name", PROMPTS)
def test_prompt_reads_as_recorded(
    adapter: Adapter, name: str, inputs: dict[str, dict[str, Any]], snapshot: SnapshotAssertion
) -> None:
    assert prompt(adapter, PROMPTS[name], inputs[name]) == snapshot


def test_conversation_begins_with_what_the_first_turn_said(inputs: dict[str, dict[str, Any]]) -> None:
    first, later = (
        RowsChatAdapter().format(GenerateRows, [], dict(inputs[name])) for name in ("first turn", "later turn")
    )
    assert later[0] == first[0]
    assert first[1]["content"].startswith(later[1]["content"])


def test_continuation_ends_where_the_next_row_begins(inputs: dict[str, dict[str, Any]]) -> None:
    assert prompt(ContinuationAdapter(), GenerateRows, inputs["first turn"]).endswith(
        str(inputs["first turn"]["examples"]).splitlines()[-1] + "\n"
    )


def test_continuation_of_optimised_instructions_begins_with_them(inputs: dict[str, dict[str, Any]]) -> None:
    optimised = GenerateRows.with_instructions("Write toys only.")
    (message,) = ContinuationAdapter().format(optimised, [], inputs["first turn"])
    assert message["content"].startswith("Write toys only.\n\n")


CHAT_ANSWERS = [
    "[[ ## rows ## ]]\na,b\n1,2\n\n[[ ## completed ## ]]\n",
    "Sure!\n[[ ## rows ## ]]\na,b\n1,2\n[[ ## completed ## ]]",
    "[[ ## rows ## ]]\na,b\n1,2",
    "a,b\n1,2",
    "a,b\n1,2\n[[ ## completed ## ]]",
    'A 5" pipe:\n[[ ## rows ## ]]\na,b\n1,2\n[[ ## completed ## ]]',
]


@pytest.mark.parametrize("answer", CHAT_ANSWERS)
def test_chat_answer_with_or_without_markers_is_a_table(answer: str) -> None:
    assert RowsChatAdapter().parse(GenerateRows, answer)["rows"].text == "a,b\n1,2"


ROWS, END = "[[ ## rows ## ]]\n", "\n[[ ## completed ## ]]\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\n{ROWS}0,0{END}</think>\n{ROWS}a,b\n1,2{END}",
        f"Well,\n{ROWS}0,0\n</think>\n\n{ROWS}a,b\n1,2{END}",
        f"Well, {ROWS}0,0</think>{ROWS}a,b\n1,2{END}",
        f"<think>\n{ROWS}0,0\n</think>\na,b\n1,2",
        f"<think>\n0,0\n{ROWS}a,b\n1,2{END}",
        f"{ROWS}a,b\n1,2{END}\n{ROWS}0,0{END}",
    ],
)
def test_rows_that_are_drafted_between_markers_in_thoughts_are_not_the_answer(answer: str) -> None:
    assert RowsChatAdapter().parse(GenerateRows, answer)["rows"].text == "a,b\n1,2"


def test_marker_in_thoughts_that_never_end_begins_no_answer() -> None:
    text = RowsChatAdapter().parse(GenerateRows, f"<think>\n{ROWS}a,b\n1,2")["rows"].text
    assert "1,2" not in text


def test_cell_that_looks_like_the_end_of_thoughts_stays_in_the_answer() -> None:
    rows = 'a,b\n1,"x\n</think>"\n3,</think>'
    assert RowsChatAdapter().parse(GenerateRows, f"{ROWS}{rows}{END}")["rows"].text == rows


@pytest.mark.parametrize("answer", ["", '{"rows": [1, 2', "[1, 2]", "I cannot do that."])
def test_no_answer_for_rows_is_unparsable(answer: str) -> None:
    assert RowsChatAdapter().parse(GenerateRows, answer) == {"rows": Table(text=answer)}


def test_chat_critique_is_parsed_into_points() -> None:
    answer = (
        "[[ ## strengths ## ]]\nfine\n\n"
        '[[ ## points ## ]]\n[{"column": "age", "problem": "too old"}]\n\n'
        "[[ ## followed ## ]]\nyes\n\n[[ ## completed ## ]]"
    )
    parsed = RowsChatAdapter().parse(CritiqueRows, answer)
    assert parsed == {
        "strengths": "fine",
        "points": [CritiquePoint(column="age", problem="too old")],
        "followed": "yes",
    }


def test_critique_without_points_has_none() -> None:
    parsed = RowsChatAdapter().parse(CritiqueRows, "[[ ## strengths ## ]]\nfine\n\n[[ ## completed ## ]]")
    assert (parsed["points"], parsed["followed"]) == ([], "")


def test_answer_that_does_not_parse_is_asked_for_once() -> None:
    lm = scripted_lm(lambda asked: "no fields at all", cache=False)
    with dspy.context(lm=lm, adapter=RowsChatAdapter()), pytest.raises(AdapterParseError):
        dspy.Predict(CritiqueRows)(card="card", rows=Table(text="a\n1\n"), earlier_critique=None)
    assert len(lm.engine.asked) == 1


def test_continuation_is_the_table_to_the_last_character() -> None:
    assert ContinuationAdapter().parse(GenerateRows, " 1,2\n3,4\n") == {"rows": Table(text=" 1,2\n3,4\n")}


def test_continuation_of_a_critique_is_its_first_field() -> None:
    parsed = ContinuationAdapter().parse(CritiqueRows, " fine rows\n")
    assert parsed == {"strengths": "fine rows", "points": [], "followed": ""}


def test_continuation_cannot_fill_two_fields_without_defaults() -> None:
    signature = dspy.Signature("question -> answer, reason")
    with pytest.raises(AdapterParseError, match="output 'reason' needs a default"):
        ContinuationAdapter().parse(signature, "42")


@pytest.mark.parametrize(("style", "adapter"), [("chat", RowsChatAdapter), ("continuation", ContinuationAdapter)])
def test_engine_says_which_adapter_suits_it(style: str, adapter: type) -> None:
    assert isinstance(adapter_for(scripted_lm(lambda asked: "", style=style)), adapter)


def test_model_that_says_nothing_of_its_style_chats() -> None:
    assert isinstance(adapter_for(object()), RowsChatAdapter)
