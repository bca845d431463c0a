"""The embedded engine on the shipped model."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from dspy import lm15

from tagal_dspy.codecs import CsvCodec
from tagal_dspy.engines import LocalEngine, Weights, find_weights, llama, make_lm
from tagal_dspy.engines.lark import as_lark, literals
from tagal_dspy.engines.llama import Model
from tagal_dspy.engines.local import SmallModel
from tagal_dspy.engines.vocabulary import Vocabulary, small_model
from tagal_dspy.errors import EngineError, PromptTooLongError
from tagal_dspy.schema import TableSchema


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return make_lm("local").engine


def request(prompt: str, **config: object) -> lm15.Request:
    return lm15.Request(model="m", messages=(lm15.Message.user(prompt),), config=lm15.Config(**config))


def extra(**values: object) -> dict[str, object]:
    return {"extensions": {"metadata": {"tagal": values}}}


def test_grammar_decides_what_is_written(engine: LocalEngine) -> None:
    schema = TableSchema.infer(pd.DataFrame({"age": [20, 35, 60], "job": ["cook", "clerk, senior", "cook"]}))
    codec = CsvCodec(schema)
    prompt = codec.encode(schema.to_rows(pd.DataFrame({"age": [20, 35], "job": ["cook", "clerk, senior"]})))
    answer = engine.complete(request(prompt, seed=1, **extra(grammar=codec.grammar(3)))).message.text
    decoded = codec.decode(answer)
    assert len(decoded.rows) == 3
    assert all(20 <= int(age or 0) <= 60 and job in ("cook", "clerk, senior") for age, job in decoded.rows)


def test_branches_are_joined_and_evaluate_the_prompt_once(engine: LocalEngine) -> None:
    grammar = 'root ::= [0-9]{2} "\\n"\n'
    response = engine.complete(request("11\n12\n13\n", seed=1, **extra(grammar=grammar, branches=4)))
    lines = response.message.text.splitlines()
    assert len(lines) == 4
    assert all(len(line) == 2 for line in lines)
    assert response.usage.input_tokens < 20
    assert response.usage.output_tokens >= 8


def test_equal_seeds_write_equal_text(engine: LocalEngine) -> None:
    texts = [engine.complete(request("1,2\n3,4\n", seed=5, max_tokens=12)).message.text for _ in range(2)]
    assert texts[0] == texts[1]


def test_answer_cut_at_max_tokens_says_so(engine: LocalEngine) -> None:
    assert engine.complete(request("1,2\n3,4\n", max_tokens=3)).finish_reason == "length"


def test_broken_grammar_is_an_invalid_request(engine: LocalEngine) -> None:
    with pytest.raises(lm15.InvalidRequestError, match="grammar"):
        engine.complete(request("1,2\n", **extra(grammar="root ::= (")))


def test_json_schema_constrains_an_answer(engine: LocalEngine) -> None:
    schema = {
        "type": "object",
        "properties": {"age": {"enum": [7]}},
        "required": ["age"],
        "additionalProperties": False,
    }
    shape = {"type": "json_schema", "name": "row", "schema": schema}
    answer = engine.complete(request('{"age": 3}\n', response_format=shape, max_tokens=20)).message.text
    assert answer.replace(" ", "").replace("\n", "") == '{"age":7}'


def test_prompt_beyond_the_loaded_context_loads_a_larger_one() -> None:
    small = LocalEngine(find_weights("local"), n_slots=1, n_context=512)
    assert small.complete(request("7 " * 600, max_tokens=2)).usage.input_tokens > 600


def test_prompt_beyond_the_largest_context_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tagal_dspy.engines.llama.LARGEST_CONTEXT", 512)
    small = LocalEngine(find_weights("local"), n_slots=1, n_context=512)
    with pytest.raises(PromptTooLongError, match=r"do not fit the 512 tokens .* use fewer few-shots"):
        small.complete(request("7 " * 600, max_tokens=2))


def test_corrupt_model_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"GGUF" + b"\0" * 5000)
    with pytest.raises(EngineError, match="cannot be loaded"):
        LocalEngine(Weights(path, "bad", "chat")).complete(request("hello"))


def test_model_is_shared_by_all_who_name_it() -> None:
    assert make_lm("local").engine is make_lm("local").engine


def test_asyncio_and_threads_answer_alike() -> None:
    lm = make_lm("local", cache=False, temperature=1.0, seed=3, max_tokens=8)
    assert asyncio.run(lm.acall("1,2\n3,4\n")) == lm("1,2\n3,4\n")


@pytest.fixture(scope="module")
def models() -> Iterator[tuple[Model, Model, str, str, list[list[int | bool]]]]:
    """The whole model and one of a table's tokens, a prompt, a grammar, and the tokens that only the whole one has."""
    frame = pd.DataFrame({"age": range(20, 60), "job": ["clerk", "cook", "smith", "Liège"] * 10})
    schema = TableSchema.infer(frame)
    codec, weights = CsvCodec(schema), find_weights("local")
    prompt, grammar = codec.encode(schema.to_rows(frame)[:4]), codec.grammar(3)
    vocabulary = Vocabulary(weights.path)
    vocabulary.add([prompt, *literals(grammar)])
    small = Model(weights._replace(path=small_model(weights, vocabulary)), 1, 512)
    whole = Model(weights, 1, 512)
    others = [[token, False] for token in range(vocabulary.n_tokens) if token not in vocabulary.needed]
    yield small, whole, prompt, grammar, others
    small.close()
    whole.close()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_model_of_the_tokens_of_a_table_writes_what_the_whole_one_writes_with_them(
    models: tuple[Model, Model, str, str, list[list[int | bool]]], temperature: float
) -> None:
    small, whole, prompt, grammar, others = models
    body = {"prompt": prompt, "grammar": as_lark(grammar), "seed": 3, "temperature": temperature, "max_tokens": -1}
    body |= {"cache_prompt": False, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
    first, second = small.complete(body), whole.complete(body | {"logit_bias": others} if temperature else body)
    assert first["choices"][0]["text"] == second["choices"][0]["text"]
    assert first["usage"] == second["usage"]


def test_whole_model_answers_where_another_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = Model(find_weights("local"), 1, 512)
    small = SmallModel(whole)
    assert small.model_for(["age,note\n"], 'root ::= "1," [^"]{1,9}') is whole
    (tmp_path / "vocabularies").write_text("a file is in the way of a cache that cannot be written")
    monkeypatch.setenv("TAGAL_CACHE_DIR", str(tmp_path))
    for _ in range(2):
        assert small.model_for(["age\n"], 'root ::= "1"') is whole
    said = [record.message.partition(": ")[2] for record in caplog.records]
    assert [line.partition(",")[0] for line in said] == [
        "free text needs the whole vocabulary",
        "the whole vocabulary is kept",
    ]


def test_vocabulary_grows_with_what_calls_need_and_stays_otherwise() -> None:
    small = SmallModel(Model(find_weights("local"), 1, 512))
    first = small.model_for(["age,job\n"], 'root ::= "clerk"')
    made = first.weights
    assert small.model_for(["age\n"], 'root ::= "clerk"').weights == made
    n_bytes = first.weights.path.stat().st_size
    second = small.model_for(["age\n"], 'root ::= "Zimbabwean"')
    assert second.weights.path.stat().st_size > n_bytes
    assert small.model_for(["age,job\n"], 'root ::= "clerk"').weights == second.weights


def test_model_that_cannot_be_loaded_with_fewer_tokens_is_used_whole(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(*_: object) -> None:
        raise EngineError("unknown architecture")

    monkeypatch.setattr(llama, "_start", refused)
    whole = Model(find_weights("local"), 1, 512)
    small = SmallModel(whole)
    assert [small.model_for(["age\n"], 'root ::= "1"') for _ in range(2)] == [whole, whole]
    assert len(caplog.records) == 1
