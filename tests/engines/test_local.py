"""The embedded engine on the shipped model."""

from __future__ import annotations

import asyncio
from collections import namedtuple
from pathlib import Path

import pandas as pd
import psutil
import pytest
from dspy import lm15

from tagal_dspy.codecs import CsvCodec
from tagal_dspy.engines import LocalEngine, Weights, find_weights, local, make_lm
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
    monkeypatch.setattr("tagal_dspy.engines.local.LARGEST_CONTEXT", 512)
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


@pytest.mark.parametrize(
    ("shares", "n_threads"),
    [
        ([{"idle": 20.0}, {"idle": 20.0}], 2),
        ([{"idle": 20.0}, {"user": 19.0, "idle": 1.0}], 1),
        ([{"user": 20.0}, {"user": 20.0}], 1),
        ([{"idle": 20.0}, {"nice": 20.0}], 1),
    ],
)
def test_threads_are_as_many_as_cores_are_idle(
    shares: list[dict[str, float]], n_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = namedtuple("times", ["user", "nice", "idle"], defaults=(0.0,) * 3)
    monkeypatch.setattr(psutil, "cpu_times_percent", lambda **_: [times(**share) for share in shares])
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(len(shares))), raising=False)
    assert local._n_threads() == n_threads
